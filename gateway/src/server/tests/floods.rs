//! HTTP/2 frames that no library would send: each flood ends, costs a bounded number of requests,
//! and leaves the server well.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::{Client, Limits, Server, WAIT};

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const DATA: u8 = 0;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

const REFUSED_STREAM: u32 = 7;

struct Frame {
    kind: u8,
    stream: u32,
    payload: Vec<u8>,
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = (payload.len() as u32).to_be_bytes();
    let head = [&len[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// `:method GET`, `:scheme http`, `:path PATH`, `:authority h`, none of it compressed.
fn get(path: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x86, 0x04, path.len() as u8];
    block.extend(path.bytes());
    block.extend([0x01, 1, b'h']);
    block
}

/// A header that is not compressed, and that no table remembers. Shorter than 127 bytes each.
fn header(name: &str, value: &str) -> Vec<u8> {
    let mut block = vec![0, name.len() as u8];
    block.extend(name.bytes());
    block.push(value.len() as u8);
    block.extend(value.bytes());
    block
}

/// Says that it speaks HTTP/2. `settings`: pairs of identifier and value.
async fn connect(server: &Server, settings: &[(u16, u32)]) -> Client {
    let mut client = server.connect().await;
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    let payload: Vec<u8> = settings
        .iter()
        .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()[..]].concat())
        .collect();
    client.send(frame(SETTINGS, 0, 0, &payload)).await;
    client
}

/// The next frame; `None` once the server has closed.
async fn next(client: &mut Client) -> Option<Frame> {
    let mut head = [0; 9];
    let read = timeout(WAIT, client.0.read_exact(&mut head)).await;
    read.expect("the server says or closes something").ok()?;
    let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    let mut payload = vec![0; len];
    client.0.read_exact(&mut payload).await.ok()?;
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & !(1 << 31);
    Some(Frame {
        kind: head[3],
        stream,
        payload,
    })
}

/// Frames up to the first that `wanted` takes, or the end.
async fn until(client: &mut Client, wanted: impl Fn(&Frame) -> bool) -> Option<Frame> {
    loop {
        match next(client).await {
            Some(frame) if wanted(&frame) => return Some(frame),
            Some(_) => {}
            None => return None,
        }
    }
}

/// Sends `flood` until the server does not take it any more: how many bytes it took.
async fn pour(client: &mut Client, mut flood: impl FnMut() -> Vec<u8>, most: usize) -> usize {
    let (mut reader, mut writer) = client.0.split();
    // What the server says must be read, or it would only wait for us.
    let listen = async {
        let mut heard = vec![0; 64 << 10];
        while matches!(reader.read(&mut heard).await, Ok(len) if len > 0) {}
    };
    let mut sent = 0;
    let speak = async {
        while sent < most {
            let piece = flood();
            if writer.write_all(&piece).await.is_err() {
                break;
            }
            sent += piece.len();
        }
    };
    tokio::select! {
        () = listen => {}
        () = speak => {}
    }
    sent
}

#[tokio::test]
async fn a_head_that_goes_on_for_ever_is_cut_off() {
    let server = Server::start().await;
    let mut client = connect(&server, &[]).await;
    client
        .send(frame(HEADERS, END_STREAM, 1, &get("/endless")))
        .await;
    let more = header("x-more", &"v".repeat(100)).repeat(100);
    let most = 64 << 20;
    let taken = pour(&mut client, || frame(CONTINUATION, 0, 1, &more), most).await;
    assert!(taken < most, "it took {taken} bytes of one head");
    assert!(server.service.seen().is_empty());
    server.assert_well().await;
}

#[tokio::test]
async fn empty_continuations_are_cut_off() {
    let server = Server::start().await;
    let mut client = connect(&server, &[]).await;
    client
        .send(frame(HEADERS, END_STREAM, 1, &get("/endless")))
        .await;
    let empty = frame(CONTINUATION, 0, 1, &[]).repeat(1000);
    let most = 64 << 20;
    let taken = pour(&mut client, || empty.clone(), most).await;
    assert!(taken < most, "it took {taken} bytes of nothing");
    server.assert_well().await;
}

#[tokio::test]
async fn requests_that_are_reset_as_soon_as_sent_end_the_connection() {
    let server = Server::start().await;
    let mut client = connect(&server, &[]).await;
    let mut stream = 1;
    let mut opened = 0;
    let flood = || {
        let mut piece = Vec::new();
        for _ in 0..100 {
            let flags = END_STREAM | END_HEADERS;
            piece.extend(frame(HEADERS, flags, stream, &get("/wait")));
            piece.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
            stream += 2;
            opened += 1;
        }
        piece
    };
    let most = 64 << 20;
    let taken = pour(&mut client, flood, most).await;
    assert!(taken < most, "{opened} requests were opened and reset");
    assert!(
        server.service.seen().len() < 1000,
        "{} of {opened} requests cost us something",
        server.service.seen().len()
    );
    server.assert_well().await;
}

