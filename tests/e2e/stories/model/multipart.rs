//! Steps on multipart uploads: begun, fed, listed, completed (also twice), aborted, and used wrongly.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::outcome::Refusals;
use super::reference::{Checksum, Part, Upload, UploadState, Version};
use super::run::Run;
use super::wishes::{has_digest, with_key};
use crate::support::client::Call;
use crate::support::digest::{
    checksum, checksum_header, composite_checksum, md5_hex, multipart_etag,
};
use crate::support::http::Response;
use crate::support::xml::Element;

/// Every part but the last has at least this many bytes.
const MIN_PART_LEN: usize = 5 << 20;

impl Run {
    pub(crate) fn multipart(&mut self) {
        let bucket = self.some_bucket();
        let ids: Vec<String> = self.buckets[&bucket].uploads.keys().cloned().collect();
        let is_open = |id: &&String| self.buckets[&bucket].uploads[*id].state == UploadState::Open;
        let open: Vec<String> = ids.iter().filter(is_open).cloned().collect();
        if open.is_empty() || (open.len() < 3 && self.random.percent(15)) {
            return self.create_upload(&bucket);
        }
        let id = self.random.pick(&open).clone();
        let any = self.random.pick(&ids).clone();
        match self.random.below(100) {
            0..50 => self.upload_part(&bucket, &id),
            50..70 => self.complete(&bucket, &id),
            70..76 => self.complete_wrongly(&bucket, &id),
            76..82 => self.complete_again(&bucket, &any),
            82..88 => self.abort(&bucket, &any),
            88..94 => self.list_parts(&bucket, &id),
            _ => self.list_uploads(&bucket),
        }
    }

    fn create_upload(&mut self, bucket: &str) {
        let key = self.some_key(bucket);
        let (wish, algorithm) = (self.some_wish(bucket), self.some_algorithm());
        let mut call = wish.on(Call::object("POST", bucket, &key).flag("uploads"));
        if let Some(algorithm) = &algorithm {
            call = call.header("x-amz-checksum-algorithm", algorithm);
        }
        let answer = self.call(&call);
        if !self.refusals_of(bucket, &wish).done(&answer) {
            return;
        }
        assert_eq!(answer.status, 200, "{}", answer.shown());
        let result = Element::parse(&answer.body);
        assert_eq!(result.name, "InitiateMultipartUploadResult");
        assert_eq!(result.text_of("Bucket"), bucket);
        let id = result.text_of("UploadId").to_owned();
        let upload = Upload {
            key,
            headers: self.kept_headers(bucket, &wish),
            tags: wish.tags,
            customer_key: wish.customer_key,
            lock: wish.lock,
            algorithm,
            parts: BTreeMap::new(),
            state: UploadState::Open,
        };
        let old = self.bucket_mut(bucket).uploads.insert(id, upload);
        assert!(old.is_none(), "an upload id is new");
    }

