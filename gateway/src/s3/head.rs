//! A request's headers as the operations see them, and the features that are refused.
//!
//! A presigner may put `x-amz-*` headers into the query, where they are signed too: they count as
//! headers here. A header whose feature is not built is answered 501 before anything is done: an
//! object that the client believes encrypted, locked or public must not be stored as if it were.

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::error::{ErrorCode, S3Error};
use super::header;
use super::op::OWNER_ID;
use super::query::Query;
use super::time::Timestamp;

/// A request's headers, those hoisted into its query included.
#[derive(Debug, Clone)]
pub struct Headers(HeaderMap);

impl Headers {
    /// Takes the headers of a request, and refuses those whose feature is not built.
    ///
    /// # Errors
    /// `NotImplemented`, `InvalidArgument` or `AccessDenied` (another owner is expected).
    pub fn of(head: &Parts, query: &Query) -> Result<Self, S3Error> {
        let mut headers = head.headers.clone();
        for (name, value) in query.iter() {
            let name = name.to_ascii_lowercase();
            if name.starts_with("x-amz-") && !is_not_hoisted(&name) {
                let invalid = || S3Error::invalid_argument("Invalid header", &name, value);
                headers.append(
                    HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?,
                    HeaderValue::from_bytes(value.as_bytes()).map_err(|_| invalid())?,
                );
            }
        }
        let headers = Self(headers);
        headers.check_features()?;
        Ok(headers)
    }

    /// Takes the headers that a form's fields are, and refuses those whose feature is not built.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub fn of_form(fields: HeaderMap) -> Result<Self, S3Error> {
        let headers = Self(fields);
        headers.check_features()?;
        Ok(headers)
    }

    /// The one value of a header, as text without outer spaces.
    ///
    /// # Errors
    /// `InvalidArgument` if it has several values that differ, or one that is not UTF-8.
    pub fn get(&self, name: &HeaderName) -> Result<Option<&str>, S3Error> {
        let mut values = self.0.get_all(name).iter();
        let Some(first) = values.next() else {
            return Ok(None);
        };
        if values.any(|other| other != first) {
            let message = "The header must be given once";
            return Err(S3Error::invalid_argument(message, name.as_str(), ""));
        }
        text(name, first).map(Some)
    }

    /// All values of a header that may be a list, joined with a comma.
    ///
    /// # Errors
    /// `InvalidArgument` if one is not UTF-8.
    pub fn joined(&self, name: &HeaderName) -> Result<Option<String>, S3Error> {
        let mut values = Vec::new();
        for value in self.0.get_all(name) {
            values.push(text(name, value)?);
        }
        Ok((!values.is_empty()).then(|| values.join(",")))
    }

    /// A header's date; one that can't be read is ignored, as RFC 9110 says.
    ///
    /// # Errors
    /// `InvalidArgument` as [`Self::get`].
    pub fn date(&self, name: &HeaderName) -> Result<Option<Timestamp>, S3Error> {
        Ok(self.get(name)?.and_then(Timestamp::from_http_date))
    }

    /// Names (without the prefix) and values of all headers that begin so.
    ///
    /// # Errors
    /// `InvalidArgument` if a value is not UTF-8.
    pub fn with_prefix(&self, prefix: &str) -> Result<Vec<(String, String)>, S3Error> {
        let mut found = Vec::new();
        for (name, value) in &self.0 {
            if let Some(rest) = name.as_str().strip_prefix(prefix) {
                found.push((rest.to_owned(), text(name, value)?.to_owned()));
            }
        }
        Ok(found)
    }

    /// Whether there is a customer's key among them, which must not be sent where others can read.
    #[must_use]
    pub fn carry_customer_key(&self) -> bool {
        let names = [
            header::CUSTOMER_ALGORITHM,
            header::CUSTOMER_KEY,
            header::CUSTOMER_KEY_MD5,
            header::COPY_SOURCE_CUSTOMER_ALGORITHM,
            header::COPY_SOURCE_CUSTOMER_KEY,
            header::COPY_SOURCE_CUSTOMER_KEY_MD5,
        ];
        names.iter().any(|name| self.0.contains_key(name))
    }

    fn check_features(&self) -> Result<(), S3Error> {
        for (name, value) in &self.0 {
            let name = name.as_str();
            if name.starts_with("x-amz-") {
                check(name, value.to_str().unwrap_or_default().trim())?;
            }
        }
        Ok(())
    }
}

