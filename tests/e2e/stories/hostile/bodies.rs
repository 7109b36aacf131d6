//! Bodies that are not what was announced: wrong digests, wrong lengths, cut and forged chunks.

use super::{BUCKET, Case};
use crate::support::client::{Call, Client, Payload};
use crate::support::digest::{ALGORITHMS, checksum, checksum_header, md5_base64};
use crate::support::random::Random;
use crate::support::xml::Element;

pub(super) fn cases(client: &Client) -> Vec<Case> {
    let mut cases = Vec::new();
    // The same on an object of each size class and on a part.
    for len in [8, 30_000, 1_200_000] {
        let body = Random::new(len).bytes(len as usize);
        let put = Call::object("PUT", BUCKET, "unwanted").body(&body);
        for algorithm in ALGORITHMS {
            cases.extend(wrong_checksums(client, &put, algorithm));
        }
        cases.extend(other_digests(client, &put));
        cases.extend(chunk_cases(client, &put));
    }
    for algorithm in ALGORITHMS {
        let begin = Call::object("POST", BUCKET, "upload")
            .flag("uploads")
            .header("x-amz-checksum-algorithm", algorithm);
        let begun = Element::parse(&client.expect(200, &begin).body);
        let part = Call::object("PUT", BUCKET, "upload")
            .query("uploadId", begun.text_of("UploadId"))
            .query("partNumber", "1")
            .body(&Random::new(2).bytes(100_000));
        cases.extend(wrong_checksums(client, &part, algorithm));
        // A part of such an upload must carry its checksum, rightly or wrongly.
        let header = checksum_header(algorithm);
        let sound = checksum(algorithm, &part.body);
        let part = part.header(&header, &sound);
        cases.extend(other_digests(client, &part));
    }
    let begin = Call::object("POST", BUCKET, "upload").flag("uploads");
    let begun = Element::parse(&client.expect(200, &begin).body);
    let part = Call::object("PUT", BUCKET, "upload")
        .query("uploadId", begun.text_of("UploadId"))
        .query("partNumber", "1")
        .body(&Random::new(3).bytes(100_000));
    cases.extend(wrong_checksums(client, &part, "CRC32"));
    cases.extend(chunk_cases(client, &part));
    cases.extend(length_cases(client));
    cases
}

fn wrong_checksums(client: &Client, call: &Call, algorithm: &str) -> Vec<Case> {
    let len = call.body.len();
    let mut cases = Vec::new();
    let header = checksum_header(algorithm);
    let wrong = checksum(algorithm, b"something else");
    let with = call.clone().header(&header, &wrong);
    let name = format!("wrong {algorithm} of {len} bytes");
    cases.push(Case::signed(client, name, &with, 400, "BadDigest"));
    for payload in [
        Payload::SignedChunks {
            chunk_len: 65_536,
            trailer: Some((header.clone(), wrong.clone())),
        },
        Payload::UnsignedChunks {
            chunk_len: 65_536,
            trailer: (header.clone(), wrong.clone()),
        },
    ] {
        let name = format!("wrong trailing {algorithm} of {len} bytes, {payload:?}");
        let with = call.clone().payload(payload);
        cases.push(Case::signed(client, name, &with, 400, "BadDigest"));
    }
    let with = call.clone().header(&header, "bm90aGluZw==");
    let name = format!("malformed {algorithm}");
    cases.push(Case::signed(client, name, &with, 400, "InvalidRequest"));
    cases
}

fn other_digests(client: &Client, call: &Call) -> Vec<Case> {
    let len = call.body.len();
    let mut cases = Vec::new();
    let with = call
        .clone()
        .header("content-md5", &md5_base64(b"something else"));
    let name = format!("wrong Content-MD5 of {len} bytes");
    cases.push(Case::signed(client, name, &with, 400, "BadDigest"));
    for malformed in ["not base64!", "c2hvcnQ="] {
        let with = call.clone().header("content-md5", malformed);
        let name = format!("Content-MD5: {malformed}");
        cases.push(Case::signed(client, name, &with, 400, "InvalidDigest"));
    }
    // The signed hash is of other bytes.
    let mut request = client.signed(call);
    let last = request.len() - 1;
    request[last] ^= 1;
    let name = format!("other bytes than signed, {len}");
    cases.push(Case::raw(
        name,
        "PUT",
        request,
        400,
        "XAmzContentSHA256Mismatch",
    ));
    cases
}

fn chunk_cases(client: &Client, call: &Call) -> Vec<Case> {
    let len = call.body.len();
    let header = checksum_header("CRC32C");
    let trailer = (header, checksum("CRC32C", &call.body));
    let signed = Payload::SignedChunks {
        chunk_len: 16_384,
        trailer: None,
    };
    let with_trailer = Payload::SignedChunks {
        chunk_len: 16_384,
        trailer: Some(trailer.clone()),
    };
    let unsigned = Payload::UnsignedChunks {
        chunk_len: 16_384,
        trailer,
    };
    let of = |payload: &Payload| client.signed(&call.clone().payload(payload.clone()));
    let case = |name: &str, request, status, code| {
        Case::raw(format!("{name}, {len} bytes"), "PUT", request, status, code)
    };
    vec![
        case(
            "a flipped bit in a signed chunk",
            flipped(of(&signed), &call.body),
            403,
            "SignatureDoesNotMatch",
        ),
        case(
            "no last chunk",
            cut_at(of(&signed), "\r\n0;"),
            400,
            "IncompleteBody",
        ),
        case(
            "no last chunk, unsigned",
            cut_at(of(&unsigned), "\r\n0\r\n"),
            400,
            "IncompleteBody",
        ),
        case(
            "no trailer, signed",
            replaced_tail(of(&with_trailer), "x-amz-checksum-crc32c:", "\r\n"),
            400,
            "MalformedTrailerError",
        ),
        case(
            "no trailer, unsigned",
            replaced_tail(of(&unsigned), "x-amz-checksum-crc32c:", "\r\n"),
            400,
            "MalformedTrailerError",
        ),
        case(
            "no signature of the trailer",
            replaced_tail(of(&with_trailer), "x-amz-trailer-signature:", "\r\n"),
            400,
            "MalformedTrailerError",
        ),
        case(
            "a forged trailer",
            replaced_last(of(&with_trailer), "x-amz-trailer-signature:", '0', '1'),
            403,
            "SignatureDoesNotMatch",
        ),
    ]
}

