//! Object lock in the reference: what keeps a version, and what may be said of it next.

use super::outcome::{Is, Span, now_ms};
use crate::support::digest::iso8601;
use crate::support::http::Response;

/// How strict a retention is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Governance,
    Compliance,
}

impl Mode {
    /// AWS's name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Governance => "GOVERNANCE",
            Self::Compliance => "COMPLIANCE",
        }
    }
}

/// Keeps a version until a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Retention {
    pub(crate) mode: Mode,
    /// As it is written: `2026-11-20T07:08:09.123Z`. Such texts are ordered as their times are.
    pub(crate) until: String,
}

impl Retention {
    /// Whether its time has not come.
    pub(crate) fn holds(&self, span: Span) -> Is {
        if self.until > iso8601(span.answered_ms) {
            Is::Yes
        } else if self.until <= iso8601(span.sent_ms) {
            Is::No
        } else {
            Is::Unclear
        }
    }

    fn is_bypassed(&self, bypass: bool) -> bool {
        bypass && self.mode == Mode::Governance
    }
}

/// What keeps a version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Lock {
    pub(crate) retention: Option<Retention>,
    /// The legal hold, if one was ever spoken of.
    pub(crate) hold: Option<bool>,
}

impl Lock {
    /// Whether nothing was said.
    pub(crate) const fn is_empty(&self) -> bool {
        self.retention.is_none() && self.hold.is_none()
    }

    /// Whether the version may not go.
    pub(crate) fn holds(&self, bypass: bool, span: Span) -> Is {
        match &self.retention {
            _ if self.hold == Some(true) => Is::Yes,
            Some(retention) if !retention.is_bypassed(bypass) => retention.holds(span),
            _ => Is::No,
        }
    }

    /// Whether a retention is for so long that no test sees its end.
    pub(crate) fn outlasts_a_run(&self) -> bool {
        let long = iso8601(now_ms() + 12 * 3_600_000);
        let retention = self.retention.as_ref();
        retention.is_some_and(|retention| retention.until > long)
    }

    /// Whether `new` may take the place of the retention: it may be longer of the same kind, or
    /// there is none to respect any more.
    pub(crate) fn may_become(&self, new: Option<&Retention>, bypass: bool, span: Span) -> Is {
        match (&self.retention, new) {
            (None, _) => Is::Yes,
            (Some(old), Some(new)) if new.mode == old.mode && new.until >= old.until => Is::Yes,
            (Some(old), _) if old.is_bypassed(bypass) => Is::Yes,
            (Some(old), _) => old.holds(span).not(),
        }
    }

    /// The headers that say it.
    pub(crate) fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = Vec::new();
        if let Some(Retention { mode, until }) = &self.retention {
            headers.push((MODE, mode.name().to_owned()));
            headers.push((UNTIL, until.clone()));
        }
        if let Some(on) = self.hold {
            headers.push((HOLD, status(on).to_owned()));
        }
        headers
    }

    /// Compares it with what an answer shows.
    pub(crate) fn compare(&self, answer: &Response) {
        let found: Vec<(&str, String)> = [MODE, UNTIL, HOLD]
            .into_iter()
            .filter_map(|name| Some((name, answer.header(name)?.to_owned())))
            .collect();
        assert_eq!(found, self.headers(), "{}", answer.shown());
    }
}

/// A legal hold's state in AWS's words.
pub(crate) const fn status(on: bool) -> &'static str {
    match on {
        true => "ON",
        false => "OFF",
    }
}

/// What a bucket with object lock gives to new versions that ask for no retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DefaultRetention {
    pub(crate) mode: Mode,
    pub(crate) days: u64,
}

impl DefaultRetention {
    /// Takes a retention out of an answer about a version that was written during `span`.
    pub(crate) fn given(&self, span: Span, answer: &Response) -> Retention {
        let until = answer.header(UNTIL).expect("a default is given");
        let after = |ms| iso8601(ms + self.days * 24 * 3_600_000);
        let (first, last) = (after(span.sent_ms), after(span.answered_ms));
        assert!(
            first.as_str() <= until && until <= last.as_str(),
            "{until} is not from {first} to {last}"
        );
        Retention {
            mode: self.mode,
            until: until.to_owned(),
        }
    }
}

pub(crate) const MODE: &str = "x-amz-object-lock-mode";
const UNTIL: &str = "x-amz-object-lock-retain-until-date";
const HOLD: &str = "x-amz-object-lock-legal-hold";
