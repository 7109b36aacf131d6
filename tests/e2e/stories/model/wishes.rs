//! What a write asks for beside its bytes: headers and tags to keep, a customer's key, a lock.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::outcome::{Is, Refusals, now_ms};
use super::reference::Version;
use super::retention::{Lock, MODE, Mode, Retention};
use super::run::{ENCRYPTION, Run};
use crate::support::client::{Call, Payload, encode};
use crate::support::digest::{iso8601, md5_base64};

/// How many customers' keys there are.
const CUSTOMER_KEYS: usize = 3;

/// What begins the names of the three headers of a customer's key.
const CUSTOMER: &str = "x-amz-server-side-encryption-customer-";
const SOURCE_CUSTOMER: &str = "x-amz-copy-source-server-side-encryption-customer-";

/// See the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wish {
    /// Headers that come back as they were given.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) tags: BTreeMap<String, String>,
    /// A customer's key, by its number.
    pub(crate) customer_key: Option<usize>,
    pub(crate) lock: Lock,
    /// A mode is said and no time, which is wrong.
    is_halved: bool,
}

impl Wish {
    /// All headers that say it, but those of tags.
    pub(crate) fn headers(&self) -> Vec<(String, String)> {
        let mut headers: Vec<(String, String)> = self.headers.clone().into_iter().collect();
        headers.extend(self.customer_key.into_iter().flat_map(key_headers));
        let lock = self.lock.headers().into_iter();
        headers.extend(lock.map(|(name, value)| (name.to_owned(), value)));
        if self.is_halved {
            headers.push((MODE.to_owned(), Mode::Governance.name().to_owned()));
        }
        headers
    }

    /// `call` with all that is wished for.
    pub(crate) fn on(&self, mut call: Call) -> Call {
        for (name, value) in self.headers() {
            call = call.header(&name, &value);
        }
        if self.tags.is_empty() {
            return call;
        }
        let tags: Vec<String> = self
            .tags
            .iter()
            .map(|(key, value)| format!("{}={}", encode(key, false), encode(value, false)))
            .collect();
        call.header("x-amz-tagging", &tags.join("&"))
    }
}

/// The headers of a customer's key.
pub(crate) fn key_headers(number: usize) -> Vec<(String, String)> {
    named_key_headers(CUSTOMER, number)
}

fn named_key_headers(names: &str, number: usize) -> Vec<(String, String)> {
    let key = [b'A' + number as u8; 32];
    [
        ("algorithm", "AES256".to_owned()),
        ("key", STANDARD.encode(key)),
        ("key-md5", md5_base64(&key)),
    ]
    .into_iter()
    .map(|(name, value)| (format!("{names}{name}"), value))
    .collect()
}

/// `call` with the key that is needed.
pub(crate) fn with_key(mut call: Call, key: Option<usize>) -> Call {
    for (name, value) in key.into_iter().flat_map(key_headers) {
        call = call.header(&name, &value);
    }
    call
}

/// `call` with the key of what is copied.
pub(crate) fn with_source_key(mut call: Call, key: Option<usize>) -> Call {
    let headers = key.map(|number| named_key_headers(SOURCE_CUSTOMER, number));
    for (name, value) in headers.into_iter().flatten() {
        call = call.header(&name, &value);
    }
    call
}

/// What must be shown of how a version is encrypted, beside what comes back as it was given.
pub(crate) fn shown_key(key: Option<usize>) -> Vec<(String, String)> {
    let headers = key.into_iter().flat_map(key_headers);
    headers
        .filter(|(name, _)| !name.ends_with("-key"))
        .collect()
}

/// The names of those headers.
pub(crate) fn is_key_header(name: &str) -> bool {
    name.starts_with(CUSTOMER)
}

/// Whether a digest of the body comes with `call`.
pub(crate) fn has_digest(call: &Call) -> bool {
    let trailer = match &call.payload {
        Payload::SignedChunks { trailer, .. } => trailer.is_some(),
        Payload::UnsignedChunks { .. } => true,
        _ => false,
    };
    let is_digest = |name: &str| {
        name == "content-md5"
            || (name.starts_with("x-amz-checksum-") && name != "x-amz-checksum-algorithm")
    };
    trailer || call.headers.iter().any(|(name, _)| is_digest(name))
}

