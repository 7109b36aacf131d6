//! The configuration file: what may stand in it, its defaults, and what is checked beyond its
//! types.
//!
//! One TOML file with a section for each room. Unknown sections and fields are refused, with the
//! line: a misspelt setting must not silently do nothing.

mod edge;

use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};

use holdfast_gateway::server::Network;
use holdfast_replication::WorkerConfig;
use holdfast_storage_node::StoreConfig;
use holdfast_types::{Layout, Region};
use serde::{Deserialize, Deserializer};

pub(crate) use self::edge::{ClientAddress, TLS_CERT, TLS_KEY, TlsConfig, proxies};

/// Where everything is kept when nothing else is said.
pub(crate) const DEFAULT_DATA: &str = "./holdfast-data";
/// The region of a Holdfast that was not told another.
pub(crate) const DEFAULT_REGION: &str = "us-east-1";

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// What is fixed at first start.
    pub(crate) cluster: ClusterConfig,
    /// The S3 listener.
    pub(crate) gateway: GatewayConfig,
    /// How drives are kept.
    pub(crate) storage_node: StoreConfig,
    /// The admin listener.
    pub(crate) admin: AdminConfig,
    /// HTTPS, on both listeners.
    pub(crate) tls: TlsConfig,
    /// Background work.
    pub(crate) worker: WorkerConfig,
}

/// `[cluster]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ClusterConfig {
    /// The region's name.
    pub(crate) region: Option<Region>,
    /// Where everything is kept.
    pub(crate) data: PathBuf,
    /// How many drives first start makes.
    pub(crate) drives: Option<u16>,
    /// How objects are split.
    #[serde(deserialize_with = "layout")]
    pub(crate) layout: Option<Layout>,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            region: None,
            data: PathBuf::from(DEFAULT_DATA),
            drives: None,
            layout: None,
        }
    }
}

/// `[gateway]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct GatewayConfig {
    /// Where S3 is served.
    pub(crate) listen: SocketAddr,
    /// Names below which buckets are host names.
    pub(crate) domains: Vec<String>,
    /// Who is taken for the client.
    pub(crate) client_address: ClientAddress,
    /// Addresses and networks of proxies that are believed.
    #[serde(deserialize_with = "edge::networks")]
    pub(crate) trusted_proxies: Vec<Network>,
    /// Bytes of object data that all requests may hold in memory at once.
    pub(crate) memory_budget_bytes: u64,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9000)),
            domains: Vec::new(),
            client_address: ClientAddress::Peer,
            trusted_proxies: Vec::new(),
            memory_budget_bytes: holdfast_erasure::Config::default().memory_budget_bytes,
        }
    }
}

/// `[admin]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AdminConfig {
    /// Where the admin API, health and metrics are served.
    pub(crate) listen: SocketAddr,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9001)),
        }
    }
}

/// The most drives of one `serve`: their folders are numbered with two digits.
pub(crate) const MAX_DRIVES: u16 = 99;

/// 16 MiB: below that a single large request may have to run alone.
const MIN_MEMORY_BUDGET_BYTES: u64 = 16 << 20;

/// Why a file can't be used.
#[derive(Debug)]
pub(crate) struct Invalid {
    /// Line and column, from 1; `None` where the whole file is meant.
    pub(crate) at: Option<(usize, usize)>,
    /// What is wrong.
    pub(crate) reason: String,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some((line, column)) => write!(f, "line {line}, column {column}: {}", self.reason),
            None => f.write_str(&self.reason),
        }
    }
}

impl std::error::Error for Invalid {}

impl Config {
    /// Reads and checks a file.
    pub(crate) fn read(file: &Path) -> anyhow::Result<(Self, Vec<Invalid>)> {
        let name = file.display();
        let text = std::fs::read_to_string(file)
            .map_err(|error| anyhow::anyhow!("can't read {name}: {error}"))?;
        Self::parse(&text).map_err(|invalid| anyhow::anyhow!("{name}: {invalid}"))
    }

    /// Reads and checks a text; gives the configuration and warnings.
    pub(crate) fn parse(text: &str) -> Result<(Self, Vec<Invalid>), Invalid> {
        let config: Self = toml::from_str(text).map_err(|error| Invalid {
            at: error.span().map(|span| position(text, span.start)),
            reason: error.message().to_owned(),
        })?;
        config.check(text)?;
        let warnings = config
            .worker
            .warnings()
            .into_iter()
            .map(|(field, reason)| found(text, ["worker", field], reason))
            .collect();
        Ok((config, warnings))
    }

