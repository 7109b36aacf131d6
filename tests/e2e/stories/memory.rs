//! Bounded memory: many large uploads at once, fast and slow, stay under the bound that
//! `docs/operations.md` states.

use std::io::{BufReader, Write};
use std::thread;
use std::time::Duration;

use crate::support::client::{Call, Client, Payload};
use crate::support::digest::md5_hex;
use crate::support::http::{connect, read_response};
use crate::support::random::Random;
use crate::support::server::Server;

/// What the server may hold at most, whatever its clients do.
const BOUND_KIB: u64 = 512 << 10;
const UPLOADS: u64 = 64;
const UPLOAD_LEN: usize = 16 << 20;

#[test]
fn many_large_uploads_stay_under_the_stated_memory() {
    let server = Server::start("memory");
    let client = server.client();
    client.create_bucket("big");
    let at_rest = server.peak_memory_kib();
    let body = Random::new(1).bytes(UPLOAD_LEN);
    let etag = md5_hex(&body);
    thread::scope(|scope| {
        for number in 0..UPLOADS {
            let (client, body, etag) = (&client, &body, &etag);
            scope.spawn(move || {
                assert_eq!(&upload(client, number, body), etag, "upload {number}");
            });
        }
    });
    let peak = server.peak_memory_kib();
    println!("{at_rest} KiB at rest, {peak} KiB with {UPLOADS} uploads of {UPLOAD_LEN} bytes");
    assert!(
        peak <= BOUND_KIB,
        "{peak} KiB is above the bound of {BOUND_KIB} KiB"
    );
    // The same while reading, all at once.
    thread::scope(|scope| {
        for number in 0..UPLOADS {
            let (client, body) = (&client, &body);
            scope.spawn(move || {
                let answer = client.get("big", &format!("object-{number}"));
                assert!(answer.body == *body, "object {number} reads back");
            });
        }
    });
    let peak = server.peak_memory_kib();
    println!("{peak} KiB after {UPLOADS} downloads");
    assert!(
        peak <= BOUND_KIB,
        "{peak} KiB is above the bound of {BOUND_KIB} KiB"
    );
}

/// Sends one object; every fourth client is slow and holds its memory longest.
fn upload(client: &Client, number: u64, body: &[u8]) -> String {
    let mut call = Call::object("PUT", "big", &format!("object-{number}"));
    // Signed in chunks of 1 MiB for some: such a chunk may be taken in whole only if it is bounded.
    call.payload = if number.is_multiple_of(2) {
        Payload::Unsigned
    } else {
        Payload::SignedChunks {
            chunk_len: 1 << 20,
            trailer: None,
        }
    };
    let request = client.signed(&call.body(body));
    let mut stream = connect(client.address).expect("the server listens");
    let is_slow = number.is_multiple_of(4);
    for piece in request.chunks(256 << 10) {
        stream.write_all(piece).expect("the server takes the body");
        if is_slow {
            thread::sleep(Duration::from_millis(60));
        }
    }
    let answer = read_response(&mut BufReader::new(&stream), "PUT").expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.shown());
    answer.etag()
}
