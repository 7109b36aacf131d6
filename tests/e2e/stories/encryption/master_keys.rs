//! Master keys while it serves: rotated, finished after kill -9, retired, lost and brought back.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::Sse;
use crate::support::client::{Call, Client};
use crate::support::random::Random;
use crate::support::server::{ACCESS_KEY, SECRET_KEY, Server, binary};

const BUCKET: &str = "keys";
const OBJECTS: usize = 450;
const WAIT: Duration = Duration::from_secs(120);

#[test]
fn a_rotation_is_finished_whatever_happens_and_nobody_notices() {
    let mut server = Server::start("sse-rotation");
    let client = server.client();
    client.create_bucket(BUCKET);
    let mut random = Random::new(3);
    let bodies: Vec<Vec<u8>> = (0..OBJECTS).map(|_| random.bytes(500)).collect();
    for (number, body) in bodies.iter().enumerate() {
        let call = Call::object("PUT", BUCKET, &number.to_string()).body(body);
        client.expect(200, &Sse::Server.on_write(call));
    }
    let file = server.data().join("master-keys");
    let before = fs::read_to_string(&file).unwrap();
    let old = ids(&before)[0].clone();
    assert_eq!(
        state_and_blobs(&server, &old),
        ("newest".to_owned(), OBJECTS as u64)
    );

    let stop = AtomicBool::new(false);
    let new = thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Random::new(4);
            while !stop.load(Ordering::SeqCst) {
                let body: &Vec<u8> = random.pick(&bodies[..]);
                read(&client, body, &bodies);
            }
        });
        let rotated = admin(&server, &["master-key", "rotate"]);
        assert!(rotated.0, "{}", rotated.1);
        let refused = admin(&server, &["master-key", "retire", &old]);
        let still_used = state_and_blobs(&server, &old).1 > 0;
        assert!(!refused.0 || !still_used, "{}", refused.1);
        stop.store(true, Ordering::SeqCst);
        let after = fs::read_to_string(&file).unwrap();
        ids(&after)[0].clone()
    });
    assert_ne!(new, old);
    // In the middle of the work, or just behind it.
    server.kill();
    server.restart();
    let key = old.clone();
    server.wait_until("no data key is under the old key", WAIT, |server| {
        state_and_blobs(server, &key).1 == 0
    });
    assert_eq!(state_and_blobs(&server, &new).1, OBJECTS as u64);
    for body in &bodies {
        read(&client, body, &bodies);
    }

    let newest = admin(&server, &["master-key", "retire", &new]);
    assert!(!newest.0 && newest.1.contains("rotate"), "{}", newest.1);
    let retired = admin(&server, &["master-key", "retire", &old]);
    // The first attempt may have come after all was done.
    assert!(
        retired.0 || state_and_blobs(&server, &old).0 == "retired",
        "{}",
        retired.1
    );
    let after = fs::read_to_string(&file).unwrap();
    assert_eq!(
        ids(&after),
        std::slice::from_ref(&new),
        "the old key is in no file any more"
    );
    assert_eq!(state_and_blobs(&server, &old).0, "retired");
    assert!(server.stop());
    server.restart();
    for body in bodies.iter().take(20) {
        read(&client, body, &bodies);
    }
    lost_and_found(&mut server, &client, &bodies);
}

/// Without its keys it does not start as if nothing were; with them it is as before.
fn lost_and_found(server: &mut Server, client: &Client, bodies: &[Vec<u8>]) {
    let file = server.data().join("master-keys");
    let away = server.data().join("away");
    assert!(server.stop());
    fs::rename(&file, &away).unwrap();
    let (started, said) = serve(server, None);
    assert!(!started && said.contains("backup"), "{said}");
    assert!(!file.exists(), "no new key is made in its place");
    fs::rename(&away, &file).unwrap();
    server.restart();
    for body in bodies.iter().take(5) {
        read(client, body, bodies);
    }
}

/// Tries to serve, and says whether it did not end by itself, and what it said.
fn serve(server: &Server, keys: Option<&str>) -> (bool, String) {
    let mut command = Command::new(binary());
    command
        .args(["serve", "--listen", &server.s3.to_string()])
        .args(["--admin-listen", &server.admin.to_string(), "--data"])
        .arg(server.data())
        .env("HOLDFAST_ACCESS_KEY", ACCESS_KEY)
        .env("HOLDFAST_SECRET_KEY", SECRET_KEY);
    if let Some(keys) = keys {
        command.env("HOLDFAST_MASTER_KEYS", keys);
    }
    let done = command.output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    (done.status.success(), said)
}

#[test]
fn master_keys_can_come_from_the_environment() {
    let key = |byte: u8| {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode([byte; 32])
    };
    let mut server =
        Server::prepare("sse-environment").with_environment("HOLDFAST_MASTER_KEYS", &key(1));
    server.restart();
    let client = server.client();
    client.create_bucket(BUCKET);
    let call = Call::object("PUT", BUCKET, "k").body(b"hello");
    client.expect(200, &Sse::Server.on_write(call));
    assert!(!server.data().join("master-keys").exists());
    let refused = admin(&server, &["master-key", "rotate"]);
    assert!(
        !refused.0 && refused.1.contains("HOLDFAST_MASTER_KEYS"),
        "{}",
        refused.1
    );
    assert!(server.stop());
    // Another one in front: what the first wraps is put under it.
    let both = format!("{},{}", key(2), key(1));
    let mut server = server.with_environment("HOLDFAST_MASTER_KEYS", &both);
    server.restart();
    server.wait_until("the key is under the new one", WAIT, |server| {
        list(server)["keys"][0]["blobs"] == 1
    });
    assert_eq!(client.get(BUCKET, "k").body, b"hello");
    assert!(server.stop());
    let mut server = server.with_environment("HOLDFAST_MASTER_KEYS", &key(2));
    server.restart();
    assert_eq!(client.get(BUCKET, "k").body, b"hello");
}

fn read(client: &Client, body: &[u8], bodies: &[Vec<u8>]) {
    let number = bodies.iter().position(|one| one == body).unwrap();
    let answer = client.get(BUCKET, &number.to_string());
    assert_eq!(answer.status, 200, "{}", answer.shown());
    assert!(answer.body == body, "{number}");
}

/// The ids in a key file.
fn ids(text: &str) -> Vec<String> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect()
}

/// Runs `holdfast admin`: whether it was done, and what was said.
fn admin(server: &Server, words: &[&str]) -> (bool, String) {
    let done = Command::new(binary())
        .args(["admin", "--endpoint", &format!("http://{}", server.admin)])
        .args(words)
        .env("HOLDFAST_ACCESS_KEY", ACCESS_KEY)
        .env("HOLDFAST_SECRET_KEY", SECRET_KEY)
        .output()
        .unwrap();
    let said = [done.stdout, done.stderr].concat();
    (done.status.success(), String::from_utf8(said).unwrap())
}

fn list(server: &Server) -> serde_json::Value {
    let (done, said) = admin(server, &["--json", "master-key", "list"]);
    assert!(done, "{said}");
    serde_json::from_str(&said).unwrap()
}

/// What the list says of a key; state `unknown` if it is not in it.
fn state_and_blobs(server: &Server, id: &str) -> (String, u64) {
    let list = list(server);
    let keys = list["keys"].as_array().unwrap();
    keys.iter()
        .find(|key| key["id"] == id)
        .map_or(("unknown".to_owned(), 0), |key| {
            let state = key["state"].as_str().unwrap().to_owned();
            (state, key["blobs"].as_u64().unwrap())
        })
}
