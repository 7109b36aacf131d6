//! Production that proves itself: writes are read again in their time, and parity is compared with
//! data, without a reader and without a fault.

use std::fs;
use std::time::Duration;

use super::model::faults::{data_files, write_in_place};
use crate::support::random::Random;
use crate::support::server::Server;

const BUCKET: &str = "samples";
const DEADLINE: Duration = Duration::from_secs(90);

fn start(name: &str, looks: &str) -> Server {
    let mut server = Server::prepare(name).with_config(&format!(
        "[worker]\nsample_share = 1.0\nsample_after_seconds = {looks}\n\
         parity_share = 1.0\nparity_period_seconds = 1\n"
    ));
    server.restart();
    server
}

#[test]
fn writes_are_read_again_and_parity_is_compared() {
    let mut server = start("samples", "[1, 2, 3]");
    let client = server.client();
    client.create_bucket(BUCKET);
    let mut random = Random::new(3);
    for len in [1, 5000, 300_000, 3_000_000] {
        client.put(BUCKET, &format!("object/{len}"), &random.bytes(len));
    }
    server.wait_until("each was read again three times", DEADLINE, |server| {
        server.metric("holdfast_sample_checked") >= 12
            && server.metric("holdfast_sample_pending") == 0
    });
    assert_eq!(server.metric("holdfast_sample_failed"), 0);
    assert_eq!(server.metric("holdfast_sample_hashed"), 12);
    let cycles = server.metric("holdfast_parity_cycles");
    server.wait_until("the parity of all was compared", DEADLINE, |server| {
        server.metric("holdfast_parity_cycles") >= cycles + 2
    });
    assert!(server.metric("holdfast_parity_checked") >= 8);
    assert_eq!(server.metric("holdfast_parity_wrong"), 0);
    server.end_whole(DEADLINE);
}

#[test]
fn a_write_that_rots_within_seconds_is_told_loudly_and_repaired() {
    let mut server = start("samples-rot", "[8, 9, 10]");
    let client = server.client();
    client.create_bucket(BUCKET);
    let body = Random::new(4).bytes(3_000_000);
    client.put(BUCKET, "object", &body);
    let mut files = data_files(&server.drive(2));
    files.retain(|path| path.to_string_lossy().contains("/fragments/"));
    let bytes = fs::read(&files[0]).unwrap();
    let last = bytes.len() - 1;
    write_in_place(&files[0], &[bytes[last] ^ 4], last as u64);
    server.wait_until("the rot is found", DEADLINE, |server| {
        server.metric("holdfast_sample_failed") >= 1
    });
    assert!(
        server.log().contains("is not as it was written"),
        "it is said loudly"
    );
    assert!(client.get(BUCKET, "object").body == body);
    server.end_whole(DEADLINE);
}
