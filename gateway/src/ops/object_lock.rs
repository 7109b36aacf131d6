//! Object lock: what a bucket gives to new versions, and what keeps a version.
//!
//! What is asked for is looked at before a body is read; whether a lock lets a version go, or lets
//! itself be made weaker, is decided by the metadata, under the key's lock.

use holdfast_metadata::MetadataError;
use holdfast_metadata::command::{PutLegalHold, PutRetention};
use holdfast_metadata::model::{
    self, Bucket, BucketLock, Bypass, ChangeCause, LockState, VersionLock, VersionSelector,
};

use super::Gateway;
use super::error::{Target, corrupt, no_object_lock};
use super::version::{LOOKUPS, kept_changing};
use crate::s3::error::{ErrorCode, S3Error};
use crate::s3::header;
use crate::s3::op::{
    BodyClaims, BucketInput, DefaultRetention, GovernanceBypass, LegalHold, ObjectLock,
    ObjectLockConfiguration, ObjectLockInput, PutObjectLegalHoldInput,
    PutObjectLockConfigurationInput, PutObjectRetentionInput, Retention, RetentionMode,
    RetentionPeriod,
};
use crate::s3::parse::has_digest;
use crate::s3::time::Timestamp;

/// What carries the bytes of an object that is to be locked, for AWS's words about it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Carrier {
    /// PutObject, or a form.
    Object,
    /// UploadPart.
    Part,
}

/// What a version's lock is changed to.
#[derive(Debug, Clone, Copy)]
enum LockChange {
    Retention(Option<model::Retention>, Bypass),
    Hold(bool),
}

impl Gateway {
    pub(super) async fn put_object_lock(
        &self,
        input: PutObjectLockConfigurationInput,
    ) -> Result<(), S3Error> {
        let default = input.configuration.default.map(stored_default);
        let set = self
            .metadata
            .set_object_lock(input.bucket.as_str(), default)
            .await;
        set.map_err(|e| Target::bucket(&input.bucket).error(e))
    }

    pub(super) async fn object_lock(
        &self,
        input: &BucketInput,
    ) -> Result<ObjectLockConfiguration, S3Error> {
        match self.bucket(&input.bucket).await?.object_lock {
            BucketLock::On(default) => Ok(ObjectLockConfiguration {
                default: default.map(shown_default),
            }),
            BucketLock::Off => Err(
                S3Error::new(ErrorCode::ObjectLockConfigurationNotFoundError)
                    .with("BucketName", input.bucket.as_str()),
            ),
            BucketLock::Unreadable => Err(corrupt(Unreadable)),
        }
    }

    pub(super) async fn retain(&self, input: PutObjectRetentionInput) -> Result<(), S3Error> {
        if let Some(retention) = &input.retention {
            self.check_ahead(retention)?;
        }
        let retention = input.retention.map(stored_retention);
        let change = LockChange::Retention(retention, self.bypass(input.bypass));
        self.change_lock(&input.object, change).await
    }

    pub(super) async fn hold(&self, input: PutObjectLegalHoldInput) -> Result<(), S3Error> {
        let change = LockChange::Hold(input.hold == LegalHold::On);
        self.change_lock(&input.object, change).await
    }

    /// Changes the lock of the very version that was found. A delete marker is told from a version
    /// here, because only the edge says what is wrong with it.
    async fn change_lock(
        &self,
        object: &ObjectLockInput,
        change: LockChange,
    ) -> Result<(), S3Error> {
        let target = Target::object(&object.bucket, &object.key, object.version_id.as_ref());
        for _ in 0..LOOKUPS {
            let version = VersionSelector::Exact(self.lockable(object).await?.version_id);
            match self.put_lock(object, version, change).await {
                Ok(()) => return Ok(()),
                // It went away since: look again which one is meant.
                Err(MetadataError::NoSuchVersion) => {}
                Err(error) => return Err(target.error(error)),
            }
        }
        Err(kept_changing())
    }

    async fn put_lock(
        &self,
        object: &ObjectLockInput,
        version: VersionSelector,
        change: LockChange,
    ) -> Result<(), MetadataError> {
        let bucket = object.bucket.as_str().to_owned();
        let key = object.key.as_bytes().to_vec();
        let origin = self.origin.clone();
        match change {
            LockChange::Retention(retention, bypass) => {
                let command = PutRetention {
                    bucket,
                    key,
                    version,
                    retention,
                    bypass,
                    origin,
                };
                self.metadata.put_retention(command).await
            }
            LockChange::Hold(on) => {
                let command = PutLegalHold {
                    bucket,
                    key,
                    version,
                    on,
                    origin,
                };
                self.metadata.put_legal_hold(command).await
            }
        }
    }

    pub(super) async fn lock_of(&self, input: &ObjectLockInput) -> Result<ObjectLock, S3Error> {
        match self.lockable(input).await?.lock {
            VersionLock::Known(state) => Ok(shown_state(&state)),
            VersionLock::Unreadable => Err(corrupt(Unreadable)),
        }
    }

