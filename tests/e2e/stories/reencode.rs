//! Policies and re-encode: old objects are brought over to another layout while the store is used,
//! and killed, and everybody goes on reading the same bytes under the same ETags.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::model::faults::data_files;
use crate::support::client::{Call, Client};
use crate::support::digest::multipart_etag;
use crate::support::random::Random;
use crate::support::server::{ACCESS_KEY, SECRET_KEY, Server, binary};
use crate::support::xml::Element;

const BUCKET: &str = "films";
const DEADLINE: Duration = Duration::from_secs(180);

/// What was replaced goes a second later, and is looked for every other second.
const SHORT_PERIODS: &str = "[worker]\ngarbage_grace_seconds = 1\ninventory_period_seconds = 1\n\
    unknown_age_seconds = 5\nquarantine_seconds = 1\n";

fn start(name: &str, drives: &str) -> Server {
    let mut server = Server::prepare(name)
        .with_config(SHORT_PERIODS)
        .with_arguments(&["--drives", drives]);
    server.restart();
    server
}

/// Runs `holdfast admin`: whether it went well, and what it said.
fn admin(server: &Server, words: &str) -> (bool, String) {
    let output = Command::new(binary())
        .arg("admin")
        .args(words.split_whitespace())
        .args(["--endpoint", &format!("http://{}", server.admin)])
        .env("HOLDFAST_ACCESS_KEY", ACCESS_KEY)
        .env("HOLDFAST_SECRET_KEY", SECRET_KEY)
        .output()
        .expect("the binary runs");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (output.status.success(), said)
}

fn done(server: &Server, words: &str) -> String {
    let (went_well, said) = admin(server, words);
    assert!(went_well, "admin {words}: {said}");
    said
}

fn refused(server: &Server, words: &str, why: &str) {
    let (went_well, said) = admin(server, words);
    assert!(!went_well && said.contains(why), "admin {words}: {said}");
}

fn status(server: &Server) -> Value {
    let said = done(server, &format!("bucket reencode status {BUCKET} --json"));
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

/// Begins a re-encode and waits for its end.
fn reencode(server: &mut Server, flags: &str) -> Value {
    done(server, &format!("bucket reencode {BUCKET} {flags} --json"));
    wait_for_end(server)
}

fn wait_for_end(server: &mut Server) -> Value {
    server.wait_until("the re-encode has ended", DEADLINE, |server| {
        status(server)["state"] == "done"
    });
    status(server)
}

/// An object as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    etag: String,
    last_modified: String,
    version: Option<String>,
}

fn seen(client: &Client, key: &str) -> Seen {
    let head = client.expect(200, &Call::object("HEAD", BUCKET, key));
    let header = |name: &str| head.header(name).map(str::to_owned);
    Seen {
        etag: header("etag").expect("an object has an ETag"),
        last_modified: header("last-modified").expect("an object has a time"),
        version: header("x-amz-version-id"),
    }
}

struct Store {
    objects: BTreeMap<String, (Vec<u8>, Seen)>,
}

impl Store {
    /// Small and large objects, one of parts, a copy, and an old version.
    fn fill(client: &Client) -> Self {
        let mut random = Random::new(11);
        let mut bodies = BTreeMap::new();
        for (number, len) in [1, 900, 70_000, 300_000, 1_200_000, 2_500_000]
            .into_iter()
            .cycle()
            .take(24)
            .enumerate()
        {
            let key = format!("{}/{number}", ["a", "b", "c"][number % 3]);
            let body = random.bytes(len + number);
            client.put(BUCKET, &key, &body);
            bodies.insert(key, body);
        }
        let copy = Call::object("PUT", BUCKET, "copy");
        client.expect(
            200,
            &copy.header("x-amz-copy-source", &format!("/{BUCKET}/a/3")),
        );
        bodies.insert("copy".to_owned(), bodies["a/3"].clone());
        let parts = [random.bytes(5 << 20), random.bytes(400_000)];
        put_in_parts(client, "parts", &parts);
        bodies.insert("parts".to_owned(), parts.concat());
        let objects = bodies
            .into_iter()
            .map(|(key, body)| {
                let seen = seen(client, &key);
                (key, (body, seen))
            })
            .collect();
        Self { objects }
    }

