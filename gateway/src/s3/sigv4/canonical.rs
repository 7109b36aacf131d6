//! The canonical request: the one form of a request that both sides sign.
//!
//! Path and query are decoded once and encoded again with S3's own set (everything but letters,
//! digits and `-._~`, and in a path `/`), so that a client that sends `%7E` or `!` signs the same
//! as one that sends `~` or `%21`. Nothing is normalised: `//`, `.` and `..` are bytes of a key.
//! Header values lose outer spaces, and inner runs of spaces become one; a header that is sent
//! several times is joined with commas. Only the space counts as space, as at S3.

use http::{HeaderMap, Method};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

/// All but RFC 3986's unreserved characters.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// As [`QUERY`], but a slash separates.
const PATH: &AsciiSet = &QUERY.remove(b'/');

/// A path as S3 signs it. `raw` is as it came over the wire: still encoded, never normalised.
#[must_use]
pub fn encode_path(raw: &str) -> String {
    let decoded: Vec<u8> = percent_decode_str(raw).collect();
    percent_encode(&decoded, PATH).to_string()
}

/// A query name or value as S3 signs it. `decoded` is its bytes.
#[must_use]
pub fn encode_query_component(decoded: &[u8]) -> String {
    percent_encode(decoded, QUERY).to_string()
}

/// Names and values of a query, decoded, in the order in which they came. A `+` is a space, as it
/// is to every signer that parses its query as a form (the official one does); a plus is `%2B`. A
/// name without `=` has an empty value.
#[must_use]
pub fn decode_query(raw: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).collect();
    raw.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

/// The canonical query: all parameters but the signature itself, encoded, then sorted.
pub(super) fn canonical_query(parameters: &[(Vec<u8>, Vec<u8>)]) -> String {
    let mut encoded: Vec<(String, String)> = parameters
        .iter()
        .filter(|(name, _)| name != SIGNATURE_PARAMETER)
        .map(|(name, value)| (encode_query_component(name), encode_query_component(value)))
        .collect();
    encoded.sort_unstable();
    let pairs: Vec<String> = encoded
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

/// The value of header `name` as it is signed: all its lines, each trimmed, joined with commas.
pub(super) fn canonical_header_value(headers: &HeaderMap, name: &str) -> Vec<u8> {
    let mut joined = Vec::new();
    for (line, value) in headers.get_all(name).iter().enumerate() {
        if line > 0 {
            joined.push(b',');
        }
        append_with_spaces_folded(&mut joined, value.as_bytes());
    }
    joined
}

fn append_with_spaces_folded(into: &mut Vec<u8>, value: &[u8]) {
    let words = value
        .split(|&byte| byte == b' ')
        .filter(|word| !word.is_empty());
    for (index, word) in words.enumerate() {
        if index > 0 {
            into.push(b' ');
        }
        into.extend_from_slice(word);
    }
}

/// The canonical request. `signed_headers` are lower-case, sorted and without repeats.
pub(super) fn canonical_request(
    method: &Method,
    raw_path: &str,
    parameters: &[(Vec<u8>, Vec<u8>)],
    headers: &HeaderMap,
    signed_headers: &[String],
    payload_hash: &str,
) -> Vec<u8> {
    let mut request = Vec::with_capacity(1024);
    for line in [
        method.as_str(),
        &encode_path(raw_path),
        &canonical_query(parameters),
    ] {
        request.extend_from_slice(line.as_bytes());
        request.push(b'\n');
    }
    for name in signed_headers {
        request.extend_from_slice(name.as_bytes());
        request.push(b':');
        request.extend_from_slice(&canonical_header_value(headers, name));
        request.push(b'\n');
    }
    request.push(b'\n');
    request.extend_from_slice(signed_headers.join(";").as_bytes());
    request.push(b'\n');
    request.extend_from_slice(payload_hash.as_bytes());
    request
}

/// The one parameter that can't be part of what it signs.
const SIGNATURE_PARAMETER: &[u8] = b"X-Amz-Signature";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_encoded_once_and_never_normalised() {
        for (raw, canonical) in [
            ("/", "/"),
            ("/b/a b", "/b/a%20b"),
            ("/b/a%20b", "/b/a%20b"),
            ("/b/%7Ea~%2f", "/b/~a~/"),
            ("/b//x/../y/./", "/b//x/../y/./"),
            ("/b/test$file.text", "/b/test%24file.text"),
            ("/b/a+b", "/b/a%2Bb"),
            ("/b/%2520", "/b/%2520"),
            ("/b/100%", "/b/100%25"),
            ("/b/%C3%A9", "/b/%C3%A9"),
            ("/b/é", "/b/%C3%A9"),
        ] {
            assert_eq!(encode_path(raw), canonical, "{raw}");
        }
    }

    #[test]
    fn a_query_is_sorted_by_its_encoded_form() {
        let canonical = |raw| canonical_query(&decode_query(raw));
        assert_eq!(canonical("prefix=J&max-keys=2"), "max-keys=2&prefix=J");
        assert_eq!(canonical("lifecycle"), "lifecycle=");
        assert_eq!(canonical("a=2&a=1&A=3&"), "A=3&a=1&a=2");
        assert_eq!(
            canonical("a=b+c&a=b%20c&a=b%2Bc"),
            "a=b%20c&a=b%20c&a=b%2Bc"
        );
        assert_eq!(canonical("k=a=b&k=%3D"), "k=%3D&k=a%3Db");
        assert_eq!(canonical("x=1&X-Amz-Signature=abc"), "x=1");
        assert_eq!(canonical(""), "");
    }

    #[test]
    fn header_values_are_trimmed_folded_and_joined() {
        let mut headers = HeaderMap::new();
        for value in ["  a   b ", "\tc\t", ""] {
            headers.append("x-amz-meta-m", value.parse().unwrap());
        }
        assert_eq!(
            canonical_header_value(&headers, "x-amz-meta-m"),
            b"a b,\tc\t,"
        );
        assert_eq!(canonical_header_value(&headers, "absent"), b"");
    }
}
