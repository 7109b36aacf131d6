//! Lifecycle under `kill -9`, with days of two seconds: nothing goes before its time, and in the
//! end everything has gone whose time has come, and nothing else.
//!
//! An object can't expire before a whole day has passed since its PUT was sent: whatever answer is
//! complete before that must have the object. There is no upper bound in time, only an end: once
//! the killing stops, all that is due is gone after a while.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::client::{Call, Client};
use crate::support::random::Random;
use crate::support::server::Server;
use crate::support::xml::Element;

const DAY: Duration = Duration::from_secs(2);
const ROUNDS: u64 = 6;
const WRITERS: u64 = 3;
const PLAIN: &str = "lifecycle";
const VERSIONED: &str = "lifecycle-versions";
const DEADLINE: Duration = Duration::from_secs(90);

const PLAIN_RULES: &str = "<LifecycleConfiguration>\
    <Rule><ID>a day</ID><Filter><Prefix>go/</Prefix></Filter><Status>Enabled</Status>\
    <Expiration><Days>1</Days></Expiration></Rule>\
    <Rule><ID>tagged</ID><Filter><And><Prefix>tag/</Prefix><Tag><Key>temp</Key><Value>yes</Value>\
    </Tag></And></Filter><Status>Enabled</Status><Expiration><Days>1</Days></Expiration></Rule>\
    <Rule><ID>off</ID><Filter><Prefix>keep/</Prefix></Filter><Status>Disabled</Status>\
    <Expiration><Days>1</Days></Expiration></Rule>\
    <Rule><ID>uploads</ID><Filter/><Status>Enabled</Status><AbortIncompleteMultipartUpload>\
    <DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule>\
    </LifecycleConfiguration>";

const VERSION_RULES: &str = "<LifecycleConfiguration>\
    <Rule><ID>all</ID><Prefix/><Status>Enabled</Status><Expiration><Days>1</Days></Expiration>\
    <NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration>\
    </Rule></LifecycleConfiguration>";

/// A PUT that was acknowledged.
#[derive(Debug, Clone)]
struct Put {
    bucket: &'static str,
    key: String,
    body: Vec<u8>,
    sent: Instant,
}

impl Put {
    /// Whether it may be gone: by an answer that is complete now.
    fn may_be_gone(&self) -> bool {
        self.goes() && self.sent.elapsed() >= DAY
    }

    /// Whether a rule is about it.
    fn goes(&self) -> bool {
        self.bucket == VERSIONED || self.key.starts_with("go/") || self.key.starts_with("tag/temp")
    }
}

#[derive(Debug, Default)]
struct History {
    number: AtomicU64,
    puts: Mutex<Vec<Put>>,
    /// Reads that had to find their object, and did.
    found_in_time: AtomicU64,
}

fn set_rules(client: &Client, bucket: &str, rules: &str) {
    let call = Call::new("PUT", &format!("/{bucket}")).flag("lifecycle");
    client.expect(200, &call.body(rules.as_bytes()));
}

fn start() -> (Server, Client) {
    let mut server = Server::prepare("lifecycle")
        .with_environment("HOLDFAST_LIFECYCLE_DAY_SECONDS", &DAY.as_secs().to_string());
    server.restart();
    assert!(server.log().contains("A LIFECYCLE DAY LASTS 2 SECONDS"));
    let client = server.client();
    client.create_bucket(PLAIN);
    client.create_bucket(VERSIONED);
    let xml = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    let call = Call::new("PUT", &format!("/{VERSIONED}")).flag("versioning");
    client.expect(200, &call.body(xml.as_bytes()));
    (server, client)
}

