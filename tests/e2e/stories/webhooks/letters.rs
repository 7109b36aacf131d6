//! Dead letters over the real binary: shown, posted again, thrown away; and a pause of deliveries,
//! through `kill -9`.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::receiver::{Manner, Receiver};
use super::{BUCKET, EVERYTHING, LONG, make, notify, queue};
use crate::support::random::Random;
use crate::support::server::Server;

/// What is refused is put aside at once.
const CONFIG: &str = "[worker]\nwebhook_patience_seconds = 0\n";
const KEYS: usize = 20;
const EVENTS: usize = 60;

fn start(name: &str, receiver: &Receiver) -> Server {
    let mut server = Server::prepare(name).with_config(CONFIG);
    server.restart();
    make(&server, "hook", receiver);
    let client = server.client();
    client.create_bucket(BUCKET);
    client.expect(200, &notify(BUCKET, &queue("all", "hook", &EVERYTHING, "")));
    server
}

fn letters(server: &Server) -> Vec<Value> {
    let page = server.admin_json(&["webhook", "letters", "hook", "--limit", "1000"]);
    assert!(page["next"].is_null(), "{page}");
    page["dead_letters"].as_array().unwrap().clone()
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap()
}

fn worker_is(server: &Server, state: &str) -> bool {
    let workers = server.admin_json(&["worker", "list"]);
    let all = workers["workers"].as_array().unwrap();
    let webhooks = all.iter().find(|worker| worker["name"] == "webhooks");
    webhooks.is_some_and(|worker| worker["state"] == state)
}

/// First arrivals of each key, in order.
fn arrivals(receiver: &Receiver) -> BTreeMap<String, Vec<String>> {
    let mut seen = BTreeSet::new();
    let mut arrivals: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for event in receiver.taken() {
        if seen.insert(event.sequencer.clone() + &event.key) {
            let of_key = arrivals.entry(event.key).or_default();
            of_key.push(event.sequencer);
        }
    }
    arrivals
}

#[test]
fn letters_are_posted_again_in_order_through_kill_9() {
    let receiver = Receiver::start(Manner::Picky);
    let mut server = start("letters", &receiver);
    let client = server.client();
    for number in 0..EVENTS {
        client.put(BUCKET, &format!("poison/{}", number % KEYS), b"x");
    }
    client.put(BUCKET, "good", b"x");
    server.wait_until("all poison is put aside", LONG, |server| {
        letters(server).len() == EVENTS && !receiver.taken().is_empty()
    });
    let aside = letters(&server);
    assert!(aside.iter().all(|letter| letter["asked_ms"].is_null()));
    assert!(aside.iter().all(|letter| text(letter, "bucket") == BUCKET));
    assert!(text(&aside[0], "reason").contains("422"), "{}", aside[0]);

    // Refused again, it is put aside again: later than before.
    let id = text(&aside[0], "id").to_owned();
    let at_ms = aside[0]["at_ms"].as_u64().unwrap();
    let said = server.admin_does(&["webhook", "retry", "hook", &id]);
    assert_eq!(said, "1 dead letters of hook will be posted again\n");
    server.wait_until("it is refused again", LONG, |server| {
        let letter = letters(server).remove(0);
        letter["asked_ms"].is_null() && letter["at_ms"].as_u64() > Some(at_ms)
    });

    // Asked for while deliveries are paused, and killed: neither is forgotten.
    server.admin_does(&["worker", "pause", "webhooks"]);
    server.wait_until("it is paused", LONG, |server| worker_is(server, "paused"));
    let said = server.admin_does(&["webhook", "retry", "hook", "--all"]);
    assert_eq!(
        said,
        format!("{EVENTS} dead letters of hook will be posted again\n")
    );
    client.put(BUCKET, "poison/0", b"late");
    receiver.cure();
    let posts = || {
        let requests = receiver.requests();
        let of_poison = requests
            .iter()
            .filter(|one| one.contains("\"key\":\"poison"));
        of_poison.count()
    };
    let before = posts();
    server.kill();
    server.restart();
    server.wait_until("it is still paused", LONG, |server| {
        worker_is(server, "paused")
    });
    let asked = letters(&server);
    assert_eq!(asked.len(), EVENTS);
    assert!(asked.iter().all(|letter| letter["asked_ms"].is_u64()));
    assert_eq!(posts(), before, "nothing was posted");

    server.admin_does(&["worker", "resume", "webhooks"]);
    let mut random = Random::new(5);
    for _ in 0..3 {
        thread::sleep(Duration::from_millis(random.between(0, 300)));
        server.kill();
        server.restart();
    }
    server.wait_until("all is told", LONG, |server| {
        let told: usize = arrivals(&receiver).values().map(Vec::len).sum();
        letters(server).is_empty() && told == EVENTS + 2
    });
    let arrivals = arrivals(&receiver);
    for number in 0..KEYS {
        let key = format!("poison/{number}");
        let mut of_key = arrivals[&key].clone();
        if number == 0 {
            // What came after the letters may be told before them: its sequencer says so.
            let newest = of_key.iter().max().unwrap().clone();
            of_key.retain(|sequencer| *sequencer != newest);
        }
        assert_eq!(of_key.len(), EVENTS / KEYS);
        assert!(of_key.is_sorted(), "{key}: {of_key:?}");
    }
    server.wait_until("the numbers say so", LONG, |server| {
        let metrics = server.admin_get("/metrics").unwrap();
        let metrics = String::from_utf8(metrics.body).unwrap();
        metrics.contains("holdfast_webhook_dead_letters{webhook=\"hook\"} 0\n")
            && metrics.contains("holdfast_webhook_dead_letters_asked{webhook=\"hook\"} 0\n")
            && metrics.contains("holdfast_webhook_retried_total{webhook=\"hook\"} ")
    });
}

