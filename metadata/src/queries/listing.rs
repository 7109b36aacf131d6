//! Objects and versions as they are listed.

use crate::error::MetadataError;
use crate::model::{BucketId, ListEntry, ListPage, ListQuery, Version};
use crate::queries::scan::{Entry, Page, Position, Scan, Source};
use crate::queries::versions::{read, version_columns};
use crate::sql::{Row, Tx, values};

/// Current objects: markers and old versions are not in the index that this reads.
struct Objects(BucketId);

impl Source for Objects {
    type Item = Version;
    type Mark = ();

    async fn fetch(
        &self,
        tx: &mut Tx<'_>,
        from: &Position<()>,
        end: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Version>, MetadataError> {
        let (Position::From(from) | Position::Within(from, ())) = from;
        let rows = match end {
            Some(end) => {
                tx.fetch(
                    concat!(
                        "SELECT ",
                        version_columns!(),
                        " FROM versions WHERE bucket_id = $1 AND is_current = 1 \
                         AND is_marker = 0 AND key >= $2 AND key < $3 ORDER BY key LIMIT $4"
                    ),
                    values![self.0.0, from, end, limit],
                )
                .await?
            }
            None => {
                tx.fetch(
                    concat!(
                        "SELECT ",
                        version_columns!(),
                        " FROM versions WHERE bucket_id = $1 AND is_current = 1 \
                         AND is_marker = 0 AND key >= $2 ORDER BY key LIMIT $3"
                    ),
                    values![self.0.0, from, limit],
                )
                .await?
            }
        };
        read_all(&rows)
    }

    fn key(item: &Version) -> &[u8] {
        &item.key
    }

    fn behind(item: &Version) -> Position<()> {
        Position::after_key(item.key.clone())
    }
}

/// All versions and markers; within a key the newest first.
struct Versions(BucketId);

impl Source for Versions {
    type Item = Version;
    type Mark = u64;

    async fn fetch(
        &self,
        tx: &mut Tx<'_>,
        from: &Position<u64>,
        end: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Version>, MetadataError> {
        let (key, mut versions) = match from {
            Position::From(key) => (key.clone(), Vec::new()),
            Position::Within(key, sequence) => {
                // The rest of the key, and then what comes behind it: as one condition with OR no
                // planner reads it as two ranges.
                let rest = self.older(tx, key, *sequence, limit).await?;
                let mut behind = key.clone();
                behind.push(0);
                (behind, rest)
            }
        };
        let room = limit - versions.len();
        if room > 0 {
            versions.extend(self.at_or_after(tx, &key, end, room).await?);
        }
        Ok(versions)
    }

    fn key(item: &Version) -> &[u8] {
        &item.key
    }

    fn behind(item: &Version) -> Position<u64> {
        Position::Within(item.key.clone(), item.sequence)
    }
}

impl Versions {
    async fn older(
        &self,
        tx: &mut Tx<'_>,
        key: &[u8],
        sequence: u64,
        limit: usize,
    ) -> Result<Vec<Version>, MetadataError> {
        let rows = tx
            .fetch(
                concat!(
                    "SELECT ",
                    version_columns!(),
                    " FROM versions WHERE bucket_id = $1 AND key = $2 AND sequence < $3 \
                     ORDER BY sequence DESC LIMIT $4"
                ),
                values![self.0.0, key, sequence, limit],
            )
            .await?;
        read_all(&rows)
    }

    async fn at_or_after(
        &self,
        tx: &mut Tx<'_>,
        key: &[u8],
        end: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Version>, MetadataError> {
        let rows = match end {
            Some(end) => {
                tx.fetch(
                    concat!(
                        "SELECT ",
                        version_columns!(),
                        " FROM versions WHERE bucket_id = $1 AND key >= $2 AND key < $3 \
                         ORDER BY key, sequence DESC LIMIT $4"
                    ),
                    values![self.0.0, key, end, limit],
                )
                .await?
            }
            None => {
                tx.fetch(
                    concat!(
                        "SELECT ",
                        version_columns!(),
                        " FROM versions WHERE bucket_id = $1 AND key >= $2 \
                         ORDER BY key, sequence DESC LIMIT $3"
                    ),
                    values![self.0.0, key, limit],
                )
                .await?
            }
        };
        read_all(&rows)
    }
}

fn read_all(rows: &[Row]) -> Result<Vec<Version>, MetadataError> {
    rows.iter().map(read).collect()
}

/// A page of current objects.
pub(crate) async fn objects(tx: &mut Tx<'_>, query: &ListQuery) -> Result<ListPage, MetadataError> {
    let scan = Scan::new(&query.prefix, query.delimiter.as_deref(), query.limit);
    let from = scan.start(query.after.as_deref());
    let page = scan.page(tx, &Objects(query.bucket), from).await?;
    Ok(list_page(page))
}

/// A page of versions.
pub(crate) async fn versions(
    tx: &mut Tx<'_>,
    query: &ListQuery,
) -> Result<ListPage, MetadataError> {
    let scan = Scan::new(&query.prefix, query.delimiter.as_deref(), query.limit);
    let from = match within(tx, query).await? {
        Some(position) => Some(scan.not_before_prefix(position)),
        None => scan.start(query.after.as_deref()),
    };
    let page = scan.page(tx, &Versions(query.bucket), from).await?;
    Ok(list_page(page))
}

/// The place inside key `after` that the page begins at, if one was asked for. Where the version
/// has been deleted meanwhile the key's versions are listed from its newest: a client that deletes
/// page by page then misses none.
async fn within(
    tx: &mut Tx<'_>,
    query: &ListQuery,
) -> Result<Option<Position<u64>>, MetadataError> {
    let (Some(after), Some(version)) = (&query.after, &query.after_version) else {
        return Ok(None);
    };
    let row = tx
        .fetch_one(
            "SELECT sequence FROM versions \
             WHERE bucket_id = $1 AND key = $2 AND version_id = $3",
            values![query.bucket.0, after, &version.0],
        )
        .await?;
    Ok(Some(match row {
        Some(row) => Position::Within(after.clone(), row.number(0)?),
        None => Position::From(after.clone()),
    }))
}

fn list_page(page: Page<Version>) -> ListPage {
    let entries = page.entries.into_iter().map(|entry| match entry {
        Entry::Item(version) => ListEntry::Version(version),
        Entry::CommonPrefix(prefix) => ListEntry::CommonPrefix(prefix),
    });
    ListPage {
        entries: entries.collect(),
        truncated: page.truncated,
        rows_visited: page.rows_visited,
    }
}
