//! Steps on listings: every page of a random listing against the reference, in all three forms.

use super::reference::{Entry, VersionEntry};
use super::run::{KEYS, Run};
use crate::support::client::Call;
use crate::support::xml::Element;

const PREFIXES: [&str; 10] = [
    "",
    "",
    "",
    "a",
    "a/",
    "b",
    "photos/",
    "photos/2026/0",
    "emoji/",
    "no such prefix",
];
const DELIMITERS: [&str; 5] = ["", "", "/", "/", "26/"];

/// What is asked for.
#[derive(Debug, Clone)]
struct Asked {
    bucket: String,
    prefix: &'static str,
    delimiter: &'static str,
    page_len: u64,
    after: &'static str,
    encoded: bool,
}

impl Asked {
    fn call(&self) -> Call {
        let mut call = Call::new("GET", &format!("/{}", self.bucket))
            .query("max-keys", &self.page_len.to_string());
        if !self.prefix.is_empty() {
            call = call.query("prefix", self.prefix);
        }
        if !self.delimiter.is_empty() {
            call = call.query("delimiter", self.delimiter);
        }
        if self.encoded {
            call = call.query("encoding-type", "url");
        }
        call
    }
}

impl Run {
    pub(crate) fn list(&mut self) {
        let bucket = self.some_bucket();
        let page_len = if self.random.percent(60) {
            self.random.between(1, 6)
        } else {
            1000
        };
        let delimiter = *self.random.pick(&DELIMITERS);
        // Where a page begins inside a common prefix S3's own answers differ between versions:
        // listings with a delimiter are begun at their beginning.
        let after = if delimiter.is_empty() && self.random.percent(40) {
            // Query parameters may hold any character but U+0000.
            self.random.pick(&KEYS).split('\u{0}').next().unwrap_or("")
        } else {
            ""
        };
        let prefix = *self.random.pick(&PREFIXES);
        let asked = Asked {
            bucket,
            prefix,
            delimiter,
            page_len,
            after,
            encoded: self.random.percent(50),
        };
        match self.random.below(10) {
            0..3 => self.list_first(&asked),
            3..7 => self.list_second(&asked),
            7..9 => self.list_versions(&asked),
            _ => self.list_nothing(&asked),
        }
    }

    /// ListObjects.
    fn list_first(&mut self, asked: &Asked) {
        let mut rest =
            self.buckets[&asked.bucket].listing(asked.prefix, asked.delimiter, asked.after);
        let mut marker = asked.after.to_owned();
        loop {
            let mut call = asked.call();
            if !marker.is_empty() {
                call = call.query("marker", &marker);
            }
            let page = self.page(&call);
            let encoded = page.get("EncodingType") == Some("url");
            let last = take_page(&mut rest, &page, asked.page_len);
            if page.text_of("IsTruncated") == "false" {
                return;
            }
            marker = match page.get("NextMarker") {
                Some(next) => decoded(next, encoded),
                None => last,
            };
        }
    }

    /// ListObjectsV2.
    fn list_second(&mut self, asked: &Asked) {
        let mut rest =
            self.buckets[&asked.bucket].listing(asked.prefix, asked.delimiter, asked.after);
        let mut token = String::new();
        loop {
            let mut call = asked.call().query("list-type", "2");
            if !asked.after.is_empty() {
                call = call.query("start-after", asked.after);
            }
            if !token.is_empty() {
                call = call.query("continuation-token", &token);
            }
            let page = self.page(&call);
            let count = page.all("Contents").count() + page.all("CommonPrefixes").count();
            assert_eq!(page.text_of("KeyCount"), count.to_string());
            take_page(&mut rest, &page, asked.page_len);
            if page.text_of("IsTruncated") == "false" {
                return;
            }
            page.text_of("NextContinuationToken").clone_into(&mut token);
        }
    }

    fn list_versions(&mut self, asked: &Asked) {
        let mut rest = self.buckets[&asked.bucket].version_listing(asked.prefix, asked.delimiter);
        let (mut key, mut id) = (String::new(), None::<String>);
        loop {
            let mut call = asked.call().flag("versions");
            if !key.is_empty() {
                call = call.query("key-marker", &key);
            }
            if let Some(id) = &id {
                call = call.query("version-id-marker", id);
            }
            let page = self.page(&call);
            let encoded = page.get("EncodingType") == Some("url");
            let mut found = version_entries(&page, encoded);
            let expected = cut_page(&mut rest, asked.page_len, &page);
            // Versions and common prefixes come in separate lists.
            let mut expected_sorted = expected;
            expected_sorted.sort_by_key(|entry| entry.id.is_empty());
            found.sort_by_key(|entry| entry.id.is_empty());
            assert_eq!(found, expected_sorted);
            if page.text_of("IsTruncated") == "false" {
                return;
            }
            key = decoded(page.text_of("NextKeyMarker"), encoded);
            id = page.get("NextVersionIdMarker").map(str::to_owned);
            id = id.filter(|id| !id.is_empty());
        }
    }

