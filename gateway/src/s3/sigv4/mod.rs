//! Who sent this request: AWS Signature Version 4, in the header and in the query.
//!
//! Promises that an [`Authenticated`] request was signed with the secret of its access key, for
//! this service and region, within the allowed time, and that no `x-amz-*` header and no query
//! parameter was added after it was signed. What the key may do is for others to decide; that the
//! body is the one that was signed is enforced by `body`, which is given the [`PayloadMode`] and
//! the [`SigningContext`] from here.
//!
//! Source: "Authenticating Requests (AWS Signature Version 4)" in the S3 API reference, whose
//! published vectors are tests here, as is the official signer.

mod canonical;
mod chunk;
mod credential;
mod error;
mod header;
mod key;
mod payload;
mod policy;
mod query;
mod scope;
#[cfg(test)]
mod tests;
mod verify;

pub use canonical::{decode_query, encode_path, encode_query_component};
pub use chunk::ChunkSigner;
pub use credential::{Credential, CredentialStore, CredentialStoreError, SecretKey};
pub use error::AuthError;
pub use key::{SigningContext, SigningKey};
pub use payload::PayloadMode;
pub use policy::PolicyClaim;
pub use scope::{AmzDate, CredentialScope};
pub use verify::{AuthMethod, Authenticated, MAX_CLOCK_SKEW_SECS, MAX_PRESIGN_SECS, Verifier};
