//! One connection to an S3 endpoint, and signed requests over it, one after the other.
//!
//! Straight on hyper's HTTP/1.1 connection: a pool and its locks would be measured too. A
//! connection that failed, or that the server closed, is opened again for the next request; what
//! failed is never sent a second time, because a bench counts failures.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use bytes::Bytes;
use holdfast_outbound::Wire;
use http::header::{AUTHORIZATION, HOST, RANGE};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::content::ContentBody;
use crate::sign::{Key, ToSign, sha256_hex, sign};

/// Where the bucket is and who asks for it.
#[derive(Clone)]
pub(crate) struct Endpoint {
    /// `host:port`, as it is connected to.
    address: String,
    wire: Wire,
    /// As it stands in `Host`.
    host: String,
    /// The path of the bucket itself.
    bucket_path: String,
    region: String,
    key: Key,
    pub(crate) payload: PayloadSigning,
}

/// Whether bodies are signed by their hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PayloadSigning {
    Unsigned,
    Hashed,
}

/// How the bucket is addressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Addressing {
    Path,
    VirtualHost,
}

/// A request that is yet to be signed.
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    /// The object, or none for the bucket.
    pub(crate) key: Option<&'a str>,
    /// `name=value` pairs, encoded, in order of their names.
    pub(crate) query: String,
    /// The first and the last byte wanted.
    pub(crate) range: Option<(u64, u64)>,
    pub(crate) body: Outgoing,
    /// The body's SHA-256, where it is to be signed by it.
    pub(crate) body_sha256: Option<String>,
}

/// A request's body.
pub(crate) type Outgoing = Either<Full<Bytes>, ContentBody>;

/// Why an operation failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// The server answered with an error.
    #[error("{status} {code}: {message}")]
    Refused {
        status: u16,
        code: String,
        message: String,
    },
    /// The server answered with what is not so.
    #[error("{0}")]
    Wrong(String),
    /// There was no answer, or not all of it.
    #[error("{0}")]
    NoAnswer(String),
}

impl Failure {
    /// What it is counted under.
    pub(crate) fn code(&self) -> &str {
        match self {
            Self::Refused { code, .. } => code,
            Self::Wrong(_) => WRONG,
            Self::NoAnswer(_) => "(no answer)",
        }
    }
}

/// A connection to one endpoint, opened when it is needed.
pub(crate) struct Connection {
    endpoint: Arc<Endpoint>,
    sender: Option<http1::SendRequest<Outgoing>>,
}

impl Endpoint {
    pub(crate) fn new(
        url: &str,
        bucket: &str,
        addressing: Addressing,
        region: &str,
        key: Key,
        payload: PayloadSigning,
    ) -> anyhow::Result<Self> {
        let uri: Uri = url
            .parse()
            .with_context(|| format!("`{url}` is not an address like http://127.0.0.1:9000"))?;
        let (scheme, authority) = match (uri.scheme_str(), uri.authority(), uri.path(), uri.query())
        {
            (Some(scheme @ ("http" | "https")), Some(authority), "/" | "", None)
                if !authority.as_str().contains('@') =>
            {
                (scheme, authority)
            }
            _ => bail!("`{url}` is not an address like http://127.0.0.1:9000"),
        };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if bucket.is_empty() || !bucket.chars().all(is_plain) {
            bail!("`{bucket}` can't be a bucket");
        }
        let (default_port, wire) = match (scheme, addressing) {
            ("http", _) => (80, Wire::Plain),
            (_, Addressing::Path) => (443, Wire::tls(authority.host())?),
            (_, Addressing::VirtualHost) => {
                (443, Wire::tls(&format!("{bucket}.{}", authority.host()))?)
            }
        };
        Ok(Self {
            address: match authority.port_u16() {
                Some(_) => authority.as_str().to_owned(),
                None => format!("{authority}:{default_port}"),
            },
            wire,
            host: match addressing {
                Addressing::Path => authority.as_str().to_owned(),
                Addressing::VirtualHost => format!("{bucket}.{authority}"),
            },
            bucket_path: match addressing {
                Addressing::Path => format!("/{bucket}"),
                Addressing::VirtualHost => String::new(),
            },
            region: region.to_owned(),
            key,
            payload,
        })
    }

