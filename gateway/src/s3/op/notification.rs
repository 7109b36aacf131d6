//! Who is told of what happens in a bucket: rules that name events, keys and a target.
//!
//! Rules are checked when they are put, as AWS checks them: whatever an event's name and key are,
//! at most one rule fits. That a target is there is the store's to find out.

use serde::{Deserialize, Serialize};

use crate::s3::error::S3Error;
use crate::s3::name::BucketName;

/// What kind of AWS's targets a rule's target is written as. All are webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    /// An SQS queue.
    Queue,
    /// An SNS topic.
    Topic,
    /// A Lambda function.
    Function,
}

impl TargetKind {
    /// All of them, in the order of AWS's documents.
    pub const ALL: [Self; 3] = [Self::Topic, Self::Queue, Self::Function];

    /// The service in its ARN.
    #[must_use]
    pub const fn service(self) -> &'static str {
        match self {
            Self::Queue => "sqs",
            Self::Topic => "sns",
            Self::Function => "lambda",
        }
    }

    /// In AWS's words.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Topic => "topic",
            Self::Function => "cloud function",
        }
    }

    /// From [`Self::service`].
    #[must_use]
    pub fn of_service(service: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.service() == service)
    }
}

/// The webhook that an ARN names, and the region in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetArn {
    /// As it was written.
    pub text: String,
    /// The region; empty for ours.
    pub region: String,
    /// The webhook's name.
    pub webhook: String,
}

impl TargetArn {
    /// The longest ARN.
    const MAX_LEN: usize = 2048;

    /// Reads `arn:holdfast:SERVICE:REGION:NAME:webhook` (`minio` for `holdfast` is taken too), or
    /// what tools that know only AWS let through: `arn:aws:sqs:REGION:ACCOUNT:NAME`,
    /// `arn:aws:sns:REGION:ACCOUNT:NAME`, `arn:aws:lambda:REGION:ACCOUNT:function:NAME`.
    #[must_use]
    pub fn parse(text: &str, kind: TargetKind) -> Option<Self> {
        let fields: Vec<&str> = text.split(':').collect();
        let (service, region, webhook) = match fields.as_slice() {
            [
                "arn",
                "holdfast" | "minio",
                service,
                region,
                name,
                "webhook",
            ] => (*service, *region, *name),
            ["arn", "aws", "lambda", region, account, "function", name] if is_account(account) => {
                ("lambda", *region, *name)
            }
            [
                "arn",
                "aws",
                service @ ("sqs" | "sns"),
                region,
                account,
                name,
            ] if is_account(account) => (*service, *region, *name),
            _ => return None,
        };
        let good = text.len() <= Self::MAX_LEN && service == kind.service() && !webhook.is_empty();
        good.then(|| Self {
            text: text.to_owned(),
            region: region.to_owned(),
            webhook: webhook.to_owned(),
        })
    }
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotificationRule {
    /// Its name: the client's, or one that the store makes.
    pub id: Option<String>,
    /// What kind of target it is written as.
    pub kind: TargetKind,
    /// The target, as it was written.
    pub arn: String,
    /// At least one, each of [`EVENTS`] or one of their wildcards.
    pub events: Vec<String>,
    /// Only keys that begin so.
    pub prefix: Option<String>,
    /// Only keys that end so.
    pub suffix: Option<String>,
}

/// A bucket's rules: none to [`NotificationConfiguration::MAX_RULES`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NotificationConfiguration {
    rules: Vec<NotificationRule>,
}

impl NotificationConfiguration {
    /// The most rules: AWS's.
    pub const MAX_RULES: usize = 100;
    /// The longest id of a rule, in characters.
    pub const MAX_ID_CHARS: usize = 255;
    /// The longest prefix or suffix, in bytes: a key's.
    pub const MAX_FILTER_LEN: usize = 1024;

