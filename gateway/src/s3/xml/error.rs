//! The document of an error.

use super::writer::XmlWriter;
use crate::s3::encode::is_forbidden_in_xml;
use crate::s3::error::S3Error;

/// Writes the document of an error: Code, Message, what the error adds, Resource (the request's
/// path, still encoded), RequestId, HostId.
#[must_use]
pub fn error_document(error: &S3Error, resource: &str, request_id: &str, host_id: &str) -> String {
    let mut xml = XmlWriter::new();
    xml.element("Error", |xml| {
        xml.leaf("Code", error.code().as_str());
        xml.leaf("Message", &readable(error.text()));
        for (element, text) in error.extras() {
            xml.leaf(element, &readable(text));
        }
        xml.leaf("Resource", &readable(resource));
        xml.leaf("RequestId", request_id);
        xml.leaf("HostId", host_id);
    });
    xml.finish()
}

/// An error must be readable whatever it quotes: what XML can't carry is shown as U+FFFD.
fn readable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if is_forbidden_in_xml(c) {
                '\u{FFFD}'
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::name::ObjectKey;

    #[test]
    fn an_error_is_written_as_aws_does() {
        let error = S3Error::no_such_key(&ObjectKey::parse("a<b>\u{1}").unwrap());
        assert_eq!(
            error_document(&error, "/buc/a%3Cb%3E%01", "4442587FB7D0A2F9", "host="),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>NoSuchKey</Code>\
             <Message>The specified key does not exist.</Message><Key>a&lt;b&gt;\u{FFFD}</Key>\
             <Resource>/buc/a%3Cb%3E%01</Resource><RequestId>4442587FB7D0A2F9</RequestId>\
             <HostId>host=</HostId></Error>"
        );
    }
}