    /// The path of a request: keys consist of characters that mean themselves.
    fn path(&self, key: Option<&str>) -> String {
        match key {
            Some(key) => format!("{}/{key}", self.bucket_path),
            None if self.bucket_path.is_empty() => "/".to_owned(),
            None => self.bucket_path.clone(),
        }
    }

    fn request(&self, call: Call<'_>) -> Result<Request<Outgoing>, Failure> {
        let path = self.path(call.key);
        let content_sha256 = match (&call.body_sha256, self.payload) {
            (Some(hash), PayloadSigning::Hashed) => hash.as_str(),
            _ => UNSIGNED_PAYLOAD,
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let signed = sign(
            &self.key,
            &ToSign {
                method: &call.method,
                host: &self.host,
                path: &path,
                query: &call.query,
                content_sha256,
                service: "s3",
                region: &self.region,
                now_secs: now.map_or(0, |now| now.as_secs()),
            },
        );
        let target = match call.query.as_str() {
            "" => path,
            query => format!("{path}?{query}"),
        };
        let mut request = Request::builder()
            .method(call.method)
            .uri(target)
            .header(HOST, &self.host)
            .header("x-amz-date", signed.date)
            .header("x-amz-content-sha256", content_sha256)
            .header(AUTHORIZATION, signed.authorization);
        if let Some((first, last)) = call.range {
            request = request.header(RANGE, format!("bytes={first}-{last}"));
        }
        request
            .body(call.body)
            .map_err(|error| Failure::Wrong(format!("can't make the request: {error}")))
    }
}

impl<'a> Call<'a> {
    /// A request without a body.
    pub(crate) fn new(method: Method, key: Option<&'a str>) -> Self {
        Self {
            method,
            key,
            query: String::new(),
            range: None,
            body: Either::Left(Full::default()),
            body_sha256: None,
        }
    }

    pub(crate) fn query(self, query: String) -> Self {
        Self { query, ..self }
    }

    pub(crate) fn text(self, text: String) -> Self {
        Self {
            body_sha256: Some(sha256_hex(text.as_bytes())),
            body: Either::Left(Full::from(text)),
            ..self
        }
    }
}

impl Connection {
    pub(crate) fn new(endpoint: Arc<Endpoint>) -> Self {
        Self {
            endpoint,
            sender: None,
        }
    }

    pub(crate) fn payload(&self) -> PayloadSigning {
        self.endpoint.payload
    }

    /// Sends `call` and gives the answer's head once it is `expected`.
    pub(crate) async fn send(
        &mut self,
        call: Call<'_>,
        expected: StatusCode,
    ) -> Result<Response<Incoming>, Failure> {
        let request = self.endpoint.request(call)?;
        let mut sender = self.sender().await?;
        let answer = sender.send_request(request).await;
        let answer = answer.map_err(|error| no_answer(&error))?;
        if answer.status() == expected {
            self.sender = Some(sender);
            return Ok(answer);
        }
        // The connection is not kept: the server may have answered before it had the whole body.
        Err(refusal(answer).await)
    }

    /// The connection if it still is one, else a new one. It is taken out: only an exchange that
    /// went well puts it back.
    async fn sender(&mut self) -> Result<http1::SendRequest<Outgoing>, Failure> {
        if let Some(mut sender) = self.sender.take()
            && sender.ready().await.is_ok()
        {
            return Ok(sender);
        }
        let stream = self.endpoint.wire.connect(&self.endpoint.address).await;
        let stream =
            stream.map_err(|error| Failure::NoAnswer(format!("can't connect: {error}")))?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| no_answer(&error))?;
        // Ends when the sender is dropped or the server closes.
        tokio::spawn(connection);
        Ok(sender)
    }

    /// Forgets the connection: what it still carries belongs to an operation that failed.
    pub(crate) fn close(&mut self) {
        self.sender = None;
    }
}

