//! Text in and out of URLs: decoding a path once, encoding names for listings, tokens.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::error::{ErrorCode, S3Error};
use super::op::ListPosition;

/// Decodes `%XX` exactly once. `+` is a plus: a path is no form.
///
/// # Errors
/// `InvalidURI` for a `%` without two hex digits, or bytes that are not UTF-8.
pub fn decode_path(raw: &str) -> Result<String, S3Error> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let (high, low) = (
            bytes.next().and_then(hex_digit),
            bytes.next().and_then(hex_digit),
        );
        match (high, low) {
            (Some(high), Some(low)) => decoded.push(high << 4 | low),
            _ => return Err(S3Error::new(ErrorCode::InvalidURI).with("URI", raw)),
        }
    }
    String::from_utf8(decoded).map_err(|_| S3Error::new(ErrorCode::InvalidURI).with("URI", raw))
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

/// Encodes a name for a listing with `encoding-type=url`, so that every decoder in use reads the
/// same: a slash stays, a space is `%20` (AWS writes `+`, which a decoder of paths would keep).
#[must_use]
pub fn encode_name(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len() + 16);
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' | b'/' => {
                encoded.push(char::from(byte));
            }
            // Writing to a String can't fail.
            other => {
                let _infallible = write!(encoded, "%{other:02X}");
            }
        }
    }
    encoded
}

/// Whether XML 1.0 has no way to write this character, not even as a reference.
#[must_use]
pub const fn is_forbidden_in_xml(character: char) -> bool {
    !matches!(character,
        '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}'
        | '\u{10000}'..='\u{10FFFF}')
}

/// Whether XML 1.0 can carry this text.
#[must_use]
pub fn fits_xml(text: &str) -> bool {
    !text.chars().any(is_forbidden_in_xml)
}

/// The first byte of a token, so that a later form can be told apart.
const TOKEN_VERSION: u8 = 1;
/// The longest token that is looked at: a position is a key (1024 bytes) and a little more.
const MAX_TOKEN_LEN: usize = 4096;

/// The continuation token for a position. Opaque to clients; nothing in it is trusted.
#[must_use]
pub fn token(position: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(1 + position.len());
    bytes.push(TOKEN_VERSION);
    bytes.extend_from_slice(position);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The position that a continuation token stands for.
///
/// # Errors
/// `InvalidArgument` for a text that is no token of ours.
pub fn position(token: &str) -> Result<ListPosition, S3Error> {
    let decoded = (token.len() <= MAX_TOKEN_LEN)
        .then(|| URL_SAFE_NO_PAD.decode(token).ok())
        .flatten();
    match decoded.as_deref() {
        Some([TOKEN_VERSION, position @ ..]) => Ok(ListPosition(position.to_vec())),
        _ => Err(S3Error::invalid_argument(
            "The continuation token provided is incorrect",
            "continuation-token",
            token,
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_decoded_once() {
        for (raw, decoded) in [
            ("a%20b", "a b"),
            ("a+b", "a+b"),
            ("%2520", "%20"),
            ("%2e%2E/%2F", "..//"),
            ("%00%01", "\0\u{1}"),
            ("%F0%9F%A6%80", "🦀"),
        ] {
            assert_eq!(decode_path(raw).unwrap(), decoded, "{raw}");
        }
        for bad in ["%", "%4", "%zz", "a%2", "%FF", "%C3", "%+1"] {
            let error = decode_path(bad).unwrap_err();
            assert_eq!(error.code(), ErrorCode::InvalidURI, "{bad}");
        }
    }

    #[test]
    fn names_survive_encoding_whatever_their_bytes() {
        assert_eq!(encode_name("a/b c+d%&é\u{1}"), "a/b%20c%2Bd%25%26%C3%A9%01");
        for name in ["a/b c+d", "\0\u{1}\r\n", "🦀", "test_file(3).png"] {
            assert_eq!(decode_path(&encode_name(name)).unwrap(), name);
        }
    }

    #[test]
    fn xml_can_not_carry_control_characters() {
        assert!(fits_xml("tab\tnewline\ncr\r é 🦀"));
        for bad in ["\0", "\u{1}", "\u{b}", "\u{1f}", "\u{fffe}", "\u{ffff}"] {
            assert!(!fits_xml(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_token_leads_back_to_its_position() {
        for at in [&b""[..], b"a/b", "é\0🦀".as_bytes()] {
            assert_eq!(position(&token(at)).unwrap().0, at);
        }
        for bad in ["", "!", "a", "AA", &"A".repeat(5000)] {
            let error = position(bad).unwrap_err();
            assert_eq!(error.code(), ErrorCode::InvalidArgument, "{bad}");
        }
    }
}
