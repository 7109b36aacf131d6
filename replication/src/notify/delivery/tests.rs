//! Deliveries over a simulated log and simulated targets that fail, are slow and lose replies, in
//! virtual time, with processes that die at any await.
//!
//! A target checks each receipt at once: the events of its key before this one were acknowledged by
//! it, or put aside, in that order. `HOLDFAST_SEED` is the first seed, `HOLDFAST_DELIVERIES` how
//! many are tried.

mod letters;
mod sim_log;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll};

use async_trait::async_trait;
use holdfast_metadata::model::{BucketId, ChangeEvent, VersionId};
use holdfast_metadata::notification::{LetterCount, NotificationRule, Webhook, WebhookDetail};
use holdfast_types::{ManualClock, Region};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use self::sim_log::SimLog;
use super::*;

/// An event, as a target knows it: key and sequencer.
type Seen = (String, String);

/// What outlives a process: the metadata, and the world outside.
struct World {
    inner: Mutex<Inner>,
}

struct Inner {
    random: StdRng,
    changes: Vec<Change>,
    cursor: ChangeCursor,
    letters: Vec<DeadLetter>,
    messages: Vec<TestMessage>,
    /// Per key, the sequencers that should arrive, in order.
    expected: BTreeMap<String, Vec<String>>,
    acknowledged: BTreeSet<Seen>,
    /// Letters that an operator threw away.
    discarded: BTreeSet<Seen>,
    /// Keys of which an event is under way.
    posting: BTreeSet<String>,
    /// The number of the last asking for a letter.
    asking: u64,
    receipts: u64,
    posts: u64,
    tests_received: u64,
    weather: Weather,
    /// The lease may have ended.
    is_barred: bool,
}

/// How the target and the metadata are.
#[derive(Debug, Clone, Copy)]
struct Weather {
    /// Of 100 posts, how many fail before they are received.
    refused: u32,
    /// Of 100 posts, how many are received and not answered.
    lost: u32,
    /// How long a post takes at most.
    slow_ms: u64,
    /// Of 100 calls of the metadata, how many fail; half of them after they were done.
    metadata: u32,
    /// Whether the target takes what it used to refuse.
    cured: bool,
}

const FAIR: Weather = Weather {
    refused: 0,
    lost: 0,
    slow_ms: 5,
    metadata: 0,
    cured: false,
};

const DOWN: Weather = Weather {
    refused: 100,
    ..FAIR
};

