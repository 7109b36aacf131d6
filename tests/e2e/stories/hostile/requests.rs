//! Requests that are signed well and ask for what can't be: names, sub-resources, headers, XML,
//! ranges, parts.

use super::{BUCKET, Case, SENTINEL};
use crate::support::client::{Call, Client, Payload};
use crate::support::digest::md5_base64;
use crate::support::xml::Element;

pub(super) fn cases(client: &Client) -> Vec<Case> {
    let mut cases = name_cases(client);
    cases.extend(sub_resource_cases(client));
    cases.extend(header_cases(client));
    cases.extend(xml_cases(client));
    cases.extend(read_cases(client));
    cases.extend(multipart_cases(client));
    cases.extend(missing_cases(client));
    cases
}

fn bucket(method: &str) -> Call {
    Call::new(method, &format!("/{BUCKET}"))
}

fn put() -> Call {
    Call::object("PUT", BUCKET, "unwanted").body(b"unwanted")
}

fn name_cases(client: &Client) -> Vec<Case> {
    let mut cases = Vec::new();
    let long = "b".repeat(64);
    for name in [
        "ab",
        "Upper",
        "under_score",
        "-first",
        "last-",
        "a..b",
        "192.168.1.1",
        "xn--a",
        ".abc",
        "a.-b%20",
        &long,
        "b-s3alias",
    ] {
        let call = Call::new("PUT", &format!("/{name}"));
        let shown = format!("bucket name {name}");
        cases.push(Case::signed(client, shown, &call, 400, "InvalidBucketName"));
    }
    let long_key = "k".repeat(1025);
    for method in ["PUT", "GET", "DELETE"] {
        let call = Call::object(method, BUCKET, &long_key);
        let name = format!("{method} of a key of 1025 bytes");
        cases.push(Case::signed(client, name, &call, 400, "KeyTooLongError"));
    }
    // 512 characters of two bytes and one more.
    let call = Call::object("PUT", BUCKET, &("ü".repeat(512) + "x")).body(b"x");
    cases.push(Case::signed(
        client,
        "1025 bytes of UTF-8",
        &call,
        400,
        "KeyTooLongError",
    ));
    let call = Call::object("POST", BUCKET, &long_key).flag("uploads");
    cases.push(Case::signed(
        client,
        "an upload of it",
        &call,
        400,
        "KeyTooLongError",
    ));
    for path in ["/%FF%FE", "/%C3%28"] {
        let call = Call::new("PUT", &format!("/{BUCKET}{path}")).body(b"x");
        let name = format!("a key that is not UTF-8: {path}");
        cases.push(Case::signed(client, name, &call, 400, "InvalidURI"));
    }
    cases
}

/// What is not built, or not even AWS's.
const NOT_BUILT: &[(u16, &str)] = &[(501, "NotImplemented"), (405, "MethodNotAllowed")];
const NO_DELETE: [&str; 5] = [
    "logging",
    "notification",
    "object-lock",
    "accelerate",
    "requestPayment",
];

/// Configurations that are answered, with what each is asked here.
const BUILT: &[(&str, &str)] = &[
    ("GET", "acl"),
    ("PUT", "acl"),
    ("GET", "policy"),
    ("GET", "lifecycle"),
    ("PUT", "lifecycle"),
    ("DELETE", "lifecycle"),
    ("GET", "tagging"),
    ("PUT", "tagging"),
    ("DELETE", "tagging"),
    ("GET", "website"),
    ("GET", "encryption"),
    ("PUT", "encryption"),
    ("DELETE", "encryption"),
    ("GET", "replication"),
    ("GET", "cors"),
    ("PUT", "cors"),
    ("DELETE", "cors"),
    ("GET", "logging"),
    ("GET", "notification"),
    ("PUT", "notification"),
    ("GET", "object-lock"),
    ("PUT", "object-lock"),
    ("GET", "publicAccessBlock"),
    ("GET", "ownershipControls"),
    ("PUT", "ownershipControls"),
    ("DELETE", "ownershipControls"),
    ("GET", "accelerate"),
    ("GET", "requestPayment"),
];

