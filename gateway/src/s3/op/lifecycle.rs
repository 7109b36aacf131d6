//! Lifecycle rules of a bucket, as clients put and read them, and what answers say of them.
//!
//! A configuration is checked as a whole when it is put, in AWS's words, so that whoever follows
//! the rules finds nothing in them that could be meant in two ways. There is one storage class to
//! speak of, so transitions are refused where they are read.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::s3::error::{ErrorCode, S3Error};
use crate::s3::name::BucketName;
use crate::s3::time::Timestamp;

/// All rules of a bucket, and a setting that transitions would have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifecycleConfiguration {
    rules: Vec<LifecycleRule>,
    /// What `x-amz-transition-default-minimum-object-size` said.
    #[serde(default)]
    pub transition_minimum: TransitionMinimum,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifecycleRule {
    /// Its name within the bucket.
    pub id: String,
    /// Whether it is followed.
    pub status: LifecycleStatus,
    /// Which objects it is about.
    pub scope: LifecycleScope,
    /// What becomes of current versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiration: Option<LifecycleExpiration>,
    /// What becomes of noncurrent versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noncurrent: Option<NoncurrentVersionExpiration>,
    /// After how many days an open upload is aborted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abort_days: Option<u32>,
}

/// Whether a rule is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LifecycleStatus {
    /// It is.
    Enabled,
    /// It is kept, and not followed.
    Disabled,
}

/// Which objects a rule is about, in the form in which the client said it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LifecycleScope {
    /// The form without a Filter.
    Prefix(String),
    /// A Filter that is empty.
    All,
    /// A Filter of one condition.
    One(LifecycleFilter),
    /// A Filter with And.
    And(LifecycleFilter),
}

/// The conditions of a filter.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LifecycleFilter {
    /// What the key begins with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Tags that the object has: keys and values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<(String, String)>,
    /// Fewer bytes than the object has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub larger_than: Option<u64>,
    /// More bytes than the object has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smaller_than: Option<u64>,
}

impl LifecycleFilter {
    /// How many conditions it has.
    #[must_use]
    pub fn conditions(&self) -> usize {
        usize::from(self.prefix.is_some())
            + self.tags.len()
            + usize::from(self.larger_than.is_some())
            + usize::from(self.smaller_than.is_some())
    }
}

/// When current versions expire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LifecycleExpiration {
    /// So many days after they were written.
    Days(u32),
    /// From this midnight on: milliseconds since 1970.
    Date(u64),
    /// Delete markers without other versions.
    ExpiredObjectDeleteMarker,
}

/// When noncurrent versions are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoncurrentVersionExpiration {
    /// So many days after they became noncurrent.
    pub days: u32,
    /// How many are kept nevertheless.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newer: Option<u32>,
}

/// Which objects transitions would leave where they are. Kept and given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransitionMinimum {
    /// Those below 128 KiB.
    #[default]
    AllStorageClasses128K,
    /// It depends.
    VariesByStorageClass,
}

impl TransitionMinimum {
    /// Reads the header's value.
    ///
    /// # Errors
    /// `InvalidArgument`.
    pub fn parse(text: &str) -> Result<Self, S3Error> {
        [Self::AllStorageClasses128K, Self::VariesByStorageClass]
            .into_iter()
            .find(|one| one.as_str() == text)
            .ok_or_else(|| {
                let header = "x-amz-transition-default-minimum-object-size";
                let message = format!("{header} is not valid");
                S3Error::invalid_argument(message, header, text)
            })
    }

    /// The header's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AllStorageClasses128K => "all_storage_classes_128K",
            Self::VariesByStorageClass => "varies_by_storage_class",
        }
    }
}

impl LifecycleConfiguration {
    /// The most rules of a bucket.
    pub const MAX_RULES: usize = 1000;
    /// The longest id, in characters.
    pub const MAX_ID_CHARS: usize = 255;
    /// The longest prefix, in bytes.
    pub const MAX_PREFIX_LEN: usize = 1024;
    /// The most noncurrent versions that a rule keeps.
    pub const MAX_NEWER: u32 = 100;