/// The rest of an answer, which is small.
pub(crate) async fn small_body(answer: Response<Incoming>) -> Result<Bytes, Failure> {
    match Limited::new(answer.into_body(), MAX_SMALL_BODY_LEN)
        .collect()
        .await
    {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) => Err(Failure::NoAnswer(format!("the answer broke off: {error}"))),
    }
}

/// The text of the first element `name`, which has no attributes.
pub(crate) fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
}

pub(crate) fn no_answer(error: &hyper::Error) -> Failure {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    Failure::NoAnswer(format!("{error}{}", cause.unwrap_or_default()))
}

async fn refusal(answer: Response<Incoming>) -> Failure {
    let status = answer.status();
    let body = tokio::time::timeout(REFUSAL_DEADLINE, small_body(answer)).await;
    let body = body.ok().and_then(Result::ok).unwrap_or_default();
    let xml = String::from_utf8_lossy(&body);
    Failure::Refused {
        status: status.as_u16(),
        code: match element(&xml, "Code") {
            Some(code) => code.to_owned(),
            None => format!("HTTP {}", status.as_u16()),
        },
        message: element(&xml, "Message").unwrap_or_default().to_owned(),
    }
}

/// What answers that are not so are counted under.
pub(crate) const WRONG: &str = "(wrong answer)";
const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";
/// A page of 1,000 keys of 1,024 bytes, each encoded, is below.
const MAX_SMALL_BODY_LEN: usize = 8 << 20;
const REFUSAL_DEADLINE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str, bucket: &str, addressing: Addressing) -> anyhow::Result<Endpoint> {
        let key = Key {
            access_key: "A".to_owned(),
            secret_key: "S".to_owned(),
        };
        let payload = PayloadSigning::Unsigned;
        Endpoint::new(url, bucket, addressing, "us-east-1", key, payload)
    }

    #[test]
    fn a_bucket_is_a_path_or_a_host() {
        let by_path = endpoint("http://s3.example:9000/", "b", Addressing::Path).unwrap();
        assert_eq!(by_path.address, "s3.example:9000");
        assert_eq!(by_path.host, "s3.example:9000");
        assert_eq!(by_path.path(Some("p/4/1")), "/b/p/4/1");
        assert_eq!(by_path.path(None), "/b");

        let by_host = endpoint("http://s3.example", "b", Addressing::VirtualHost).unwrap();
        assert_eq!(by_host.address, "s3.example:80");
        assert_eq!(by_host.host, "b.s3.example");
        assert_eq!(by_host.path(Some("p/4/1")), "/p/4/1");
        assert_eq!(by_host.path(None), "/");
    }

    #[test]
    fn addresses_and_buckets_that_can_not_be_are_refused() {
        for url in [
            "",
            "h:1",
            "ftp://h",
            "http://u@h",
            "http://h/x",
            "http://h/?x",
        ] {
            assert!(endpoint(url, "b", Addressing::Path).is_err(), "{url}");
        }
        for bucket in ["", "a/b", "a b", "ü"] {
            assert!(endpoint("http://h", bucket, Addressing::Path).is_err());
        }
    }

    #[test]
    fn a_request_is_signed_and_says_what_it_wants() {
        let endpoint = endpoint("http://h:1", "b", Addressing::Path).unwrap();
        let mut call = Call::new(Method::GET, Some("k")).query("partNumber=1".to_owned());
        call.range = Some((5, 9));
        let request = endpoint.request(call).unwrap();
        assert_eq!(request.uri(), "/b/k?partNumber=1");
        assert_eq!(request.headers()[RANGE], "bytes=5-9");
        assert_eq!(request.headers()["x-amz-content-sha256"], UNSIGNED_PAYLOAD);
        let authorization = request.headers()[AUTHORIZATION].to_str().unwrap();
        assert!(authorization.contains("/us-east-1/s3/aws4_request"));
    }

    #[test]
    fn elements_are_found_or_not() {
        let xml = "<Error><Code>NoSuchKey</Code><Message>m</Message></Error>";
        assert_eq!(element(xml, "Code"), Some("NoSuchKey"));
        assert_eq!(element(xml, "Key"), None);
        assert_eq!(element("<Code>cut", "Code"), None);
    }
}
