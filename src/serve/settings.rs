//! What this start was asked for: flags over environment over file over defaults.
//!
//! What is fixed at first start (layout, drives, region) stays `None` here unless someone asked for
//! it, so that a later start without flags takes what is recorded, and one with other flags is
//! refused rather than ignored.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{anyhow, bail};
use holdfast_gateway::server::{Proxies, TlsFiles};
use holdfast_metadata::journal::Permission;
use holdfast_replication::WorkerConfig;
use holdfast_storage_node::StoreConfig;
use holdfast_types::{Layout, Region};

use super::lifecycle_day::{self, LIFECYCLE_DAY_SECONDS};
use crate::cli::ServeArgs;
use crate::config::{Config, TLS_CERT, TLS_KEY, TlsConfig, check_domain, proxies};

/// What `serve` goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) data: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) admin_listen: SocketAddr,
    pub(crate) domains: Vec<String>,
    /// HTTPS, where it is asked for.
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) proxies: Proxies,
    pub(crate) memory_budget_bytes: u64,
    pub(crate) store: StoreConfig,
    pub(crate) worker: WorkerConfig,
    pub(crate) asked: Asked,
    /// What may be done about a database that is lost, damaged or old.
    pub(crate) restore: Permission,
}

/// What someone asked for and only a first start can give.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Asked {
    pub(crate) layout: Option<Layout>,
    pub(crate) drives: Option<u16>,
    pub(crate) region: Option<Region>,
}

impl Settings {
    /// Joins the command line (which has the environment in it) with the file.
    pub(crate) fn new(args: ServeArgs) -> anyhow::Result<Self> {
        let config = match &args.config {
            None => Config::default(),
            Some(file) => {
                let (config, warnings) = Config::read(file)?;
                for warning in warnings {
                    tracing::warn!("{}: {warning}", file.display());
                }
                config
            }
        };
        let domains = if args.domain.is_empty() {
            config.gateway.domains
        } else {
            args.domain
        };
        for domain in &domains {
            check_domain(domain).map_err(anyhow::Error::msg)?;
        }
        let env = std::env::var_os;
        let tls = TlsConfig::over(env(TLS_CERT), env(TLS_KEY), config.tls)
            .files()
            .map_err(|(field, reason)| anyhow!("tls.{field}: {reason}"))?;
        let proxies = proxies(
            config.gateway.client_address,
            &config.gateway.trusted_proxies,
        )
        .map_err(|(field, reason)| anyhow!("gateway.{field}: {reason}"))?;
        let settings = Self {
            data: args.data.unwrap_or(config.cluster.data),
            listen: args.listen.unwrap_or(config.gateway.listen),
            admin_listen: args.admin_listen.unwrap_or(config.admin.listen),
            domains: domains
                .into_iter()
                .map(|domain| domain.to_ascii_lowercase())
                .collect(),
            tls,
            proxies,
            memory_budget_bytes: config.gateway.memory_budget_bytes,
            store: config.storage_node,
            worker: lifecycle_day::over(env(LIFECYCLE_DAY_SECONDS), config.worker)?,
            restore: if args.restore_from_drives {
                Permission::RestoreFromDrives
            } else {
                Permission::Careful
            },
            asked: Asked {
                layout: args.layout.or(config.cluster.layout),
                drives: args.drives.or(config.cluster.drives),
                region: config.cluster.region,
            },
        };
        if settings.listen == settings.admin_listen && settings.listen.port() != 0 {
            bail!(
                "S3 and the admin API can't both listen on {}: give another --admin-listen",
                settings.listen
            );
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_flags_all_is_default_and_nothing_fixed_is_asked_for() {
        let settings = Settings::new(ServeArgs::default()).unwrap();
        assert_eq!(settings.data, PathBuf::from("./holdfast-data"));
        assert_eq!(settings.listen.to_string(), "127.0.0.1:9000");
        assert_eq!(settings.admin_listen.to_string(), "127.0.0.1:9001");
        assert_eq!(settings.asked, Asked::default());
    }

    #[test]
    fn a_flag_wins_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("holdfast.toml");
        let text = "[cluster]\nlayout = \"2+1\"\ndrives = 4\ndata = \"/there\"\n\
                    [gateway]\nlisten = \"127.0.0.1:1\"\ndomains = [\"FILE.example\"]\n";
        std::fs::write(&file, text).unwrap();
        let settings = Settings::new(ServeArgs {
            config: Some(file),
            layout: Some("3+1".parse().unwrap()),
            listen: Some("127.0.0.1:2".parse().unwrap()),
            ..ServeArgs::default()
        })
        .unwrap();
        assert_eq!(settings.asked.layout, Some("3+1".parse().unwrap()));
        assert_eq!(settings.asked.drives, Some(4));
        assert_eq!(settings.data, PathBuf::from("/there"));
        assert_eq!(settings.listen.to_string(), "127.0.0.1:2");
        assert_eq!(settings.domains, ["file.example"]);
    }

    #[test]
    fn what_can_not_work_is_refused() {
        let refused = |args| Settings::new(args).unwrap_err().to_string();
        let same: SocketAddr = "127.0.0.1:9001".parse().unwrap();
        assert!(
            refused(ServeArgs {
                listen: Some(same),
                ..ServeArgs::default()
            })
            .contains("both")
        );
        let domain = vec!["no host".to_owned()];
        assert!(
            refused(ServeArgs {
                domain,
                ..ServeArgs::default()
            })
            .contains("not a host name")
        );
    }
}
