//! How much of a bucket, or by an access key, is let through in a second.

/// What a rate limit is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RateLimited {
    /// A bucket, whoever asks.
    Bucket,
    /// An access key, whatever it asks for.
    Key,
}

impl RateLimited {
    /// As its column has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bucket => "bucket",
            Self::Key => "key",
        }
    }

    /// The other way round.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Bucket, Self::Key]
            .into_iter()
            .find(|one| one.as_str() == text)
    }
}

/// The most in a second, on average; `None`: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RateLimit {
    /// Requests. At least 1.
    pub requests_per_second: Option<u64>,
    /// Bytes of bodies, those of requests and of answers together. At least 1.
    pub bytes_per_second: Option<u64>,
}

impl RateLimit {
    /// Whether there is no limit.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.requests_per_second.is_none() && self.bytes_per_second.is_none()
    }
}

/// The limit of one bucket or key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedRateLimit {
    /// Of what.
    pub of: RateLimited,
    /// The bucket's name, or the access key.
    pub name: String,
    /// How much.
    pub limit: RateLimit,
}
