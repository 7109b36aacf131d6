//! Browser uploads: the form's frame however the network cuts it, its policy, and fields that the
//! policy's signer did not foresee.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::{FutureExt, stream};
use holdfast_gateway::s3::name::BucketName;
use holdfast_gateway::s3::post::{FilePart, Form, FormReader, Policy};
use holdfast_gateway::s3::time::Timestamp;
use holdfast_gateway::server::BodyError;
use http::Request;
use http_body::Frame;
use http_body_util::StreamBody;

use super::fuzz;

const BOUNDARY: &str = "XbX";

const FRAME_WORDS: [&str; 16] = [
    "\r\n--XbX",
    "\r\n--XbX--",
    "\r\n--XbX\r\n",
    "--XbX--\r\n",
    "\r\n--Xb",
    "\r\n\r\n",
    "Content-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n",
    "Content-Disposition: form-data; name=\"key\"\r\n\r\n",
    "; filename=\"..\\\\..\\\\x\"",
    "; filename*=utf-8''x",
    "; name=\"a\"; name=\"b\"",
    "\\\"",
    "\"",
    "Content-Type: text/html\r\n",
    "\r",
    "--",
];

/// Everything that was read of a form, or that it is none.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    fields: Vec<(String, String)>,
    filename: String,
    file: Vec<u8>,
}

/// Reads `body` as it arrives in pieces of `piece_len` bytes.
fn read(body: &[u8], piece_len: usize) -> Option<Read> {
    let (head, ()) = Request::post("/bucket")
        .header(
            "content-type",
            format!("multipart/form-data; boundary={BOUNDARY}"),
        )
        .header("content-length", body.len())
        .body(())
        .unwrap()
        .into_parts();
    let pieces: Vec<Result<Frame<Bytes>, BodyError>> = body
        .chunks(piece_len)
        .map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece))))
        .collect();
    let mut reader = FormReader::new(&head, StreamBody::new(stream::iter(pieces))).unwrap();
    let (fields, part) = reader.fields().now_or_never().expect("all is there").ok()?;
    let at_most = reader.file_len_at_most();
    let mut file = Vec::new();
    while let Some(piece) = reader
        .file_piece()
        .now_or_never()
        .expect("all is there")
        .ok()?
    {
        assert!(!piece.is_empty(), "a piece without bytes");
        file.extend(piece);
    }
    assert!(
        at_most.is_some_and(|most| file.len() as u64 <= most),
        "a file of {} bytes where at most {at_most:?} were foreseen",
        file.len()
    );
    Some(Read {
        fields,
        filename: part.filename,
        file,
    })
}

#[test]
fn forms() {
    let part = |name: &str, value: &str| {
        format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        )
    };
    let file = |name: &str, bytes: &str| {
        format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
             Content-Type: text/plain\r\n\r\n{bytes}\r\n"
        )
    };
    let end = format!("--{BOUNDARY}--\r\n");
    let seeds: Vec<Vec<u8>> = [
        part("key", "a") + &file("b.txt", "the bytes") + &end,
        part("key", "a/${filename}")
            + &part("Content-Type", "text/plain")
            + &file("c:\\\\d\\\\e.txt", "one\r\n--Xb\r\ntwo")
            + &part("submit", "Upload")
            + &end,
        part("key", "k") + &file("", "") + &end,
    ]
    .map(String::into_bytes)
    .into();
    fuzz("forms", &seeds, &FRAME_WORDS, |input| {
        let piece_len = 1 + input.len() % 31;
        let found = read(input, piece_len);
        assert_eq!(
            found,
            read(input, input.len().max(1)),
            "what a form says depends on how the network cuts it"
        );
        if let Some(found) = &found {
            assert!(found.fields.len() <= 100);
            assert!(
                !found.filename.contains(['/', '\\']),
                "a folder in {found:?}"
            );
            let holds = |bytes: &[u8]| {
                bytes.is_empty() || input.windows(bytes.len()).any(|window| window == bytes)
            };
            assert!(holds(&found.file), "the file holds what was not sent");
        }
        found.is_some()
    });
}

const POLICY: &str = r#"{"expiration": "2026-11-20T12:00:00.000Z", "conditions": [
 {"bucket": "bucket"}, ["starts-with", "$key", "user/eric/"], {"acl": "private"},
 ["starts-with", "$Content-Type", "image/"], ["eq", "$x-amz-meta-tag", "a"],
 ["content-length-range", 1, 1048576]]}"#;

