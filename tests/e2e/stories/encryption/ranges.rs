//! Ranges of encrypted objects, around every boundary of chunks, parts and blocks.

use super::Sse;
use crate::support::client::Call;
use crate::support::random::Random;
use crate::support::server::Server;
use crate::support::xml::escape;

const BUCKET: &str = "ranges";
const CHUNK: usize = 64 << 10;

#[test]
fn ranges_of_encrypted_objects_are_right() {
    let server = Server::start("sse-ranges");
    let client = server.client();
    client.create_bucket(BUCKET);
    let mut random = Random::new(5);
    for (key, sse, len) in [
        ("server", Sse::Server, 5 * CHUNK + 1234),
        ("own", Sse::Customer(1), 3 * CHUNK),
        ("tiny", Sse::Server, 17),
    ] {
        let body = random.bytes(len);
        let put = Call::object("PUT", BUCKET, key).body(&body);
        client.expect(200, &sse.on_write(put));
        let places: Vec<usize> = (0..=len / CHUNK)
            .flat_map(|chunk| [chunk * CHUNK, chunk * CHUNK + 1, (chunk + 1) * CHUNK - 1])
            .filter(|place| *place < len)
            .chain([len - 1])
            .collect();
        for &first in &places {
            for &last in places.iter().filter(|last| **last >= first) {
                let range = format!("bytes={first}-{last}");
                let call = Call::object("GET", BUCKET, key).header("range", &range);
                let answer = client.expect(206, &sse.on_read(call));
                assert!(answer.body == body[first..=last], "{range} of {key}");
                let whole = format!("bytes {first}-{last}/{len}");
                assert_eq!(answer.header("content-range"), Some(whole.as_str()));
            }
        }
    }
    parts(&server, &mut random);
}

/// An object of two parts: ranges over the seam, and reads by part.
fn parts(server: &Server, random: &mut Random) {
    let client = server.client();
    let (first, second) = (random.bytes((5 << 20) + 9), random.bytes(CHUNK + 1));
    let begin = Call::object("POST", BUCKET, "parts").flag("uploads");
    let begun = client.expect(200, &Sse::Server.on_write(begin));
    let upload = crate::support::xml::Element::parse(&begun.body)
        .text_of("UploadId")
        .to_owned();
    let mut list = String::new();
    for (number, bytes) in [("1", &first), ("2", &second)] {
        let call = Call::object("PUT", BUCKET, "parts")
            .query("partNumber", number)
            .query("uploadId", &upload)
            .body(bytes);
        let etag = escape(&client.expect(200, &call).etag());
        list += &format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
    }
    let list = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>");
    let complete = Call::object("POST", BUCKET, "parts")
        .query("uploadId", &upload)
        .body(list.as_bytes());
    let made = client.expect(200, &complete);
    assert_eq!(made.header("x-amz-server-side-encryption"), Some("AES256"));
    let whole = [&first[..], &second[..]].concat();
    let seam = first.len();
    for (from, to) in [(seam - 1, seam), (seam - CHUNK, seam + CHUNK), (seam, seam)] {
        let range = format!("bytes={from}-{to}");
        let call = Call::object("GET", BUCKET, "parts").header("range", &range);
        let answer = client.expect(206, &call);
        assert!(answer.body == whole[from..=to], "{range}");
    }
    let call = Call::object("GET", BUCKET, "parts").query("partNumber", "2");
    assert!(client.expect(206, &call).body == second);
}
