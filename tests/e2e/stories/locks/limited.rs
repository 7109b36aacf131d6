//! Writers in a bucket with a quota that they use up all the time: objects put, overwritten and
//! deleted, uploads begun, fed, completed, aborted and forgotten.
//!
//! Each writer has keys of its own, so what a key may hold after the server died is known: what was
//! acknowledged last, or what the one write that was not answered would have left.

use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Round;
use super::kept::{answered, told};
use crate::support::client::{Call, Client};
use crate::support::digest::sha256_hex;
use crate::support::random::Random;
use crate::support::server::Server;
use crate::support::xml::Element;

const BUCKET: &str = "limited";
const KEYS: u64 = 8;
const MAX_BYTES: u64 = 600_000;
const MAX_OBJECTS: u64 = 15;

/// What a key holds, by the hash of it.
#[derive(Debug, Clone, Default)]
struct Key {
    body: Option<String>,
    /// What writes would have left that were not answered.
    unknown: Vec<Option<String>>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Limited {
    keys: Mutex<BTreeMap<String, Key>>,
    done: AtomicU64,
    refused: AtomicU64,
}

impl Limited {
    pub(super) fn start(server: &Server, client: &Client) -> Self {
        client.create_bucket(BUCKET);
        let (bytes, objects) = (MAX_BYTES.to_string(), MAX_OBJECTS.to_string());
        let quota = ["--bytes", &bytes, "--objects", &objects];
        server.admin_does(&[&["bucket", "quota", BUCKET][..], &quota].concat());
        Self::default()
    }

    pub(super) fn work(&self, round: &Round<'_>, writer: u64, number: u64) {
        let mut random = Random::new(1000 * number + 500 + writer);
        let mut upload: Option<String> = None;
        while round.goes_on() {
            let key = format!("{writer}/{}", random.below(KEYS));
            let step = match random.below(20) {
                0..11 => self.put(round, &key, &mut random),
                11..15 => self.write(round, &key, None, &Call::object("DELETE", BUCKET, &key)),
                15..19 => self.put_part(round, &mut random, writer, &mut upload),
                _ => assert_within(round.client),
            };
            if step.is_ok() {
                round.count();
            }
        }
    }

    fn put(&self, round: &Round<'_>, key: &str, random: &mut Random) -> io::Result<()> {
        let len = some_len(random);
        let body = random.bytes(len);
        let call = Call::object("PUT", BUCKET, key).body(&body);
        self.write(round, key, Some(sha256_hex(&body)), &call)
    }

    /// Sends a write that leaves `body` in `key`, if it is done.
    fn write(
        &self,
        round: &Round<'_>,
        key: &str,
        body: Option<String>,
        call: &Call,
    ) -> io::Result<()> {
        self.change(key, |held| held.unknown.push(body.clone()));
        let answer = answered(round.client.try_send(call))?;
        let is_done = match (answer.status, answer.code()) {
            (200 | 204, _) => true,
            (403, "QuotaExceeded") => false,
            _ => panic!("{key}: {}", answer.shown()),
        };
        self.change(key, |held| {
            held.unknown.pop();
            if is_done {
                held.body = body;
            }
        });
        self.count(is_done);
        Ok(())
    }

    /// Feeds an upload, begins or ends one.
    fn put_part(
        &self,
        round: &Round<'_>,
        random: &mut Random,
        writer: u64,
        upload: &mut Option<String>,
    ) -> io::Result<()> {
        let key = format!("{writer}/upload");
        let call = |method| Call::object(method, BUCKET, &key);
        let Some(id) = upload.clone() else {
            let answer = answered(round.client.try_send(&call("POST").flag("uploads")))?;
            assert_eq!(answer.status, 200, "{}", answer.shown());
            *upload = Some(Element::parse(&answer.body).text_of("UploadId").to_owned());
            return Ok(());
        };
        if random.percent(15) {
            *upload = None;
            let answer = answered(
                round
                    .client
                    .try_send(&call("DELETE").query("uploadId", &id)),
            )?;
            assert_eq!(answer.status, 204, "{}", answer.shown());
            return Ok(());
        }
        let len = some_len(random);
        let body = random.bytes(len);
        let part = call("PUT").query("uploadId", &id).query("partNumber", "1");
        let answer = answered(round.client.try_send(&part.body(&body)))?;
        let is_done = match (answer.status, answer.code()) {
            (200, _) => true,
            (403, "QuotaExceeded") => false,
            _ => panic!("{}", answer.shown()),
        };
        self.count(is_done);
        if !is_done || random.percent(60) {
            return Ok(());
        }
        *upload = None;
        let list = format!(
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{}</ETag></Part>\
             </CompleteMultipartUpload>",
            answer.etag()
        );
        let complete = call("POST").query("uploadId", &id).body(list.as_bytes());
        self.write(round, &key, Some(sha256_hex(&body)), &complete)
    }

