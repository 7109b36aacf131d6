//! The document of a bucket's lifecycle rules, which clients send and get.

use super::reader::Element;
use super::writer::XmlWriter;
use crate::s3::error::S3Error;
use crate::s3::op::{
    LifecycleConfiguration, LifecycleExpiration, LifecycleFilter, LifecycleRule, LifecycleScope,
    LifecycleStatus, NoncurrentVersionExpiration, TagSet, Tagged, TransitionMinimum,
};
use crate::s3::time::Timestamp;

/// The rules of a LifecycleConfiguration.
///
/// # Errors
/// `MalformedXML`, `InvalidArgument`, `InvalidRequest`, `InvalidTag`; as
/// [`LifecycleConfiguration::new`]. `NotImplemented` for transitions.
pub fn lifecycle_configuration(
    body: &[u8],
    transition_minimum: TransitionMinimum,
) -> Result<LifecycleConfiguration, S3Error> {
    let mut root = Element::parse(body, "LifecycleConfiguration")?;
    let rules = root.take_all("Rule");
    root.finish()?;
    let rules = rules.into_iter().map(rule).collect::<Result<_, _>>()?;
    LifecycleConfiguration::new(rules, transition_minimum)
}

fn rule(mut element: Element) -> Result<LifecycleRule, S3Error> {
    for transition in ["Transition", "NoncurrentVersionTransition"] {
        if !element.take_all(transition).is_empty() {
            let message = "Transitions are not implemented: there is no other storage class to \
                           move objects to";
            return Err(S3Error::not_implemented(message).with("Element", transition));
        }
    }
    let status = match element.require_text("Status")?.as_str() {
        "Enabled" => LifecycleStatus::Enabled,
        "Disabled" => LifecycleStatus::Disabled,
        _ => return Err(S3Error::malformed_xml()),
    };
    let scope = match (element.take_text("Prefix")?, element.take("Filter")?) {
        (Some(prefix), None) => LifecycleScope::Prefix(prefix),
        (None, Some(filter)) => scope(filter)?,
        _ => return Err(S3Error::malformed_xml()),
    };
    let rule = LifecycleRule {
        id: element.take_text("ID")?.unwrap_or_default(),
        status,
        scope,
        expiration: match element.take("Expiration")? {
            Some(expiration) => expires(expiration)?,
            None => None,
        },
        noncurrent: element
            .take("NoncurrentVersionExpiration")?
            .map(noncurrent)
            .transpose()?,
        abort_days: element
            .take("AbortIncompleteMultipartUpload")?
            .map(abort)
            .transpose()?,
    };
    element.finish()?;
    Ok(rule)
}

fn scope(mut element: Element) -> Result<LifecycleScope, S3Error> {
    let and = element.take("And")?;
    let own = filter(element)?;
    match (and, own.conditions()) {
        (None, 0) => Ok(LifecycleScope::All),
        (None, 1) => Ok(LifecycleScope::One(own)),
        (Some(and), 0) => {
            let and = filter(and)?;
            if and.conditions() == 0 {
                return Err(S3Error::malformed_xml());
            }
            Ok(LifecycleScope::And(and))
        }
        _ => Err(S3Error::malformed_xml()),
    }
}

fn filter(mut element: Element) -> Result<LifecycleFilter, S3Error> {
    let filter = LifecycleFilter {
        prefix: element.take_text("Prefix")?,
        tags: element
            .take_all("Tag")
            .into_iter()
            .map(tag)
            .collect::<Result<_, _>>()?,
        larger_than: size(&mut element, "ObjectSizeGreaterThan", 0)?,
        smaller_than: size(&mut element, "ObjectSizeLessThan", 1)?,
    };
    element.finish()?;
    Ok(filter)
}

fn tag(mut element: Element) -> Result<(String, String), S3Error> {
    let pair = (element.require_text("Key")?, element.require_text("Value")?);
    element.finish()?;
    TagSet::new([pair.clone()], Tagged::Object)?;
    Ok(pair)
}

/// A number of bytes, of which no object has more than 2^63.
fn size(element: &mut Element, name: &str, least: u64) -> Result<Option<u64>, S3Error> {
    let Some(text) = element.take_text(name)? else {
        return Ok(None);
    };
    let size = text.trim().parse().map_err(|_| S3Error::malformed_xml())?;
    if !(least..=i64::MAX.cast_unsigned()).contains(&size) {
        let message = format!("'{name}' should be between {least} and {}", i64::MAX);
        return Err(S3Error::invalid_argument(message, name, &text));
    }
    Ok(Some(size))
}

/// `None` if it says that nothing expires.
fn expires(mut element: Element) -> Result<Option<LifecycleExpiration>, S3Error> {
    let days = days(&mut element, "Days", "Expiration")?;
    let date = element
        .take_text("Date")?
        .map(|text| date(&text))
        .transpose()?;
    let marker = match element.take_text("ExpiredObjectDeleteMarker")?.as_deref() {
        None => None,
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some(_) => return Err(S3Error::malformed_xml()),
    };
    element.finish()?;
    match (days, date, marker) {
        (Some(days), None, None | Some(false)) => Ok(Some(LifecycleExpiration::Days(days))),
        (None, Some(ms), None | Some(false)) => Ok(Some(LifecycleExpiration::Date(ms))),
        (None, None, Some(true)) => Ok(Some(LifecycleExpiration::ExpiredObjectDeleteMarker)),
        (None, None, Some(false)) => Ok(None),
        _ => Err(S3Error::malformed_xml()),
    }
}

