//! What an audit reads of rows that stand for themselves: what nothing belongs to, totals, the
//! change log, queues. See [`crate::audit`].
//!
//! All but the totals come in pages, each one statement and so one state of the database; and what a
//! page is compared with is found through an index. The totals of a bucket are one statement, because
//! only of one state are they exact: readers hold up nobody's writes.

use holdfast_types::BlobId;
use uuid::Uuid;

use super::audit::span;
use crate::audit::{ChangeAudit, ChangePage, LimitAudit, PartAudit, Totals, UsageAudit};
use crate::error::MetadataError;
use crate::model::{BucketId, RemovedLock};
use crate::notification::{LogBounds, MAX_DEAD_LETTERS};
use crate::sql::{Row, Tx, values};

/// Where a walk goes on: after the row of an id and a number.
pub(crate) type After = Option<(Uuid, u64)>;

/// The columns of [`After`] before everything.
fn place(after: &After) -> (&[u8], i64) {
    match after {
        Some((id, number)) => (id.as_bytes(), number.cast_signed()),
        None => (&[], -1),
    }
}

/// The place behind a page, if there may be more.
fn next(rows: &[Row], limit: usize) -> Result<After, MetadataError> {
    match rows.last().filter(|_| rows.len() == limit) {
        Some(row) => Ok(Some((row.uuid(0)?, row.number(1)?))),
        None => Ok(None),
    }
}

/// Slices of a page of which neither a version nor a part is the owner: the owners.
pub(crate) async fn ownerless_slices(
    tx: &mut Tx<'_>,
    after: After,
    limit: usize,
) -> Result<(Vec<(Uuid, BlobId)>, After), MetadataError> {
    let (owner, start) = place(&after);
    let rows = tx
        .fetch(
            "SELECT s.owner, s.start, s.blob_id, CAST(CASE WHEN \
             EXISTS (SELECT 1 FROM versions v WHERE v.uid = s.owner) OR \
             EXISTS (SELECT 1 FROM parts p WHERE p.uid = s.owner) \
             THEN 1 ELSE 0 END AS BIGINT) FROM slices s \
             WHERE (s.owner, s.start) > ($1, $2) ORDER BY s.owner, s.start LIMIT $3",
            values![owner, start, limit],
        )
        .await?;
    let mut found = Vec::new();
    for row in &rows {
        if !row.truth(3)? {
            found.push((row.uuid(0)?, row.blob(2)?));
        }
    }
    Ok((found, next(&rows, limit)?))
}

/// Parts of objects of a page that are of no version: the owners.
pub(crate) async fn ownerless_parts(
    tx: &mut Tx<'_>,
    after: After,
    limit: usize,
) -> Result<(Vec<Uuid>, After), MetadataError> {
    let (owner, part) = place(&after);
    let rows = tx
        .fetch(
            "SELECT o.owner, o.part_number, CAST(CASE WHEN \
             EXISTS (SELECT 1 FROM versions v WHERE v.uid = o.owner) \
             THEN 1 ELSE 0 END AS BIGINT) FROM object_parts o \
             WHERE (o.owner, o.part_number) > ($1, $2) ORDER BY o.owner, o.part_number LIMIT $3",
            values![owner, part, limit],
        )
        .await?;
    let mut found = Vec::new();
    for row in &rows {
        if !row.truth(2)? {
            found.push(row.uuid(0)?);
        }
    }
    found.dedup();
    Ok((found, next(&rows, limit)?))
}

