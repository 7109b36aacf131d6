//! Steps on lifecycle. A bucket is given rules, and while they are at work it is only read: nothing
//! goes early, what the rules leave is always there, and the rest may be seen or not. Other steps and
//! restarts go on meanwhile. Then the run waits until the bucket is what the rules leave of it, and
//! takes the rules away.

use std::time::{Duration, Instant};

use super::expiry::{Rules, UNKNOWN};
use super::lists::version_entries;
use super::reference::{Bucket, VersionEntry};
use super::run::{DAY_S, Run};
use super::wishes::with_key;
use crate::support::client::Call;
use crate::support::xml::Element;

/// Steps during which rules are at work at least.
const STEPS_AT_WORK: u64 = 40;

/// What is due and not gone by now is forgotten.
const DEADLINE: Duration = Duration::from_secs(120);

/// A bucket whose rules are at work.
pub(crate) struct Expiring {
    bucket: String,
    rules: Rules,
    /// What the rules leave.
    end: Bucket,
    /// When they were put.
    since_step: u64,
}

impl Run {
    /// Whether a bucket's lifecycle rules are at work.
    pub(crate) fn is_expiring(&self, bucket: &str) -> bool {
        let expiring = self.expiring.as_ref();
        expiring.is_some_and(|expiring| expiring.bucket == bucket)
    }

    /// Puts rules on a bucket, or reads where there are some.
    pub(crate) fn lifecycle(&mut self) {
        if self.expiring.is_some() {
            return self.read_expiring();
        }
        let bucket = self.some_bucket();
        let rules = Rules::some(&mut self.random);
        let document = rules.document();
        self.note(format!("lifecycle rules: {document}"));
        let call = |method| Call::new(method, &format!("/{bucket}")).flag("lifecycle");
        let answer = self.call(&call("PUT").body(document.as_bytes()));
        assert_eq!(answer.status, 200, "{}", answer.shown());
        let answer = self.call(&call("GET"));
        assert_eq!(answer.status, 200, "{}", answer.shown());
        assert_eq!(
            Element::parse(&answer.body),
            Element::parse(document.as_bytes())
        );
        self.expiring = Some(Expiring {
            end: rules.end_of(&self.buckets[&bucket]),
            bucket,
            rules,
            since_step: self.step,
        });
        self.read_expiring();
    }

    /// Reads some object of the bucket whose rules are at work.
    fn read_expiring(&mut self) {
        let Some(expiring) = self.expiring.take() else {
            return;
        };
        let key = self.some_key(&expiring.bucket);
        if let Some(version) = self.buckets[&expiring.bucket].current(&key).cloned() {
            let call = Call::object("GET", &expiring.bucket, &key);
            let answer = self.call(&with_key(call, version.customer_key));
            let days = expiring.rules.least_days(&key, &version);
            let may_be_gone = days
                .is_some_and(|days| self.span.answered_ms >= version.sent_ms + days * DAY_S * 1000);
            if answer.status == 404 {
                assert!(may_be_gone, "{key} went early: {}", answer.shown());
                assert_eq!(answer.code(), "NoSuchKey");
            } else {
                assert_eq!(answer.status, 200, "{key}: {}", answer.shown());
                self.compare_body("GET", &answer, &version.body);
                let bucket = expiring.bucket.clone();
                self.compare_headers(&bucket, &key, &version, &answer);
            }
        }
        self.expiring = Some(expiring);
    }

    /// Ends what has been at work for long enough.
    pub(crate) fn settle_in_time(&mut self) {
        let since = self.expiring.as_ref().map(|expiring| expiring.since_step);
        if since.is_some_and(|since| self.step >= since + STEPS_AT_WORK) {
            self.settle();
        }
    }

    /// Waits until the rules at work, if any, have done all that they are to do, and takes them away.
    pub(crate) fn settle(&mut self) {
        let Some(Expiring { bucket, end, .. }) = self.expiring.take() else {
            return;
        };
        self.note(format!("{bucket} is to become what its rules leave"));
        let began = Instant::now();
        let listed = loop {
            let listed = self.all_versions(&bucket);
            assert_nothing_is_lost(&end, &listed);
            let uploads = self.listed_uploads(&bucket);
            if is_end(&end, &listed) && uploads == end.open_uploads() {
                break listed;
            }
            assert!(
                began.elapsed() < DEADLINE,
                "{bucket} has {listed:#?} {uploads:?} and should have {:#?} {:?}\n{}",
                end.version_listing("", ""),
                end.open_uploads(),
                self.server.log_end()
            );
            std::thread::sleep(Duration::from_millis(50));
        };
        let mut end = end;
        end.name_markers(&listed, UNKNOWN);
        self.buckets.insert(bucket.clone(), end);
        let call = |method| Call::new(method, &format!("/{bucket}")).flag("lifecycle");
        let answer = self.call(&call("DELETE"));
        assert_eq!(answer.status, 204, "{}", answer.shown());
        let answer = self.call(&call("GET"));
        self.refused(&answer, (404, "NoSuchLifecycleConfiguration"));
    }

    fn all_versions(&mut self, bucket: &str) -> Vec<VersionEntry> {
        let mut entries = Vec::new();
        let (mut key, mut id) = (String::new(), String::new());
        loop {
            let mut call = Call::new("GET", &format!("/{bucket}")).flag("versions");
            if !key.is_empty() {
                call = call.query("key-marker", &key);
                call = call.query("version-id-marker", &id);
            }
            let answer = self.call(&call.query("encoding-type", "url"));
            assert_eq!(answer.status, 200, "{}", answer.shown());
            let page = Element::parse(&answer.body);
            entries.extend(version_entries(&page, true));
            if page.text_of("IsTruncated") == "false" {
                return entries;
            }
            key = super::lists::decoded(page.text_of("NextKeyMarker"), true);
            page.text_of("NextVersionIdMarker").clone_into(&mut id);
        }
    }
}

/// What the rules leave is there at any time.
fn assert_nothing_is_lost(end: &Bucket, listed: &[VersionEntry]) {
    for stays in end.version_listing("", "") {
        let is_there = |found: &VersionEntry| {
            (&found.key, &found.id, &found.etag) == (&stays.key, &stays.id, &stays.etag)
        };
        // A marker may still have to come.
        let may_come = stays.is_marker;
        assert!(
            may_come || listed.iter().any(is_there),
            "{stays:?} is lost: {listed:#?}"
        );
    }
}

/// Whether a listing shows the end, whatever the ids of new markers are.
fn is_end(end: &Bucket, listed: &[VersionEntry]) -> bool {
    let expected = end.version_listing("", "");
    expected.len() == listed.len()
        && expected.iter().zip(listed).all(|(expected, found)| {
            let id = match expected.id.starts_with(UNKNOWN) {
                true => found.id.clone(),
                false => expected.id.clone(),
            };
            *found
                == VersionEntry {
                    id,
                    ..expected.clone()
                }
        })
}
