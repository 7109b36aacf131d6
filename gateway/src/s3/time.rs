//! Times as S3 writes and reads them.
//!
//! Milliseconds inside, ISO 8601 with milliseconds in XML (`2009-10-12T17:50:30.000Z`), RFC 1123 in
//! headers (`Mon, 12 Oct 2009 17:50:30 GMT`: whole seconds). A condition on a date therefore
//! compares whole seconds: the client can't send back the milliseconds that it never saw.

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;

/// A moment: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment `ms` milliseconds after 1970 began.
    #[must_use]
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since 1970 began.
    #[must_use]
    pub const fn as_ms(self) -> u64 {
        self.0
    }

    /// Whole seconds since 1970 began.
    #[must_use]
    pub const fn as_seconds(self) -> u64 {
        self.0 / 1000
    }

    /// As in XML: `2009-10-12T17:50:30.000Z`.
    #[must_use]
    pub fn iso8601(self) -> String {
        // The formatter leaves out a fraction of zero, which AWS always writes.
        let whole = DateTime::from_secs(self.seconds())
            .fmt(Format::DateTime)
            .unwrap_or_else(|_| LAST_SECOND_ISO8601.to_owned());
        format!("{}.{:03}Z", whole.trim_end_matches('Z'), self.0 % 1000)
    }

    /// As in headers: `Mon, 12 Oct 2009 17:50:30 GMT`.
    #[must_use]
    pub fn http_date(self) -> String {
        DateTime::from_secs(self.seconds())
            .fmt(Format::HttpDate)
            .unwrap_or_else(|_| LAST_SECOND_HTTP.to_owned())
    }

    /// Reads a header's date. `None` if it is no date, or lies before 1970.
    #[must_use]
    pub fn from_http_date(text: &str) -> Option<Self> {
        let date = DateTime::from_str(text.trim(), Format::HttpDate).ok()?;
        let seconds = u64::try_from(date.secs()).ok()?;
        Some(Self(seconds.checked_mul(1000)?))
    }

    /// Reads a date of a query or of XML. `None` if it is no date, or lies before 1970.
    #[must_use]
    pub fn from_iso8601(text: &str) -> Option<Self> {
        let date = DateTime::from_str(text.trim(), Format::DateTimeWithOffset).ok()?;
        u64::try_from(date.to_millis().ok()?).ok().map(Self)
    }

    fn seconds(self) -> i64 {
        i64::try_from(self.as_seconds()).unwrap_or(i64::MAX)
    }
}

/// The last second that either form can write; what a corrupt clock would give is shown as this.
const LAST_SECOND_ISO8601: &str = "9999-12-31T23:59:59Z";
const LAST_SECOND_HTTP: &str = "Fri, 31 Dec 9999 23:59:59 GMT";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_aws_writes_them() {
        let time = Timestamp::from_ms(1_255_369_830_000);
        assert_eq!(time.iso8601(), "2009-10-12T17:50:30.000Z");
        assert_eq!(time.http_date(), "Mon, 12 Oct 2009 17:50:30 GMT");
        assert_eq!(
            Timestamp::from_ms(1_255_369_830_007).iso8601(),
            "2009-10-12T17:50:30.007Z"
        );
        assert_eq!(Timestamp::from_ms(0).iso8601(), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn an_impossible_time_is_shown_and_never_panics() {
        let never = Timestamp::from_ms(u64::MAX);
        assert!(never.iso8601().starts_with("9999-12-31T23:59:59."));
        assert_eq!(never.http_date(), LAST_SECOND_HTTP);
    }

    #[test]
    fn dates_are_read_and_nonsense_is_not() {
        let time = Timestamp::from_ms(1_255_369_830_000);
        assert_eq!(
            Timestamp::from_http_date("Mon, 12 Oct 2009 17:50:30 GMT"),
            Some(time)
        );
        assert_eq!(Timestamp::from_iso8601("2009-10-12T17:50:30Z"), Some(time));
        assert_eq!(
            Timestamp::from_iso8601("2009-10-12T19:50:30.000+02:00"),
            Some(time)
        );
        for bad in ["", "yesterday", "Mon, 12 Oct 1969 17:50:30 GMT", "12345"] {
            assert_eq!(Timestamp::from_http_date(bad), None, "{bad:?}");
            assert_eq!(Timestamp::from_iso8601(bad), None, "{bad:?}");
        }
    }
}
