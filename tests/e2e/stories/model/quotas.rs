//! Steps on quotas: set close to what is stored, taken away, and the totals compared with a recount.
//! That no write exceeds one is compared at each write.

use serde_json::Value;

use super::reference::{Amount, Quota, UploadState};
use super::run::{LIMITED, Run};

impl Run {
    pub(crate) fn quota(&mut self) {
        if self.is_expiring(LIMITED) {
            return;
        }
        let quota = self.some_quota();
        let limits = [("--bytes", quota.bytes), ("--objects", quota.objects)];
        let mut words: Vec<String> = ["bucket", "quota", LIMITED].map(str::to_owned).to_vec();
        for (name, limit) in limits {
            if let Some(limit) = limit {
                words.extend([name.to_owned(), limit.to_string()]);
            }
        }
        if quota.bytes.or(quota.objects).is_none() {
            words.push("--none".to_owned());
        }
        self.note(format!("admin {words:?}"));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let view = self.server.admin_json(&words);
        self.bucket_mut(LIMITED).quota = quota;
        self.compare_totals(&view);
    }

    /// Mostly a little more than is stored, now and then less, so that it is met soon.
    fn some_quota(&mut self) -> Quota {
        let Amount { objects, bytes } = self.buckets[LIMITED].stored();
        let mut near = |stored: u64, room: u64| {
            let limit = stored * 9 / 10 + self.random.below(stored / 10 + room);
            self.random.percent(60).then_some(limit)
        };
        Quota {
            bytes: near(bytes, 1_500_000),
            objects: near(objects, 8),
        }
    }

    /// Compares what the server counts in a bucket with what is there.
    fn compare_totals(&mut self, view: &Value) {
        let name = view["name"].as_str().expect("a bucket has a name");
        let held = &self.buckets[name];
        let told = |count: &Value| Amount {
            objects: count["count"].as_u64().expect("a count"),
            bytes: count["bytes"].as_u64().expect("bytes"),
        };
        let stored = held.stored();
        let quota = (held.quota.bytes, held.quota.objects);
        assert_eq!(view["quota"]["bytes"].as_u64(), quota.0, "{view:#}");
        assert_eq!(view["quota"]["objects"].as_u64(), quota.1, "{view:#}");
        if quota != (None, None) {
            assert_eq!(told(&view["counted"]), stored, "{view:#}");
        }
        let open = held.uploads.values();
        let open = open.filter(|upload| upload.state == UploadState::Open);
        let parts = open.flat_map(|upload| upload.parts.values());
        let of_parts: u64 = parts.map(|part| part.body.len() as u64).sum();
        let of_versions = Amount {
            bytes: stored.bytes - of_parts,
            ..stored
        };
        assert_eq!(told(&view["objects"]), of_versions, "{view:#}");
    }

    /// Compares the totals of all buckets with a recount.
    pub(crate) fn compare_all_totals(&mut self) {
        let list = self.server.admin_json(&["bucket", "list"]);
        let views = list["buckets"].as_array().expect("buckets are listed");
        assert_eq!(views.len(), self.buckets.len());
        for view in views {
            if !self.is_expiring(view["name"].as_str().expect("a bucket has a name")) {
                self.compare_totals(view);
            }
        }
    }
}
