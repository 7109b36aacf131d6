//! HTTPS: both versions of HTTP, certificates that change, and clients that do not get to the point.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::super::{Reloaded, Tls, TlsError, TlsFiles, Transport};
use super::{Limits, Server, WAIT};

/// A folder with a certificate and its key.
struct Pair {
    folder: tempfile::TempDir,
}

impl Pair {
    fn new() -> (Self, CertificateDer<'static>) {
        let pair = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let cert = pair.renew();
        (pair, cert)
    }

    fn files(&self) -> TlsFiles {
        TlsFiles {
            cert: self.folder.path().join("cert.pem"),
            key: self.folder.path().join("key.pem"),
        }
    }

    /// Writes another pair.
    fn renew(&self) -> CertificateDer<'static> {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed([NAME.to_owned()]).unwrap();
        write(&self.files().cert, &cert.pem());
        write(&self.files().key, &signing_key.serialize_pem());
        cert.der().clone()
    }
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

async fn server(files: TlsFiles, limits: Limits) -> (Server, Tls) {
    let tls = Tls::load(files).unwrap();
    let transport = Transport {
        tls: Some(tls.clone()),
        ..Transport::default()
    };
    (Server::reached_by(transport, limits).await, tls)
}

async fn connect(
    server: &Server,
    trusted: &CertificateDer<'static>,
    alpn: &[&[u8]],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let stream = TcpStream::connect(server.address).await?;
    TlsConnector::from(Arc::new(config))
        .connect(ServerName::try_from(NAME).unwrap(), stream)
        .await
}

async fn ask(stream: &mut TlsStream<TcpStream>, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn https_speaks_the_http_that_the_client_wants() {
    let (pair, cert) = Pair::new();
    let (server, _) = server(pair.files(), Limits::default()).await;

    let mut old = connect(&server, &cert, &[]).await.unwrap();
    let answer = ask(&mut old, "/scheme").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with("https"), "{answer}");

    let both = connect(&server, &cert, &[b"h2", b"http/1.1"])
        .await
        .unwrap();
    assert_eq!(both.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(both))
            .await
            .unwrap();
    tokio::spawn(connection);
    let request = Request::get("https://h/scheme").body(Empty::<Bytes>::new());
    let answer = sender.send_request(request.unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200);
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "https");
}

#[tokio::test]
async fn the_whole_of_a_large_answer_arrives_and_then_the_end() {
    let (pair, cert) = Pair::new();
    let (server, _) = server(pair.files(), Limits::default()).await;
    let mut client = connect(&server, &cert, &[b"http/1.1"]).await.unwrap();
    let answer = ask(&mut client, "/big").await;
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(body.len(), 64 << 20);
}

#[tokio::test]
async fn plain_http_on_an_https_listener_is_nothing() {
    let (pair, cert) = Pair::new();
    let (server, _) = server(pair.files(), Limits::default()).await;
    let mut plain = server.connect().await;
    plain.send("GET /plain HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let mut answer = Vec::new();
    let _reset = plain.0.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    assert!(server.service.seen().is_empty());
    let mut client = connect(&server, &cert, &[]).await.unwrap();
    assert!(ask(&mut client, "/").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_handshake_that_does_not_go_on_is_given_up() {
    let (pair, _) = Pair::new();
    let limits = Limits {
        handshake_timeout: Duration::from_millis(300),
        ..Limits::default()
    };
    let (server, _) = server(pair.files(), limits).await;
    let mut silent = server.connect().await;
    assert!(silent.is_closed_within(Duration::from_secs(5)).await);
    let mut half = server.connect().await;
    // The beginning of a ClientHello that is said to be longer.
    half.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        .await;
    assert!(half.is_closed_within(Duration::from_secs(5)).await);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_handshakes() {
    let (pair, _) = Pair::new();
    let (mut server, _) = server(pair.files(), Limits::default()).await;
    let _silent = server.connect().await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    server.begin_stop();
    let stopped = tokio::time::timeout(Duration::from_secs(5), server.stopped).await;
    assert_eq!(stopped.unwrap().unwrap().cut_connections, 0);
}

#[tokio::test]
async fn a_new_pair_is_used_for_new_connections_and_a_bad_one_never() {
    let (pair, first) = Pair::new();
    let (server, tls) = server(pair.files(), Limits::default()).await;
    let mut before = connect(&server, &first, &[]).await.unwrap();
    assert_eq!(tls.reload().unwrap(), Reloaded::Unchanged);

    let second = pair.renew();
    assert_eq!(tls.reload().unwrap(), Reloaded::Replaced);
    assert!(ask(&mut before, "/before").await.ends_with("GET h /before"));
    let mut after = connect(&server, &second, &[]).await.unwrap();
    assert!(ask(&mut after, "/after").await.ends_with("GET h /after"));
    assert!(connect(&server, &first, &[]).await.is_err());

    // Each is refused, said once, and the second pair stays in use.
    let files = pair.files();
    let good_key = std::fs::read_to_string(&files.key).unwrap();
    let good_cert = std::fs::read_to_string(&files.cert).unwrap();
    let foreign = generate_simple_self_signed([NAME.to_owned()]).unwrap();
    let half = &good_cert[..good_cert.len() / 2];
    for (cert, key, mismatch) in [
        (foreign.cert.pem().as_str(), good_key.as_str(), true),
        (half, &good_key, false),
        ("", &good_key, false),
        (&good_cert, "", false),
        (
            &good_cert,
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            false,
        ),
    ] {
        write(&files.cert, cert);
        write(&files.key, key);
        let error = tls.reload().unwrap_err();
        assert_eq!(
            matches!(error, TlsError::Mismatch { .. }),
            mismatch,
            "{error}"
        );
        assert_eq!(tls.reload().unwrap(), Reloaded::Unchanged, "said once");
        let mut client = connect(&server, &second, &[]).await.unwrap();
        assert!(ask(&mut client, "/").await.starts_with("HTTP/1.1 200"));
    }
    std::fs::remove_file(&files.key).unwrap();
    assert!(matches!(
        tls.reload().unwrap_err(),
        TlsError::Unreadable { .. }
    ));
    assert!(connect(&server, &second, &[]).await.is_ok());
    write(&files.cert, &good_cert);
    write(&files.key, &good_key);
    assert_eq!(tls.reload().unwrap(), Reloaded::Replaced);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_certificates_change() {
    let (pair, first) = Pair::new();
    let (server, tls) = server(pair.files(), Limits::default()).await;
    let server = Arc::new(server);
    // Clients trust every certificate that there will be, as they would trust one authority.
    let second = pair.renew();
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let (server, stop, asked) =
                (Arc::clone(&server), Arc::clone(&stop), Arc::clone(&asked));
            let trusted = [first.clone(), second.clone()];
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let mut client = match connect(&server, &trusted[0], &[]).await {
                        Ok(client) => client,
                        Err(_) => connect(&server, &trusted[1], &[]).await.unwrap(),
                    };
                    assert!(ask(&mut client, "/").await.starts_with("HTTP/1.1 200"));
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let reached = |count: usize| {
        let asked = Arc::clone(&asked);
        async move {
            while asked.load(Ordering::Relaxed) < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    };
    tokio::time::timeout(WAIT, reached(50)).await.unwrap();
    assert_eq!(tls.reload().unwrap(), Reloaded::Replaced);
    let so_far = asked.load(Ordering::Relaxed);
    tokio::time::timeout(WAIT, reached(so_far + 50))
        .await
        .unwrap();
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
}

const NAME: &str = "holdfast.test";
