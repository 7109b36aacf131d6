//! The policy of a form: until when it is good, and what the form's fields may say.
//!
//! Every field must be covered by a condition that holds, so that whoever has a signed policy can
//! send nothing that its signer did not foresee. Names are compared without case, as at AWS.

use serde::Deserialize;
use serde_json::Value;

use crate::s3::error::{ErrorCode, S3Error};
use crate::s3::time::Timestamp;

/// How long the file may be, in bytes, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeRange {
    /// At least.
    pub min: u64,
    /// At most.
    pub max: u64,
}

impl SizeRange {
    /// What is said where the file is too long.
    #[must_use]
    pub fn too_large(self) -> S3Error {
        S3Error::new(ErrorCode::EntityTooLarge)
            .with("MaxSizeAllowed", self.max.to_string())
            .closing()
    }

    /// What is said where the file, of `len` bytes, is too short.
    #[must_use]
    pub fn too_small(self, len: u64) -> S3Error {
        S3Error::new(ErrorCode::EntityTooSmall)
            .with("ProposedSize", len.to_string())
            .with("MinSizeAllowed", self.min.to_string())
            .closing()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    /// The field, in lower case, is this.
    Equal(String, String),
    /// The field begins so.
    StartsWith(String, String),
}

/// A policy that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    expires: Timestamp,
    conditions: Vec<Condition>,
    size: Option<SizeRange>,
}

#[derive(Deserialize)]
struct Document {
    expiration: Option<Value>,
    conditions: Option<Value>,
}

impl Policy {
    /// Reads a policy's JSON.
    ///
    /// # Errors
    /// `InvalidPolicyDocument`.
    pub fn parse(document: &[u8]) -> Result<Self, S3Error> {
        let document: Document =
            serde_json::from_slice(document).map_err(|_| invalid("Invalid JSON."))?;
        let expires = match document.expiration {
            Some(Value::String(text)) => Timestamp::from_iso8601(&text)
                .ok_or_else(|| invalid("Invalid 'expiration' value."))?,
            Some(_) => return Err(invalid("Invalid 'expiration' value.")),
            None => return Err(invalid("Policy missing expiration.")),
        };
        let conditions = match document.conditions {
            Some(Value::Array(conditions)) => conditions,
            Some(_) => return Err(invalid("Invalid 'conditions' value: must be a List.")),
            None => return Err(invalid("Policy missing conditions.")),
        };
        let mut policy = Self {
            expires,
            conditions: Vec::new(),
            size: None,
        };
        for condition in conditions {
            policy.add(condition)?;
        }
        Ok(policy)
    }

    fn add(&mut self, condition: Value) -> Result<(), S3Error> {
        match condition {
            Value::Object(pairs) => {
                if pairs.is_empty() {
                    return Err(invalid("Invalid Simple-Condition: no pair."));
                }
                for (name, value) in pairs {
                    let Value::String(value) = value else {
                        return Err(invalid("Invalid Simple-Condition: value must be a string."));
                    };
                    let name = name.to_ascii_lowercase();
                    self.conditions.push(Condition::Equal(name, value));
                }
                Ok(())
            }
            Value::Array(parts) => self.add_operation(&parts),
            _ => Err(invalid("Invalid condition: must be an object or a list.")),
        }
    }

    fn add_operation(&mut self, parts: &[Value]) -> Result<(), S3Error> {
        let [Value::String(operation), first, second] = parts else {
            return Err(invalid("Invalid condition: wrong number of arguments."));
        };
        let operation = operation.to_ascii_lowercase();
        if operation == "content-length-range" {
            let (Some(min), Some(max)) = (number(first), number(second)) else {
                return Err(invalid(
                    "Invalid content-length-range: must be two numbers.",
                ));
            };
            let former = self.size.unwrap_or(SizeRange {
                min: 0,
                max: u64::MAX,
            });
            // Of two ranges both must hold.
            self.size = Some(SizeRange {
                min: min.max(former.min),
                max: max.min(former.max),
            });
            return Ok(());
        }
        let (Value::String(field), Value::String(value)) = (first, second) else {
            return Err(invalid(
                "Invalid condition: field and value must be strings.",
            ));
        };
        let name = field
            .strip_prefix('$')
            .ok_or_else(|| invalid("Invalid condition: a field begins with $."))?
            .to_ascii_lowercase();
        self.conditions.push(match operation.as_str() {
            "eq" => Condition::Equal(name, value.clone()),
            "starts-with" => Condition::StartsWith(name, value.clone()),
            _ => return Err(invalid("Invalid condition: unknown operation.")),
        });
        Ok(())
    }