    fn check(&self, text: &str) -> Result<(), Invalid> {
        if let Some(drives) = self.cluster.drives
            && let Err(reason) =
                check_drives(drives, self.cluster.layout.unwrap_or(default_layout()))
        {
            return Err(found(text, ["cluster", "drives"], reason));
        }
        for domain in &self.gateway.domains {
            check_domain(domain).map_err(|reason| found(text, ["gateway", "domains"], reason))?;
        }
        self.tls
            .files()
            .map_err(|(field, reason)| found(text, ["tls", field], reason))?;
        proxies(self.gateway.client_address, &self.gateway.trusted_proxies)
            .map_err(|(field, reason)| found(text, ["gateway", field], reason))?;
        if self.gateway.memory_budget_bytes < MIN_MEMORY_BUDGET_BYTES {
            let reason = format!(
                "{} is less than a few requests need ({MIN_MEMORY_BUDGET_BYTES})",
                self.gateway.memory_budget_bytes
            );
            return Err(found(text, ["gateway", "memory_budget_bytes"], reason));
        }
        let (min, max) = StoreConfig::SCRUB_PERIOD_SECONDS;
        let period = self.storage_node.scrub_period_seconds;
        if !(min..=max).contains(&period) {
            let reason = format!("{period} is not between {min} and {max}");
            return Err(found(
                text,
                ["storage_node", "scrub_period_seconds"],
                reason,
            ));
        }
        if self.gateway.listen == self.admin.listen && self.admin.listen.port() != 0 {
            let reason = format!("{} is the S3 listener's address too", self.admin.listen);
            return Err(found(text, ["admin", "listen"], reason));
        }
        self.worker
            .check()
            .map_err(|error| found(text, ["worker", error.field], error.reason))
    }
}

/// 4+2: half as much again on the drives, and any two of six may be lost.
pub(crate) fn default_layout() -> Layout {
    Layout::erasure(4, 2, Layout::DEFAULT_BLOCK_LEN).expect("4+2 is a layout")
}

/// As many as the default layout needs.
pub(crate) const DEFAULT_DRIVES: u16 = 6;

/// Whether so many drives can hold this layout.
pub(crate) fn check_drives(drives: u16, layout: Layout) -> Result<(), String> {
    let width = u16::from(layout.width());
    if drives < width {
        return Err(format!(
            "layout {layout} puts the {width} fragments of an object on {width} drives, and {drives} \
             is too few: ask for {width} or more drives, or for another layout"
        ));
    }
    if drives > MAX_DRIVES {
        return Err(format!(
            "{drives} drives are more than one process takes ({MAX_DRIVES})"
        ));
    }
    Ok(())
}

/// Whether a text can be the end of a host name.
pub(crate) fn check_domain(domain: &str) -> Result<(), String> {
    let label_is_good = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if domain.len() <= 253 && domain.split('.').all(label_is_good) {
        Ok(())
    } else {
        Err(format!("`{domain}` is not a host name"))
    }
}

fn layout<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Layout>, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map(Some).map_err(serde::de::Error::custom)
}

/// An invalid value, where it stands in the file; the whole file if it is a default.
fn found(text: &str, path: [&str; 2], reason: String) -> Invalid {
    Invalid {
        at: span_of(text, path).map(|span| position(text, span.start)),
        reason: format!("{}.{}: {reason}", path[0], path[1]),
    }
}

fn span_of(text: &str, path: [&str; 2]) -> Option<Range<usize>> {
    let document = toml::de::DeTable::parse(text).ok()?;
    let section = document.get_ref().get(path[0])?.get_ref().as_table()?;
    section.get(path[1]).map(toml::Spanned::span)
}