    /// Takes rules.
    ///
    /// # Errors
    /// `MalformedXML` for a rule without events; `InvalidArgument` for too many rules, an event that
    /// there is not, ids that are too long or not unique, filters that are too long, and two rules
    /// that one event could fit.
    pub fn new(rules: Vec<NotificationRule>) -> Result<Self, S3Error> {
        if rules.len() > Self::MAX_RULES {
            return Err(invalid(
                "The number of notification configurations must not exceed 100.",
            ));
        }
        for (at, rule) in rules.iter().enumerate() {
            rule.check()?;
            let twin = |other: &NotificationRule| other.id.is_some() && other.id == rule.id;
            if rules[..at].iter().any(twin) {
                return Err(invalid(
                    "Same ID used for multiple configurations. IDs must be unique",
                ));
            }
            if rules[..at].iter().any(|other| other.overlaps(rule)) {
                return Err(invalid(
                    "Configuration is ambiguously defined. Cannot have overlapping suffixes in two \
                     rules if the prefixes are overlapping for the same event type.",
                ));
            }
        }
        Ok(Self { rules })
    }

    /// The rules, in order.
    #[must_use]
    pub fn rules(&self) -> &[NotificationRule] {
        &self.rules
    }
}

impl NotificationRule {
    fn check(&self) -> Result<(), S3Error> {
        if self.events.is_empty() {
            return Err(S3Error::malformed_xml());
        }
        for event in &self.events {
            if covered(event).next().is_none() {
                return Err(S3Error::invalid_argument(
                    "A specified event is not supported for notifications.",
                    "Event",
                    event,
                ));
            }
        }
        let id_chars = self.id.as_deref().unwrap_or_default().chars().count();
        if id_chars > NotificationConfiguration::MAX_ID_CHARS {
            return Err(invalid("The ID of a rule is longer than 255 characters."));
        }
        for filter in [&self.prefix, &self.suffix].into_iter().flatten() {
            if filter.len() > NotificationConfiguration::MAX_FILTER_LEN {
                return Err(invalid(
                    "The length of the filter rule's value exceeds the maximum of 1024 bytes.",
                ));
            }
        }
        Ok(())
    }

    /// Whether one event could fit both.
    fn overlaps(&self, other: &Self) -> bool {
        let text = |filter: &'_ Option<String>| filter.clone().unwrap_or_default();
        let (prefix, other_prefix) = (text(&self.prefix), text(&other.prefix));
        let (suffix, other_suffix) = (text(&self.suffix), text(&other.suffix));
        let prefixes =
            prefix.starts_with(&other_prefix) || other_prefix.starts_with(prefix.as_str());
        let suffixes = suffix.ends_with(&other_suffix) || other_suffix.ends_with(suffix.as_str());
        let shares_an_event = || {
            self.events
                .iter()
                .flat_map(|event| covered(event))
                .any(|one| {
                    other
                        .events
                        .iter()
                        .any(|event| covered(event).any(|two| one == two))
                })
        };
        prefixes && suffixes && shares_an_event()
    }
}

fn invalid(message: &'static str) -> S3Error {
    S3Error::message(crate::s3::error::ErrorCode::InvalidArgument, message)
}

/// The events that a name in a rule stands for: itself, or all that a wildcard covers.
fn covered(name: &str) -> impl Iterator<Item = &'static str> {
    let exact = EVENTS.iter().copied().filter(move |event| *event == name);
    // `s3:ObjectCreated:*`, not `s3:*` nor `s3:Obj*`.
    let group = name
        .strip_suffix('*')
        .filter(|group| group.matches(':').count() == 2 && group.ends_with(':'));
    let group = group.map(str::to_owned);
    exact.chain(
        EVENTS
            .iter()
            .copied()
            .filter(move |event| group.as_ref().is_some_and(|group| event.starts_with(group))),
    )
}

