//! Connecting to a host that must not be used to reach what was not meant.
//!
//! The name is resolved once; each address is judged, and only one that was judged good is
//! connected to. So a name server that answers differently the second time (DNS rebinding) gains
//! nothing: nobody asks it a second time.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use async_trait::async_trait;
use tokio::net::TcpStream;

use crate::address::Allowance;
use crate::wire::Stream;

/// How names are resolved and addresses connected to: the system's, or a test's.
#[async_trait]
pub trait Net: Send + Sync + 'static {
    /// The addresses of a name.
    ///
    /// # Errors
    /// What the resolver says.
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<IpAddr>>;

    /// Connects to exactly this address.
    ///
    /// # Errors
    /// What the network says.
    async fn connect(&self, address: SocketAddr) -> io::Result<Box<dyn Stream>>;
}

/// The system's resolver and network.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemNet;

#[async_trait]
impl Net for SystemNet {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<IpAddr>> {
        let found = tokio::net::lookup_host((host, port)).await?;
        Ok(found.map(|address| address.ip()).collect())
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Box::new(stream))
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Every address of the host is of a kind that was not allowed.
    #[error(
        "{host} is {address}, which may not be connected to: allow its kind (private, loopback or \
         link-local) when the target is made, if that is meant"
    )]
    Blocked {
        /// The host.
        host: String,
        /// One of its addresses.
        address: IpAddr,
    },
    /// It has no address.
    #[error("{host} can't be resolved: {source}")]
    Resolve {
        /// The host.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// None of its addresses could be connected to.
    #[error("{address} can't be connected to: {source}")]
    Connect {
        /// The last that was tried.
        address: SocketAddr,
        /// What the network said.
        source: io::Error,
    },
}

/// Connects to an address of `host` that `allowance` admits.
///
/// # Errors
/// See [`DialError`].
pub async fn dial(
    net: &dyn Net,
    host: &str,
    port: u16,
    allowance: Allowance,
) -> Result<Box<dyn Stream>, DialError> {
    let mut last = None;
    for ip in admitted(net, host, port, allowance).await? {
        let address = SocketAddr::new(ip, port);
        match tokio::time::timeout(CONNECT_DEADLINE, net.connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(source)) => last = Some(DialError::Connect { address, source }),
            Err(_) => {
                let source = io::ErrorKind::TimedOut.into();
                last = Some(DialError::Connect { address, source });
            }
        }
    }
    Err(last.unwrap_or_else(|| no_address(host)))
}

/// The addresses of `host` that may be connected to: at least one.
async fn admitted(
    net: &dyn Net,
    host: &str,
    port: u16,
    allowance: Allowance,
) -> Result<Vec<IpAddr>, DialError> {
    let all = match host.parse::<IpAddr>() {
        Ok(ip) => vec![ip],
        Err(_) => net
            .resolve(host, port)
            .await
            .map_err(|source| DialError::Resolve {
                host: host.to_owned(),
                source,
            })?,
    };
    let first = all.first().copied().ok_or_else(|| no_address(host))?;
    let admitted: Vec<IpAddr> = all
        .into_iter()
        .filter(|ip| allowance.admits(*ip))
        .take(MOST_ADDRESSES)
        .collect();
    if admitted.is_empty() {
        return Err(DialError::Blocked {
            host: host.to_owned(),
            address: first,
        });
    }
    Ok(admitted)
}

fn no_address(host: &str) -> DialError {
    DialError::Resolve {
        host: host.to_owned(),
        source: io::Error::new(io::ErrorKind::NotFound, "it has no address"),
    }
}

