//! Heads with several meanings, or none, or too large.

use super::{Server, statuses};

/// What a second request that was smuggled in would do.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";

#[tokio::test]
async fn requests_follow_each_other_on_a_connection() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    for path in ["/a", "/b"] {
        client
            .send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"))
            .await;
        assert_eq!(client.response().await, (200, format!("GET h {path}")));
    }
    client
        .send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc")
        .await;
    assert_eq!(client.response().await, (200, "abc".to_owned()));
}

/// Each either is refused, or is read in the one way that RFC 9112 gives, and then the connection
/// is closed. In none is what the attacker put behind it taken for a request.
#[tokio::test]
async fn nothing_is_smuggled() {
    let chunked = "5\r\nhello\r\n0\r\n\r\n";
    for (name, request, expected) in [
        // The encoding counts, and the connection is closed behind it.
        (
            "both lengths, encoding last",
            format!(
                "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}{SMUGGLED}"
            ),
            vec![200],
        ),
        (
            "both lengths, encoding first",
            format!(
                "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n{chunked}{SMUGGLED}"
            ),
            vec![200],
        ),
        (
            "a length that hides a request, and an encoding",
            format!(
                "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}",
                5 + SMUGGLED.len()
            ),
            vec![200],
        ),
        (
            "two lengths that differ",
            format!(
                "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nContent-Length: {}\r\n\r\n{SMUGGLED}",
                SMUGGLED.len()
            ),
            vec![400],
        ),
        (
            "a list of lengths",
            format!(
                "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 0, {}\r\n\r\n{SMUGGLED}",
                SMUGGLED.len()
            ),
            vec![400],
        ),
        (
            "a length with a sign",
            format!("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\nhello{SMUGGLED}"),
            vec![400],
        ),
        (
            "a last encoding that is not chunked",
            format!(
                "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, x\r\n\r\n{chunked}{SMUGGLED}"
            ),
            vec![400],
        ),
        (
            "two encodings",
            format!(
                "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n{chunked}{SMUGGLED}"
            ),
            vec![400],
        ),
        (
            "an encoding before chunked",
            format!(
                "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\nConnection: close\r\n\r\n{chunked}{SMUGGLED}"
            ),
            vec![400],
        ),
        (
            "an encoding under HTTP/1.0",
            format!(
                "POST /echo HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}{SMUGGLED}"
            ),
            vec![400],
        ),
        (
            "an encoding with a space before its colon",
            format!(
                "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n\r\n{chunked}{SMUGGLED}"
            ),
            vec![400],
        ),
        (
            "an encoding with a vertical tab",
            format!(
                "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \x0bchunked\r\n\r\n{chunked}{SMUGGLED}"
            ),
            vec![400],
        ),
        (
            "a folded line",
            format!(
                "POST /echo HTTP/1.1\r\nHost: h\r\nX: a\r\n Transfer-Encoding: chunked\r\n\r\n{SMUGGLED}"
            ),
            vec![400],
        ),
        (
            "a carriage return alone",
            format!(
                "POST /echo HTTP/1.1\r\nHost: h\r\nX: a\rTransfer-Encoding: chunked\r\n\r\n{SMUGGLED}"
            ),
            vec![400],
        ),
        (
            "a zero byte",
            format!("POST /echo HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n{SMUGGLED}"),
            vec![400],
        ),
        (
            "a chunk size that overflows",
            format!(
                "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n{SMUGGLED}"
            ),
            vec![400],
        ),
        (
            "a chunk extension with a line feed alone",
            format!(
                "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;a\nb\r\nhello\r\n0\r\n\r\n{SMUGGLED}"
            ),
            vec![400],
        ),
        (
            "no host",
            format!("GET /x HTTP/1.1\r\nConnection: close\r\n\r\n{SMUGGLED}"),
            vec![400],
        ),
        (
            "two hosts",
            format!("GET /x HTTP/1.1\r\nHost: h\r\nHost: i\r\nConnection: close\r\n\r\n{SMUGGLED}"),
            vec![400],
        ),
        (
            "a target of another host",
            format!("GET http://evil/x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n{SMUGGLED}"),
            vec![400],
        ),
        (
            "CONNECT",
            format!(
                "CONNECT evil:80 HTTP/1.1\r\nHost: evil:80\r\nConnection: close\r\n\r\n{SMUGGLED}"
            ),
            vec![400],
        ),
        (
            "a target that is no path",
            "OPTIONS * HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".to_owned(),
            vec![400],
        ),
        (
            "an unknown version",
            format!("GET /x HTTP/3.7\r\nHost: h\r\n\r\n{SMUGGLED}"),
            vec![400],
        ),
    ] {
        let server = Server::start().await;
        let answer = server.exchange(request).await;
        assert_eq!(statuses(&answer), expected, "{name}: {answer}");
        let seen = server.service.seen();
        assert!(
            seen.iter().all(|line| !line.contains("smuggled")),
            "{name}: {seen:?}"
        );
        server.assert_well().await;
    }
}