    /// How long the file may be.
    #[must_use]
    pub const fn size(&self) -> Option<SizeRange> {
        self.size
    }

    /// Checks that the policy is still good, that each of its conditions holds, and that each field
    /// (names in lower case) has one.
    ///
    /// # Errors
    /// `AccessDenied`, with what does not hold.
    pub fn check(&self, now: Timestamp, fields: &[(String, String)]) -> Result<(), S3Error> {
        if now > self.expires {
            return Err(denied("Policy expired.".to_owned()));
        }
        let value = |name: &str| {
            let found = fields.iter().find(|(known, _)| known == name);
            found.map_or("", |(_, value)| value.as_str())
        };
        for condition in &self.conditions {
            let holds = match condition {
                Condition::Equal(name, wanted) => value(name) == wanted,
                Condition::StartsWith(name, begin) => value(name).starts_with(begin.as_str()),
            };
            if !holds {
                return Err(denied(format!(
                    "Policy Condition failed: {}",
                    condition.text()
                )));
            }
        }
        let covered = |name: &str| {
            self.conditions
                .iter()
                .any(|condition| condition.name() == name)
        };
        match fields
            .iter()
            .find(|(name, _)| !is_free(name) && !covered(name))
        {
            None => Ok(()),
            Some((name, _)) => Err(denied(format!("Extra input fields: {name}"))),
        }
    }
}

impl Condition {
    fn name(&self) -> &str {
        match self {
            Self::Equal(name, _) | Self::StartsWith(name, _) => name,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Equal(name, value) => format!("[\"eq\", \"${name}\", \"{value}\"]"),
            Self::StartsWith(name, value) => format!("[\"starts-with\", \"${name}\", \"{value}\"]"),
        }
    }
}

/// Fields that need no condition: those that carry the policy itself, and those that mean nothing.
fn is_free(name: &str) -> bool {
    matches!(name, "policy" | "x-amz-signature" | "file") || name.starts_with("x-ignore-")
}

/// A number, or one written as text.
fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    }
}

fn invalid(reason: &str) -> S3Error {
    S3Error::message(
        ErrorCode::InvalidPolicyDocument,
        format!("Invalid Policy: {reason}"),
    )
    .closing()
}

