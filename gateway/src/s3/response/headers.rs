//! Writing headers of answers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::s3::header;
use crate::s3::name::VersionId;
use crate::s3::op::{AppliedEncryption, LifecycleNotice, ObjectChecksum};

/// What answers add to their headers.
pub(super) trait HeadersExt {
    /// Sets a header. A text that no header can hold (it came in through the query) is left out.
    fn put(&mut self, name: HeaderName, text: &str);

    /// Sets a header if there is a text for it.
    fn put_if(&mut self, name: HeaderName, text: Option<&str>) {
        if let Some(text) = text {
            self.put(name, text);
        }
    }

    /// `x-amz-version-id`.
    fn put_version(&mut self, version: Option<&VersionId>) {
        self.put_if(header::VERSION_ID, version.map(VersionId::as_str));
    }

    /// The headers that say how the object is encrypted.
    fn put_encryption(&mut self, encryption: Option<&AppliedEncryption>) {
        match encryption {
            None => {}
            Some(AppliedEncryption::ServerKey) => self.put(header::ENCRYPTION, "AES256"),
            Some(AppliedEncryption::CustomerKey { key_md5 }) => {
                self.put(header::CUSTOMER_ALGORITHM, "AES256");
                self.put(header::CUSTOMER_KEY_MD5, key_md5);
            }
        }
    }

    /// `x-amz-expiration`.
    fn put_expiration(&mut self, expiration: Option<&LifecycleNotice>) {
        if let Some(expiration) = expiration {
            self.put(header::EXPIRATION, &expiration.expiration());
        }
    }

    /// `x-amz-abort-date` and `x-amz-abort-rule-id`.
    fn put_abort(&mut self, abort: Option<&LifecycleNotice>) {
        if let Some(abort) = abort {
            self.put(header::ABORT_DATE, &abort.at.http_date());
            self.put(header::ABORT_RULE_ID, &abort.encoded_id());
        }
    }

    /// The checksum's own header and `x-amz-checksum-type`.
    fn put_object_checksum(&mut self, checksum: Option<&ObjectChecksum>) {
        if let Some(object) = checksum {
            self.put(object.checksum.algorithm.header(), &object.text());
            self.put(header::CHECKSUM_TYPE, object.kind.as_str());
        }
    }
}

impl HeadersExt for HeaderMap {
    fn put(&mut self, name: HeaderName, text: &str) {
        if let Ok(value) = HeaderValue::from_bytes(text.as_bytes()) {
            self.insert(name, value);
        }
    }
}

/// A value of user metadata as a header has it: ASCII as it is, other text in RFC 2047's form, as
/// AWS sends it. A client that stored that form gets it back unchanged.
pub(super) fn metadata_value(text: &str) -> Option<HeaderValue> {
    if text
        .bytes()
        .all(|b| b == b'\t' || (0x20..0x7f).contains(&b))
    {
        return HeaderValue::from_str(text).ok();
    }
    let encoded = format!("=?UTF-8?B?{}?=", STANDARD.encode(text));
    HeaderValue::from_str(&encoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_ascii_or_encoded_words() {
        assert_eq!(metadata_value("plain text").unwrap(), "plain text");
        assert_eq!(metadata_value("é").unwrap(), "=?UTF-8?B?w6k=?=");
        assert_eq!(
            metadata_value("=?UTF-8?B?w6k=?=").unwrap(),
            "=?UTF-8?B?w6k=?="
        );
        assert_eq!(
            metadata_value("a\r\nSet-Cookie: x")
                .unwrap()
                .to_str()
                .unwrap()
                .find('\r'),
            None
        );
    }
}
