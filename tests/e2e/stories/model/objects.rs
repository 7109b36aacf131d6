//! Steps on objects: put, get, delete, copy; each compared in status, code, headers and bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::outcome::{Is, Refusals};
use super::reference::{Bucket, Checksum, Version, Versioning};
use super::retention::Lock;
use super::run::{ENCRYPTION, Run};
use super::wishes::{Wish, has_digest, is_key_header, shown_key, with_key};
use crate::support::client::Call;
use crate::support::digest::{checksum, checksum_header, md5_base64, md5_hex};
use crate::support::http::Response;
use crate::support::xml::{Element, escape};

/// A condition on a write, with what it must lead to.
pub(crate) struct Condition {
    header: Option<(&'static str, String)>,
    /// What the condition alone answers, if it does not hold.
    refusal: Option<(u16, &'static str)>,
}

impl Condition {
    /// Adds what it refuses.
    pub(crate) fn add_to(&self, refusals: &mut Refusals) {
        if let Some(refusal) = self.refusal {
            refusals.add(refusal);
        }
    }

    /// `call` with the condition on it.
    pub(crate) fn on(&self, call: Call) -> Call {
        match &self.header {
            Some((name, value)) => call.header(name, value),
            None => call,
        }
    }
}

impl Run {
    /// Draws a condition for a write to `key`: none, one that holds or one that does not.
    pub(crate) fn some_condition(&mut self, bucket: &str, key: &str) -> Condition {
        let current = self.buckets[bucket].current(key).map(|v| v.etag.clone());
        let wrong = "0123456789abcdef0123456789abcdef".to_owned();
        let quoted = |etag: &str| format!("\"{etag}\"");
        let failed = Some((412, "PreconditionFailed"));
        let absent = Some((404, "NoSuchKey"));
        let (header, refusal) = match (self.random.below(12), current) {
            (0, Some(_)) => (Some(("if-none-match", "*".to_owned())), failed),
            (0, None) => (Some(("if-none-match", "*".to_owned())), None),
            (1, Some(etag)) => (Some(("if-match", quoted(&etag))), None),
            (1, None) => (Some(("if-match", quoted(&wrong))), absent),
            (2, Some(_)) => (Some(("if-match", quoted(&wrong))), failed),
            _ => (None, None),
        };
        Condition { header, refusal }
    }

    /// Checks an error answer.
    pub(crate) fn refused(&self, response: &Response, (status, code): (u16, &str)) {
        let found = (response.status, response.code());
        assert_eq!(found, (status, code), "{}", response.shown());
    }

    pub(crate) fn put(&mut self) {
        let bucket = self.some_bucket();
        let key = self.some_key(&bucket);
        let (body, wish) = (self.some_body(), self.some_wish(&bucket));
        let algorithm = self.some_algorithm();
        let condition = self.some_condition(&bucket, &key);
        let call = wish.on(condition.on(Call::object("PUT", &bucket, &key)));
        // aws-chunked bodies carry a Content-Encoding of their own; the two are told apart elsewhere.
        let is_encoded = wish.headers.contains_key("content-encoding");
        let call = match is_encoded {
            true if self.random.percent(50) => {
                call.body(&body).header("content-md5", &md5_base64(&body))
            }
            true => call.body(&body),
            false => self.with_body(call, &body, algorithm.as_ref()),
        };
        let algorithm = algorithm.filter(|_| !is_encoded);
        let Some(answer) = self.write(&call) else {
            return;
        };
        let mut refusals = self.refusals_of_object(&bucket, &key, &wish, body.len());
        condition.add_to(&mut refusals);
        let undigested = self.needs_digest(&bucket, &wish.lock) && !has_digest(&call);
        refusals.add_if(undigested, (400, "InvalidRequest"));
        if refusals.done(&answer) {
            assert_eq!(answer.status, 200, "{}", answer.shown());
            self.put_was_done((&bucket, &key), &wish, body, algorithm, &answer);
        }
    }

    /// What is wrong with an object of this wish and so many new bytes.
    pub(crate) fn refusals_of_object(
        &self,
        bucket: &str,
        key: &str,
        wish: &Wish,
        len: usize,
    ) -> Refusals {
        let mut refusals = self.refusals_of(bucket, wish);
        let is_full = self.buckets[bucket].is_full_for(key, len as u64);
        refusals.add_if(is_full, (403, "QuotaExceeded"));
        refusals
    }

    /// Compares the answer of a PUT or a form, and publishes what it put.
    pub(crate) fn put_was_done(
        &mut self,
        (bucket, key): (&str, &str),
        wish: &Wish,
        body: Arc<Vec<u8>>,
        algorithm: Option<String>,
        answer: &Response,
    ) {
        let version = Version {
            headers: self.kept_headers(bucket, wish),
            tags: wish.tags.clone(),
            lock: wish.lock.clone(),
            ..written_version(body, wish.customer_key, algorithm.as_ref(), &answer.etag())
        };
        if let Some(checksum) = &version.checksum {
            let name = checksum_header(&checksum.algorithm);
            assert_eq!(answer.header(&name), Some(checksum.value.as_str()));
        }
        compare_encryption(&version, answer);
        self.publish(bucket, key, version, answer.header("x-amz-version-id"));
    }

    /// Puts a version, which the last request wrote, into the reference, locked as it asks itself or
    /// else as its bucket says.
    pub(crate) fn publish(
        &mut self,
        bucket: &str,
        key: &str,
        mut version: Version,
        answered: Option<&str>,
    ) {
        let span = self.span;
        version.sent_ms = span.sent_ms;
        let lock = self.buckets[bucket].object_lock;
        if let Some(default) = lock.and_then(|lock| lock.default)
            && version.lock.retention.is_none()
        {
            let id = answered.expect("a bucket with object lock has versions");
            let head = Call::object("HEAD", bucket, key).query("versionId", id);
            let answer = self.call(&with_key(head, version.customer_key));
            assert_eq!(answer.status, 200, "{}", answer.shown());
            version.lock.retention = Some(default.given(span, &answer));
        }
        self.bucket_mut(bucket).publish(key, version, answered);
    }

    /// The bucket in the reference.
    pub(crate) fn bucket_mut(&mut self, bucket: &str) -> &mut Bucket {
        self.buckets.get_mut(bucket).expect("the bucket is there")
    }

    /// The id of some version of `key`, or one that does not exist, or none.
    pub(crate) fn some_version(&mut self, bucket: &str, key: &str) -> Option<String> {
        if self.buckets[bucket].versioning == Versioning::Unversioned || self.random.percent(50) {
            return None;
        }
        let ids: Vec<String> = self.buckets[bucket]
            .keys
            .get(key)
            .map(|versions| versions.iter().map(|version| version.id.clone()).collect())
            .unwrap_or_default();
        if ids.is_empty() || self.random.percent(10) {
            Some("0123456789abcdef0123456789abcdef".to_owned())
        } else {
            Some(self.random.pick(&ids).clone())
        }
    }

    pub(crate) fn get(&mut self) {
        let bucket = self.some_bucket();
        let key = self.some_key(&bucket);
        let id = self.some_version(&bucket, &key);
        let method = if self.random.percent(25) {
            "HEAD"
        } else {
            "GET"
        };
        let mut call = Call::object(method, &bucket, &key);
        if let Some(id) = &id {
            call = call.query("versionId", id);
        }
        let held = &self.buckets[&bucket];
        let found = match &id {
            Some(id) => held.version(&key, id),
            None => held.newest(&key),
        };
        match found.cloned() {
            Some(version) if !version.is_marker && self.random.percent(6) => {
                self.read_with_wrong_key(&version, call);
            }
            Some(version) if !version.is_marker => {
                let call = with_key(call, version.customer_key);
                self.read(&bucket, &key, &version, call);
            }
            found => {
                let answer = self.call(&call);
                let (status, code) = match (&found, &id) {
                    (Some(_), Some(_)) => (405, "MethodNotAllowed"),
                    (None, Some(_)) => (404, "NoSuchVersion"),
                    (_, None) => (404, "NoSuchKey"),
                };
                if method == "HEAD" {
                    assert_eq!(answer.status, status, "{}", answer.shown());
                } else {
                    self.refused(&answer, (status, code));
                }
                let marker = found.is_some().then_some("true");
                assert_eq!(answer.header("x-amz-delete-marker"), marker);
            }
        }
    }

    /// Without the key that it needs, or with one that it does not, a version is not shown.
    fn read_with_wrong_key(&mut self, version: &Version, call: Call) {
        let (key, refusal) = self.wrong_key(version.customer_key);
        let call = with_key(call, key);
        let answer = self.call(&call);
        match call.method.as_str() {
            "HEAD" => assert_eq!(answer.status, refusal.0, "{}", answer.shown()),
            _ => self.refused(&answer, refusal),
        }
    }

    /// Reads an object that is there in one of many ways.
    fn read(&mut self, bucket: &str, key: &str, version: &Version, call: Call) {
        let size = version.body.len() as u64;
        match self.random.below(10) {
            0..3 => self.read_range(bucket, key, version, call),
            3 => self.read_condition(version, call),
            4 if size > 0 => self.read_part(bucket, key, version, call),
            _ => {
                let call = call.header("x-amz-checksum-mode", "ENABLED");
                let answer = self.call(&call);
                assert_eq!(answer.status, 200, "{}", answer.shown());
                self.compare_body(&call.method, &answer, &version.body);
                self.compare_headers(bucket, key, version, &answer);
                if let Some(checksum) = &version.checksum {
                    let name = checksum_header(&checksum.algorithm);
                    assert_eq!(answer.header(&name), Some(checksum.value.as_str()));
                    assert_eq!(answer.header("x-amz-checksum-type"), Some(checksum.kind));
                }
            }
        }
    }

    fn read_range(&mut self, bucket: &str, key: &str, version: &Version, call: Call) {
        let size = version.body.len() as u64;
        let (range, expected) = self.some_range(size);
        let call = call.header("range", &range);
        let answer = self.call(&call);
        let Some((first, last)) = expected else {
            assert_eq!(answer.status, 416, "{range} of {size}: {}", answer.shown());
            if call.method == "GET" {
                assert_eq!(answer.code(), "InvalidRange");
            }
            return;
        };
        assert_eq!(answer.status, 206, "{range} of {size}: {}", answer.shown());
        let shown = format!("bytes {first}-{last}/{size}");
        assert_eq!(answer.header("content-range"), Some(shown.as_str()));
        let body = &version.body[first as usize..=last as usize];
        self.compare_body(&call.method, &answer, body);
        self.compare_headers(bucket, key, version, &answer);
    }

    /// A Range header and the first and last byte it must give, or nothing.
    fn some_range(&mut self, size: u64) -> (String, Option<(u64, u64)>) {
        let first = self.random.below(size + 1);
        let last = self.random.between(first, size + 3);
        let satisfiable = first < size;
        match self.random.below(6) {
            0 => {
                let expected = satisfiable.then(|| (first, size - 1));
                (format!("bytes={first}-"), expected)
            }
            1 => {
                let suffix = self.random.below(size + 5);
                let expected =
                    (suffix > 0 && size > 0).then(|| (size.saturating_sub(suffix), size - 1));
                (format!("bytes=-{suffix}"), expected)
            }
            2 => (format!("bytes={}-{}", size, size + 10), None),
            _ => {
                let expected = satisfiable.then(|| (first, last.min(size - 1)));
                (format!("bytes={first}-{last}"), expected)
            }
        }
    }

    fn read_condition(&mut self, version: &Version, call: Call) {
        let quoted = format!("\"{}\"", version.etag);
        let wrong = "\"0123456789abcdef0123456789abcdef\"";
        let (past, future) = (
            "Thu, 01 Jan 2004 00:00:00 GMT",
            "Fri, 01 Jan 2100 00:00:00 GMT",
        );
        // What AWS documents: If-Match beats If-Unmodified-Since, If-None-Match beats
        // If-Modified-Since.
        let (conditions, status): (&[(&str, &str)], u16) = match self.random.below(9) {
            0 => (&[("if-match", &quoted)], 200),
            1 => (&[("if-match", wrong)], 412),
            2 => (&[("if-none-match", &quoted)], 304),
            3 => (&[("if-none-match", wrong)], 200),
            4 => (&[("if-modified-since", past)], 200),
            5 => (&[("if-unmodified-since", past)], 412),
            6 => (&[("if-match", &quoted), ("if-unmodified-since", past)], 200),
            7 => (
                &[("if-none-match", &quoted), ("if-modified-since", past)],
                304,
            ),
            _ => (&[("if-unmodified-since", future)], 200),
        };
        let mut call = call;
        for (name, value) in conditions {
            call = call.header(name, value);
        }
        let answer = self.call(&call);
        assert_eq!(answer.status, status, "{}", answer.shown());
        match status {
            200 => self.compare_body(&call.method, &answer, &version.body),
            304 => assert_eq!(answer.etag(), version.etag),
            _ if call.method == "GET" => assert_eq!(answer.code(), "PreconditionFailed"),
            _ => {}
        }
    }

    fn read_part(&mut self, bucket: &str, key: &str, version: &Version, call: Call) {
        let size = version.body.len() as u64;
        let parts: Vec<u64> = match &version.parts {
            Some(parts) if parts.keys().copied().eq(1..=parts.len() as u32) => {
                parts.values().copied().collect()
            }
            Some(_) => return,
            None => vec![size],
        };
        let number = self.random.between(1, parts.len() as u64 + 1);
        let call = call.query("partNumber", &number.to_string());
        let answer = self.call(&call);
        if number > parts.len() as u64 {
            assert_eq!(answer.status, 416, "{}", answer.shown());
            if call.method == "GET" {
                assert_eq!(answer.code(), "InvalidPartNumber");
            }
            return;
        }
        let first: u64 = parts[..number as usize - 1].iter().sum();
        let len = parts[number as usize - 1];
        if len == 0 {
            return;
        }
        let last = first + len - 1;
        assert_eq!(answer.status, 206, "{}", answer.shown());
        let shown = format!("bytes {first}-{last}/{size}");
        assert_eq!(answer.header("content-range"), Some(shown.as_str()));
        let body = &version.body[first as usize..=last as usize];
        self.compare_body(&call.method, &answer, body);
        self.compare_headers(bucket, key, version, &answer);
        if version.parts.is_some() {
            let count = parts.len().to_string();
            assert_eq!(answer.header("x-amz-mp-parts-count"), Some(count.as_str()));
        }
    }

    /// Compares the bytes of an answer.
    pub(crate) fn compare_body(&self, method: &str, answer: &Response, expected: &[u8]) {
        let length = expected.len().to_string();
        assert_eq!(answer.header("content-length"), Some(length.as_str()));
        if method != "HEAD" {
            assert!(
                answer.body == expected,
                "{}",
                difference(&answer.body, expected)
            );
        }
    }

    /// Compares all headers that say what the object is.
    pub(crate) fn compare_headers(
        &mut self,
        bucket: &str,
        key: &str,
        version: &Version,
        answer: &Response,
    ) {
        assert_eq!(answer.etag(), version.etag);
        let mut expected = version.headers.clone();
        expected
            .entry("content-type".to_owned())
            .or_insert_with(|| "binary/octet-stream".to_owned());
        let given = |name: &str| name.starts_with("x-amz-meta-") || ECHOED.contains(&name);
        let found: BTreeMap<String, String> = answer
            .headers
            .iter()
            .filter(|(name, _)| given(name))
            .cloned()
            .collect();
        assert_eq!(found, expected);
        compare_encryption(version, answer);
        version.lock.compare(answer);
        let count = version.tags.len().to_string();
        let tagged = (!version.tags.is_empty()).then_some(count.as_str());
        assert_eq!(answer.header("x-amz-tagging-count"), tagged);
        let held = self.bucket_mut(bucket);
        if held.versioning != Versioning::Unversioned {
            assert_eq!(answer.header("x-amz-version-id"), Some(version.id.as_str()));
        }
        let modified = answer.header("last-modified").map(str::to_owned);
        assert!(modified.is_some(), "{}", answer.shown());
        let seen = held.version_mut(key, &version.id);
        let seen = seen.expect("the version is there");
        if seen.last_modified.is_some() {
            assert_eq!(seen.last_modified, modified, "Last-Modified stays");
        }
        seen.last_modified = modified;
    }

    pub(crate) fn delete(&mut self) {
        let bucket = self.some_bucket();
        let key = self.some_key(&bucket);
        if let Some(id) = self.some_version(&bucket, &key) {
            return self.delete_version(&bucket, &key, &id);
        }
        let condition = self.some_condition(&bucket, &key);
        if condition
            .header
            .as_ref()
            .is_some_and(|(n, _)| *n == "if-none-match")
        {
            return;
        }
        let answer = self.call(&condition.on(Call::object("DELETE", &bucket, &key)));
        let mut refusals = Refusals::default();
        condition.add_to(&mut refusals);
        if !refusals.done(&answer) {
            return;
        }
        assert_eq!(answer.status, 204, "{}", answer.shown());
        let versioned = self.buckets[&bucket].versioning != Versioning::Unversioned;
        let marker = versioned.then_some("true");
        assert_eq!(answer.header("x-amz-delete-marker"), marker);
        let id = answer.header("x-amz-version-id").map(str::to_owned);
        self.bucket_mut(&bucket).delete(&key, id.as_deref());
    }

    fn delete_version(&mut self, bucket: &str, key: &str, id: &str) {
        let bypass = self.random.percent(25);
        let call = Call::object("DELETE", bucket, key).query("versionId", id);
        let answer = self.call(&with_bypass(call, bypass));
        let mut refusals = Refusals::default();
        let locked = self.is_locked(bucket, key, id, bypass);
        refusals.add_as(locked, (403, "AccessDenied"));
        if !refusals.done(&answer) {
            return;
        }
        assert_eq!(answer.status, 204, "{}", answer.shown());
        let was_marker = self.bucket_mut(bucket).delete_version(key, id);
        let marker = (was_marker == Some(true)).then_some("true");
        assert_eq!(answer.header("x-amz-delete-marker"), marker);
        if was_marker.is_some() {
            assert_eq!(answer.header("x-amz-version-id"), Some(id));
        }
    }

    /// Whether a version may not go, as of the last request.
    fn is_locked(&self, bucket: &str, key: &str, id: &str, bypass: bool) -> Is {
        let version = self.buckets[bucket].version(key, id);
        version.map_or(Is::No, |version| version.lock.holds(bypass, self.span))
    }

    pub(crate) fn delete_batch(&mut self) {
        let bucket = self.some_bucket();
        let (quiet, bypass) = (self.random.percent(30), self.random.percent(25));
        let mut chosen: BTreeMap<String, Option<String>> = BTreeMap::new();
        for _ in 0..self.random.between(1, 6) {
            let key = self.some_key(&bucket);
            // Keys that XML 1.0 can't carry can't be named in a request body.
            if key.contains(|c: char| c < ' ' && c != '\n' && c != '\r' || c == '\u{FFFF}') {
                continue;
            }
            let id = self.some_version(&bucket, &key);
            chosen.insert(key, id);
        }
        if chosen.is_empty() {
            return;
        }
        let mut xml = format!("<Delete><Quiet>{quiet}</Quiet>");
        for (key, id) in &chosen {
            xml.push_str(&format!("<Object><Key>{}</Key>", escape(key)));
            if let Some(id) = id {
                xml.push_str(&format!("<VersionId>{id}</VersionId>"));
            }
            xml.push_str("</Object>");
        }
        xml.push_str("</Delete>");
        let call = Call::new("POST", &format!("/{bucket}"))
            .flag("delete")
            .header("content-md5", &md5_base64(xml.as_bytes()))
            .body(xml.as_bytes());
        let answer = self.call(&with_bypass(call, bypass));
        assert_eq!(answer.status, 200, "{}", answer.shown());
        let result = Element::parse(&answer.body);
        let kept = self.kept_of_batch(&bucket, &result, bypass);
        chosen.retain(|key, id| {
            let id = id.clone().unwrap_or_default();
            let is_kept = kept.contains(&(key.clone(), id.clone()));
            let locked = self.is_locked(&bucket, key, &id, bypass);
            assert!(
                is_kept || locked != Is::Yes,
                "{key} {id}: {}",
                answer.shown()
            );
            !is_kept
        });
        let mut deleted: BTreeMap<&str, &Element> = BTreeMap::new();
        for one in result.all("Deleted") {
            deleted.insert(one.text_of("Key"), one);
        }
        assert_eq!(deleted.len(), if quiet { 0 } else { chosen.len() });
        for (key, id) in &chosen {
            let versioned = self.buckets[&bucket].versioning != Versioning::Unversioned;
            let shown = deleted.get(key.as_str());
            let held = self.buckets.get_mut(&bucket).expect("the bucket is there");
            if let Some(id) = id {
                let was_marker = held.delete_version(key, id);
                if let Some(shown) = shown {
                    assert_eq!(shown.get("VersionId"), Some(id.as_str()));
                    let marker = (was_marker == Some(true)).then_some("true");
                    assert_eq!(shown.get("DeleteMarker"), marker);
                }
            } else if let Some(shown) = shown {
                assert_eq!(shown.get("DeleteMarker"), versioned.then_some("true"));
                held.delete(key, shown.get("DeleteMarkerVersionId"));
            } else {
                self.delete_quietly(&bucket, key);
            }
        }
    }

    /// What a batch says that it left, which must be locked.
    fn kept_of_batch(
        &self,
        bucket: &str,
        result: &Element,
        bypass: bool,
    ) -> BTreeSet<(String, String)> {
        let mut kept = BTreeSet::new();
        for error in result.all("Error") {
            let (key, id) = (error.text_of("Key"), error.text_of("VersionId"));
            assert_eq!(error.text_of("Code"), "AccessDenied", "{result:?}");
            let locked = self.is_locked(bucket, key, id, bypass);
            assert_ne!(locked, Is::No, "{key} {id}: {result:?}");
            kept.insert((key.to_owned(), id.to_owned()));
        }
        kept
    }

    /// A quiet batch does not say which marker it made: it is looked up.
    fn delete_quietly(&mut self, bucket: &str, key: &str) {
        let answer = self.call(&Call::object("HEAD", bucket, key));
        assert_eq!(answer.status, 404, "{}", answer.shown());
        let id = answer.header("x-amz-version-id").map(str::to_owned);
        self.bucket_mut(bucket).delete(key, id.as_deref());
    }

    /// Compares every version of one key, whole.
    pub(crate) fn compare_key(&mut self) {
        let bucket = self.some_bucket();
        let key = self.some_key(&bucket);
        self.compare_versions(&bucket, &key);
    }

    /// Compares every version of `key`, whole.
    pub(crate) fn compare_versions(&mut self, bucket: &str, key: &str) {
        let versions = self.buckets[bucket].keys.get(key).cloned();
        let versioned = self.buckets[bucket].versioning != Versioning::Unversioned;
        for version in versions.unwrap_or_default() {
            if version.is_marker {
                continue;
            }
            let mut call = Call::object("GET", bucket, key);
            if versioned {
                call = call.query("versionId", &version.id);
            }
            let answer = self.call(&with_key(call, version.customer_key));
            assert_eq!(answer.status, 200, "{}", answer.shown());
            self.compare_body("GET", &answer, &version.body);
            self.compare_headers(bucket, key, &version, &answer);
        }
    }
}

/// Headers besides user metadata that come back as they were given.
const ECHOED: [&str; 7] = [
    ENCRYPTION,
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
];

/// `call` with the wish to go past governance.
pub(crate) fn with_bypass(call: Call, bypass: bool) -> Call {
    match bypass {
        true => call.header("x-amz-bypass-governance-retention", "true"),
        false => call,
    }
}

/// Compares what an answer says of a customer's key.
pub(crate) fn compare_encryption(version: &Version, answer: &Response) {
    let found: BTreeMap<String, String> = answer
        .headers
        .iter()
        .filter(|(name, _)| is_key_header(name))
        .cloned()
        .collect();
    let expected: BTreeMap<String, String> = shown_key(version.customer_key).into_iter().collect();
    assert_eq!(found, expected, "{}", answer.shown());
}

/// A version whose bytes were written in one piece, and are `etag`: their MD5, unless only a
/// customer may know that.
pub(crate) fn written_version(
    body: Arc<Vec<u8>>,
    customer_key: Option<usize>,
    algorithm: Option<&String>,
    etag: &str,
) -> Version {
    let is_md5 = etag == md5_hex(&body);
    assert_eq!(is_md5, customer_key.is_none(), "ETag {etag}");
    assert_eq!(etag.len(), 32, "ETag {etag}");
    Version {
        id: String::new(),
        is_marker: false,
        etag: etag.to_owned(),
        checksum: algorithm.map(|algorithm| Checksum {
            algorithm: algorithm.clone(),
            value: checksum(algorithm, &body),
            kind: "FULL_OBJECT",
        }),
        body,
        parts: None,
        headers: BTreeMap::new(),
        tags: BTreeMap::new(),
        customer_key,
        lock: Lock::default(),
        sent_ms: 0,
        last_modified: None,
    }
}

fn difference(found: &[u8], expected: &[u8]) -> String {
    let at = found.iter().zip(expected).position(|(a, b)| a != b);
    format!(
        "{} bytes instead of {}, first difference at {at:?}",
        found.len(),
        expected.len()
    )
}