/// AWS's events. Those of features that are not built are taken and never happen.
pub const EVENTS: [&str; 23] = [
    "s3:ObjectCreated:Put",
    "s3:ObjectCreated:Post",
    "s3:ObjectCreated:Copy",
    "s3:ObjectCreated:CompleteMultipartUpload",
    "s3:ObjectRemoved:Delete",
    "s3:ObjectRemoved:DeleteMarkerCreated",
    "s3:ObjectTagging:Put",
    "s3:ObjectTagging:Delete",
    "s3:LifecycleExpiration:Delete",
    "s3:LifecycleExpiration:DeleteMarkerCreated",
    "s3:LifecycleTransition",
    "s3:IntelligentTiering",
    "s3:ObjectAcl:Put",
    "s3:ObjectRestore:Post",
    "s3:ObjectRestore:Completed",
    "s3:ObjectRestore:Delete",
    "s3:ReducedRedundancyLostObject",
    "s3:Replication:OperationFailedReplication",
    "s3:Replication:OperationMissedThreshold",
    "s3:Replication:OperationNotTracked",
    "s3:Replication:OperationReplicatedAfterThreshold",
    "s3:ObjectAnnotation:Put",
    "s3:ObjectAnnotation:Delete",
];

/// PutBucketNotificationConfiguration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutBucketNotificationConfigurationInput {
    /// The bucket.
    pub bucket: BucketName,
    /// All its rules from now on.
    pub configuration: NotificationConfiguration,
    /// Without a message to each target that says so.
    pub skip_destination_validation: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::error::ErrorCode;

    fn rule(events: &[&str], prefix: &str, suffix: &str) -> NotificationRule {
        let filter = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        NotificationRule {
            id: None,
            kind: TargetKind::Queue,
            arn: "arn:holdfast:sqs::hook:webhook".to_owned(),
            events: events.iter().map(|event| (*event).to_owned()).collect(),
            prefix: filter(prefix),
            suffix: filter(suffix),
        }
    }

    #[test]
    fn an_arn_names_a_webhook() {
        use TargetKind::{Function, Queue, Topic};
        for (text, kind, expected) in [
            ("arn:holdfast:sqs::hook:webhook", Queue, Some(("", "hook"))),
            (
                "arn:holdfast:sqs:eu-1:hook:webhook",
                Queue,
                Some(("eu-1", "hook")),
            ),
            ("arn:minio:sqs::1:webhook", Queue, Some(("", "1"))),
            ("arn:holdfast:sns::hook:webhook", Topic, Some(("", "hook"))),
            (
                "arn:holdfast:lambda::hook:webhook",
                Function,
                Some(("", "hook")),
            ),
            (
                "arn:aws:sqs:us-east-1:123456789012:hook",
                Queue,
                Some(("us-east-1", "hook")),
            ),
            (
                "arn:aws:sns:us-east-1:123456789012:hook",
                Topic,
                Some(("us-east-1", "hook")),
            ),
            (
                "arn:aws:lambda:us-east-1:123456789012:function:hook",
                Function,
                Some(("us-east-1", "hook")),
            ),
            ("arn:holdfast:sqs::hook:webhook", Topic, None),
            ("arn:holdfast:sns::hook:webhook", Queue, None),
            ("arn:holdfast:sqs:::webhook", Queue, None),
            ("arn:holdfast:sqs::hook:kafka", Queue, None),
            ("arn:aws:sqs:us-east-1:1:hook", Queue, None),
            ("arn:aws:sqs:us-east-1:123456789012:", Queue, None),
            ("arn:aws:lambda:us-east-1:123456789012:hook", Function, None),
            ("hook", Queue, None),
            ("", Queue, None),
            ("arn:holdfast:sqs::a:b:webhook", Queue, None),
        ] {
            let found = TargetArn::parse(text, kind);
            let found = found
                .as_ref()
                .map(|arn| (arn.region.as_str(), arn.webhook.as_str()));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn wildcards_stand_for_the_events_of_their_group() {
        for (name, count) in [
            ("s3:ObjectCreated:*", 4),
            ("s3:ObjectRemoved:*", 2),
            ("s3:ObjectTagging:*", 2),
            ("s3:LifecycleExpiration:*", 2),
            ("s3:ObjectRestore:*", 3),
            ("s3:Replication:*", 4),
            ("s3:ObjectCreated:Put", 1),
            ("s3:LifecycleTransition", 1),
            ("s3:*", 0),
            ("*", 0),
            ("s3:Object*", 0),
            ("s3:ObjectCreated:P*", 0),
            ("s3:ObjectCreated:", 0),
            ("s3:ObjectCreated", 0),
            ("ObjectCreated:Put", 0),
            ("s3:objectcreated:*", 0),
            ("s3:TestEvent", 0),
            ("s3:ObjectAccessed:*", 0),
            ("", 0),
        ] {
            assert_eq!(covered(name).count(), count, "{name}");
        }
    }

    #[test]
    fn no_event_may_fit_two_rules() {
        let both = |one: &NotificationRule, other: &NotificationRule| {
            let taken = NotificationConfiguration::new(vec![one.clone(), other.clone()]);
            assert_eq!(
                taken.is_ok(),
                NotificationConfiguration::new(vec![other.clone(), one.clone()]).is_ok()
            );
            taken.map(drop).map_err(|error| error.code())
        };
        let overlap = Err(ErrorCode::InvalidArgument);
        let (put, all) = (["s3:ObjectCreated:Put"], ["s3:ObjectCreated:*"]);
        for (one, other, expected) in [
            (rule(&put, "", ""), rule(&put, "", ""), overlap),
            (rule(&put, "", ""), rule(&all, "", ""), overlap),
            (rule(&put, "a", ""), rule(&all, "ab", ""), overlap),
            (rule(&put, "a", ""), rule(&all, "b", ""), Ok(())),
            (rule(&put, "", ".jpg"), rule(&all, "", ".png"), Ok(())),
            (rule(&put, "", ".jpg"), rule(&all, "", "g"), overlap),
            (rule(&put, "a", ".jpg"), rule(&all, "a", ".png"), Ok(())),
            (rule(&put, "a", ".jpg"), rule(&all, "b", ".jpg"), Ok(())),
            (rule(&put, "a", ""), rule(&all, "", ".jpg"), overlap),
            (
                rule(&put, "", ""),
                rule(&["s3:ObjectCreated:Copy"], "", ""),
                Ok(()),
            ),
            (
                rule(&all, "", ""),
                rule(&["s3:ObjectRemoved:*"], "", ""),
                Ok(()),
            ),
        ] {
            assert_eq!(both(&one, &other), expected, "{one:?} {other:?}");
        }
    }

    #[test]
    fn what_can_not_be_is_refused() {
        let of = |change: &dyn Fn(&mut NotificationRule)| {
            let mut rule = rule(&["s3:ObjectCreated:*"], "", "");
            change(&mut rule);
            NotificationConfiguration::new(vec![rule])
                .map(drop)
                .map_err(|error| error.code())
        };
        assert_eq!(of(&|_| {}), Ok(()));
        let invalid = Err(ErrorCode::InvalidArgument);
        let long = |len| Some("x".repeat(len));
        assert_eq!(
            of(&|rule| rule.events.clear()),
            Err(ErrorCode::MalformedXML)
        );
        assert_eq!(of(&|rule| rule.events.push("s3:Nothing".into())), invalid);
        assert_eq!(of(&|rule| rule.id = long(255)), Ok(()));
        assert_eq!(of(&|rule| rule.id = long(256)), invalid);
        assert_eq!(of(&|rule| rule.prefix = long(1024)), Ok(()));
        assert_eq!(of(&|rule| rule.prefix = long(1025)), invalid);
        assert_eq!(of(&|rule| rule.suffix = long(1025)), invalid);
        let many = |count: usize| {
            let rules = (0..count).map(|n| rule(&["s3:ObjectCreated:*"], &format!("{n:03}"), ""));
            NotificationConfiguration::new(rules.collect()).is_ok()
        };
        assert!(many(0) && many(100) && !many(101));
        let mut twins = vec![
            rule(&["s3:ObjectCreated:*"], "a", ""),
            rule(&["s3:ObjectCreated:*"], "b", ""),
        ];
        assert!(NotificationConfiguration::new(twins.clone()).is_ok());
        for twin in &mut twins {
            twin.id = Some("same".to_owned());
        }
        assert!(NotificationConfiguration::new(twins).is_err());
    }
}
