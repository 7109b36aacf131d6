//! The check itself, for one service in one region.
//!
//! What can be refused without the secret is refused before it is looked up. The order of the
//! checks is AWS's: shape, scope, time, headers, key, signature.

use std::sync::Arc;

use holdfast_types::Clock;
use http::header::{AUTHORIZATION, HeaderMap};
use http::request::Parts;

use super::canonical::{canonical_request, decode_query};
use super::credential::{Credential, CredentialStore};
use super::error::AuthError;
use super::header::{self, Claim};
use super::key::{SigningContext, SigningKey, string_to_sign};
use super::payload::PayloadMode;
use super::query::{self, Parameters, Presigned};

/// How far a client's clock may be from ours, either way.
pub const MAX_CLOCK_SKEW_SECS: u64 = 15 * 60;

/// How long a presigned request may be good for: 7 days.
pub const MAX_PRESIGN_SECS: u64 = 7 * 24 * 60 * 60;

/// Where the signature was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMethod {
    /// In the `Authorization` header.
    Header,
    /// In the query: a presigned request.
    Query,
}

/// A request whose signature is right.
#[derive(Debug, Clone)]
pub struct Authenticated {
    /// The key that signed it.
    pub access_key: String,
    /// Where the signature was.
    pub method: AuthMethod,
    /// For the signatures of its chunks.
    pub signing: SigningContext,
    /// How its body is sent.
    pub payload: PayloadMode,
}

/// Authenticates the requests of one service in one region.
pub struct Verifier {
    service: String,
    region: String,
    credentials: Arc<dyn CredentialStore>,
    clock: Arc<dyn Clock>,
}

