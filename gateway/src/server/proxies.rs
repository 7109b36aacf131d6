//! Proxies in front, and what is believed of what they say of the client.
//!
//! Off by default: then the client is who connects, and no header and no first line changes that.
//! An operator names the proxies' addresses and the *one* way in which they name the client: were
//! several believed, a client could use the one that its proxy does not set.

mod forwarded;
mod header;
mod networks;

use std::net::SocketAddr;

use http::HeaderMap;

pub(super) use header::{HeaderError, MAX_LEN as MAX_HEADER_LEN, Parsed, parse as parse_header};
pub use networks::{Network, Networks};

use super::transport::{Peer, Scheme};

/// How proxies name the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NamedBy {
    /// Not at all: the client is who connects.
    #[default]
    Nothing,
    /// By the PROXY protocol, version 1 or 2, before all else. A connection of a trusted proxy that
    /// does not begin with it is closed.
    ProxyProtocol,
    /// By `Forwarded` (RFC 7239).
    Forwarded,
    /// By `X-Forwarded-For`, and `X-Forwarded-Proto`.
    XForwardedFor,
}

/// Which proxies are in front, and how they name the client.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Proxies {
    /// How.
    pub named_by: NamedBy,
    /// Whom we believe. Nobody, by default.
    pub trusted: Networks,
}

impl Proxies {
    /// Whether this connection begins with the PROXY protocol.
    pub(super) fn announce(&self, address: SocketAddr) -> bool {
        self.named_by == NamedBy::ProxyProtocol && self.trusted.contains(address.ip())
    }

    /// Whether many clients may be behind this address.
    pub(super) fn trust(&self, address: SocketAddr) -> bool {
        self.named_by != NamedBy::Nothing && self.trusted.contains(address.ip())
    }

    /// Whom a request is from, given whom its connection is with.
    pub(super) fn client_of(&self, headers: &HeaderMap, peer: Peer) -> Peer {
        if !self.trusted.contains(peer.address.ip()) {
            return peer;
        }
        match self.named_by {
            NamedBy::Nothing | NamedBy::ProxyProtocol => peer,
            NamedBy::Forwarded => self.nearest_untrusted(&forwarded::elements(headers), peer),
            NamedBy::XForwardedFor => {
                let mut peer = self.nearest_untrusted(&forwarded::x_forwarded_for(headers), peer);
                peer.scheme = forwarded::x_forwarded_proto(headers).unwrap_or(peer.scheme);
                peer
            }
        }
    }

    /// Each proxy appends whom it got the request from. What stands before the first address that
    /// is not a proxy's was written by who knows whom.
    fn nearest_untrusted(&self, hops: &[forwarded::Hop], peer: Peer) -> Peer {
        let mut found = peer;
        for hop in hops.iter().rev() {
            if !self.trusted.contains(found.address.ip()) {
                break;
            }
            if let Some(scheme) = hop.scheme {
                found.scheme = scheme;
            }
            match hop.address {
                Some(address) => found.address = address,
                None => break,
            }
        }
        found
    }
}

fn scheme(text: &str) -> Option<Scheme> {
    if text.eq_ignore_ascii_case("https") {
        Some(Scheme::Https)
    } else if text.eq_ignore_ascii_case("http") {
        Some(Scheme::Http)
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
