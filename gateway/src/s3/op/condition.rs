//! Conditional reads and writes.
//!
//! The edge only parses; whether a condition holds is decided by the store, for a write inside its
//! transaction. [`ReadConditions::check`] is the one place that knows the order in which RFC 9110
//! (13.2.2) and AWS evaluate them.

use crate::s3::error::S3Error;
use crate::s3::time::Timestamp;

/// An entity tag, without its quotes: 32 hex digits, with `-<parts>` after them for a multipart
/// object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ETag(String);

impl ETag {
    /// The tag of a plain object or a part: its MD5.
    #[must_use]
    pub fn from_md5(md5: &[u8; 16]) -> Self {
        Self(hex::encode(md5))
    }

    /// A tag that is already text, with or without quotes.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        let text = text.trim();
        let inner = text
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        Self(inner.unwrap_or(text).to_owned())
    }

    /// The tag without quotes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tag in quotes, as it is sent.
    #[must_use]
    pub fn quoted(&self) -> String {
        format!("\"{}\"", self.0)
    }
}

/// What an If-Match or If-None-Match names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ETagCondition {
    /// `*`: any object at all.
    Any,
    /// One of these.
    OneOf(Vec<ETag>),
}

impl ETagCondition {
    /// Whether it names the object of this tag.
    #[must_use]
    pub fn names(&self, etag: &ETag) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(tags) => tags.contains(etag),
        }
    }
}

/// The conditions of a read, or of a copy on its source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadConditions {
    /// Go on only if the object is one of these.
    pub if_match: Option<ETagCondition>,
    /// Go on only if the object is none of these.
    pub if_none_match: Option<ETagCondition>,
    /// Go on only if the object is newer.
    pub if_modified_since: Option<Timestamp>,
    /// Go on only if the object is not newer.
    pub if_unmodified_since: Option<Timestamp>,
}

/// What the conditions of a read come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All hold.
    Proceed,
    /// The client has it already: a read answers 304.
    NotModified {
        /// The condition's header, in lower case.
        condition: &'static str,
    },
    /// A condition does not hold: 412.
    Failed {
        /// The condition's header, as AWS writes it.
        condition: &'static str,
    },
}

impl ReadConditions {
    /// Evaluates them in the order of RFC 9110: an If-Match that holds makes If-Unmodified-Since
    /// void, an If-None-Match makes If-Modified-Since void.
    #[must_use]
    pub fn check(&self, etag: &ETag, last_modified: Timestamp) -> Verdict {
        let modified = last_modified.as_seconds();
        match (&self.if_match, self.if_unmodified_since) {
            (Some(condition), _) if !condition.names(etag) => {
                return Verdict::Failed {
                    condition: "If-Match",
                };
            }
            (None, Some(since)) if modified > since.as_seconds() => {
                return Verdict::Failed {
                    condition: "If-Unmodified-Since",
                };
            }
            _ => {}
        }
        match (&self.if_none_match, self.if_modified_since) {
            (Some(condition), _) if condition.names(etag) => Verdict::NotModified {
                condition: "If-None-Match",
            },
            (None, Some(since)) if modified <= since.as_seconds() => Verdict::NotModified {
                condition: "If-Modified-Since",
            },
            _ => Verdict::Proceed,
        }
    }

    /// [`Self::check`] as a read answers it: 304 or 412.
    ///
    /// # Errors
    /// `NotModified` or `PreconditionFailed`.
    pub fn check_read(&self, etag: &ETag, last_modified: Timestamp) -> Result<(), S3Error> {
        match self.check(etag, last_modified) {
            Verdict::Proceed => Ok(()),
            Verdict::NotModified { .. } => Err(S3Error::not_modified(etag, last_modified)),
            Verdict::Failed { condition } => Err(S3Error::precondition_failed(condition)),
        }
    }

    /// [`Self::check`] as a copy answers it for its source: always 412.
    ///
    /// # Errors
    /// `PreconditionFailed`.
    pub fn check_copy_source(&self, etag: &ETag, last_modified: Timestamp) -> Result<(), S3Error> {
        match self.check(etag, last_modified) {
            Verdict::Proceed => Ok(()),
            Verdict::NotModified { condition } | Verdict::Failed { condition } => {
                let header = format!("x-amz-copy-source-{condition}");
                Err(S3Error::precondition_failed(&header))
            }
        }
    }
}