impl World {
    fn new(seed: u64, weather: Weather) -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::new(Inner {
                random: StdRng::seed_from_u64(seed),
                changes: Vec::new(),
                cursor: ChangeCursor::default(),
                letters: Vec::new(),
                messages: Vec::new(),
                expected: BTreeMap::new(),
                acknowledged: BTreeSet::new(),
                discarded: BTreeSet::new(),
                posting: BTreeSet::new(),
                asking: 0,
                receipts: 0,
                posts: 0,
                tests_received: 0,
                weather,
                is_barred: false,
            }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    fn chance(&self, percent: u32) -> bool {
        self.lock().random.random_range(0..100) < percent
    }

    fn between(&self, from: u64, to: u64) -> u64 {
        self.lock().random.random_range(from..=to)
    }

    /// A change of a key; those that begin with `quiet` are under no rule.
    fn write(&self, key: &str) {
        let mut inner = self.lock();
        let number = inner.changes.len() as u64 + 1;
        let of_key = |change: &&Change| change.key == key.as_bytes();
        let sequence = inner.changes.iter().filter(of_key).count() as u64 + 1;
        let event = if inner.random.random_bool(0.3) {
            ChangeEvent::Delete
        } else {
            ChangeEvent::Put
        };
        let notification = inner.random.random_range(0..3);
        inner.changes.push(Change {
            cursor: ChangeCursor {
                transaction: 0,
                number,
            },
            bucket: BucketId(1),
            key: key.as_bytes().to_vec(),
            sequence,
            kind: event.kind(),
            event,
            version_id: VersionId::null(),
            size: 1,
            etag: String::new(),
            principal: None,
            source_address: None,
            request_id: None,
            at_ms: number,
            notification,
        });
        // Rules 1 want everything, rules 2 want what is put.
        let wanted = notification == 1 || (notification == 2 && event == ChangeEvent::Put);
        if wanted && !key.starts_with("quiet") {
            let sequencer = format!("{:016X}{sequence:016X}", 1);
            inner
                .expected
                .entry(key.to_owned())
                .or_default()
                .push(sequencer);
        }
    }

    /// A wanted change of a key.
    fn put(&self, key: &str) {
        let wanted = |world: &Self| world.lock().expected.values().map(Vec::len).sum::<usize>();
        let before = wanted(self);
        while wanted(self) == before {
            self.write(key);
        }
    }

    /// A wanted change of a key that was put aside long ago.
    fn put_letter(&self, key: &str) {
        self.put(key);
        let mut inner = self.lock();
        let change = inner.changes.last().unwrap().clone();
        let rules = rules_of(change.notification);
        let rule = rule_for(&rules, 1, &change).unwrap();
        let letter = DeadLetter {
            webhook: webhook_consumer("hook", 1),
            cursor: change.cursor,
            bucket: change.bucket,
            bucket_name: rules.bucket_name.clone(),
            key: change.key.clone(),
            event: name(change.event).unwrap().to_owned(),
            body: body(&facts(), &change, &rules.bucket_name, rule),
            reason: "400".to_owned(),
            at_ms: 1,
            asked_ms: None,
        };
        inner.cursor = change.cursor;
        inner.letters.push(letter);
    }

    /// An operator asks for some letters, of 100 so many, to be posted again.
    fn ask(&self, percent: u32) {
        let mut inner = self.lock();
        inner.asking += 1;
        let asking = inner.asking;
        for at in 0..inner.letters.len() {
            if inner.random.random_range(0..100) < percent {
                inner.letters[at].asked_ms = Some(asking);
            }
        }
    }

    /// An operator throws one away.
    fn discard_one(&self) {
        let mut inner = self.lock();
        if !inner.letters.is_empty() {
            let count = inner.letters.len();
            let at = inner.random.random_range(0..count);
            let letter = inner.letters.remove(at);
            inner.discarded.insert(seen_in(&letter.body));
        }
    }

    /// What has been neither acknowledged nor put aside.
    fn owed(&self) -> Vec<Seen> {
        let inner = self.lock();
        let mut owed = Vec::new();
        for (key, sequencers) in &inner.expected {
            for sequencer in sequencers {
                if !inner.is_done(key, sequencer) {
                    owed.push((key.clone(), sequencer.clone()));
                }
            }
        }
        owed
    }

    /// The durable place.
    fn place(&self) -> ChangeCursor {
        self.lock().cursor
    }

    fn end(&self) -> ChangeCursor {
        let inner = self.lock();
        inner
            .changes
            .last()
            .map(|change| change.cursor)
            .unwrap_or_default()
    }

    async fn metadata(&self) -> Result<bool, MetadataError> {
        tokio::time::sleep(Duration::from_millis(self.between(0, 3))).await;
        let weather = self.lock().weather;
        let fails = self.chance(weather.metadata);
        if fails && self.chance(50) {
            return Err(MetadataError::Unavailable("away".to_owned()));
        }
        Ok(fails)
    }

    async fn reply<R>(&self, fails: bool, reply: R) -> Result<R, MetadataError> {
        tokio::time::sleep(Duration::from_millis(self.between(0, 3))).await;
        if fails {
            return Err(MetadataError::Unavailable("the reply was lost".to_owned()));
        }
        Ok(reply)
    }
}

impl Inner {
    fn is_done(&self, key: &str, sequencer: &str) -> bool {
        let aside =
            |letter: &DeadLetter| letter.key == key.as_bytes() && letter.body.contains(sequencer);
        let seen = (key.to_owned(), sequencer.to_owned());
        self.acknowledged.contains(&seen)
            || self.discarded.contains(&seen)
            || self.letters.iter().any(aside)
    }

