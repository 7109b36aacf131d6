//! CopyObject: what is kept of the source, what is asked for anew, and when its bytes are written
//! again.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::objects::written_version;
use super::outcome::Refusals;
use super::reference::{Version, Versioning};
use super::run::{ENCRYPTION, Run};
use super::wishes::{Wish, with_source_key};
use crate::support::client::{Call, encode};
use crate::support::http::Response;
use crate::support::xml::Element;

/// What a copy takes over, and what it is given.
struct Copy {
    wish: Wish,
    replaces: bool,
}

impl Copy {
    fn on(&self, mut call: Call) -> Call {
        if self.replaces {
            call = call.header("x-amz-metadata-directive", "REPLACE");
        }
        if !self.wish.tags.is_empty() {
            call = call.header("x-amz-tagging-directive", "REPLACE");
        }
        self.wish.on(call)
    }

    /// Whether a copy onto itself would change nothing.
    fn changes_nothing(&self) -> bool {
        let is_encrypted =
            self.wish.customer_key.is_some() || self.wish.headers.contains_key(ENCRYPTION);
        !self.replaces && !is_encrypted
    }
}

impl Run {
    pub(crate) fn copy(&mut self) {
        let (from, to) = (self.some_bucket(), self.some_bucket());
        let (source_key, key) = (self.some_key(&from), self.some_key(&to));
        let id = self.some_version(&from, &source_key);
        let held = &self.buckets[&from];
        let source = match &id {
            Some(id) => held.version(&source_key, id),
            None => held.newest(&source_key),
        };
        let source = source.cloned();
        let condition = self.some_condition(&to, &key);
        let copy = self.some_copy(&to);
        let mut named = format!("/{from}/{}", encode(&source_key, true));
        if let Some(id) = &id {
            named.push_str(&format!("?versionId={id}"));
        }
        let call = condition.on(Call::object("PUT", &to, &key));
        let mut call = copy.on(call.header("x-amz-copy-source", &named));
        let source_condition = self.some_source_condition(source.as_ref());
        if let Some((name, value, _)) = &source_condition {
            call = call.header(name, value);
        }
        let mut refusals = Refusals::default();
        let opened_with = self.some_source_key(source.as_ref(), &mut refusals);
        let Some(answer) = self.write(&with_source_key(call, opened_with)) else {
            return;
        };
        condition.add_to(&mut refusals);
        match (&source, &id) {
            (Some(version), Some(_)) if version.is_marker => refusals.add((400, "InvalidRequest")),
            (Some(version), None) if version.is_marker => refusals.add((404, "NoSuchKey")),
            (None, Some(_)) => refusals.add((404, "NoSuchVersion")),
            (None, None) => refusals.add((404, "NoSuchKey")),
            _ => {}
        }
        let onto_itself = from == to && source_key == key && id.is_none();
        let illegal = onto_itself && copy.changes_nothing();
        refusals.add_if(illegal, (400, "InvalidRequest"));
        let fails = source_condition.is_some_and(|(_, _, holds)| !holds);
        refusals.add_if(fails, (412, "PreconditionFailed"));
        let len = source.as_ref().map_or(0, |source| source.body.len());
        refusals.add_all(self.refusals_of_object(&to, &key, &copy.wish, len));
        if refusals.done(&answer) {
            let source = source.expect("a source is there");
            self.copied(&from, source, (&to, &key), copy, &answer);
        }
    }

    /// A copy keeps the headers of its source, but for the wish to be encrypted, or is given others.
    fn some_copy(&mut self, to: &str) -> Copy {
        let replaces = self.random.percent(40);
        let mut wish = self.some_wish(to);
        if !replaces {
            wish.headers.retain(|name, _| name == ENCRYPTION);
        }
        Copy { wish, replaces }
    }

    fn copied(
        &mut self,
        from: &str,
        source: Version,
        (to, key): (&str, &str),
        copy: Copy,
        answer: &Response,
    ) {
        assert_eq!(answer.status, 200, "{}", answer.shown());
        let result = Element::parse(&answer.body);
        assert_eq!(result.name, "CopyObjectResult");
        if self.buckets[from].versioning != Versioning::Unversioned {
            let named = answer.header("x-amz-copy-source-version-id");
            assert_eq!(named, Some(source.id.as_str()));
        }
        let Copy { wish, replaces } = copy;
        let customer_key = wish.customer_key;
        let mut headers = self.kept_headers(to, &wish);
        if !replaces {
            headers.extend(without_encryption(&source.headers));
        }
        let is_as = |headers: &BTreeMap<String, String>| headers.contains_key(ENCRYPTION);
        let is_shared = customer_key.is_none()
            && source.customer_key.is_none()
            && is_as(&headers) == is_as(&source.headers);
        let etag = result.text_of("ETag").trim_matches('"').to_owned();
        let written = if is_shared {
            assert_eq!(etag, source.etag);
            Version {
                body: Arc::clone(&source.body),
                last_modified: None,
                ..source.clone()
            }
        } else {
            // Its bytes are written anew, as by a PUT.
            let algorithm = source.checksum.map(|checksum| checksum.algorithm);
            written_version(source.body, customer_key, algorithm.as_ref(), &etag)
        };
        let copied = Version {
            headers,
            tags: match wish.tags.is_empty() {
                true => source.tags,
                false => wish.tags,
            },
            lock: wish.lock,
            ..written
        };
        self.publish(to, key, copied, answer.header("x-amz-version-id"));
    }

    /// A condition on the source of a copy, and whether it holds.
    fn some_source_condition(
        &mut self,
        source: Option<&Version>,
    ) -> Option<(&'static str, String, bool)> {
        let etag = format!("\"{}\"", source.map(|v| v.etag.as_str()).unwrap_or("x"));
        let wrong = "\"0123456789abcdef0123456789abcdef\"".to_owned();
        match self.random.below(10) {
            0 => Some(("x-amz-copy-source-if-match", etag, true)),
            1 => Some(("x-amz-copy-source-if-match", wrong, false)),
            2 => Some(("x-amz-copy-source-if-none-match", etag, false)),
            3 => Some(("x-amz-copy-source-if-none-match", wrong, true)),
            _ => None,
        }
    }
}

fn without_encryption(headers: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut headers = headers.clone();
    headers.remove(ENCRYPTION);
    headers
}