impl Verifier {
    /// `service` is `s3` at the S3 listener; the admin listener has its own, so that a request
    /// signed for one is worth nothing at the other.
    #[must_use]
    pub fn new(
        service: impl Into<String>,
        region: impl Into<String>,
        credentials: Arc<dyn CredentialStore>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            service: service.into(),
            region: region.into(),
            credentials,
            clock,
        }
    }

    /// Checks a request's signature. The head must be as it was received.
    ///
    /// # Errors
    /// Why it is not authenticated; [`AuthError::Anonymous`] where it does not claim to be.
    pub async fn authenticate(&self, head: &Parts) -> Result<Authenticated, AuthError> {
        let parameters = decode_query(head.uri.query().unwrap_or_default());
        let in_header = head.headers.contains_key(AUTHORIZATION);
        let in_query = query::claims(&parameters);
        match (in_header, in_query) {
            (false, false) => Err(AuthError::Anonymous),
            (true, true) => Err(AuthError::SeveralMechanisms),
            (true, false) => self.authenticate_header(head, &parameters).await,
            (false, true) => self.authenticate_query(head, &parameters).await,
        }
    }

    async fn authenticate_header(
        &self,
        head: &Parts,
        parameters: &Parameters,
    ) -> Result<Authenticated, AuthError> {
        let claim = header::parse(&head.headers)?;
        self.check_scope(&claim)
            .map_err(|mismatch| AuthError::HeaderMalformed {
                reason: mismatch.reason,
                expected_region: mismatch.expected_region,
            })?;
        self.check_skew(&claim)?;
        refuse_session_token(&head.headers)?;
        let hash = payload_hash(&head.headers)?.ok_or(AuthError::ContentSha256Missing)?;
        let payload = PayloadMode::parse(hash)?;
        check_signed_headers(&head.headers, &claim.signed_headers, AuthMethod::Header)?;
        let signing = self.check_signature(head, parameters, &claim, hash).await?;
        Ok(Authenticated {
            access_key: claim.access_key,
            method: AuthMethod::Header,
            signing,
            payload,
        })
    }

    async fn authenticate_query(
        &self,
        head: &Parts,
        parameters: &Parameters,
    ) -> Result<Authenticated, AuthError> {
        let Presigned {
            claim,
            expires_secs,
            content_sha256,
        } = query::parse(parameters)?;
        self.check_scope(&claim)
            .map_err(|mismatch| AuthError::QueryMalformed {
                reason: format!(
                    "Error parsing the X-Amz-Credential parameter; {}",
                    mismatch.reason
                ),
                expected_region: mismatch.expected_region,
            })?;
        self.check_expiry(&claim, expires_secs)?;
        refuse_session_token(&head.headers)?;
        let hash = match (payload_hash(&head.headers)?, &content_sha256) {
            (Some(header), Some(query)) if header != query => {
                return Err(AuthError::ContentSha256Invalid);
            }
            (Some(header), _) => header,
            (None, Some(query)) => query,
            (None, None) => "UNSIGNED-PAYLOAD",
        };
        let payload = PayloadMode::parse(hash)?;
        check_signed_headers(&head.headers, &claim.signed_headers, AuthMethod::Query)?;
        let signing = self.check_signature(head, parameters, &claim, hash).await?;
        Ok(Authenticated {
            access_key: claim.access_key,
            method: AuthMethod::Query,
            signing,
            payload,
        })
    }

    pub(super) fn check_scope(&self, claim: &Claim) -> Result<(), ScopeMismatch> {
        let scope = &claim.scope;
        if scope.service != self.service {
            return Err(ScopeMismatch {
                reason: format!(
                    "incorrect service \"{}\". This endpoint belongs to \"{}\".",
                    scope.service, self.service
                ),
                expected_region: None,
            });
        }
        if scope.region != self.region {
            return Err(ScopeMismatch {
                reason: format!(
                    "the region '{}' is wrong; expecting '{}'",
                    scope.region, self.region
                ),
                expected_region: Some(self.region.clone()),
            });
        }
        if scope.day != claim.date.day() {
            return Err(ScopeMismatch {
                reason: format!(
                    "Invalid credential date \"{}\". This date is not the same as X-Amz-Date: \
                     \"{}\".",
                    scope.day,
                    claim.date.day()
                ),
                expected_region: None,
            });
        }
        Ok(())
    }

    fn check_skew(&self, claim: &Claim) -> Result<(), AuthError> {
        let server_time_ms = self.clock.now_ms();
        let signed_ms = claim.date.unix_secs() * 1000;
        let max_skew_ms = MAX_CLOCK_SKEW_SECS * 1000;
        if server_time_ms.abs_diff(signed_ms) > max_skew_ms {
            return Err(AuthError::TimeTooSkewed {
                request_time: claim.date.to_string(),
                server_time_ms,
                max_skew_ms,
            });
        }
        Ok(())
    }

    fn check_expiry(&self, claim: &Claim, expires_secs: u64) -> Result<(), AuthError> {
        let server_time_ms = self.clock.now_ms();
        let signed_secs = claim.date.unix_secs();
        if signed_secs * 1000 > server_time_ms + MAX_CLOCK_SKEW_SECS * 1000 {
            return Err(AuthError::NotYetValid);
        }
        let expired_at_secs = signed_secs + expires_secs;
        if server_time_ms > expired_at_secs * 1000 {
            return Err(AuthError::Expired {
                expires_secs,
                expired_at_secs,
                server_time_ms,
            });
        }
        Ok(())
    }

    pub(super) async fn credential(&self, access_key: &str) -> Result<Credential, AuthError> {
        let found = self.credentials.credential(access_key).await?;
        found.ok_or_else(|| AuthError::UnknownAccessKey {
            access_key: access_key.to_owned(),
        })
    }

    async fn check_signature(
        &self,
        head: &Parts,
        parameters: &Parameters,
        claim: &Claim,
        payload_hash: &str,
    ) -> Result<SigningContext, AuthError> {
        let credential = self.credential(&claim.access_key).await?;
        let key = SigningKey::derive(&credential.secret, &claim.scope);
        let canonical = canonical_request(
            &head.method,
            head.uri.path(),
            parameters,
            &head.headers,
            &claim.signed_headers,
            payload_hash,
        );
        let to_sign = string_to_sign(claim.date, &claim.scope, &canonical);
        if !key.verify(&to_sign, &claim.signature) {
            return Err(AuthError::SignatureMismatch {
                access_key: claim.access_key.clone(),
            });
        }
        Ok(SigningContext {
            key,
            date: claim.date,
            scope: claim.scope.clone(),
            seed_signature: claim.signature.clone(),
        })
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier")
            .field("service", &self.service)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

pub(super) struct ScopeMismatch {
    pub(super) reason: String,
    pub(super) expected_region: Option<String>,
}

/// `host` and every `x-amz-*` header: whoever can add one to a request can change what it does,
/// for instance turn a presigned PUT into a copy.
fn check_signed_headers(
    headers: &HeaderMap,
    signed: &[String],
    method: AuthMethod,
) -> Result<(), AuthError> {
    let mut unsigned: Vec<&str> = headers
        .keys()
        .map(http::HeaderName::as_str)
        .filter(|name| name.starts_with("x-amz-"))
        .filter(|name| method == AuthMethod::Header || !UNSIGNED_WHEN_PRESIGNED.contains(name))
        .chain(["host"])
        .filter(|name| !signed.iter().any(|signed| signed == name))
        .collect();
    if unsigned.is_empty() {
        return Ok(());
    }
    unsigned.sort_unstable();
    Err(AuthError::HeadersNotSigned {
        headers: unsigned.join(", "),
    })
}

fn refuse_session_token(headers: &HeaderMap) -> Result<(), AuthError> {
    if headers.contains_key("x-amz-security-token") {
        return Err(AuthError::InvalidToken);
    }
    Ok(())
}

fn payload_hash(headers: &HeaderMap) -> Result<Option<&str>, AuthError> {
    let mut values = headers.get_all("x-amz-content-sha256").iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(AuthError::ContentSha256Invalid);
    }
    value
        .to_str()
        .map(Some)
        .map_err(|_| AuthError::ContentSha256Invalid)
}

/// AWS's own SDKs send these two with a presigned request and never sign them there. The first
/// changes nothing, the second only adds checksums to an answer.
const UNSIGNED_WHEN_PRESIGNED: [&str; 2] = ["x-amz-checksum-mode", "x-amz-user-agent"];
