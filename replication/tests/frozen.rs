//! Two processes over one PostgreSQL, each with its workers: one is stopped by a signal in the
//! middle of its work, the other takes over, and the first wakes up again.
//!
//! Every event arrives, and after the takeover from the second alone; every object that expires is
//! removed once. The test starts itself again as the two children. Time is the machine's, and so is
//! the lease's.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use holdfast_metadata::command::{PutObject, WriteCondition};
use holdfast_metadata::lifecycle::{
    Expiration, LifecycleChange, LifecycleFilter, LifecycleRule, LifecycleRules, LifecycleTurn,
};
use holdfast_metadata::model::{
    Attributes, ChangeCursor, ChangeEvent, LockState, OpId, Origin, Policy,
};
use holdfast_metadata::notification::{NotificationRule, Webhook, WebhookDetail};
use holdfast_metadata::{Metadata, MetadataConfig};
use holdfast_replication::{Chore, EventFacts, Leases, Lifecycle, Notifier, Terms, Workers};
use holdfast_types::{FailureDomain, Region, SizeRule, SystemClock};
use sqlx::Connection as _;

#[path = "../../metadata/tests/conformance/postgres_server.rs"]
mod postgres_server;

/// Longer than any test: no event is put aside.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);
const CHILD: &str = "HOLDFAST_FROZEN_CHILD";
const BUCKET: &str = "films";
const WORKERS: [&str; 3] = ["webhooks", "lifecycle", "usage-fold"];
/// A machine that is busy elsewhere renews within it, too.
const TERMS: Terms = Terms {
    term: Duration::from_secs(4),
    renew_every: Duration::from_millis(300),
};

#[test]
fn one_takes_over_from_another_that_is_frozen_and_each_thing_is_done_by_one() {
    let Some(server) = postgres_server::server() else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let hook = Hook::start();
    let database = runtime.block_on(server.database());
    let url = |name: &str| server.url(&database, name);
    let metadata = runtime.block_on(furnish(&url("story"), hook.port));
    let put = |prefix: &str| {
        runtime.block_on(async {
            for number in 0..40 {
                put(&metadata, &format!("{prefix}/{number}")).await;
            }
        });
    };

    let mut looker = runtime
        .block_on(sqlx::PgConnection::connect(&url("looks")))
        .unwrap();
    let first = Process::start("first", &url("first"));
    first.until("it works", |seen| seen.all("ours"));
    let second = Process::start("second", &url("second"));
    second.until("it waits", |seen| seen.all("standby"));

    // Stopped wherever it is just then: events are under way, and objects expire.
    put("before");
    put("old");
    until("the first delivers", || hook.heard("first", "before") > 0);
    first.signal("STOP");
    first.until_frozen();
    put("during");
    until("the second takes over", || {
        runtime.block_on(end_what_stands_still(&mut looker));
        second.seen().all("ours")
    });
    until("all that was owed is delivered", || {
        hook.keys("before") == 40 && hook.keys("during") == 40
    });

    first.signal("CONT");
    first.until("it sees what happened", |seen| seen.all("standby"));
    put("after");
    until("the second goes on", || hook.keys("after") == 40);
    assert_eq!(hook.heard("first", "during"), 0, "it could not be told");
    assert_eq!(hook.heard("first", "after"), 0, "it had no lease");
    let leases = runtime.block_on(metadata.worker_leases()).unwrap();
    let held: Vec<_> = leases
        .iter()
        .map(|lease| (lease.name.as_str(), lease.generation, &*lease.holder_name))
        .collect();
    let expected = ["lifecycle", "usage-fold", "webhooks"].map(|name| (name, 2, "second"));
    assert_eq!(held, expected);

    // What expired was removed once, and one of the two says that it did it.
    let removed = || runtime.block_on(expired(&metadata));
    until("what is old is gone", || removed().len() == 40);
    until("each removal was somebody's", || {
        first.seen().expired + second.seen().expired == 40
    });
    let removed = removed();
    assert!(removed.values().all(|times| *times == 1), "{removed:?}");

    // The second stops well: the first need not wait for the end of its leases.
    second.signal("TERM");
    first.until("it works again", |seen| seen.all("ours"));
    put("last");
    until("the first goes on", || hook.heard("first", "last") == 40);
    runtime.block_on(metadata.close());
}

async fn open(url: &str) -> Metadata {
    let mut config = MetadataConfig::new(url);
    config.postgres_connections = 8;
    config.lifecycle_day_seconds = Some(1);
    let region = Region::parse("here").unwrap();
    Metadata::open(&config, region, Arc::new(SystemClock))
        .await
        .unwrap()
}