    fn letter_count(&self) -> LetterCount {
        let asked = self.letters.iter().filter(|one| one.asked_ms.is_some());
        LetterCount {
            all: self.letters.len() as u64,
            asked: asked.count() as u64,
        }
    }

    /// A target was sent an event: it must be one that was wanted, and its turn.
    fn receive(&mut self, (key, sequencer): &Seen) {
        self.receipts += 1;
        let sequencers = self.expected.get(key);
        let sequencers = sequencers.unwrap_or_else(|| panic!("nobody wanted {key}"));
        let at = sequencers.iter().position(|one| one == sequencer);
        let at = at.unwrap_or_else(|| panic!("nobody wanted {sequencer} of {key}"));
        for before in &sequencers[..at] {
            assert!(
                self.is_done(key, before),
                "{sequencer} of {key} came before {before} was done"
            );
        }
    }
}

fn rules_of(number: u64) -> Notifications {
    let events = match number {
        1 => vec![
            "s3:ObjectCreated:*".to_owned(),
            "s3:ObjectRemoved:*".to_owned(),
        ],
        _ => vec!["s3:ObjectCreated:*".to_owned()],
    };
    // Others' rules beside ours, and keys that are not wanted.
    let rule = |webhook: &str, prefix: &str| NotificationRule {
        id: number.to_string(),
        webhook: webhook.to_owned(),
        webhook_number: u64::from(webhook == "hook"),
        kind: "sqs".to_owned(),
        arn: String::new(),
        events: events.clone(),
        prefix: Some(prefix.to_owned()),
        suffix: None,
    };
    Notifications {
        bucket_name: "b".to_owned(),
        rules: vec![
            rule("other", "quiet"),
            rule("hook", "k"),
            rule("hook", "poison"),
        ],
    }
}

fn facts() -> EventFacts {
    EventFacts {
        region: Region::parse("here").unwrap(),
        owner_id: "owner".to_owned(),
    }
}

/// Key and sequencer of what is posted.
fn seen_in(body: &str) -> Seen {
    let record: serde_json::Value = serde_json::from_str(body).unwrap();
    let object = &record["Records"][0]["s3"]["object"];
    let text = |field: &str| object[field].as_str().unwrap().to_owned();
    (text("key"), text("sequencer"))
}

/// A key of which an event is under way, until the process hears of it or dies.
struct Posting<'w>(&'w World, String);

impl<'w> Posting<'w> {
    fn begin(world: &'w World, key: String) -> Self {
        let is_new = world.lock().posting.insert(key.clone());
        assert!(is_new, "two events of {key} are under way at once");
        Self(world, key)
    }
}

impl Drop for Posting<'_> {
    fn drop(&mut self) {
        if let Ok(mut inner) = self.0.inner.lock() {
            inner.posting.remove(&self.1);
        }
    }
}

struct SimTarget(Arc<World>);