/// What would fall back to something terrible if an unknown word were ignored.
fn sub_resource_cases(client: &Client) -> Vec<Case> {
    let mut cases = Vec::new();
    for word in [
        "acl",
        "policy",
        "lifecycle",
        "cors",
        "tagging",
        "website",
        "encryption",
        "replication",
        "logging",
        "notification",
        "object-lock",
        "publicAccessBlock",
        "ownershipControls",
        "accelerate",
        "requestPayment",
        "inventory",
        "analytics",
        "metrics",
    ] {
        for method in ["GET", "PUT", "DELETE"] {
            if BUILT.contains(&(method, word)) {
                continue;
            }
            let name = format!("{method} bucket?{word}");
            let call = bucket(method).flag(word);
            // What AWS itself does not have may also be 405. None of it deletes the bucket.
            let has_no_delete = method == "DELETE" && NO_DELETE.contains(&word);
            let answers = if has_no_delete {
                NOT_BUILT
            } else {
                &NOT_BUILT[..1]
            };
            cases.push(Case::either(client, name, &call, answers));
        }
    }
    for (method, word, status, code) in [
        ("GET", "policy", 404, "NoSuchBucketPolicy"),
        ("GET", "lifecycle", 404, "NoSuchLifecycleConfiguration"),
        ("GET", "tagging", 404, "NoSuchTagSet"),
        ("GET", "cors", 404, "NoSuchCORSConfiguration"),
        ("PUT", "cors", 400, "MalformedXML"),
        ("GET", "website", 404, "NoSuchWebsiteConfiguration"),
        (
            "GET",
            "encryption",
            404,
            "ServerSideEncryptionConfigurationNotFoundError",
        ),
        (
            "GET",
            "replication",
            404,
            "ReplicationConfigurationNotFoundError",
        ),
        (
            "GET",
            "object-lock",
            404,
            "ObjectLockConfigurationNotFoundError",
        ),
        (
            "GET",
            "publicAccessBlock",
            404,
            "NoSuchPublicAccessBlockConfiguration",
        ),
        ("PUT", "object-lock", 400, "InvalidRequest"),
        ("PUT", "encryption", 400, "MalformedXML"),
        ("PUT", "lifecycle", 400, "MalformedXML"),
        ("PUT", "notification", 400, "MalformedXML"),
        ("PUT", "acl", 400, "AccessControlListNotSupported"),
        ("PUT", "tagging", 400, "MalformedXML"),
        ("PUT", "ownershipControls", 400, "MalformedXML"),
    ] {
        let name = format!("{method} bucket?{word}");
        let call = bucket(method).flag(word);
        cases.push(Case::signed(client, name, &call, status, code));
    }
    for word in ["torrent", "restore"] {
        let call = Call::object("GET", BUCKET, SENTINEL).flag(word);
        let name = format!("GET object?{word}");
        cases.push(Case::either(client, name, &call, NOT_BUILT));
    }
    for (method, word, status, code) in [
        ("GET", "attributes", 400, "InvalidRequest"),
        ("GET", "retention", 400, "InvalidRequest"),
        ("GET", "legal-hold", 400, "InvalidRequest"),
        ("PUT", "retention", 400, "InvalidRequest"),
        ("PUT", "legal-hold", 400, "InvalidRequest"),
        ("PUT", "acl", 400, "AccessControlListNotSupported"),
        ("PUT", "tagging", 400, "MalformedXML"),
    ] {
        let call = Call::object(method, BUCKET, SENTINEL).flag(word);
        let name = format!("{method} object?{word}");
        cases.push(Case::signed(client, name, &call, status, code));
    }
    cases
}