fn text<'v>(name: &HeaderName, value: &'v HeaderValue) -> Result<&'v str, S3Error> {
    std::str::from_utf8(value.as_bytes())
        .map(str::trim)
        .map_err(|_| S3Error::invalid_argument("The header is not UTF-8", name.as_str(), ""))
}

/// What the signature's check reads itself, and what AWS ignores in a query: a presigner that has
/// no body at hand signs the checksum of an empty one there.
fn is_not_hoisted(name: &str) -> bool {
    const OF_THE_SIGNATURE: [&str; 8] = [
        "x-amz-algorithm",
        "x-amz-content-sha256",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-expires",
        "x-amz-security-token",
        "x-amz-signature",
        "x-amz-signedheaders",
    ];
    OF_THE_SIGNATURE.contains(&name)
        || (name.starts_with("x-amz-checksum-") && name != header::CHECKSUM_MODE.as_str())
        || name == header::SDK_CHECKSUM_ALGORITHM.as_str()
}

/// What is done about a header of AWS's.
#[derive(Debug, Clone, Copy)]
enum Rule {
    /// Its feature is not built.
    Refuse,
    /// These values are; other values of AWS's are not built, and any other value is invalid.
    Canned {
        built: &'static [&'static str],
        known: &'static [&'static str],
    },
    /// The same of access control lists, which the enforced owner excludes.
    CannedAcl {
        built: &'static [&'static str],
        known: &'static [&'static str],
    },
    /// It asks for an access control list.
    Grant,
    /// It must name the one owner.
    Owner,
    /// The operations that have a use for it read it.
    Parsed,
}

/// By whole name.
const BY_NAME: &[(&str, Rule)] = &[
    (
        "x-amz-acl",
        Rule::CannedAcl {
            built: &["private", "bucket-owner-full-control"],
            known: &[
                "public-read",
                "public-read-write",
                "authenticated-read",
                "aws-exec-read",
                "bucket-owner-read",
                "log-delivery-write",
            ],
        },
    ),
    (
        "x-amz-bucket-object-lock-enabled",
        Rule::Canned {
            built: &["true", "True", "TRUE", "false", "False", "FALSE"],
            known: &[],
        },
    ),
    (
        "x-amz-bypass-governance-retention",
        Rule::Canned {
            built: &["true", "True", "TRUE", "false", "False", "FALSE"],
            known: &[],
        },
    ),
    (
        "x-amz-bucket-namespace",
        Rule::Canned {
            built: &["global"],
            known: &["account-regional"],
        },
    ),
    ("x-amz-expected-bucket-owner", Rule::Owner),
    (
        "x-amz-copy-source-server-side-encryption-customer-algorithm",
        Rule::Parsed,
    ),
    (
        "x-amz-copy-source-server-side-encryption-customer-key",
        Rule::Parsed,
    ),
    (
        "x-amz-copy-source-server-side-encryption-customer-key-md5",
        Rule::Parsed,
    ),
    ("x-amz-mfa", Rule::Refuse),
    // No object has annotations: both are true of a copy.
    (
        "x-amz-object-annotation-directive",
        Rule::Canned {
            built: &["COPY", "EXCLUDE"],
            known: &[],
        },
    ),
    (
        "x-amz-object-lock-event-hold",
        Rule::Canned {
            built: &["OFF"],
            known: &["ON"],
        },
    ),
    (
        "x-amz-object-ownership",
        Rule::Canned {
            built: &["BucketOwnerEnforced"],
            known: &["BucketOwnerPreferred", "ObjectWriter"],
        },
    ),
    ("x-amz-server-side-encryption", Rule::Parsed),
    (
        "x-amz-server-side-encryption-bucket-key-enabled",
        Rule::Parsed,
    ),
    (
        "x-amz-server-side-encryption-customer-algorithm",
        Rule::Parsed,
    ),
    ("x-amz-server-side-encryption-customer-key", Rule::Parsed),
    (
        "x-amz-server-side-encryption-customer-key-md5",
        Rule::Parsed,
    ),
    ("x-amz-source-expected-bucket-owner", Rule::Owner),
    (
        "x-amz-tagging-directive",
        Rule::Canned {
            built: &["COPY", "REPLACE"],
            known: &[],
        },
    ),
    ("x-amz-website-redirect-location", Rule::Refuse),
    ("x-amz-write-offset-bytes", Rule::Refuse),
];

