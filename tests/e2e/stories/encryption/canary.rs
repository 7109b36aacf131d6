//! The canary: content that would be known again anywhere, sent in every way there is, and then
//! looked for in every file of the server (fragments, staging, segments, database, journals, logs).
//!
//! Each search is shown to find: the same content unencrypted is there.

use std::fs;
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Sse, customer_key};
use crate::support::client::{Call, Client};
use crate::support::digest::{aws_time, md5_base64};
use crate::support::http;
use crate::support::server::{ACCESS_KEY, SECRET_KEY, Server};
use crate::support::xml::{Element, escape};

const BUCKET: &str = "mine";
const CANARY: &[u8] = b"<canary singing in the clear>";
const WAIT: Duration = Duration::from_secs(60);

fn song(len: usize) -> Vec<u8> {
    CANARY.iter().copied().cycle().take(len).collect()
}

#[test]
fn no_byte_of_what_is_encrypted_is_in_any_file() {
    let mut server = Server::prepare("sse-canary").with_environment(
        "HOLDFAST_LOG",
        "holdfast=trace,holdfast_gateway=trace,debug",
    );
    server.restart();
    let client = server.client();
    client.create_bucket(BUCKET);
    let mut kept: Vec<(String, Sse, Vec<u8>)> = Vec::new();
    for sse in [Sse::Server, Sse::Customer(7)] {
        for len in [0, 40, 5_000, 70_000, 1_500_000] {
            let key = format!("put/{sse:?}/{len}");
            let call = Call::object("PUT", BUCKET, &key).body(&song(len));
            let answer = client.expect(200, &sse.on_write(call));
            let (name, value) = sse.shown().unwrap();
            assert_eq!(answer.header(name), Some(value.as_str()));
            kept.push((key, sse, song(len)));
        }
        kept.push(multipart(&client, sse));
        kept.push(form(&client, sse));
        kept.push(copied(&client, &kept[2], sse));
    }
    by_default(&client, &mut kept);
    in_flight(&mut server);

    assert_unheard(&server, "while it serves");
    read_all(&client, &kept);
    server.kill();
    assert_unheard(&server, "after kill -9: the database's log is still there");
    server.restart();
    read_all(&client, &kept);
    assert!(server.stop());
    assert_unheard(&server, "after a stop");
    server.restart();

    // What is not encrypted is found, small (in a segment) and large (in a file of its own).
    for len in [40, 1_500_000] {
        client.put(BUCKET, "plain", &song(len));
        assert!(!hearing(&server.data(), &[CANARY]).is_empty(), "{len}");
        client.expect(204, &Call::object("DELETE", BUCKET, "plain"));
    }
}

