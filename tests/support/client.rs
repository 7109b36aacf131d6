//! A small S3 client, signed by AWS's own signer crate: what it signs, S3 accepts. Requests are
//! built openly, so that a test can break any one thing of them.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation,
    SigningSettings, UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;

use super::digest::{hmac_chunk_signature, sha256_hex};
use super::http::{self, Response};

/// Who signs, as whom, for where and when.
#[derive(Debug, Clone)]
pub(crate) struct Signer {
    /// The access key.
    pub(crate) access_key: String,
    /// Its secret.
    pub(crate) secret_key: String,
    /// The region of the scope.
    pub(crate) region: String,
    /// The service of the scope.
    pub(crate) service: String,
    /// Added to the time of day.
    pub(crate) skew_s: i64,
}

/// Where a server is and who asks.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    /// The server.
    pub(crate) address: SocketAddr,
    /// Who signs.
    pub(crate) signer: Signer,
}

impl Client {
    /// A client with this key.
    pub(crate) fn new(address: SocketAddr, access_key: &str, secret_key: &str) -> Self {
        Self {
            address,
            signer: Signer {
                access_key: access_key.to_owned(),
                secret_key: secret_key.to_owned(),
                region: "us-east-1".to_owned(),
                service: "s3".to_owned(),
                skew_s: 0,
            },
        }
    }

    /// The same with another signer.
    pub(crate) fn signing(&self, change: impl FnOnce(&mut Signer)) -> Self {
        let mut changed = self.clone();
        change(&mut changed.signer);
        changed
    }

    /// Sends `call`, signed in its headers.
    pub(crate) fn try_send(&self, call: &Call) -> io::Result<Response> {
        http::exchange(self.address, &call.method, &self.signed(call))
    }

    /// Sends `call`, and fails the test if there is no answer.
    pub(crate) fn send(&self, call: &Call) -> Response {
        self.try_send(call)
            .unwrap_or_else(|error| panic!("no answer to {}: {error}", call.shown()))
    }

    /// Sends `call` and fails the test unless it is answered with `status`.
    pub(crate) fn expect(&self, status: u16, call: &Call) -> Response {
        let response = self.send(call);
        assert_eq!(
            response.status,
            status,
            "{} answered {}",
            call.shown(),
            response.shown()
        );
        response
    }

    /// Makes a bucket.
    pub(crate) fn create_bucket(&self, bucket: &str) {
        self.expect(200, &Call::new("PUT", &format!("/{bucket}")));
    }

    /// Puts an object.
    pub(crate) fn put(&self, bucket: &str, key: &str, body: &[u8]) -> Response {
        self.expect(200, &Call::object("PUT", bucket, key).body(body))
    }

    /// Gets an object.
    pub(crate) fn get(&self, bucket: &str, key: &str) -> Response {
        self.send(&Call::object("GET", bucket, key))
    }

    /// The bytes of `call` on the wire, signed in its headers.
    pub(crate) fn signed(&self, call: &Call) -> Vec<u8> {
        let time = self.time();
        let mut headers = call.headers.clone();
        let (hash, framed) = call.payload.hash_and_headers(&call.body);
        headers.extend(framed);
        let target = call.target();
        let settings = settings(SignatureLocation::Headers, None);
        let (added, _, seed) = self.sign(call, &target, &headers, &hash, settings, time);
        headers.extend(added);
        let body = call.payload.frame(&call.body, &seed, &self.signer, time);
        call.wire(self.address, &target, &headers, &body)
    }

    /// The bytes of `call` on the wire, signed in its query and good for `expires`.
    pub(crate) fn presigned(&self, call: &Call, expires: Duration) -> Vec<u8> {
        let target = self.presigned_target(call, expires);
        call.wire(self.address, &target, &call.headers, &call.body)
    }

    /// Path and query of `call`, signed and good for `expires`.
    pub(crate) fn presigned_target(&self, call: &Call, expires: Duration) -> String {
        let settings = settings(SignatureLocation::QueryParams, Some(expires));
        let target = call.target();
        let hash = "UNSIGNED-PAYLOAD";
        let time = self.time();
        let (_, query, _) = self.sign(call, &target, &call.headers, hash, settings, time);
        let mut presigned = target;
        for (name, value) in query {
            let separator = if presigned.contains('?') { '&' } else { '?' };
            let _ = write!(presigned, "{separator}{name}={}", encode(&value, false));
        }
        presigned
    }

    fn time(&self) -> SystemTime {
        let skew = Duration::from_secs(self.signer.skew_s.unsigned_abs());
        if self.signer.skew_s < 0 {
            SystemTime::now() - skew
        } else {
            SystemTime::now() + skew
        }
    }