/// Headers of object lock, in a bucket without.
fn lock_header_cases(client: &Client) -> Vec<Case> {
    let date = "x-amz-object-lock-retain-until-date";
    let (mode, hold) = ("x-amz-object-lock-mode", "x-amz-object-lock-legal-hold");
    let far = "2099-01-01T00:00:00Z";
    [
        (&[(mode, "GOVERNANCE")][..], "InvalidArgument"),
        (&[(date, far)], "InvalidArgument"),
        (&[(mode, "governance"), (date, far)], "InvalidArgument"),
        (&[(mode, "COMPLIANCE"), (date, "soon")], "InvalidArgument"),
        (&[(hold, "on")], "InvalidArgument"),
        (&[(hold, "ON")], "InvalidRequest"),
        (&[(mode, "COMPLIANCE"), (date, far)], "InvalidRequest"),
    ]
    .into_iter()
    .map(|(headers, code)| {
        let call = headers
            .iter()
            .fold(put(), |call, (name, value)| call.header(name, value));
        let name = format!("{headers:?}");
        Case::signed(client, name, &call, 400, code)
    })
    .collect()
}

/// A customer's key that is none: nothing is stored as if it were.
fn customer_key_cases(client: &Client) -> Vec<Case> {
    const KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    const MD5: &str = "KYvwGXoFFJ42a2u2GDWhwQ==";
    let cases: [(&str, [&str; 3], &str); 8] = [
        ("no key", ["AES256", "", MD5], "InvalidArgument"),
        ("no MD5 of the key", ["AES256", KEY, ""], "InvalidArgument"),
        ("no algorithm", ["", KEY, MD5], "InvalidArgument"),
        (
            "another algorithm",
            ["AES128", KEY, MD5],
            "InvalidEncryptionAlgorithmError",
        ),
        (
            "a key that is no Base64",
            ["AES256", "?", MD5],
            "InvalidArgument",
        ),
        (
            "a short key",
            ["AES256", "MDEyMzQ1Njc4OQ==", MD5],
            "InvalidArgument",
        ),
        (
            "a long key",
            [
                "AES256",
                "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEy",
                MD5,
            ],
            "InvalidArgument",
        ),
        (
            "another key's MD5",
            ["AES256", KEY, "AAAAAAAAAAAAAAAAAAAAAA=="],
            "InvalidArgument",
        ),
    ];
    let names = ["algorithm", "key", "key-md5"];
    cases
        .into_iter()
        .map(|(name, values, code)| {
            let mut call = put();
            for (suffix, value) in names.iter().zip(values) {
                if !value.is_empty() {
                    let header = format!("x-amz-server-side-encryption-customer-{suffix}");
                    call = call.header(&header, value);
                }
            }
            Case::signed(
                client,
                format!("a customer's key: {name}"),
                &call,
                400,
                code,
            )
        })
        .collect()
}

