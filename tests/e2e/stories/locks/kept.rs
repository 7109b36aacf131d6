//! Writers that lock versions, and try to delete each other's.
//!
//! Only its writer changes the lock of a version; anybody tries to delete it. So what a lock may be
//! is known: what was acknowledged last, or the one change that is under way. A delete may succeed
//! if at any time while it was under way the lock allowed it.

use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use super::Round;
use crate::support::client::{Call, Client};
use crate::support::digest::{md5_base64, sha256_hex};
use crate::support::http::Response;
use crate::support::random::Random;
use crate::support::server::Server;
use crate::support::xml::{Element, escape};

const BUCKET: &str = "kept";
const KEYS: u64 = 6;

/// Two times that no test sees come; the later one extends the earlier.
const UNTIL: [&str; 2] = ["2090-01-01T00:00:00.000Z", "2095-01-01T00:00:00.000Z"];

const MODE: &str = "x-amz-object-lock-mode";
const UNTIL_DATE: &str = "x-amz-object-lock-retain-until-date";
const HOLD: &str = "x-amz-object-lock-legal-hold";
const BYPASS: &str = "x-amz-bypass-governance-retention";

/// What locks a version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Lock {
    /// Whether it is compliance, and which of the times.
    retention: Option<(bool, usize)>,
    hold: Option<bool>,
}

impl Lock {
    const fn allows(self, bypass: bool) -> bool {
        let held = matches!(self.hold, Some(true));
        let retained = match self.retention {
            Some((true, _)) => true,
            Some((false, _)) => !bypass,
            None => false,
        };
        !held && !retained
    }

    fn headers(self) -> Vec<(&'static str, &'static str)> {
        let mut headers = Vec::new();
        if let Some((is_compliance, until)) = self.retention {
            headers.push((MODE, mode(is_compliance)));
            headers.push((UNTIL_DATE, UNTIL[until]));
        }
        if let Some(on) = self.hold {
            headers.push((HOLD, if on { "ON" } else { "OFF" }));
        }
        headers
    }

    fn shown(answer: &Response) -> Vec<(&'static str, String)> {
        let names = [MODE, UNTIL_DATE, HOLD].into_iter();
        names
            .filter_map(|name| Some((name, answer.header(name)?.to_owned())))
            .collect()
    }
}

const fn mode(is_compliance: bool) -> &'static str {
    match is_compliance {
        true => "COMPLIANCE",
        false => "GOVERNANCE",
    }
}

/// Whether a version is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    There,
    /// A delete that its lock allowed was not answered.
    Unknown,
    Gone,
}

/// A version that was acknowledged.
#[derive(Debug, Clone)]
struct Version {
    key: String,
    hash: String,
    owner: u64,
    lock: Lock,
    /// What its writer is just asking for, or asked for when the server died.
    wished: Option<Lock>,
    presence: Presence,
    /// Deletes that are under way, by a number.
    deletes: BTreeMap<u64, Delete>,
}

/// A delete that is under way.
#[derive(Debug, Clone, Copy)]
struct Delete {
    bypass: bool,
    /// Whether the lock allowed it at any time since it was sent.
    may: bool,
    /// Whether it did all the time.
    must: bool,
}

impl Version {
    /// Its writer asks for another lock, which may hold from now on.
    fn wish(&mut self, lock: Lock) {
        self.wished = Some(lock);
        for delete in self.deletes.values_mut() {
            delete.may |= lock.allows(delete.bypass);
            delete.must &= lock.allows(delete.bypass);
        }
    }

    fn begin_delete(&mut self, number: u64, bypass: bool) {
        let may = |lock: &Lock| lock.allows(bypass);
        let delete = Delete {
            bypass,
            may: may(&self.lock) || self.wished.as_ref().is_some_and(may),
            must: may(&self.lock) && self.wished.as_ref().is_none_or(may),
        };
        self.deletes.insert(number, delete);
    }

    /// What became of a delete: done, refused, or nobody knows.
    fn end_delete(&mut self, number: u64, done: Option<bool>) {
        let others = |version: &Self| version.deletes.values().any(|delete| delete.may);
        match done {
            Some(true) => {
                let explained = self.presence != Presence::There || others(self);
                assert!(explained, "deleted in spite of its lock: {self:?}");
                self.presence = Presence::Gone;
            }
            Some(false) => {
                let free = self.deletes[&number].must;
                assert!(!free, "refused without a lock: {self:?}");
            }
            None if self.deletes[&number].may && self.presence == Presence::There => {
                self.presence = Presence::Unknown;
            }
            None => {}
        }
        self.deletes.remove(&number);
    }
}

