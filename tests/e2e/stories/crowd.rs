//! Ten thousand idle connections and hundreds of slow uploads, and a client that just wants to work:
//! it is served, and when the others have gone nothing of them is left.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::client::{Call, Client, Payload};
use crate::support::http;
use crate::support::random::Random;
use crate::support::server::Server;

const IDLE: usize = 10_000;
const SLOW: usize = 300;
/// Six times what the memory budget takes of them at once.
const SLOW_LEN: usize = 64 << 20;
/// What an SDK does that is told to slow down.
const TRIES: usize = 4;

#[test]
fn ten_thousand_idle_and_hundreds_of_slow_clients_shut_nobody_out() {
    raise_file_limit();
    let mut server = Server::start("crowd");
    let client = server.client();
    client.create_bucket("crowd");
    let body = Random::new(3).bytes(3 << 20);
    client.put("crowd", "before", &body);
    let files = open_files(&server);

    let idle = idle_connections(server.s3);
    let stop = AtomicBool::new(false);
    let slow = slow_uploads(&client);
    let mut slowest = Duration::ZERO;
    thread::scope(|scope| {
        scope.spawn(|| trickle(slow, &stop));
        thread::sleep(Duration::from_secs(1));
        for number in 0..10 {
            let began = Instant::now();
            let key = format!("object-{number}");
            patient(&client, &Call::object("PUT", "crowd", &key).body(&body));
            let got = patient(&client, &Call::object("GET", "crowd", &key));
            assert!(got == body, "{key} reads back");
            patient(&client, &Call::new("GET", "/crowd").query("list-type", "2"));
            slowest = slowest.max(began.elapsed());
        }
        stop.store(true, Ordering::Relaxed);
    });
    println!(
        "{} idle and {SLOW} slow connections: PUT, GET and LIST took at most {} ms",
        idle.len(),
        slowest.as_millis()
    );
    drop(idle);
    server.wait_until("its files are closed", Duration::from_secs(30), |server| {
        // Drives may keep a handful of segments open that were not before.
        open_files(server) <= files + 30
    });
    let list = client.expect(200, &Call::new("GET", "/crowd").query("list-type", "2"));
    let keys = String::from_utf8_lossy(&list.body).matches("<Key>").count();
    assert_eq!(keys, 11, "no slow upload has become an object");
}

/// Connections that say nothing, or half a head.
fn idle_connections(address: SocketAddr) -> Vec<TcpStream> {
    (0..IDLE)
        .map(|number| {
            let mut stream = http::connect(address).unwrap_or_else(|error| {
                panic!("connection {number} of {IDLE} can't be made: {error}")
            });
            if number.is_multiple_of(2) {
                // One that has given way to a later one may be closed already.
                let _closed = stream.write_all(b"GET /crowd HTTP/1.1\r\nhost: h\r\n");
            }
            stream
        })
        .collect()
}

/// The heads of large uploads, rightly signed, and the first bytes of their bodies.
fn slow_uploads(client: &Client) -> Vec<TcpStream> {
    (0..SLOW)
        .map(|number| {
            let call = Call::object("PUT", "crowd", &format!("slow-{number}"))
                .payload(Payload::Unsigned)
                .header("content-length", &SLOW_LEN.to_string());
            let mut stream = http::connect(client.address).unwrap();
            let _refused = stream.write_all(&client.signed(&call));
            stream
        })
        .collect()
}

/// Two KiB a second on each: enough not to be too slow while nobody waits for them.
fn trickle(mut uploads: Vec<TcpStream>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        uploads.retain_mut(|stream| stream.write_all(&[b'x'; 1024]).is_ok());
        thread::sleep(Duration::from_millis(500));
    }
}

/// Sends it, and again where it is told to slow down; gives the answer's body.
fn patient(client: &Client, call: &Call) -> Vec<u8> {
    for _ in 1..TRIES {
        match client.try_send(call) {
            Ok(answer) if answer.status == 503 => assert_eq!(answer.code(), "SlowDown"),
            Ok(answer) => {
                assert_eq!(answer.status, 200, "{}", answer.shown());
                return answer.body;
            }
            Err(error) => println!("{}: {error}", call.shown()),
        }
        thread::sleep(Duration::from_millis(500));
    }
    client.expect(200, call).body
}

fn open_files(server: &Server) -> usize {
    fs::read_dir(format!("/proc/{}/fd", server.pid()))
        .expect("the process can be looked at")
        .count()
}

/// The connections of the test itself.
fn raise_file_limit() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, raised).expect("a limit can be raised to its maximum");
    assert!(
        maximum.is_none_or(|most| most as usize > IDLE + SLOW + 200),
        "this test needs {IDLE} open files: raise the hard limit (ulimit -Hn)"
    );
}
