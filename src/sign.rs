//! Signs the requests of our own clients with SigV4, in the header: to the admin API and to S3.
//!
//! Only what our own client sends: no header twice, no spaces to fold, a query that is in order.

use hmac::{Hmac, KeyInit, Mac};
use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};

/// Who asks.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
}

/// What is signed.
pub(crate) struct ToSign<'a> {
    pub(crate) method: &'a Method,
    pub(crate) host: &'a str,
    /// Encoded, without the query.
    pub(crate) path: &'a str,
    /// `name=value` pairs, encoded, in order of their names.
    pub(crate) query: &'a str,
    /// The body's hash, or S3's word for a body that is not signed.
    pub(crate) content_sha256: &'a str,
    pub(crate) service: &'a str,
    pub(crate) region: &'a str,
    /// Seconds since 1970.
    pub(crate) now_secs: u64,
}

/// The headers that make it signed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Signed {
    pub(crate) date: String,
    pub(crate) authorization: String,
}

/// Signs a request.
pub(crate) fn sign(key: &Key, request: &ToSign<'_>) -> Signed {
    let date = amz_date(request.now_secs);
    let day = &date[..8];
    // A parameter without a value is signed with an empty one.
    let query = match request.query {
        "" => String::new(),
        query => query
            .split('&')
            .map(|pair| {
                if pair.contains('=') {
                    pair.to_owned()
                } else {
                    format!("{pair}=")
                }
            })
            .collect::<Vec<String>>()
            .join("&"),
    };
    let canonical = format!(
        "{}\n{}\n{query}\nhost:{}\nx-amz-content-sha256:{}\nx-amz-date:{date}\n\n\
         {SIGNED_HEADERS}\n{}",
        request.method, request.path, request.host, request.content_sha256, request.content_sha256
    );
    let scope = format!("{day}/{}/{}/aws4_request", request.region, request.service);
    let to_sign = format!(
        "{ALGORITHM}\n{date}\n{scope}\n{}",
        hex::encode(Sha256::digest(canonical.as_bytes()))
    );
    let secret = format!("AWS4{}", key.secret_key);
    let signing_key = [day, request.region, request.service, "aws4_request"]
        .iter()
        .fold(secret.into_bytes(), |key, part| hmac(&key, part));
    let signature = hex::encode(hmac(&signing_key, &to_sign));
    let authorization = format!(
        "{ALGORITHM} Credential={}/{scope}, SignedHeaders={SIGNED_HEADERS}, Signature={signature}",
        key.access_key
    );
    Signed {
        date,
        authorization,
    }
}

/// The hash that a signed body is announced with.
pub(crate) fn sha256_hex(body: &[u8]) -> String {
    hex::encode(Sha256::digest(body))
}

/// A text as one segment of a path or one value of a query.
pub(crate) fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

fn hmac(key: &[u8], message: &str) -> Vec<u8> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length, even none");
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// `20130524T000000Z`.
pub(crate) fn amz_date(now_secs: u64) -> String {
    let (year, month, day) = civil(now_secs / 86_400);
    let second = now_secs % 86_400;
    format!(
        "{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// Year, month and day of a day counted from 1970-01-01.
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
pub(crate) fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const SIGNED_HEADERS: &str = "host;x-amz-content-sha256;x-amz-date";
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use aws_credential_types::Credentials;
    use aws_sigv4::http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
        UriPathNormalizationMode,
    };
    use aws_sigv4::sign::v4;
    use holdfast_gateway::admin::ADMIN_SERVICE;

    use super::*;

    #[test]
    fn days_are_dates() {
        for (secs, text) in [
            (0, "19700101T000000Z"),
            (951_782_400, "20000229T000000Z"),
            (1_369_353_600, "20130524T000000Z"),
            (1_709_251_199, "20240229T235959Z"),
            (4_102_444_800, "21000101T000000Z"),
        ] {
            assert_eq!(amz_date(secs), text);
        }
    }

    #[test]
    fn the_official_signer_signs_the_same() {
        let key = Key {
            access_key: "AKIDEXAMPLE".to_owned(),
            secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
        };
        for (method, path, query, body) in [
            (Method::GET, "/admin/v1/status", "", ""),
            (Method::GET, "/admin/v1/buckets", "after=my-bucket", ""),
            (Method::GET, "/readyz", "writes", ""),
            (Method::POST, "/admin/v1/keys", "", r#"{"description":"a"}"#),
            (Method::DELETE, "/admin/v1/keys/A.B_C-D", "", ""),
        ] {
            let now_secs = 1_767_225_600;
            let ours = sign(
                &key,
                &ToSign {
                    method: &method,
                    host: "127.0.0.1:9001",
                    path,
                    query,
                    content_sha256: &sha256_hex(body.as_bytes()),
                    service: ADMIN_SERVICE,
                    region: "us-east-1",
                    now_secs,
                },
            );
            let theirs = official(&key, &method, path, query, body, now_secs);
            assert_eq!(ours.authorization, theirs, "{method} {path}?{query}");
        }
    }

    fn official(
        key: &Key,
        method: &Method,
        path: &str,
        query: &str,
        body: &str,
        now_secs: u64,
    ) -> String {
        let identity =
            Credentials::new(&key.access_key, &key.secret_key, None, None, "test").into();
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region("us-east-1")
            .name(ADMIN_SERVICE)
            .time(UNIX_EPOCH + Duration::from_secs(now_secs))
            .settings(settings)
            .build()
            .unwrap()
            .into();
        let uri = match query {
            "" => format!("http://127.0.0.1:9001{path}"),
            query => format!("http://127.0.0.1:9001{path}?{query}"),
        };
        let headers = [("host", "127.0.0.1:9001")];
        let request = SignableRequest::new(
            method.as_str(),
            &uri,
            headers.into_iter(),
            SignableBody::Bytes(body.as_bytes()),
        )
        .unwrap();
        let (instructions, _) = aws_sigv4::http_request::sign(request, &params)
            .unwrap()
            .into_parts();
        let (headers, _) = instructions.into_parts();
        let authorization = headers
            .iter()
            .find(|header| header.name() == "authorization");
        authorization.unwrap().value().to_owned()
    }
}
