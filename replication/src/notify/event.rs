//! From a row of the change log to what is posted: AWS's event record.
//!
//! `sequencer` is the bucket's number and the key's sequence in hexadecimal of fixed width, so that
//! of two events of one key the later one's is the greater text, also when the bucket was deleted
//! and made again in between.

use holdfast_metadata::model::{Change, ChangeEvent, ChangeKind};
use holdfast_metadata::notification::{NotificationRule, Notifications, TestMessage};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::EventFacts;

/// S3's name of what happened; `None` for what S3 has no event of.
pub(super) const fn name(event: ChangeEvent) -> Option<&'static str> {
    match event {
        ChangeEvent::Put => Some("s3:ObjectCreated:Put"),
        ChangeEvent::Post => Some("s3:ObjectCreated:Post"),
        ChangeEvent::Copy => Some("s3:ObjectCreated:Copy"),
        ChangeEvent::Complete => Some("s3:ObjectCreated:CompleteMultipartUpload"),
        ChangeEvent::Delete => Some("s3:ObjectRemoved:Delete"),
        ChangeEvent::Marker => Some("s3:ObjectRemoved:DeleteMarkerCreated"),
        ChangeEvent::ExpireDelete => Some("s3:LifecycleExpiration:Delete"),
        ChangeEvent::ExpireMarker => Some("s3:LifecycleExpiration:DeleteMarkerCreated"),
        ChangeEvent::PutTags => Some("s3:ObjectTagging:Put"),
        ChangeEvent::DeleteTags => Some("s3:ObjectTagging:Delete"),
        ChangeEvent::PutRetention | ChangeEvent::PutLegalHold => None,
    }
}

/// The rule by which the webhook of this number is told of a change. The edge takes no two rules that fit one.
pub(super) fn rule_for<'n>(
    notifications: &'n Notifications,
    webhook: u64,
    change: &Change,
) -> Option<&'n NotificationRule> {
    let name = name(change.event)?;
    notifications
        .rules
        .iter()
        .find(|rule| rule.webhook_number == webhook && fits(rule, name, &change.key))
}

fn fits(rule: &NotificationRule, name: &str, key: &[u8]) -> bool {
    let prefix = rule.prefix.as_deref().unwrap_or_default();
    let suffix = rule.suffix.as_deref().unwrap_or_default();
    key.starts_with(prefix.as_bytes())
        && key.ends_with(suffix.as_bytes())
        && rule.events.iter().any(|pattern| covers(pattern, name))
}

/// `s3:ObjectCreated:*` covers `s3:ObjectCreated:Put`.
fn covers(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(group) => group.ends_with(':') && name.starts_with(group),
        None => pattern == name,
    }
}

/// What is posted of a change.
pub(super) fn body(
    facts: &EventFacts,
    change: &Change,
    bucket: &str,
    rule: &NotificationRule,
) -> String {
    let name = name(change.event).unwrap_or_default();
    // AWS names itself as who and where from, where no request asked for it.
    let who = change.principal.as_deref().unwrap_or(SERVICE);
    let from = change.source_address.as_deref().unwrap_or(SERVICE);
    json!({
        "Records": [{
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "awsRegion": facts.region.as_str(),
            "eventTime": time_text(change.at_ms),
            "eventName": name.strip_prefix("s3:").unwrap_or(name),
            "userIdentity": { "principalId": who },
            "requestParameters": { "sourceIPAddress": from },
            "responseElements": answered(change),
            "s3": {
                "s3SchemaVersion": "1.0",
                "configurationId": rule.id,
                "bucket": {
                    "name": bucket,
                    "ownerIdentity": { "principalId": facts.owner_id },
                    "arn": format!("arn:aws:s3:::{bucket}"),
                },
                "object": object(change),
            },
        }],
    })
    .to_string()
}

/// By what the request's answer can be found in logs.
fn answered(change: &Change) -> Value {
    match &change.request_id {
        Some(id) => json!({ "x-amz-request-id": id }),
        None => json!({}),
    }
}

fn object(change: &Change) -> Value {
    let mut object = json!({
        "key": key_text(&change.key),
        "sequencer": format!("{:016X}{:016X}", change.bucket.0, change.sequence),
    });
    // Of what is gone, and of a marker, there is neither.
    if matches!(change.kind, ChangeKind::Put | ChangeKind::Update) {
        object["size"] = change.size.into();
        object["eTag"] = change.etag.clone().into();
    }
    if !change.version_id.is_null() {
        object["versionId"] = change.version_id.0.clone().into();
    }
    object
}

/// What is posted when a bucket begins to send events: AWS's test event.
pub(super) fn test_body(message: &TestMessage) -> String {
    json!({
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": time_text(message.at_ms),
        "Bucket": message.bucket_name,
        "RequestId": message.request_id,
        "HostId": "holdfast",
    })
    .to_string()
}

/// Like a form's: a space is `+`; slashes stay, as AWS leaves them.
fn key_text(key: &[u8]) -> String {
    percent_encode(key, KEPT).to_string().replace("%20", "+")
}

fn time_text(ms: u64) -> String {
    let nanos = i128::from(ms) * 1_000_000;
    OffsetDateTime::from_unix_timestamp_nanos(nanos)
        .ok()
        .and_then(|time| time.format(TIME).ok())
        .unwrap_or_default()
}

const TIME: &[BorrowedFormatItem<'static>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

const KEPT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'*')
    .remove(b'/');

/// Who did what no request asked for, and from where, in AWS's records.
const SERVICE: &str = "s3.amazonaws.com";

#[cfg(test)]
mod tests {
    use holdfast_metadata::model::{BucketId, ChangeCursor, VersionId};
    use holdfast_types::Region;

    use super::*;

