//! `kill -9` in the middle of concurrent writes, many rounds: what was acknowledged is there bit
//! for bit, what was not is there whole or not at all, and no listing says otherwise.
//!
//! Every body says whose it is, which one, and how long (client, number, length, hash), so that a
//! torn or mixed one gives itself away. Each operation has a beginning and an end in one order; a
//! state of a key after the crash is right if no acknowledged operation began after its own
//! operation had ended. An unanswered operation has no end: it may have happened or not.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::support::client::{Call, Client, Payload};
use crate::support::digest::{multipart_etag, sha256_hex};
use crate::support::random::Random;
use crate::support::server::Server;
use crate::support::xml::Element;

const ROUNDS: u64 = 15;
const WRITERS: u64 = 6;
const BUCKET: &str = "crash";
const VERSIONED: &str = "crash-versioned";

/// One write, as the test knows of it.
#[derive(Debug, Clone)]
struct Attempt {
    key: String,
    /// The hash of its body, or nothing for a delete.
    body: Option<String>,
    began: u64,
    /// When it was answered, or else when the server was dead for certain.
    ended: u64,
    acknowledged: bool,
    /// Of an acknowledged write to the versioned bucket.
    version: Option<String>,
}

impl Attempt {
    fn new(key: String, body: Option<&[u8]>, began: u64) -> Self {
        Self {
            key,
            body: body.map(sha256_hex),
            began,
            ended: u64::MAX,
            acknowledged: false,
            version: None,
        }
    }
}

/// All that the writers did, and the order of it.
#[derive(Debug, Default)]
struct History {
    clock: AtomicU64,
    number: AtomicU64,
    /// Writes to the versioned bucket that were acknowledged without a version id.
    nameless: AtomicU64,
    attempts: Mutex<Vec<Attempt>>,
}

impl History {
    fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    /// What was unanswered when the server died can't happen any more.
    fn end_round(&self) -> Vec<Attempt> {
        let now = self.now();
        let mut attempts = self.attempts.lock().unwrap();
        for attempt in attempts.iter_mut() {
            attempt.ended = attempt.ended.min(now);
        }
        attempts.clone()
    }
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    tell("kill", |_, _| {});
}

/// The database goes with its log, and so does the journal of as many drives as may be lost.
#[test]
fn what_was_acknowledged_survives_kill_9_and_the_loss_of_the_database() {
    tell("kill-database", |server, round| {
        fs::remove_dir_all(server.data().join("metadata")).unwrap();
        for lost in [round, round + 1 + round % 5] {
            let journal = server.drive(lost as usize % 6 + 1).join("metadata");
            fs::remove_dir_all(journal).ok();
        }
    });
}

/// Kills the server under load, lets `wreck` do more, and looks, many rounds.
fn tell(name: &str, wreck: impl Fn(&Server, u64)) {
    let rounds = std::env::var("HOLDFAST_KILL_ROUNDS").map_or(ROUNDS, |n| n.parse().unwrap());
    let mut server = Server::start(name);
    let client = server.client();
    client.create_bucket(BUCKET);
    client.create_bucket(VERSIONED);
    enable_versioning(&client);
    let history = Arc::new(History::default());
    let mut random = Random::new(7);
    for round in 0..rounds {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (history, client, stop) = (&history, &client, &stop);
                scope.spawn(move || write_until(stop, history, client, writer, round));
            }
            thread::sleep(Duration::from_millis(random.between(150, 1200)));
            server.kill();
            stop.store(true, Ordering::SeqCst);
        });
        wreck(&server, round);
        server.restart();
        let attempts = history.end_round();
        let acknowledged = attempts.iter().filter(|a| a.acknowledged).count();
        assert!(acknowledged > 0, "the writers got somewhere");
        check_round(&client, &attempts);
        let nameless = history.nameless.load(Ordering::SeqCst);
        assert_eq!(nameless, 0, "each version that is acknowledged has an id");
        println!(
            "round {round}: {acknowledged} acknowledged, {} unknown, all as they must be",
            attempts.len() - acknowledged
        );
    }
    server.end_whole(Duration::from_secs(120));
}