#[test]
fn letters_are_thrown_away_by_name_or_all() {
    let receiver = Receiver::start(Manner::Picky);
    let mut server = start("letters-discarded", &receiver);
    let client = server.client();
    for number in 0..3 {
        client.put(BUCKET, &format!("poison/{number}"), b"x");
    }
    server.wait_until("all are put aside", LONG, |server| {
        letters(server).len() == 3
    });
    let aside = letters(&server);
    let ids: Vec<&str> = aside.iter().map(|letter| text(letter, "id")).collect();
    let page = server.admin_json(&["webhook", "letters", "hook", "--limit", "2"]);
    assert_eq!(page["next"], *ids[1]);
    let rest = server.admin_json(&["webhook", "letters", "hook", "--after", ids[1]]);
    assert_eq!(rest["dead_letters"][0]["id"], *ids[2]);
    let shown = server.admin_does(&["webhook", "letters", "hook"]);
    assert!(
        shown.contains("told/poison/0") && shown.contains("put aside"),
        "{shown}"
    );

    let absent = server.admin_refuses(&["webhook", "discard", "hook", ids[0], "0-999999"]);
    assert!(absent.contains("no such dead letter"), "{absent}");
    assert_eq!(letters(&server).len(), 3, "all or none");
    for (words, part) in [
        (["webhook", "retry", "hook", "x"], "names no letter"),
        (["webhook", "retry", "nobody", "--all"], "no such webhook"),
    ] {
        let refused = server.admin_refuses(&words);
        assert!(refused.contains(part), "{refused}");
    }
    let none_named = server.admin_refuses(&["webhook", "discard", "hook"]);
    assert!(none_named.contains("LETTER"), "{none_named}");
    let said = server.admin_does(&["webhook", "discard", "hook", ids[1]]);
    assert_eq!(said, "1 dead letters of hook thrown away\n");
    server.admin_does(&["webhook", "discard", "hook", "--all"]);
    assert!(letters(&server).is_empty());
    // A name of every kind of character.
    make(&server, "a-b_c.D", &receiver);
    server.admin_does(&["webhook", "status", "a-b_c.D"]);
    server.admin_does(&["webhook", "delete", "a-b_c.D"]);
    // None of them is told, and what comes later is.
    receiver.cure();
    client.put(BUCKET, "poison/0", b"y");
    server.wait_until("the new one is told", LONG, |_| receiver.taken().len() == 1);
    let said = server.admin_does(&["webhook", "retry", "hook", "--all"]);
    assert_eq!(said, "0 dead letters of hook will be posted again\n");
}
