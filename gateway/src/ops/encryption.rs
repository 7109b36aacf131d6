//! How what is written is encrypted, and which key a read needs.
//!
//! What a write follows is chosen once, before its body is read: the request's own words, else its
//! bucket's. A version keeps which of the two kinds it is; each blob keeps its own data key, wrapped.
//! So copies that change nothing share the blobs with their keys, and a new master key changes no
//! version.

use holdfast_metadata::model::{
    Attributes, Bucket, Encryption as StoredEncryption, OpId, Seal, Upload,
};
use holdfast_sealing::{CustomerKey, DataKey, KeyVerifier, NoKey, UnknownMasterKey};
use holdfast_types::BlobId;

use super::Gateway;
use super::error::{Target, corrupt};
use crate::s3::error::{ErrorCode, S3Error};
use crate::s3::op::{
    AppliedEncryption, BucketEncryption, BucketInput, ETag, PutBucketEncryptionInput,
    WriteEncryption,
};

/// How the bytes of one write are encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Chosen {
    /// Not at all.
    Plain,
    /// By a data key that a master key wraps.
    Server,
    /// By a data key that the customer's key wraps.
    Customer(CustomerKey),
}

impl Chosen {
    /// As a version keeps it.
    pub(super) fn stored(&self) -> Option<StoredEncryption> {
        match self {
            Self::Plain => None,
            Self::Server => Some(StoredEncryption::ServerKey),
            Self::Customer(key) => {
                let KeyVerifier { salt, code } = key.verifier();
                Some(StoredEncryption::CustomerKey { salt, code })
            }
        }
    }

    /// As an answer shows it.
    pub(super) fn shown(&self) -> Option<AppliedEncryption> {
        match self {
            Self::Plain => None,
            Self::Server => Some(AppliedEncryption::ServerKey),
            Self::Customer(key) => Some(AppliedEncryption::by_customer(key)),
        }
    }

    /// The tag of what was written: its MD5, but where only the customer may know that.
    pub(super) fn etag(&self, write: OpId, md5: &[u8; 16]) -> ETag {
        match self {
            Self::Plain | Self::Server => ETag::from_md5(md5),
            Self::Customer(key) => ETag::from_md5(&key.etag(write.0.as_bytes(), md5)),
        }
    }

    /// Whether bytes that are kept as `stored` says are already as they shall be.
    pub(super) const fn is_as(&self, stored: Option<&StoredEncryption>) -> bool {
        matches!(
            (self, stored),
            (Self::Plain, None) | (Self::Server, Some(StoredEncryption::ServerKey))
        )
    }

    /// A new data key, if there shall be one.
    pub(super) fn data_key(&self) -> Option<DataKey> {
        match self {
            Self::Plain => None,
            Self::Server | Self::Customer(_) => Some(DataKey::random()),
        }
    }
}

impl Gateway {
    /// What a write to a bucket follows.
    ///
    /// # Errors
    /// `AccessDenied` where the bucket refuses customers' keys.
    pub(super) fn encryption_of_write(
        bucket: &Bucket,
        asked: &WriteEncryption,
    ) -> Result<Chosen, S3Error> {
        let says = bucket_encryption(bucket)?;
        match asked {
            WriteEncryption::ServerKey => Ok(Chosen::Server),
            WriteEncryption::CustomerKey(_)
                if says
                    .as_ref()
                    .is_some_and(BucketEncryption::blocks_customer_keys) =>
            {
                Err(S3Error::message(
                    ErrorCode::AccessDenied,
                    "Server-side encryption with customer-provided keys is blocked for this \
                     bucket.",
                ))
            }
            WriteEncryption::CustomerKey(key) => Ok(Chosen::Customer(key.clone())),
            WriteEncryption::BucketDefault if says.is_some_and(|says| says.by_default) => {
                Ok(Chosen::Server)
            }
            WriteEncryption::BucketDefault => Ok(Chosen::Plain),
        }
    }

    /// What a part of an upload follows: as the upload was begun, with the same key.
    ///
    /// # Errors
    /// `InvalidRequest` for another key than the upload's, for none, and for one that it has no use
    /// for.
    pub(super) fn encryption_of_part(
        upload: &Upload,
        key: Option<&CustomerKey>,
    ) -> Result<Chosen, S3Error> {
        match (&upload.attributes.encryption, key) {
            (None, None) => Ok(Chosen::Plain),
            (Some(StoredEncryption::ServerKey), None) => Ok(Chosen::Server),
            (None, Some(_)) => Err(S3Error::invalid_request(
                "The multipart upload initiate did not request encryption. Please resend the \
                 request without sending encryption parameters.",
            )),
            (Some(StoredEncryption::CustomerKey { salt, code }), Some(key)) => {
                if key.is_of(&verifier(salt, code)) {
                    Ok(Chosen::Customer(key.clone()))
                } else {
                    Err(S3Error::invalid_request(
                        "The provided encryption parameters did not match the ones used originally.",
                    ))
                }
            }
            (Some(StoredEncryption::CustomerKey { .. }), None)
            | (Some(StoredEncryption::ServerKey), Some(_)) => Err(S3Error::invalid_request(
                "The multipart upload initiate requested encryption. Subsequent part requests must \
                 include the appropriate encryption parameters.",
            )),
        }
    }