    #[expect(
        clippy::type_complexity,
        reason = "read once, by the two callers above"
    )]
    fn sign(
        &self,
        call: &Call,
        target: &str,
        headers: &[(String, String)],
        hash: &str,
        settings: SigningSettings,
        time: SystemTime,
    ) -> (Vec<(String, String)>, Vec<(String, String)>, String) {
        let signer = &self.signer;
        let identity =
            Credentials::new(&signer.access_key, &signer.secret_key, None, None, "test").into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&signer.region)
            .name(&signer.service)
            .time(time)
            .settings(settings)
            .build()
            .expect("all parameters are set")
            .into();
        let uri = format!("http://{}{target}", self.address);
        let signable = SignableRequest::new(
            &call.method,
            uri,
            headers.iter().map(|(n, v)| (n.as_str(), v.as_str())),
            SignableBody::Precomputed(hash.to_owned()),
        )
        .expect("the request can be signed");
        let (instructions, signature) = sign(signable, &parameters)
            .expect("the request can be signed")
            .into_parts();
        let (added, query) = instructions.into_parts();
        let added = added
            .iter()
            .map(|header| (header.name().to_owned(), header.value().to_owned()));
        let query = query
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into_owned()));
        (added.collect(), query.collect(), signature)
    }
}

/// How a body is signed and framed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Payload {
    /// Its SHA-256 is signed.
    Signed,
    /// It is not signed.
    Unsigned,
    /// In chunks, each of them signed.
    SignedChunks {
        /// Bytes of each chunk but the last.
        chunk_len: usize,
        /// A trailing header.
        trailer: Option<(String, String)>,
    },
    /// In chunks without signatures, with a trailing header.
    UnsignedChunks {
        /// Bytes of each chunk but the last.
        chunk_len: usize,
        /// The trailing header.
        trailer: (String, String),
    },
    /// Announced as unsigned chunks with a trailing CRC32, and then these very bytes.
    Forged {
        /// What `x-amz-decoded-content-length` says.
        decoded_len: String,
        /// The framed body.
        framed: Vec<u8>,
    },
}

impl Payload {
    fn hash_and_headers(&self, body: &[u8]) -> (String, Vec<(String, String)>) {
        let (hash, trailer) = match self {
            Self::Signed => return (sha256_hex(body), Vec::new()),
            Self::Unsigned => return ("UNSIGNED-PAYLOAD".to_owned(), Vec::new()),
            Self::SignedChunks { trailer: None, .. } => {
                ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", None)
            }
            Self::SignedChunks {
                trailer: Some((name, _)),
                ..
            } => (
                "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
                Some(name.as_str()),
            ),
            Self::UnsignedChunks {
                trailer: (name, _), ..
            } => ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", Some(name.as_str())),
            Self::Forged { .. } => (
                "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
                Some("x-amz-checksum-crc32"),
            ),
        };
        let decoded_len = match self {
            Self::Forged { decoded_len, .. } => decoded_len.clone(),
            _ => body.len().to_string(),
        };
        let mut headers = vec![
            ("content-encoding".to_owned(), "aws-chunked".to_owned()),
            ("x-amz-decoded-content-length".to_owned(), decoded_len),
        ];
        if let Some(name) = trailer {
            headers.push(("x-amz-trailer".to_owned(), name.to_owned()));
        }
        (hash.to_owned(), headers)
    }

    fn frame(&self, body: &[u8], seed: &str, signer: &Signer, time: SystemTime) -> Vec<u8> {
        match self {
            Self::Signed | Self::Unsigned => body.to_vec(),
            Self::Forged { framed, .. } => framed.clone(),
            Self::SignedChunks { chunk_len, trailer } => {
                signed_chunks(body, *chunk_len, trailer.as_ref(), seed, signer, time)
            }
            Self::UnsignedChunks { chunk_len, trailer } => {
                let mut framed = Vec::new();
                for chunk in body.chunks(*chunk_len) {
                    framed.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    framed.extend_from_slice(chunk);
                    framed.extend_from_slice(b"\r\n");
                }
                let end = format!("0\r\n{}:{}\r\n\r\n", trailer.0, trailer.1);
                framed.extend_from_slice(end.as_bytes());
                framed
            }
        }
    }
}