#[async_trait]
impl Target for SimTarget {
    async fn post(&self, body: String) -> Answer {
        let weather = self.0.lock().weather;
        self.0.lock().posts += 1;
        let is_test = body.contains("s3:TestEvent");
        let seen = if is_test { None } else { Some(seen_in(&body)) };
        let key = seen.as_ref().map(|(key, _)| key.clone());
        let _posting = key.map(|key| Posting::begin(&self.0, key));
        tokio::time::sleep(Duration::from_millis(self.0.between(0, weather.slow_ms))).await;
        if self.0.chance(weather.refused) {
            return Answer::Failing(Refusal("503".to_owned()));
        }
        let Some(seen) = seen else {
            self.0.lock().tests_received += 1;
            return Answer::Taken;
        };
        self.0.lock().receive(&seen);
        if seen.0.starts_with("poison-400") && !weather.cured {
            return Answer::Poison(Refusal("400".to_owned()));
        }
        if seen.0.starts_with("poison-500") && !weather.cured {
            return Answer::Failing(Refusal("500".to_owned()));
        }
        let lost = self.0.chance(weather.lost);
        if lost && self.0.chance(50) {
            tokio::time::sleep(Duration::from_secs(10)).await;
            return Answer::Failing(Refusal("no answer".to_owned()));
        }
        self.0.lock().acknowledged.insert(seen);
        // The answer is on its way: the process may die before it is there.
        tokio::time::sleep(Duration::from_millis(self.0.between(0, weather.slow_ms))).await;
        if lost {
            return Answer::Failing(Refusal("the answer was lost".to_owned()));
        }
        Answer::Taken
    }
}

/// Ends a future after so many polls: a death at an await.
struct Budget<F> {
    inner: Pin<Box<F>>,
    left: u64,
}

impl<F: Future<Output = ()>> Future for Budget<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.left == 0 {
            return Poll::Ready(());
        }
        self.left -= 1;
        self.inner.as_mut().poll(context)
    }
}

fn delivery(world: &Arc<World>) -> Delivery<SimLog, SimTarget> {
    pausable(world, watch::Sender::new(false).subscribe())
}

fn pausable(world: &Arc<World>, paused: watch::Receiver<bool>) -> Delivery<SimLog, SimTarget> {
    let webhook = Webhook {
        name: "hook".to_owned(),
        number: 1,
        detail: WebhookDetail {
            url: "http://hook.example/".to_owned(),
            allow_private: false,
            allow_loopback: false,
            allow_link_local: false,
            created_ms: 0,
        },
        token: None,
    };
    let begin = {
        let inner = world.lock();
        Begin {
            cursor: inner.cursor,
            letters: inner.letter_count(),
        }
    };
    Delivery::new(
        Arc::new(SimLog(Arc::clone(world))),
        Arc::new(SimTarget(Arc::clone(world))),
        Surroundings {
            facts: Arc::new(facts()),
            telling: Arc::new(Telling::new(&webhook)),
            clock: Arc::new(ManualClock::new(1_767_225_600_000)),
            paused,
            patience: Duration::from_secs(3600),
        },
        begin,
    )
}

/// One process: it lives until it has been polled so often, or for so long.
async fn live(world: &Arc<World>, polls: u64, life: Duration) {
    let process = Budget {
        inner: Box::pin(delivery(world).run()),
        left: polls,
    };
    // What it has spawned dies with it.
    let _ended = tokio::time::timeout(life, process).await;
}

