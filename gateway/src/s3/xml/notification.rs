//! The document of who is told of what happens in a bucket, which clients send and get.

use super::reader::Element;
use super::writer::XmlWriter;
use crate::s3::error::{ErrorCode, S3Error};
use crate::s3::op::{NotificationConfiguration, NotificationRule, TargetKind};

/// The rules of a NotificationConfiguration.
///
/// # Errors
/// `MalformedXML`, `InvalidArgument`, as [`NotificationConfiguration::new`]; `NotImplemented` for
/// EventBridge, which there is none of here.
pub fn notification_configuration(body: &[u8]) -> Result<NotificationConfiguration, S3Error> {
    let mut root = Element::parse(body, "NotificationConfiguration")?;
    let mut rules = Vec::new();
    for kind in TargetKind::ALL {
        let (configuration, target) = elements(kind);
        for element in root.take_all(configuration) {
            rules.push(rule(element, kind, target)?);
        }
    }
    if root.take("EventBridgeConfiguration")?.is_some() {
        return Err(S3Error::message(
            ErrorCode::NotImplemented,
            "There is no Amazon EventBridge here: name a webhook as a queue, topic or function.",
        )
        .with("Element", "EventBridgeConfiguration"));
    }
    root.finish()?;
    NotificationConfiguration::new(rules)
}

/// The element of a rule, and the one in it that names the target.
const fn elements(kind: TargetKind) -> (&'static str, &'static str) {
    match kind {
        TargetKind::Topic => ("TopicConfiguration", "Topic"),
        TargetKind::Queue => ("QueueConfiguration", "Queue"),
        TargetKind::Function => ("CloudFunctionConfiguration", "CloudFunction"),
    }
}

fn rule(mut element: Element, kind: TargetKind, target: &str) -> Result<NotificationRule, S3Error> {
    let filter = element.take("Filter")?.map(filter).transpose()?;
    let (prefix, suffix) = filter.unwrap_or_default();
    let rule = NotificationRule {
        id: element.take_text("Id")?.filter(|id| !id.is_empty()),
        kind,
        arn: element.require_text(target)?,
        events: element.take_texts("Event")?,
        prefix,
        suffix,
    };
    element.finish()?;
    Ok(rule)
}

type Filter = (Option<String>, Option<String>);

/// Prefix and suffix, each at most once.
fn filter(mut element: Element) -> Result<Filter, S3Error> {
    let key = element.take("S3Key")?;
    element.finish()?;
    let Some(mut key) = key else {
        return Ok((None, None));
    };
    let (mut prefix, mut suffix) = (None, None);
    for mut rule in key.take_all("FilterRule") {
        let name = rule.require_text("Name")?;
        let value = rule.require_text("Value")?;
        rule.finish()?;
        let place = match name.to_ascii_lowercase().as_str() {
            "prefix" => &mut prefix,
            "suffix" => &mut suffix,
            _ => {
                return Err(S3Error::invalid_argument(
                    "filter rule name must be either prefix or suffix",
                    "FilterRule.Name",
                    &name,
                ));
            }
        };
        if place.replace(value).is_some() {
            return Err(S3Error::invalid_argument(
                "Cannot specify more than one prefix rule or more than one suffix rule in a filter.",
                "FilterRule.Name",
                &name,
            ));
        }
    }
    key.finish()?;
    Ok((prefix, suffix))
}

/// GetBucketNotificationConfiguration's answer.
#[must_use]
pub fn notification_document(configuration: &NotificationConfiguration) -> String {
    XmlWriter::document("NotificationConfiguration", |xml| {
        for rule in configuration.rules() {
            let (element, target) = elements(rule.kind);
            xml.element(element, |xml| {
                xml.leaf_if("Id", rule.id.as_deref());
                xml.leaf(target, &rule.arn);
                for event in &rule.events {
                    xml.leaf("Event", event);
                }
                write_filter(xml, rule);
            });
        }
    })
}