fn header_cases(client: &Client) -> Vec<Case> {
    let mut cases = lock_header_cases(client);
    for (header, value) in [
        ("x-amz-server-side-encryption", "aws:kms"),
        ("x-amz-server-side-encryption", "aws:kms:dsse"),
        ("x-amz-server-side-encryption-aws-kms-key-id", "key"),
        ("x-amz-server-side-encryption-context", "e30="),
        ("x-amz-website-redirect-location", "/elsewhere"),
    ] {
        let name = format!("{header}: {value}");
        let call = put().header(header, value);
        cases.push(Case::signed(
            client,
            name.clone(),
            &call,
            501,
            "NotImplemented",
        ));
        let call = Call::object("POST", BUCKET, "unwanted")
            .flag("uploads")
            .header(header, value);
        cases.push(Case::signed(client, name, &call, 501, "NotImplemented"));
    }
    cases.extend(customer_key_cases(client));
    for (header, value) in [
        ("x-amz-grant-read", "id=1"),
        ("x-amz-grant-full-control", "id=1"),
        ("x-amz-acl", "public-read"),
    ] {
        let name = format!("{header}: {value}");
        let call = put().header(header, value);
        let code = "AccessControlListNotSupported";
        cases.push(Case::signed(client, name, &call, 400, code));
    }
    for (name, tags, code) in [
        ("a tag twice", "a=1&a=2", "InvalidArgument"),
        ("a tag of AWS's", "aws%3Aa=1", "InvalidTag"),
        ("a tag with a control character", "a%0Ab=1", "InvalidTag"),
        ("a tag that is not UTF-8", "a=%FF", "InvalidArgument"),
        (
            "eleven tags",
            "a=&b=&c=&d=&e=&f=&g=&h=&i=&j=&k=",
            "BadRequest",
        ),
    ] {
        let call = put().header("x-amz-tagging", tags);
        cases.push(Case::signed(client, name, &call, 400, code));
    }
    let long = "x".repeat(2049);
    for (name, header, value, code) in [
        (
            "an unknown storage class",
            "x-amz-storage-class",
            "GLACIER_OF_MINE",
            "InvalidStorageClass",
        ),
        (
            "GLACIER",
            "x-amz-storage-class",
            "GLACIER",
            "InvalidStorageClass",
        ),
        (
            "metadata above 2 KB",
            "x-amz-meta-long",
            long.as_str(),
            "MetadataTooLarge",
        ),
    ] {
        let call = put().header(header, value);
        cases.push(Case::signed(client, name, &call, 400, code));
    }
    let copy =
        |source: &str| Call::object("PUT", BUCKET, "unwanted").header("x-amz-copy-source", source);
    let own = format!("/{BUCKET}/{SENTINEL}");
    for (name, call, status, code) in [
        (
            "copy from nowhere",
            copy("nonsense"),
            400,
            "InvalidArgument",
        ),
        (
            "copy of what is not there",
            copy(&format!("/{BUCKET}/nothing")),
            404,
            "NoSuchKey",
        ),
        (
            "copy from no bucket",
            copy("/no-such-bucket/key"),
            404,
            "NoSuchBucket",
        ),
        (
            "copy with an unknown directive",
            copy(&own).header("x-amz-metadata-directive", "MERGE"),
            400,
            "InvalidArgument",
        ),
        (
            "copy onto itself",
            Call::object("PUT", BUCKET, SENTINEL).header("x-amz-copy-source", &own),
            400,
            "InvalidRequest",
        ),
    ] {
        cases.push(Case::signed(client, name, &call, status, code));
    }
    cases
}

/// Documents that are none, and documents that are meant to hurt.
fn xml_cases(client: &Client) -> Vec<Case> {
    let deep = "<Object>".repeat(20_000);
    let entity = "<!DOCTYPE Delete [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]>\
                  <Delete><Object><Key>&b;</Key></Object></Delete>";
    let outside = "<!DOCTYPE Delete [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>\
                   <Delete><Object><Key>&x;</Key></Object></Delete>";
    let many = format!(
        "<Delete>{}</Delete>",
        "<Object><Key>k</Key></Object>".repeat(1001)
    );
    let documents: [(&str, &str); 9] = [
        ("no XML", "this is not XML"),
        ("an unclosed tag", "<Delete><Object><Key>sentinel</Key>"),
        (
            "crossed tags",
            "<Delete><Object><Key>sentinel</Object></Key></Delete>",
        ),
        (
            "another root",
            "<Remove><Object><Key>sentinel</Key></Object></Remove>",
        ),
        ("no object", "<Delete></Delete>"),
        (
            "an object without a key",
            "<Delete><Object></Object></Delete>",
        ),
        ("20,000 levels", &deep),
        ("a DTD", entity),
        ("an outside entity", outside),
    ];
    let delete = |document: &str| {
        let digest = md5_base64(document.as_bytes());
        let call = bucket("POST").flag("delete").header("content-md5", &digest);
        call.body(document.as_bytes())
    };
    let mut cases = Vec::new();
    for (name, document) in documents {
        let name = format!("DeleteObjects with {name}");
        cases.push(Case::signed(
            client,
            name,
            &delete(document),
            400,
            "MalformedXML",
        ));
    }
    cases.push(Case::signed(
        client,
        "1001 objects",
        &delete(&many),
        400,
        "MalformedXML",
    ));
    let huge = format!("<Delete>{}</Delete>", " ".repeat(9 << 20));
    let refused = [(400, "MaxMessageLengthExceeded"), (400, "MalformedXML")];
    cases.push(Case::either(
        client,
        "9 MiB of XML",
        &delete(&huge),
        &refused,
    ));
    for (name, document, code) in [
        ("no XML", "enabled", "MalformedXML"),
        (
            "an unknown status",
            "<VersioningConfiguration><Status>On</Status></VersioningConfiguration>",
            "MalformedXML",
        ),
        (
            "no status",
            "<VersioningConfiguration/>",
            "IllegalVersioningConfigurationException",
        ),
    ] {
        let call = bucket("PUT").flag("versioning").body(document.as_bytes());
        let name = format!("PutBucketVersioning with {name}");
        cases.push(Case::signed(client, name, &call, 400, code));
    }
    let located = "<CreateBucketConfiguration><LocationConstraint>mars-1</LocationConstraint></CreateBucketConfiguration>";
    let create = Call::new("PUT", "/located");
    let refused = [
        (400, "InvalidLocationConstraint"),
        (400, "IllegalLocationConstraintException"),
    ];
    cases.push(Case::either(
        client,
        "a bucket on Mars",
        &create.clone().body(located.as_bytes()),
        &refused,
    ));
    cases.push(Case::signed(
        client,
        "a bucket of no XML",
        &create.body(b"<a>"),
        400,
        "MalformedXML",
    ));
    cases
}

