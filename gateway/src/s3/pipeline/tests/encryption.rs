//! A customer's key: over what it may come, and how encryption reads in an operation.

use std::net::SocketAddr;

use super::*;
use crate::s3::op::WriteEncryption;

const KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
const TRIPLE: [(&str, &str); 3] = [
    ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
    ("x-amz-server-side-encryption-customer-key", KEY),
    (
        "x-amz-server-side-encryption-customer-key-md5",
        "KYvwGXoFFJ42a2u2GDWhwQ==",
    ),
];

async fn put_from(bench: &Bench, client: Option<&str>, scheme: Option<Scheme>) -> Answer {
    let location = SignatureLocation::Headers;
    let mut request = signed(location, "PUT", "/bucket/k", &TRIPLE, b"hello");
    if let Some(client) = client {
        let client: SocketAddr = client.parse().unwrap();
        request.extensions_mut().insert(client);
    }
    if let Some(scheme) = scheme {
        request.extensions_mut().insert(scheme);
    }
    bench.send(request).await
}

#[tokio::test]
async fn a_customers_key_comes_over_https_or_from_here() {
    let far = Some("192.0.2.7:9");
    for (client, scheme) in [
        (far, Some(Scheme::Https)),
        (Some("127.0.0.1:9"), Some(Scheme::Http)),
        (Some("[::1]:9"), Some(Scheme::Http)),
        (Some("[::ffff:127.0.0.1]:9"), Some(Scheme::Http)),
    ] {
        let bench = Bench::new();
        let answer = put_from(&bench, client, scheme).await;
        assert_eq!(answer.status, 200, "{client:?}: {}", answer.body);
        let Operation::PutObject(put) = bench.store.last() else {
            panic!("a PUT is a PUT");
        };
        assert!(matches!(put.encryption, WriteEncryption::CustomerKey(_)));
        assert!(!format!("{put:?}").contains(KEY));
    }
    for (client, scheme) in [(far, Some(Scheme::Http)), (far, None), (None, None)] {
        let bench = Bench::new();
        let answer = put_from(&bench, client, scheme).await;
        assert_eq!((answer.status, answer.code()), (400, "InvalidRequest"));
        assert!(answer.body.contains("secure connection"), "{}", answer.body);
        assert!(bench.store.asked().is_empty(), "{client:?}");
    }
}

#[tokio::test]
async fn reads_and_parts_are_not_asked_to_encrypt() {
    let bench = Bench::new();
    let wish = [("x-amz-server-side-encryption", "AES256")];
    for (method, uri) in [
        ("GET", "/bucket/k"),
        ("PUT", "/bucket/k?partNumber=1&uploadId=u"),
        ("DELETE", "/bucket/k"),
        ("GET", "/bucket"),
    ] {
        let answer = bench.ask(method, uri, &wish, "").await;
        assert_eq!((answer.status, answer.code()), (400, "InvalidArgument"));
    }
    assert!(bench.store.asked().is_empty());
    let put = bench.ask("PUT", "/bucket/k", &wish, "hello").await;
    assert_eq!(put.status, 200, "{}", put.body);
}