    /// Wraps the data key of a blob that is about to be published.
    pub(super) fn seal(
        &self,
        chosen: &Chosen,
        blob: BlobId,
        key: &DataKey,
        content_len: u64,
    ) -> Option<Seal> {
        let (master_key, wrapped_key) = match chosen {
            Chosen::Plain => return None,
            Chosen::Server => {
                let (id, wrapped) = self.keyring.wrap(blob.as_bytes(), key);
                (Some(id.as_str().to_owned()), wrapped)
            }
            Chosen::Customer(customer) => (None, customer.wrap(blob.as_bytes(), key)),
        };
        Some(Seal {
            master_key,
            wrapped_key,
            content_len,
        })
    }

    /// The data key of a blob that is read.
    pub(super) fn unseal(
        &self,
        blob: BlobId,
        seal: &Seal,
        customer: Option<&CustomerKey>,
    ) -> Result<DataKey, Unopened> {
        let (id, wrapped) = (blob.as_bytes(), &seal.wrapped_key);
        let opened = match (&seal.master_key, customer) {
            (Some(master), _) => self.keyring.unwrap(master, id, wrapped)?,
            (None, Some(key)) => key.unwrap(id, wrapped),
            (None, None) => Err(NoKey),
        };
        opened.map_err(|NoKey| Unopened::Row(blob))
    }

    pub(super) async fn set_bucket_encryption(
        &self,
        input: PutBucketEncryptionInput,
    ) -> Result<(), S3Error> {
        let value = serde_json::to_string(&input.encryption).map_err(corrupt)?;
        let name = &input.bucket;
        let set = self
            .metadata
            .set_default_encryption(name.as_str(), Some(value))
            .await;
        set.map_err(|e| Target::bucket(name).error(e))
    }

    pub(super) async fn unset_bucket_encryption(&self, input: BucketInput) -> Result<(), S3Error> {
        let name = &input.bucket;
        let set = self
            .metadata
            .set_default_encryption(name.as_str(), None)
            .await;
        set.map_err(|e| Target::bucket(name).error(e))
    }

    pub(super) async fn bucket_encryption(
        &self,
        input: &BucketInput,
    ) -> Result<BucketEncryption, S3Error> {
        let bucket = self.bucket(&input.bucket).await?;
        bucket_encryption(&bucket)?.ok_or_else(|| {
            S3Error::new(ErrorCode::ServerSideEncryptionConfigurationNotFoundError)
                .with("BucketName", input.bucket.as_str())
        })
    }
}

/// Why a blob's key could not be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unopened {
    /// A master key is missing: an operator must bring it back.
    #[error(transparent)]
    MasterKey(#[from] UnknownMasterKey),
    /// The row is not what was written.
    #[error("the wrapped key of blob {0} does not open")]
    Row(BlobId),
}

fn bucket_encryption(bucket: &Bucket) -> Result<Option<BucketEncryption>, S3Error> {
    let stored = bucket.encryption.as_deref();
    stored
        .map(|text| serde_json::from_str(text).map_err(corrupt))
        .transpose()
}

fn verifier(salt: &str, code: &str) -> KeyVerifier {
    KeyVerifier {
        salt: salt.to_owned(),
        code: code.to_owned(),
    }
}

/// Whether a request may see a version, and what it is told of its encryption.
///
/// # Errors
/// `InvalidRequest` without the key that it needs, and with one that it does not; `AccessDenied`
/// with another key.
pub(super) fn check_key(
    version: &Attributes,
    given: Option<&CustomerKey>,
) -> Result<Option<AppliedEncryption>, S3Error> {
    match (&version.encryption, given) {
        (None, None) => Ok(None),
        (Some(StoredEncryption::ServerKey), None) => Ok(Some(AppliedEncryption::ServerKey)),
        (Some(StoredEncryption::CustomerKey { salt, code }), Some(key)) => {
            if key.is_of(&verifier(salt, code)) {
                Ok(Some(AppliedEncryption::by_customer(key)))
            } else {
                Err(S3Error::message(
                    ErrorCode::AccessDenied,
                    "Requests specifying Server Side Encryption with Customer provided keys must \
                     provide the correct secret key.",
                ))
            }
        }
        (Some(StoredEncryption::CustomerKey { .. }), None) => Err(S3Error::invalid_request(
            "The object was stored using a form of Server Side Encryption. The correct parameters \
             must be provided to retrieve the object.",
        )),
        (None | Some(StoredEncryption::ServerKey), Some(_)) => Err(S3Error::invalid_request(
            "The encryption parameters are not applicable to this object.",
        )),
    }
}