fn date(text: &str) -> Result<u64, S3Error> {
    const DAY_MS: u64 = 24 * 3_600_000;
    let text = text.trim();
    // A day is the midnight that it begins with.
    let midnight = format!("{text}T00:00:00Z");
    let moment = if text.len() == "2030-01-01".len() {
        Timestamp::from_iso8601(&midnight)
    } else {
        Timestamp::from_iso8601(text)
    };
    let ms = moment.ok_or_else(S3Error::malformed_xml)?.as_ms();
    if !ms.is_multiple_of(DAY_MS) {
        let message = "'Date' must be at midnight GMT";
        return Err(S3Error::invalid_argument(message, "Date", text));
    }
    Ok(ms)
}

fn noncurrent(mut element: Element) -> Result<NoncurrentVersionExpiration, S3Error> {
    let name = "NoncurrentVersionExpiration";
    let days = days(&mut element, "NoncurrentDays", name)?.ok_or_else(S3Error::malformed_xml)?;
    let newer = match element.take_text("NewerNoncurrentVersions")? {
        Some(text) => Some(newer(&text)?),
        None => None,
    };
    element.finish()?;
    Ok(NoncurrentVersionExpiration { days, newer })
}

fn newer(text: &str) -> Result<u32, S3Error> {
    let most = LifecycleConfiguration::MAX_NEWER;
    match integer(text)? {
        count @ 1.. if count <= i64::from(most) => Ok(u32::try_from(count).unwrap_or(most)),
        _ => {
            let name = "NewerNoncurrentVersions";
            let message = format!("'{name}' must be between 1 and {most}");
            Err(S3Error::invalid_argument(message, name, text))
        }
    }
}

fn abort(mut element: Element) -> Result<u32, S3Error> {
    let name = "AbortIncompleteMultipartUpload";
    let days = days(&mut element, "DaysAfterInitiation", name)?;
    element.finish()?;
    days.ok_or_else(S3Error::malformed_xml)
}

fn days(element: &mut Element, name: &str, action: &str) -> Result<Option<u32>, S3Error> {
    let Some(text) = element.take_text(name)? else {
        return Ok(None);
    };
    let days = integer(&text)?;
    match i32::try_from(days).ok().filter(|days| *days > 0) {
        Some(days) => Ok(Some(days.cast_unsigned())),
        None => {
            let message = format!("'{name}' for {action} action must be a positive integer");
            Err(S3Error::invalid_argument(message, name, &text))
        }
    }
}

fn integer(text: &str) -> Result<i64, S3Error> {
    text.trim().parse().map_err(|_| S3Error::malformed_xml())
}

/// GetBucketLifecycleConfiguration's answer.
#[must_use]
pub fn lifecycle_document(configuration: &LifecycleConfiguration) -> String {
    XmlWriter::document("LifecycleConfiguration", |xml| {
        for rule in configuration.rules() {
            xml.element("Rule", |xml| write_rule(xml, rule));
        }
    })
}

fn write_rule(xml: &mut XmlWriter, rule: &LifecycleRule) {
    xml.leaf("ID", &rule.id);
    match &rule.scope {
        LifecycleScope::Prefix(prefix) => xml.leaf("Prefix", prefix),
        LifecycleScope::All => xml.element("Filter", |_| {}),
        LifecycleScope::One(filter) => xml.element("Filter", |xml| write_filter(xml, filter)),
        LifecycleScope::And(filter) => xml.element("Filter", |xml| {
            xml.element("And", |xml| write_filter(xml, filter));
        }),
    }
    let status = match rule.status {
        LifecycleStatus::Enabled => "Enabled",
        LifecycleStatus::Disabled => "Disabled",
    };
    xml.leaf("Status", status);
    if let Some(expiration) = rule.expiration {
        xml.element("Expiration", |xml| match expiration {
            LifecycleExpiration::Days(days) => xml.number("Days", days.into()),
            LifecycleExpiration::Date(ms) => {
                xml.leaf("Date", &Timestamp::from_ms(ms).iso8601());
            }
            LifecycleExpiration::ExpiredObjectDeleteMarker => {
                xml.boolean("ExpiredObjectDeleteMarker", true);
            }
        });
    }
    if let Some(noncurrent) = rule.noncurrent {
        xml.element("NoncurrentVersionExpiration", |xml| {
            xml.number("NoncurrentDays", noncurrent.days.into());
            if let Some(newer) = noncurrent.newer {
                xml.number("NewerNoncurrentVersions", newer.into());
            }
        });
    }
    if let Some(days) = rule.abort_days {
        xml.element("AbortIncompleteMultipartUpload", |xml| {
            xml.number("DaysAfterInitiation", days.into());
        });
    }
}

fn write_filter(xml: &mut XmlWriter, filter: &LifecycleFilter) {
    xml.leaf_if("Prefix", filter.prefix.as_deref());
    for (key, value) in &filter.tags {
        xml.element("Tag", |xml| {
            xml.leaf("Key", key);
            xml.leaf("Value", value);
        });
    }
    if let Some(size) = filter.larger_than {
        xml.number("ObjectSizeGreaterThan", size);
    }
    if let Some(size) = filter.smaller_than {
        xml.number("ObjectSizeLessThan", size);
    }
}

#[cfg(test)]
mod tests;