    /// Takes rules; one without an id is given one.
    ///
    /// # Errors
    /// `MalformedXML` for no rules; `InvalidArgument` for ids; `InvalidRequest` for what can't go
    /// together.
    pub fn new(
        mut rules: Vec<LifecycleRule>,
        transition_minimum: TransitionMinimum,
    ) -> Result<Self, S3Error> {
        if rules.is_empty() {
            return Err(S3Error::malformed_xml());
        }
        if rules.len() > Self::MAX_RULES {
            return Err(S3Error::invalid_request(
                "The number of lifecycle rules must not exceed the allowed limit of 1000 rules.",
            ));
        }
        let mut ids = BTreeSet::new();
        for rule in &rules {
            check(rule)?;
            if !rule.id.is_empty() && !ids.insert(rule.id.clone()) {
                let message = "Rule ID must be unique. Found same ID for more than one rule";
                return Err(S3Error::invalid_argument(message, "ID", &rule.id));
            }
        }
        let mut numbers = 1_u32..;
        for rule in rules.iter_mut().filter(|rule| rule.id.is_empty()) {
            let mut names = numbers.by_ref().map(|number| format!("rule-{number}"));
            rule.id = names
                .find(|name| !ids.contains(name))
                .ok_or_else(|| S3Error::new(ErrorCode::InternalError))?;
        }
        Ok(Self {
            rules,
            transition_minimum,
        })
    }

    /// The rules, in the order in which they were put.
    #[must_use]
    pub fn rules(&self) -> &[LifecycleRule] {
        &self.rules
    }
}

impl LifecycleRule {
    /// Its conditions, however they were said.
    #[must_use]
    pub fn filter(&self) -> LifecycleFilter {
        match &self.scope {
            LifecycleScope::Prefix(prefix) => LifecycleFilter {
                prefix: Some(prefix.clone()),
                ..LifecycleFilter::default()
            },
            LifecycleScope::All => LifecycleFilter::default(),
            LifecycleScope::One(filter) | LifecycleScope::And(filter) => filter.clone(),
        }
    }
}

fn check(rule: &LifecycleRule) -> Result<(), S3Error> {
    if rule.id.chars().count() > LifecycleConfiguration::MAX_ID_CHARS {
        let message = "ID length should not exceed allowed limit of 255";
        return Err(S3Error::invalid_argument(message, "ID", &rule.id));
    }
    let filter = rule.filter();
    check_filter(&filter)?;
    let marker = rule.expiration == Some(LifecycleExpiration::ExpiredObjectDeleteMarker);
    for (action, is_there) in [
        ("AbortIncompleteMultipartUpload", rule.abort_days.is_some()),
        ("ExpiredObjectDeleteMarker", marker),
    ] {
        let cannot = |what: &str| {
            Err(S3Error::invalid_request(format!(
                "{action} cannot be specified with {what}."
            )))
        };
        if is_there && !filter.tags.is_empty() {
            return cannot("Tags");
        }
        if is_there && (filter.larger_than.is_some() || filter.smaller_than.is_some()) {
            return cannot("Object Size");
        }
    }
    if rule.expiration.is_none() && rule.noncurrent.is_none() && rule.abort_days.is_none() {
        return Err(S3Error::invalid_request(
            "At least one action needs to be specified in a rule.",
        ));
    }
    Ok(())
}

fn check_filter(filter: &LifecycleFilter) -> Result<(), S3Error> {
    let prefix_len = filter.prefix.as_ref().map_or(0, String::len);
    if prefix_len > LifecycleConfiguration::MAX_PREFIX_LEN {
        let message = "The maximum size of a prefix is 1024.";
        return Err(S3Error::invalid_request(message));
    }
    let mut keys = BTreeSet::new();
    if filter.tags.iter().any(|(key, _)| !keys.insert(key)) {
        let message = "Duplicate Tag Keys are not allowed.";
        return Err(S3Error::invalid_request(message));
    }
    if let (Some(larger_than), Some(smaller_than)) = (filter.larger_than, filter.smaller_than)
        && larger_than >= smaller_than
    {
        return Err(S3Error::invalid_request(
            "'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan'.",
        ));
    }
    Ok(())
}

