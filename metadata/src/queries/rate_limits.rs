//! Rate limits: one, or all in pages.

use crate::error::MetadataError;
use crate::model::{NamedRateLimit, RateLimit, RateLimited};
use crate::sql::{Tx, values};

/// The limit of a bucket or a key; none if it has no row.
pub(crate) async fn one(
    tx: &mut Tx<'_>,
    of: RateLimited,
    name: &str,
) -> Result<RateLimit, MetadataError> {
    let row = tx
        .fetch_one(
            "SELECT requests_per_second, bytes_per_second FROM rate_limits \
             WHERE kind = $1 AND name = $2",
            values![of.as_str(), name],
        )
        .await?;
    match row {
        None => Ok(RateLimit::default()),
        Some(row) => Ok(RateLimit {
            requests_per_second: row.optional_number(0)?,
            bytes_per_second: row.optional_number(1)?,
        }),
    }
}

/// The limits after `after`, buckets before keys, each by name in the order of bytes.
pub(crate) async fn page(
    tx: &mut Tx<'_>,
    after: Option<(RateLimited, &str)>,
    limit: usize,
) -> Result<Vec<NamedRateLimit>, MetadataError> {
    // No kind is empty, so that `''` comes before all.
    let (kind, name) = after.map_or(("", ""), |(of, name)| (of.as_str(), name));
    let rows = tx
        .fetch(
            "SELECT kind, name, requests_per_second, bytes_per_second FROM rate_limits \
             WHERE kind > $1 OR (kind = $1 AND name > $2) ORDER BY kind, name LIMIT $3",
            values![kind, name, limit],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let kind = row.text(0)?;
            let of = RateLimited::parse(&kind)
                .ok_or_else(|| MetadataError::Corrupt(format!("a rate limit of a {kind}")))?;
            Ok(NamedRateLimit {
                of,
                name: row.text(1)?,
                limit: RateLimit {
                    requests_per_second: row.optional_number(2)?,
                    bytes_per_second: row.optional_number(3)?,
                },
            })
        })
        .collect()
}