/// A bucket whose objects are told to a webhook, and of which those under `old/` expire.
async fn furnish(url: &str, port: u16) -> Metadata {
    let metadata = open(url).await;
    let policy = Policy {
        name: "standard".to_owned(),
        rule: SizeRule::new("4+2".parse().unwrap()),
        protect: FailureDomain::Drive,
        generation: 1,
        rules: Vec::new(),
        quorum: None,
    };
    metadata.put_policy(policy).await.unwrap();
    let made = metadata.create_bucket(BUCKET, "standard", None).await;
    made.unwrap();
    let webhook = Webhook {
        name: "hook".to_owned(),
        number: 0,
        detail: WebhookDetail {
            url: format!("http://127.0.0.1:{port}/"),
            allow_private: false,
            allow_loopback: true,
            allow_link_local: false,
            created_ms: 0,
        },
        token: None,
    };
    metadata.create_webhook(webhook).await.unwrap();
    let rule = NotificationRule {
        id: "all".to_owned(),
        webhook: "hook".to_owned(),
        webhook_number: 0,
        kind: "queue".to_owned(),
        arn: "arn:holdfast:sqs::hook:webhook".to_owned(),
        events: vec!["s3:ObjectCreated:*".to_owned()],
        prefix: None,
        suffix: None,
    };
    let absent = metadata.set_notifications(BUCKET, vec![rule], None).await;
    assert!(absent.unwrap().is_empty());
    let rule = LifecycleRule {
        id: "old".to_owned(),
        filter: LifecycleFilter {
            prefix: "old/".to_owned(),
            ..LifecycleFilter::default()
        },
        expiration: Some(Expiration::Days(1)),
        noncurrent: None,
        abort_upload_days: None,
    };
    let change = LifecycleChange {
        rules: LifecycleRules(vec![rule]),
        document: String::new(),
    };
    let set = metadata.set_lifecycle(BUCKET, Some(change)).await;
    set.unwrap();
    metadata
}

async fn put(metadata: &Metadata, key: &str) {
    let put = PutObject {
        op: OpId::generate(),
        bucket: BUCKET.to_owned(),
        key: key.as_bytes().to_vec(),
        blob: None,
        taken_len: None,
        etag: "e".to_owned(),
        attributes: Attributes::default(),
        condition: WriteCondition::default(),
        lock: LockState::default(),
        origin: Origin::default(),
    };
    metadata.put_object(put).await.unwrap();
}

/// Ends the transactions that the first left open when it was frozen: what the database does by
/// itself once they have been idle for 30 s, without the wait.
async fn end_what_stands_still(looker: &mut sqlx::PgConnection) {
    sqlx::query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE application_name = 'first' AND state LIKE 'idle in transaction%'",
    )
    .execute(looker)
    .await
    .unwrap();
}