/// A line feed alone ends a line, as RFC 9112 (2.2) allows: one meaning, that of a line feed with a
/// carriage return.
#[tokio::test]
async fn a_line_feed_alone_ends_a_line() {
    let server = Server::start().await;
    let request = format!(
        "POST /echo HTTP/1.1\nHost: h\nX: a\nContent-Length: 5\n\nhello{}",
        "GET /next HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    );
    let answer = server.exchange(request).await;
    assert_eq!(statuses(&answer), [200, 200]);
    assert_eq!(server.service.seen(), ["POST h /echo", "GET h /next"]);
}

#[tokio::test]
async fn an_absolute_target_of_this_host_is_a_path() {
    let server = Server::start().await;
    let request = "GET http://H:1/x?y HTTP/1.1\r\nHost: h:1\r\nConnection: close\r\n\r\n";
    assert_eq!(statuses(&server.exchange(request).await), [200]);
    assert_eq!(server.service.seen(), ["GET h:1 /x"]);
}

#[tokio::test]
async fn a_health_check_by_http_1_0_needs_no_host() {
    let server = Server::start().await;
    let answer = server.exchange("GET /healthz HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 "), "{answer}");
    assert_eq!(server.service.seen(), ["GET  /healthz"]);
}

#[tokio::test]
async fn a_head_is_bounded_in_all_its_dimensions() {
    let server = Server::start().await;
    let close = "Host: h\r\nConnection: close\r\n";
    let header = |len: usize| format!("X-Long: {}\r\n", "v".repeat(len));
    for (name, request, expected) in [
        (
            "7 KiB line",
            format!("GET / HTTP/1.1\r\n{close}{}\r\n", header(7 << 10)),
            200,
        ),
        (
            "9 KiB line",
            format!("GET / HTTP/1.1\r\n{close}{}\r\n", header(9 << 10)),
            400,
        ),
        (
            "15 KiB",
            format!("GET / HTTP/1.1\r\n{close}{}\r\n", header(5000).repeat(3)),
            200,
        ),
        (
            "17 KiB",
            format!("GET / HTTP/1.1\r\n{close}{}\r\n", header(5800).repeat(3)),
            400,
        ),
        (
            "7 KiB target",
            format!("GET /{} HTTP/1.1\r\n{close}\r\n", "k".repeat(7 << 10)),
            200,
        ),
        (
            "9 KiB target",
            format!("GET /{} HTTP/1.1\r\n{close}\r\n", "k".repeat(9 << 10)),
            400,
        ),
        (
            "100 headers",
            format!("GET / HTTP/1.1\r\n{close}{}\r\n", "X: y\r\n".repeat(98)),
            200,
        ),
        (
            "101 headers",
            format!("GET / HTTP/1.1\r\n{close}{}\r\n", "X: y\r\n".repeat(99)),
            400,
        ),
        // hyper's own answer, before we see the request.
        (
            "257 headers",
            format!("GET / HTTP/1.1\r\n{close}{}\r\n", "X: y\r\n".repeat(255)),
            431,
        ),
    ] {
        let answer = server.exchange(request).await;
        assert_eq!(statuses(&answer), [expected], "{name}");
        if expected == 400 {
            assert!(
                answer.contains("header section exceeds the maximum"),
                "{name}: {answer}"
            );
        }
    }
}

#[tokio::test]
async fn a_head_without_end_is_not_buffered() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: h\r\nX: ").await;
    let mut sent = 0;
    // The kernel's buffers take some of it.
    while sent < 64 << 20 {
        let piece = vec![b'v'; 64 << 10];
        if tokio::io::AsyncWriteExt::write_all(&mut client.0, &piece)
            .await
            .is_err()
        {
            break;
        }
        sent += piece.len();
    }
    assert!(sent < 64 << 20, "the server took {sent} bytes of a head");
    assert!(server.service.seen().is_empty());
    server.assert_well().await;
}

#[tokio::test]
async fn garbage_never_hurts() {
    let server = Server::start().await;
    let valid =
        b"PUT /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    // A small generator with a fixed seed: the same bytes each time.
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for _ in 0..300 {
        let mut bytes = valid.to_vec();
        for _ in 0..=next(6) {
            let at = next(bytes.len());
            match next(3) {
                0 => bytes[at] = next(256) as u8,
                1 => bytes.insert(at, next(256) as u8),
                _ => bytes.truncate(at.max(1)),
            }
        }
        let mut client = server.connect().await;
        client.send(&bytes).await;
        drop(client);
    }
    server.assert_well().await;
}

#[tokio::test]
async fn http2_is_served_on_the_same_port_and_has_a_host() {
    use bytes::Bytes;
    use http::Request;
    use http_body_util::{BodyExt, Full};
    use hyper_util::rt::{TokioExecutor, TokioIo};

    let server = Server::start().await;
    let io = TokioIo::new(server.connect().await.0);
    let (mut send, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = Request::put(format!("http://{}/echo", server.address))
        .body(Full::new(Bytes::from(vec![b'x'; 3 << 20])))
        .unwrap();
    let response = send.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(
        response
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .len(),
        3 << 20
    );
    assert_eq!(
        server.service.seen(),
        [format!("PUT {} /echo", server.address)]
    );

    let request = Request::put(format!("http://{}/early", server.address))
        .body(Full::new(Bytes::from(vec![b'x'; 8 << 20])))
        .unwrap();
    let response = send.send_request(request).await.unwrap();
    assert_eq!(response.status(), 403);

    let large = Request::get(format!("http://{}/", server.address))
        .header("x-large", "v".repeat(9 << 10))
        .body(Full::new(Bytes::new()))
        .unwrap();
    assert_eq!(send.send_request(large).await.unwrap().status(), 400);
}