fn enable_versioning(client: &Client) {
    let xml = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    let call = Call::new("PUT", &format!("/{VERSIONED}")).flag("versioning");
    client.expect(200, &call.body(xml.as_bytes()));
}

fn write_until(stop: &AtomicBool, history: &History, client: &Client, writer: u64, round: u64) {
    let mut random = Random::new(round * 1000 + writer);
    while !stop.load(Ordering::SeqCst) {
        // Some keys are the writer's own, some are fought over.
        let key = if random.percent(50) {
            format!("own/{writer}/{}", random.below(4))
        } else {
            format!("shared/{}", random.below(4))
        };
        let number = history.number.fetch_add(1, Ordering::SeqCst);
        let began = history.now();
        let (body, result) = match random.below(100) {
            0..15 => {
                let call = Call::object("DELETE", BUCKET, &key);
                (None, client.try_send(&call).map(|r| (r.status, None)))
            }
            15..20 => {
                let body = body_of(writer, number, (5 << 20) + 70_000);
                let result = put_in_parts(client, &key, &body);
                (Some(body), result)
            }
            20..35 => {
                let body = body_of(writer, number, random.between(100, 100_000) as usize);
                write_version(history, client, &key, &body, began);
                continue;
            }
            kind => {
                let len = if kind < 80 {
                    random.between(100, 60_000)
                } else {
                    random.between(60_000, 3_000_000)
                };
                let body = body_of(writer, number, len as usize);
                let call = Call::object("PUT", BUCKET, &key).payload(Payload::Unsigned);
                let result = client.try_send(&call.body(&body));
                (Some(body), result.map(|r| (r.status, None)))
            }
        };
        record(history, Attempt::new(key, body.as_deref(), began), result);
    }
}

/// Writes down how an attempt ended: acknowledged, unknown, or (refused) as if it never was.
fn record(history: &History, mut attempt: Attempt, result: std::io::Result<(u16, Option<String>)>) {
    match result {
        Ok((200 | 204, version)) => {
            attempt.ended = history.now();
            attempt.acknowledged = true;
            attempt.version = version;
        }
        Ok((500..600, _)) | Err(_) => {}
        Ok((status, _)) => panic!("{} answered {status}", attempt.key),
    }
    history.attempts.lock().unwrap().push(attempt);
}

fn write_version(history: &History, client: &Client, key: &str, body: &[u8], began: u64) {
    let result = client.try_send(&Call::object("PUT", VERSIONED, key).body(body));
    let result = result.map(|r| (r.status, r.header("x-amz-version-id").map(str::to_owned)));
    match &result {
        Ok((200, Some(_))) => {
            let attempt = Attempt::new(key.to_owned(), Some(body), began);
            record(history, attempt, result);
        }
        Ok((200, None)) => {
            history.nameless.fetch_add(1, Ordering::SeqCst);
        }
        _ => {}
    }
}

/// A multipart upload: two parts, then Complete. Only Complete can be unknown; whatever stops
/// before it has not happened, and is reported as unknown too, which is weaker and still right.
fn put_in_parts(client: &Client, key: &str, body: &[u8]) -> std::io::Result<(u16, Option<String>)> {
    let begun = client.try_send(&Call::object("POST", BUCKET, key).flag("uploads"))?;
    if begun.status != 200 {
        return Ok((begun.status, None));
    }
    let id = Element::parse(&begun.body).text_of("UploadId").to_owned();
    let mut xml = String::from("<CompleteMultipartUpload>");
    let mut etags = Vec::new();
    for (number, part) in body.chunks(5 << 20).enumerate() {
        let call = Call::object("PUT", BUCKET, key)
            .query("uploadId", &id)
            .query("partNumber", &(number + 1).to_string())
            .payload(Payload::Unsigned);
        let answer = client.try_send(&call.body(part))?;
        if answer.status != 200 {
            return Ok((answer.status, None));
        }
        etags.push(answer.etag());
        xml.push_str(&format!(
            "<Part><PartNumber>{}</PartNumber><ETag>{}</ETag></Part>",
            number + 1,
            answer.etag()
        ));
    }
    xml.push_str("</CompleteMultipartUpload>");
    let call = Call::object("POST", BUCKET, key).query("uploadId", &id);
    let answer = client.try_send(&call.body(xml.as_bytes()))?;
    if answer.status == 200 {
        let etag = Element::parse(&answer.body).text_of("ETag").to_owned();
        assert_eq!(etag.trim_matches('"'), multipart_etag(&etags));
    }
    Ok((answer.status, None))
}