/// Where any of these bytes are. Large ones, cut into blocks, would still be found: they repeat.
fn hearing(folder: &Path, wanted: &[&[u8]]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(hearing(&path, wanted));
        } else if let Ok(bytes) = fs::read(&path)
            && wanted.iter().any(|one| contains(&bytes, one))
        {
            found.push(path);
        }
    }
    found
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == wanted[0]) {
        if rest[at..].starts_with(wanted) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

/// Neither content nor a customer's key, in any spelling, is in a file of the server.
fn assert_unheard(server: &Server, when: &str) {
    let key = customer_key(7);
    let (base64, hex) = (STANDARD.encode(key), hex::encode(key));
    let secrets = [CANARY, &key, base64.as_bytes(), hex.as_bytes()];
    let found = hearing(&server.data(), &secrets);
    assert!(found.is_empty(), "{when}: {found:?}");
    let log = server.log();
    for secret in secrets {
        assert!(!contains(log.as_bytes(), secret), "{when}: in the log");
    }
}

fn read_all(client: &Client, kept: &[(String, Sse, Vec<u8>)]) {
    for (key, sse, body) in kept {
        let call = sse.on_read(Call::object("GET", BUCKET, key));
        let answer = client.expect(200, &call);
        assert!(answer.body == *body, "{key}");
        let (name, value) = sse.shown().unwrap();
        assert_eq!(answer.header(name), Some(value.as_str()), "{key}");
        if let Sse::Customer(_) = sse {
            let without = client.send(&Call::object("GET", BUCKET, key));
            assert_eq!((without.status, without.code()), (400, "InvalidRequest"));
            let wrong = Sse::Customer(8).on_read(Call::object("GET", BUCKET, key));
            let refused = client.send(&wrong);
            assert_eq!((refused.status, refused.code()), (403, "AccessDenied"));
            let wrong = Sse::Customer(8).on_read(Call::object("HEAD", BUCKET, key));
            assert_eq!(client.send(&wrong).status, 403);
        }
    }
}

fn multipart(client: &Client, sse: Sse) -> (String, Sse, Vec<u8>) {
    let key = format!("parts/{sse:?}");
    let begin = Call::object("POST", BUCKET, &key).flag("uploads");
    let begun = client.expect(200, &sse.on_write(begin));
    let upload = Element::parse(&begun.body).text_of("UploadId").to_owned();
    let bodies = [song(5 << 20), song(100_001)];
    let mut list = String::new();
    for (number, body) in bodies.iter().enumerate() {
        let number = (number + 1).to_string();
        let call = Call::object("PUT", BUCKET, &key)
            .query("partNumber", &number)
            .query("uploadId", &upload)
            .body(body);
        let etag = escape(&client.expect(200, &sse.on_read(call)).etag());
        list += &format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
    }
    let list = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>");
    let complete = Call::object("POST", BUCKET, &key)
        .query("uploadId", &upload)
        .body(list.as_bytes());
    client.expect(200, &complete);
    (key, sse, bodies.concat())
}

/// A browser's form.
fn form(client: &Client, sse: Sse) -> (String, Sse, Vec<u8>) {
    let key = format!("form/{sse:?}");
    let now = std::time::SystemTime::now();
    let time = aws_time(now);
    let scope = format!("{ACCESS_KEY}/{}/us-east-1/s3/aws4_request", &time[..8]);
    let mut fields = vec![
        ("bucket", BUCKET.to_owned()),
        ("key", key.clone()),
        ("x-amz-algorithm", "AWS4-HMAC-SHA256".to_owned()),
        ("x-amz-credential", scope),
        ("x-amz-date", time),
    ];
    match sse {
        Sse::Customer(byte) => {
            let secret = customer_key(byte);
            let prefix = "x-amz-server-side-encryption-customer-";
            let names = ["algorithm", "key", "key-md5"].map(|name| format!("{prefix}{name}"));
            let names = names.map(|name| &*Box::leak(name.into_boxed_str()));
            let values = [
                "AES256".to_owned(),
                STANDARD.encode(secret),
                md5_base64(&secret),
            ];
            fields.extend(names.into_iter().zip(values));
        }
        _ => fields.push(("x-amz-server-side-encryption", "AES256".to_owned())),
    }
    let conditions: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{{\"{name}\":\"{value}\"}}"))
        .collect();
    let policy = format!(
        "{{\"expiration\":\"2099-01-01T00:00:00Z\",\"conditions\":[{}]}}",
        conditions.join(",")
    );
    let policy = STANDARD.encode(policy);
    let signing = generate_signing_key(SECRET_KEY, now, "us-east-1", "s3");
    let signature = calculate_signature(signing, policy.as_bytes());
    fields.push(("policy", policy));
    fields.push(("x-amz-signature", signature));
    let file = song(90_000);
    let mut body = Vec::new();
    for (name, value) in fields.iter().filter(|(name, _)| *name != "bucket") {
        let part =
            format!("--edge\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend_from_slice(part.as_bytes());
    }
    let head = "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n";
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(&file);
    body.extend_from_slice(b"\r\n--edge--\r\n");
    let request = format!(
        "POST /{BUCKET} HTTP/1.1\r\nhost: {}\r\ncontent-type: multipart/form-data; boundary=edge\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        client.address,
        body.len()
    );
    let request = [request.as_bytes(), &body].concat();
    let answer = http::exchange(client.address, "POST", &request).unwrap();
    assert_eq!(answer.status, 204, "{}", answer.shown());
    let (name, value) = sse.shown().unwrap();
    assert_eq!(answer.header(name), Some(value.as_str()));
    (key, sse, file)
}

/// A copy that has to be encrypted in another way than its source.
fn copied(client: &Client, source: &(String, Sse, Vec<u8>), sse: Sse) -> (String, Sse, Vec<u8>) {
    let (from, was, body) = source;
    let key = format!("copy/{sse:?}");
    let to = match sse {
        Sse::Server => Sse::Customer(7),
        _ => Sse::Server,
    };
    let from = format!("/{BUCKET}/{from}");
    let call = Call::object("PUT", BUCKET, &key).header("x-amz-copy-source", &from);
    client.expect(200, &to.on_write(was.on_source(call)));
    (key, to, body.clone())
}

fn by_default(client: &Client, kept: &mut Vec<(String, Sse, Vec<u8>)>) {
    let document = b"<ServerSideEncryptionConfiguration><Rule>\
        <ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm>\
        </ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>";
    let path = format!("/{BUCKET}");
    let set = Call::new("PUT", &path).flag("encryption").body(document);
    client.expect(200, &set);
    let body = song(80_000);
    client.put(BUCKET, "by-default", &body);
    kept.push(("by-default".to_owned(), Sse::Server, body));
    client.expect(204, &Call::new("DELETE", &path).flag("encryption"));
}

/// Half of a large body is there: what lies staged is looked at.
fn in_flight(server: &mut Server) {
    for sse in [Sse::Server, Sse::None] {
        let client = server.client();
        let call = sse.on_write(Call::object("PUT", BUCKET, "half").body(&song(24 << 20)));
        let request = client.signed(&call);
        let before = size(&server.data().join("drives"));
        let mut stream = http::connect(client.address).unwrap();
        stream.write_all(&request[..20 << 20]).unwrap();
        // 20 MiB and parity; less what waits in queues.
        server.wait_until("much of it is staged", WAIT, |server| {
            size(&server.data().join("drives")) > before + (8 << 20)
        });
        let heard = hearing(&server.data(), &[CANARY]);
        assert_eq!(heard.is_empty(), sse == Sse::Server, "{sse:?}: {heard:?}");
        stream.write_all(&request[20 << 20..]).unwrap();
        let answer = http::read_response(&mut BufReader::new(stream), "PUT").unwrap();
        assert_eq!(answer.status, 200, "{}", answer.shown());
        client.expect(204, &Call::object("DELETE", BUCKET, "half"));
    }
    // The control's bytes stay for their grace; the others' searches begin without them.
    scrub(server);
}

fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => size(&entry.path()),
            Ok(data) => data.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Removes the files of the control: their blob is dead, and is the only one that sings.
fn scrub(server: &Server) {
    for file in hearing(&server.data().join("drives"), &[CANARY]) {
        fs::remove_file(file).unwrap();
    }
}
