//! What is secret is said nowhere: secrets are planted in every way that a client has, and looked
//! for in logs at their most talkative, in metrics, in the admin API's answers and in errors.

use std::process::Command;
use std::time::Duration;

use super::BUCKET;
use crate::support::client::{Call, Client, Payload};
use crate::support::http;
use crate::support::server::{ACCESS_KEY, SECRET_KEY, Server};

/// As long as a real one, and found nowhere by chance.
const PLANTED_SECRET: &str = "canary-secret-Vq8xG2nLw0Rk7tYbZp4JmE";
const PLANTED_KEY: &str = "CANARYKEY0123456789A";
const PLANTED_BODY: &str = "canary-body-5d1c0be2";
const PLANTED_QUERY: &str = "canary-query-93aa71";

#[test]
fn no_secret_is_said_anywhere() {
    let talkative = "debug,holdfast=trace,holdfast_gateway=trace,holdfast_metadata=trace";
    let mut server = Server::prepare("hostile-secrets").with_environment("HOLDFAST_LOG", talkative);
    server.restart();
    let client = server.client();
    client.create_bucket(BUCKET);
    let mut said = vec![admin(
        &server,
        &["key", "create", "--access-key", PLANTED_KEY],
    )];
    let planted = Client::new(server.s3, PLANTED_KEY, PLANTED_SECRET);
    planted.put(BUCKET, "object", PLANTED_BODY.as_bytes());
    said.extend(requests(&planted));
    for line in [
        vec!["key", "list"],
        vec!["key", "list", "--json"],
        vec!["status", "--json"],
        vec!["bucket", "list"],
        vec!["drive", "list"],
        vec!["policy", "list", "--json"],
    ] {
        said.push(admin(&server, &line));
    }
    for path in ["/metrics", "/healthz", "/readyz", "/readyz?writes"] {
        let answer = server.admin_get(path).unwrap();
        said.push(String::from_utf8_lossy(&answer.body).into_owned());
    }
    assert!(server.stop());
    server.restart();
    let log = server.log();
    assert!(log.contains("/hostile/object"), "the log tells of requests");
    said.push(log);
    for secret in [
        PLANTED_SECRET,
        SECRET_KEY,
        PLANTED_BODY,
        PLANTED_QUERY,
        "Signature=",
    ] {
        for text in &said {
            let line = text.lines().find(|line| line.contains(secret));
            assert!(
                line.is_none(),
                "{secret} is said: {}",
                line.unwrap_or_default()
            );
        }
    }
}

/// Requests that fail or succeed with something secret in them; what was answered, but for the
/// object's own bytes.
fn requests(client: &Client) -> Vec<String> {
    let liar = client.signing(|signer| signer.secret_key = format!("{PLANTED_SECRET}x"));
    let get = Call::object("GET", BUCKET, "object");
    let put = Call::object("PUT", BUCKET, "other").body(PLANTED_BODY.as_bytes());
    let minute = Duration::from_secs(60);
    let chunked = Payload::SignedChunks {
        chunk_len: 8192,
        trailer: None,
    };
    let wires = [
        client.presigned(&Call::new("GET", &format!("/{BUCKET}")), minute),
        liar.presigned(&get, minute),
        liar.signed(&put),
        client.signed(&put.clone().payload(chunked)),
        client.signed(
            &put.clone()
                .header("content-md5", "AAAAAAAAAAAAAAAAAAAAAA=="),
        ),
        client.signed(
            &get.clone()
                .query("x-secret", PLANTED_QUERY)
                .query("partNumber", "z"),
        ),
        client.signed(
            &Call::new("PUT", &format!("/{BUCKET}"))
                .flag("tagging")
                .body(format!("<Tagging>{PLANTED_BODY}").as_bytes()),
        ),
        client.signed(
            &Call::new("POST", &format!("/{BUCKET}"))
                .flag("delete")
                .body(format!("<Delete>{PLANTED_BODY}").as_bytes()),
        ),
    ];
    wires
        .iter()
        .filter_map(|wire| {
            let method = String::from_utf8_lossy(wire).split(' ').next()?.to_owned();
            let answer = http::exchange(client.address, &method, wire).ok()?;
            Some(answer.shown())
        })
        .collect()
}

/// What `holdfast admin` says, to people and to programs.
fn admin(server: &Server, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    command
        .arg("admin")
        .args(["--endpoint", &format!("http://{}", server.admin)])
        .args(arguments)
        .env("HOLDFAST_ACCESS_KEY", ACCESS_KEY)
        .env("HOLDFAST_SECRET_KEY", SECRET_KEY);
    if arguments.contains(&"--access-key") {
        let file = server.data().join("planted");
        std::fs::write(&file, PLANTED_SECRET).unwrap();
        command.arg("--secret-key-file").arg(&file);
        let made = command.output().unwrap();
        std::fs::remove_file(&file).unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        // Making a key is the one moment at which its secret is shown.
        return String::from_utf8_lossy(&made.stderr).into_owned();
    }
    let done = command.output().unwrap();
    assert!(
        done.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned()
}