fn write_filter(xml: &mut XmlWriter, rule: &NotificationRule) {
    if rule.prefix.is_none() && rule.suffix.is_none() {
        return;
    }
    xml.element("Filter", |xml| {
        xml.element("S3Key", |xml| {
            for (name, value) in [("prefix", &rule.prefix), ("suffix", &rule.suffix)] {
                if let Some(value) = value {
                    xml.element("FilterRule", |xml| {
                        xml.leaf("Name", name);
                        xml.leaf("Value", value);
                    });
                }
            }
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "<NotificationConfiguration>";
    const TAIL: &str = "</NotificationConfiguration>";

    #[test]
    fn rules_are_read_as_they_are_written() {
        let inner = "<TopicConfiguration><Id>t</Id><Topic>arn:holdfast:sns::hook:webhook</Topic>\
                     <Event>s3:ObjectRemoved:*</Event></TopicConfiguration>\
                     <QueueConfiguration><Id>q</Id><Queue>arn:holdfast:sqs::hook:webhook</Queue>\
                     <Event>s3:ObjectCreated:Put</Event><Event>s3:ObjectCreated:Copy</Event>\
                     <Filter><S3Key><FilterRule><Name>prefix</Name><Value>a/</Value></FilterRule>\
                     <FilterRule><Name>suffix</Name><Value>.jpg</Value></FilterRule></S3Key>\
                     </Filter></QueueConfiguration>\
                     <CloudFunctionConfiguration><Id>f</Id>\
                     <CloudFunction>arn:holdfast:lambda::hook:webhook</CloudFunction>\
                     <Event>s3:ObjectTagging:*</Event></CloudFunctionConfiguration>";
        let read = notification_configuration(format!("{HEAD}{inner}{TAIL}").as_bytes()).unwrap();
        assert_eq!(read.rules().len(), 3);
        assert_eq!(read.rules()[1].prefix.as_deref(), Some("a/"));
        assert_eq!(read.rules()[1].suffix.as_deref(), Some(".jpg"));
        assert_eq!(read.rules()[1].kind, TargetKind::Queue);
        let written = notification_document(&read);
        assert!(written.ends_with(&format!("{inner}{TAIL}")), "{written}");
        assert_eq!(
            notification_configuration(written.as_bytes()).unwrap(),
            read
        );
        let nothing = notification_configuration(b"<NotificationConfiguration/>").unwrap();
        assert!(nothing.rules().is_empty());
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        let of = |inner: &str| {
            let document = format!(
                "{HEAD}<QueueConfiguration><Queue>arn:holdfast:sqs::h:webhook</Queue>{inner}\
                 </QueueConfiguration>{TAIL}"
            );
            notification_configuration(document.as_bytes())
                .map(drop)
                .map_err(|error| error.code())
        };
        let event = "<Event>s3:ObjectCreated:*</Event>";
        let filter = |rules: &str| format!("{event}<Filter><S3Key>{rules}</S3Key></Filter>");
        let rule = |name: &str, value: &str| {
            format!("<FilterRule><Name>{name}</Name><Value>{value}</Value></FilterRule>")
        };
        assert_eq!(of(event), Ok(()));
        assert_eq!(of(&filter("")), Ok(()));
        assert_eq!(of(&filter(&rule("Prefix", "a"))), Ok(()));
        assert_eq!(of(&filter(&rule("SUFFIX", ""))), Ok(()));
        assert_eq!(of(&format!("<Id/>{event}")), Ok(()));
        for inner in [
            "",
            "<Id>a</Id><Id>b</Id><Event>s3:ObjectCreated:*</Event>",
            "<Event>s3:ObjectCreated:*</Event><Other/>",
            "<Event>s3:ObjectCreated:*</Event><Filter><Other/></Filter>",
            "<Event>s3:ObjectCreated:*</Event><Filter><S3Key><FilterRule><Name>prefix</Name>\
             </FilterRule></S3Key></Filter>",
            "<Event><Sub/></Event>",
            "<Queue>twice</Queue><Event>s3:ObjectCreated:*</Event>",
        ] {
            assert_eq!(of(inner), Err(ErrorCode::MalformedXML), "{inner}");
        }
        for inner in [
            "<Event>s3:Nothing</Event>".to_owned(),
            filter(&rule("middle", "a")),
            filter(&(rule("prefix", "a") + &rule("Prefix", "b"))),
            filter(&(rule("suffix", "a") + &rule("suffix", "a"))),
        ] {
            assert_eq!(of(&inner), Err(ErrorCode::InvalidArgument), "{inner}");
        }
        let whole = |inner: &str| {
            notification_configuration(format!("{HEAD}{inner}{TAIL}").as_bytes())
                .map(drop)
                .map_err(|error| error.code())
        };
        assert_eq!(
            whole("<EventBridgeConfiguration/>"),
            Err(ErrorCode::NotImplemented)
        );
        assert_eq!(whole("<Other/>"), Err(ErrorCode::MalformedXML));
        assert_eq!(
            whole("<QueueConfiguration><Topic>x</Topic></QueueConfiguration>"),
            Err(ErrorCode::MalformedXML)
        );
    }
}