    fn upload_part(&mut self, bucket: &str, id: &str) {
        let upload = self.buckets[bucket].uploads[id].clone();
        let number = self.random.between(1, 4) as u32;
        let body = if self.random.percent(30) {
            let len = MIN_PART_LEN as u64 + self.random.below(3) * 100_001;
            Arc::new(self.random.bytes(len as usize))
        } else {
            self.some_body()
        };
        let call =
            part_call("PUT", bucket, &upload.key, id).query("partNumber", &number.to_string());
        // An upload that was begun with no checksum takes parts with any.
        let algorithm = upload.algorithm.clone().or_else(|| self.some_algorithm());
        let call = self.with_body(call, &body, algorithm.as_ref());
        let mut refusals = Refusals::default();
        let mut given = upload.customer_key;
        if self.random.percent(6) {
            given = self.wrong_key(upload.customer_key).0;
            refusals.add((400, "InvalidRequest"));
        }
        let call = with_key(call, given);
        let Some(answer) = self.write(&call) else {
            return;
        };
        let undigested = self.needs_digest(bucket, &upload.lock) && !has_digest(&call);
        refusals.add_if(undigested, (400, "InvalidRequest"));
        refusals.add_if(
            self.is_full_for_part(bucket, &upload, number, body.len()),
            (403, "QuotaExceeded"),
        );
        if !refusals.done(&answer) {
            return;
        }
        assert_eq!(answer.status, 200, "{}", answer.shown());
        let is_md5 = answer.etag() == md5_hex(&body);
        assert_eq!(is_md5, upload.customer_key.is_none());
        let sum = upload.algorithm.as_ref().map(|a| checksum(a, &body));
        if let (Some(algorithm), Some(sum)) = (&upload.algorithm, &sum) {
            let name = checksum_header(algorithm);
            assert_eq!(answer.header(&name), Some(sum.as_str()));
        }
        let part = Part {
            etag: answer.etag(),
            body,
            checksum: sum,
        };
        self.upload_mut(bucket, id).parts.insert(number, part);
    }

    /// Whether a part of so many bytes is too much for its bucket.
    pub(crate) fn is_full_for_part(
        &self,
        bucket: &str,
        upload: &Upload,
        number: u32,
        len: usize,
    ) -> bool {
        let replaced = upload.parts.get(&number);
        let replaced = replaced.map_or(0, |part| part.body.len() as u64);
        self.buckets[bucket].is_full_for_part(replaced, len as u64)
    }

    pub(crate) fn upload_mut(&mut self, bucket: &str, id: &str) -> &mut Upload {
        let uploads = &mut self.bucket_mut(bucket).uploads;
        uploads.get_mut(id).expect("the upload is there")
    }

    /// Picks parts that may be completed: big ones, and any one last.
    fn some_parts(&mut self, upload: &Upload) -> Vec<(u32, Part)> {
        let mut chosen: Vec<(u32, Part)> = Vec::new();
        let last = upload.parts.keys().last().copied();
        for (number, part) in &upload.parts {
            let big = part.body.len() >= MIN_PART_LEN;
            if Some(*number) == last || (big && self.random.percent(90)) {
                chosen.push((*number, part.clone()));
            }
        }
        chosen
    }

    fn complete(&mut self, bucket: &str, id: &str) {
        let upload = self.buckets[bucket].uploads[id].clone();
        let parts = self.some_parts(&upload);
        if parts.is_empty() {
            return;
        }
        let condition = self.some_condition(bucket, &upload.key);
        let listed = listed(&parts);
        let call = condition.on(complete_call(bucket, &upload, id, &listed));
        // The key may be left out here.
        let given = upload.customer_key.filter(|_| self.random.percent(50));
        let answer = self.call(&with_key(call, given));
        let mut refusals = Refusals::default();
        condition.add_to(&mut refusals);
        // Its bytes are counted already.
        let is_full = self.buckets[bucket].is_full_for(&upload.key, 0);
        refusals.add_if(is_full, (403, "QuotaExceeded"));
        if !refusals.done(&answer) {
            return;
        }
        let version = completed_version(&upload, &parts);
        compare_completed(&answer, &version);
        let state = UploadState::Completed(listed, version.etag.clone());
        self.upload_mut(bucket, id).state = state;
        self.publish(
            bucket,
            &upload.key,
            version,
            answer.header("x-amz-version-id"),
        );
    }