/// A version that is to be deleted.
struct Target {
    id: String,
    key: String,
    /// The number of the delete.
    number: u64,
}

/// See the module.
#[derive(Default)]
pub(super) struct Kept {
    versions: Mutex<BTreeMap<String, Version>>,
    deletes: AtomicU64,
    refused: AtomicU64,
}

impl Kept {
    pub(super) fn start(client: &Client) -> Self {
        let call = Call::new("PUT", &format!("/{BUCKET}"));
        client.expect(
            200,
            &call.header("x-amz-bucket-object-lock-enabled", "true"),
        );
        Self::default()
    }

    pub(super) fn work(&self, round: &Round<'_>, writer: u64, number: u64) {
        let mut random = Random::new(1000 * number + writer);
        while round.goes_on() {
            let step = match random.below(10) {
                0..3 => self.put(round, &mut random, writer),
                3..6 => self.relock(round, &mut random, writer),
                6..8 => self.delete(round, &mut random),
                8 => self.delete_many(round, &mut random),
                _ => put_marker(round, &mut random),
            };
            if step.is_ok() {
                round.count();
            }
        }
    }

    /// Puts a version, locked in some way or not at all.
    fn put(&self, round: &Round<'_>, random: &mut Random, writer: u64) -> io::Result<()> {
        let key = format!("k/{}", random.below(KEYS));
        let len = if random.percent(10) { 150_000 } else { 900 };
        let body = random.bytes(len);
        let lock = Lock {
            retention: some_retention(random),
            hold: random.percent(40).then(|| random.percent(60)),
        };
        let mut call = Call::object("PUT", BUCKET, &key)
            .header("content-md5", &md5_base64(&body))
            .body(&body);
        for (name, value) in lock.headers() {
            call = call.header(name, value);
        }
        let answer = answered(round.client.try_send(&call))?;
        assert_eq!(answer.status, 200, "{}", answer.shown());
        let id = answer
            .header("x-amz-version-id")
            .expect("a version has an id");
        let version = Version {
            key,
            hash: sha256_hex(&body),
            owner: writer,
            lock,
            wished: None,
            presence: Presence::There,
            deletes: BTreeMap::new(),
        };
        self.versions.lock().unwrap().insert(id.to_owned(), version);
        Ok(())
    }

    /// Changes the lock of a version of its own in a way that must be allowed.
    fn relock(&self, round: &Round<'_>, random: &mut Random, writer: u64) -> io::Result<()> {
        let Some((id, was)) = self.some_own_version(random, writer) else {
            return Ok(());
        };
        let (word, wished) = match (random.below(3), was.lock.retention) {
            (0, Some((is_compliance, _))) => {
                let longer = Some((is_compliance, 1));
                (
                    "retention",
                    Lock {
                        retention: longer,
                        ..was.lock
                    },
                )
            }
            (1, retention) if retention.is_none_or(|(is_compliance, _)| !is_compliance) => {
                let retention = some_retention(random);
                (
                    "retention",
                    Lock {
                        retention,
                        ..was.lock
                    },
                )
            }
            _ => {
                let hold = Some(random.percent(50));
                ("legal-hold", Lock { hold, ..was.lock })
            }
        };
        let document = match (word, wished.retention) {
            ("legal-hold", _) => {
                let status = if wished.hold == Some(true) {
                    "ON"
                } else {
                    "OFF"
                };
                format!("<LegalHold><Status>{status}</Status></LegalHold>")
            }
            (_, None) => "<Retention></Retention>".to_owned(),
            (_, Some((is_compliance, until))) => format!(
                "<Retention><Mode>{}</Mode><RetainUntilDate>{}</RetainUntilDate></Retention>",
                mode(is_compliance),
                UNTIL[until]
            ),
        };
        let mut call = Call::object("PUT", BUCKET, &was.key)
            .flag(word)
            .query("versionId", &id)
            .header("content-md5", &md5_base64(document.as_bytes()))
            .body(document.as_bytes());
        if word == "retention" {
            call = call.header(BYPASS, "true");
        }
        self.change(&id, |version| version.wish(wished));
        let answer = answered(round.client.try_send(&call))?;
        self.change(&id, |version| {
            version.wished = None;
            match (answer.status, answer.code()) {
                (200, _) => version.lock = wished,
                // Somebody deleted it, who was allowed to: that is compared where he is answered.
                (404, "NoSuchVersion") => {}
                _ => panic!("{was:?} to {wished:?}: {}", answer.shown()),
            }
        });
        Ok(())
    }