/// Line and column, from 1, of a byte offset.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (line, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Config::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn an_empty_file_is_the_default() {
        let (config, warnings) = Config::parse("").unwrap();
        assert_eq!(config, Config::default());
        assert_eq!(config.gateway.listen.to_string(), "127.0.0.1:9000");
        assert_eq!(config.admin.listen.to_string(), "127.0.0.1:9001");
        assert!(warnings.is_empty());
    }

    #[test]
    fn a_full_file_says_what_it_says() {
        let text = r#"
            [cluster]
            region = "eu-west-1"
            data = "/srv/holdfast"
            drives = 12
            layout = "8+3"
            [gateway]
            listen = "[::]:9000"
            domains = ["s3.example.org"]
            client_address = "proxy-protocol"
            trusted_proxies = ["10.0.0.0/8", "::1"]
            [tls]
            cert = "/etc/holdfast/tls.crt"
            key = "/etc/holdfast/tls.key"
            [admin]
            listen = "127.0.0.1:9901"
            [worker]
            garbage_grace_seconds = 7200
        "#;
        let (config, warnings) = Config::parse(text).unwrap();
        assert_eq!(config.cluster.layout, Some("8+3".parse().unwrap()));
        assert_eq!(config.cluster.drives, Some(12));
        assert_eq!(config.gateway.domains, ["s3.example.org"]);
        assert_eq!(config.gateway.client_address, ClientAddress::ProxyProtocol);
        assert_eq!(config.gateway.trusted_proxies.len(), 2);
        assert_eq!(config.tls.key, Some("/etc/holdfast/tls.key".into()));
        assert_eq!(config.worker.garbage_grace_seconds, 7200);
        assert!(warnings.is_empty());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, expected) in [
            (
                "[cluster]\nlayuot = \"4+2\"",
                "line 2, column 1: unknown field `layuot`",
            ),
            (
                "[cluster]\n\nlayout = \"4x2\"",
                "line 3, column 10: `4x2` is not a layout",
            ),
            ("[clutser]\n", "line 1, column 2: unknown field `clutser`"),
            (
                "[cluster]\nregion = \"EU\"",
                "line 2, column 10: `EU` is not a valid region name",
            ),
            (
                "[cluster]\nlayout = \"8+3\"\ndrives = 6",
                "line 3, column 10: cluster.drives: layout 8+3",
            ),
            ("[gateway]\nlisten = \"9000\"", "line 2, column 10: "),
            (
                "[gateway]\ndomains = [\"-a\"]",
                "line 2, column 11: gateway.domains: `-a`",
            ),
            (
                "[gateway]\nmemory_budget_bytes = 1",
                "line 2, column 23: gateway.memory_budget",
            ),
            (
                "[admin]\nlisten = \"127.0.0.1:9000\"",
                "line 2, column 10: admin.listen",
            ),
            (
                "[storage_node]\nscrub_period_seconds = 0",
                "line 2, column 24: storage_node.scrub",
            ),
            (
                "[worker]\ngarbage_grace_seconds = -1",
                "line 2, column 25: ",
            ),
            (
                "[worker]\ngarbage_grace_seconds = 999999999",
                "line 2, column 25: worker.garbage",
            ),
            (
                "[tls]\n\nkey = \"k\"",
                "line 3, column 7: tls.key: its certificate is missing",
            ),
            (
                "[gateway]\nclient_address = \"forwarded\"",
                "line 2, column 18: gateway.client_address: nobody is trusted",
            ),
            (
                "[gateway]\ntrusted_proxies = [\"10.0.0.0/8\"]",
                "line 2, column 19: gateway.trusted_proxies: says whom to trust",
            ),
            (
                "[gateway]\ntrusted_proxies = [\"10.0.0.0/40\"]",
                "line 2, column 19: `10.0.0.0/40` is no address",
            ),
            (
                "[gateway]\nclient_address = \"x-real-ip\"",
                "line 2, column 18: unknown variant `x-real-ip`",
            ),
            ("[worker\n", "line 1, column "),
        ] {
            let message = refused(text);
            assert!(message.starts_with(expected), "{text:?}: {message}");
        }
    }

    #[test]
    fn a_short_grace_is_warned_of_with_its_line() {
        let (_, warnings) = Config::parse("[worker]\ngarbage_grace_seconds = 0").unwrap();
        assert_eq!(warnings.len(), 1);
        assert!(
            warnings[0]
                .to_string()
                .starts_with("line 2, column 25: worker.garbage_grace")
        );
    }

    #[test]
    fn as_many_drives_as_fragments_are_enough() {
        let layout = default_layout();
        assert!(check_drives(6, layout).is_ok());
        assert!(
            check_drives(5, layout)
                .unwrap_err()
                .contains("ask for 6 or more")
        );
        assert!(check_drives(100, layout).is_err());
        assert!(check_drives(1, "copies:1".parse().unwrap()).is_ok());
    }
}