#[test]
fn under_kill_9_nothing_goes_early_and_nothing_is_left() {
    let (mut server, client) = start();
    let history = History::default();
    let mut random = Random::new(3);
    for round in 0..ROUNDS {
        // The rules come when there is something already: a walk dates it, between two deaths.
        if round == 1 {
            set_rules(&client, PLAIN, PLAIN_RULES);
            set_rules(&client, VERSIONED, VERSION_RULES);
        }
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (history, client, stop) = (&history, &client, &stop);
                scope.spawn(move || write_and_read(stop, history, client, writer + 10 * round));
            }
            thread::sleep(Duration::from_millis(random.between(300, 1500)));
            server.kill();
            stop.store(true, Ordering::SeqCst);
        });
        server.restart();
        let puts = history.puts.lock().unwrap().len();
        println!("round {round}: {puts} acknowledged so far");
    }
    let puts = history.puts.lock().unwrap().clone();
    assert!(puts.len() > 20, "the writers got somewhere: {}", puts.len());
    assert!(history.found_in_time.load(Ordering::SeqCst) > 20);

    server.wait_until("what is due has gone", DEADLINE, |_| {
        listed(&client, PLAIN).iter().all(|key| !goes(key))
            && versions(&client, VERSIONED) == 0
            && uploads(&client, PLAIN) == 0
    });
    // And nothing else: each key's last body.
    let kept: BTreeMap<&str, &Put> = puts
        .iter()
        .filter(|put| !put.goes())
        .map(|put| (put.key.as_str(), put))
        .collect();
    assert!(kept.len() > 5, "{}", kept.len());
    for (key, put) in kept {
        let answer = client.get(PLAIN, key);
        assert_eq!(answer.status, 200, "{key}: {}", answer.shown());
        assert!(answer.body == put.body, "{key} has other bytes");
    }
    server.wait_until("nothing waits", DEADLINE, |server| {
        let page = server.admin_get("/metrics").expect("metrics are served");
        let text = String::from_utf8(page.body).expect("metrics are text");
        text.contains("\nholdfast_lifecycle_overdue 0\n")
            && text.contains("\nholdfast_lifecycle_buckets_to_walk 0\n")
    });
    assert!(server.stop(), "it still stops well");
}

fn goes(key: &str) -> bool {
    key.starts_with("go/") || key.starts_with("tag/temp")
}

/// Puts objects, and reads some of those that were put before.
fn write_and_read(stop: &AtomicBool, history: &History, client: &Client, seed: u64) {
    let mut random = Random::new(seed);
    while !stop.load(Ordering::SeqCst) {
        let number = history.number.fetch_add(1, Ordering::SeqCst);
        let (bucket, key) = match number % 6 {
            0 | 1 => (PLAIN, format!("go/{number}")),
            2 => (PLAIN, format!("keep/{number}")),
            3 => (
                PLAIN,
                format!("tag/{}-{number}", ["temp", "fine"][number as usize / 6 % 2]),
            ),
            // Overwritten again and again.
            4 => (VERSIONED, format!("v/{}", number % 4)),
            _ => {
                begin_upload(client, number);
                continue;
            }
        };
        let body = random.bytes(random_len(number));
        let mut call = Call::object("PUT", bucket, &key).body(&body);
        if key.starts_with("tag/temp") {
            call = call.header("x-amz-tagging", "temp=yes&other=x");
        }
        let sent = Instant::now();
        let Ok(answer) = client.try_send(&call) else {
            continue;
        };
        assert_eq!(answer.status, 200, "{}", answer.shown());
        let put = Put {
            bucket,
            key,
            body,
            sent,
        };
        history.puts.lock().unwrap().push(put);
        for _ in 0..2 {
            read_one(history, client, &mut random);
        }
    }
}

/// Some are packed, some are files.
fn random_len(number: u64) -> usize {
    if number.is_multiple_of(4) {
        200_000
    } else {
        700
    }
}

fn begin_upload(client: &Client, number: u64) {
    let call = Call::object("POST", PLAIN, &format!("up/{number}")).flag("uploads");
    if let Ok(answer) = client.try_send(&call) {
        assert_eq!(answer.status, 200, "{}", answer.shown());
    }
}

/// Reads one of the last objects: it must be there if its time had not come when the answer was
/// complete.
fn read_one(history: &History, client: &Client, random: &mut Random) {
    let put = {
        let puts = history.puts.lock().unwrap();
        let recent = puts.len().saturating_sub(40);
        let at = random.between(recent as u64, puts.len() as u64 - 1);
        puts[at as usize].clone()
    };
    let call = Call::object("GET", put.bucket, &put.key);
    let Ok(answer) = client.try_send(&call) else {
        return;
    };
    if put.may_be_gone() {
        assert!(matches!(answer.status, 200 | 404), "{}", answer.shown());
        return;
    }
    assert_eq!(
        answer.status,
        200,
        "{} went early: {}",
        put.key,
        answer.shown()
    );
    // A versioned key may have been overwritten since.
    if put.bucket == PLAIN {
        assert!(answer.body == put.body, "{} has other bytes", put.key);
    }
    history.found_in_time.fetch_add(1, Ordering::SeqCst);
}

