//! `Forwarded` and `X-Forwarded-For`: the hops of a request, the farthest first.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::header::FORWARDED;

use super::super::transport::Scheme;
use super::scheme;

/// What one proxy says of the connection on which it got a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hop {
    /// `None` where it does not say, or in words that mean nothing to us (`unknown`, `_hidden`).
    pub(super) address: Option<SocketAddr>,
    pub(super) scheme: Option<Scheme>,
}

/// The elements of all `Forwarded` headers.
pub(super) fn elements(headers: &HeaderMap) -> Vec<Hop> {
    let mut hops = Vec::new();
    for value in headers.get_all(FORWARDED) {
        let text = value.to_str().unwrap_or_default();
        hops.extend(outside_quotes(text, ',').map(element));
    }
    hops
}

fn element(text: &str) -> Hop {
    let mut hop = Hop {
        address: None,
        scheme: None,
    };
    for pair in outside_quotes(text, ';') {
        let Some((name, value)) = pair.trim().split_once('=') else {
            continue;
        };
        let value = value.strip_prefix('"').unwrap_or(value);
        let value = value.strip_suffix('"').unwrap_or(value);
        if name.eq_ignore_ascii_case("for") {
            hop.address = node(value);
        } else if name.eq_ignore_ascii_case("proto") {
            hop.scheme = scheme(value);
        }
    }
    hop
}

/// The addresses of all `X-Forwarded-For` headers.
pub(super) fn x_forwarded_for(headers: &HeaderMap) -> Vec<Hop> {
    let mut hops = Vec::new();
    for value in headers.get_all("x-forwarded-for") {
        let text = value.to_str().unwrap_or_default();
        hops.extend(text.split(',').map(|one| Hop {
            address: node(one.trim()),
            scheme: None,
        }));
    }
    hops
}

/// The last of all `X-Forwarded-Proto`: that of the nearest proxy.
pub(super) fn x_forwarded_proto(headers: &HeaderMap) -> Option<Scheme> {
    let last = headers.get_all("x-forwarded-proto").iter().next_back()?;
    scheme(last.to_str().ok()?.rsplit(',').next()?.trim())
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn node(text: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    let address: IpAddr = bare.unwrap_or(text).parse().ok()?;
    Some(SocketAddr::new(address, 0))
}

/// Splits at a character, but not within quotes.
fn outside_quotes(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c| {
        if escaped {
            escaped = false;
            return false;
        }
        match c {
            '"' => quoted = !quoted,
            '\\' if quoted => escaped = true,
            _ => {}
        }
        c == separator && !quoted
    })
}
