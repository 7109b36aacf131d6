//! A stop finishes what is in flight, and does not wait for ever.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::{Client, Limits, Server, Stopped, WAIT};

async fn in_flight(server: &Server) -> Client {
    let mut client = server.connect().await;
    client.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n").await;
    while server.service.waiting.load(Ordering::SeqCst) == 0 {
        sleep(Duration::from_millis(5)).await;
    }
    client
}

#[tokio::test]
async fn requests_in_flight_are_finished_and_idle_connections_closed() {
    let mut server = Server::start().await;
    let mut idle = server.connect().await;
    idle.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(idle.response().await.0, 200);
    let mut silent = server.connect().await;
    let mut busy = in_flight(&server).await;

    server.begin_stop();
    assert!(idle.is_closed_within(WAIT).await);
    assert!(silent.is_closed_within(WAIT).await);
    assert!(
        TcpStream::connect(server.address).await.is_err(),
        "nobody listens any more"
    );
    assert!(!server.stopped.is_finished());
    server.service.go_on.notify_waiters();
    assert_eq!(busy.response().await, (200, "waited".to_owned()));
    assert!(busy.is_closed_within(WAIT).await);
    let stopped = timeout(WAIT, server.stopped).await.unwrap().unwrap();
    assert_eq!(stopped, Stopped { cut_connections: 0 });
}

#[tokio::test]
async fn at_the_deadline_what_is_left_is_cut_and_counted() {
    let stop_deadline = Duration::from_millis(200);
    let mut server = Server::with(Limits {
        stop_deadline,
        ..Limits::default()
    })
    .await;
    let mut busy = in_flight(&server).await;
    server.begin_stop();
    let stopped = timeout(WAIT, server.stopped).await.unwrap().unwrap();
    assert_eq!(stopped, Stopped { cut_connections: 1 });
    assert!(busy.is_closed_within(WAIT).await);
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_request() {
    let server = Server::start().await;
    let busy = in_flight(&server).await;
    drop(busy);
    let left = async {
        while !server.service.left.load(Ordering::SeqCst) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(WAIT, left)
        .await
        .expect("the handler's future is dropped");
    server.assert_well().await;
}