    /// Tries to delete some version.
    fn delete(&self, round: &Round<'_>, random: &mut Random) -> io::Result<()> {
        let bypass = random.percent(40);
        let Some(target) = self.begin_delete(random, bypass) else {
            return Ok(());
        };
        let call = Call::object("DELETE", BUCKET, &target.key).query("versionId", &target.id);
        let result = answered(
            round
                .client
                .try_send(&call.header(BYPASS, &bypass.to_string())),
        );
        let done = match &result {
            Err(_) => None,
            Ok(answer) if answer.status == 204 => Some(true),
            Ok(answer) => {
                let found = (answer.status, answer.code());
                assert_eq!(found, (403, "AccessDenied"), "{}", answer.shown());
                Some(false)
            }
        };
        self.end_delete(&target, done);
        result.map(drop)
    }

    /// Tries to delete several versions at once.
    fn delete_many(&self, round: &Round<'_>, random: &mut Random) -> io::Result<()> {
        let bypass = random.percent(40);
        let count = random.between(1, 5);
        let targets = (0..count).filter_map(|_| self.begin_delete(random, bypass));
        let targets: Vec<Target> = targets.collect();
        if targets.is_empty() {
            return Ok(());
        }
        let objects: String = targets
            .iter()
            .map(|Target { id, key, .. }| {
                let key = escape(key);
                format!("<Object><Key>{key}</Key><VersionId>{id}</VersionId></Object>")
            })
            .collect();
        let document = format!("<Delete>{objects}</Delete>");
        let call = Call::new("POST", &format!("/{BUCKET}"))
            .flag("delete")
            .header("content-md5", &md5_base64(document.as_bytes()))
            .header(BYPASS, &bypass.to_string())
            .body(document.as_bytes());
        let result = answered(round.client.try_send(&call));
        let refused = result.as_ref().ok().map(|answer| {
            assert_eq!(answer.status, 200, "{}", answer.shown());
            let told = Element::parse(&answer.body);
            told.all("Error")
                .map(|error| {
                    (
                        error.text_of("VersionId").to_owned(),
                        error.text_of("Code").to_owned(),
                    )
                })
                .collect::<BTreeMap<String, String>>()
        });
        for target in &targets {
            let done = refused.as_ref().and_then(|refused| {
                match refused.get(&target.id).map(String::as_str) {
                    None => Some(true),
                    Some("AccessDenied") => Some(false),
                    // What failed may have been done.
                    Some(_) => None,
                }
            });
            self.end_delete(target, done);
        }
        result.map(drop)
    }

    fn end_delete(&self, target: &Target, done: Option<bool>) {
        if done == Some(false) {
            self.refused.fetch_add(1, Ordering::SeqCst);
        }
        self.change(&target.id, |version| {
            version.end_delete(target.number, done);
        });
    }

    fn change(&self, id: &str, change: impl FnOnce(&mut Version)) {
        let mut versions = self.versions.lock().unwrap();
        change(versions.get_mut(id).expect("the version is known"));
    }

    /// Some version that is there and of this writer. One whose change was not answered is left
    /// alone until it has been looked at after the restart.
    fn some_own_version(&self, random: &mut Random, owner: u64) -> Option<(String, Version)> {
        let versions = self.versions.lock().unwrap();
        let fitting: Vec<(&String, &Version)> = versions
            .iter()
            .filter(|(_, it)| it.presence == Presence::There)
            .filter(|(_, it)| it.owner == owner && it.wished.is_none())
            .collect();
        if fitting.is_empty() {
            return None;
        }
        let (id, version) = random.pick(&fitting);
        Some(((*id).clone(), (*version).clone()))
    }

    /// Picks some version that is there, of anybody, to delete it.
    fn begin_delete(&self, random: &mut Random, bypass: bool) -> Option<Target> {
        let mut versions = self.versions.lock().unwrap();
        let mut fitting: Vec<(&String, &mut Version)> = versions
            .iter_mut()
            .filter(|(_, it)| it.presence == Presence::There)
            .collect();
        if fitting.is_empty() {
            return None;
        }
        let at = random.below(fitting.len() as u64) as usize;
        let (id, version) = &mut fitting[at];
        let number = self.deletes.fetch_add(1, Ordering::SeqCst);
        version.begin_delete(number, bypass);
        Some(Target {
            id: (*id).clone(),
            key: version.key.clone(),
            number,
        })
    }

