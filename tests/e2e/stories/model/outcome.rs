//! What may be answered: by what holds while a request is under way, and by all that is wrong with
//! it. The clock is everybody's, so what time decides can be unclear, and then either answer is
//! right.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::support::http::Response;

/// A status and S3's code.
pub(crate) type Refusal = (u16, &'static str);

/// From when a request was sent until its answer was there, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Span {
    pub(crate) sent_ms: u64,
    pub(crate) answered_ms: u64,
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("it is after 1970").as_millis() as u64
}

/// Whether something holds when the server looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Is {
    Yes,
    No,
    /// It depends on when that is.
    Unclear,
}

impl Is {
    /// The contrary.
    pub(crate) const fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Unclear => Self::Unclear,
        }
    }
}

/// All that is wrong with a request. Where several things are wrong at once, any one of their
/// answers will do.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    certain: Vec<Refusal>,
    possible: Vec<Refusal>,
}

impl Refusals {
    /// This is wrong.
    pub(crate) fn add(&mut self, refusal: Refusal) {
        self.certain.push(refusal);
    }

    /// This is wrong if `wrong`.
    pub(crate) fn add_if(&mut self, wrong: bool, refusal: Refusal) {
        if wrong {
            self.add(refusal);
        }
    }

    /// This is wrong if `is`.
    pub(crate) fn add_as(&mut self, is: Is, refusal: Refusal) {
        match is {
            Is::Yes => self.add(refusal),
            Is::No => {}
            Is::Unclear => self.possible.push(refusal),
        }
    }

    /// All of this is wrong, too.
    pub(crate) fn add_all(&mut self, others: Self) {
        self.certain.extend(others.certain);
        self.possible.extend(others.possible);
    }

    /// Another answer to what is wrong already.
    pub(crate) fn or(&mut self, refusal: Refusal) {
        self.possible.push(refusal);
    }

    /// Whether the request was done; fails the test if it should not have been, or was refused in
    /// other words.
    pub(crate) fn done(&self, answer: &Response) -> bool {
        if (200..300).contains(&answer.status) {
            assert!(
                self.certain.is_empty(),
                "done in spite of {:?}: {}",
                self.certain,
                answer.shown()
            );
            return true;
        }
        let found = (answer.status, answer.code());
        let mut expected = self.certain.iter().chain(&self.possible);
        assert!(
            expected.any(|refusal| *refusal == found),
            "expected {self:?}: {}",
            answer.shown()
        );
        false
    }
}