/// Parts of uploads of a page that are not open, or whose slices are not their bytes.
pub(crate) async fn bad_parts(
    tx: &mut Tx<'_>,
    after: After,
    limit: usize,
) -> Result<(Vec<PartAudit>, After), MetadataError> {
    let (upload, part) = place(&after);
    let rows = tx
        .fetch(
            "SELECT p.upload_id, p.part_number, p.size, u.state, \
             (SELECT COUNT(*) FROM slices s WHERE s.owner = p.uid), \
             (SELECT CAST(COALESCE(SUM(s.len), 0) AS BIGINT) FROM slices s \
             WHERE s.owner = p.uid), \
             (SELECT COUNT(*) FROM slices s WHERE s.owner = p.uid AND s.start <> COALESCE(\
             (SELECT q.start + q.len FROM slices q WHERE q.owner = s.owner AND q.start < s.start \
             ORDER BY q.start DESC LIMIT 1), 0)) \
             FROM parts p LEFT JOIN uploads u ON u.upload_id = p.upload_id \
             WHERE (p.upload_id, p.part_number) > ($1, $2) \
             ORDER BY p.upload_id, p.part_number LIMIT $3",
            values![upload, part, limit],
        )
        .await?;
    let mut found = Vec::new();
    for row in &rows {
        let part = PartAudit {
            upload: row.uuid(0)?,
            part_number: row.number(1)?,
            size: row.number(2)?,
            state: row.optional_text(3)?,
            slices: span(row, 4)?,
        };
        if part.state.as_deref() != Some("open") || !part.slices.fills(part.size) {
            found.push(part);
        }
    }
    Ok((found, next(&rows, limit)?))
}

/// Totals of buckets after one, told and counted, in one state.
pub(crate) async fn usage(
    tx: &mut Tx<'_>,
    after: BucketId,
    limit: usize,
) -> Result<Vec<UsageAudit>, MetadataError> {
    let rows = tx
        .fetch(
            "SELECT b.bucket_id, b.name, \
             CAST((SELECT COALESCE(SUM(t.versions), 0) FROM usage t \
             WHERE t.bucket_id = b.bucket_id) + \
             (SELECT COALESCE(SUM(d.versions), 0) FROM usage_deltas d \
             WHERE d.bucket_id = b.bucket_id) AS BIGINT), \
             CAST((SELECT COALESCE(SUM(t.bytes), 0) FROM usage t \
             WHERE t.bucket_id = b.bucket_id) + \
             (SELECT COALESCE(SUM(d.bytes), 0) FROM usage_deltas d \
             WHERE d.bucket_id = b.bucket_id) AS BIGINT), \
             CAST((SELECT COALESCE(SUM(t.part_bytes), 0) FROM usage t \
             WHERE t.bucket_id = b.bucket_id) + \
             (SELECT COALESCE(SUM(d.part_bytes), 0) FROM usage_deltas d \
             WHERE d.bucket_id = b.bucket_id) AS BIGINT), \
             (SELECT COUNT(*) FROM versions v WHERE v.bucket_id = b.bucket_id \
             AND v.is_marker = 0), \
             (SELECT CAST(COALESCE(SUM(v.size), 0) AS BIGINT) FROM versions v \
             WHERE v.bucket_id = b.bucket_id AND v.is_marker = 0), \
             (SELECT CAST(COALESCE(SUM(p.size), 0) AS BIGINT) FROM uploads u \
             JOIN parts p ON p.upload_id = u.upload_id \
             WHERE u.bucket_id = b.bucket_id AND u.state = 'open') \
             FROM buckets b WHERE b.bucket_id > $1 ORDER BY b.bucket_id LIMIT $2",
            values![after.0, limit],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(UsageAudit {
                bucket: BucketId(row.signed(0)?),
                name: row.text(1)?,
                told: totals(row, 2)?,
                counted: totals(row, 5)?,
            })
        })
        .collect()
}

fn totals(row: &Row, first: usize) -> Result<Totals, MetadataError> {
    Ok(Totals {
        versions: row.signed(first)?,
        bytes: row.signed(first + 1)?,
        part_bytes: row.signed(first + 2)?,
    })
}

