//! Object lock: what keeps a version from being removed, as a client says it and is told it.

use crate::s3::name::{BucketName, ObjectKey, VersionId};
use crate::s3::time::Timestamp;

/// How strict a retention is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetentionMode {
    /// Whoever may bypass it can shorten it or remove the version.
    Governance,
    /// It can only be made longer.
    Compliance,
}

impl RetentionMode {
    /// AWS's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Governance => "GOVERNANCE",
            Self::Compliance => "COMPLIANCE",
        }
    }

    /// From AWS's name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Governance, Self::Compliance]
            .into_iter()
            .find(|mode| mode.as_str() == name)
    }
}

/// Keeps a version until a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// How strictly.
    pub mode: RetentionMode,
    /// Until when.
    pub until: Timestamp,
}

/// Whether a version is kept until somebody says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegalHold {
    /// It is.
    On,
    /// It is not.
    Off,
}

impl LegalHold {
    /// AWS's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::On => "ON",
            Self::Off => "OFF",
        }
    }

    /// From AWS's name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::On, Self::Off]
            .into_iter()
            .find(|hold| hold.as_str() == name)
    }
}

/// What locks a version, or is asked to lock a new one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ObjectLock {
    /// Its retention.
    pub retention: Option<Retention>,
    /// Its legal hold, if one was ever spoken of.
    pub legal_hold: Option<LegalHold>,
}

impl ObjectLock {
    /// Whether nothing is said.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.retention.is_none() && self.legal_hold.is_none()
    }
}

/// Whether a request asks to go past governance (`x-amz-bypass-governance-retention: true`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum GovernanceBypass {
    /// It does.
    Asked,
    /// It does not.
    #[default]
    NotAsked,
}

/// For how long new versions are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetentionPeriod {
    /// So many days.
    Days(u32),
    /// So many years.
    Years(u32),
}

impl RetentionPeriod {
    /// The most days: AWS's.
    pub const MAX_DAYS: u32 = 36_500;
    /// The most years: AWS's.
    pub const MAX_YEARS: u32 = 100;
}

/// What a bucket gives to new versions that ask for no retention themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DefaultRetention {
    /// How strictly.
    pub mode: RetentionMode,
    /// For how long.
    pub period: RetentionPeriod,
}

/// A bucket's object lock, which is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectLockConfiguration {
    /// What new versions get.
    pub default: Option<DefaultRetention>,
}

/// PutObjectLockConfiguration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutObjectLockConfigurationInput {
    /// The bucket.
    pub bucket: BucketName,
    /// Its object lock from now on.
    pub configuration: ObjectLockConfiguration,
}

/// GetObjectRetention and GetObjectLegalHold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectLockInput {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: ObjectKey,
    /// A version, or the current one.
    pub version_id: Option<VersionId>,
}

/// PutObjectRetention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutObjectRetentionInput {
    /// Which version.
    pub object: ObjectLockInput,
    /// Its retention from now on; `None`: none.
    pub retention: Option<Retention>,
    /// Whether governance is to be bypassed.
    pub bypass: GovernanceBypass,
}

/// PutObjectLegalHold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutObjectLegalHoldInput {
    /// Which version.
    pub object: ObjectLockInput,
    /// Its legal hold from now on.
    pub hold: LegalHold,
}