fn read_cases(client: &Client) -> Vec<Case> {
    let get = || Call::object("GET", BUCKET, SENTINEL);
    let mut cases = Vec::new();
    for range in ["bytes=700000-", "bytes=999999-1000000", "bytes=-0"] {
        let call = get().header("range", range);
        cases.push(Case::signed(client, range, &call, 416, "InvalidRange"));
    }
    for (name, value) in [
        ("max-keys", "-1"),
        ("max-keys", "many"),
        ("max-keys", "99999999999999999999"),
        ("encoding-type", "base64"),
        ("list-type", "3"),
    ] {
        let call = bucket("GET").query(name, value);
        let shown = format!("{name}={value}");
        cases.push(Case::signed(client, shown, &call, 400, "InvalidArgument"));
    }
    let call = bucket("GET")
        .query("list-type", "2")
        .query("continuation-token", "nonsense!");
    cases.push(Case::signed(
        client,
        "a forged token",
        &call,
        400,
        "InvalidArgument",
    ));
    for (name, value) in [
        ("partNumber", "0"),
        ("partNumber", "10001"),
        ("partNumber", "x"),
    ] {
        let call = get().query(name, value);
        let shown = format!("{name}={value}");
        cases.push(Case::either(
            client,
            shown,
            &call,
            &[(400, "InvalidArgument"), (416, "InvalidPartNumber")],
        ));
    }
    let call = get().query("partNumber", "1").header("range", "bytes=0-1");
    cases.push(Case::signed(
        client,
        "range and partNumber",
        &call,
        400,
        "InvalidRequest",
    ));
    let call = get().query("versionId", "");
    cases.push(Case::signed(
        client,
        "an empty version id",
        &call,
        400,
        "InvalidArgument",
    ));
    let call = get().header("if-match", "\"0123456789abcdef0123456789abcdef\"");
    cases.push(Case::signed(
        client,
        "If-Match",
        &call,
        412,
        "PreconditionFailed",
    ));
    cases
}

