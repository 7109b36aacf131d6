//! Documents of object lock: a bucket's configuration, a version's retention and legal hold.

use super::reader::Element;
use super::writer::XmlWriter;
use crate::s3::error::{ErrorCode, S3Error};
use crate::s3::op::{
    DefaultRetention, LegalHold, ObjectLockConfiguration, Retention, RetentionMode, RetentionPeriod,
};
use crate::s3::time::Timestamp;

/// Reads an ObjectLockConfiguration.
///
/// # Errors
/// `MalformedXML`; `InvalidRetentionPeriod`.
pub fn object_lock_configuration(body: &[u8]) -> Result<ObjectLockConfiguration, S3Error> {
    let mut root = Element::parse(body, "ObjectLockConfiguration")?;
    let enabled = root.require_text("ObjectLockEnabled")?;
    let rule = root.take("Rule")?;
    root.finish()?;
    if enabled != "Enabled" {
        return Err(S3Error::malformed_xml());
    }
    Ok(ObjectLockConfiguration {
        default: rule.map(default_retention).transpose()?,
    })
}

fn default_retention(mut rule: Element) -> Result<DefaultRetention, S3Error> {
    let retention = rule.take("DefaultRetention")?;
    rule.finish()?;
    let mut retention = retention.ok_or_else(S3Error::malformed_xml)?;
    let mode = retention.require_text("Mode")?;
    let days = retention.take_text("Days")?;
    let years = retention.take_text("Years")?;
    retention.finish()?;
    let period = match (days, years) {
        (Some(days), None) => {
            RetentionPeriod::Days(period("Days", &days, RetentionPeriod::MAX_DAYS)?)
        }
        (None, Some(years)) => {
            RetentionPeriod::Years(period("Years", &years, RetentionPeriod::MAX_YEARS)?)
        }
        _ => return Err(S3Error::malformed_xml()),
    };
    Ok(DefaultRetention {
        mode: RetentionMode::from_name(&mode).ok_or_else(S3Error::malformed_xml)?,
        period,
    })
}

/// A whole number from 1 to `most`. What is no number at all is malformed.
fn period(element: &'static str, text: &str, most: u32) -> Result<u32, S3Error> {
    let number: i64 = text.parse().map_err(|_| S3Error::malformed_xml())?;
    u32::try_from(number)
        .ok()
        .filter(|number| (1..=most).contains(number))
        .ok_or_else(|| {
            let message =
                format!("The retention {element} must be a positive integer up to {most}");
            S3Error::message(ErrorCode::InvalidRetentionPeriod, message).with(element, text)
        })
}

/// GetObjectLockConfiguration's answer.
#[must_use]
pub fn object_lock_document(configuration: &ObjectLockConfiguration) -> String {
    XmlWriter::document("ObjectLockConfiguration", |xml| {
        xml.leaf("ObjectLockEnabled", "Enabled");
        let Some(default) = &configuration.default else {
            return;
        };
        xml.element("Rule", |xml| {
            xml.element("DefaultRetention", |xml| {
                xml.leaf("Mode", default.mode.as_str());
                match default.period {
                    RetentionPeriod::Days(days) => xml.leaf("Days", &days.to_string()),
                    RetentionPeriod::Years(years) => xml.leaf("Years", &years.to_string()),
                }
            });
        });
    })
}

/// Reads a Retention; an empty one takes a version's retention away.
///
/// # Errors
/// `MalformedXML`.
pub fn retention(body: &[u8]) -> Result<Option<Retention>, S3Error> {
    let mut root = Element::parse(body, "Retention")?;
    let mode = root.take_text("Mode")?;
    let until = root.take_text("RetainUntilDate")?;
    root.finish()?;
    match (mode, until) {
        (None, None) => Ok(None),
        (Some(mode), Some(until)) => Ok(Some(Retention {
            mode: RetentionMode::from_name(&mode).ok_or_else(S3Error::malformed_xml)?,
            until: Timestamp::from_iso8601(&until).ok_or_else(S3Error::malformed_xml)?,
        })),
        _ => Err(S3Error::malformed_xml()),
    }
}

/// GetObjectRetention's answer.
#[must_use]
pub fn retention_document(retention: &Retention) -> String {
    XmlWriter::document("Retention", |xml| {
        xml.leaf("Mode", retention.mode.as_str());
        xml.leaf("RetainUntilDate", &retention.until.iso8601());
    })
}