/// How often lifecycle removed each key.
async fn expired(metadata: &Metadata) -> BTreeMap<Vec<u8>, u64> {
    let mut removed = BTreeMap::new();
    let mut cursor = ChangeCursor::default();
    loop {
        let page = metadata.changes(cursor, 1000).await.unwrap();
        let Some(last) = page.last() else {
            return removed;
        };
        cursor = last.cursor;
        for change in page {
            if change.event == ChangeEvent::ExpireDelete {
                *removed.entry(change.key).or_default() += 1;
            }
        }
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// What a child said last.
#[derive(Debug, Clone, Default)]
struct Seen {
    /// `ours`, `standby` or another state, by worker.
    states: BTreeMap<String, String>,
    expired: u64,
}

impl Seen {
    fn all(&self, state: &str) -> bool {
        WORKERS
            .iter()
            .all(|worker| self.states.get(*worker).is_some_and(|is| is == state))
    }
}

struct Process {
    child: Child,
    seen: Arc<Mutex<Seen>>,
}

impl Process {
    fn start(name: &str, url: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_process_that_works", "--nocapture"])
            .env(CHILD, format!("{name} {url}"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let heard = Arc::clone(&seen);
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                // `seen EXPIRED NAME=STATE... .`
                let Some(said) = line
                    .strip_prefix("seen ")
                    .and_then(|l| l.strip_suffix(" ."))
                else {
                    continue;
                };
                let (expired, states) = said.split_once(' ').unwrap();
                let pairs = states.split(' ').filter_map(|pair| pair.split_once('='));
                *heard.lock().unwrap() = Seen {
                    states: pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
                    expired: expired.parse().unwrap(),
                };
            }
        });
        Self { child, seen }
    }

    fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }

    fn until(&self, what: &str, holds: impl Fn(&Seen) -> bool) {
        until(what, || holds(&self.seen()));
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([format!("-{signal}"), self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Until every thread of it stands still.
    fn until_frozen(&self) {
        let tasks = format!("/proc/{}/task", self.child.id());
        until("all threads are stopped", || {
            std::fs::read_dir(&tasks).unwrap().all(|task| {
                let stat = std::fs::read_to_string(task.unwrap().path().join("stat"));
                stat.is_ok_and(|stat| stat.rsplit(") ").next().unwrap().starts_with('T'))
            })
        });
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Does nothing in an ordinary run.
#[test]
fn the_process_that_works() {
    let Ok(task) = std::env::var(CHILD) else {
        return;
    };
    let (name, url) = task.split_once(' ').unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(work(name, url));
}

async fn work(name: &str, url: &str) {
    let metadata = open(url).await;
    let workers = Workers::leased(Leases::with_terms(metadata.clone(), name, TERMS));
    let facts = EventFacts {
        region: Region::parse("here").unwrap(),
        // Says in each event who delivers it.
        owner_id: name.to_owned(),
    };
    let clock = Arc::new(SystemClock);
    let (notifier, _board) = Notifier::new(metadata.clone(), facts, clock, PATIENCE);
    workers.start(notifier);
    let (lifecycle, report) = Lifecycle::new(metadata.clone());
    workers.start(lifecycle);
    workers.start(Chore::fold_usage(metadata.clone()));
    let mut stop =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
    loop {
        let mut said = format!("seen {}", report.borrow().count(LifecycleTurn::Expired));
        for status in workers.table().list() {
            let is_ours = status.lease.is_some_and(|lease| lease.is_ours);
            let state = if is_ours {
                "ours"
            } else {
                status.state.as_str()
            };
            said.push_str(&format!(" {}={state}", status.name));
        }
        let mut out = std::io::stdout().lock();
        writeln!(out, "{said} .").unwrap();
        out.flush().unwrap();
        drop(out);
        tokio::select! {
            _ = stop.recv() => break,
            () = tokio::time::sleep(Duration::from_millis(30)) => {}
        }
    }
    assert!(workers.stop(Duration::from_secs(30)).await);
    metadata.close().await;
}

/// Takes all events, and remembers who delivered them.
struct Hook {
    port: u16,
    heard: Arc<Mutex<Vec<(String, String)>>>,
}

impl Hook {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::<Mutex<_>>::default();
        let shared = Arc::clone(&heard);
        // It ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let heard = Arc::clone(&shared);
                thread::spawn(move || while take(&stream, &heard).is_some() {});
            }
        });
        Self { port, heard }
    }

    /// How many different keys under a prefix were told by a process.
    fn heard(&self, process: &str, prefix: &str) -> usize {
        let heard = self.heard.lock().unwrap();
        let told = heard.iter().filter(|(who, _)| who == process);
        Self::under(told.map(|(_, key)| key.as_str()), prefix)
    }

    /// How many different keys under a prefix were told.
    fn keys(&self, prefix: &str) -> usize {
        let heard = self.heard.lock().unwrap();
        Self::under(heard.iter().map(|(_, key)| key.as_str()), prefix)
    }

    fn under<'a>(keys: impl Iterator<Item = &'a str>, prefix: &str) -> usize {
        keys.filter(|key| key.starts_with(prefix))
            .collect::<BTreeSet<_>>()
            .len()
    }
}

/// Takes one request; `None` at the end of the connection.
fn take(stream: &TcpStream, heard: &Mutex<Vec<(String, String)>>) -> Option<()> {
    // Requests come one after the other: nothing is read ahead.
    let mut reader = BufReader::with_capacity(1, stream);
    let mut len = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            len = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; len];
    reader.read_exact(&mut body).ok()?;
    let message: serde_json::Value = serde_json::from_slice(&body).unwrap();
    for record in message["Records"].as_array().into_iter().flatten() {
        let s3 = &record["s3"];
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let who = text(&s3["bucket"]["ownerIdentity"]["principalId"]);
        let key = text(&s3["object"]["key"]).replace("%2F", "/");
        heard.lock().unwrap().push((who, key));
    }
    let mut stream = stream;
    stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        .ok()
}