/// For one address. Across the world a handshake takes a third of a second.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// A name with many addresses must not make an attempt long.
const MOST_ADDRESSES: usize = 4;

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Answers each question of the resolver with the next of its answers, and remembers what was
    /// connected to.
    struct Script {
        answers: Mutex<Vec<Vec<&'static str>>>,
        dialled: Mutex<Vec<String>>,
        refuses: &'static [&'static str],
    }

    impl Script {
        fn new(answers: &[&[&'static str]]) -> Self {
            let mut answers: Vec<_> = answers.iter().map(|answer| answer.to_vec()).collect();
            answers.reverse();
            Self {
                answers: Mutex::new(answers),
                dialled: Mutex::default(),
                refuses: &[],
            }
        }

        fn dialled(&self) -> Vec<String> {
            self.dialled.lock().unwrap().clone()
        }
    }

    #[async_trait]
    impl Net for Script {
        async fn resolve(&self, _: &str, _: u16) -> io::Result<Vec<IpAddr>> {
            let answer = self.answers.lock().unwrap().pop();
            let answer = answer.ok_or(io::ErrorKind::NotFound)?;
            Ok(answer.iter().map(|ip| ip.parse().unwrap()).collect())
        }

        async fn connect(&self, address: SocketAddr) -> io::Result<Box<dyn Stream>> {
            self.dialled.lock().unwrap().push(address.to_string());
            if self.refuses.contains(&address.ip().to_string().as_str()) {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            Ok(Box::new(tokio::io::duplex(1).0))
        }
    }

    async fn reached(net: &Script, host: &str, allowance: Allowance) -> bool {
        dial(net, host, 80, allowance).await.is_ok()
    }

    const NOTHING: Allowance = Allowance {
        private: false,
        loopback: false,
        link_local: false,
    };

    #[tokio::test]
    async fn a_name_that_changes_its_mind_reaches_nothing() {
        // Good when it is looked at, this machine when it is asked again: the trick of rebinding.
        let net = Script::new(&[&["8.8.8.8"], &["127.0.0.1"], &["169.254.169.254"]]);
        assert!(reached(&net, "rebind.example", NOTHING).await);
        assert!(!reached(&net, "rebind.example", NOTHING).await);
        assert!(!reached(&net, "rebind.example", NOTHING).await);
        assert_eq!(
            net.dialled(),
            ["8.8.8.8:80"],
            "what was judged, and nothing else"
        );
    }

    #[tokio::test]
    async fn of_several_addresses_only_the_good_ones_are_tried() {
        let mut net = Script::new(&[&["10.0.0.1", "8.8.8.8", "::1", "8.8.4.4"]]);
        net.refuses = &["8.8.8.8"];
        assert!(reached(&net, "both.example", NOTHING).await);
        assert_eq!(net.dialled(), ["8.8.8.8:80", "8.8.4.4:80"]);
    }

    #[tokio::test]
    async fn a_literal_address_is_judged_like_any_other() {
        let net = Script::new(&[]);
        for host in [
            "127.0.0.1",
            "::1",
            "10.1.2.3",
            "169.254.169.254",
            "::ffff:127.0.0.1",
            "0.0.0.0",
        ] {
            let refused = dial(&net, host, 80, NOTHING).await.err().unwrap();
            assert!(matches!(refused, DialError::Blocked { .. }), "{host}");
        }
        assert!(net.dialled().is_empty());
        let loopback = Allowance {
            loopback: true,
            ..NOTHING
        };
        assert!(reached(&net, "127.0.0.1", loopback).await);
        assert!(!reached(&net, "0.0.0.0", loopback).await);
    }

    #[tokio::test]
    async fn who_has_no_address_is_said_so() {
        let net = Script::new(&[&[]]);
        let empty = dial(&net, "nowhere.example", 80, NOTHING).await;
        assert!(matches!(empty.err(), Some(DialError::Resolve { .. })));
        let unknown = dial(&net, "nowhere.example", 80, NOTHING).await;
        assert!(matches!(unknown.err(), Some(DialError::Resolve { .. })));
    }

    #[tokio::test]
    async fn numbers_that_a_resolver_takes_for_addresses_are_judged_too() {
        // What `getaddrinfo` makes of 2130706433 or 0x7f.1 is not a literal here, but is judged
        // when it comes back.
        for host in ["2130706433", "0x7f.1", "localhost"] {
            assert!(!matches!(
                dial(&SystemNet, host, 1, NOTHING).await,
                Ok(_) | Err(DialError::Connect { .. })
            ));
        }
    }
}