    fn complete_wrongly(&mut self, bucket: &str, id: &str) {
        let upload = self.buckets[bucket].uploads[id].clone();
        let all: Vec<(u32, Part)> = upload.parts.clone().into_iter().collect();
        let mut parts = listed(&all);
        let absent = (1..=5).find(|number| !upload.parts.contains_key(number));
        let code = match self.random.below(4) {
            0 if parts.len() > 1 => {
                parts.reverse();
                "InvalidPartOrder"
            }
            1 if !parts.is_empty() => {
                parts[0].1 = "0123456789abcdef0123456789abcdef".to_owned();
                "InvalidPart"
            }
            2 => {
                let absent = absent.expect("there are at most four parts");
                parts = vec![(absent, "0123456789abcdef0123456789abcdef".to_owned())];
                "InvalidPart"
            }
            _ if all.len() > 1 && all[0].1.body.len() < MIN_PART_LEN => "EntityTooSmall",
            _ => {
                parts.clear();
                "MalformedXML"
            }
        };
        let answer = self.call(&complete_call(bucket, &upload, id, &parts));
        self.refused(&answer, (400, code));
    }

    fn complete_again(&mut self, bucket: &str, id: &str) {
        let upload = self.buckets[bucket].uploads[id].clone();
        match &upload.state {
            UploadState::Open => {}
            UploadState::Aborted => {
                let parts = [(1, "0123456789abcdef0123456789abcdef".to_owned())];
                let answer = self.call(&complete_call(bucket, &upload, id, &parts));
                self.refused(&answer, (404, "NoSuchUpload"));
            }
            UploadState::Completed(parts, etag) => {
                let answer = self.call(&complete_call(bucket, &upload, id, parts));
                assert_eq!(answer.status, 200, "{}", answer.shown());
                let result = Element::parse(&answer.body);
                assert_eq!(result.text_of("ETag").trim_matches('"'), etag);
            }
        }
    }

    fn abort(&mut self, bucket: &str, id: &str) {
        let upload = self.buckets[bucket].uploads[id].clone();
        if upload.state == UploadState::Open && self.random.percent(60) {
            return;
        }
        let answer = self.call(&part_call("DELETE", bucket, &upload.key, id));
        if upload.state == UploadState::Open {
            assert_eq!(answer.status, 204, "{}", answer.shown());
            self.upload_mut(bucket, id).state = UploadState::Aborted;
        } else {
            self.refused(&answer, (404, "NoSuchUpload"));
        }
        let late = part_call("PUT", bucket, &upload.key, id).query("partNumber", "1");
        let answer = self.call(&late.body(b"too late"));
        self.refused(&answer, (404, "NoSuchUpload"));
    }

    fn list_parts(&mut self, bucket: &str, id: &str) {
        let upload = self.buckets[bucket].uploads[id].clone();
        let page_len = self.random.between(1, 3);
        let mut found: Vec<(u32, String, usize)> = Vec::new();
        let mut after = String::new();
        loop {
            let mut call =
                part_call("GET", bucket, &upload.key, id).query("max-parts", &page_len.to_string());
            if !after.is_empty() {
                call = call.query("part-number-marker", &after);
            }
            let answer = self.call(&call);
            assert_eq!(answer.status, 200, "{}", answer.shown());
            let page = Element::parse(&answer.body);
            assert!(page.all("Part").count() as u64 <= page_len);
            for part in page.all("Part") {
                found.push((
                    part.text_of("PartNumber").parse().expect("a number"),
                    part.text_of("ETag").trim_matches('"').to_owned(),
                    part.text_of("Size").parse().expect("a size"),
                ));
            }
            if page.text_of("IsTruncated") == "false" {
                break;
            }
            page.text_of("NextPartNumberMarker").clone_into(&mut after);
        }
        let expected: Vec<(u32, String, usize)> = upload
            .parts
            .iter()
            .map(|(number, part)| (*number, part.etag.clone(), part.body.len()))
            .collect();
        assert_eq!(found, expected);
    }

    fn list_uploads(&mut self, bucket: &str) {
        let found = self.listed_uploads(bucket);
        assert_eq!(found, self.buckets[bucket].open_uploads());
    }

