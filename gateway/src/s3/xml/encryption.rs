//! The document of a bucket's default encryption, which clients send and get.

use super::reader::Element;
use super::writer::XmlWriter;
use crate::s3::error::S3Error;
use crate::s3::op::{BlockedEncryption, BucketEncryption};

/// Reads a ServerSideEncryptionConfiguration, which has one rule.
///
/// # Errors
/// `MalformedXML`; `NotImplemented` for AWS's key service; `InvalidArgument` for its key.
pub fn encryption_configuration(body: &[u8]) -> Result<BucketEncryption, S3Error> {
    let mut root = Element::parse(body, "ServerSideEncryptionConfiguration")?;
    let mut rule = root.take("Rule")?.ok_or_else(S3Error::malformed_xml)?;
    root.finish()?;
    let by_default = rule.take("ApplyServerSideEncryptionByDefault")?;
    let bucket_key = rule.take_text("BucketKeyEnabled")?;
    let blocked = rule.take("BlockedEncryptionTypes")?;
    rule.finish()?;
    // A rule that says nothing is a mistake.
    if by_default.is_none() && blocked.is_none() {
        return Err(S3Error::malformed_xml());
    }
    Ok(BucketEncryption {
        by_default: by_default.map(algorithm).transpose()?.is_some(),
        bucket_key: match bucket_key.as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(S3Error::malformed_xml()),
        },
        blocked: blocked.map(blocked_types).transpose()?,
    })
}

fn algorithm(mut element: Element) -> Result<(), S3Error> {
    let algorithm = element.require_text("SSEAlgorithm")?;
    let kms_key = element.take_text("KMSMasterKeyID")?;
    element.finish()?;
    match algorithm.as_str() {
        "AES256" => match kms_key {
            None => Ok(()),
            Some(key) => Err(S3Error::invalid_argument(
                "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or \
                 aws:kms:dsse",
                "KMSMasterKeyID",
                &key,
            )),
        },
        "aws:kms" | "aws:kms:dsse" | "aws:fsx" => Err(S3Error::not_implemented(
            "Only AES256 is implemented: there is no key management service",
        )
        .with("SSEAlgorithm", algorithm)),
        _ => Err(S3Error::malformed_xml()),
    }
}

fn blocked_types(mut element: Element) -> Result<BlockedEncryption, S3Error> {
    let types = element.take_texts("EncryptionType")?;
    element.finish()?;
    match types.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["NONE"] => Ok(BlockedEncryption::Nothing),
        ["SSE-C"] => Ok(BlockedEncryption::CustomerKeys),
        _ => Err(S3Error::malformed_xml()),
    }
}

/// GetBucketEncryption's answer.
#[must_use]
pub fn encryption_document(encryption: &BucketEncryption) -> String {
    XmlWriter::document("ServerSideEncryptionConfiguration", |xml| {
        xml.element("Rule", |xml| {
            if encryption.by_default {
                xml.element("ApplyServerSideEncryptionByDefault", |xml| {
                    xml.leaf("SSEAlgorithm", "AES256");
                });
            }
            let bucket_key = if encryption.bucket_key {
                "true"
            } else {
                "false"
            };
            xml.leaf("BucketKeyEnabled", bucket_key);
            if let Some(blocked) = encryption.blocked {
                xml.element("BlockedEncryptionTypes", |xml| {
                    let name = match blocked {
                        BlockedEncryption::Nothing => "NONE",
                        BlockedEncryption::CustomerKeys => "SSE-C",
                    };
                    xml.leaf("EncryptionType", name);
                });
            }
        });
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::error::ErrorCode;

    fn read(rule: &str) -> Result<BucketEncryption, ErrorCode> {
        let document = format!(
            "<ServerSideEncryptionConfiguration>{rule}</ServerSideEncryptionConfiguration>"
        );
        encryption_configuration(document.as_bytes()).map_err(|error| error.code())
    }

    fn by_default(inner: &str) -> String {
        format!(
            "<Rule><ApplyServerSideEncryptionByDefault>{inner}\
             </ApplyServerSideEncryptionByDefault></Rule>"
        )
    }

    #[test]
    fn what_is_put_is_got() {
        for by_default in [true, false] {
            for bucket_key in [true, false] {
                for blocked in [
                    None,
                    Some(BlockedEncryption::Nothing),
                    Some(BlockedEncryption::CustomerKeys),
                ] {
                    let encryption = BucketEncryption {
                        by_default,
                        bucket_key,
                        blocked,
                    };
                    let document = encryption_document(&encryption);
                    let again = encryption_configuration(document.as_bytes());
                    if by_default || blocked.is_some() {
                        assert_eq!(again.unwrap(), encryption, "{document}");
                    } else {
                        assert!(again.is_err(), "{document}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_can_not_be_kept_is_refused() {
        let algorithm = |text: &str| by_default(&format!("<SSEAlgorithm>{text}</SSEAlgorithm>"));
        assert!(read(&algorithm("AES256")).unwrap().by_default);
        let with_key = "<SSEAlgorithm>AES256</SSEAlgorithm><KMSMasterKeyID>k</KMSMasterKeyID>";
        let two = format!("{0}{0}", algorithm("AES256"));
        for (rule, code) in [
            (algorithm("aws:kms"), ErrorCode::NotImplemented),
            (algorithm("aws:kms:dsse"), ErrorCode::NotImplemented),
            (by_default(with_key), ErrorCode::InvalidArgument),
            (algorithm("aes256"), ErrorCode::MalformedXML),
            (by_default(""), ErrorCode::MalformedXML),
            (String::new(), ErrorCode::MalformedXML),
            ("<Rule/>".to_owned(), ErrorCode::MalformedXML),
            (
                "<Rule><BucketKeyEnabled>true</BucketKeyEnabled></Rule>".to_owned(),
                ErrorCode::MalformedXML,
            ),
            (
                "<Rule><BlockedEncryptionTypes/></Rule>".to_owned(),
                ErrorCode::MalformedXML,
            ),
            (two, ErrorCode::MalformedXML),
        ] {
            assert_eq!(read(&rule), Err(code), "{rule}");
        }
    }
}