/// Rows of the change log after one, that the versions or heads contradict, or that tell of what
/// might not be.
pub(crate) async fn contradicted(
    tx: &mut Tx<'_>,
    after: u64,
    limit: usize,
) -> Result<ChangePage, MetadataError> {
    let rows = tx
        .fetch(
            "SELECT c.change_number, c.bucket_id, c.key, c.sequence, c.kind, c.version_id, \
             v.sequence, h.last_sequence, \
             CAST(CASE WHEN v.sequence IS NULL AND c.kind IN ('put', 'marker') \
             AND NOT EXISTS (SELECT 1 FROM changes l WHERE l.bucket_id = c.bucket_id \
             AND l.key = c.key AND l.sequence > c.sequence AND l.version_id = c.version_id \
             AND l.kind <> 'update') THEN 1 ELSE 0 END AS BIGINT), \
             CAST(CASE WHEN b.object_lock IS NULL THEN 0 ELSE 1 END AS BIGINT), \
             c.removed_lock, c.at_ms FROM changes c \
             LEFT JOIN versions v ON v.bucket_id = c.bucket_id AND v.key = c.key \
             AND v.version_id = c.version_id \
             LEFT JOIN heads h ON h.bucket_id = c.bucket_id AND h.key = c.key \
             LEFT JOIN buckets b ON b.bucket_id = c.bucket_id \
             WHERE c.change_number > $1 AND b.bucket_id IS NOT NULL \
             ORDER BY c.change_number LIMIT $2",
            values![after, limit],
        )
        .await?;
    let mut last = None;
    let mut bad = Vec::new();
    for row in &rows {
        let at_ms = row.number(11)?;
        let removed = row.optional_text(10)?;
        let change = ChangeAudit {
            number: row.number(0)?,
            bucket: BucketId(row.signed(1)?),
            key: row.bytes(2)?,
            sequence: row.number(3)?,
            kind: row.text(4)?,
            version_id: row.text(5)?,
            version_sequence: row.optional_small(6)?,
            head_sequence: row.optional_small(7)?,
            is_vanished: row.truth(8)?,
            in_locked_bucket: row.truth(9)?,
            forbidden: removed.and_then(|removed| forbidden(&removed, at_ms)),
        };
        last = Some(change.number);
        if change.is_contradicted() || change.is_vanished || change.forbidden.is_some() {
            bad.push(change);
        }
    }
    Ok(ChangePage {
        rows: rows.len() as u64,
        bad,
        next: last.filter(|_| rows.len() == limit),
    })
}

/// Why a version with this lock might not go. What can't be read is locked.
fn forbidden(removed: &str, at_ms: u64) -> Option<&'static str> {
    let unreadable = RemovedLock {
        lock: None,
        bypassed: false,
    };
    let lock: RemovedLock = serde_json::from_str(removed).unwrap_or(unreadable);
    lock.forbids(at_ms)
}

impl ChangeAudit {
    /// Whether what is there now can't have come from this change and later ones.
    #[must_use]
    pub fn is_contradicted(&self) -> bool {
        let ahead_of_key = self.head_sequence.is_some_and(|last| self.sequence > last);
        let still_older = self
            .version_sequence
            .is_some_and(|version| version < self.sequence);
        ahead_of_key || (still_older && self.kind != "update")
    }
}

/// Queues in the metadata that are longer than they may be.
pub(crate) async fn limits(
    tx: &mut Tx<'_>,
    log: LogBounds,
    limit: usize,
) -> Result<Vec<LimitAudit>, MetadataError> {
    let rows = tx
        .fetch(
            "SELECT webhook, COUNT(*) FROM dead_letters GROUP BY webhook HAVING COUNT(*) > $1 \
             ORDER BY webhook LIMIT $2",
            values![MAX_DEAD_LETTERS, limit],
        )
        .await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        found.push(LimitAudit {
            what: format!("the dead letters of webhook {}", row.text(0)?),
            found: row.number(1)?,
            limit: MAX_DEAD_LETTERS,
        });
    }
    let span = tx
        .fetch_one(
            "SELECT COALESCE(\
             (SELECT n.change_number FROM changes n ORDER BY n.change_number DESC LIMIT 1) - \
             (SELECT o.change_number FROM changes o ORDER BY o.change_number LIMIT 1), 0)",
            values![],
        )
        .await?;
    let span = span.map_or(Ok(0), |row| row.number(0))?;
    // It is cut in steps, so it may be a little longer for a while.
    let most = log.rows.saturating_add(log.rows / 10);
    if span > most {
        found.push(LimitAudit {
            what: "the change log".to_owned(),
            found: span,
            limit: most,
        });
    }
    Ok(found)
}
