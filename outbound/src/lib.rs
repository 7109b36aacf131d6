//! Connections that Holdfast opens to others.
//!
//! [`wire`] is the stream below HTTP, plain or TLS, to a host that an operator or a command line
//! named. [`guard`] is for addresses that could be turned against the machine we run on (webhooks,
//! later sign-on providers and replication targets): the name is resolved once, every address is
//! checked, and only a checked one is connected to, so that neither a name that changes its mind
//! nor a redirect reaches what was not meant. [`post`] is one bounded HTTP exchange over that.

pub mod address;
pub mod guard;
pub mod post;
pub mod url;
pub mod wire;

pub use address::{Allowance, Reach, reach};
pub use guard::{DialError, Net, SystemNet};
pub use post::{PostError, Poster};
pub use url::{HttpUrl, UrlError};
pub use wire::{Stream, TlsError, Wire};
