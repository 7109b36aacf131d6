//! The headers of server-side encryption, in AWS's order and words.
//!
//! A customer's key is three headers or none: algorithm, key and the key's MD5. Nothing of a key
//! gets into an error.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use holdfast_sealing::CustomerKey;
use http::HeaderName;
use md5::{Digest, Md5};

use crate::s3::error::{ErrorCode, S3Error};
use crate::s3::head::Headers;
use crate::s3::header;
use crate::s3::op::WriteEncryption;

/// Of a write that makes an object, or begins one.
pub(super) fn of_write(headers: &Headers) -> Result<WriteEncryption, S3Error> {
    let by_server = by_server(headers)?;
    match (by_server, customer_key(headers)?) {
        (true, Some(_)) => Err(S3Error::invalid_argument(
            "Server Side Encryption with Customer provided key is incompatible with the encryption \
             method specified",
            header::ENCRYPTION.as_str(),
            "AES256",
        )),
        (true, None) => Ok(WriteEncryption::ServerKey),
        (false, Some(key)) => Ok(WriteEncryption::CustomerKey(key)),
        (false, None) => Ok(WriteEncryption::BucketDefault),
    }
}

fn by_server(headers: &Headers) -> Result<bool, S3Error> {
    let name = header::ENCRYPTION;
    check_bucket_key(headers)?;
    match headers.get(&name)? {
        None => Ok(false),
        Some("AES256") => Ok(true),
        Some(kms @ ("aws:kms" | "aws:kms:dsse" | "aws:fsx")) => {
            Err(S3Error::header_not_implemented(name.as_str(), kms))
        }
        Some(other) => Err(S3Error::invalid_argument(
            "The encryption method specified is not supported",
            name.as_str(),
            other,
        )),
    }
}

/// It means something for AWS's key service only.
fn check_bucket_key(headers: &Headers) -> Result<(), S3Error> {
    let name = header::ENCRYPTION_BUCKET_KEY;
    match headers.get(&name)? {
        None | Some("true" | "false") => Ok(()),
        Some(other) => Err(S3Error::invalid_argument(
            "The value must be true or false",
            name.as_str(),
            other,
        )),
    }
}

/// The key of what is written or read.
pub(super) fn customer_key(headers: &Headers) -> Result<Option<CustomerKey>, S3Error> {
    key_of(
        headers,
        &[
            header::CUSTOMER_ALGORITHM,
            header::CUSTOMER_KEY,
            header::CUSTOMER_KEY_MD5,
        ],
    )
}

/// The key of what is copied.
pub(super) fn source_key(headers: &Headers) -> Result<Option<CustomerKey>, S3Error> {
    key_of(
        headers,
        &[
            header::COPY_SOURCE_CUSTOMER_ALGORITHM,
            header::COPY_SOURCE_CUSTOMER_KEY,
            header::COPY_SOURCE_CUSTOMER_KEY_MD5,
        ],
    )
}

fn key_of(
    headers: &Headers,
    [algorithm, key, md5]: &[HeaderName; 3],
) -> Result<Option<CustomerKey>, S3Error> {
    let given = (
        headers.get(algorithm)?,
        headers.get(key)?,
        headers.get(md5)?,
    );
    let (given_algorithm, given_key, given_md5) = match given {
        (None, None, None) => return Ok(None),
        (_, None, _) => return Err(missing(key, "an appropriate secret key")),
        (_, _, None) => {
            let what = "the client calculated MD5 of the secret key";
            return Err(missing(md5, what));
        }
        (None, _, _) => return Err(missing(algorithm, "a valid encryption algorithm")),
        (Some(algorithm), Some(key), Some(md5)) => (algorithm, key, md5),
    };
    if given_algorithm != "AES256" {
        return Err(S3Error::new(ErrorCode::InvalidEncryptionAlgorithmError)
            .with("ArgumentName", algorithm.as_str())
            .with("ArgumentValue", given_algorithm));
    }
    let bytes = STANDARD.decode(given_key).ok();
    let parsed = bytes.as_deref().and_then(CustomerKey::new).ok_or_else(|| {
        let message = "The secret key was invalid for the specified algorithm.";
        S3Error::invalid_argument(message, key.as_str(), "null")
    })?;
    if STANDARD.encode(Md5::digest(parsed.bytes())) != given_md5 {
        let message =
            "The calculated MD5 hash of the key did not match the hash that was provided.";
        return Err(S3Error::invalid_argument(message, md5.as_str(), "null"));
    }
    Ok(Some(parsed))
}

fn missing(header: &HeaderName, what: &str) -> S3Error {
    let message = format!(
        "Requests specifying Server Side Encryption with Customer provided keys must provide {what}."
    );
    S3Error::invalid_argument(message, header.as_str(), "null")
}