fn listed(client: &Client, bucket: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let mut call = Call::new("GET", &format!("/{bucket}")).query("list-type", "2");
        if let Some(token) = &token {
            call = call.query("continuation-token", token);
        }
        let page = Element::parse(&client.expect(200, &call).body);
        keys.extend(
            page.all("Contents")
                .map(|entry| entry.text_of("Key").to_owned()),
        );
        match page.get("NextContinuationToken") {
            Some(next) => token = Some(next.to_owned()),
            None => return keys,
        }
    }
}

fn versions(client: &Client, bucket: &str) -> usize {
    let call = Call::new("GET", &format!("/{bucket}")).flag("versions");
    let page = Element::parse(&client.expect(200, &call).body);
    page.all("Version").count() + page.all("DeleteMarker").count()
}

fn uploads(client: &Client, bucket: &str) -> usize {
    let call = Call::new("GET", &format!("/{bucket}")).flag("uploads");
    let page = Element::parse(&client.expect(200, &call).body);
    page.all("Upload").count()
}

#[test]
fn rules_are_put_read_told_and_taken_away() {
    let server = Server::start("lifecycle-rules");
    let client = server.client();
    client.create_bucket(PLAIN);
    let rules = Call::new("GET", &format!("/{PLAIN}")).flag("lifecycle");
    assert_eq!(
        client.expect(404, &rules).code(),
        "NoSuchLifecycleConfiguration"
    );
    set_rules(&client, PLAIN, PLAIN_RULES);
    let answer = client.expect(200, &rules);
    let minimum = "x-amz-transition-default-minimum-object-size";
    assert_eq!(answer.header(minimum), Some("all_storage_classes_128K"));
    let read = Element::parse(&answer.body);
    let ids: Vec<&str> = read.all("Rule").map(|rule| rule.text_of("ID")).collect();
    assert_eq!(ids, ["a day", "tagged", "off", "uploads"]);

    // What answers say of it: at a midnight, by the rule's id.
    let told = |answer: &crate::support::http::Response| {
        answer.header("x-amz-expiration").map(str::to_owned)
    };
    let put = client.put(PLAIN, "go/1", b"x");
    let expiration = told(&put).expect("it expires");
    assert!(expiration.starts_with("expiry-date=\""), "{expiration}");
    assert!(
        expiration.ends_with(" 00:00:00 GMT\", rule-id=\"a%20day\""),
        "{expiration}"
    );
    assert_eq!(told(&client.get(PLAIN, "go/1")), Some(expiration.clone()));
    let head = client.expect(200, &Call::object("HEAD", PLAIN, "go/1"));
    assert_eq!(told(&head), Some(expiration));
    assert_eq!(told(&client.put(PLAIN, "keep/1", b"x")), None);
    assert_eq!(told(&client.put(PLAIN, "tag/1", b"x")), None);
    let tagged = Call::object("PUT", PLAIN, "tag/2").header("x-amz-tagging", "temp=yes");
    assert!(told(&client.expect(200, &tagged.body(b"x"))).is_some());
    let upload = client.expect(200, &Call::object("POST", PLAIN, "up").flag("uploads"));
    assert_eq!(upload.header("x-amz-abort-rule-id"), Some("uploads"));
    assert!(
        upload
            .header("x-amz-abort-date")
            .is_some_and(|date| date.ends_with("00:00:00 GMT"))
    );

    let refused = Call::new("PUT", &format!("/{PLAIN}")).flag("lifecycle").body(
        b"<LifecycleConfiguration><Rule><Filter/><Status>Enabled</Status><Transition><Days>1</Days>\
          <StorageClass>GLACIER</StorageClass></Transition></Rule></LifecycleConfiguration>",
    );
    assert_eq!(client.expect(501, &refused).code(), "NotImplemented");
    let ids_now = Element::parse(&client.expect(200, &rules).body);
    assert_eq!(
        ids_now.all("Rule").count(),
        4,
        "what was refused changed nothing"
    );

    let delete = Call::new("DELETE", &format!("/{PLAIN}")).flag("lifecycle");
    client.expect(204, &delete);
    client.expect(204, &delete);
    assert_eq!(
        client.expect(404, &rules).code(),
        "NoSuchLifecycleConfiguration"
    );
    assert_eq!(told(&client.get(PLAIN, "go/1")), None);
}