/// Reads a LegalHold.
///
/// # Errors
/// `MalformedXML`.
pub fn legal_hold(body: &[u8]) -> Result<LegalHold, S3Error> {
    let mut root = Element::parse(body, "LegalHold")?;
    let status = root.require_text("Status")?;
    root.finish()?;
    LegalHold::from_name(&status).ok_or_else(S3Error::malformed_xml)
}

/// GetObjectLegalHold's answer.
#[must_use]
pub fn legal_hold_document(hold: LegalHold) -> String {
    XmlWriter::document("LegalHold", |xml| xml.leaf("Status", hold.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn default(mode: RetentionMode, period: RetentionPeriod) -> ObjectLockConfiguration {
        ObjectLockConfiguration {
            default: Some(DefaultRetention { mode, period }),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for configuration in [
            ObjectLockConfiguration { default: None },
            default(RetentionMode::Governance, RetentionPeriod::Days(36_500)),
            default(RetentionMode::Compliance, RetentionPeriod::Years(100)),
        ] {
            let document = object_lock_document(&configuration);
            let read = object_lock_configuration(document.as_bytes()).unwrap();
            assert_eq!(read, configuration, "{document}");
        }
        let until = Timestamp::from_ms(1_893_456_000_007);
        for mode in [RetentionMode::Governance, RetentionMode::Compliance] {
            let kept = Retention { mode, until };
            let document = retention_document(&kept);
            assert!(document.contains("<RetainUntilDate>2030-01-01T00:00:00.007Z<"));
            assert_eq!(retention(document.as_bytes()).unwrap(), Some(kept));
        }
        for hold in [LegalHold::On, LegalHold::Off] {
            let document = legal_hold_document(hold);
            assert_eq!(legal_hold(document.as_bytes()).unwrap(), hold);
        }
        assert_eq!(retention(b"<Retention/>").unwrap(), None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let configured = |rule: &str| {
            let document = format!(
                "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>\
                 <Rule><DefaultRetention>{rule}</DefaultRetention></Rule>\
                 </ObjectLockConfiguration>"
            );
            object_lock_configuration(document.as_bytes()).map_err(|error| error.code())
        };
        let mode = "<Mode>GOVERNANCE</Mode>";
        assert!(configured(&format!("{mode}<Days>1</Days>")).is_ok());
        for (rule, code) in [
            ("<Days>0</Days>", ErrorCode::InvalidRetentionPeriod),
            ("<Days>-1</Days>", ErrorCode::InvalidRetentionPeriod),
            ("<Days>36501</Days>", ErrorCode::InvalidRetentionPeriod),
            ("<Years>101</Years>", ErrorCode::InvalidRetentionPeriod),
            ("<Years>0</Years>", ErrorCode::InvalidRetentionPeriod),
            ("<Days>x</Days>", ErrorCode::MalformedXML),
            ("<Days>1</Days><Years>1</Years>", ErrorCode::MalformedXML),
            ("", ErrorCode::MalformedXML),
        ] {
            assert_eq!(configured(&format!("{mode}{rule}")), Err(code), "{rule}");
        }
        for rule in [
            "<Days>1</Days>",
            "<Mode>governance</Mode><Days>1</Days>",
            "<Mode>X</Mode><Days>1</Days>",
        ] {
            assert_eq!(configured(rule), Err(ErrorCode::MalformedXML), "{rule}");
        }
        for document in [
            "<ObjectLockConfiguration/>",
            "<ObjectLockConfiguration><ObjectLockEnabled>Disabled</ObjectLockEnabled>\
             </ObjectLockConfiguration>",
            "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule/>\
             </ObjectLockConfiguration>",
        ] {
            let error = object_lock_configuration(document.as_bytes()).unwrap_err();
            assert_eq!(error.code(), ErrorCode::MalformedXML, "{document}");
        }
        for document in [
            "<Retention><Mode>GOVERNANCE</Mode></Retention>",
            "<Retention><RetainUntilDate>2030-01-01T00:00:00Z</RetainUntilDate></Retention>",
            "<Retention><Mode>X</Mode><RetainUntilDate>2030-01-01T00:00:00Z</RetainUntilDate>\
             </Retention>",
            "<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>soon</RetainUntilDate></Retention>",
        ] {
            let error = retention(document.as_bytes()).unwrap_err();
            assert_eq!(error.code(), ErrorCode::MalformedXML, "{document}");
        }
        for document in ["<LegalHold/>", "<LegalHold><Status>on</Status></LegalHold>"] {
            let error = legal_hold(document.as_bytes()).unwrap_err();
            assert_eq!(error.code(), ErrorCode::MalformedXML, "{document}");
        }
    }
}
