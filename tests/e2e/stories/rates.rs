//! Rate limits set by command: they hold at once, for one bucket or key and no other, and after a
//! `kill -9` too.
//!
//! One byte a second: whatever was moved is owed for two minutes, however fast the machine is.

use crate::support::client::{Call, Client};
use crate::support::http::Response;
use crate::support::server::Server;

const BUCKET: &str = "limited";
const FREE: &str = "free";

fn is_refused(answer: &Response) {
    let shown = answer.shown();
    assert_eq!((answer.status, answer.code()), (503, "SlowDown"), "{shown}");
    let after: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=121).contains(&after), "{shown}");
}

fn get(client: &Client, bucket: &str, body: &[u8]) {
    let answer = client.get(bucket, "k");
    assert_eq!(answer.status, 200, "{}", answer.shown());
    assert!(answer.body == body);
}

#[test]
fn limits_hold_at_once_for_what_they_are_of_and_survive_kill_9() {
    let mut server = Server::start("rates");
    let root = server.client();
    let body = vec![7; 300_000];
    for bucket in [BUCKET, FREE] {
        root.create_bucket(bucket);
        root.put(bucket, "k", &body);
    }
    let made = server.admin_json(&["key", "create"]);
    let [access_key, secret_key] = ["access_key", "secret_key"].map(|half| {
        let half = made[half].as_str().unwrap();
        half.to_owned()
    });
    let limited = Client::new(server.s3, &access_key, &secret_key);

    let set = ["bucket", "rate-limit", BUCKET, "--bytes-per-second", "1"];
    let shown = server.admin_json(&set);
    assert_eq!(shown["rate_limit"]["bytes_per_second"], 1);
    // A second's worth is there: whoever comes first is served whole.
    get(&limited, BUCKET, &body);
    for client in [&root, &limited] {
        is_refused(&client.get(BUCKET, "k"));
        is_refused(&client.send(&Call::object("PUT", BUCKET, "k").body(b"other")));
        get(client, FREE, &body);
    }
    let said = server.admin_does(&["key", "rate-limit", &access_key, "--bytes-per-second", "1"]);
    assert_eq!(said, format!("key {access_key}: at most 1 B a second\n"));
    get(&limited, FREE, &body);
    is_refused(&limited.get(FREE, "k"));
    get(&root, FREE, &body);
    let listed = server.admin_json(&["bucket", "list"]);
    let buckets = listed["buckets"].as_array().unwrap();
    let one = |name: &str| {
        buckets
            .iter()
            .find(|bucket| bucket["name"] == name)
            .unwrap()
    };
    assert_eq!(one(BUCKET)["rate_refused"], 4);
    assert_eq!(one(FREE)["rate_refused"], 0);
    assert_eq!(server.metric("holdfast_s3_rate_limited_total"), 5);

    server.kill();
    server.restart();
    let keys = server.admin_json(&["key", "list"]);
    let keys = keys["keys"].as_array().unwrap();
    let key = keys
        .iter()
        .find(|key| key["access_key"] == made["access_key"]);
    assert_eq!(key.unwrap()["rate_limit"]["bytes_per_second"], 1);
    get(&root, BUCKET, &body);
    is_refused(&root.get(BUCKET, "k"));
    get(&limited, FREE, &body);
    is_refused(&limited.get(FREE, "k"));
    server.admin_does(&["bucket", "rate-limit", BUCKET, "--none"]);
    server.admin_does(&["key", "rate-limit", &access_key, "--none"]);
    for bucket in [BUCKET, FREE] {
        get(&limited, bucket, &body);
        get(&limited, bucket, &body);
    }
    for words in [
        &["bucket", "rate-limit", "nowhere", "--bytes-per-second", "1"][..],
        &["key", "rate-limit", "NOBODY", "--requests-per-second", "1"],
        &["key", "rate-limit", &access_key],
        &[
            "key",
            "rate-limit",
            &access_key,
            "--none",
            "--bytes-per-second",
            "1",
        ],
        &["bucket", "rate-limit", BUCKET, "--requests-per-second", "0"],
        &["bucket", "rate-limit", BUCKET, "--bytes-per-second", "0"],
    ] {
        server.admin_refuses(words);
    }
}