/// By how the name begins.
const BY_PREFIX: &[(&str, Rule)] = &[
    ("x-amz-annotation", Rule::Refuse),
    ("x-amz-copy-source-server-side-encryption", Rule::Refuse),
    ("x-amz-grant-", Rule::Grant),
    ("x-amz-if-match-", Rule::Refuse),
    ("x-amz-object-if-match", Rule::Refuse),
    ("x-amz-object-lock-event-hold", Rule::Refuse),
    ("x-amz-rename-source", Rule::Refuse),
    ("x-amz-server-side-encryption", Rule::Refuse),
];

fn check(name: &str, value: &str) -> Result<(), S3Error> {
    let by_name = BY_NAME.iter().find(|(known, _)| *known == name);
    let by_prefix = || {
        BY_PREFIX
            .iter()
            .find(|(prefix, _)| name.starts_with(prefix))
    };
    let Some((_, rule)) = by_name.or_else(by_prefix) else {
        return check_checksum_name(name, value);
    };
    match *rule {
        Rule::Canned { built, .. } | Rule::CannedAcl { built, .. } if built.contains(&value) => {
            Ok(())
        }
        Rule::Refuse => Err(S3Error::header_not_implemented(name, value)),
        Rule::Canned { known, .. } if known.contains(&value) => {
            Err(S3Error::header_not_implemented(name, value))
        }
        Rule::CannedAcl { known, .. } if known.contains(&value) => Err(no_acl(name, value)),
        Rule::Grant => Err(no_acl(name, value)),
        Rule::Canned { .. } | Rule::CannedAcl { .. } => {
            Err(S3Error::invalid_argument("Invalid value", name, value))
        }
        Rule::Parsed => Ok(()),
        Rule::Owner if value == OWNER_ID => Ok(()),
        Rule::Owner => Err(S3Error::new(ErrorCode::AccessDenied)),
    }
}

/// Nobody but the owner can be given a right.
fn no_acl(name: &str, value: &str) -> S3Error {
    S3Error::new(ErrorCode::AccessControlListNotSupported)
        .with("Header", name)
        .with("Value", value)
}