fn length_cases(client: &Client) -> Vec<Case> {
    let put = || Call::object("PUT", BUCKET, "unwanted").body(b"0123456789");
    let unsigned_chunks = |decoded_len: &str, framed: &str| {
        let call = Call::object("PUT", BUCKET, "unwanted").payload(Payload::Forged {
            decoded_len: decoded_len.to_owned(),
            framed: framed.as_bytes().to_vec(),
        });
        client.signed(&call)
    };
    let ten = format!(
        "a\r\n0123456789\r\n0\r\nx-amz-checksum-crc32:{}\r\n\r\n",
        checksum("CRC32", b"0123456789")
    );
    let raw = |name: &str, request, status, code| Case::raw(name, "PUT", request, status, code);
    vec![
        raw(
            "decoded length too long",
            unsigned_chunks("11", &ten),
            400,
            "IncompleteBody",
        ),
        raw(
            "decoded length too short",
            unsigned_chunks("9", &ten),
            400,
            "IncompleteBody",
        ),
        raw(
            "decoded length is no number",
            unsigned_chunks("x", &ten),
            400,
            "InvalidArgument",
        ),
        raw(
            "a chunk length that is none",
            unsigned_chunks("10", "zz\r\n0123456789\r\n0\r\n\r\n"),
            400,
            "InvalidRequest",
        ),
        raw(
            "a chunk longer than all memory",
            unsigned_chunks("10", "ffffffffffffffff\r\n0123456789\r\n0\r\n\r\n"),
            400,
            "InvalidRequest",
        ),
        raw(
            "a chunk that does not end",
            unsigned_chunks("10", "a\r\n0123456789ab\r\n0\r\n\r\n"),
            400,
            "InvalidRequest",
        ),
        Case::signed(
            client,
            "5 GiB and 1 byte",
            &put()
                .payload(Payload::Unsigned)
                .header("content-length", "5368709121"),
            400,
            "EntityTooLarge",
        ),
        raw(
            "a negative length",
            unsigned_chunks("-1", &ten),
            400,
            "InvalidArgument",
        ),
        Case::raw(
            "no length",
            "PUT",
            without_header(client.signed(&put()), "content-length"),
            411,
            "MissingContentLength",
        ),
    ]
}

/// Flips a bit in the middle of the data of a framed request.
fn flipped(mut request: Vec<u8>, body: &[u8]) -> Vec<u8> {
    let needle = &body[..8.min(body.len())];
    let at = find(&request, needle).expect("the body is in the request");
    request[at] ^= 0x40;
    request
}

/// The request up to where `mark` begins last, with a length that fits.
fn cut_at(request: Vec<u8>, mark: &str) -> Vec<u8> {
    let at = find_last(&request, mark.as_bytes()).expect("the mark is in the request");
    // What ends the chunk before stays.
    with_length(&request[..at + 2])
}

fn replaced_tail(request: Vec<u8>, mark: &str, tail: &str) -> Vec<u8> {
    let at = find_last(&request, mark.as_bytes()).expect("the mark is in the request");
    with_length(&[&request[..at], tail.as_bytes()].concat())
}

/// Changes the character behind the last `mark`.
fn replaced_last(mut request: Vec<u8>, mark: &str, one: char, other: char) -> Vec<u8> {
    let at = find_last(&request, mark.as_bytes()).expect("the mark is in the request");
    let at = at + mark.len();
    let replacement = if request[at] == one as u8 { other } else { one };
    request[at] = replacement as u8;
    request
}

/// States the length that the body has now.
fn with_length(request: &[u8]) -> Vec<u8> {
    let end = find(request, b"\r\n\r\n").expect("a head ends") + 4;
    let length = request.len() - end;
    let head = String::from_utf8(without_header(request[..end].to_vec(), "content-length"));
    let head = head.expect("a head is text");
    let head = head.trim_end().to_owned() + &format!("\r\ncontent-length: {length}\r\n\r\n");
    [head.as_bytes(), &request[end..]].concat()
}

fn without_header(request: Vec<u8>, name: &str) -> Vec<u8> {
    let mark = format!("\r\n{name}: ");
    let start = find(&request, mark.as_bytes()).expect("the header is there");
    let end = start + 2 + find(&request[start + 2..], b"\r\n").expect("a header ends");
    [&request[..start], &request[end..]].concat()
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes
        .windows(needle.len())
        .position(|window| window == needle)
}

fn find_last(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes
        .windows(needle.len())
        .rposition(|window| window == needle)
}
