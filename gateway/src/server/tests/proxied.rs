//! Proxies in front: the client that a trusted one names, and nobody else.

use super::super::{NamedBy, Network, Proxies, Transport};
use super::{Limits, Server};

async fn behind(named_by: NamedBy, trusted: &str) -> Server {
    let trusted = [trusted.parse::<Network>().unwrap()].into_iter().collect();
    let transport = Transport {
        proxies: Proxies { named_by, trusted },
        ..Transport::default()
    };
    Server::reached_by(transport, Limits::default()).await
}

const ASK: &str = "GET /client HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

/// Whom the server takes the client for.
async fn client(server: &Server, bytes: &[u8]) -> String {
    let answer = server.exchange(bytes).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    body.to_owned()
}

#[tokio::test]
async fn a_trusted_proxy_names_the_client_before_all_else() {
    let server = behind(NamedBy::ProxyProtocol, "127.0.0.0/8").await;
    let v1 = format!("PROXY TCP4 192.0.2.7 192.0.2.8 4711 80\r\n{ASK}");
    assert_eq!(client(&server, v1.as_bytes()).await, "192.0.2.7:4711");

    let mut v2 =
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc0\0\x02\x08\x12\x67\0\x50".to_vec();
    v2.extend(ASK.as_bytes());
    assert_eq!(client(&server, &v2).await, "192.0.2.7:4711");

    let mut in_pieces = server.connect().await;
    for byte in v1.as_bytes() {
        in_pieces.send([*byte]).await;
    }
    let (status, body) = in_pieces.response().await;
    assert_eq!((status, body.as_str()), (200, "192.0.2.7:4711"));

    let local = format!("PROXY UNKNOWN\r\n{ASK}");
    assert!(
        client(&server, local.as_bytes())
            .await
            .starts_with("127.0.0.1:")
    );
}

#[tokio::test]
async fn a_trusted_proxy_that_names_nobody_is_not_served() {
    let server = behind(NamedBy::ProxyProtocol, "127.0.0.0/8").await;
    for bytes in [ASK.as_bytes(), b"PROXY TCP4 nonsense\r\n", b"PROXY"] {
        let mut wrong = server.connect().await;
        wrong.send(bytes).await;
        tokio::io::AsyncWriteExt::shutdown(&mut wrong.0)
            .await
            .unwrap();
        assert!(wrong.is_closed_within(super::WAIT).await);
    }
    assert!(server.service.seen().is_empty());
}

#[tokio::test]
async fn a_stranger_can_not_name_itself() {
    for named_by in [NamedBy::Nothing, NamedBy::ProxyProtocol] {
        let server = behind(named_by, "10.0.0.0/8").await;
        let answer = server
            .exchange(format!("PROXY TCP4 192.0.2.7 192.0.2.8 4711 80\r\n{ASK}"))
            .await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert!(server.service.seen().is_empty());
    }
    let spoofed = ASK.replace(
        "Host",
        "Forwarded: for=192.0.2.7;proto=https\r\nX-Forwarded-For: 192.0.2.7\r\n\
         X-Forwarded-Proto: https\r\nX-Real-IP: 192.0.2.7\r\nHost",
    );
    for (named_by, trusted) in [
        (NamedBy::Nothing, "127.0.0.0/8"),
        (NamedBy::ProxyProtocol, "10.0.0.0/8"),
        (NamedBy::Forwarded, "10.0.0.0/8"),
        (NamedBy::XForwardedFor, "10.0.0.0/8"),
    ] {
        let server = behind(named_by, trusted).await;
        let found = client(&server, spoofed.as_bytes()).await;
        assert!(found.starts_with("127.0.0.1:"), "{named_by:?}: {found}");
        let scheme = spoofed.replace("/client", "/scheme");
        assert_eq!(client(&server, scheme.as_bytes()).await, "http");
    }
    for named_by in [NamedBy::Forwarded, NamedBy::XForwardedFor] {
        let server = behind(named_by, "127.0.0.1").await;
        let found = client(&server, spoofed.as_bytes()).await;
        assert_eq!(found, "192.0.2.7:0", "{named_by:?}");
        let scheme = spoofed.replace("/client", "/scheme");
        assert_eq!(client(&server, scheme.as_bytes()).await, "https");
    }
}
