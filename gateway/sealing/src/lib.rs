//! Server-side encryption: content goes in, sealed bytes come out, and the other way round.
//!
//! A *sealed blob* is content cut into chunks of 64 KiB, each encrypted and authenticated with
//! AES-256-GCM under a random *data key* that seals this one blob and nothing else. The data key is
//! kept *wrapped*, in the blob's metadata: by a *master key* of the [`Keyring`] (SSE-S3), or by the
//! key that the customer sends with each request (SSE-C), which is kept nowhere. So changing the
//! master key rewraps 60 bytes a blob and touches no content, and any range can be read by opening
//! the chunks that it overlaps and no others.
//!
//! Nothing here does I/O or knows S3. No byte leaves an opener before its chunk's tag was verified.
//! The chunk format is the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár: "Online
//! Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance", 2015) as `age` uses it.

mod chunk;
mod customer;
mod key;
mod keyring;
mod opening;
mod seal;
mod span;

pub use chunk::Tampered;
pub use customer::{CustomerKey, KeyVerifier};
pub use key::{DataKey, NoKey, WrappedKey};
pub use keyring::{BadKeyring, Keyring, MasterKey, MasterKeyId, UnknownMasterKey};
pub use opening::{Open, OpenError};
pub use seal::Seal;
pub use span::{CHUNK_LEN, Span, TAG_LEN, sealed_len};
