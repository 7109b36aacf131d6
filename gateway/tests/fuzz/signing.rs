//! A key, a verifier that knows it, and requests that are signed with it: as text, so that they can
//! be bent.

use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt;
use holdfast_gateway::s3::sigv4::{
    AuthError, Authenticated, Credential, CredentialScope, CredentialStore, CredentialStoreError,
    SecretKey, SigningKey, Verifier, encode_query_component,
};
use holdfast_types::Clock;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request};
use sha2::{Digest, Sha256};

pub(crate) const ACCESS_KEY: &str = "FUZZKEY";
const SECRET: &str = "fuzz-secret";
pub(crate) const DATE: &str = "20261120T080000Z";
const NOW_MS: u64 = 1_795_161_600_000;

struct Keys;

#[async_trait]
impl CredentialStore for Keys {
    async fn credential(
        &self,
        access_key: &str,
    ) -> Result<Option<Credential>, CredentialStoreError> {
        Ok((access_key == ACCESS_KEY).then(|| Credential {
            secret: SecretKey::new(SECRET),
        }))
    }
}

struct Now;

impl Clock for Now {
    fn now_ms(&self) -> u64 {
        NOW_MS
    }
}

pub(crate) fn verifier() -> Verifier {
    Verifier::new("s3", "us-east-1", Arc::new(Keys), Arc::new(Now))
}

pub(crate) fn authenticate(verifier: &Verifier, head: &Parts) -> Result<Authenticated, AuthError> {
    verifier
        .authenticate(head)
        .now_or_never()
        .expect("nothing in it waits")
}

pub(crate) fn scope() -> CredentialScope {
    CredentialScope {
        day: "20261120".to_owned(),
        region: "us-east-1".to_owned(),
        service: "s3".to_owned(),
    }
}

pub(crate) fn key() -> SigningKey {
    SigningKey::derive(&SecretKey::new(SECRET), &scope())
}

pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn signature(canonical: &str) -> String {
    let hash = sha256_hex(canonical.as_bytes());
    key().sign(&format!("AWS4-HMAC-SHA256\n{DATE}\n{}\n{hash}", scope()))
}

/// `METHOD target`, and a line for each header; signed in its header. `query` as it is canonical,
/// `headers` in the order of their names.
pub(crate) fn signed(
    method: &str,
    path: &str,
    query: &str,
    hash: &str,
    headers: &[(&str, &str)],
) -> String {
    let mut all = vec![
        ("host", "fuzz.test"),
        ("x-amz-content-sha256", hash),
        ("x-amz-date", DATE),
    ];
    all.extend(headers);
    all.sort_unstable();
    let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let lines: String = all
        .iter()
        .map(|(name, value)| format!("{name}:{value}\n"))
        .collect();
    let canonical = format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{hash}");
    let signature = signature(&canonical);
    let target = target(path, query);
    format!(
        "{method} {target}\n{lines}authorization:AWS4-HMAC-SHA256 \
         Credential={ACCESS_KEY}/{},SignedHeaders={names},Signature={signature}\n",
        scope()
    )
}

/// As `signed`, but in the query.
pub(crate) fn presigned(method: &str, path: &str) -> String {
    let credential = format!("{ACCESS_KEY}/{}", scope());
    let query = format!(
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}&X-Amz-Date={DATE}\
         &X-Amz-Expires=600&X-Amz-SignedHeaders=host",
        encode_query_component(credential.as_bytes())
    );
    let canonical = format!("{method}\n{path}\n{query}\nhost:fuzz.test\n\nhost\nUNSIGNED-PAYLOAD");
    let signature = signature(&canonical);
    format!("{method} {path}?{query}&X-Amz-Signature={signature}\nhost:fuzz.test\n")
}

fn target(path: &str, query: &str) -> String {
    if query.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{query}")
    }
}

/// A head from such a text; `None` where HTTP itself would refuse it.
pub(crate) fn head(text: &[u8]) -> Option<Parts> {
    let mut lines = text.split(|&byte| byte == b'\n');
    let first = std::str::from_utf8(lines.next()?).ok()?;
    let (method, target) = first.split_once(' ')?;
    let mut request = Request::builder()
        .method(Method::from_bytes(method.as_bytes()).ok()?)
        .uri(target);
    for line in lines.filter(|line| !line.is_empty()) {
        let colon = line.iter().position(|&byte| byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        let value = HeaderValue::from_bytes(&line[colon + 1..]).ok()?;
        request = request.header(name, value);
    }
    Some(request.body(()).ok()?.into_parts().0)
}
