//! Steps on object lock: retention and legal hold of versions, a bucket's default. What is locked is
//! deleted, overwritten and left to lifecycle by the other steps.

use super::objects::with_bypass;
use super::outcome::Refusals;
use super::reference::{ObjectLock, Version, Versioning};
use super::retention::{DefaultRetention, Mode, Retention, status};
use super::run::{LOCKED, Run};
use crate::support::client::Call;
use crate::support::digest::md5_base64;
use crate::support::xml::Element;

/// A version that a request means: which one, and what of it the reference has.
struct Meant {
    bucket: String,
    key: String,
    id: Option<String>,
    version: Option<Version>,
}

impl Meant {
    fn call(&self, method: &str, word: &str) -> Call {
        let call = Call::object(method, &self.bucket, &self.key).flag(word);
        match &self.id {
            Some(id) => call.query("versionId", id),
            None => call,
        }
    }

    fn version(&self) -> &Version {
        self.version.as_ref().expect("a version is meant")
    }
}

impl Run {
    pub(crate) fn locks(&mut self) {
        match self.random.below(20) {
            0..6 => self.put_retention(),
            6..10 => self.put_hold(),
            10..13 => self.get_retention(),
            13..16 => self.get_hold(),
            16..18 => self.put_lock_configuration(),
            _ => self.get_lock_configurations(),
        }
    }

    /// Some version, mostly in a bucket where it can be locked, and what is wrong with it there.
    fn some_lockable(&mut self) -> (Meant, Refusals) {
        let bucket = match self.random.percent(80) && !self.is_expiring(LOCKED) {
            true => LOCKED.to_owned(),
            false => self.some_bucket(),
        };
        let key = self.some_key(&bucket);
        let id = self.some_version(&bucket, &key);
        let held = &self.buckets[&bucket];
        let version = match &id {
            Some(id) => held.version(&key, id),
            None => held.newest(&key),
        };
        let version = version.cloned();
        let mut refusals = Refusals::default();
        if held.object_lock.is_none() {
            refusals.add((400, "InvalidRequest"));
        } else {
            match (&version, &id) {
                (Some(version), Some(_)) if version.is_marker => {
                    refusals.add((405, "MethodNotAllowed"));
                }
                (Some(version), None) if version.is_marker => refusals.add((404, "NoSuchKey")),
                (None, Some(_)) => refusals.add((404, "NoSuchVersion")),
                (None, None) => refusals.add((404, "NoSuchKey")),
                _ => {}
            }
        }
        let meant = Meant {
            bucket,
            key,
            id,
            version,
        };
        (meant, refusals)
    }

    /// `call` with a document, mostly with the digest that it needs.
    fn with_document(&mut self, call: Call, document: &str, refusals: &mut Refusals) -> Call {
        let call = call.body(document.as_bytes());
        if self.random.percent(5) {
            refusals.add((400, "InvalidRequest"));
            return call;
        }
        call.header("content-md5", &md5_base64(document.as_bytes()))
    }

    fn put_retention(&mut self) {
        let (meant, mut refusals) = self.some_lockable();
        let new = match self.random.percent(12) {
            true => None,
            false => Some(self.some_retention()),
        };
        let bypass = self.random.percent(40);
        let document = retention_document(new.as_ref());
        let call = self.with_document(meant.call("PUT", "retention"), &document, &mut refusals);
        let answer = self.call(&with_bypass(call, bypass));
        if let Some(new) = &new {
            let late = new.holds(self.span).not();
            refusals.add_as(late, (400, "InvalidArgument"));
        }
        if let Some(version) = &meant.version {
            let may = version.lock.may_become(new.as_ref(), bypass, self.span);
            refusals.add_as(may.not(), (403, "AccessDenied"));
        }
        if refusals.done(&answer) {
            assert_eq!(answer.status, 200, "{}", answer.shown());
            self.locked_version(&meant).lock.retention = new;
        }
    }

    fn put_hold(&mut self) {
        let (meant, mut refusals) = self.some_lockable();
        let on = self.random.percent(50);
        let document = format!("<LegalHold><Status>{}</Status></LegalHold>", status(on));
        let call = self.with_document(meant.call("PUT", "legal-hold"), &document, &mut refusals);
        let answer = self.call(&call);
        if refusals.done(&answer) {
            assert_eq!(answer.status, 200, "{}", answer.shown());
            self.locked_version(&meant).lock.hold = Some(on);
        }
    }

