//! The document of a bucket's cross-origin rules, which clients send and get.

use super::reader::Element;
use super::writer::XmlWriter;
use crate::s3::error::S3Error;
use crate::s3::op::{CorsConfiguration, CorsMethod, CorsRule};

/// The rules of a CORSConfiguration.
///
/// # Errors
/// `MalformedXML`, `InvalidRequest`; as [`CorsConfiguration::new`].
pub fn cors_configuration(body: &[u8]) -> Result<CorsConfiguration, S3Error> {
    let mut root = Element::parse(body, "CORSConfiguration")?;
    let rules = root.take_all("CORSRule");
    root.finish()?;
    CorsConfiguration::new(rules.into_iter().map(rule).collect::<Result<_, _>>()?)
}

fn rule(mut element: Element) -> Result<CorsRule, S3Error> {
    let rule = CorsRule {
        id: element.take_text("ID")?,
        origins: element.take_texts("AllowedOrigin")?,
        methods: element
            .take_texts("AllowedMethod")?
            .iter()
            .map(|text| method(text))
            .collect::<Result<_, _>>()?,
        headers: element.take_texts("AllowedHeader")?,
        expose: element.take_texts("ExposeHeader")?,
        max_age_seconds: element
            .take_text("MaxAgeSeconds")?
            .map(|text| seconds(&text))
            .transpose()?,
    };
    element.finish()?;
    Ok(rule)
}

fn method(text: &str) -> Result<CorsMethod, S3Error> {
    CorsMethod::parse(text).ok_or_else(|| {
        S3Error::invalid_request(format!(
            "Found unsupported HTTP method in CORS config. Unsupported method is {text}"
        ))
    })
}

fn seconds(text: &str) -> Result<u32, S3Error> {
    let text = text.trim();
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let value = if digits { text.parse().ok() } else { None };
    value
        .filter(|seconds| *seconds <= i32::MAX as u32)
        .ok_or_else(S3Error::malformed_xml)
}

/// GetBucketCors' answer.
#[must_use]
pub fn cors_document(configuration: &CorsConfiguration) -> String {
    XmlWriter::document("CORSConfiguration", |xml| {
        for rule in configuration.rules() {
            xml.element("CORSRule", |xml| {
                xml.leaf_if("ID", rule.id.as_deref());
                for method in &rule.methods {
                    xml.leaf("AllowedMethod", method.as_str());
                }
                for (element, texts) in [
                    ("AllowedOrigin", &rule.origins),
                    ("AllowedHeader", &rule.headers),
                    ("ExposeHeader", &rule.expose),
                ] {
                    for text in texts {
                        xml.leaf(element, text);
                    }
                }
                if let Some(seconds) = rule.max_age_seconds {
                    xml.number("MaxAgeSeconds", seconds.into());
                }
            });
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::error::ErrorCode;

    #[test]
    fn rules_are_read_as_they_are_written() {
        let document = "<CORSConfiguration><CORSRule><ID>one</ID><AllowedMethod>GET</AllowedMethod>\
                        <AllowedMethod>PUT</AllowedMethod><AllowedOrigin>https://*.a.de\
                        </AllowedOrigin><AllowedOrigin>https://b.de</AllowedOrigin>\
                        <AllowedHeader>*</AllowedHeader><ExposeHeader>ETag</ExposeHeader>\
                        <MaxAgeSeconds>3000</MaxAgeSeconds></CORSRule><CORSRule><AllowedMethod>\
                        DELETE</AllowedMethod><AllowedOrigin>*</AllowedOrigin></CORSRule>\
                        </CORSConfiguration>";
        let read = cors_configuration(document.as_bytes()).unwrap();
        assert_eq!(read.rules().len(), 2);
        assert_eq!(read.rules()[0].id.as_deref(), Some("one"));
        assert_eq!(read.rules()[0].max_age_seconds, Some(3000));
        let written = cors_document(&read);
        assert!(
            written.ends_with(&document["<CORSConfiguration>".len()..]),
            "{written}"
        );
        assert_eq!(cors_configuration(written.as_bytes()).unwrap(), read);
        let kept = serde_json::to_string(&read).unwrap();
        assert_eq!(
            serde_json::from_str::<CorsConfiguration>(&kept).unwrap(),
            read
        );
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        let of = |inner: &str| {
            let begin = "<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin>";
            let document = format!("{begin}{inner}</CORSRule></CORSConfiguration>");
            cors_configuration(document.as_bytes()).map_err(|error| error.code())
        };
        let get = "<AllowedMethod>GET</AllowedMethod>";
        assert!(of(get).is_ok());
        assert_eq!(of(""), Err(ErrorCode::MalformedXML));
        for method in ["get", "PATCH", "OPTIONS", "*", ""] {
            let inner = format!("<AllowedMethod>{method}</AllowedMethod>");
            assert_eq!(of(&inner), Err(ErrorCode::InvalidRequest), "{method}");
        }
        for inner in [
            "<MaxAgeSeconds>-1</MaxAgeSeconds>",
            "<MaxAgeSeconds>soon</MaxAgeSeconds>",
            "<MaxAgeSeconds>2147483648</MaxAgeSeconds>",
            "<MaxAgeSeconds>1</MaxAgeSeconds><MaxAgeSeconds>2</MaxAgeSeconds>",
            "<Other/>",
            "text",
        ] {
            let inner = format!("{get}{inner}");
            assert_eq!(of(&inner), Err(ErrorCode::MalformedXML), "{inner}");
        }
        assert!(cors_configuration(b"<CORSConfiguration/>").is_err());
    }
}
