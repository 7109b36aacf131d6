//! `Range: bytes=`, parsed and resolved against an object's length.
//!
//! As AWS does it: what is no valid single range of bytes (another unit, several ranges, `b-a` with
//! `b > a`) is ignored and the whole object is sent; a valid range that holds no byte of the object
//! is 416.

use std::ops::Range;

use crate::s3::error::S3Error;

/// One range of bytes, as the client wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteRange {
    /// `bytes=first-last`: both ends included; `first <= last`.
    FromTo {
        /// The first byte.
        first: u64,
        /// The last byte, which may lie past the end.
        last: u64,
    },
    /// `bytes=first-`.
    From {
        /// The first byte.
        first: u64,
    },
    /// `bytes=-len`: the last `len` bytes.
    Last {
        /// How many; more than there are means all.
        len: u64,
    },
}

impl ByteRange {
    /// Reads the header's value. `None`: to be ignored.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (unit, spec) = text.trim().split_once('=')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (first, last) = spec.trim().split_once('-')?;
        match (first.trim(), last.trim()) {
            ("", len) => Some(Self::Last { len: number(len)? }),
            (first, "") => Some(Self::From {
                first: number(first)?,
            }),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::FromTo { first, last })
            }
        }
    }

    /// The bytes of an object of `object_len` bytes that it names: never empty.
    ///
    /// # Errors
    /// `InvalidRange` with `Content-Range: bytes */object_len` if it names none.
    pub fn resolve(self, object_len: u64) -> Result<Range<u64>, S3Error> {
        let range = match self {
            Self::FromTo { first, last } => first..last.saturating_add(1).min(object_len),
            Self::From { first } => first..object_len,
            Self::Last { len } => object_len.saturating_sub(len)..object_len,
        };
        if range.is_empty() {
            return Err(S3Error::invalid_range(&self.text(), object_len));
        }
        Ok(range)
    }

    /// As the client would write it.
    #[must_use]
    pub fn text(self) -> String {
        match self {
            Self::FromTo { first, last } => format!("bytes={first}-{last}"),
            Self::From { first } => format!("bytes={first}-"),
            Self::Last { len } => format!("bytes=-{len}"),
        }
    }
}

/// Digits only: `parse` alone would take a `+`. A number past `u64` lies past every object's end.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::error::ErrorCode;

    #[test]
    fn ranges_name_the_bytes_they_say() {
        let cases = [
            ("bytes=0-0", 10, 0..1),
            ("bytes=0-9", 10, 0..10),
            ("bytes=0-99", 10, 0..10),
            ("bytes=3-5", 10, 3..6),
            ("bytes=3-", 10, 3..10),
            ("bytes=-3", 10, 7..10),
            ("bytes=-99", 10, 0..10),
            ("BYTES = 3 - 5", 10, 3..6),
            ("bytes=9-18446744073709551615", 10, 9..10),
            ("bytes=9-99999999999999999999999", 10, 9..10),
        ];
        for (text, len, expected) in cases {
            assert_eq!(
                ByteRange::parse(text).unwrap().resolve(len).unwrap(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn a_range_without_a_byte_is_416() {
        for (text, len) in [
            ("bytes=10-", 10),
            ("bytes=10-20", 10),
            ("bytes=-0", 10),
            ("bytes=0-", 0),
            ("bytes=-5", 0),
            ("bytes=0-0", 0),
        ] {
            let error = ByteRange::parse(text).unwrap().resolve(len).unwrap_err();
            assert_eq!(error.code(), ErrorCode::InvalidRange, "{text}");
            assert_eq!(error.extra("ActualObjectSize"), Some(&*len.to_string()));
        }
    }

    #[test]
    fn what_is_no_single_range_of_bytes_is_ignored() {
        for text in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=5-3",
            "bytes=0-1,3-4",
            "items=0-1",
            "bytes=a-b",
            "bytes=+1-2",
            "bytes=--1",
            "bytes=1-2-3",
            "0-5",
        ] {
            assert_eq!(ByteRange::parse(text), None, "{text:?}");
        }
    }
}
