//! `[tls]` and what `[gateway]` says of proxies: how clients reach the listeners.

use std::ffi::OsString;
use std::path::PathBuf;

use holdfast_gateway::server::{NamedBy, Network, Proxies, TlsFiles};
use serde::{Deserialize, Deserializer};

/// Says where the certificate is; wins over the file.
pub(crate) const TLS_CERT: &str = "HOLDFAST_TLS_CERT";
/// Says where its key is; wins over the file.
pub(crate) const TLS_KEY: &str = "HOLDFAST_TLS_KEY";

/// `[tls]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TlsConfig {
    /// The certificate and those that sign it, as PEM.
    pub(crate) cert: Option<PathBuf>,
    /// Its key, as PEM.
    pub(crate) key: Option<PathBuf>,
}

impl TlsConfig {
    /// What the environment says, else what the file says.
    pub(crate) fn over(cert: Option<OsString>, key: Option<OsString>, file: Self) -> Self {
        let path = |set: Option<OsString>| set.filter(|set| !set.is_empty()).map(PathBuf::from);
        Self {
            cert: path(cert).or(file.cert),
            key: path(key).or(file.key),
        }
    }

    /// Both files, or none.
    pub(crate) fn files(&self) -> Result<Option<TlsFiles>, (&'static str, String)> {
        match (&self.cert, &self.key) {
            (None, None) => Ok(None),
            (Some(cert), Some(key)) => Ok(Some(TlsFiles {
                cert: cert.clone(),
                key: key.clone(),
            })),
            (Some(_), None) => Err((
                "cert",
                format!("its key is missing: set tls.key or {TLS_KEY}"),
            )),
            (None, Some(_)) => Err((
                "key",
                format!("its certificate is missing: set tls.cert or {TLS_CERT}"),
            )),
        }
    }
}

/// `gateway.client_address`: who is taken for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ClientAddress {
    /// Who connects.
    #[default]
    Peer,
    /// Whom a trusted proxy names by the PROXY protocol.
    ProxyProtocol,
    /// Whom a trusted proxy names in `Forwarded`.
    Forwarded,
    /// Whom a trusted proxy names in `X-Forwarded-For`.
    XForwardedFor,
}

/// Joins how the client is named with who is believed.
pub(crate) fn proxies(
    how: ClientAddress,
    trusted: &[Network],
) -> Result<Proxies, (&'static str, String)> {
    let named_by = match how {
        ClientAddress::Peer => NamedBy::Nothing,
        ClientAddress::ProxyProtocol => NamedBy::ProxyProtocol,
        ClientAddress::Forwarded => NamedBy::Forwarded,
        ClientAddress::XForwardedFor => NamedBy::XForwardedFor,
    };
    match (how, trusted.is_empty()) {
        (ClientAddress::Peer, false) => Err((
            "trusted_proxies",
            "says whom to trust, and client_address does not say with what".to_owned(),
        )),
        (
            ClientAddress::ProxyProtocol | ClientAddress::Forwarded | ClientAddress::XForwardedFor,
            true,
        ) => Err((
            "client_address",
            "nobody is trusted to name clients: set trusted_proxies".to_owned(),
        )),
        _ => Ok(Proxies {
            named_by,
            trusted: trusted.iter().copied().collect(),
        }),
    }
}

/// Networks, from texts.
pub(super) fn networks<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Network>, D::Error> {
    Vec::<String>::deserialize(deserializer)?
        .iter()
        .map(|text| text.parse().map_err(serde::de::Error::custom))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_wins_over_the_file() {
        let file = TlsConfig {
            cert: Some("f.crt".into()),
            key: Some("f.key".into()),
        };
        let over = TlsConfig::over(Some("e.crt".into()), Some("".into()), file);
        assert_eq!(over.cert, Some("e.crt".into()));
        assert_eq!(
            over.key,
            Some("f.key".into()),
            "an empty variable says nothing"
        );
    }

    #[test]
    fn a_certificate_needs_its_key() {
        let none = TlsConfig::default();
        assert_eq!(none.files(), Ok(None));
        let cert = TlsConfig {
            cert: Some("c".into()),
            key: None,
        };
        assert_eq!(cert.files().unwrap_err().0, "cert");
    }
}
