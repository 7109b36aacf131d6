//! Steps on what was added around objects: their tags, parts that are copies, their attributes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::outcome::Refusals;
use super::reference::{Part, UploadState, Version, Versioning};
use super::run::Run;
use super::wishes::{with_key, with_source_key};
use crate::support::client::{Call, encode};
use crate::support::digest::{checksum, md5_hex};
use crate::support::xml::{Element, escape};

impl Run {
    pub(crate) fn edge(&mut self) {
        match self.random.below(10) {
            0..4 => self.tags(),
            4..8 => self.copy_part(),
            _ => self.attributes(),
        }
    }

    /// Some object that is there: bucket, key, and the call's version where it names one.
    pub(crate) fn some_object(&mut self) -> Option<(String, String, Option<String>, Version)> {
        let bucket = self.some_bucket();
        let key = self.some_key(&bucket);
        let id = self.some_version(&bucket, &key);
        let held = &self.buckets[&bucket];
        let version = match &id {
            Some(id) => held.version(&key, id),
            None => held.current(&key),
        };
        let version = version.filter(|version| !version.is_marker)?.clone();
        Some((bucket, key, id, version))
    }

    /// Puts, reads or deletes an object's tags.
    fn tags(&mut self) {
        let Some((bucket, key, id, version)) = self.some_object() else {
            return;
        };
        let call = |method: &str| {
            let call = Call::object(method, &bucket, &key).flag("tagging");
            match &id {
                Some(id) => call.query("versionId", id),
                None => call,
            }
        };
        match self.random.below(5) {
            0 => {
                let answer = self.call(&call("DELETE"));
                assert_eq!(answer.status, 204, "{}", answer.shown());
                self.set_tags(&bucket, &key, &version.id, BTreeMap::new());
            }
            1 | 2 => {
                let tags = self.some_tags(12);
                let answer = self.call(&call("PUT").body(document(&tags).as_bytes()));
                if tags.len() > 10 {
                    return self.refused(&answer, (400, "BadRequest"));
                }
                assert_eq!(answer.status, 200, "{}", answer.shown());
                self.set_tags(&bucket, &key, &version.id, tags);
            }
            _ => {
                let answer = self.call(&call("GET"));
                assert_eq!(answer.status, 200, "{}", answer.shown());
                assert_eq!(told(&Element::parse(&answer.body)), version.tags);
            }
        }
    }

    fn set_tags(&mut self, bucket: &str, key: &str, id: &str, tags: BTreeMap<String, String>) {
        let version = self.bucket_mut(bucket).version_mut(key, id);
        version.expect("the version is there").tags = tags;
    }

    /// Fewer than `end` tags; eleven are one too many.
    pub(crate) fn some_tags(&mut self, end: u64) -> BTreeMap<String, String> {
        let values = ["", "blue", "ünï cödé", "a+b=c:d/e@f", "1"];
        (0..self.random.below(end))
            .map(|number| {
                let value = *self.random.pick(&values);
                (format!("key {number}"), value.to_owned())
            })
            .collect()
    }