    fn check(&self, client: &Client, when: &str) {
        for (key, (body, before)) in &self.objects {
            let answer = client.get(BUCKET, key);
            assert_eq!(answer.status, 200, "{when}: {key}: {}", answer.shown());
            assert!(answer.body == *body, "{when}: {key} has other bytes");
            assert_eq!(seen(client, key), *before, "{when}: {key}");
        }
    }
}

fn put_in_parts(client: &Client, key: &str, parts: &[Vec<u8>]) {
    let begun = client.expect(200, &Call::object("POST", BUCKET, key).flag("uploads"));
    let id = Element::parse(&begun.body).text_of("UploadId").to_owned();
    let mut list = String::new();
    let mut etags = Vec::new();
    for (number, part) in (1..).zip(parts) {
        let call = Call::object("PUT", BUCKET, key)
            .query("partNumber", &format!("{number}"))
            .query("uploadId", &id)
            .body(part);
        let etag = client.expect(200, &call).header("etag").unwrap().to_owned();
        list += &format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
        etags.push(etag.trim_matches('"').to_owned());
    }
    let xml = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>");
    let call = Call::object("POST", BUCKET, key).query("uploadId", &id);
    client.expect(200, &call.body(xml.as_bytes()));
    let head = client.expect(200, &Call::object("HEAD", BUCKET, key));
    assert_eq!(
        head.header("etag").unwrap().trim_matches('"'),
        multipart_etag(&etags)
    );
}

/// Reads whatever there is and writes on, until it is told to stop; how many of each it did. Only
/// while the server is down may it fail.
fn load(client: &Client, store: &Store, seed: u64, stop: &AtomicBool, down: &AtomicBool) -> u64 {
    let mut random = Random::new(seed);
    let keys: Vec<&String> = store.objects.keys().collect();
    let mut rounds = 0;
    while !stop.load(Ordering::SeqCst) {
        let key = *random.pick(&keys);
        let was_down = down.load(Ordering::SeqCst);
        match client.try_send(&Call::object("GET", BUCKET, key)) {
            Ok(answer) if answer.status == 200 => {
                assert!(answer.body == store.objects[key].0, "{key} has other bytes");
                rounds += 1;
            }
            other => assert!(
                was_down || down.load(Ordering::SeqCst),
                "{key}: {:?}",
                other.map(|answer| answer.shown())
            ),
        }
        let len = random.between(1, 200_000) as usize;
        let body = random.bytes(len);
        let key = format!("load/{seed}/{}", random.below(5));
        let put = client.try_send(&Call::object("PUT", BUCKET, &key).body(&body));
        if put.is_ok_and(|answer| answer.status == 200) {
            match client.try_send(&Call::object("GET", BUCKET, &key)) {
                Ok(answer) if answer.status == 200 => {
                    assert!(answer.body == body, "{key} has other bytes");
                }
                _ => assert!(was_down || down.load(Ordering::SeqCst), "{key}"),
            }
        }
        thread::sleep(Duration::from_millis(random.between(5, 30)));
    }
    rounds
}

/// The files of large fragments on all drives.
fn fragment_files(server: &Server, drives: usize) -> usize {
    let files = (1..=drives).flat_map(|drive| data_files(&server.drive(drive)));
    files
        .filter(|path| path.to_string_lossy().contains("/fragments/"))
        .count()
}

