//! What a client may take of us. One place, each with its reason.

use std::time::Duration;

use super::pace::Slowest;
use super::pressure::Pressure;

/// Limits of one listener.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once, half of them at most of one client. Each may hold
    /// [`READ_BUFFER_BYTES`]. An idle one gives way to a new one.
    pub max_connections: usize,
    /// Requests at once, half of them at most of one client. Further ones are told to slow down.
    pub max_requests: usize,
    /// For what comes before HTTP: the PROXY protocol and TLS.
    pub handshake_timeout: Duration,
    /// From a request's first byte to the end of its head. A slower client holds a connection for
    /// nothing (slowloris).
    pub head_timeout: Duration,
    /// How long a connection may be kept without a request.
    pub idle_timeout: Duration,
    /// How long a body may bring nothing while we wait for it.
    pub body_idle_timeout: Duration,
    /// While we wait for a body it must bring [`MIN_BODY_BYTES_PER_SEC`], on average over this long.
    pub body_rate_window: Duration,
    /// How long a client may take nothing of an answer.
    pub write_timeout: Duration,
    /// While we wait for a client to take an answer it must take [`MIN_ANSWER_BYTES_PER_SEC`], on
    /// average over this long.
    pub write_rate_window: Duration,
    /// How long a stop waits for requests in flight.
    pub stop_deadline: Duration,
    /// Whether requests wait for memory. Then clients must send and take
    /// [`PRESSED_BYTES_PER_SEC`], on average over [`PRESSED_WINDOW`], or give way.
    pub pressure: Pressure,
}

impl Limits {
    /// For a process that may have so many files open: a third for connections, and as many
    /// requests as can have all fragments of an object open in half of it.
    #[must_use]
    pub fn for_open_files(files: u64) -> Self {
        let files = usize::try_from(files).unwrap_or(usize::MAX);
        let limits = Self::default();
        Self {
            max_connections: limits
                .max_connections
                .min(files / 3 / OPEN_AND_CLOSING)
                .max(16),
            max_requests: limits
                .max_requests
                .min(files / 2 / FILES_OF_A_REQUEST)
                .max(16),
            ..limits
        }
    }

    /// How slowly a client may take an answer now.
    pub(super) fn slowest_taker(&self) -> Slowest {
        if self.pressure.is_there() {
            return Slowest::under_pressure();
        }
        Slowest {
            idle_timeout: self.write_timeout,
            window: self.write_rate_window,
            bytes_per_sec: MIN_ANSWER_BYTES_PER_SEC,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 8192,
            max_requests: 2048,
            handshake_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            body_idle_timeout: Duration::from_secs(60),
            body_rate_window: Duration::from_secs(60),
            write_timeout: Duration::from_secs(60),
            write_rate_window: Duration::from_secs(60),
            stop_deadline: Duration::from_secs(30),
            pressure: Pressure::default(),
        }
    }
}

/// A body that comes slower than this keeps its resources for hours.
pub(super) const MIN_BODY_BYTES_PER_SEC: u64 = 1 << 10;
/// What a client must send or take while others wait for the memory that its request holds. 500 kbit/s:
/// a phone does. Shorter than others wait for memory (10 s), so that they get it.
pub(super) const PRESSED_BYTES_PER_SEC: u64 = 64 << 10;
pub(super) const PRESSED_WINDOW: Duration = Duration::from_secs(2);
/// How soon a client that we wait for is judged anew: pressure may have come meanwhile.
pub(super) const JUDGED_EVERY: Duration = Duration::from_millis(500);

/// Of all sockets so many may be of connections that gave way or are being closed.
pub(super) const OPEN_AND_CLOSING: usize = 2;
/// Connections that get no place, and are only told to slow down; more are closed without a word.
pub(super) const MAX_UNPLACED: usize = 64;
/// How long that may take: handshake, head and answer.
pub(super) const UNPLACED_TIMEOUT: Duration = Duration::from_secs(3);
/// A PUT at 4+2 has six fragments open, and a folder of each while it is made durable.
const FILES_OF_A_REQUEST: usize = 12;