    /// Makes a part of an upload of an object, or of a range of it.
    fn copy_part(&mut self) {
        let to = self.some_bucket();
        let uploads = &self.buckets[&to].uploads;
        let mut open = uploads.iter().filter(|it| it.1.state == UploadState::Open);
        let Some((upload_id, upload)) = open.next().map(|(id, it)| (id.clone(), it.clone())) else {
            return;
        };
        let Some((from, source_key, id, source)) = self.some_object() else {
            return;
        };
        let size = source.body.len() as u64;
        let mut named = format!("/{from}/{}", encode(&source_key, true));
        if let Some(id) = &id {
            named.push_str(&format!("?versionId={id}"));
        }
        let number = self.random.between(1, 4) as u32;
        let mut call = Call::object("PUT", &to, &upload.key)
            .query("partNumber", &number.to_string())
            .query("uploadId", &upload_id)
            .header("x-amz-copy-source", &named);
        let mut piece = 0..size;
        if self.random.percent(60) {
            let first = self.random.below(size + 2);
            let last = self.random.between(first, size + 2);
            call = call.header("x-amz-copy-source-range", &format!("bytes={first}-{last}"));
            piece = first..last + 1;
        }
        let mut refusals = Refusals::default();
        let opened_with = self.some_source_key(Some(&source), &mut refusals);
        let call = with_source_key(with_key(call, upload.customer_key), opened_with);
        let Some(answer) = self.write(&call) else {
            return;
        };
        if piece.end > size || (piece.is_empty() && size > 0) {
            refusals.add((400, "InvalidArgument"));
            refusals.or((416, "InvalidRange"));
        } else {
            let len = (piece.end - piece.start) as usize;
            let is_full = self.is_full_for_part(&to, &upload, number, len);
            refusals.add_if(is_full, (403, "QuotaExceeded"));
        }
        if !refusals.done(&answer) {
            return;
        }
        assert_eq!(answer.status, 200, "{}", answer.shown());
        let result = Element::parse(&answer.body);
        assert_eq!(result.name, "CopyPartResult");
        let body = Arc::new(source.body[piece.start as usize..piece.end as usize].to_vec());
        let etag = result.text_of("ETag").trim_matches('"').to_owned();
        let is_md5 = etag == md5_hex(&body);
        assert_eq!(is_md5, upload.customer_key.is_none(), "ETag {etag}");
        let sum = upload.algorithm.as_ref().map(|it| checksum(it, &body));
        if let (Some(algorithm), Some(sum)) = (&upload.algorithm, &sum) {
            assert_eq!(result.text_of(&format!("Checksum{algorithm}")), sum);
        }
        let part = Part {
            body,
            etag,
            checksum: sum,
        };
        self.upload_mut(&to, &upload_id).parts.insert(number, part);
    }

    /// What an object is, without its bytes.
    fn attributes(&mut self) {
        let Some((bucket, key, id, version)) = self.some_object() else {
            return;
        };
        let mut call = Call::object("GET", &bucket, &key)
            .flag("attributes")
            .header(
                "x-amz-object-attributes",
                "ETag,ObjectSize,ObjectParts,Checksum",
            );
        if let Some(id) = &id {
            call = call.query("versionId", id);
        }
        let answer = self.call(&with_key(call, version.customer_key));
        assert_eq!(answer.status, 200, "{}", answer.shown());
        if self.buckets[&bucket].versioning == Versioning::Enabled && version.id != "null" {
            let shown = answer.header("x-amz-version-id");
            assert_eq!(shown, Some(version.id.as_str()));
        }
        let told = Element::parse(&answer.body);
        assert_eq!(told.text_of("ETag").trim_matches('"'), version.etag);
        assert_eq!(told.text_of("ObjectSize"), version.body.len().to_string());
        let parts = told.child("ObjectParts");
        let count = parts.map(|parts| parts.text_of("PartsCount").to_owned());
        let expected = version.parts.as_ref().map(|parts| parts.len().to_string());
        assert_eq!(count, expected, "{}", answer.shown());
        if let Some(checksum) = &version.checksum {
            let shown = told.child("Checksum").expect("it has a checksum");
            let name = format!("Checksum{}", checksum.algorithm);
            // Here alone AWS says it without the number of parts.
            let value = checksum.value.split('-').next();
            assert_eq!(Some(shown.text_of(&name)), value);
            assert_eq!(shown.text_of("ChecksumType"), checksum.kind);
        }
    }
}

fn document(tags: &BTreeMap<String, String>) -> String {
    let tags: String = tags
        .iter()
        .map(|(key, value)| {
            let (key, value) = (escape(key), escape(value));
            format!("<Tag><Key>{key}</Key><Value>{value}</Value></Tag>")
        })
        .collect();
    format!("<Tagging><TagSet>{tags}</TagSet></Tagging>")
}

fn told(tagging: &Element) -> BTreeMap<String, String> {
    let set = tagging.child("TagSet").expect("there is a set");
    set.all("Tag")
        .map(|tag| {
            (
                tag.text_of("Key").to_owned(),
                tag.text_of("Value").to_owned(),
            )
        })
        .collect()
}
