//! A real listener and clients that write bytes, so that they can send what no library would.

mod bodies;
mod crowd;
mod floods;
mod heads;
mod limits;
mod proxied;
mod stopping;
mod tls;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{
    BodyError, HttpService, Limits, Outcome, Refusal, RequestBody, RequestId, Scheme, Stopped,
    Transport, serve,
};

/// Answers by path: `/echo` gives the body back, `/early` does not read it, `/wait` answers when
/// told to, `/big` gives 64 MiB, `/panic` panics; anything else says what it was.
#[derive(Default)]
struct TestService {
    seen: Mutex<Vec<String>>,
    outcomes: Mutex<Vec<Outcome>>,
    body_errors: Mutex<Vec<String>>,
    waiting: AtomicUsize,
    go_on: Notify,
    left: AtomicBool,
}

impl TestService {
    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    async fn wait(&self) {
        struct Left<'a>(&'a AtomicBool);
        impl Drop for Left<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let _left = Left(&self.left);
        let go_on = self.go_on.notified();
        self.waiting.fetch_add(1, Ordering::SeqCst);
        go_on.await;
    }
}

fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .body(Full::new(text.into()))
        .unwrap()
}

impl HttpService for TestService {
    type Body = Full<Bytes>;

    async fn call(&self, request: Request<RequestBody>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        assert!(head.extensions.get::<RequestId>().is_some());
        let client = *head.extensions.get::<SocketAddr>().unwrap();
        let scheme = *head.extensions.get::<Scheme>().unwrap();
        let host = head.headers["host"].to_str().unwrap();
        let line = format!("{} {host} {}", head.method, head.uri.path());
        self.seen.lock().unwrap().push(line.clone());
        match head.uri.path() {
            "/echo" => match body.collect().await {
                Ok(whole) => text(StatusCode::OK, whole.to_bytes()),
                Err(error) => {
                    let kind = match error {
                        BodyError::TooSlow { .. } => "too slow",
                        BodyError::Broken(_) => "broken",
                    };
                    self.body_errors.lock().unwrap().push(kind.to_owned());
                    text(StatusCode::BAD_REQUEST, kind)
                }
            },
            "/early" => text(StatusCode::FORBIDDEN, "no"),
            "/wait" => {
                self.wait().await;
                text(StatusCode::OK, "waited")
            }
            "/big" => text(StatusCode::OK, vec![b'b'; 64 << 20]),
            "/client" => text(StatusCode::OK, client.to_string()),
            "/scheme" => text(StatusCode::OK, scheme.as_str()),
            "/panic" => panic!("a test wants it"),
            _ => text(StatusCode::OK, line),
        }
    }

    fn refuse(&self, refusal: Refusal, id: RequestId) -> Response<Full<Bytes>> {
        text(refusal.status(), format!("refused {id}: {refusal}"))
    }

    fn observe(&self, outcome: &Outcome) {
        self.outcomes.lock().unwrap().push(outcome.clone());
    }
}

struct Server {
    address: SocketAddr,
    service: Arc<TestService>,
    stop: Option<oneshot::Sender<()>>,
    stopped: JoinHandle<Stopped>,
}

impl Server {
    async fn start() -> Self {
        Self::with(Limits::default()).await
    }

    async fn with(limits: Limits) -> Self {
        Self::reached_by(Transport::default(), limits).await
    }

    async fn reached_by(transport: Transport, limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = Arc::new(TestService::default());
        let (stop, stopped) = oneshot::channel::<()>();
        let running = serve(listener, transport, Arc::clone(&service), limits, async {
            let _dropped = stopped.await;
        });
        Self {
            address,
            service,
            stop: Some(stop),
            stopped: tokio::spawn(running),
        }
    }

    async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }

    /// Sends bytes on a connection of their own and reads until the server closes it.
    async fn exchange(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut client = self.connect().await;
        client.send(bytes).await;
        client.read_to_close().await
    }

    /// The server is well if it answers.
    async fn assert_well(&self) {
        let mut client = self.connect().await;
        client.send("GET /well HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert_eq!(client.response().await, (200, "GET h /well".to_owned()));
    }

    fn begin_stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }
}

struct Client(TcpStream);

impl Client {
    /// Sends; a server that does not want it may close meanwhile.
    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _closed = self.0.write_all(bytes.as_ref()).await;
    }

    async fn read_to_close(&mut self) -> String {
        let mut all = Vec::new();
        let read = timeout(WAIT, self.0.read_to_end(&mut all)).await;
        read.expect("the server closes the connection")
            .expect("without a reset");
        String::from_utf8(all).unwrap()
    }

    /// Reads one answer: its status and its body.
    async fn response(&mut self) -> (u16, String) {
        let (status, _head, body) = self.response_with_head().await;
        (status, body)
    }

    async fn response_with_head(&mut self) -> (u16, String, String) {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            head.push(char::from(
                timeout(WAIT, self.0.read_u8()).await.unwrap().unwrap(),
            ));
        }
        let head = head.to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head.split("content-length: ").nth(1).map_or(0, |rest| {
            rest.split("\r\n").next().unwrap().parse().unwrap()
        });
        let mut body = vec![0; length];
        timeout(WAIT, self.0.read_exact(&mut body))
            .await
            .unwrap()
            .unwrap();
        (status, head, String::from_utf8(body).unwrap())
    }

    /// Whether the server closes the connection, cleanly or not, without a word.
    async fn is_closed_within(&mut self, wait: Duration) -> bool {
        match timeout(wait, self.0.read_u8()).await {
            Ok(Ok(byte)) => panic!("the server said {byte}"),
            Ok(Err(_)) => true,
            Err(_) => false,
        }
    }
}

/// Statuses of all answers in what a connection gave.
fn statuses(text: &str) -> Vec<u16> {
    text.split("HTTP/1.1 ")
        .skip(1)
        .map(|rest| rest[..3].parse().unwrap())
        .collect()
}

/// Longer than anything takes that is not broken.
const WAIT: Duration = Duration::from_secs(20);
