//! Which bucket and key a request names: path style, or virtual-host style for configured domains.
//!
//! The path is split at its first slash and each half decoded once; nothing is normalised.

use http::header::HOST;
use http::request::Parts;

use super::encode::decode_path;
use super::error::S3Error;
use super::name::{BucketName, ObjectKey};

/// Where virtual-host style requests come in: none by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addressing {
    domains: Vec<String>,
}

impl Addressing {
    /// `domains`: with `s3.example.com`, a request to `b.s3.example.com` names bucket `b`.
    #[must_use]
    pub fn new(domains: impl IntoIterator<Item = String>) -> Self {
        Self {
            domains: domains
                .into_iter()
                .map(|domain| domain.to_ascii_lowercase())
                .collect(),
        }
    }

    /// The bucket that the host names, if it names one. Where one domain lies below another, a host
    /// belongs to the lower one; and no domain is a bucket of another.
    fn bucket_of(&self, host: &str) -> Option<String> {
        let host = without_port(host).to_ascii_lowercase();
        let host = host.strip_suffix('.').unwrap_or(&host);
        if self.domains.iter().any(|domain| domain == host) {
            return None;
        }
        self.domains
            .iter()
            .filter_map(|domain| host.strip_suffix(domain.as_str())?.strip_suffix('.'))
            .filter(|bucket| !bucket.is_empty())
            .min_by_key(|bucket| bucket.len())
            .map(str::to_owned)
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The service: `/`.
    Service,
    /// A bucket.
    Bucket(BucketName),
    /// An object, there or not.
    Object(BucketName, ObjectKey),
}

impl Target {
    /// Reads it from a request's head.
    ///
    /// # Errors
    /// `InvalidURI`, `InvalidBucketName`, `KeyTooLongError`.
    pub fn of(head: &Parts, addressing: &Addressing) -> Result<Self, S3Error> {
        let path = head.uri.path();
        let path = path.strip_prefix('/').unwrap_or(path);
        let in_host = host(head).and_then(|host| addressing.bucket_of(host));
        let (bucket, key) = match &in_host {
            Some(bucket) => (bucket.as_str(), path),
            None => path.split_once('/').unwrap_or((path, "")),
        };
        if bucket.is_empty() && key.is_empty() {
            return Ok(Self::Service);
        }
        let bucket = BucketName::parse(&decode_path(bucket)?)?;
        if key.is_empty() {
            return Ok(Self::Bucket(bucket));
        }
        Ok(Self::Object(bucket, ObjectKey::parse(&decode_path(key)?)?))
    }

    /// The bucket, if it names one.
    #[must_use]
    pub const fn bucket(&self) -> Option<&BucketName> {
        match self {
            Self::Service => None,
            Self::Bucket(bucket) | Self::Object(bucket, _) => Some(bucket),
        }
    }

    /// The key, if it names one.
    #[must_use]
    pub const fn key(&self) -> Option<&ObjectKey> {
        match self {
            Self::Object(_, key) => Some(key),
            _ => None,
        }
    }
}

/// The host that a request was sent to.
#[must_use]
pub fn host(head: &Parts) -> Option<&str> {
    head.uri
        .host()
        .or_else(|| head.headers.get(HOST).and_then(|value| value.to_str().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::error::ErrorCode;

    fn target(uri: &str, host: &str, domains: &[&str]) -> Result<Target, S3Error> {
        let (head, ()) = http::Request::get(uri)
            .header(HOST, host)
            .body(())
            .unwrap()
            .into_parts();
        Target::of(
            &head,
            &Addressing::new(domains.iter().map(|d| (*d).to_owned())),
        )
    }

    fn object(bucket: &str, key: &str) -> Target {
        Target::Object(
            BucketName::parse(bucket).unwrap(),
            ObjectKey::parse(key).unwrap(),
        )
    }

    #[test]
    fn a_path_names_bucket_and_key() {
        let bucket = Target::Bucket(BucketName::parse("buc").unwrap());
        for (path, expected) in [
            ("/", Target::Service),
            ("/buc", bucket.clone()),
            ("/buc/", bucket),
            ("/buc/k", object("buc", "k")),
            ("/buc//", object("buc", "/")),
            ("/buc//k", object("buc", "/k")),
            ("/buc/a//b/", object("buc", "a//b/")),
            ("/buc/../other/k", object("buc", "../other/k")),
            ("/buc/%2e%2e/%2E", object("buc", "../.")),
            ("/buc/./k", object("buc", "./k")),
            ("/buc/a+b%2Bc%2520", object("buc", "a+b+c%20")),
            ("/buc/%F0%9F%A6%80%00", object("buc", "🦀\0")),
        ] {
            assert_eq!(
                target(path, "localhost:9000", &[]).unwrap(),
                expected,
                "{path}"
            );
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = format!("/buc/{}", "k".repeat(1025));
        for (path, code) in [
            ("/BUC/k", ErrorCode::InvalidBucketName),
            ("//k", ErrorCode::InvalidBucketName),
            ("/b%2Fc/k", ErrorCode::InvalidBucketName),
            ("/../k", ErrorCode::InvalidBucketName),
            ("/buc/%FF", ErrorCode::InvalidURI),
            ("/buc/%C3%28", ErrorCode::InvalidURI),
            ("/buc/100%", ErrorCode::InvalidURI),
            (&long, ErrorCode::KeyTooLongError),
        ] {
            assert_eq!(
                target(path, "localhost", &[]).unwrap_err().code(),
                code,
                "{path}"
            );
        }
        let longest = format!("/buc/{}", "%6B".repeat(1024));
        assert!(
            target(&longest, "localhost", &[]).is_ok(),
            "the decoded key counts"
        );
    }

    #[test]
    fn a_host_names_a_bucket_only_under_a_configured_domain() {
        let domains = ["s3.example.com"];
        let cases = [
            ("buc.s3.example.com", "/k", object("buc", "k")),
            (
                "BUC.S3.example.com:9000",
                "/other/k",
                object("buc", "other/k"),
            ),
            ("a.b.s3.example.com", "/k", object("a.b", "k")),
            ("s3.example.com", "/buc/k", object("buc", "k")),
            ("xs3.example.com", "/buc/k", object("buc", "k")),
            ("buc.elsewhere.com", "/buc/k", object("buc", "k")),
        ];
        for (host, path, expected) in cases {
            assert_eq!(
                target(path, host, &domains).unwrap(),
                expected,
                "{host}{path}"
            );
        }
        let nested = ["example.com", "s3.example.com"];
        for (host, expected) in [
            ("buc.s3.example.com", object("buc", "other/k")),
            ("s3.example.com:80", object("other", "k")),
            ("example.com", object("other", "k")),
            ("buc.example.com.", object("buc", "other/k")),
            ("a.b.example.com", object("a.b", "other/k")),
            ("[::1]:9000", object("other", "k")),
            ("", object("other", "k")),
        ] {
            for domains in [nested, [nested[1], nested[0]]] {
                let found = target("/other/k", host, &domains);
                assert_eq!(found.unwrap(), expected, "{host} {domains:?}");
            }
        }
        let bucket = Target::Bucket(BucketName::parse("buc").unwrap());
        assert_eq!(target("/", "buc.s3.example.com", &domains).unwrap(), bucket);
        assert_eq!(
            target("//", "buc.s3.example.com", &domains).unwrap(),
            object("buc", "/")
        );
    }
}