    fn count(&self, is_done: bool) {
        let counter = if is_done { &self.done } else { &self.refused };
        counter.fetch_add(1, Ordering::SeqCst);
    }

    fn change(&self, key: &str, change: impl FnOnce(&mut Key)) {
        change(self.keys.lock().unwrap().entry(key.to_owned()).or_default());
    }

    /// After a restart: each key holds what it may, the quota is kept, and the totals are what is
    /// there. How many writes were done, and how many refused.
    pub(super) fn check(&mut self, server: &Server, client: &Client) -> (u64, u64) {
        for (key, held) in self.keys.get_mut().unwrap() {
            let answer = client.get(BUCKET, key);
            let found = match answer.status {
                200 => Some(sha256_hex(&answer.body)),
                404 => None,
                _ => panic!("{key}: {}", answer.shown()),
            };
            let may_be = found == held.body || held.unknown.contains(&found);
            assert!(may_be, "{key} holds {found:?}: {held:?}");
            *held = Key {
                body: found,
                unknown: Vec::new(),
            };
        }
        recount(server, client);
        let (done, refused) = (&self.done, &self.refused);
        (done.load(Ordering::SeqCst), refused.load(Ordering::SeqCst))
    }

    pub(super) fn assert_much_happened(&self) {
        assert!(self.done.load(Ordering::SeqCst) > 50);
        assert!(self.refused.load(Ordering::SeqCst) > 10);
    }
}

fn some_len(random: &mut Random) -> usize {
    let most = if random.percent(20) { 200_000 } else { 40_000 };
    random.between(1, most) as usize
}

/// Number and bytes of the objects that a listing shows.
fn listed(page: &Element) -> (u64, u64) {
    assert_eq!(page.text_of("IsTruncated"), "false");
    let sizes = page.all("Contents");
    let sizes = sizes.map(|object| object.text_of("Size").parse::<u64>().unwrap());
    sizes.fold((0, 0), |(count, bytes), size| (count + 1, bytes + size))
}

fn list_call() -> Call {
    Call::new("GET", &format!("/{BUCKET}")).query("list-type", "2")
}

/// What one listing shows is there at one time.
fn assert_within(client: &Client) -> io::Result<()> {
    let answer = answered(client.try_send(&list_call()))?;
    assert_eq!(answer.status, 200, "{}", answer.shown());
    let (count, bytes) = listed(&Element::parse(&answer.body));
    assert!(
        count <= MAX_OBJECTS && bytes <= MAX_BYTES,
        "{count} objects of {bytes} bytes"
    );
    Ok(())
}

/// Nobody writes: objects and parts come to what the server counts, and to no more than it may. Then
/// forgotten uploads are aborted, so that there is room again.
fn recount(server: &Server, client: &Client) {
    let (count, of_objects) = listed(&Element::parse(&client.expect(200, &list_call()).body));
    let uploads = Call::new("GET", &format!("/{BUCKET}")).flag("uploads");
    let uploads = Element::parse(&client.expect(200, &uploads).body);
    let mut bytes = of_objects;
    for upload in uploads.all("Upload") {
        let parts = Element::parse(&client.expect(200, &of_upload("GET", upload)).body);
        for part in parts.all("Part") {
            bytes += part.text_of("Size").parse::<u64>().unwrap();
        }
    }
    let told = told(server, BUCKET);
    let totals = |count: &str| (told[count]["count"].as_u64(), told[count]["bytes"].as_u64());
    assert_eq!(
        totals("objects"),
        (Some(count), Some(of_objects)),
        "{told:#}"
    );
    assert_eq!(totals("counted"), (Some(count), Some(bytes)), "{told:#}");
    assert!(count <= MAX_OBJECTS && bytes <= MAX_BYTES, "{told:#}");
    for upload in uploads.all("Upload") {
        client.expect(204, &of_upload("DELETE", upload));
    }
}

fn of_upload(method: &str, upload: &Element) -> Call {
    let call = Call::object(method, BUCKET, upload.text_of("Key"));
    call.query("uploadId", upload.text_of("UploadId"))
}