#[test]
fn copies_to_4_2_to_8_3_and_back_under_load_and_kill_9() {
    let mut server = start("reencode", "12");
    let client = server.client();
    done(&server, "policy create films --copies 3");
    done(&server, &format!("bucket create {BUCKET} --policy films"));
    let store = Store::fill(&client);
    let files_at_first = fragment_files(&server, 12);
    assert!(files_at_first > 0);

    let (stop, down) = (AtomicBool::new(false), AtomicBool::new(false));
    let reads = AtomicU64::new(0);
    thread::scope(|scope| {
        for seed in 1..=2 {
            let (client, store, stop, down, reads) = (&client, &store, &stop, &down, &reads);
            scope.spawn(move || {
                let rounds = load(client, store, seed, stop, down);
                reads.fetch_add(rounds, Ordering::SeqCst);
            });
        }
        // Whatever fails here must not leave the others running.
        let told = StopOnDrop(&stop);
        for (number, (flags, change)) in [
            ("--erasure 4+2", "copies:3 -> 4+2"),
            ("--erasure 8+3", "4+2 -> 8+3"),
            ("--erasure 5+0 --small-copies 1", "8+3 -> 5+0"),
            ("--copies 3", "5+0 -> copies:3"),
        ]
        .into_iter()
        .enumerate()
        {
            done(&server, &format!("policy update films {flags}"));
            done(&server, &format!("bucket reencode {BUCKET}"));
            if number < 2 {
                // In the middle: some are moved, some are not.
                server.wait_until("some are moved", DEADLINE, |server| {
                    let status = status(server);
                    status["moved"]["count"].as_u64() > Some(2) || status["state"] == "done"
                });
                down.store(true, Ordering::SeqCst);
                server.kill();
                server.restart();
                down.store(false, Ordering::SeqCst);
            }
            let ended = wait_for_end(&mut server);
            assert!(
                ended["planned"][change]["count"].as_u64() >= Some(10),
                "{change}: {ended:#}"
            );
            assert_eq!(ended["failed"]["count"], 0, "{ended:#}");
            store.check(&client, change);
            let left = reencode(&mut server, "--dry-run");
            let planned = left["planned_in_all"]["count"].as_u64();
            assert_eq!(planned, Some(0), "{change}: {left:#}");
        }
        drop(told);
    });
    assert!(
        reads.load(Ordering::SeqCst) > 20,
        "the readers got somewhere"
    );
    for seed in 1..=2 {
        for number in 0..5 {
            let key = format!("load/{seed}/{number}");
            client.send(&Call::object("DELETE", BUCKET, &key));
        }
    }
    server.wait_until("all that was replaced is gone", DEADLINE, |server| {
        fragment_files(server, 12) == files_at_first
    });
    store.check(&client, "at the end");
    server.end_whole(DEADLINE);
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_re_encode_is_paused_kept_over_a_restart_resumed_and_cancelled() {
    let mut server = start("reencode-pause", "6");
    let client = server.client();
    client.create_bucket(BUCKET);
    let store = Store::fill(&client);
    done(&server, "policy create mirror --copies 2");
    done(&server, &format!("bucket set-policy {BUCKET} mirror"));
    done(&server, "worker pace re-encode 1");
    done(&server, &format!("bucket reencode {BUCKET} --prefix a/"));
    refused(
        &server,
        &format!("bucket reencode {BUCKET}"),
        "is being re-encoded already",
    );
    done(&server, &format!("bucket reencode pause {BUCKET}"));
    assert_eq!(status(&server)["state"], "paused");
    server.kill();
    server.restart();
    assert_eq!(status(&server)["state"], "paused");
    done(&server, "worker pace re-encode 100");
    done(&server, &format!("bucket reencode resume {BUCKET}"));
    let ended = wait_for_end(&mut server);
    assert_eq!(ended["failed"]["count"], 0, "{ended:#}");
    assert_eq!(ended["planned_in_all"]["count"], 8, "only `a/`: {ended:#}");
    refused(
        &server,
        &format!("bucket reencode pause {BUCKET}"),
        "is not being re-encoded",
    );
    done(&server, "worker pace re-encode 1");
    done(&server, &format!("bucket reencode {BUCKET}"));
    done(&server, &format!("bucket reencode cancel {BUCKET}"));
    assert_eq!(status(&server)["state"], "cancelled");
    store.check(&client, "after it was cancelled");
    done(&server, "worker pace re-encode 100");
    let ended = reencode(&mut server, "");
    assert_eq!(ended["failed"]["count"], 0, "{ended:#}");
    store.check(&client, "after all");
    let table = done(&server, "bucket reencode status");
    assert!(table.contains(BUCKET) && table.contains("done"), "{table}");
    server.end_whole(DEADLINE);
}

#[test]
fn policies_are_made_named_over_s3_kept_while_in_use_and_checked() {
    let mut server = start("policies", "6");
    let client = server.client();
    refused(
        &server,
        "policy create wide --erasure 8+3",
        "needs 11 drives",
    );
    done(&server, "policy create wide --erasure 8+3 --force");
    done(&server, "policy delete wide");
    refused(
        &server,
        "policy create Video --copies 2",
        "a policy's name is",
    );
    refused(
        &server,
        "policy create video --copies 3 --quorum 1",
        "write quorum",
    );
    done(
        &server,
        "policy create video --erasure 3+2 --block-len 64KiB --small-objects-below 1KiB \
         --rule prefix=logs/,copies=2",
    );
    refused(
        &server,
        "policy create video --copies 2",
        "there is a policy video already",
    );
    let shown = done(&server, "policy show video");
    assert!(
        shown.contains("3+2/65536") && shown.contains("`logs/`: copies:2"),
        "{shown}"
    );

    // By LocationConstraint, and by storage class in a bucket of another policy.
    let xml = "<CreateBucketConfiguration><LocationConstraint>policy:video</LocationConstraint>\
               </CreateBucketConfiguration>";
    let create = Call::new("PUT", "/by-location").body(xml.as_bytes());
    client.expect(200, &create);
    let listed = done(&server, "bucket list");
    assert!(
        listed.contains("by-location") && listed.contains("video"),
        "{listed}"
    );
    client.create_bucket(BUCKET);
    let body = Random::new(1).bytes(100_000);
    let put = |class: &str| {
        let call = Call::object("PUT", BUCKET, "k").body(&body);
        client.send(&call.header("x-amz-storage-class", class))
    };
    assert_eq!(put("VIDEO").status, 200);
    let head = client.expect(200, &Call::object("HEAD", BUCKET, "k"));
    assert_eq!(head.header("x-amz-storage-class"), Some("VIDEO"));
    let list = client.expect(200, &Call::new("GET", &format!("/{BUCKET}")));
    let page = Element::parse(&list.body);
    let entry = page.child("Contents").unwrap();
    assert_eq!(entry.text_of("StorageClass"), "VIDEO");
    let unknown = put("GLACIER");
    assert_eq!(unknown.status, 400);
    assert_eq!(unknown.code(), "InvalidStorageClass");
    // The class holds in a re-encode too: there is nothing to move.
    let planned = reencode(&mut server, "--dry-run");
    assert_eq!(planned["planned_in_all"]["count"], 0, "{planned:#}");
    done(&server, "policy update video --erasure 4+1");
    let planned = reencode(&mut server, "--dry-run");
    assert_eq!(
        planned["planned"]["3+2/65536 -> 4+1"]["count"], 1,
        "{planned:#}"
    );

    refused(
        &server,
        "policy delete video",
        "bucket by-location follows policy video",
    );
    done(&server, "bucket set-policy by-location default");
    done(&server, "policy delete video");
    refused(
        &server,
        "policy delete default",
        "can be changed, not deleted",
    );
    refused(
        &server,
        "bucket set-policy by-location video",
        "no policy video",
    );
    assert_eq!(
        client.get(BUCKET, "k").body,
        body,
        "the bytes do not need their policy"
    );

    let check = done(
        &server,
        "policy check --afr 0.03 --repair-hours 24 --rot-per-year 0",
    );
    for words in [
        "any one drive: loses nothing, and reads go on; writes go on",
        "any two drives: loses nothing, and reads go on; writes are refused",
        "space: 1.50 bytes on drives a byte",
        "7.9 nines a year by the formula",
        "inputs: AFR 0.03",
    ] {
        assert!(check.contains(words), "{words}: {check}");
    }
    assert!(server.stop(), "it stops well");
}