fn denied(reason: String) -> S3Error {
    S3Error::message(
        ErrorCode::AccessDenied,
        format!("Invalid according to Policy: {reason}"),
    )
    .closing()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(conditions: &str) -> Result<Policy, S3Error> {
        let document =
            format!("{{\"expiration\": \"2030-01-01T00:00:00Z\", \"conditions\": [{conditions}]}}");
        Policy::parse(document.as_bytes())
    }

    fn check(conditions: &str, fields: &[(&str, &str)]) -> Result<(), String> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let fields: Vec<_> = fields.iter().map(owned).collect();
        let now = Timestamp::from_iso8601("2029-12-31T23:59:59Z").unwrap();
        policy(conditions)
            .unwrap()
            .check(now, &fields)
            .map_err(|error| error.text().to_owned())
    }

    #[test]
    fn each_field_needs_a_condition_and_each_condition_holds() {
        let two = "{\"Bucket\": \"b\"}, [\"Starts-With\", \"$KEY\", \"user/\"]";
        assert_eq!(check(two, &[("bucket", "b"), ("key", "user/x")]), Ok(()));
        let free = [
            ("bucket", "b"),
            ("key", "user/"),
            ("policy", "p"),
            ("x-amz-signature", "s"),
        ];
        assert_eq!(check(two, &free), Ok(()));
        assert_eq!(
            check(
                two,
                &[("bucket", "b"), ("key", "user/x"), ("x-ignore-a", "1")]
            ),
            Ok(())
        );
        for (fields, reason) in [
            (
                &[("bucket", "c"), ("key", "user/x")][..],
                "Invalid according to Policy: Policy Condition failed: [\"eq\", \"$bucket\", \"b\"]",
            ),
            (
                &[("bucket", "b"), ("key", "other/x")],
                "Invalid according to Policy: Policy Condition failed: [\"starts-with\", \"$key\", \
                 \"user/\"]",
            ),
            (
                &[("bucket", "b")],
                "Invalid according to Policy: Policy Condition failed: [\"starts-with\", \"$key\", \
                 \"user/\"]",
            ),
            (
                &[("bucket", "b"), ("key", "user/x"), ("x-amz-meta-a", "1")],
                "Invalid according to Policy: Extra input fields: x-amz-meta-a",
            ),
        ] {
            assert_eq!(check(two, fields), Err(reason.to_owned()));
        }
        assert_eq!(
            check("[\"starts-with\", \"$acl\", \"\"]", &[("acl", "x")]),
            Ok(())
        );
        assert_eq!(check("[\"eq\", \"$acl\", \"x\"]", &[("acl", "x")]), Ok(()));
    }

    #[test]
    fn a_policy_ends() {
        let policy = policy("").unwrap();
        let at = |text| Timestamp::from_iso8601(text).unwrap();
        assert!(policy.check(at("2030-01-01T00:00:00Z"), &[]).is_ok());
        let error = policy.check(at("2030-01-01T00:00:01Z"), &[]).unwrap_err();
        assert_eq!(error.code(), ErrorCode::AccessDenied);
        assert_eq!(error.text(), "Invalid according to Policy: Policy expired.");
    }

    #[test]
    fn of_two_ranges_both_hold() {
        let size = |conditions: &str| policy(conditions).unwrap().size();
        assert_eq!(size(""), None);
        let range = |min, max| Some(SizeRange { min, max });
        assert_eq!(size("[\"content-length-range\", 1, \"10\"]"), range(1, 10));
        let two = "[\"content-length-range\", 1, 10], [\"content-length-range\", 5, 20]";
        assert_eq!(size(two), range(5, 10));
    }

    #[test]
    fn what_is_no_policy_is_refused() {
        for conditions in [
            "1",
            "\"x\"",
            "{}",
            "{\"key\": 1}",
            "[]",
            "[\"eq\", \"$key\"]",
            "[\"eq\", \"key\", \"x\"]",
            "[\"ends-with\", \"$key\", \"x\"]",
            "[\"eq\", \"$key\", 1]",
            "[\"content-length-range\", -1, 2]",
            "[\"content-length-range\", \"a\", 2]",
            "[\"content-length-range\", 1.5, 2]",
        ] {
            let error = policy(conditions).unwrap_err();
            assert_eq!(
                error.code(),
                ErrorCode::InvalidPolicyDocument,
                "{conditions}"
            );
        }
        for document in [
            "",
            "[]",
            "{}",
            "{\"expiration\": \"2030-01-01T00:00:00Z\"}",
            "{\"conditions\": []}",
            "{\"expiration\": \"soon\", \"conditions\": []}",
            "{\"expiration\": 1, \"conditions\": []}",
            "{\"expiration\": \"2030-01-01T00:00:00Z\", \"conditions\": {}}",
            "{\"EXPIRATION\": \"2030-01-01T00:00:00Z\", \"conditions\": []}",
        ] {
            let error = Policy::parse(document.as_bytes()).unwrap_err();
            assert_eq!(error.code(), ErrorCode::InvalidPolicyDocument, "{document}");
        }
    }
}