/// PutBucketLifecycleConfiguration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutBucketLifecycleInput {
    /// The bucket.
    pub bucket: BucketName,
    /// All its rules from now on.
    pub configuration: LifecycleConfiguration,
}

/// When a rule will act on an object or an upload, and which: for the answer's headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifecycleNotice {
    /// The earliest moment.
    pub at: Timestamp,
    /// The rule's id.
    pub rule_id: String,
}

impl LifecycleNotice {
    /// The value of `x-amz-expiration`. The id is encoded so that nothing in it ends it.
    #[must_use]
    pub fn expiration(&self) -> String {
        format!(
            "expiry-date=\"{}\", rule-id=\"{}\"",
            self.at.http_date(),
            self.encoded_id()
        )
    }

    /// The rule's id as headers have it: in ASCII.
    #[must_use]
    pub fn encoded_id(&self) -> String {
        crate::s3::encode::encode_name(&self.rule_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(id: &str) -> LifecycleRule {
        LifecycleRule {
            id: id.to_owned(),
            status: LifecycleStatus::Enabled,
            scope: LifecycleScope::All,
            expiration: Some(LifecycleExpiration::Days(1)),
            noncurrent: None,
            abort_days: None,
        }
    }

    fn of(rules: Vec<LifecycleRule>) -> Result<LifecycleConfiguration, S3Error> {
        LifecycleConfiguration::new(rules, TransitionMinimum::default())
    }

    #[test]
    fn rules_without_an_id_are_given_one_that_is_free() {
        let all = of(vec![
            rule(""),
            rule("rule-1"),
            rule("rule-3"),
            rule(""),
            rule(""),
        ])
        .unwrap();
        let ids: Vec<&str> = all.rules().iter().map(|rule| rule.id.as_str()).collect();
        assert_eq!(ids, ["rule-2", "rule-1", "rule-3", "rule-4", "rule-5"]);
    }

    #[test]
    fn the_limits_are_awss() {
        let numbered = |count: u32| (0..count).map(|n| rule(&n.to_string())).collect();
        assert!(of(numbered(1000)).is_ok());
        assert_eq!(
            of(numbered(1001)).unwrap_err().code(),
            ErrorCode::InvalidRequest
        );
        assert_eq!(of(vec![]).unwrap_err().code(), ErrorCode::MalformedXML);
        assert!(of(vec![rule(&"é".repeat(255))]).is_ok());
        let long = of(vec![rule(&"x".repeat(256))]).unwrap_err();
        assert_eq!(long.code(), ErrorCode::InvalidArgument);
        let twice = of(vec![rule("a"), rule("b"), rule("a")]).unwrap_err();
        assert_eq!(twice.code(), ErrorCode::InvalidArgument);
        let with_prefix = |len: usize| LifecycleRule {
            scope: LifecycleScope::Prefix("x".repeat(len)),
            ..rule("a")
        };
        assert!(of(vec![with_prefix(1024)]).is_ok());
        assert_eq!(
            of(vec![with_prefix(1025)]).unwrap_err().code(),
            ErrorCode::InvalidRequest
        );
    }

    #[test]
    fn a_notice_is_safe_in_a_header() {
        let notice = LifecycleNotice {
            at: Timestamp::from_ms(1_355_788_800_000),
            rule_id: "a \"b\", é".to_owned(),
        };
        assert_eq!(
            notice.expiration(),
            "expiry-date=\"Tue, 18 Dec 2012 00:00:00 GMT\", \
             rule-id=\"a%20%22b%22%2C%20%C3%A9\""
        );
    }
}