/// Lives until everything is done and remembered.
async fn until_all_is_done(world: &Arc<World>, most: Duration) {
    let deadline = Instant::now() + most;
    let process = tokio::spawn(delivery(world).run());
    while !world.owed().is_empty() || world.place() < world.end() {
        assert!(
            Instant::now() < deadline,
            "still owed: {:?}, {:?} of {:?}",
            world.owed(),
            world.place(),
            world.end()
        );
        assert!(!process.is_finished(), "it died");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    process.abort();
}

fn simulated(story: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(story);
}

#[test]
fn every_event_arrives_in_order_whatever_fails() {
    let number = |name: &str, default| {
        std::env::var(name).map_or(default, |text| text.parse::<u64>().unwrap())
    };
    let first = number("HOLDFAST_SEED", 1);
    let (mut posts, mut needed) = (0, 0);
    for seed in first..first + number("HOLDFAST_DELIVERIES", 40) {
        println!("seed {seed}");
        simulated(async {
            let world = World::new(seed, FAIR);
            let steps = world.between(5, 25);
            for _ in 0..steps {
                for _ in 0..world.between(0, 30) {
                    let keys = ["k1", "k2", "k3", "k4", "quiet1", "poison-400", "poison-500"];
                    let at = world.between(0, 6) as usize;
                    // Each poisoned one takes an hour.
                    let poison = keys[at].starts_with("poison");
                    if !poison || world.between(0, 30) == 0 {
                        world.write(keys[at]);
                    }
                }
                let weather = Weather {
                    refused: [0, 0, 20, 100][world.between(0, 3) as usize],
                    lost: [0, 10, 40][world.between(0, 2) as usize],
                    slow_ms: [1, 50, 2000][world.between(0, 2) as usize],
                    metadata: [0, 0, 20][world.between(0, 2) as usize],
                    cured: false,
                };
                world.lock().weather = weather;
                let polls = world.between(1, 400);
                let life = Duration::from_millis(world.between(1, 20_000));
                live(&world, polls, life).await;
            }
            world.lock().weather = FAIR;
            // Whoever is refused for an hour is put aside if others are taken: some always are.
            let feeder = Arc::clone(&world);
            let feeding = tokio::spawn(async move {
                loop {
                    tokio::time::sleep(Duration::from_secs(600)).await;
                    feeder.put("k1");
                }
            });
            let mut most = Duration::from_secs(3600);
            let poisoned = |world: &World| {
                let inner = world.lock();
                let keys = inner
                    .expected
                    .iter()
                    .filter(|(key, _)| key.starts_with("poison"));
                keys.map(|(_, events)| events.len()).max().unwrap_or(0) as u32
            };
            most *= 2 + 2 * poisoned(&world);
            until_poison_is_aside(&world, most).await;
            feeding.abort();
            until_all_is_done(&world, Duration::from_secs(3600)).await;
            let inner = world.lock();
            assert!(
                inner
                    .letters
                    .iter()
                    .all(|one| one.key.starts_with(b"poison"))
            );
            posts += inner.posts;
            needed += inner.acknowledged.len() as u64;
        });
    }
    assert!(needed > 0);
    println!("{posts} posts for {needed} events");
}

/// Poisoned events of a key are put aside one after the other.
async fn until_poison_is_aside(world: &Arc<World>, most: Duration) {
    let deadline = Instant::now() + most;
    let process = tokio::spawn(delivery(world).run());
    let is_poison = |(key, _): &Seen| key.starts_with("poison");
    while world.owed().iter().any(is_poison) {
        assert!(Instant::now() < deadline, "{:?}", world.owed());
        assert!(!process.is_finished(), "it died");
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    process.abort();
}

#[test]
fn a_dead_target_is_asked_seldom_and_gets_everything_when_it_is_back() {
    simulated(async {
        let world = World::new(7, DOWN);
        for number in 0..3000 {
            world.put(&format!("k{}", number % 500));
        }
        let process = tokio::spawn(delivery(&world).run());
        tokio::time::sleep(Duration::from_secs(24 * 3600)).await;
        let asked = world.lock().posts;
        assert!(asked < 32 + 24 * 60 + 10, "{asked} posts in a day");
        assert!(asked > 20 * 60, "and it is still asked: {asked}");
        assert!(
            world.lock().letters.is_empty(),
            "nothing is put aside for it"
        );
        process.abort();
        world.lock().weather = FAIR;
        until_all_is_done(&world, Duration::from_secs(600)).await;
    });
}

#[test]
fn nothing_is_posted_while_the_lease_may_have_ended() {
    simulated(async {
        let world = World::new(7, FAIR);
        world.lock().is_barred = true;
        for number in 0..100 {
            world.put(&format!("k{}", number % 10));
        }
        let process = tokio::spawn(delivery(&world).run());
        world.put_letter("k500");
        world.ask(100);
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(world.lock().posts, 0);
        // It was renewed after all.
        world.lock().is_barred = false;
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(world.owed().is_empty(), "{:?}", world.owed());
        assert!(world.lock().letters.is_empty());
        process.abort();
    });
}

#[test]
fn a_poisoned_event_holds_back_its_key_for_an_hour_and_nobody_else() {
    for poison in ["poison-400", "poison-500"] {
        simulated(async {
            let world = World::new(7, FAIR);
            world.put(poison);
            world.put(poison);
            for number in 0..100 {
                world.put(&format!("k{}", number % 10));
            }
            let process = tokio::spawn(delivery(&world).run());
            tokio::time::sleep(Duration::from_secs(300)).await;
            let owed = world.owed();
            assert_eq!(owed.len(), 2, "all others are there: {owed:?}");
            assert!(world.lock().letters.is_empty());
            let feeder = Arc::clone(&world);
            let feeding = tokio::spawn(async move {
                loop {
                    tokio::time::sleep(Duration::from_secs(60)).await;
                    feeder.put("k1");
                }
            });
            tokio::time::sleep(Duration::from_secs(3600)).await;
            assert_eq!(
                world.lock().letters.len(),
                1,
                "{poison}: the first is put aside"
            );
            tokio::time::sleep(Duration::from_secs(3700)).await;
            feeding.abort();
            assert_eq!(
                world.lock().letters.len(),
                2,
                "{poison}: and so is the next"
            );
            process.abort();
            until_all_is_done(&world, Duration::from_secs(60)).await;
        });
    }
}

#[test]
fn a_target_that_fails_everybody_loses_nothing_to_the_letters() {
    simulated(async {
        let world = World::new(7, FAIR);
        world.put("poison-500");
        live(&world, u64::MAX, Duration::from_secs(10 * 3600)).await;
        assert!(
            world.lock().letters.is_empty(),
            "nothing else was taken since"
        );
    });
}

#[test]
fn a_message_is_sent_once_it_can_be_and_then_forgotten() {
    simulated(async {
        let world = World::new(7, DOWN);
        for number in [1, 2] {
            world.lock().messages.push(TestMessage {
                number,
                bucket_name: "b".to_owned(),
                request_id: "R".to_owned(),
                at_ms: 1_767_225_600_000,
            });
        }
        live(&world, u64::MAX, Duration::from_secs(3600)).await;
        assert_eq!(world.lock().messages.len(), 2);
        world.lock().weather = FAIR;
        live(&world, u64::MAX, Duration::from_secs(60)).await;
        let inner = world.lock();
        assert!(inner.messages.is_empty());
        assert_eq!(inner.tests_received, 2);
    });
}

#[test]
fn a_delivery_that_is_paused_posts_nothing_and_then_everything() {
    simulated(async {
        let slow = Weather {
            slow_ms: 5000,
            ..FAIR
        };
        let world = World::new(7, slow);
        for number in 0..200 {
            world.put(&format!("k{}", number % 100));
        }
        let pause = watch::Sender::new(false);
        let process = tokio::spawn(pausable(&world, pause.subscribe()).run());
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(world.lock().posts > 0, "it is under way");
        pause.send_replace(true);
        // What is under way is finished, and counts.
        tokio::time::sleep(Duration::from_secs(60)).await;
        let posts = world.lock().posts;
        assert!(world.lock().posting.is_empty());
        world.put("k1");
        world.put_letter("k500");
        world.ask(100);
        world.lock().messages.push(TestMessage {
            number: 1,
            bucket_name: "b".to_owned(),
            request_id: "R".to_owned(),
            at_ms: 1_767_225_600_000,
        });
        tokio::time::sleep(Duration::from_secs(24 * 3600)).await;
        assert_eq!(world.lock().posts, posts, "a day later: nothing");
        let paused_from_the_start = tokio::spawn(pausable(&world, pause.subscribe()).run());
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(world.lock().posts, posts, "nor by one that begins");
        paused_from_the_start.abort();
        pause.send_replace(false);
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert!(world.owed().is_empty(), "{:?}", world.owed());
        assert_eq!(world.lock().letter_count(), LetterCount::default());
        assert_eq!(world.lock().tests_received, 1);
        process.abort();
    });
}
