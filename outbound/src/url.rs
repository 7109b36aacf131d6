//! An address that is posted to: `http` or `https`, a host, perhaps a port, a path and a query.
//!
//! No user and password (they would end up in logs), no fragment (it would never be sent). A host
//! that is an IP address is known as such from the beginning, so that it can be judged before
//! anything is connected to.

use std::fmt;
use std::net::IpAddr;

use http::Uri;

/// The longest address.
pub const MAX_URL_LEN: usize = 2048;

/// Why a text is no such address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UrlError(&'static str);

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpUrl {
    text: String,
    is_tls: bool,
    /// Without brackets.
    host: String,
    port: u16,
    authority: String,
    path_and_query: String,
}

impl HttpUrl {
    /// Reads an address.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if text.len() > MAX_URL_LEN {
            return Err(UrlError("it is longer than 2048 bytes"));
        }
        if text.contains('#') {
            return Err(UrlError("it has a fragment (#), which is never sent"));
        }
        let not_one = UrlError("it is not an address like https://events.example/hook");
        let uri: Uri = text.parse().map_err(|_| not_one.clone())?;
        let (is_tls, default_port) = match uri.scheme_str() {
            Some("http") => (false, 80),
            Some("https") => (true, 443),
            _ => return Err(UrlError("it begins with neither http:// nor https://")),
        };
        let authority = uri.authority().ok_or_else(|| not_one.clone())?;
        if authority.as_str().contains('@') {
            return Err(UrlError("it has a user or password in it: use a token"));
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        if host.is_empty() {
            return Err(not_one);
        }
        // A port that is none (`:x`, `:99999`) must not become the default one.
        let after_host = &authority.as_str()[authority.host().len()..];
        let port = match (after_host, authority.port_u16()) {
            ("", _) => default_port,
            (_, Some(port)) if port != 0 => port,
            _ => return Err(UrlError("its port is not one of 1 to 65535")),
        };
        let path_and_query = uri
            .path_and_query()
            .map_or("/", |path| path.as_str())
            .to_owned();
        let path_and_query = if path_and_query.starts_with('/') {
            path_and_query
        } else {
            format!("/{path_and_query}")
        };
        Ok(Self {
            text: text.to_owned(),
            is_tls,
            host,
            port,
            authority: authority.as_str().to_owned(),
            path_and_query,
        })
    }

    /// As it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is `https`.
    #[must_use]
    pub const fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// The host: a name or an IP address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The host if it is an IP address.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// As it stands in `Host`.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Where on that host.
    #[must_use]
    pub fn path_and_query(&self) -> &str {
        &self.path_and_query
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        let url = HttpUrl::parse("https://events.example/hook?a=b").unwrap();
        assert!(url.is_tls());
        assert_eq!((url.host(), url.port()), ("events.example", 443));
        assert_eq!(url.authority(), "events.example");
        assert_eq!(url.path_and_query(), "/hook?a=b");
        assert_eq!(url.ip(), None);

        let url = HttpUrl::parse("http://[::1]:8080").unwrap();
        assert_eq!((url.host(), url.port()), ("::1", 8080));
        assert_eq!(url.authority(), "[::1]:8080");
        assert_eq!(url.path_and_query(), "/");
        assert_eq!(url.ip(), Some("::1".parse().unwrap()));

        let url = HttpUrl::parse("http://127.0.0.1?x").unwrap();
        assert_eq!(url.path_and_query(), "/?x");
    }

    #[test]
    fn what_is_none_is_refused() {
        let long = format!("http://h/{}", "a".repeat(MAX_URL_LEN));
        for bad in [
            "",
            "/hook",
            "events.example",
            "ftp://h/",
            "file:///etc/passwd",
            "gopher://h/",
            "http://",
            "http:///x",
            "http://user@h/",
            "http://user:secret@h/",
            "http://h/#fragment",
            "http://h:0/",
            "http://h:99999/",
            "http://h:x/",
            "http://h:/",
            "http://h/a b",
            "http://h/\r\nx: y",
            &long,
        ] {
            assert!(HttpUrl::parse(bad).is_err(), "{bad}");
        }
    }
}
