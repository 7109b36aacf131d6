//! Bodies that nobody reads, and the client's `Expect`.

use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use super::{Server, WAIT};

#[tokio::test]
async fn a_client_whose_big_body_is_not_wanted_reads_the_answer_not_a_reset() {
    let server = Server::start().await;
    for _ in 0..5 {
        let mut client = server.connect().await;
        client
            .send("PUT /early HTTP/1.1\r\nHost: h\r\nContent-Length: 12000000\r\n\r\n")
            .await;
        // Sends all of it before it reads anything, as simple clients do.
        tokio::io::AsyncWriteExt::write_all(&mut client.0, &vec![b'x'; 12_000_000])
            .await
            .expect("the server takes what still comes");
        let (status, head, body) = client.response_with_head().await;
        assert_eq!((status, body.as_str()), (403, "no"));
        assert!(head.contains("connection: close"), "{head}");
        assert_eq!(
            timeout(WAIT, client.0.read(&mut [0]))
                .await
                .unwrap()
                .unwrap(),
            0
        );
    }
    server.assert_well().await;
}

#[tokio::test]
async fn a_small_body_that_is_not_wanted_costs_no_connection() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    for _ in 0..3 {
        client
            .send("PUT /early HTTP/1.1\r\nHost: h\r\nContent-Length: 20000\r\n\r\n")
            .await;
        client.send(vec![b'x'; 20_000]).await;
        let (status, head, _) = client.response_with_head().await;
        assert_eq!(status, 403);
        assert!(!head.contains("connection: close"), "{head}");
    }
}

#[tokio::test]
async fn who_expects_to_go_on_is_told_so_only_when_the_body_is_wanted() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let head = "Host: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    client.send(format!("PUT /echo HTTP/1.1\r\n{head}")).await;
    assert_eq!(client.response().await.0, 100);
    client.send("abc").await;
    assert_eq!(client.response().await, (200, "abc".to_owned()));

    client.send(format!("PUT /early HTTP/1.1\r\n{head}")).await;
    let (status, head, body) = client.response_with_head().await;
    assert_eq!((status, body.as_str()), (403, "no"), "and no 100 before it");
    assert!(head.contains("connection: close"), "{head}");
}

#[tokio::test]
async fn who_expects_to_go_on_with_nothing_gets_a_new_connection() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let head = "Host: h\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n";
    client.send(format!("PUT /echo HTTP/1.1\r\n{head}")).await;
    let (status, head, _) = client.response_with_head().await;
    assert_eq!(status, 200);
    assert!(head.contains("connection: close"), "{head}");
}

#[tokio::test]
async fn a_panic_is_one_requests_misfortune() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    client.send("GET /panic HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let (status, body) = client.response().await;
    assert_eq!(status, 500);
    assert!(body.contains("We encountered an internal error"), "{body}");
    assert!(!body.contains("a test wants it"), "{body}");
    client.send("GET /next HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(client.response().await, (200, "GET h /next".to_owned()));
}

#[tokio::test]
async fn what_went_by_is_told_when_it_is_over() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    client
        .send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello")
        .await;
    assert_eq!(client.response().await.0, 200);
    client.send("GET /big HTTP/1.1\r\nHost: h\r\n\r\n").await;
    client.0.read_exact(&mut [0; 1000]).await.unwrap();
    drop(client);
    let outcomes = loop {
        let outcomes = server.service.outcomes.lock().unwrap().clone();
        if outcomes.len() == 2 {
            break outcomes;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    let echo = &outcomes[0];
    assert_eq!(
        (echo.status.as_u16(), echo.received_bytes, echo.sent_bytes),
        (200, 5, 5)
    );
    assert!(echo.complete);
    assert_eq!(outcomes[1].method, "GET");
}