/// A checksum by an algorithm that is not built would be stored unverified.
fn check_checksum_name(name: &str, value: &str) -> Result<(), S3Error> {
    const KNOWN: [&str; 8] = [
        "algorithm",
        "mode",
        "type",
        "crc32",
        "crc32c",
        "crc64nvme",
        "sha1",
        "sha256",
    ];
    match name.strip_prefix("x-amz-checksum-") {
        Some(rest) if !KNOWN.contains(&rest) => Err(S3Error::header_not_implemented(name, value)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(uri: &str, pairs: &[(&str, &str)]) -> Result<Headers, S3Error> {
        let mut request = http::Request::put(uri);
        for (name, value) in pairs {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let query = Query::parse(head.uri.query().unwrap_or_default()).unwrap();
        Headers::of(&head, &query)
    }

    #[test]
    fn a_header_whose_feature_is_not_built_is_never_a_fake_success() {
        for (name, value) in [
            ("x-amz-server-side-encryption-aws-kms-key-id", "k"),
            ("x-amz-server-side-encryption-context", "e30="),
            ("x-amz-copy-source-server-side-encryption", "AES256"),
            ("x-amz-website-redirect-location", "/x"),
            ("x-amz-mfa", "serial 1"),
            ("x-amz-write-offset-bytes", "0"),
            ("x-amz-object-ownership", "ObjectWriter"),
            ("x-amz-if-match-size", "1"),
            ("x-amz-if-match-last-modified-time", "x"),
            ("x-amz-object-lock-event-hold", "ON"),
            ("x-amz-object-lock-event-hold-duration-days", "3"),
            ("x-amz-object-if-match", "x"),
            ("x-amz-bucket-namespace", "account-regional"),
            ("x-amz-checksum-xxhash64", "AAAAAAAAAAA="),
        ] {
            let error = headers("/b/k", &[(name, value)]).unwrap_err();
            assert_eq!(error.code(), ErrorCode::NotImplemented, "{name}: {value}");
            assert_eq!(error.extra("Header"), Some(name));
            let hoisted = format!("/b/k?{}={value}", name.replace("x-amz", "X-Amz"));
            let hoisted = hoisted.replace(' ', "%20");
            if !name.starts_with("x-amz-checksum") {
                let error = headers(&hoisted, &[]).unwrap_err();
                assert_eq!(error.code(), ErrorCode::NotImplemented, "{hoisted}");
            }
        }
    }

    #[test]
    fn nobody_but_the_owner_is_given_a_right() {
        for (name, value) in [
            ("x-amz-grant-read", "id=1"),
            ("x-amz-grant-full-control", "id=1"),
            ("x-amz-acl", "public-read"),
            ("x-amz-acl", "authenticated-read"),
        ] {
            let error = headers("/b/k", &[(name, value)]).unwrap_err();
            assert_eq!(error.code(), ErrorCode::AccessControlListNotSupported);
            assert_eq!(error.extra("Header"), Some(name));
        }
    }

    #[test]
    fn what_asks_for_nothing_more_passes() {
        for (name, value) in [
            ("x-amz-acl", "private"),
            ("x-amz-acl", "bucket-owner-full-control"),
            ("x-amz-tagging-directive", "COPY"),
            ("x-amz-bucket-object-lock-enabled", "false"),
            ("x-amz-bucket-object-lock-enabled", "true"),
            ("x-amz-bypass-governance-retention", "true"),
            ("x-amz-object-lock-mode", "GOVERNANCE"),
            ("x-amz-object-lock-event-hold", "OFF"),
            ("x-amz-object-annotation-directive", "EXCLUDE"),
            ("x-amz-bucket-namespace", "global"),
            ("x-amz-object-ownership", "BucketOwnerEnforced"),
            ("x-amz-request-payer", "requester"),
            ("x-amz-expected-bucket-owner", OWNER_ID),
            ("x-amz-user-agent", "sdk"),
            ("x-amz-checksum-crc32", "AAAAAA=="),
            ("amz-sdk-invocation-id", "1"),
        ] {
            assert!(headers("/b/k", &[(name, value)]).is_ok(), "{name}: {value}");
        }
        let other = headers("/b/k", &[("x-amz-expected-bucket-owner", "123456789012")]);
        assert_eq!(other.unwrap_err().code(), ErrorCode::AccessDenied);
        let nonsense = headers("/b/k", &[("x-amz-acl", "secret")]);
        assert_eq!(nonsense.unwrap_err().code(), ErrorCode::InvalidArgument);
    }

    #[test]
    fn headers_in_the_query_count() {
        let uri = "/b/k?X-Amz-Meta-A=1&x-amz-storage-class=cold&X-Amz-Signature=s\
                   &x-amz-checksum-crc32=AAAAAA%3D%3D&x-amz-sdk-checksum-algorithm=CRC32";
        let headers = headers(uri, &[("x-amz-meta-b", "2")]).unwrap();
        assert_eq!(headers.get(&header::STORAGE_CLASS).unwrap(), Some("cold"));
        let mut metadata = headers.with_prefix("x-amz-meta-").unwrap();
        metadata.sort();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(metadata, [pair("a", "1"), pair("b", "2")]);
        assert!(headers.with_prefix("x-amz-checksum").unwrap().is_empty());
        assert!(headers.with_prefix("x-amz-signature").unwrap().is_empty());
    }

    #[test]
    fn a_header_given_twice_must_say_the_same() {
        let same = headers(
            "/",
            &[("x-amz-storage-class", "a"), ("x-amz-storage-class", "a")],
        );
        assert_eq!(
            same.unwrap().get(&header::STORAGE_CLASS).unwrap(),
            Some("a")
        );
        let differs = headers(
            "/",
            &[("x-amz-storage-class", "a"), ("x-amz-storage-class", "b")],
        );
        let error = differs.unwrap().get(&header::STORAGE_CLASS).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
    }
}
