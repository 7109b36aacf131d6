//! Webhooks over the real binary: what happens in buckets is told to a receiver in the test, once
//! at least, each key in its order, through `kill -9` and a receiver that fails.

mod letters;
mod receiver;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use self::receiver::{Manner, Receiver};
use crate::support::client::{Call, Client, Payload};
use crate::support::random::Random;
use crate::support::server::Server;
use crate::support::xml::Element;

const BUCKET: &str = "told";
const ROUNDS: u64 = 5;
const WRITERS: u64 = 4;
const LONG: Duration = Duration::from_secs(120);

fn make(server: &Server, name: &str, receiver: &Receiver) {
    let url = receiver.url();
    let words = ["webhook", "create", name, "--url", &url, "--allow-loopback"];
    let arn = server.admin_does(&words);
    assert_eq!(arn.trim(), format!("arn:holdfast:sqs::{name}:webhook"));
}

fn queue(id: &str, webhook: &str, events: &[&str], filter: &str) -> String {
    let events: String = events
        .iter()
        .map(|event| format!("<Event>{event}</Event>"))
        .collect();
    format!(
        "<QueueConfiguration><Id>{id}</Id><Queue>arn:holdfast:sqs::{webhook}:webhook</Queue>\
         {events}{filter}</QueueConfiguration>"
    )
}

fn notify(bucket: &str, inner: &str) -> Call {
    let document = format!("<NotificationConfiguration>{inner}</NotificationConfiguration>");
    Call::new("PUT", &format!("/{bucket}"))
        .flag("notification")
        .body(document.as_bytes())
}

const EVERYTHING: [&str; 2] = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"];

/// What the writers know: of each key, the ETags that were tried and those that were acknowledged,
/// and how many of its deletes must have removed something.
#[derive(Debug, Default)]
struct Known {
    tried: BTreeSet<String>,
    acknowledged: BTreeSet<String>,
    removals: u64,
}

#[derive(Default)]
struct History {
    keys: Mutex<BTreeMap<String, Known>>,
    number: AtomicU64,
}

impl History {
    fn with(&self, key: &str, change: impl FnOnce(&mut Known)) {
        change(self.keys.lock().unwrap().entry(key.to_owned()).or_default());
    }
}

#[test]
fn every_acknowledged_change_is_told_in_order_through_kill_9() {
    let mut server = Server::start("webhooks");
    let client = server.client();
    let receiver = Receiver::start(Manner::Moody);
    make(&server, "hook", &receiver);
    client.create_bucket(BUCKET);
    client.expect(200, &notify(BUCKET, &queue("all", "hook", &EVERYTHING, "")));
    // A target that is not there, in another bucket: it holds up neither requests nor the other.
    let dead = Receiver::refusing();
    make(&server, "dead", &dead);
    client.create_bucket("dead-ends");
    client.expect(
        200,
        &notify("dead-ends", &queue("all", "dead", &EVERYTHING, "")),
    );

    let history = History::default();
    let mut random = Random::new(11);
    for round in 0..ROUNDS {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (history, client, stop) = (&history, &client, &stop);
                scope.spawn(move || write_until(stop, history, client, writer, round));
            }
            thread::sleep(Duration::from_millis(random.between(300, 1200)));
            server.kill();
            stop.store(true, Ordering::SeqCst);
        });
        server.restart();
    }
    check(&mut server, &receiver, &history);

    let list = server.admin_json(&["webhook", "list"]);
    let of = |name: &str| {
        let all = list["webhooks"].as_array().unwrap();
        let found = all.iter().find(|webhook| webhook["name"] == name);
        found.unwrap()["delivery"].clone()
    };
    assert!(of("hook")["sent"].as_u64() > Some(0), "{list}");
    assert_eq!(of("hook")["dead_letters"], 0, "{list}");
    assert!(of("dead")["failing_since_ms"].is_u64(), "{list}");
    let metrics = server.admin_get("/metrics").unwrap();
    let metrics = String::from_utf8(metrics.body).unwrap();
    for line in [
        "holdfast_webhook_failing{webhook=\"dead\"} 1",
        "holdfast_webhook_backlog{webhook=\"hook\"} 0",
        "holdfast_webhook_oldest_unsent_age_seconds{webhook=\"hook\"} 0",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    assert!(server.stop(), "it stops well while a target is down");
}