impl Run {
    /// What a write to `bucket` asks for.
    pub(crate) fn some_wish(&mut self, bucket: &str) -> Wish {
        let mut wish = Wish {
            headers: self.some_headers(),
            ..Wish::default()
        };
        if self.random.percent(12) {
            wish.headers.remove(ENCRYPTION);
            wish.customer_key = Some(self.some_customer_key());
        }
        if self.random.percent(10) {
            wish.tags = self.some_tags(3);
        }
        let lockable = self.buckets[bucket].object_lock.is_some();
        if self.random.percent(if lockable { 40 } else { 2 }) {
            match self.random.below(20) {
                0 => wish.is_halved = true,
                1..14 => wish.lock.retention = Some(self.some_retention()),
                _ => {}
            }
            if self.random.percent(30) {
                wish.lock.hold = Some(self.random.percent(60));
            }
        }
        wish
    }

    fn some_customer_key(&mut self) -> usize {
        self.random.below(CUSTOMER_KEYS as u64) as usize
    }

    /// Mostly for long, now and then for so short that it ends during the run, or in the past.
    pub(crate) fn some_retention(&mut self) -> Retention {
        let mode = match self.random.percent(75) {
            true => Mode::Governance,
            false => Mode::Compliance,
        };
        let until_ms = match self.random.below(20) {
            0 => now_ms() - 3_600_000,
            1..6 => now_ms() + self.random.between(300, 4_000),
            _ => now_ms() + self.random.between(1, 10_000) * 24 * 3_600_000,
        };
        Retention {
            mode,
            until: iso8601(until_ms),
        }
    }

    /// What is wrong with a wish in this bucket, as of the last request.
    pub(crate) fn refusals_of(&self, bucket: &str, wish: &Wish) -> Refusals {
        let held = &self.buckets[bucket];
        let mut refusals = Refusals::default();
        let refused_key = wish.customer_key.is_some() && held.refuses_customer_keys();
        refusals.add_if(refused_key, (403, "AccessDenied"));
        refusals.add_if(wish.is_halved, (400, "InvalidArgument"));
        let asked = wish.is_halved || !wish.lock.is_empty();
        refusals.add_if(asked && held.object_lock.is_none(), (400, "InvalidRequest"));
        if let Some(retention) = &wish.lock.retention {
            let late = retention.holds(self.span).not();
            refusals.add_as(late, (400, "InvalidArgument"));
        }
        refusals
    }

    /// Whether bytes of an object that is to be locked so need a digest.
    pub(crate) fn needs_digest(&self, bucket: &str, lock: &Lock) -> bool {
        let default = self.buckets[bucket].object_lock.and_then(|it| it.default);
        !lock.is_empty() || default.is_some()
    }

    /// The headers that an object keeps that is written so.
    pub(crate) fn kept_headers(&self, bucket: &str, wish: &Wish) -> BTreeMap<String, String> {
        let mut headers = wish.headers.clone();
        if wish.customer_key.is_none() && self.buckets[bucket].encrypts() {
            headers.insert(ENCRYPTION.to_owned(), "AES256".to_owned());
        }
        headers
    }

    /// The key with which `version` is copied, now and then a wrong one, and what is wrong then.
    pub(crate) fn some_source_key(
        &mut self,
        version: Option<&Version>,
        refusals: &mut Refusals,
    ) -> Option<usize> {
        let version = version.filter(|version| !version.is_marker);
        let right = version.and_then(|version| version.customer_key);
        if version.is_none() || !self.random.percent(8) {
            return right;
        }
        let (given, refusal) = self.wrong_key(right);
        refusals.add(refusal);
        given
    }

    /// A key that is not the right one, or none, and what it leads to.
    pub(crate) fn wrong_key(
        &mut self,
        right: Option<usize>,
    ) -> (Option<usize>, (u16, &'static str)) {
        match right {
            None => (Some(self.some_customer_key()), (400, "InvalidRequest")),
            Some(_) if self.random.percent(50) => (None, (400, "InvalidRequest")),
            Some(right) => (Some((right + 1) % CUSTOMER_KEYS), (403, "AccessDenied")),
        }
    }
}

#[test]
fn what_time_decides_is_unclear_only_while_it_comes() {
    use super::outcome::Span;
    let retention = Retention {
        mode: Mode::Governance,
        until: iso8601(2_000),
    };
    let holds = |sent_ms, answered_ms| {
        retention.holds(Span {
            sent_ms,
            answered_ms,
        })
    };
    assert_eq!(holds(1_000, 1_999), Is::Yes);
    assert_eq!(holds(1_000, 2_000), Is::Unclear);
    assert_eq!(holds(2_000, 2_100), Is::No);
}