    /// After a restart: every version is there with its lock and its bytes, or gone because it was
    /// deleted. How many are locked, and how many are gone.
    pub(super) fn check(&self, client: &Client) -> (usize, usize) {
        let mut versions = self.versions.lock().unwrap();
        for (id, version) in versions.iter_mut() {
            let call = Call::object("GET", BUCKET, &version.key).query("versionId", id);
            let answer = client.send(&call);
            if version.presence == Presence::Gone
                || (version.presence == Presence::Unknown && answer.status == 404)
            {
                let found = (answer.status, answer.code());
                assert_eq!(found, (404, "NoSuchVersion"), "{}", answer.shown());
                version.presence = Presence::Gone;
                continue;
            }
            assert_eq!(answer.status, 200, "{version:?}: {}", answer.shown());
            assert_eq!(sha256_hex(&answer.body), version.hash, "{version:?}");
            let shown = Lock::shown(&answer);
            let is_shown = |lock: &Lock| {
                let headers = lock.headers().into_iter();
                let headers: Vec<(&str, String)> = headers
                    .map(|(name, value)| (name, value.to_owned()))
                    .collect();
                headers == shown
            };
            let mut possible = version.wished.into_iter().chain([version.lock]);
            let lock = possible.find(is_shown);
            version.lock = lock.unwrap_or_else(|| panic!("{version:?} shows {shown:?}"));
            version.wished = None;
            version.presence = Presence::There;
        }
        let gone = versions.values().filter(|it| it.presence == Presence::Gone);
        let gone = gone.count();
        let there = versions
            .values()
            .filter(|it| it.presence == Presence::There);
        let locked = there.filter(|it| !it.lock.allows(false)).count();
        (locked, gone)
    }

    pub(super) fn assert_much_happened(&self) {
        let versions = self.versions.lock().unwrap();
        let gone = |version: &&Version| version.presence == Presence::Gone;
        assert!(versions.len() > 50, "{}", versions.len());
        assert!(versions.values().filter(gone).count() > 5);
        assert!(self.refused.load(Ordering::SeqCst) > 20);
    }
}

/// Deletes without naming a version: that may be done to anything, and removes nothing.
fn put_marker(round: &Round<'_>, random: &mut Random) -> io::Result<()> {
    let key = format!("k/{}", random.below(KEYS));
    let answer = answered(round.client.try_send(&Call::object("DELETE", BUCKET, &key)))?;
    assert_eq!(answer.status, 204, "{}", answer.shown());
    assert_eq!(answer.header("x-amz-delete-marker"), Some("true"));
    Ok(())
}

fn some_retention(random: &mut Random) -> Option<(bool, usize)> {
    match random.below(10) {
        0..4 => Some((false, random.below(2) as usize)),
        4 => Some((true, random.below(2) as usize)),
        _ => None,
    }
}

/// An answer; one that says that the server is going counts as none.
pub(super) fn answered(result: io::Result<Response>) -> io::Result<Response> {
    match result {
        Ok(answer) if answer.status >= 500 => Err(io::Error::other(answer.shown())),
        result => result,
    }
}

/// The totals are what a listing of all versions comes to.
pub(super) fn recount(server: &Server, client: &Client) {
    let (mut count, mut bytes) = (0, 0);
    let (mut key, mut id) = (String::new(), String::new());
    loop {
        let mut call = Call::new("GET", &format!("/{BUCKET}")).flag("versions");
        if !key.is_empty() {
            call = call
                .query("key-marker", &key)
                .query("version-id-marker", &id);
        }
        let page = Element::parse(&client.expect(200, &call).body);
        for version in page.all("Version") {
            count += 1;
            bytes += version.text_of("Size").parse::<u64>().unwrap();
        }
        if page.text_of("IsTruncated") == "false" {
            break;
        }
        page.text_of("NextKeyMarker").clone_into(&mut key);
        page.text_of("NextVersionIdMarker").clone_into(&mut id);
    }
    let told = told(server, BUCKET);
    let objects = (
        told["objects"]["count"].as_u64(),
        told["objects"]["bytes"].as_u64(),
    );
    assert_eq!(objects, (Some(count), Some(bytes)), "{told:#}");
}

/// What the admin API says of a bucket.
pub(super) fn told(server: &Server, bucket: &str) -> Value {
    let list = server.admin_json(&["bucket", "list"]);
    let buckets = list["buckets"].as_array().expect("buckets are listed");
    let found = buckets.iter().find(|it| it["name"] == bucket);
    found.expect("the bucket is listed").clone()
}
