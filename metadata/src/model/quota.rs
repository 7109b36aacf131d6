//! How much a bucket may hold.

/// A bucket's quota. It counts versions and their bytes (delete markers nothing), and the parts of
/// open uploads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quota {
    /// The most bytes.
    pub bytes: Option<u64>,
    /// The most objects: each version of a key is one.
    pub objects: Option<u64>,
}

impl Quota {
    /// Whether there is no limit.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.bytes.is_none() && self.objects.is_none()
    }
}

/// What a write would take too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverQuota {
    /// `bytes` or `objects`.
    pub what: &'static str,
    /// The most that the bucket may hold.
    pub limit: u64,
}