/// A body that says what it is: a line of client, number, length and hash, then the bytes.
fn body_of(writer: u64, number: u64, len: usize) -> Vec<u8> {
    let bytes = Random::new(number).bytes(len);
    let head = format!("{writer} {number} {len} {}\n", sha256_hex(&bytes));
    [head.as_bytes(), &bytes].concat()
}

fn assert_whole(body: &[u8], key: &str) {
    let end = body.iter().position(|b| *b == b'\n');
    let end = end.unwrap_or_else(|| panic!("{key}: a body has no head"));
    let head = std::str::from_utf8(&body[..end]).unwrap();
    let fields: Vec<&str> = head.split(' ').collect();
    let rest = &body[end + 1..];
    assert_eq!(fields[2], rest.len().to_string(), "{key}: length of {head}");
    assert_eq!(fields[3], sha256_hex(rest), "{key}: hash of {head}");
}

fn check_round(client: &Client, attempts: &[Attempt]) {
    let mut by_key: BTreeMap<&str, Vec<&Attempt>> = BTreeMap::new();
    for attempt in attempts {
        match &attempt.version {
            Some(version) => check_version(client, attempt, version),
            None => by_key.entry(&attempt.key).or_default().push(attempt),
        }
    }
    let mut found: BTreeMap<String, (u64, String)> = BTreeMap::new();
    for (key, attempts) in &by_key {
        let answer = client.get(BUCKET, key);
        let body = match answer.status {
            200 => {
                assert_whole(&answer.body, key);
                found.insert((*key).to_owned(), (answer.body.len() as u64, answer.etag()));
                Some(sha256_hex(&answer.body))
            }
            404 => None,
            _ => panic!("{key}: {}", answer.shown()),
        };
        check_state(key, attempts, body);
    }
    assert_eq!(listed(client), found, "the listing shows what can be read");
}

fn check_version(client: &Client, attempt: &Attempt, version: &str) {
    let call = Call::object("GET", VERSIONED, &attempt.key).query("versionId", version);
    let answer = client.expect(200, &call);
    assert_whole(&answer.body, &attempt.key);
    assert_eq!(
        Some(sha256_hex(&answer.body)),
        attempt.body,
        "{}",
        attempt.key
    );
}

/// Whether a body with this hash may be what `key` holds.
fn check_state(key: &str, attempts: &[&Attempt], body: Option<String>) {
    let latest_begin = attempts
        .iter()
        .filter(|attempt| attempt.acknowledged)
        .map(|attempt| attempt.began)
        .max();
    let may_be = |attempt: &Attempt| {
        let superseded = latest_begin.is_some_and(|latest| attempt.ended < latest);
        !superseded && attempt.body == body
    };
    // A key that nobody was acknowledged to have written may be absent as it was at first.
    let untouched = body.is_none() && latest_begin.is_none();
    assert!(
        untouched || attempts.iter().any(|attempt| may_be(attempt)),
        "{key} holds {body:?}, which no write that may be the last one left there: {attempts:#?}"
    );
}

/// All keys of the bucket with size and ETag, over small pages.
fn listed(client: &Client) -> BTreeMap<String, (u64, String)> {
    let mut found = BTreeMap::new();
    let mut token = None::<String>;
    loop {
        let mut call = Call::new("GET", &format!("/{BUCKET}"))
            .query("list-type", "2")
            .query("max-keys", "5");
        if let Some(token) = &token {
            call = call.query("continuation-token", token);
        }
        let page = Element::parse(&client.expect(200, &call).body);
        for one in page.all("Contents") {
            let size = one.text_of("Size").parse().unwrap();
            let etag = one.text_of("ETag").trim_matches('"').to_owned();
            found.insert(one.text_of("Key").to_owned(), (size, etag));
        }
        if page.text_of("IsTruncated") == "false" {
            return found;
        }
        token = Some(page.text_of("NextContinuationToken").to_owned());
    }
}