fn multipart_cases(client: &Client) -> Vec<Case> {
    let call =
        |method: &str, id: &str| Call::object(method, BUCKET, "upload").query("uploadId", id);
    let begin = Call::object("POST", BUCKET, "upload").flag("uploads");
    let id = Element::parse(&client.expect(200, &begin).body)
        .text_of("UploadId")
        .to_owned();
    let mut etags = Vec::new();
    for number in ["1", "2"] {
        let part = call("PUT", &id).query("partNumber", number).body(b"small");
        etags.push(client.expect(200, &part).etag());
    }
    let complete = |parts: &[(&str, &str)]| {
        let mut xml = String::from("<CompleteMultipartUpload>");
        for (number, etag) in parts {
            xml.push_str(&format!(
                "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
            ));
        }
        xml.push_str("</CompleteMultipartUpload>");
        call("POST", &id).body(xml.as_bytes())
    };
    let (one, two) = (etags[0].as_str(), etags[1].as_str());
    let wrong = "0123456789abcdef0123456789abcdef";
    let mut cases = vec![
        Case::signed(
            client,
            "parts out of order",
            &complete(&[("2", two), ("1", one)]),
            400,
            "InvalidPartOrder",
        ),
        Case::signed(
            client,
            "a part twice",
            &complete(&[("1", one), ("1", one)]),
            400,
            "InvalidPartOrder",
        ),
        Case::signed(
            client,
            "a part under 5 MiB",
            &complete(&[("1", one), ("2", two)]),
            400,
            "EntityTooSmall",
        ),
        Case::signed(
            client,
            "a part that is not there",
            &complete(&[("3", one)]),
            400,
            "InvalidPart",
        ),
        Case::signed(
            client,
            "a part with another ETag",
            &complete(&[("1", wrong)]),
            400,
            "InvalidPart",
        ),
        Case::signed(
            client,
            "Complete of no XML",
            &call("POST", &id).body(b"{}"),
            400,
            "MalformedXML",
        ),
        Case::either(
            client,
            "Complete of nothing",
            &complete(&[]),
            &[(400, "MalformedXML"), (400, "InvalidRequest")],
        ),
    ];
    for number in ["0", "10001", "-1", "x"] {
        let part = call("PUT", &id).query("partNumber", number).body(b"x");
        let name = format!("part number {number}");
        cases.push(Case::signed(client, name, &part, 400, "InvalidArgument"));
    }
    for id in ["nonsense", wrong] {
        for (method, number) in [("PUT", Some("1")), ("GET", None), ("DELETE", None)] {
            let mut call = call(method, id);
            if let Some(number) = number {
                call = call.query("partNumber", number).payload(Payload::Unsigned);
            }
            let name = format!("{method} of upload {id}");
            cases.push(Case::signed(client, name, &call, 404, "NoSuchUpload"));
        }
    }
    // The right id with another key is no upload either.
    let other = Call::object("DELETE", BUCKET, "another").query("uploadId", &id);
    cases.push(Case::signed(
        client,
        "another key's upload",
        &other,
        404,
        "NoSuchUpload",
    ));
    cases
}

fn missing_cases(client: &Client) -> Vec<Case> {
    let mut cases = Vec::new();
    for method in ["GET", "DELETE"] {
        let call = Call::new(method, "/no-such-bucket");
        let name = format!("{method} of no bucket");
        cases.push(Case::signed(client, name, &call, 404, "NoSuchBucket"));
    }
    for method in ["GET", "PUT", "DELETE"] {
        let call = Call::object(method, "no-such-bucket", "key");
        let name = format!("{method} in no bucket");
        cases.push(Case::signed(client, name, &call, 404, "NoSuchBucket"));
    }
    let call = Call::object("GET", BUCKET, "nothing");
    cases.push(Case::signed(
        client,
        "GET of nothing",
        &call,
        404,
        "NoSuchKey",
    ));
    let call = Call::object("HEAD", BUCKET, "nothing");
    cases.push(Case::signed(client, "HEAD of nothing", &call, 404, ""));
    let call = bucket("DELETE");
    cases.push(Case::signed(
        client,
        "DELETE of a full bucket",
        &call,
        409,
        "BucketNotEmpty",
    ));
    let call = Call::new("PATCH", &format!("/{BUCKET}/{SENTINEL}"));
    cases.push(Case::either(client, "PATCH", &call, NOT_BUILT));
    let call = Call::new("DELETE", "/");
    cases.push(Case::either(
        client,
        "DELETE of the service",
        &call,
        NOT_BUILT,
    ));
    cases
}
