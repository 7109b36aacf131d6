//! The PROXY protocol's first bytes, versions 1 and 2.
//!
//! Source: "The PROXY protocol, versions 1 & 2" (HAProxy, 2020).

use std::net::{IpAddr, SocketAddr};

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Parsed {
    /// More must come.
    Incomplete,
    /// A header of `len` bytes. Without a client where the proxy speaks for itself.
    Complete {
        len: usize,
        client: Option<SocketAddr>,
    },
}

/// What began is no PROXY header that we read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the connection does not begin with a PROXY header")]
pub(in super::super) struct HeaderError;

/// Reads the header at the beginning of `bytes`.
pub(in super::super) fn parse(bytes: &[u8]) -> Result<Parsed, HeaderError> {
    let begins = |mark: &[u8]| {
        let len = bytes.len().min(mark.len());
        bytes[..len] == mark[..len]
    };
    if begins(V2_MARK) {
        parse_v2(bytes)
    } else if begins(V1_MARK) {
        parse_v1(bytes)
    } else {
        Err(HeaderError)
    }
}

/// `PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n`
fn parse_v1(bytes: &[u8]) -> Result<Parsed, HeaderError> {
    let searched = &bytes[..bytes.len().min(V1_MAX_LEN)];
    let Some(end) = searched.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() < V1_MAX_LEN {
            Ok(Parsed::Incomplete)
        } else {
            Err(HeaderError)
        };
    };
    let line = std::str::from_utf8(&bytes[V1_MARK.len()..end]).map_err(|_| HeaderError)?;
    let len = end + 2;
    let fields: Vec<&str> = line.split(' ').collect();
    let client = match fields.as_slice() {
        ["UNKNOWN", ..] => None,
        [family @ ("TCP4" | "TCP6"), from, to, from_port, to_port] => {
            let from: IpAddr = from.parse().map_err(|_| HeaderError)?;
            let to: IpAddr = to.parse().map_err(|_| HeaderError)?;
            let is_v4 = *family == "TCP4";
            if from.is_ipv4() != is_v4 || to.is_ipv4() != is_v4 {
                return Err(HeaderError);
            }
            port(to_port)?;
            Some(SocketAddr::new(from, port(from_port)?))
        }
        _ => return Err(HeaderError),
    };
    Ok(Parsed::Complete { len, client })
}

fn port(text: &str) -> Result<u16, HeaderError> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(HeaderError);
    }
    text.parse().map_err(|_| HeaderError)
}

/// 12 bytes of mark, version and command, family and protocol, length; addresses; and more that we
/// have no use for.
fn parse_v2(bytes: &[u8]) -> Result<Parsed, HeaderError> {
    let Some(fixed) = bytes.first_chunk::<V2_FIXED_LEN>() else {
        return Ok(Parsed::Incomplete);
    };
    let [.., version_command, family, len_high, len_low] = *fixed;
    let rest_len = usize::from(u16::from_be_bytes([len_high, len_low]));
    let len = V2_FIXED_LEN + rest_len;
    if version_command >> 4 != 2 || len > MAX_LEN {
        return Err(HeaderError);
    }
    let Some(rest) = bytes.get(V2_FIXED_LEN..len) else {
        return Ok(Parsed::Incomplete);
    };
    let client = match (version_command & 0xF, family) {
        // LOCAL: the proxy's own health check. And families that are not IP.
        (0, _) | (1, 0x00 | 0x31 | 0x32) => None,
        (1, 0x11) => Some(v2_address::<4, 12>(rest)?),
        (1, 0x21) => Some(v2_address::<16, 36>(rest)?),
        _ => return Err(HeaderError),
    };
    Ok(Parsed::Complete { len, client })
}

/// Two addresses of `LEN` bytes and two ports: `ALL` bytes. The first of each is the client's.
fn v2_address<const LEN: usize, const ALL: usize>(rest: &[u8]) -> Result<SocketAddr, HeaderError>
where
    IpAddr: From<[u8; LEN]>,
{
    let all = rest.first_chunk::<ALL>().ok_or(HeaderError)?;
    let address = all.first_chunk::<LEN>().ok_or(HeaderError)?;
    let port = u16::from_be_bytes([all[2 * LEN], all[2 * LEN + 1]]);
    Ok(SocketAddr::new(IpAddr::from(*address), port))
}

const V1_MARK: &[u8] = b"PROXY ";
/// With its line end, says the specification.
const V1_MAX_LEN: usize = 107;
const V2_MARK: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_FIXED_LEN: usize = 16;
/// The longest of version 2 that is read: addresses take at most 36 bytes, and what load balancers
/// add (their own ids, TLS names) a few hundred.
pub(in super::super) const MAX_LEN: usize = 2048;
