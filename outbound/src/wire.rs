//! The stream below HTTP: TCP, with TLS over it where the endpoint is `https`.
//!
//! A server's certificate must be one that this machine trusts: the system's store, or what
//! `SSL_CERT_FILE` names instead of it.

use std::io;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A connection, of either kind.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// How an endpoint is reached.
#[derive(Clone)]
pub enum Wire {
    /// Without TLS.
    Plain,
    /// With TLS, to a server that shows a certificate for this name.
    Tls(TlsConnector, ServerName<'static>),
}

/// Why TLS can't be spoken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Nobody is trusted.
    #[error("this machine trusts no certificates: name some in SSL_CERT_FILE")]
    NoRoots,
    /// The host could be in no certificate.
    #[error("`{0}` is not a name that a certificate can be for")]
    Name(String),
    /// Our own settings are refused.
    #[error("TLS can't be set up: {0}")]
    Setup(#[from] rustls::Error),
}

impl Wire {
    /// TLS to a server that must show a certificate for `host`, from an authority that this machine
    /// trusts. Reads the trusted certificates from disk.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn tls(host: &str) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            return Err(TlsError::NoRoots);
        }
        Self::trusting(roots, host)
    }

    /// The same, trusting these authorities.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn trusting(roots: RootCertStore, host: &str) -> Result<Self, TlsError> {
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
            .map_err(|_| TlsError::Name(host.to_owned()))?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self::Tls(TlsConnector::from(Arc::new(config)), name))
    }

    /// Connects to `host:port`.
    ///
    /// # Errors
    /// What the network or the TLS handshake says.
    pub async fn connect(&self, address: &str) -> io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        self.over(Box::new(stream)).await
    }

    /// Speaks over a stream that is there already.
    ///
    /// # Errors
    /// What the TLS handshake says.
    pub async fn over(&self, stream: Box<dyn Stream>) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Plain => stream,
            Self::Tls(connector, name) => Box::new(connector.connect(name.clone(), stream).await?),
        })
    }
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Plain => f.write_str("Plain"),
            Self::Tls(_, name) => f.debug_tuple("Tls").field(name).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use rustls::ServerConfig;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    /// A server that says hello over TLS to whoever trusts it.
    async fn hello() -> (String, CertificateDer<'static>) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["store.example".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    stream.write_all(b"hello").await.unwrap();
                    stream.shutdown().await.unwrap();
                }
            }
        });
        (address, cert.der().clone())
    }

    async fn said_by(address: &str, roots: RootCertStore, host: &str) -> io::Result<String> {
        let wire = Wire::trusting(roots, host).unwrap();
        let mut stream = wire.connect(address).await?;
        let mut said = String::new();
        stream.read_to_string(&mut said).await?;
        Ok(said)
    }

    #[tokio::test]
    async fn only_a_server_that_is_trusted_by_that_name_is_talked_to() {
        let (address, certificate) = hello().await;
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let said = said_by(&address, roots.clone(), "store.example").await;
        assert_eq!(said.unwrap(), "hello");
        let other_name = said_by(&address, roots, "other.example").await;
        assert!(other_name.is_err(), "another name than the certificate's");
        let (_, another) = hello().await;
        let mut others = RootCertStore::empty();
        others.add(another).unwrap();
        let not_trusted = said_by(&address, others, "store.example").await;
        assert!(
            not_trusted.is_err(),
            "a certificate that nobody vouches for"
        );
    }

    #[test]
    fn a_host_that_can_not_be_in_a_certificate_is_said_so() {
        assert!(Wire::trusting(RootCertStore::empty(), "a b").is_err());
        assert!(Wire::trusting(RootCertStore::empty(), "[::1]").is_ok());
    }
}
