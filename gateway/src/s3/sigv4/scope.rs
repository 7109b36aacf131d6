//! When and for what a request was signed: `20130524/us-east-1/s3/aws4_request`.

use std::fmt;

use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

const BASIC: &[BorrowedFormatItem<'_>] =
    format_description!("[year][month][day]T[hour][minute][second]Z");
const RFC_7231: &[BorrowedFormatItem<'_>] = format_description!(
    "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
);

/// A moment as SigV4 writes it, `20130524T000000Z`: to the second, in UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct AmzDate(OffsetDateTime);

impl AmzDate {
    /// Reads `20130524T000000Z`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // The format alone would take a signed year of more digits.
        if text.len() != 16 {
            return None;
        }
        PrimitiveDateTime::parse(text, BASIC)
            .ok()
            .map(|at| Self(at.assume_utc()))
    }

    /// Reads a `Date` header: `Fri, 24 May 2013 00:00:00 GMT`.
    #[must_use]
    pub fn parse_http_date(text: &str) -> Option<Self> {
        PrimitiveDateTime::parse(text, RFC_7231)
            .ok()
            .map(|at| Self(at.assume_utc()))
    }

    /// Seconds since 1970; 0 for anything before.
    #[must_use]
    pub fn unix_secs(self) -> u64 {
        u64::try_from(self.0.unix_timestamp()).unwrap_or(0)
    }

    /// The day, as a scope has it: `20130524`.
    #[must_use]
    pub fn day(self) -> String {
        self.to_string()[..8].to_owned()
    }
}

impl fmt::Display for AmzDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.0;
        write!(
            f,
            "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second()
        )
    }
}

/// What a signing key is good for: one day, one region, one service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CredentialScope {
    /// `YYYYMMDD`.
    pub day: String,
    /// The region that the client believes to talk to.
    pub region: String,
    /// The service that the client believes to talk to.
    pub service: String,
}

impl fmt::Display for CredentialScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{}/{}/{TERMINATOR}",
            self.day, self.region, self.service
        )
    }
}

/// Splits `ACCESS-KEY/20130524/us-east-1/s3/aws4_request`. An access key may hold slashes: the
/// scope is the last four parts.
pub(super) fn parse_credential(text: &str) -> Result<(String, CredentialScope), &'static str> {
    const SHAPE: &str = "the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".";
    let mut parts = text.rsplitn(5, '/');
    let mut next = || parts.next().ok_or(SHAPE);
    let (terminator, service, region, day, access_key) =
        (next()?, next()?, next()?, next()?, next()?);
    if terminator != TERMINATOR || access_key.is_empty() {
        return Err(SHAPE);
    }
    if day.len() != 8 || !day.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(
            "incorrect date format. This date in the credential must be in the format \
                    \"yyyyMMdd\".",
        );
    }
    let scope = CredentialScope {
        day: day.to_owned(),
        region: region.to_owned(),
        service: service.to_owned(),
    };
    Ok((access_key.to_owned(), scope))
}

const TERMINATOR: &str = "aws4_request";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_reads_back_as_it_is_written() {
        let date = AmzDate::parse("20130524T123456Z").unwrap();
        assert_eq!(date.to_string(), "20130524T123456Z");
        assert_eq!(date.day(), "20130524");
        assert_eq!(date.unix_secs(), 1_369_398_896);
        assert_eq!(
            AmzDate::parse_http_date("Fri, 24 May 2013 12:34:56 GMT"),
            Some(date)
        );
    }

    #[test]
    fn a_bad_date_is_no_date() {
        for text in [
            "",
            "20130524",
            "20130524T000000",
            "20131324T000000Z",
            "20130524T240000Z",
            "20130524T000000+",
            "20130524t000000Z",
            "+2013524T000000Z",
            "2013-05-24T00:00:00Z",
        ] {
            assert_eq!(AmzDate::parse(text), None, "{text}");
        }
        assert_eq!(
            AmzDate::parse_http_date("Fri, 24 May 2013 12:34:56 +0000"),
            None
        );
    }

    #[test]
    fn a_credential_is_five_parts() {
        let (key, scope) = parse_credential("A/B/20130524/us-east-1/s3/aws4_request").unwrap();
        assert_eq!(key, "A/B");
        assert_eq!(scope.to_string(), "20130524/us-east-1/s3/aws4_request");
        for text in [
            "",
            "A",
            "A/20130524/us-east-1/s3",
            "/20130524/us-east-1/s3/aws4_request",
            "A/20130524/us-east-1/s3/aws5_request",
            "A/2013052/us-east-1/s3/aws4_request",
            "A/2013052x/us-east-1/s3/aws4_request",
            "20130524/us-east-1/s3/aws4_request",
        ] {
            assert!(parse_credential(text).is_err(), "{text}");
        }
    }
}
