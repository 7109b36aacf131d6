//! HTTP serving with a limit on everything, for the S3 and the admin listener alike.
//!
//! Promises that a service sees only requests with one meaning and a bounded head, that every wait
//! for a client ends, that a client whose request is answered before its body was read gets the
//! answer rather than a reset, and that stopping lets requests in flight finish. Parsing is hyper's
//! (HTTP/1.1 and HTTP/2, told apart by the first bytes); what a request means is the service's.

mod accept;
mod activity;
mod connection;
mod crowd;
mod exchange;
mod head;
mod limits;
mod pace;
mod pressure;
mod proxies;
mod request_body;
mod response_body;
mod service;
mod socket;
mod streams;
#[cfg(test)]
mod tests;
mod tls;
mod transport;
mod wire;

pub use accept::{Stopped, serve};
pub(crate) use crowd::ClientKey;
pub use limits::Limits;
pub use pressure::Pressure;
pub use proxies::{NamedBy, Network, Networks, Proxies};
pub use request_body::{BodyError, RequestBody};
pub use service::{HttpService, Outcome, Refusal, RequestId};
pub use tls::{Reloaded, Tls, TlsError, TlsFiles};
pub use transport::{Scheme, Transport};
