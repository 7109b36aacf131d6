//! A webhook's receiver: takes events, or (if it is moody) fails, hangs up, or takes them and says
//! nothing.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

use crate::support::random::Random;

/// How it takes events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    Good,
    Moody,
    /// Refuses what is of a key that begins with `poison`, until it is cured.
    Picky,
}

/// An event that was answered with 200, or was to be.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) name: String,
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) sequencer: String,
    pub(super) etag: Option<String>,
}

#[derive(Default)]
struct Heard {
    connections: AtomicU64,
    is_cured: AtomicBool,
    requests: Mutex<Vec<String>>,
    taken: Mutex<Vec<Event>>,
}

pub(super) struct Receiver {
    port: u16,
    heard: Arc<Heard>,
}

impl Receiver {
    pub(super) fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Heard::default());
        let shared = Arc::clone(&heard);
        // It ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let number = shared.connections.fetch_add(1, Ordering::SeqCst);
                let shared = Arc::clone(&shared);
                thread::spawn(move || serve(stream, manner, &shared, number));
            }
        });
        Self { port, heard }
    }

    /// Nobody listens there.
    pub(super) fn refusing() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        Self {
            port,
            heard: Arc::default(),
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    pub(super) fn connections(&self) -> u64 {
        self.heard.connections.load(Ordering::SeqCst)
    }

    /// From now on a picky one refuses nothing.
    pub(super) fn cure(&self) {
        self.heard.is_cured.store(true, Ordering::SeqCst);
    }

    /// All requests, as they came.
    pub(super) fn requests(&self) -> Vec<String> {
        self.heard.requests.lock().unwrap().clone()
    }

    /// All events that it took, in that order.
    pub(super) fn taken(&self) -> Vec<Event> {
        self.heard.taken.lock().unwrap().clone()
    }
}

fn serve(stream: TcpStream, manner: Manner, heard: &Heard, number: u64) {
    let mut random = Random::new(number);
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    while let Some((head, body)) = read_request(&mut reader) {
        heard.requests.lock().unwrap().push(head + &body);
        let is_picky = manner == Manner::Picky && !heard.is_cured.load(Ordering::SeqCst);
        if is_picky && body.contains("\"key\":\"poison") {
            let refused = "HTTP/1.1 422 Not This\r\ncontent-length: 0\r\n\r\n";
            if stream.write_all(refused.as_bytes()).is_err() {
                return;
            }
            continue;
        }
        let mood = if manner == Manner::Moody {
            random.below(100)
        } else {
            99
        };
        let answer = match mood {
            // Not taken.
            0..5 => "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n",
            5..8 => return,
            _ => {
                take(heard, &body);
                "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
            }
        };
        // Taken, and nobody hears of it.
        if (8..10).contains(&mood) || stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn take(heard: &Heard, body: &str) {
    let message: Value = serde_json::from_str(body).unwrap();
    for record in message["Records"].as_array().into_iter().flatten() {
        let object = &record["s3"]["object"];
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        heard.taken.lock().unwrap().push(Event {
            name: text(&record["eventName"]),
            bucket: text(&record["s3"]["bucket"]["name"]),
            key: decoded(object["key"].as_str().unwrap()),
            sequencer: text(&object["sequencer"]),
            etag: object["eTag"].as_str().map(str::to_owned),
        });
    }
}

/// As a form's values are decoded.
fn decoded(text: &str) -> String {
    let spaced = text.replace('+', " ");
    let bytes = percent_encoding::percent_decode_str(&spaced);
    bytes.decode_utf8().unwrap().into_owned()
}

fn read_request(reader: &mut BufReader<TcpStream>) -> Option<(String, String)> {
    let (mut head, mut len) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            len = value.trim().parse().unwrap();
        }
        head.push_str(&line);
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; len];
    reader.read_exact(&mut body).ok()?;
    Some((head, String::from_utf8(body).unwrap()))
}
