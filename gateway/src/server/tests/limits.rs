//! Every wait for a client ends.

use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::time::sleep;

use super::{Limits, Server};

const SHORT: Duration = Duration::from_millis(300);
/// Between the timeouts that are short here and those that are not (10 s at least).
const MIDDLE: Duration = Duration::from_secs(9);

#[tokio::test]
async fn a_head_that_trickles_is_given_up() {
    let server = Server::with(Limits {
        head_timeout: SHORT,
        ..Limits::default()
    })
    .await;
    let mut client = server.connect().await;
    let began = Instant::now();
    for byte in b"GET / HTTP/1.1\r\nHost: hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh".chunks(1) {
        client.send(byte).await;
        sleep(Duration::from_millis(20)).await;
    }
    assert!(client.is_closed_within(MIDDLE).await);
    assert!(began.elapsed() < MIDDLE);
    assert!(server.service.seen().is_empty());
}

#[tokio::test]
async fn a_connection_without_requests_is_closed() {
    let server = Server::with(Limits {
        idle_timeout: SHORT,
        ..Limits::default()
    })
    .await;
    let mut silent = server.connect().await;
    assert!(
        silent.is_closed_within(MIDDLE).await,
        "before the first request"
    );
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(client.response().await.0, 200);
    assert!(client.is_closed_within(MIDDLE).await, "after a request");
}

#[tokio::test]
async fn an_idle_connection_outlives_the_time_for_a_head() {
    let server = Server::with(Limits {
        head_timeout: SHORT,
        ..Limits::default()
    })
    .await;
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(client.response().await.0, 200);
    assert!(!client.is_closed_within(SHORT * 3).await);
    client.send("GET /again HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(client.response().await.0, 200);
}

#[tokio::test]
async fn a_body_that_stops_is_too_slow() {
    let server = Server::with(Limits {
        body_idle_timeout: SHORT,
        ..Limits::default()
    })
    .await;
    let mut client = server.connect().await;
    client
        .send("PUT /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nabc")
        .await;
    let (status, head, body) = client.response_with_head().await;
    assert_eq!((status, body.as_str()), (400, "too slow"));
    assert!(head.contains("connection: close"), "{head}");
}

#[tokio::test]
async fn a_body_that_trickles_is_too_slow() {
    let server = Server::with(Limits {
        body_rate_window: SHORT,
        ..Limits::default()
    })
    .await;
    let mut client = server.connect().await;
    client
        .send("PUT /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n")
        .await;
    let began = Instant::now();
    for _ in 0..40 {
        client.send("x").await;
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(client.response().await, (400, "too slow".to_owned()));
    assert!(began.elapsed() < MIDDLE);
}

#[tokio::test]
async fn a_body_that_is_slow_but_not_too_slow_is_taken() {
    // Wide enough for a machine that is busy elsewhere, and several of them long.
    let limits = Limits {
        body_rate_window: SHORT * 4,
        body_idle_timeout: SHORT * 4,
        ..Limits::default()
    };
    let server = Server::with(limits).await;
    let mut client = server.connect().await;
    client
        .send("PUT /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 40000\r\n\r\n")
        .await;
    for _ in 0..40 {
        client.send([b'x'; 1000]).await;
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(client.response().await.0, 200);
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_is_given_up() {
    let server = Server::with(Limits {
        write_timeout: SHORT,
        ..Limits::default()
    })
    .await;
    let mut client = server.connect().await;
    client.send("GET /big HTTP/1.1\r\nHost: h\r\n\r\n").await;
    sleep(SHORT * 4).await;
    let mut taken = Vec::new();
    let _reset = client.0.read_to_end(&mut taken).await;
    assert!(taken.len() < 64 << 20, "it got {} bytes", taken.len());
    let outcome = server.service.outcomes.lock().unwrap()[0].clone();
    assert_eq!(outcome.status.as_u16(), 200);
    server.assert_well().await;
}

#[tokio::test]
async fn a_client_that_takes_its_answer_by_drops_is_given_up_and_one_that_is_slow_is_not() {
    let server = Server::with(Limits {
        write_rate_window: Duration::from_secs(2),
        ..Limits::default()
    })
    .await;
    // Takes 200 B/s: nothing that the kernel would report within the window.
    let mut dripping = server.connect().await;
    dripping.send("GET /big HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let drip = async {
        let mut drop = [0; 20];
        while server.service.outcomes.lock().unwrap().is_empty() {
            let _reset = dripping.0.read_exact(&mut drop).await;
            sleep(Duration::from_millis(100)).await;
        }
    };
    // Takes 2 MB/s, and would do so for half a minute.
    let mut slow = server.connect().await;
    slow.send("GET /big HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let take = async {
        let mut piece = vec![0; 100_000];
        loop {
            let served_on = slow.0.read_exact(&mut piece).await;
            served_on.expect("it is served on");
            sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = drip => {}
        () = take => {}
        () = sleep(MIDDLE * 4) => panic!("it is not given up"),
    }
}