/// Each writer has keys of its own, on which it knows what is there, and fights over others.
fn write_until(stop: &AtomicBool, history: &History, client: &Client, writer: u64, round: u64) {
    let mut random = Random::new(round * 100 + writer);
    // Of its own keys, which certainly hold something now.
    let mut there = BTreeSet::new();
    while !stop.load(Ordering::SeqCst) {
        let is_own = random.percent(60);
        let key = if is_own {
            format!("own {writer}/{}", random.below(3))
        } else {
            format!("shared/{}", random.below(3))
        };
        if random.percent(30) {
            let answer = client.try_send(&Call::object("DELETE", BUCKET, &key));
            let is_known = there.remove(&key);
            if answer.is_ok_and(|answer| answer.status == 204) && is_own && is_known {
                history.with(&key, |known| known.removals += 1);
            }
        } else {
            let number = history.number.fetch_add(1, Ordering::SeqCst);
            let body = format!("{writer} {round} {number}");
            let etag = crate::support::digest::md5_hex(body.as_bytes());
            history.with(&key, |known| {
                known.tried.insert(etag.clone());
            });
            there.remove(&key);
            let call = Call::object("PUT", BUCKET, &key).payload(Payload::Unsigned);
            let answer = client.try_send(&call.body(body.as_bytes()));
            if answer.is_ok_and(|answer| answer.status == 200) {
                history.with(&key, |known| {
                    known.acknowledged.insert(etag);
                });
                there.insert(key);
            }
            if number.is_multiple_of(7) {
                let call = Call::object("PUT", "dead-ends", &format!("k{number}"));
                let _ = client.try_send(&call.body(b"x"));
            }
        }
    }
}

/// All that was acknowledged has arrived; all that arrived was tried; each key in its order.
fn check(server: &mut Server, receiver: &Receiver, history: &History) {
    server.wait_until("all is told", LONG, |_| {
        missing(receiver, history).is_empty()
    });
    // Whatever else was committed comes too, until nothing more waits.
    server.wait_until("nothing waits", LONG, |server| {
        let list = server.admin_json(&["webhook", "list"]);
        let all = list["webhooks"].as_array().unwrap();
        let hook = all.iter().find(|webhook| webhook["name"] == "hook");
        let delivery = &hook.unwrap()["delivery"];
        delivery["backlog"] == 0 && delivery["oldest_unsent_ms"].is_null()
    });
    let keys = history.keys.lock().unwrap();
    let mut newest: BTreeMap<String, String> = BTreeMap::new();
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for event in receiver.taken() {
        assert_eq!(event.bucket, BUCKET);
        let known = keys.get(&event.key);
        let known = known.unwrap_or_else(|| panic!("nobody wrote {}", event.key));
        if event.name.starts_with("ObjectCreated:") {
            assert_eq!(event.name, "ObjectCreated:Put");
            let etag = event.etag.as_ref().unwrap();
            assert!(known.tried.contains(etag), "nobody wrote {etag}");
        } else {
            assert_eq!(event.name, "ObjectRemoved:Delete");
        }
        let before = seen.entry(event.key.clone()).or_default();
        if before.insert(event.sequencer.clone()) {
            let newest = newest.entry(event.key.clone()).or_default();
            assert!(
                event.sequencer > *newest,
                "{}: {} first came after {newest}",
                event.key,
                event.sequencer
            );
            *newest = event.sequencer;
        }
    }
    let told: usize = seen.values().map(BTreeSet::len).sum();
    let again = receiver.taken().len() - told;
    println!("{told} events, {again} of them told again");
}

/// What must have been told and was not yet.
fn missing(receiver: &Receiver, history: &History) -> Vec<String> {
    let mut etags: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut removals: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for event in receiver.taken() {
        match event.etag {
            Some(etag) => etags.entry(event.key).or_default().insert(etag),
            None => removals
                .entry(event.key)
                .or_default()
                .insert(event.sequencer),
        };
    }
    let mut missing = Vec::new();
    for (key, known) in history.keys.lock().unwrap().iter() {
        let none = BTreeSet::new();
        let found = etags.get(key).unwrap_or(&none);
        missing.extend(
            known
                .acknowledged
                .difference(found)
                .map(|etag| format!("{key} {etag}")),
        );
        let found = removals.get(key).map_or(0, BTreeSet::len) as u64;
        if found < known.removals {
            missing.push(format!("{key}: {found} of {} removals", known.removals));
        }
    }
    missing
}