    fn change(event: ChangeEvent, key: &str) -> Change {
        Change {
            cursor: ChangeCursor::default(),
            bucket: BucketId(3),
            key: key.as_bytes().to_vec(),
            sequence: 26,
            kind: event.kind(),
            event,
            version_id: VersionId::null(),
            size: 1024,
            etag: "d41d8cd98f00b204e9800998ecf8427e".to_owned(),
            principal: Some("AKIA".to_owned()),
            source_address: Some("2001:db8::7".to_owned()),
            request_id: Some("00C0FFEE00C0FFEE".to_owned()),
            at_ms: 1_767_225_600_123,
            notification: 1,
        }
    }

    fn rule(events: &[&str], prefix: Option<&str>, suffix: Option<&str>) -> NotificationRule {
        NotificationRule {
            id: "mine".to_owned(),
            webhook: "hook".to_owned(),
            webhook_number: 7,
            kind: "sqs".to_owned(),
            arn: String::new(),
            events: events.iter().map(|event| (*event).to_owned()).collect(),
            prefix: prefix.map(str::to_owned),
            suffix: suffix.map(str::to_owned),
        }
    }

    #[test]
    fn a_record_is_as_aws_writes_it() {
        let facts = EventFacts {
            region: Region::parse("eu-1").unwrap(),
            owner_id: "owner".to_owned(),
        };
        let mut put = change(ChangeEvent::Put, "films/red flower+é~.jpg");
        put.version_id = VersionId("0123".to_owned());
        let body = body(
            &facts,
            &put,
            "b",
            &rule(&["s3:ObjectCreated:*"], None, None),
        );
        let found: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            found,
            json!({"Records": [{
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "awsRegion": "eu-1",
                "eventTime": "2026-01-01T00:00:00.123Z",
                "eventName": "ObjectCreated:Put",
                "userIdentity": {"principalId": "AKIA"},
                "requestParameters": {"sourceIPAddress": "2001:db8::7"},
                "responseElements": {"x-amz-request-id": "00C0FFEE00C0FFEE"},
                "s3": {
                    "s3SchemaVersion": "1.0",
                    "configurationId": "mine",
                    "bucket": {
                        "name": "b",
                        "ownerIdentity": {"principalId": "owner"},
                        "arn": "arn:aws:s3:::b",
                    },
                    "object": {
                        "key": "films/red+flower%2B%C3%A9%7E.jpg",
                        "size": 1024,
                        "eTag": "d41d8cd98f00b204e9800998ecf8427e",
                        "versionId": "0123",
                        "sequencer": "0000000000000003000000000000001A",
                    },
                },
            }]})
        );
    }

    #[test]
    fn what_no_request_asked_for_is_the_services_own() {
        let facts = EventFacts {
            region: Region::parse("eu-1").unwrap(),
            owner_id: "owner".to_owned(),
        };
        let expired = Change {
            principal: None,
            source_address: None,
            request_id: None,
            ..change(ChangeEvent::ExpireDelete, "k")
        };
        let rule = rule(&["s3:LifecycleExpiration:*"], None, None);
        let found: Value = serde_json::from_str(&body(&facts, &expired, "b", &rule)).unwrap();
        let record = &found["Records"][0];
        assert_eq!(record["eventName"], "LifecycleExpiration:Delete");
        assert_eq!(
            record["userIdentity"],
            json!({"principalId": "s3.amazonaws.com"})
        );
        assert_eq!(
            record["requestParameters"],
            json!({"sourceIPAddress": "s3.amazonaws.com"})
        );
        assert_eq!(record["responseElements"], json!({}));
    }

    #[test]
    fn what_is_gone_has_neither_size_nor_etag() {
        for event in [
            ChangeEvent::Delete,
            ChangeEvent::Marker,
            ChangeEvent::ExpireDelete,
        ] {
            let shown = object(&change(event, "k"));
            let fields: Vec<&String> = shown.as_object().unwrap().keys().collect();
            assert_eq!(fields, ["key", "sequencer"], "{event:?}");
        }
    }

    #[test]
    fn rules_fit_by_event_prefix_and_suffix() {
        let put = "s3:ObjectCreated:Put";
        for (rule, name, key, expected) in [
            (rule(&[put], None, None), put, "k", true),
            (rule(&["s3:ObjectCreated:*"], None, None), put, "k", true),
            (rule(&["s3:ObjectRemoved:*"], None, None), put, "k", false),
            (
                rule(&["s3:ObjectCreated:Copy", put], None, None),
                put,
                "k",
                true,
            ),
            (rule(&[put], Some("a/"), None), put, "a/k", true),
            (rule(&[put], Some("a/"), None), put, "b/a/k", false),
            (rule(&[put], None, Some(".jpg")), put, "k.jpg", true),
            (rule(&[put], None, Some(".jpg")), put, "k.jpg2", false),
            (rule(&[put], Some("ab"), Some("bc")), put, "abc", true),
            (rule(&[put], Some("abc"), Some("abcd")), put, "abc", false),
            (rule(&[put], Some(""), Some("")), put, "", true),
        ] {
            assert_eq!(
                fits(&rule, name, key.as_bytes()),
                expected,
                "{rule:?} {key}"
            );
        }
    }

    #[test]
    fn a_rule_is_for_its_webhook_only() {
        let notifications = Notifications {
            bucket_name: "b".to_owned(),
            rules: vec![rule(&["s3:ObjectCreated:*"], None, None)],
        };
        let put = change(ChangeEvent::Put, "k");
        assert!(rule_for(&notifications, 7, &put).is_some());
        assert!(rule_for(&notifications, 8, &put).is_none());
        let hold = change(ChangeEvent::PutLegalHold, "k");
        assert!(rule_for(&notifications, 7, &hold).is_none());
    }
}
