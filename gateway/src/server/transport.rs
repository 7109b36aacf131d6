//! From an accepted socket to one that HTTP can be spoken over, with an end to every wait.
//!
//! First the PROXY protocol, where a trusted proxy speaks it; then TLS, where it is on.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use http::HeaderMap;
use tokio::io::AsyncReadExt;

use super::activity::Activity;
use super::crowd::ClientKey;
use super::proxies::{HeaderError, MAX_HEADER_LEN, Parsed, Proxies, parse_header};
use super::socket::Socket;
use super::tls::Tls;
use super::wire::Wire;

/// How clients reach a listener. By default: plain HTTP, from the address that connects.
#[derive(Debug, Clone, Default)]
pub struct Transport {
    /// HTTPS, and nothing else, where it is there.
    pub tls: Option<Tls>,
    /// Which proxies are in front.
    pub proxies: Proxies,
}

/// By what a request came. A request carries it as an extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// As it stands in an address.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Whom a connection or a request is with, and by what it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Peer {
    /// The client, or a proxy that does not name it.
    pub(super) address: SocketAddr,
    pub(super) scheme: Scheme,
}

/// Why no HTTP can be spoken.
#[derive(Debug, thiserror::Error)]
pub(super) enum TransportError {
    #[error(transparent)]
    Proxy(#[from] HeaderError),
    #[error("the handshake failed: {0}")]
    Handshake(#[from] std::io::Error),
}

impl Transport {
    /// Finds out whom a connection is with.
    pub(super) async fn announced(
        &self,
        socket: &mut Socket,
        address: SocketAddr,
    ) -> Result<SocketAddr, TransportError> {
        if !self.proxies.announce(address) {
            return Ok(address);
        }
        let mut begun = BytesMut::with_capacity(MAX_HEADER_LEN);
        loop {
            let gone = socket.read_buf(&mut begun).await? == 0;
            match parse_header(&begun)? {
                Parsed::Complete { len, client } => {
                    socket.unread(begun.split_off(len).freeze());
                    return Ok(client.unwrap_or(address));
                }
                Parsed::Incomplete if gone || begun.len() >= MAX_HEADER_LEN => {
                    return Err(HeaderError.into());
                }
                Parsed::Incomplete => {}
            }
        }
    }

    /// Does what comes before HTTP.
    pub(super) async fn secured(
        &self,
        socket: Socket,
        address: SocketAddr,
        activity: &Arc<Activity>,
    ) -> Result<(Wire, Peer), TransportError> {
        let activity = Arc::clone(activity);
        let Some(tls) = &self.tls else {
            let scheme = Scheme::Http;
            return Ok((Wire::plain(socket, activity), Peer { address, scheme }));
        };
        let stream = tls.acceptor().accept(socket).await?;
        let scheme = Scheme::Https;
        Ok((Wire::tls(stream, activity), Peer { address, scheme }))
    }

    /// Whom a request is from, given whom its connection is with.
    pub(super) fn client_of(&self, headers: &HeaderMap, peer: Peer) -> Peer {
        self.proxies.client_of(headers, peer)
    }

    /// Whose share of connections and requests this is; `None` for a proxy that has many clients.
    pub(super) fn sharer(&self, address: SocketAddr) -> Option<ClientKey> {
        (!self.proxies.trust(address)).then(|| ClientKey::of(address.ip()))
    }
}