#[test]
fn only_what_was_meant_is_posted_to() {
    let mut server = Server::start("webhooks-guard");
    let client = server.client();
    let receiver = Receiver::start(Manner::Good);
    let port = receiver.port();
    let token_file = server.data().join("token");
    std::fs::write(&token_file, "canary-token-4711\n").unwrap();
    let token = token_file.to_str().unwrap();

    for host in [
        "127.0.0.1",
        "[::1]",
        "0.0.0.0",
        "10.0.0.1",
        "169.254.169.254",
    ] {
        let url = format!("http://{host}:{port}/");
        let refused = server.admin_refuses(&["webhook", "create", "x", "--url", &url]);
        assert!(
            refused.contains("may not be posted to"),
            "{host}: {refused}"
        );
    }
    // A name tells nothing by itself: it is judged whenever it is connected to.
    let url = format!("http://localhost:{port}/hook");
    server.admin_does(&["webhook", "create", "sly", "--url", &url]);
    let refused = server.admin_refuses(&["webhook", "test", "sly"]);
    assert!(refused.contains("may not be connected to"), "{refused}");
    assert_eq!(receiver.connections(), 0);

    let words = ["webhook", "create", "hook", "--url", &url];
    let words = [
        &words[..],
        &["--allow-loopback", "--auth-token-file", token],
    ]
    .concat();
    server.admin_does(&words);
    server.admin_does(&["webhook", "test", "hook"]);
    let first = receiver.requests().remove(0);
    assert!(first.starts_with("POST /hook HTTP/1.1\r\n"), "{first}");
    assert!(first.contains("authorization: Bearer canary-token-4711\r\n"));
    assert!(first.contains("\"Event\":\"s3:TestEvent\""), "{first}");
    for shown in [
        server.admin_does(&["webhook", "list"]),
        server.admin_does(&["webhook", "list", "--json"]),
        server.admin_does(&["webhook", "status", "hook", "--json"]),
        server.log(),
    ] {
        assert!(!shown.contains("canary-token"), "{shown}");
    }

    client.create_bucket(BUCKET);
    refusals(&client);
    let filter = "<Filter><S3Key><FilterRule><Name>prefix</Name><Value>a/</Value></FilterRule>\
                  <FilterRule><Name>suffix</Name><Value>.jpg</Value></FilterRule></S3Key></Filter>";
    let rule = queue("mine", "hook", &["s3:ObjectCreated:*"], filter);
    client.expect(200, &notify(BUCKET, &rule));
    let read = client.expect(200, &Call::new("GET", "/told").flag("notification"));
    let read = String::from_utf8(read.body).unwrap();
    assert!(read.contains(&rule), "{read}");
    server.wait_until("its bucket is announced", LONG, |_| {
        let requests = receiver.requests();
        requests
            .iter()
            .any(|one| one.contains("\"Bucket\":\"told\""))
    });
    let in_use = server.admin_refuses(&["webhook", "delete", "hook"]);
    assert!(in_use.contains("bucket told sends events"), "{in_use}");

    for key in [
        "a/one.jpg",
        "b/two.jpg",
        "a/three.png",
        "a/red flower+é.jpg",
    ] {
        client.put(BUCKET, key, b"x");
    }
    server.wait_until("both are told", LONG, |_| receiver.taken().len() >= 2);
    let mut keys: Vec<String> = receiver
        .taken()
        .into_iter()
        .map(|event| event.key)
        .collect();
    keys.sort();
    assert_eq!(keys, ["a/one.jpg", "a/red flower+é.jpg"]);
    let raw = receiver.requests().concat();
    assert!(
        raw.contains("\"key\":\"a/red+flower%2B%C3%A9.jpg\""),
        "{raw}"
    );

    // Nothing is said of a change to the rules that nobody is to hear of.
    let before = receiver.requests().len();
    let silent = notify(BUCKET, &rule).header("x-amz-skip-destination-validation", "true");
    client.expect(200, &silent);
    client.expect(200, &notify(BUCKET, ""));
    client.put(BUCKET, "a/four.jpg", b"x");
    server.admin_does(&["webhook", "delete", "hook"]);
    server.admin_does(&["webhook", "delete", "sly"]);
    assert_eq!(receiver.requests().len(), before);
    let list = server.admin_json(&["webhook", "list"]);
    assert_eq!(list["webhooks"].as_array().unwrap().len(), 0);
}

fn refusals(client: &Client) {
    let refused = |inner: &str, code: &str| {
        let answer = client.send(&notify(BUCKET, inner));
        assert_eq!(answer.code(), code, "{inner}: {}", answer.shown());
        answer
    };
    let created = ["s3:ObjectCreated:*"];
    let absent = refused(&queue("x", "nobody", &created, ""), "InvalidArgument");
    let error = Element::parse(&absent.body);
    assert_eq!(
        error.text_of("ArgumentValue1"),
        "The destination queue does not exist"
    );
    refused(
        &queue("x", "hook", &created, "").replace("sqs::hook", "sqs:mars-1:hook"),
        "InvalidArgument",
    );
    refused(&queue("x", "hook", &["s3:Nothing"], ""), "InvalidArgument");
    refused(
        &(queue("x", "hook", &created, "") + &queue("y", "hook", &["s3:ObjectCreated:Put"], "")),
        "InvalidArgument",
    );
    refused("<EventBridgeConfiguration/>", "NotImplemented");
    refused("<Other/>", "MalformedXML");
    let read = client.expect(200, &Call::new("GET", "/told").flag("notification"));
    let read = String::from_utf8(read.body).unwrap();
    assert!(!read.contains("Queue"), "nothing was changed: {read}");
}
