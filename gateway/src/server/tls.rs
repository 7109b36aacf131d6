//! HTTPS: one certificate and its key, from two PEM files, replaced while connections go on.
//!
//! Promises that every handshake uses a certificate and a key that belong together: a new pair is
//! taken only when both files have been read and fit, so a half-written or wrong one leaves the old
//! pair in use, with a warning. Connections keep the pair that they began with. The files are
//! compared by content: tools that renew certificates swap links, keep times or write twice.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, ServerConfig};
use sha2::{Digest, Sha256};
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

/// Where a certificate and its key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, and behind it those that sign it, as PEM.
    pub cert: PathBuf,
    /// The certificate's private key, as PEM: PKCS #8, PKCS #1 or SEC1, not encrypted.
    pub key: PathBuf,
}

/// Why a pair can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read.
    #[error("can't read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds no certificate or no key.
    #[error("{} holds no usable {what}: {reason}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
        /// Why it is not there.
        reason: String,
    },
    /// The key is another certificate's.
    #[error("the key in {} does not belong to the certificate in {}", key.display(), cert.display())]
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The TLS library does not take the settings.
    #[error("TLS can't be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// What a listener needs to speak HTTPS. Cheap to clone; clones share the pair.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    kept: Arc<Kept>,
}

/// What a look at the files came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reloaded {
    /// The files are those that were last looked at.
    Unchanged,
    /// New connections get the new pair.
    Replaced,
}

impl Tls {
    /// Reads a pair.
    ///
    /// # Errors
    /// If it can't be read or does not fit together.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let (digest, pair) = read(&files, &provider)?;
        let kept = Arc::new(Kept {
            files,
            provider: Arc::clone(&provider),
            pair: RwLock::new(Arc::new(pair)),
            looked_at: Mutex::new(digest),
        });
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::<Kept>::clone(&kept));
        config.alpn_protocols = ALPN.iter().map(|name| name.to_vec()).collect();
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            kept,
        })
    }

    /// Looks at the files, and takes the pair in them if it is another and good.
    ///
    /// # Errors
    /// If it is another and can't be used: the old one stays. Said once for the same files.
    pub fn reload(&self) -> Result<Reloaded, TlsError> {
        self.kept.reload()
    }

    /// Looks at the files again and again, and logs what it finds. Does not end.
    pub async fn watch(self) {
        let mut ticks = interval(LOOK_AGAIN);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut unreadable = false;
        loop {
            ticks.tick().await;
            let tls = self.clone();
            let Ok(found) = tokio::task::spawn_blocking(move || tls.reload()).await else {
                continue;
            };
            let was_unreadable = unreadable;
            unreadable = matches!(found, Err(TlsError::Unreadable { .. }));
            match found {
                Ok(Reloaded::Unchanged) => {}
                Ok(Reloaded::Replaced) => info!("new connections get the new certificate"),
                Err(_) if unreadable && was_unreadable => {}
                Err(error) => warn!(%error, "the old certificate stays in use"),
            }
        }
    }

    pub(super) const fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("files", &self.kept.files)
            .finish_non_exhaustive()
    }
}

/// The pair in use.
struct Kept {
    files: TlsFiles,
    provider: Arc<CryptoProvider>,
    pair: RwLock<Arc<CertifiedKey>>,
    /// Of both files' content, when last looked at.
    looked_at: Mutex<ContentDigest>,
}

type ContentDigest = [u8; 32];

impl Kept {
    fn reload(&self) -> Result<Reloaded, TlsError> {
        let contents = Contents::read(&self.files)?;
        let digest = contents.digest();
        {
            let mut looked_at = self
                .looked_at
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if *looked_at == digest {
                return Ok(Reloaded::Unchanged);
            }
            *looked_at = digest;
        }
        let pair = contents.pair(&self.files, &self.provider)?;
        *self.pair.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(pair);
        Ok(Reloaded::Replaced)
    }
}

impl ResolvesServerCert for Kept {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let pair = self.pair.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&pair))
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

fn read(
    files: &TlsFiles,
    provider: &CryptoProvider,
) -> Result<(ContentDigest, CertifiedKey), TlsError> {
    let contents = Contents::read(files)?;
    Ok((contents.digest(), contents.pair(files, provider)?))
}

struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl Contents {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        Ok(Self {
            cert: read_file(&files.cert)?,
            key: read_file(&files.key)?,
        })
    }

    fn digest(&self) -> ContentDigest {
        let mut digest = Sha256::new();
        digest.update((self.cert.len() as u64).to_be_bytes());
        digest.update(&self.cert);
        digest.update(&self.key);
        digest.finalize().into()
    }

    fn pair(&self, files: &TlsFiles, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
        let unusable = |path: &Path, what, reason: String| TlsError::Unusable {
            path: path.to_owned(),
            what,
            reason,
        };
        let certs = CertificateDer::pem_slice_iter(&self.cert)
            .collect::<Result<Vec<_>, pem::Error>>()
            .map_err(|error| unusable(&files.cert, "certificate", error.to_string()))?;
        if certs.is_empty() {
            let reason = "there is none in it".to_owned();
            return Err(unusable(&files.cert, "certificate", reason));
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|error| unusable(&files.key, "key", error.to_string()))?;
        CertifiedKey::from_der(certs, key, provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsError::Mismatch {
                cert: files.cert.clone(),
                key: files.key.clone(),
            },
            rustls::Error::InvalidCertificate(error) => {
                unusable(&files.cert, "certificate", format!("{error:?}"))
            }
            error => unusable(&files.key, "key", error.to_string()),
        })
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Unreadable {
        path: path.to_owned(),
        source,
    })
}

/// The better one first.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// How soon a renewed certificate is in use: two small files are read as often.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