#[tokio::test]
async fn more_requests_at_once_than_allowed_are_refused() {
    let server = Server::start().await;
    let mut client = connect(&server, &[]).await;
    // Before we have acknowledged the server's limit we may not know it.
    for stream in (1..=301).step_by(2) {
        let flags = END_STREAM | END_HEADERS;
        client
            .send(frame(HEADERS, flags, stream, &get("/wait")))
            .await;
    }
    let refused = until(&mut client, |frame| frame.kind == RST_STREAM).await;
    let refused = refused.expect("one is refused, and the rest goes on");
    assert_eq!(refused.payload, REFUSED_STREAM.to_be_bytes());
    assert!(refused.stream > 2 * 128, "stream {} is", refused.stream);
    assert!(server.service.seen().len() <= 128);
    server.assert_well().await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_and_one_that_is_not_is_taken() {
    let server = Server::start().await;
    let mut client = connect(&server, &[]).await;
    // As HTTP/2 counts: name and value and 32 bytes each.
    let block = |headers: usize| {
        let more = header("x-m", &"v".repeat(93)).repeat(headers);
        [get("/head"), more].concat()
    };
    let flags = END_STREAM | END_HEADERS;
    client.send(frame(HEADERS, flags, 1, &block(90))).await;
    let answer = until(&mut client, |frame| frame.kind == HEADERS)
        .await
        .unwrap();
    assert_eq!((answer.stream, answer.payload[0]), (1, 0x88), ":status 200");
    client.send(frame(HEADERS, flags, 3, &block(140))).await;
    let answer = until(&mut client, |frame| frame.stream == 3).await;
    // 431, or the stream is reset: never a request.
    assert!(answer.is_some_and(|frame| frame.payload.first() != Some(&0x88)));
    assert_eq!(server.service.seen().len(), 1);
    server.assert_well().await;
}

#[tokio::test]
async fn pings_settings_and_empty_data_cost_nothing_that_grows() {
    let server = Server::start().await;
    for (name, piece) in [
        ("pings", frame(PING, 0, 0, &[0; 8])),
        ("settings", frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9])),
    ] {
        let mut client = connect(&server, &[]).await;
        let piece = piece.repeat(1000);
        // Nothing is read: the answers have nowhere to go, so the server must stop to take more.
        let mut sent = 0;
        while sent < 256 << 20 {
            match timeout(Duration::from_secs(2), client.0.write_all(&piece)).await {
                Ok(Ok(())) => sent += piece.len(),
                Ok(Err(_)) | Err(_) => break,
            }
        }
        assert!(
            sent < 256 << 20,
            "{name}: {sent} bytes were taken unanswered"
        );
        server.assert_well().await;
    }
    let mut client = connect(&server, &[]).await;
    client
        .send(frame(HEADERS, END_HEADERS, 1, &get("/echo")))
        .await;
    let empty = frame(DATA, 0, 1, &[]).repeat(1000);
    let most = 16 << 20;
    pour(&mut client, || empty.clone(), most).await;
    server.assert_well().await;
}

#[tokio::test]
async fn a_window_that_overflows_is_an_error() {
    let server = Server::start().await;
    let mut client = connect(&server, &[]).await;
    for _ in 0..3 {
        let most = (i32::MAX as u32).to_be_bytes();
        client.send(frame(WINDOW_UPDATE, 0, 0, &most)).await;
    }
    let bye = until(&mut client, |frame| frame.kind == GO_AWAY).await;
    assert!(bye.is_some(), "the connection is given up");
    server.assert_well().await;
}

/// It opens no window: to the socket it looks as if it had taken all that there is.
#[tokio::test]
async fn a_client_that_takes_nothing_of_a_stream_is_given_up() {
    let server = Server::with(Limits {
        write_timeout: Duration::from_millis(300),
        ..Limits::default()
    })
    .await;
    let no_window = (4, 0);
    let mut client = connect(&server, &[no_window]).await;
    let flags = END_STREAM | END_HEADERS;
    client.send(frame(HEADERS, flags, 1, &get("/big"))).await;
    let end = async {
        while next(&mut client)
            .await
            .is_some_and(|it| it.kind != RST_STREAM)
        {}
    };
    timeout(WAIT, end).await.expect("its answer is given up");
    server.assert_well().await;
}