    /// The version that is meant, in a bucket whose versions can be locked.
    async fn lockable(&self, input: &ObjectLockInput) -> Result<model::Version, S3Error> {
        let bucket = self.bucket(&input.bucket).await?;
        if bucket.object_lock == BucketLock::Off {
            return Err(no_object_lock());
        }
        let version_id = input.version_id.as_ref();
        let found = self.find(&input.bucket, &input.key, version_id).await?;
        Ok(found.version)
    }

    /// Refuses what a new object can't be locked with. The bucket may still change until it is
    /// published, which decides.
    pub(super) fn check_lock(&self, bucket: &Bucket, lock: &ObjectLock) -> Result<(), S3Error> {
        if lock.is_empty() {
            return Ok(());
        }
        if bucket.object_lock == BucketLock::Off {
            return Err(no_object_lock());
        }
        match &lock.retention {
            Some(retention) => self.check_ahead(retention),
            None => Ok(()),
        }
    }

    /// Refuses bytes of an object that is to be locked and that come without a digest, as AWS does. A
    /// form's sender can't make one: what it is told is in the form's policy.
    pub(super) fn check_digest(
        &self,
        bucket: &Bucket,
        is_asked: bool,
        claims: &BodyClaims,
        carrier: Carrier,
    ) -> Result<(), S3Error> {
        let is_locked = is_asked || matches!(bucket.object_lock, BucketLock::On(Some(_)));
        if !is_locked || has_digest(claims) || self.origin.cause == ChangeCause::Form {
            return Ok(());
        }
        Err(S3Error::invalid_request(match carrier {
            Carrier::Object => {
                "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests \
                 with Object Lock parameters"
            }
            Carrier::Part => {
                "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Part requests with \
                 Object Lock parameters"
            }
        }))
    }

    fn check_ahead(&self, retention: &Retention) -> Result<(), S3Error> {
        if retention.until > self.asked_at {
            return Ok(());
        }
        Err(S3Error::invalid_argument(
            "The retain until date must be in the future!",
            header::OBJECT_LOCK_RETAIN_UNTIL_DATE.as_str(),
            &retention.until.iso8601(),
        ))
    }

    /// What may be bypassed. Today every key is an owner, who may; a key that may not asks in vain
    /// and is then refused by the lock itself.
    pub(super) const fn bypass(&self, asked: GovernanceBypass) -> Bypass {
        match asked {
            GovernanceBypass::Asked => Bypass::Governance,
            GovernanceBypass::NotAsked => Bypass::No,
        }
    }
}

/// A lock as it is asked for.
pub(super) fn stored_lock(lock: ObjectLock) -> LockState {
    LockState {
        retention: lock.retention.map(stored_retention),
        legal_hold: lock.legal_hold.map(|hold| hold == LegalHold::On),
    }
}

/// A version's lock as a client sees it. One that can't be read locks all the same, and says nothing.
pub(super) fn shown_lock(lock: &VersionLock) -> ObjectLock {
    match lock {
        VersionLock::Known(state) => shown_state(state),
        VersionLock::Unreadable => ObjectLock::default(),
    }
}

fn shown_state(state: &LockState) -> ObjectLock {
    ObjectLock {
        retention: state.retention.map(|retention| Retention {
            mode: shown_mode(retention.mode),
            until: Timestamp::from_ms(retention.until_ms),
        }),
        legal_hold: state.legal_hold.map(|on| match on {
            true => LegalHold::On,
            false => LegalHold::Off,
        }),
    }
}

fn stored_retention(retention: Retention) -> model::Retention {
    model::Retention {
        mode: stored_mode(retention.mode),
        until_ms: retention.until.as_ms(),
    }
}

const fn stored_mode(mode: RetentionMode) -> model::RetentionMode {
    match mode {
        RetentionMode::Governance => model::RetentionMode::Governance,
        RetentionMode::Compliance => model::RetentionMode::Compliance,
    }
}

const fn shown_mode(mode: model::RetentionMode) -> RetentionMode {
    match mode {
        model::RetentionMode::Governance => RetentionMode::Governance,
        model::RetentionMode::Compliance => RetentionMode::Compliance,
    }
}

fn stored_default(default: DefaultRetention) -> model::DefaultRetention {
    model::DefaultRetention {
        mode: stored_mode(default.mode),
        period: match default.period {
            RetentionPeriod::Days(days) => model::RetentionPeriod::Days(days),
            RetentionPeriod::Years(years) => model::RetentionPeriod::Years(years),
        },
    }
}

fn shown_default(default: model::DefaultRetention) -> DefaultRetention {
    DefaultRetention {
        mode: shown_mode(default.mode),
        period: match default.period {
            model::RetentionPeriod::Days(days) => RetentionPeriod::Days(days),
            model::RetentionPeriod::Years(years) => RetentionPeriod::Years(years),
        },
    }
}

/// A row's lock is not what was once written.
#[derive(Debug, thiserror::Error)]
#[error("the object lock can't be read: everything under it stays locked")]
struct Unreadable;