    /// The open uploads that the server lists, by key and id.
    pub(crate) fn listed_uploads(&mut self, bucket: &str) -> Vec<(String, String)> {
        let answer = self.call(&Call::new("GET", &format!("/{bucket}")).flag("uploads"));
        assert_eq!(answer.status, 200, "{}", answer.shown());
        let page = Element::parse(&answer.body);
        let encoded = page.get("EncodingType") == Some("url");
        let mut found: Vec<(String, String)> = page
            .all("Upload")
            .map(|one| {
                let key = super::lists::decoded(one.text_of("Key"), encoded);
                (key, one.text_of("UploadId").to_owned())
            })
            .collect();
        let keys: Vec<String> = found.iter().map(|(key, _)| key.clone()).collect();
        assert!(
            keys.is_sorted(),
            "uploads come in the order of their keys: {keys:?}"
        );
        found.sort();
        found
    }
}

fn part_call(method: &str, bucket: &str, key: &str, id: &str) -> Call {
    Call::object(method, bucket, key).query("uploadId", id)
}

fn listed(parts: &[(u32, Part)]) -> Vec<(u32, String)> {
    parts
        .iter()
        .map(|(number, part)| (*number, part.etag.clone()))
        .collect()
}

fn complete_call(bucket: &str, upload: &Upload, id: &str, parts: &[(u32, String)]) -> Call {
    let mut xml = String::from("<CompleteMultipartUpload>");
    for (number, etag) in parts {
        xml.push_str(&format!(
            "<Part><PartNumber>{number}</PartNumber><ETag>\"{etag}\"</ETag>"
        ));
        let sum = upload.parts.get(number).and_then(|p| p.checksum.as_ref());
        if let (Some(algorithm), Some(sum)) = (&upload.algorithm, sum) {
            xml.push_str(&format!("<Checksum{algorithm}>{sum}</Checksum{algorithm}>"));
        }
        xml.push_str("</Part>");
    }
    xml.push_str("</CompleteMultipartUpload>");
    part_call("POST", bucket, &upload.key, id).body(xml.as_bytes())
}

/// What an upload becomes: its parts one after the other.
fn completed_version(upload: &Upload, parts: &[(u32, Part)]) -> Version {
    let mut body = Vec::new();
    for (_, part) in parts {
        body.extend_from_slice(&part.body);
    }
    let etags: Vec<String> = parts.iter().map(|(_, part)| part.etag.clone()).collect();
    let sums: Vec<String> = parts
        .iter()
        .filter_map(|(_, part)| part.checksum.clone())
        .collect();
    let checksum = upload.algorithm.as_ref().map(|algorithm| {
        // AWS's defaults: CRC64NVME is always over the whole object, the others over the parts'.
        let full = algorithm == "CRC64NVME";
        Checksum {
            algorithm: algorithm.clone(),
            value: if full {
                checksum(algorithm, &body)
            } else {
                composite_checksum(algorithm, &sums)
            },
            kind: if full { "FULL_OBJECT" } else { "COMPOSITE" },
        }
    });
    Version {
        id: String::new(),
        is_marker: false,
        etag: multipart_etag(&etags),
        parts: Some(
            parts
                .iter()
                .map(|(number, part)| (*number, part.body.len() as u64))
                .collect(),
        ),
        body: Arc::new(body),
        headers: upload.headers.clone(),
        checksum,
        tags: upload.tags.clone(),
        customer_key: upload.customer_key,
        lock: upload.lock.clone(),
        sent_ms: 0,
        last_modified: None,
    }
}

fn compare_completed(answer: &Response, version: &Version) {
    assert_eq!(answer.status, 200, "{}", answer.shown());
    let result = Element::parse(&answer.body);
    assert_eq!(result.name, "CompleteMultipartUploadResult");
    assert_eq!(result.text_of("ETag").trim_matches('"'), version.etag);
    if let Some(checksum) = &version.checksum {
        let name = format!("Checksum{}", checksum.algorithm);
        assert_eq!(result.text_of(&name), checksum.value);
        assert_eq!(result.text_of("ChecksumType"), checksum.kind);
    }
}