    fn locked_version(&mut self, meant: &Meant) -> &mut Version {
        let id = &meant.version().id;
        let version = self.bucket_mut(&meant.bucket).version_mut(&meant.key, id);
        version.expect("the version is there")
    }

    fn get_retention(&mut self) {
        let (meant, mut refusals) = self.some_lockable();
        let answer = self.call(&meant.call("GET", "retention"));
        let retention = meant
            .version
            .as_ref()
            .map(|version| &version.lock.retention);
        refusals.add_if(
            retention == Some(&None),
            (404, "NoSuchObjectLockConfiguration"),
        );
        if refusals.done(&answer) {
            let expected = retention_document(meant.version().lock.retention.as_ref());
            assert_eq!(
                Element::parse(&answer.body),
                Element::parse(expected.as_bytes())
            );
        }
    }

    fn get_hold(&mut self) {
        let (meant, mut refusals) = self.some_lockable();
        let answer = self.call(&meant.call("GET", "legal-hold"));
        let hold = meant.version.as_ref().map(|version| version.lock.hold);
        refusals.add_if(hold == Some(None), (404, "NoSuchObjectLockConfiguration"));
        if refusals.done(&answer) {
            let told = Element::parse(&answer.body);
            let on = meant.version().lock.hold.expect("a hold was spoken of");
            assert_eq!(
                (told.name.as_str(), told.text_of("Status")),
                ("LegalHold", status(on))
            );
        }
    }

    /// Gives a bucket another default, or switches its object lock on, for ever.
    fn put_lock_configuration(&mut self) {
        let bucket = match self.random.below(20) {
            0 => self.some_bucket(),
            1 => "plain".to_owned(),
            _ => LOCKED.to_owned(),
        };
        // One bucket is to be suspended again and again.
        if bucket == "versioned" || self.is_expiring(&bucket) {
            return;
        }
        let default = self.random.percent(50).then(|| DefaultRetention {
            mode: match self.random.percent(75) {
                true => Mode::Governance,
                false => Mode::Compliance,
            },
            days: self.random.between(1, 36_500),
        });
        let mut refusals = Refusals::default();
        let document = configuration_document(default);
        let call = Call::new("PUT", &format!("/{bucket}")).flag("object-lock");
        let call = self.with_document(call, &document, &mut refusals);
        let answer = self.call(&call);
        let has_versions = self.buckets[&bucket].versioning == Versioning::Enabled;
        refusals.add_if(!has_versions, (409, "InvalidBucketState"));
        if refusals.done(&answer) {
            assert_eq!(answer.status, 200, "{}", answer.shown());
            self.bucket_mut(&bucket).object_lock = Some(ObjectLock { default });
        }
    }

    fn get_lock_configurations(&mut self) {
        let names: Vec<String> = self.buckets.keys().cloned().collect();
        for name in names {
            let call = Call::new("GET", &format!("/{name}")).flag("object-lock");
            let answer = self.call(&call);
            let lock = self.buckets[&name].object_lock;
            let mut refusals = Refusals::default();
            refusals.add_if(
                lock.is_none(),
                (404, "ObjectLockConfigurationNotFoundError"),
            );
            if refusals.done(&answer) {
                let expected = configuration_document(lock.and_then(|lock| lock.default));
                assert_eq!(
                    Element::parse(&answer.body),
                    Element::parse(expected.as_bytes())
                );
            }
        }
    }
}

fn retention_document(retention: Option<&Retention>) -> String {
    match retention {
        None => "<Retention></Retention>".to_owned(),
        Some(Retention { mode, until }) => format!(
            "<Retention><Mode>{}</Mode><RetainUntilDate>{until}</RetainUntilDate></Retention>",
            mode.name()
        ),
    }
}

fn configuration_document(default: Option<DefaultRetention>) -> String {
    let rule = default.map_or_else(String::new, |DefaultRetention { mode, days }| {
        format!(
            "<Rule><DefaultRetention><Mode>{}</Mode><Days>{days}</Days></DefaultRetention></Rule>",
            mode.name()
        )
    });
    format!(
        "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>{rule}\
         </ObjectLockConfiguration>"
    )
}