/// The condition of a write on the current version of its key. At most one is set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum WriteCondition {
    /// None.
    #[default]
    Always,
    /// `If-None-Match: *`: there is no current object (a delete marker is none). Else 412 with
    /// Condition `If-None-Match`.
    IfAbsent,
    /// `If-Match: *`, of a delete: there is a current object. Else 412 with `If-Match`.
    IfPresent,
    /// `If-Match: "..."`: the current object is this. Else 412 with `If-Match`, or `NoSuchKey`
    /// where there is none.
    IfETag(ETag),
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(1_000_000_500);

    fn tags(tags: &[&str]) -> Option<ETagCondition> {
        Some(ETagCondition::OneOf(
            tags.iter().map(|tag| ETag::from_text(tag)).collect(),
        ))
    }

    fn at(seconds: u64) -> Option<Timestamp> {
        Some(Timestamp::from_ms(seconds * 1000))
    }

    fn verdict(conditions: &ReadConditions) -> Verdict {
        conditions.check(&ETag::from_text("\"aa\""), NOW)
    }

    #[test]
    fn conditions_are_evaluated_in_the_order_of_the_rfc() {
        let failed = |condition| Verdict::Failed { condition };
        let not_modified = |condition| Verdict::NotModified { condition };
        let none = ReadConditions::default;
        let cases = [
            (none(), Verdict::Proceed),
            (
                ReadConditions {
                    if_match: tags(&["aa"]),
                    ..none()
                },
                Verdict::Proceed,
            ),
            (
                ReadConditions {
                    if_match: tags(&["bb", "aa"]),
                    ..none()
                },
                Verdict::Proceed,
            ),
            (
                ReadConditions {
                    if_match: tags(&["bb"]),
                    ..none()
                },
                failed("If-Match"),
            ),
            (
                ReadConditions {
                    if_none_match: tags(&["aa"]),
                    ..none()
                },
                not_modified("If-None-Match"),
            ),
            (
                ReadConditions {
                    if_none_match: Some(ETagCondition::Any),
                    ..none()
                },
                not_modified("If-None-Match"),
            ),
            (
                ReadConditions {
                    if_none_match: tags(&["bb"]),
                    ..none()
                },
                Verdict::Proceed,
            ),
            // The object's half second was never shown to the client: it does not count.
            (
                ReadConditions {
                    if_modified_since: at(1_000_000),
                    ..none()
                },
                not_modified("If-Modified-Since"),
            ),
            (
                ReadConditions {
                    if_modified_since: at(999_999),
                    ..none()
                },
                Verdict::Proceed,
            ),
            (
                ReadConditions {
                    if_unmodified_since: at(1_000_000),
                    ..none()
                },
                Verdict::Proceed,
            ),
            (
                ReadConditions {
                    if_unmodified_since: at(999_999),
                    ..none()
                },
                failed("If-Unmodified-Since"),
            ),
            (
                ReadConditions {
                    if_match: tags(&["aa"]),
                    if_unmodified_since: at(1),
                    ..none()
                },
                Verdict::Proceed,
            ),
            (
                ReadConditions {
                    if_none_match: tags(&["bb"]),
                    if_modified_since: at(2_000_000),
                    ..none()
                },
                Verdict::Proceed,
            ),
            (
                ReadConditions {
                    if_match: tags(&["bb"]),
                    if_none_match: tags(&["aa"]),
                    ..none()
                },
                failed("If-Match"),
            ),
        ];
        for (conditions, expected) in cases {
            assert_eq!(verdict(&conditions), expected, "{conditions:?}");
        }
    }

    #[test]
    fn a_read_answers_304_and_a_copy_412() {
        let etag = ETag::from_text("aa");
        let conditions = ReadConditions {
            if_none_match: Some(ETagCondition::Any),
            ..ReadConditions::default()
        };
        let read = conditions.check_read(&etag, NOW).unwrap_err();
        assert_eq!(read.status().as_u16(), 304);
        let copy = conditions.check_copy_source(&etag, NOW).unwrap_err();
        assert_eq!(copy.status().as_u16(), 412);
        assert_eq!(
            copy.extra("Condition"),
            Some("x-amz-copy-source-If-None-Match")
        );
    }
}