/// An answer that goes slower than this keeps its memory for hours.
pub(super) const MIN_ANSWER_BYTES_PER_SEC: u64 = 1 << 10;
/// What the kernel may hold of an answer beyond what is on its way. It says that there is room when
/// half of it has gone: a client that takes [`MIN_ANSWER_BYTES_PER_SEC`] must be seen to take
/// something within a window of 60 s. Without this the kernel would buffer 4 MiB for each client
/// that does not read.
pub(super) const UNSENT_BYTES: u32 = 120 << 10;

/// Header lines of a request. The largest real one has about 40.
pub(super) const MAX_HEADERS: usize = 100;
/// Header lines that are parsed. More than [`MAX_HEADERS`], so that a client that sends a few too many
/// is told so as S3 would; beyond this hyper answers a bare 431.
pub(super) const MAX_PARSED_HEADERS: usize = 256;
/// All of a request's head: request line and headers. AWS allows 8 KiB of headers.
pub(super) const MAX_HEAD_BYTES: usize = 16 << 10;
/// One line of it: a key of 1024 bytes, each percent-encoded, and a presigned query fit well.
pub(super) const MAX_HEAD_LINE_BYTES: usize = 8 << 10;
/// A head that is not complete after this much is given up before it is parsed. More than
/// [`MAX_HEAD_BYTES`], so that a client whose head is only a little too large is told so.
pub(super) const MAX_UNPARSED_HEAD_BYTES: u64 = 64 << 10;

/// Large reads are what makes a PUT cheap: 64 KiB buffers cost 0.09 CPU-s/GB more.
pub(super) const READ_BUFFER_BYTES: usize = 512 << 10;

/// HTTP/2: requests at once on a connection.
pub(super) const H2_MAX_STREAMS: u32 = 128;
/// HTTP/2: what a stream, and a connection, may send before we have read it.
pub(super) const H2_STREAM_WINDOW_BYTES: u32 = 1 << 20;
pub(super) const H2_CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
/// HTTP/2: what a stream may hold of an answer that the client does not take.
pub(super) const H2_SEND_BUFFER_BYTES: usize = 512 << 10;
/// HTTP/2: the pieces of an answer. A client that takes [`MIN_ANSWER_BYTES_PER_SEC`] is seen to take
/// one every 32 s, well within 60.
pub(super) const H2_PIECE_BYTES: usize = 32 << 10;
/// HTTP/2: streams that a client opened and reset before we accepted them (rapid reset), and that
/// we reset for the client's errors, before the connection is closed.
pub(super) const H2_MAX_PENDING_RESETS: usize = 20;
pub(super) const H2_MAX_LOCAL_RESETS: usize = 128;
/// HTTP/2: a peer that does not answer a ping is gone.
pub(super) const H2_PING_INTERVAL: Duration = Duration::from_secs(20);
pub(super) const H2_PING_TIMEOUT: Duration = Duration::from_secs(20);

/// A body that the service did not read is read to its end if it is this short and there this soon:
/// cheaper than a new connection. A client without TCP_NODELAY sends its last segment up to 40 ms
/// late.
pub(super) const DRAIN_BYTES: usize = 64 << 10;
pub(super) const DRAIN_TIMEOUT: Duration = Duration::from_millis(100);
/// Otherwise the connection is closed, and for so long, and so much, what still comes is thrown away:
/// closing a socket with unread input makes the kernel send a reset, which may overtake the answer.
pub(super) const LINGER_BYTES: usize = 16 << 20;
pub(super) const LINGER_TIMEOUT: Duration = Duration::from_secs(2);

/// When no connection can be accepted (no more file descriptors), wait this long and try again.
pub(super) const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// A peer that vanished without a word is noticed by the kernel after this long.
pub(super) const TCP_KEEPALIVE: Duration = Duration::from_secs(60);

const _: () = assert!(MAX_HEAD_LINE_BYTES < MAX_HEAD_BYTES);
const _: () = assert!(MAX_HEAD_BYTES < MAX_UNPARSED_HEAD_BYTES as usize);
const _: () = assert!((MAX_UNPARSED_HEAD_BYTES as usize) < READ_BUFFER_BYTES);
const _: () = assert!(UNSENT_BYTES as u64 / 2 <= 60 * MIN_ANSWER_BYTES_PER_SEC);
const _: () = assert!(H2_PIECE_BYTES as u64 <= 32 * MIN_ANSWER_BYTES_PER_SEC);
const _: () = assert!(H2_STREAM_WINDOW_BYTES <= H2_CONNECTION_WINDOW_BYTES);
