//! Bad input on every operation, and the flaws that made us write our own S3 edge: each request is
//! answered with S3's own status and code, and does nothing. At the end a sentinel object reads
//! back, the bucket holds nothing else, and the server is alive.

mod bodies;
mod limits;
mod requests;
mod routes;
mod secrets;
mod signatures;

use crate::support::client::{Call, Client};
use crate::support::digest::md5_hex;
use crate::support::http::{self, Response};
use crate::support::random::Random;
use crate::support::server::Server;
use crate::support::xml::Element;

const BUCKET: &str = "hostile";
const SENTINEL: &str = "sentinel";

/// A request as bytes, and how it must be answered.
struct Case {
    name: String,
    method: String,
    request: Vec<u8>,
    /// Status and code; several where S3's own answers differ. A code is empty where an answer has
    /// no body.
    answers: Vec<(u16, &'static str)>,
}

impl Case {
    /// `call`, signed rightly.
    fn signed(
        client: &Client,
        name: impl Into<String>,
        call: &Call,
        status: u16,
        code: &'static str,
    ) -> Self {
        Self::raw(name, &call.method, client.signed(call), status, code)
    }

    /// These very bytes.
    fn raw(
        name: impl Into<String>,
        method: &str,
        request: Vec<u8>,
        status: u16,
        code: &'static str,
    ) -> Self {
        Self {
            name: name.into(),
            method: method.to_owned(),
            request,
            answers: vec![(status, code)],
        }
    }

    /// `call`, signed rightly, where any of `answers` will do.
    fn either(
        client: &Client,
        name: impl Into<String>,
        call: &Call,
        answers: &[(u16, &'static str)],
    ) -> Self {
        Self {
            name: name.into(),
            method: call.method.clone(),
            request: client.signed(call),
            answers: answers.to_vec(),
        }
    }
}

#[test]
fn wrong_signatures_are_refused_as_s3_refuses_them() {
    refuse_all("hostile-signatures", signatures::cases);
}

#[test]
fn wrong_bodies_are_refused_as_s3_refuses_them() {
    refuse_all("hostile-bodies", bodies::cases);
}

#[test]
fn wrong_requests_are_refused_as_s3_refuses_them() {
    refuse_all("hostile-requests", requests::cases);
}

#[test]
fn no_route_answers_who_is_not_authenticated() {
    refuse_all("hostile-routes", routes::cases);
}

/// Sends all cases, says of all that were answered otherwise, and checks that nothing happened.
fn refuse_all(name: &str, cases: impl FnOnce(&Client) -> Vec<Case>) {
    let server = Server::start(name);
    let client = server.client();
    client.create_bucket(BUCKET);
    let sentinel = Random::new(1).bytes(700_000);
    client.put(BUCKET, SENTINEL, &sentinel);
    let cases = cases(&client);
    let count = cases.len();
    let mut wrong = Vec::new();
    for case in cases {
        match http::exchange(client.address, &case.method, &case.request) {
            Ok(answer) => wrong.extend(mistake(&case, &answer)),
            Err(error) => wrong.push(format!("{}: no answer: {error}", case.name)),
        }
        assert_unharmed(&client, &sentinel, &case.name);
    }
    assert!(
        wrong.is_empty(),
        "{} of {count}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    println!("{count} hostile requests, each refused as S3 refuses it");
}

/// What is wrong with the answer, if anything.
fn mistake(case: &Case, answer: &Response) -> Option<String> {
    let Case { name, answers, .. } = case;
    let shown = || answer.shown();
    if !answers.contains(&(answer.status, answer.code())) {
        return Some(format!("{name}: not {answers:?} but {}", shown()));
    }
    if answer.header("x-amz-request-id").is_none() {
        return Some(format!("{name}: no request id: {}", shown()));
    }
    if answer.body.is_empty() {
        return None;
    }
    let error = Element::parse(&answer.body);
    let complete = ["Code", "Message", "RequestId", "HostId"]
        .iter()
        .all(|element| error.get(element).is_some_and(|text| !text.is_empty()));
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    if error.name != "Error" || !complete || text.contains("drives/") || text.contains(".rs") {
        return Some(format!("{name}: not as S3 writes errors: {}", shown()));
    }
    None
}

fn assert_unharmed(client: &Client, sentinel: &[u8], after: &str) {
    let answer = client.get(BUCKET, SENTINEL);
    assert_eq!(answer.status, 200, "after {after}: {}", answer.shown());
    assert_eq!(answer.etag(), md5_hex(sentinel), "after {after}");
    assert!(answer.body == sentinel, "after {after}");
    let list = Call::new("GET", &format!("/{BUCKET}")).query("list-type", "2");
    let page = Element::parse(&client.expect(200, &list).body);
    let keys: Vec<&str> = page.all("Contents").map(|one| one.text_of("Key")).collect();
    assert_eq!(keys, [SENTINEL], "after {after}");
}