    /// `max-keys=0` asks for nothing and gets it.
    fn list_nothing(&mut self, asked: &Asked) {
        let asked = Asked {
            page_len: 0,
            ..asked.clone()
        };
        let page = self.page(&asked.call().query("list-type", "2"));
        assert_eq!(page.text_of("IsTruncated"), "false");
        assert_eq!(page.all("Contents").count(), 0);
    }

    fn page(&mut self, call: &Call) -> Element {
        let answer = self.call(call);
        assert_eq!(answer.status, 200, "{}", answer.shown());
        Element::parse(&answer.body)
    }

    /// Compares all buckets, whole: every version of every key and every listing.
    pub(crate) fn compare_everything(&mut self) {
        self.compare_all_totals();
        let names: Vec<String> = self.buckets.keys().cloned().collect();
        for bucket in names {
            self.compare_configurations(&bucket);
            if self.is_expiring(&bucket) {
                continue;
            }
            let keys: Vec<String> = self.buckets[&bucket].keys.keys().cloned().collect();
            for key in keys {
                self.compare_versions(&bucket, &key);
            }
            for delimiter in ["", "/"] {
                let asked = Asked {
                    bucket: bucket.clone(),
                    prefix: "",
                    delimiter,
                    page_len: 7,
                    after: "",
                    encoded: true,
                };
                self.list_first(&asked);
                self.list_second(&asked);
                self.list_versions(&asked);
            }
        }
    }
}

/// Takes from `rest` what a page of `page_len` holds, and says whether the page said so rightly.
fn cut_page<T>(rest: &mut Vec<T>, page_len: u64, page: &Element) -> Vec<T> {
    let count = rest.len().min(page_len as usize);
    let expected: Vec<T> = rest.drain(..count).collect();
    let truncated = if rest.is_empty() { "false" } else { "true" };
    assert_eq!(page.text_of("IsTruncated"), truncated);
    expected
}

/// Compares a page and gives its last entry's name.
fn take_page(rest: &mut Vec<Entry>, page: &Element, page_len: u64) -> String {
    let encoded = page.get("EncodingType") == Some("url");
    let expected = cut_page(rest, page_len, page);
    let found_keys: Vec<Entry> = page
        .all("Contents")
        .map(|one| Entry::Key {
            key: decoded(one.text_of("Key"), encoded),
            size: one.text_of("Size").parse().expect("a size"),
            etag: one.text_of("ETag").trim_matches('"').to_owned(),
        })
        .collect();
    let found_prefixes: Vec<Entry> = page
        .all("CommonPrefixes")
        .map(|one| Entry::CommonPrefix(decoded(one.text_of("Prefix"), encoded)))
        .collect();
    let is_key = |entry: &&Entry| matches!(entry, Entry::Key { .. });
    let expected_keys: Vec<Entry> = expected.iter().filter(is_key).cloned().collect();
    let expected_prefixes: Vec<Entry> = expected.iter().filter(|e| !is_key(e)).cloned().collect();
    assert_eq!(found_keys, expected_keys);
    assert_eq!(found_prefixes, expected_prefixes);
    match expected.last() {
        Some(Entry::Key { key, .. }) => key.clone(),
        Some(Entry::CommonPrefix(prefix)) => prefix.clone(),
        None => String::new(),
    }
}

/// What a page of a listing of versions shows.
pub(crate) fn version_entries(page: &Element, encoded: bool) -> Vec<VersionEntry> {
    page.children
        .iter()
        .filter_map(|one| match one.name.as_str() {
            "CommonPrefixes" => {
                let prefix = decoded(one.text_of("Prefix"), encoded);
                Some(VersionEntry::common_prefix(&prefix))
            }
            "Version" | "DeleteMarker" => Some(VersionEntry {
                key: decoded(one.text_of("Key"), encoded),
                id: one.text_of("VersionId").to_owned(),
                is_marker: one.name == "DeleteMarker",
                is_latest: one.text_of("IsLatest") == "true",
                size: one.get("Size").map_or(0, |s| s.parse().expect("a size")),
                etag: one.get("ETag").unwrap_or("").trim_matches('"').to_owned(),
            }),
            _ => None,
        })
        .collect()
}

/// A name out of a listing.
pub(crate) fn decoded(text: &str, encoded: bool) -> String {
    if !encoded {
        return text.to_owned();
    }
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let mut digit = || rest.next().map(char::from).and_then(|c| c.to_digit(16));
                let (high, low) = (digit(), digit());
                let value = high.zip(low).expect("two digits follow a percent sign");
                bytes.push((value.0 * 16 + value.1) as u8);
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).expect("keys are UTF-8")
}