/// Refuses the wish for encryption where nothing is written, as AWS does.
pub(super) fn refuse_on_reads(headers: &Headers) -> Result<(), S3Error> {
    match headers.get(&header::ENCRYPTION)? {
        None => Ok(()),
        Some(value) => Err(S3Error::invalid_argument(
            "x-amz-server-side-encryption header is not supported for this operation.",
            header::ENCRYPTION.as_str(),
            value,
        )),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;

    const KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    const MD5: &str = "KYvwGXoFFJ42a2u2GDWhwQ==";
    const FAMILY: &str = "x-amz-server-side-encryption";

    fn headers(pairs: &[(&str, &str)]) -> Result<Headers, S3Error> {
        let pairs = pairs.iter().map(|(name, value)| {
            let name = format!("{FAMILY}{name}");
            (
                name.parse::<HeaderName>().unwrap(),
                HeaderValue::from_str(value).unwrap(),
            )
        });
        Headers::of_form(pairs.collect::<HeaderMap>())
    }

    fn of(pairs: &[(&str, &str)]) -> Result<WriteEncryption, (ErrorCode, String)> {
        let told = |error: S3Error| (error.code(), error.text().to_owned());
        of_write(&headers(pairs).map_err(told)?).map_err(told)
    }

    #[test]
    fn encryption_is_asked_for_in_three_ways() {
        assert_eq!(of(&[]), Ok(WriteEncryption::BucketDefault));
        assert_eq!(of(&[("", "AES256")]), Ok(WriteEncryption::ServerKey));
        let bucket_key = ("-bucket-key-enabled", "true");
        assert_eq!(
            of(&[("", "AES256"), bucket_key]),
            Ok(WriteEncryption::ServerKey)
        );
        let key = CustomerKey::new(b"01234567890123456789012345678901").unwrap();
        let triple = [
            ("-customer-algorithm", "AES256"),
            ("-customer-key", KEY),
            ("-customer-key-md5", MD5),
        ];
        assert_eq!(of(&triple), Ok(WriteEncryption::CustomerKey(key)));
    }

    #[test]
    fn what_is_wrong_is_said_in_aws_words_and_shows_no_key() {
        use ErrorCode::{InvalidArgument, InvalidEncryptionAlgorithmError, NotImplemented};
        let algorithm = ("-customer-algorithm", "AES256");
        let (key, md5) = (("-customer-key", KEY), ("-customer-key-md5", MD5));
        type Case<'a> = (&'a [(&'a str, &'a str)], ErrorCode, &'a str);
        let cases: &[Case<'_>] = &[
            (&[("", "aws:kms")], NotImplemented, ""),
            (&[("", "aws:kms:dsse")], NotImplemented, ""),
            (&[("-aws-kms-key-id", "k")], NotImplemented, ""),
            (&[("-context", "e30=")], NotImplemented, ""),
            (
                &[("", "aes256")],
                InvalidArgument,
                "The encryption method specified",
            ),
            (
                &[("", "")],
                InvalidArgument,
                "The encryption method specified",
            ),
            (
                &[("", "AES256"), ("-bucket-key-enabled", "maybe")],
                InvalidArgument,
                "true or false",
            ),
            (
                &[("", "AES256"), algorithm, key, md5],
                InvalidArgument,
                "incompatible with",
            ),
            (&[algorithm], InvalidArgument, "an appropriate secret key."),
            (
                &[algorithm, md5],
                InvalidArgument,
                "an appropriate secret key.",
            ),
            (&[algorithm, key], InvalidArgument, "MD5 of the secret key."),
            (
                &[key, md5],
                InvalidArgument,
                "a valid encryption algorithm.",
            ),
            (
                &[("-customer-algorithm", "AES128"), key, md5],
                InvalidEncryptionAlgorithmError,
                "The valid value is AES256.",
            ),
            (
                &[algorithm, ("-customer-key", "c2hvcnQ="), md5],
                InvalidArgument,
                "The secret key was invalid",
            ),
            (
                &[algorithm, ("-customer-key", "no base64"), md5],
                InvalidArgument,
                "The secret key was invalid",
            ),
            (
                &[
                    algorithm,
                    key,
                    ("-customer-key-md5", "AAAAAAAAAAAAAAAAAAAAAA=="),
                ],
                InvalidArgument,
                "The calculated MD5 hash of the key did not match",
            ),
        ];
        for (pairs, code, words) in cases {
            let (found, message) = of(pairs).unwrap_err();
            assert_eq!(found, *code, "{pairs:?}");
            assert!(message.contains(words), "{pairs:?}: {message}");
            assert!(!message.contains(KEY));
        }
        let both_twice = headers(&[("", "AES256")]).unwrap();
        let error = refuse_on_reads(&both_twice).unwrap_err();
        assert_eq!(error.code(), InvalidArgument);
    }
}
