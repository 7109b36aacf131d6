//! Many clients, and one of them greedy: the others are still served.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::net::TcpSocket;
use tokio::time::sleep;

use super::super::Pressure;
use super::{Client, Limits, Server};

const HELLO: &str = "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n";
const WAITING: &str = "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n";
/// Long before an idle connection would be closed for being idle.
const SOON: Duration = Duration::from_secs(30);

/// A client at another address of this machine.
async fn connect_from(server: &Server, last: u8) -> Client {
    let socket = TcpSocket::new_v4().unwrap();
    socket
        .bind(SocketAddr::from(([127, 0, 0, last], 0)))
        .unwrap();
    Client(socket.connect(server.address).await.unwrap())
}

async fn until_waiting(server: &Server, count: usize) {
    while server.service.waiting.load(Ordering::SeqCst) < count {
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn an_idle_connection_gives_way_to_a_new_one() {
    let server = Server::with(Limits {
        max_connections: 2,
        ..Limits::default()
    })
    .await;
    let mut mine = connect_from(&server, 1).await;
    mine.send(HELLO).await;
    assert_eq!(mine.response().await.0, 200);
    let mut other = connect_from(&server, 2).await;
    other.send(HELLO).await;
    assert_eq!(other.response().await.0, 200);
    let mut next = connect_from(&server, 1).await;
    next.send(HELLO).await;
    assert_eq!(next.response().await.0, 200);
    assert!(
        mine.is_closed_within(SOON).await,
        "its own share is used up"
    );
    other.send(HELLO).await;
    assert_eq!(other.response().await.0, 200, "another's is not");
}

#[tokio::test]
async fn where_nobody_can_give_way_a_newcomer_is_told_to_slow_down() {
    let server = Server::with(Limits {
        max_connections: 4,
        ..Limits::default()
    })
    .await;
    let mut busy = Vec::new();
    for _ in 0..2 {
        let mut client = connect_from(&server, 1).await;
        client.send(WAITING).await;
        busy.push(client);
    }
    until_waiting(&server, 2).await;
    let mut refused = connect_from(&server, 1).await;
    refused.send(HELLO).await;
    let (status, head, body) = refused.response_with_head().await;
    assert_eq!(status, 503);
    assert!(body.contains("Please reduce your request rate"), "{body}");
    assert!(head.contains("connection: close"), "{head}");
    assert!(refused.is_closed_within(SOON).await);
    let mut other = connect_from(&server, 2).await;
    other.send(HELLO).await;
    assert_eq!(
        other.response().await.0,
        200,
        "another client has its share"
    );
    server.service.go_on.notify_waiters();
    for client in &mut busy {
        assert_eq!(client.response().await, (200, "waited".to_owned()));
    }
    let mut again = connect_from(&server, 1).await;
    again.send(HELLO).await;
    assert_eq!(again.response().await.0, 200, "there is room again");
}

#[tokio::test]
async fn a_client_has_its_share_of_the_requests_and_keeps_its_connection() {
    let server = Server::with(Limits {
        max_requests: 2,
        ..Limits::default()
    })
    .await;
    let mut first = connect_from(&server, 1).await;
    first.send(WAITING).await;
    until_waiting(&server, 1).await;
    let mut second = connect_from(&server, 1).await;
    second.send(HELLO).await;
    assert_eq!(second.response().await.0, 503);
    let mut other = connect_from(&server, 2).await;
    other.send(HELLO).await;
    assert_eq!(other.response().await.0, 200);
    server.service.go_on.notify_waiters();
    assert_eq!(first.response().await.0, 200);
    second.send(HELLO).await;
    assert_eq!(second.response().await.0, 200, "on the same connection");
}

#[tokio::test]
async fn thousands_of_idle_connections_shut_nobody_out() {
    let server = Server::with(Limits {
        max_connections: 500,
        ..Limits::default()
    })
    .await;
    let mut idle = Vec::new();
    for number in 0..2000_u32 {
        let mut client = connect_from(&server, 1 + (number % 3) as u8).await;
        if number % 2 == 0 {
            client.send("GET /half-a-head HTTP/1.1\r\n").await;
        }
        idle.push(client);
    }
    let began = Instant::now();
    let mut normal = connect_from(&server, 9).await;
    for _ in 0..10 {
        normal.send(HELLO).await;
        assert_eq!(normal.response().await.0, 200);
    }
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    drop(idle);
    server.assert_well().await;
}

#[tokio::test]
async fn a_slow_body_gives_way_when_others_wait_for_memory() {
    let pressed = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&pressed);
    let server = Server::with(Limits {
        pressure: Pressure::new(move || asked.load(Ordering::Relaxed)),
        ..Limits::default()
    })
    .await;
    let mut slow = server.connect().await;
    slow.send("PUT /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 9000000\r\n\r\n")
        .await;
    let mut brisk = server.connect().await;
    brisk
        .send("PUT /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n")
        .await;
    sleep(Duration::from_millis(200)).await;
    pressed.store(true, Ordering::Relaxed);
    let began = Instant::now();
    // 200 kB/s and 10 kB/s; 64 KiB/s is asked for.
    for _ in 0..50 {
        brisk.send(vec![b'x'; 20_000]).await;
        slow.send(vec![b'x'; 1000]).await;
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(slow.response().await, (400, "too slow".to_owned()));
    // By the rule for all bodies it would have had a minute.
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert_eq!(brisk.response().await.0, 200);
}
