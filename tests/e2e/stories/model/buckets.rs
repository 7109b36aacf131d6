//! Steps on buckets: versioning switched, buckets made, asked for and removed.

use super::outcome::Refusals;
use super::reference::Versioning;
use super::run::{LIMITED, LOCKED, Run};
use crate::support::client::Call;
use crate::support::xml::Element;

impl Run {
    /// Switches versioning of a bucket that is not to stay plain, and reads back what holds.
    pub(crate) fn versioning(&mut self) {
        let bucket = match self.random.below(20) {
            0 => LIMITED,
            1 => LOCKED,
            2..8 => "other.bucket",
            _ => "versioned",
        };
        if self.is_expiring(bucket) {
            return;
        }
        let (status, versioning) = if self.random.percent(60) {
            ("Enabled", Versioning::Enabled)
        } else {
            ("Suspended", Versioning::Suspended)
        };
        let xml = format!(
            "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
             <Status>{status}</Status></VersioningConfiguration>"
        );
        let call = Call::new("PUT", &format!("/{bucket}")).flag("versioning");
        let answer = self.call(&call.body(xml.as_bytes()));
        let stays = self.buckets[bucket].object_lock.is_some();
        let mut refusals = Refusals::default();
        let refused = stays && versioning == Versioning::Suspended;
        refusals.add_if(refused, (409, "InvalidBucketState"));
        if refusals.done(&answer) {
            self.bucket_mut(bucket).versioning = versioning;
        }
        let names: Vec<String> = self.buckets.keys().cloned().collect();
        for name in &names {
            let answer = self.call(&Call::new("GET", &format!("/{name}")).flag("versioning"));
            assert_eq!(answer.status, 200, "{}", answer.shown());
            let expected = match self.buckets[name].versioning {
                Versioning::Unversioned => None,
                Versioning::Enabled => Some("Enabled"),
                Versioning::Suspended => Some("Suspended"),
            };
            assert_eq!(Element::parse(&answer.body).get("Status"), expected);
        }
    }

    pub(crate) fn bucket_operations(&mut self) {
        let bucket = self.some_bucket();
        let path = format!("/{bucket}");
        match self.random.below(6) {
            0 => {
                let answer = self.call(&Call::new("GET", "/"));
                assert_eq!(answer.status, 200, "{}", answer.shown());
                let result = Element::parse(&answer.body);
                let buckets = result.child("Buckets").expect("buckets are listed");
                let found: Vec<&str> = buckets.all("Bucket").map(|b| b.text_of("Name")).collect();
                let expected: Vec<&String> = self.buckets.keys().collect();
                assert_eq!(found, expected);
            }
            1 => {
                let answer = self.call(&Call::new("HEAD", &path));
                assert_eq!(answer.status, 200, "{}", answer.shown());
                let region = answer.header("x-amz-bucket-region");
                assert_eq!(region, Some("us-east-1"));
            }
            2 => {
                let answer = self.call(&Call::new("GET", &path).flag("location"));
                assert_eq!(answer.status, 200, "{}", answer.shown());
                let result = Element::parse(&answer.body);
                assert_eq!(
                    (result.name.as_str(), &*result.text),
                    ("LocationConstraint", "")
                );
            }
            3 => {
                let has_content = !self.buckets[&bucket].keys.is_empty();
                if has_content {
                    let answer = self.call(&Call::new("DELETE", &path));
                    self.refused(&answer, (409, "BucketNotEmpty"));
                }
            }
            4 => {
                let answer = self.call(&Call::object("PUT", "no-such-bucket", "key").body(b"x"));
                self.refused(&answer, (404, "NoSuchBucket"));
            }
            _ => self.bucket_comes_and_goes(),
        }
    }

    fn bucket_comes_and_goes(&mut self) {
        let lockable = self.random.percent(50).to_string();
        for (method, status) in [
            ("PUT", 200),
            ("HEAD", 200),
            ("DELETE", 204),
            ("HEAD", 404),
            ("DELETE", 404),
        ] {
            let mut call = Call::new(method, "/comes-and-goes");
            if method == "PUT" {
                call = call.header("x-amz-bucket-object-lock-enabled", &lockable);
            }
            let answer = self.call(&call);
            assert_eq!(answer.status, status, "{method} {}", answer.shown());
        }
    }
}
