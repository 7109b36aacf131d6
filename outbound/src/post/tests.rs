//! A POST against servers that answer well, badly, slowly, too much or not at all.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::guard::SystemNet;

/// What a server does with each request of a connection.
#[derive(Clone, Copy)]
enum Manner {
    /// Sends this.
    Says(&'static str),
    /// Sends this and closes.
    SaysAndCloses(&'static str),
    /// Sends a head and then a body without end.
    TalksForEver,
    /// Takes the request and never answers.
    Silent,
}

struct Server {
    port: u16,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
}

async fn serve(manner: Manner) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server {
        port: listener.local_addr().unwrap().port(),
        connections: Arc::default(),
        requests: Arc::default(),
    };
    let (connections, requests) = (server.connections.clone(), server.requests.clone());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            connections.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(talk(stream, manner, requests.clone()));
        }
    });
    server
}

async fn talk(stream: TcpStream, manner: Manner, requests: Arc<Mutex<Vec<String>>>) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read_request(&mut stream).await {
        requests.lock().unwrap().push(request);
        let sent = match manner {
            Manner::Says(text) | Manner::SaysAndCloses(text) => {
                stream.write_all(text.as_bytes()).await
            }
            Manner::TalksForEver => {
                let head = b"HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n";
                let mut sent = stream.write_all(head).await;
                while sent.is_ok() {
                    sent = stream.write_all(&[b'x'; 16 << 10]).await;
                }
                sent
            }
            Manner::Silent => std::future::pending().await,
        };
        if sent.is_err() || matches!(manner, Manner::SaysAndCloses(_)) {
            return;
        }
    }
}

async fn read_request(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut request = String::new();
    let mut len = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            len = value.trim().parse().unwrap();
        }
        request.push_str(&line);
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; len];
    stream.read_exact(&mut body).await.ok()?;
    Some(request + &String::from_utf8(body).unwrap())
}

fn poster(port: u16, deadline: Duration) -> Poster {
    let loopback = Allowance {
        loopback: true,
        ..Allowance::default()
    };
    Poster::new(
        HttpUrl::parse(&format!("http://127.0.0.1:{port}/hook?a=b")).unwrap(),
        Wire::Plain,
        loopback,
        Some(HeaderValue::from_static("Bearer secret-token")),
        Arc::new(SystemNet),
        deadline,
    )
}

/// Far more than anything here takes.
const LONG: Duration = Duration::from_secs(120);

#[tokio::test]
async fn what_is_posted_arrives_and_the_connection_is_used_again() {
    let server = serve(Manner::Says(
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    ))
    .await;
    let poster = poster(server.port, LONG);
    for number in 0..3 {
        let status = poster
            .post(Bytes::from(format!("{{\"n\":{number}}}")))
            .await;
        assert_eq!(status.unwrap(), 200);
    }
    let requests = server.requests.lock().unwrap().clone();
    assert_eq!(requests.len(), 3);
    assert!(requests[0].starts_with("POST /hook?a=b HTTP/1.1\r\n"));
    assert!(requests[0].contains(&format!("host: 127.0.0.1:{}\r\n", server.port)));
    assert!(requests[0].contains("content-type: application/json\r\n"));
    assert!(requests[0].contains("authorization: Bearer secret-token\r\n"));
    assert!(requests[2].ends_with("\r\n\r\n{\"n\":2}"));
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
    assert!(!format!("{poster:?}").contains("secret"));
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_nothing_more() {
    let elsewhere = serve(Manner::Says("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    let answer = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:{}/\r\ncontent-length: 0\r\n\r\n",
        elsewhere.port
    );
    let server = serve(Manner::Says(answer.leak())).await;
    let status = poster(server.port, LONG)
        .post(Bytes::from_static(b"{}"))
        .await;
    assert_eq!(status.unwrap(), 307);
    assert_eq!(elsewhere.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_replaced() {
    let says = "HTTP/1.1 204 No Content\r\n\r\n";
    let server = serve(Manner::SaysAndCloses(says)).await;
    let poster = poster(server.port, LONG);
    for _ in 0..5 {
        let status = poster.post(Bytes::from_static(b"{}")).await;
        assert_eq!(status.unwrap(), 204);
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn a_body_without_end_is_cut_and_its_connection_closed() {
    let server = serve(Manner::TalksForEver).await;
    let poster = poster(server.port, LONG);
    for _ in 0..2 {
        let status = poster.post(Bytes::from_static(b"{}")).await;
        assert_eq!(status.unwrap(), 200);
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn who_does_not_answer_is_given_up() {
    let server = serve(Manner::Silent).await;
    let late = poster(server.port, Duration::from_millis(50));
    let failed = late.post(Bytes::from_static(b"{}")).await.unwrap_err();
    assert!(matches!(failed, PostError::Late(_)), "{failed}");
}

#[tokio::test]
async fn what_is_no_http_is_no_answer() {
    for says in [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
    ] {
        let server = serve(Manner::SaysAndCloses(says)).await;
        let failed = poster(server.port, LONG)
            .post(Bytes::from_static(b"{}"))
            .await;
        assert!(matches!(failed, Err(PostError::Http(_))), "{says}");
    }
    let head = format!(
        "HTTP/1.1 200 OK\r\nx: {}\r\n\r\n",
        "y".repeat(4 * MAX_HEAD_LEN)
    );
    let server = serve(Manner::SaysAndCloses(head.leak())).await;
    let failed = poster(server.port, LONG)
        .post(Bytes::from_static(b"{}"))
        .await;
    assert!(matches!(failed, Err(PostError::Http(_))), "a head too long");
}

#[tokio::test]
async fn what_is_not_allowed_is_never_connected_to() {
    let server = serve(Manner::Says("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433"] {
        let poster = Poster::new(
            HttpUrl::parse(&format!("http://{host}:{}/", server.port)).unwrap(),
            Wire::Plain,
            Allowance::default(),
            None,
            Arc::new(SystemNet),
            LONG,
        );
        let failed = poster.post(Bytes::from_static(b"{}")).await.unwrap_err();
        assert!(matches!(failed, PostError::Dial(_)), "{host}: {failed}");
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 0);
}
