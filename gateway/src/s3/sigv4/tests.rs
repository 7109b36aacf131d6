//! Published vectors, the official signer as an oracle, and everything that must be refused.

mod client;
mod oracle;
mod presigned;
mod refusals;
mod vectors;

use std::sync::Arc;

use async_trait::async_trait;
use holdfast_types::ManualClock;
use http::Request;
use http::request::{Builder, Parts};

use super::{
    AmzDate, AuthError, Authenticated, Credential, CredentialStore, CredentialStoreError,
    SecretKey, Verifier,
};

/// Of AWS's examples.
const ACCESS_KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const DATE: &str = "20130524T000000Z";
const SCOPE: &str = "20130524/us-east-1/s3/aws4_request";
const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

struct OneKey;

#[async_trait]
impl CredentialStore for OneKey {
    async fn credential(
        &self,
        access_key: &str,
    ) -> Result<Option<Credential>, CredentialStoreError> {
        match access_key {
            ACCESS_KEY => Ok(Some(Credential {
                secret: SecretKey::new(SECRET),
            })),
            "UNREADABLE" => Err(CredentialStoreError {
                reason: "the disk is gone".to_owned(),
            }),
            _ => Ok(None),
        }
    }
}

/// A verifier whose clock stands at `now_ms`.
fn verifier_at(now_ms: u64) -> Verifier {
    let clock = Arc::new(ManualClock::new(now_ms));
    Verifier::new("s3", "us-east-1", Arc::new(OneKey), clock)
}

fn date_ms() -> u64 {
    AmzDate::parse(DATE).unwrap().unix_secs() * 1000
}

/// Authenticates a request at the moment of AWS's examples.
async fn authenticate(request: Builder) -> Result<Authenticated, AuthError> {
    verifier_at(date_ms()).authenticate(&head(request)).await
}

fn head(request: Builder) -> Parts {
    request.body(()).unwrap().into_parts().0
}

fn request(method: &str, target: &str) -> Builder {
    Request::builder().method(method).uri(target)
}