const POLICY_WORDS: [&str; 20] = [
    "{\"acl\": \"private\"},",
    "[\"starts-with\", \"$key\", \"\"],",
    "[\"eq\", \"$\", \"\"],",
    "[\"content-length-range\", 0, 18446744073709551615],",
    "[\"content-length-range\", -1, 1e400],",
    "\"expiration\":",
    "\"conditions\":",
    "9999-12-31T23:59:59.999Z",
    "1969-12-31T23:59:59Z",
    "\\u0000",
    "\\ud800",
    "[[[[[[[[[[[[[[[[",
    "{\"a\":{\"a\":",
    "\"$KEY\"",
    "\"$ignore\"",
    "[]",
    "{}",
    "true",
    "1.5",
    "\"",
];

/// When the form is looked at.
fn now() -> Timestamp {
    Timestamp::from_iso8601("2026-11-20T08:00:00.000Z").unwrap()
}

fn bucket() -> BucketName {
    BucketName::parse("bucket").unwrap()
}

#[test]
fn policies() {
    let seeds = [
        POLICY.as_bytes().to_vec(),
        br#"{"conditions":[],"expiration":"2027-01-01T00:00:00Z"}"#.to_vec(),
    ];
    let fields = [
        ("bucket".to_owned(), "bucket".to_owned()),
        ("key".to_owned(), "user/eric/a.png".to_owned()),
    ];
    fuzz("policies", &seeds, &POLICY_WORDS, |input| {
        let Ok(policy) = Policy::parse(input) else {
            return false;
        };
        if policy.check(now(), &fields).is_ok() {
            let text = String::from_utf8_lossy(input);
            assert!(
                text.to_lowercase().contains("key") || text.contains('\\'),
                "a policy that says nothing of the key allows one"
            );
        }
        true
    });
}

const FIELD_WORDS: [&str; 22] = [
    "key=",
    "Key=other/eric/",
    "KEY=user/eric/x\n",
    "bucket=other\n",
    "acl=public-read\n",
    "Acl=private\n",
    "content-type=image/svg+xml\n",
    "Content-Type=text/html\n",
    "x-amz-meta-tag=b\n",
    "x-amz-meta-other=b\n",
    "x-amz-storage-class=STANDARD\n",
    "x-amz-copy-source=/a/b\n",
    "x-ignore-a=b\n",
    "success_action_redirect=http://a.test/\n",
    "success_action_status=201\n",
    "tagging=<Tagging/>\n",
    "policy=\n",
    "file=\n",
    "${filename}",
    "../",
    "\r\nset-cookie: a=b",
    "user/eric/",
];

/// Whatever the fields are: what is put is what the policy foresaw.
#[test]
fn fields() {
    let seeds: Vec<Vec<u8>> = [
        "key=user/eric/${filename}\nacl=private\nContent-Type=image/png\nx-amz-meta-tag=a\n",
        "key=user/eric/b\nacl=private\nContent-Type=image/\nx-amz-meta-tag=a\nx-ignore-me=1\nbucket=bucket\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into();
    let policy = ("policy".to_owned(), STANDARD.encode(POLICY));
    let part = FilePart {
        filename: "a.png".to_owned(),
    };
    fuzz("fields", &seeds, &FIELD_WORDS, |input| {
        let Ok(text) = std::str::from_utf8(input) else {
            return false;
        };
        let mut sent: Vec<(String, String)> = text
            .split('\n')
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        sent.push(policy.clone());
        let Ok(form) = Form::new(sent, &part, &bucket()) else {
            return false;
        };
        let Ok(post) = form.put(&bucket(), now()) else {
            return false;
        };
        let put = &post.input.put;
        assert_eq!(put.bucket, bucket());
        assert!(put.key.as_str().starts_with("user/eric/"), "{:?}", put.key);
        let attributes = &put.attributes;
        let content_type = attributes.content.content_type.as_deref();
        assert!(
            content_type.is_some_and(|text| text.starts_with("image/")),
            "another content type: {content_type:?}"
        );
        let metadata: Vec<_> = attributes.metadata.iter().collect();
        assert!(metadata.len() == 1, "metadata not foreseen: {metadata:?}");
        assert!(attributes.tags.is_empty(), "tags not foreseen");
        assert!(put.storage_class.is_none(), "a class not foreseen");
        assert_eq!(post.size.map(|size| size.max), Some(1 << 20));
        true
    });
}
