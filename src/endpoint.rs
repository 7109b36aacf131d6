//! Connecting to an endpoint, `http://` or `https://`.
//!
//! Which authorities are trusted is the system's to say, or SSL_CERT_FILE's, as with other tools.

use anyhow::{Context, bail};
use holdfast_outbound::{Stream, Wire};
use http::Uri;

/// A server, by scheme, host and port.
#[derive(Clone)]
pub(crate) struct Endpoint {
    scheme: &'static str,
    /// `host:port`, as it is connected to and as it stands in `Host`.
    authority: String,
    wire: Wire,
}

impl Endpoint {
    /// Reads `http://host[:port][/]` or `https://host[:port][/]`.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let example = "is not an address like http://127.0.0.1:9001";
        let uri: Uri = text
            .parse()
            .with_context(|| format!("`{text}` {example}"))?;
        let (scheme, default_port) = match uri.scheme_str() {
            Some("http") => ("http", 80),
            Some("https") => ("https", 443),
            _ => bail!("`{text}` {example}"),
        };
        let authority = match (uri.authority(), uri.path(), uri.query()) {
            (Some(authority), "/" | "", None) if !authority.as_str().contains('@') => authority,
            _ => bail!("`{text}` {example}"),
        };
        let wire = match scheme {
            "https" => Wire::tls(authority.host())?,
            _ => Wire::Plain,
        };
        let authority = match authority.port_u16() {
            Some(_) => authority.as_str().to_owned(),
            None => format!("{authority}:{default_port}"),
        };
        Ok(Self {
            scheme,
            authority,
            wire,
        })
    }

    /// `host:port`.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Connects.
    pub(crate) async fn connect(&self) -> anyhow::Result<Box<dyn Stream>> {
        Ok(self.wire.connect(&self.authority).await?)
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_host_and_a_port() {
        for (text, authority) in [
            ("http://127.0.0.1:9001", "127.0.0.1:9001"),
            ("http://[::1]:9001/", "[::1]:9001"),
            ("http://holdfast.example", "holdfast.example:80"),
        ] {
            assert_eq!(Endpoint::parse(text).unwrap().authority(), authority);
        }
        for bad in [
            "",
            "127.0.0.1:9001",
            "ftp://h:1",
            "http://u@h:1",
            "http://h:1/x",
            "http://h:1/?x",
        ] {
            assert!(Endpoint::parse(bad).is_err(), "{bad}");
        }
    }
}
