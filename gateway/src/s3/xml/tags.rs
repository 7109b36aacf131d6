//! The document of tags, which clients send and get.

use super::reader::Element;
use super::writer::XmlWriter;
use crate::s3::error::S3Error;
use crate::s3::op::{TagSet, Tagged};

/// The tags of a Tagging.
///
/// # Errors
/// `MalformedXML`; as [`TagSet::new`].
pub fn tagging(body: &[u8], of: Tagged) -> Result<TagSet, S3Error> {
    let mut root = Element::parse(body, "Tagging")?;
    let mut set = root.take("TagSet")?.ok_or_else(S3Error::malformed_xml)?;
    root.finish()?;
    let tags = set.take_all("Tag");
    set.finish()?;
    let pairs = tags
        .into_iter()
        .map(|mut tag| {
            let pair = (tag.require_text("Key")?, tag.require_text("Value")?);
            tag.finish()?;
            Ok(pair)
        })
        .collect::<Result<Vec<_>, S3Error>>()?;
    TagSet::new(pairs, of)
}

/// The answer of GetObjectTagging and GetBucketTagging.
#[must_use]
pub fn tagging_document(tags: &TagSet) -> String {
    XmlWriter::document("Tagging", |xml| {
        xml.element("TagSet", |xml| {
            for (key, value) in tags.iter() {
                xml.element("Tag", |xml| {
                    xml.leaf("Key", key);
                    xml.leaf("Value", value);
                });
            }
        });
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::error::ErrorCode;

    #[test]
    fn tags_are_read_as_they_are_written() {
        let pairs = [("b", "2"), ("a", ""), ("é x", "+-=._:/@")];
        let pairs = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let tags = TagSet::new(pairs, Tagged::Object).unwrap();
        let document = tagging_document(&tags);
        assert_eq!(tagging(document.as_bytes(), Tagged::Object).unwrap(), tags);
        assert!(document.contains("<TagSet><Tag><Key>a</Key><Value/></Tag><Tag><Key>b</Key>"));
        let none = tagging(b"<Tagging><TagSet/></Tagging>", Tagged::Object).unwrap();
        assert!(none.is_empty());
    }

    #[test]
    fn what_is_no_tagging_is_malformed() {
        for document in [
            "",
            "<Tagging/>",
            "<Tagging><TagSet/><TagSet/></Tagging>",
            "<Tagging><TagSet><Tag><Key>k</Key></Tag></TagSet></Tagging>",
            "<Tagging><TagSet><Tag><Value>v</Value></Tag></TagSet></Tagging>",
            "<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value><X/></Tag></TagSet></Tagging>",
            "<Tagging><TagSet><Other/></TagSet></Tagging>",
            "<Tagging><TagSet/>text</Tagging>",
            "<TagSet/>",
        ] {
            let error = tagging(document.as_bytes(), Tagged::Object).unwrap_err();
            assert_eq!(error.code(), ErrorCode::MalformedXML, "{document}");
        }
    }
}
