//! Every route there is, in every way of sending a body and of not being who one says one is: 403,
//! and nothing done. The routes come from the gateway's own table, so a new one is asked too; one
//! that answers strangers must be listed here, and say why.

use std::time::Duration;

use holdfast_gateway::s3::route::{Entry, Level, OPERATIONS, Verb};

use super::{BUCKET, Case, SENTINEL};
use crate::support::client::{Call, Client, Payload};
use crate::support::digest::{checksum, checksum_header};

/// Routes that have a check of their own in place of a signed head. A form carries its signature in
/// its fields; a preflight has none, and tells what the bucket's rules tell everyone.
const OTHERWISE_CHECKED: [&str; 2] = ["PostObject", "OptionsObject"];

pub(super) fn cases(client: &Client) -> Vec<Case> {
    let mut cases = Vec::new();
    for entry in OPERATIONS.iter().filter(|entry| entry.built.is_some()) {
        if OTHERWISE_CHECKED.contains(&entry.name) {
            continue;
        }
        for payload in payloads(entry.verb) {
            let call = call(entry).payload(payload.clone());
            cases.extend(refused(client, entry, &call));
        }
    }
    assert!(cases.len() > 300, "{} cases", cases.len());
    cases
}

fn refused(client: &Client, entry: &Entry, call: &Call) -> Vec<Case> {
    let stranger = client.signing(|signer| signer.access_key = "NOBODYSKEY".to_owned());
    let liar = client.signing(|signer| signer.secret_key = "a guess".to_owned());
    let code = |code: &'static str| if entry.verb == Verb::Head { "" } else { code };
    let name = |who: &str| {
        let payload = format!("{:?}", call.payload);
        let payload = payload
            .split(['{', '('])
            .next()
            .unwrap_or_default()
            .to_owned();
        format!("{} {payload} by {who}", entry.name)
    };
    let anonymous = call.wire(client.address, &call.target(), &call.headers, &call.body);
    let mut cases = vec![
        Case::raw(
            name("nobody"),
            &call.method,
            anonymous,
            403,
            code("AccessDenied"),
        ),
        Case::signed(
            &stranger,
            name("a stranger"),
            call,
            403,
            code("InvalidAccessKeyId"),
        ),
        Case::signed(
            &liar,
            name("a liar"),
            call,
            403,
            code("SignatureDoesNotMatch"),
        ),
    ];
    if call.payload == Payload::Unsigned {
        let presigned = liar.presigned(call, Duration::from_secs(60));
        let code = code("SignatureDoesNotMatch");
        let name = name("a liar, presigned");
        cases.push(Case::raw(name, &call.method, presigned, 403, code));
    }
    cases
}

/// The ways of sending a body; without one there are but two.
fn payloads(verb: Verb) -> Vec<Payload> {
    let mut payloads = vec![Payload::Signed, Payload::Unsigned];
    if matches!(verb, Verb::Put | Verb::Post) {
        let trailer = (checksum_header("CRC32"), checksum("CRC32", BODY));
        payloads.extend([
            Payload::SignedChunks {
                chunk_len: 8,
                trailer: None,
            },
            Payload::SignedChunks {
                chunk_len: 8,
                trailer: Some(trailer.clone()),
            },
            Payload::UnsignedChunks {
                chunk_len: 8,
                trailer,
            },
        ]);
    }
    payloads
}

/// A request of this kind, which would do something if it were signed.
fn call(entry: &Entry) -> Call {
    let method = match entry.verb {
        Verb::Get => "GET",
        Verb::Head => "HEAD",
        Verb::Put => "PUT",
        Verb::Post => "POST",
        Verb::Delete => "DELETE",
    };
    let path = match entry.level {
        Level::Service => "/".to_owned(),
        Level::Bucket => format!("/{BUCKET}"),
        Level::Object => format!("/{BUCKET}/{SENTINEL}"),
    };
    let mut call = Call::new(method, &path);
    for word in entry.words {
        call = match *word {
            "list-type" | "select-type" => call.query(word, "2"),
            "partNumber" => call.query(word, "1"),
            "uploadId" | "id" => call.query(word, "x"),
            word => call.flag(word),
        };
    }
    if entry.copies {
        call = call.header("x-amz-copy-source", &format!("/{BUCKET}/{SENTINEL}"));
    }
    match entry.verb {
        Verb::Put | Verb::Post => call.body(BODY),
        _ => call,
    }
}

const BODY: &[u8] = b"<Anything>it would be stored</Anything>";