fn signed_chunks(
    body: &[u8],
    chunk_len: usize,
    trailer: Option<&(String, String)>,
    seed: &str,
    signer: &Signer,
    time: SystemTime,
) -> Vec<u8> {
    let mut framed = Vec::new();
    let mut previous = seed.to_owned();
    for chunk in body.chunks(chunk_len).chain([&[][..]]) {
        let hashes = format!("{}\n{}", sha256_hex(b""), sha256_hex(chunk));
        previous = hmac_chunk_signature("PAYLOAD", signer, time, &previous, &hashes);
        let head = format!("{:x};chunk-signature={previous}\r\n", chunk.len());
        framed.extend_from_slice(head.as_bytes());
        framed.extend_from_slice(chunk);
        if !chunk.is_empty() || trailer.is_none() {
            framed.extend_from_slice(b"\r\n");
        }
    }
    if let Some((name, value)) = trailer {
        let hash = sha256_hex(format!("{name}:{value}\n").as_bytes());
        let signature = hmac_chunk_signature("TRAILER", signer, time, &previous, &hash);
        let end = format!("{name}:{value}\r\nx-amz-trailer-signature:{signature}\r\n\r\n");
        framed.extend_from_slice(end.as_bytes());
    }
    framed
}

/// One request, not yet signed.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// The method.
    pub(crate) method: String,
    /// The path, encoded.
    pub(crate) path: String,
    /// The query: names and values as they are meant, not yet encoded.
    pub(crate) query: Vec<(String, Option<String>)>,
    /// Headers that are signed.
    pub(crate) headers: Vec<(String, String)>,
    /// Headers that are added after signing.
    pub(crate) unsigned_headers: Vec<(String, String)>,
    /// The body, as it is meant.
    pub(crate) body: Vec<u8>,
    /// How the body is signed.
    pub(crate) payload: Payload,
}

impl Call {
    /// A request without a body.
    pub(crate) fn new(method: &str, path: &str) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: Vec::new(),
            headers: Vec::new(),
            unsigned_headers: Vec::new(),
            body: Vec::new(),
            payload: Payload::Signed,
        }
    }

    /// A request about an object.
    pub(crate) fn object(method: &str, bucket: &str, key: &str) -> Self {
        Self::new(method, &format!("/{bucket}/{}", encode(key, true)))
    }

    /// With `?name=value`.
    pub(crate) fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.to_owned(), Some(value.to_owned())));
        self
    }

    /// With `?name`.
    pub(crate) fn flag(mut self, name: &str) -> Self {
        self.query.push((name.to_owned(), None));
        self
    }

    /// With a signed header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a header that is added after signing.
    pub(crate) fn unsigned_header(mut self, name: &str, value: &str) -> Self {
        self.unsigned_headers
            .push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a body.
    pub(crate) fn body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self
    }

    /// With a body signed so.
    pub(crate) fn payload(mut self, payload: Payload) -> Self {
        self.payload = payload;
        self
    }

    /// For people.
    pub(crate) fn shown(&self) -> String {
        format!(
            "{} {} {:?} ({} bytes, {:?})",
            self.method,
            self.target(),
            self.headers,
            self.body.len(),
            self.payload
        )
    }

    /// Path and query, encoded.
    pub(crate) fn target(&self) -> String {
        let mut target = self.path.clone();
        for (number, (name, value)) in self.query.iter().enumerate() {
            target.push(if number == 0 { '?' } else { '&' });
            target.push_str(&encode(name, false));
            if let Some(value) = value {
                target.push('=');
                target.push_str(&encode(value, false));
            }
        }
        target
    }

    /// The bytes on the wire.
    pub(crate) fn wire(
        &self,
        address: SocketAddr,
        target: &str,
        headers: &[(String, String)],
        body: &[u8],
    ) -> Vec<u8> {
        let mut head = format!("{} {target} HTTP/1.1\r\n", self.method);
        let all = headers.iter().chain(&self.unsigned_headers);
        let has = |wanted: &str| all.clone().any(|(name, _)| name == wanted);
        if !has("host") {
            let _ = write!(head, "host: {address}\r\n");
        }
        let framed_otherwise = has("content-length") || has("transfer-encoding");
        if !framed_otherwise && (!body.is_empty() || matches!(&*self.method, "PUT" | "POST")) {
            let _ = write!(head, "content-length: {}\r\n", body.len());
        }
        for (name, value) in all {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str("connection: close\r\n\r\n");
        [head.as_bytes(), body].concat()
    }
}

/// Percent-encodes as AWS does: all but letters, digits, `-._~` and, in a path, `/`.
pub(crate) fn encode(text: &str, path: bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (path && byte == b'/') {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

fn settings(location: SignatureLocation, expires: Option<Duration>) -> SigningSettings {
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    settings.payload_checksum_kind = match location {
        SignatureLocation::Headers => PayloadChecksumKind::XAmzSha256,
        _ => PayloadChecksumKind::NoHeader,
    };
    settings.signature_location = location;
    settings.expires_in = expires;
    settings
}
