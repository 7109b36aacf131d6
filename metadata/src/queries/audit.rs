//! What an audit reads: see [`crate::audit`].
//!
//! Every statement is bounded by its page or its limit, so that none holds up a live store.

use holdfast_types::{BlobId, FragmentId, FragmentIndex, Generation, Region};

use crate::audit::{AuditSize, OwnerName, Span, VersionAudit, VersionCursor};
use crate::commands::debts::kind;
use crate::commands::object_lock;
use crate::error::MetadataError;
use crate::model::{BucketId, DebtKind};
use crate::sql::{Row, Tx, values};

/// Bytes of a drive's number in a packed placement.
const NUMBER_LEN: usize = 4;

/// `end` of all ids.
const BEHIND_ALL: [u8; 17] = [0xFF; 17];

pub(super) fn span(row: &Row, column: usize) -> Result<Span, MetadataError> {
    Ok(Span {
        count: row.number(column)?,
        bytes: row.number(column + 1)?,
        gaps: row.number(column + 2)?,
    })
}

/// How much there is.
pub(crate) async fn size(tx: &mut Tx<'_>) -> Result<AuditSize, MetadataError> {
    let row = tx
        .fetch_one(
            "SELECT (SELECT COUNT(*) FROM versions), (SELECT COUNT(*) FROM blobs), \
             (SELECT CAST(COALESCE(SUM(len), 0) AS BIGINT) FROM blobs WHERE state = 'live')",
            values![],
        )
        .await?;
    let row = row.ok_or_else(|| MetadataError::Corrupt("no sizes".to_owned()))?;
    Ok(AuditSize {
        versions: row.number(0)?,
        blobs: row.number(1)?,
        bytes: row.number(2)?,
    })
}

/// What the database says of its own file: nothing where it is well or can't say.
pub(crate) async fn database(tx: &mut Tx<'_>, limit: usize) -> Result<Vec<String>, MetadataError> {
    let sql = tx
        .dialect()
        .pick("PRAGMA integrity_check(100)", "SELECT 'ok'");
    let rows = tx.fetch(sql, values![]).await?;
    let mut said = rows
        .iter()
        .map(|row| row.text(0))
        .collect::<Result<Vec<_>, _>>()?;
    said.retain(|line| line != "ok");
    said.truncate(limit);
    Ok(said)
}

/// The bucket number after `after`, with which versions go on.
pub(crate) async fn next_bucket(
    tx: &mut Tx<'_>,
    after: BucketId,
) -> Result<Option<BucketId>, MetadataError> {
    // Not from `buckets`: versions of a bucket that is not there are to be found too.
    let row = tx
        .fetch_one(
            "SELECT bucket_id FROM versions WHERE bucket_id > $1 ORDER BY bucket_id LIMIT 1",
            values![after.0],
        )
        .await?;
    row.map(|row| Ok(BucketId(row.signed(0)?))).transpose()
}

/// Versions of a bucket after a place in it, keys in order, each key's newest first.
pub(crate) async fn versions(
    tx: &mut Tx<'_>,
    bucket: BucketId,
    after: Option<&VersionCursor>,
    limit: usize,
) -> Result<Vec<VersionAudit>, MetadataError> {
    let (key, sequence): (&[u8], u64) = match after {
        Some(after) => (&after.key, after.sequence),
        None => (&[], u64::MAX),
    };
    let rows = tx
        .fetch(
            "SELECT v.uid, v.key, v.sequence, v.version_id, v.is_current, v.is_marker, v.size, \
             v.etag, v.last_modified_ms, v.parts, v.attributes, b.name, b.versioning, \
             h.last_sequence, h.last_modified_ms, \
             (SELECT MAX(n.sequence) FROM versions n WHERE n.bucket_id = v.bucket_id \
             AND n.key = v.key), \
             (SELECT o.last_modified_ms FROM versions o WHERE o.bucket_id = v.bucket_id \
             AND o.key = v.key AND o.sequence < v.sequence ORDER BY o.sequence DESC LIMIT 1), \
             (SELECT COUNT(*) FROM slices s WHERE s.owner = v.uid), \
             (SELECT CAST(COALESCE(SUM(s.len), 0) AS BIGINT) FROM slices s WHERE s.owner = v.uid), \
             (SELECT COUNT(*) FROM slices s WHERE s.owner = v.uid AND s.start <> COALESCE(\
             (SELECT p.start + p.len FROM slices p WHERE p.owner = s.owner AND p.start < s.start \
             ORDER BY p.start DESC LIMIT 1), 0)), \
             (SELECT COUNT(*) FROM slices s LEFT JOIN blobs ON blobs.blob_id = s.blob_id \
             WHERE s.owner = v.uid AND (blobs.state IS NULL OR blobs.state <> 'live' \
             OR s.blob_offset < 0 \
             OR s.blob_offset + s.len > COALESCE(blobs.content_len, blobs.len))), \
             (SELECT COUNT(*) FROM object_parts o WHERE o.owner = v.uid), \
             (SELECT CAST(COALESCE(SUM(o.size), 0) AS BIGINT) FROM object_parts o \
             WHERE o.owner = v.uid), \
             (SELECT COUNT(*) FROM object_parts o WHERE o.owner = v.uid AND o.start <> COALESCE(\
             (SELECT p.start + p.size FROM object_parts p WHERE p.owner = o.owner \
             AND p.part_number < o.part_number ORDER BY p.part_number DESC LIMIT 1), 0)), \
             v.lock_mode, v.retain_until_ms, v.legal_hold, \
             CAST(CASE WHEN EXISTS (SELECT 1 FROM changes c WHERE c.bucket_id = v.bucket_id \
             AND c.key = v.key AND c.sequence = v.sequence AND c.version_id = v.version_id \
             AND c.kind = CASE WHEN v.is_marker = 1 THEN 'marker' ELSE 'put' END) \
             THEN 1 ELSE 0 END AS BIGINT), \
             (SELECT f.change_number FROM changes f ORDER BY f.change_number LIMIT 1), \
             (SELECT f.at_ms FROM changes f ORDER BY f.change_number LIMIT 1) \
             FROM versions v LEFT JOIN buckets b ON b.bucket_id = v.bucket_id \
             LEFT JOIN heads h ON h.bucket_id = v.bucket_id AND h.key = v.key \
             WHERE v.bucket_id = $1 AND v.key >= $2 AND (v.key > $2 OR v.sequence < $3) \
             ORDER BY v.bucket_id, v.key, v.sequence DESC LIMIT $4",
            values![bucket.0, key, sequence, limit],
        )
        .await?;
    rows.iter().map(|row| read_version(row, bucket)).collect()
}

fn read_version(row: &Row, bucket: BucketId) -> Result<VersionAudit, MetadataError> {
    let sequence = row.number(2)?;
    let named = match row.optional_text(11)? {
        Some(name) => Some((name, row.text(12)?)),
        None => None,
    };
    let head = match row.optional_small::<u64>(13)? {
        Some(last) => Some((last, row.number(14)?)),
        None => None,
    };
    let last_modified_ms = row.number(8)?;
    let oldest = match row.optional_small::<u64>(28)? {
        Some(number) => Some((number, row.number(29)?)),
        None => None,
    };
    // Where the oldest rows of the log were removed, versions that are older than what is left are
    // taken for logged; where none is left, all of them.
    let may_be_trimmed = match oldest {
        None => true,
        Some((number, at_ms)) => number > 1 && last_modified_ms <= at_ms,
    };
    Ok(VersionAudit {
        uid: row.uuid(0)?,
        at: VersionCursor {
            bucket,
            key: row.bytes(1)?,
            sequence,
        },
        bucket: named,
        version_id: row.text(3)?,
        is_current: row.truth(4)?,
        is_marker: row.truth(5)?,
        size: row.number(6)?,
        etag: row.text(7)?,
        last_modified_ms,
        parts: row.optional_small(9)?,
        attributes: row.text(10)?,
        head,
        has_newer: row.number(15)? > sequence,
        older_modified_ms: row.optional_small(16)?,
        slices: span(row, 17)?,
        bad_slices: row.number(20)?,
        object_parts: span(row, 21)?,
        lock: object_lock::read(row, 24),
        is_logged: row.truth(27)? || may_be_trimmed,
    })
}

/// A blob's row with drives still packed.
pub(crate) struct PackedBlobAudit {
    pub(crate) blob: BlobId,
    pub(crate) state: Option<String>,
    pub(crate) len: u64,
    pub(crate) is_referenced: bool,
    pub(crate) is_garbage: bool,
    pub(crate) is_denied: bool,
    pub(crate) placements: Vec<PackedPlacementAudit>,
    pub(crate) debts: Vec<PackedDebtAudit>,
}

pub(crate) struct PackedPlacementAudit {
    pub(crate) generation: Generation,
    pub(crate) layout: String,
    pub(crate) drives: Vec<u32>,
}

pub(crate) struct PackedDebtAudit {
    pub(crate) generation: Generation,
    pub(crate) index: FragmentIndex,
    pub(crate) drive: u32,
    pub(crate) kind: DebtKind,
}

impl PackedBlobAudit {
    /// Rows of an id that has no blob.
    fn orphan(blob: BlobId) -> Self {
        Self {
            blob,
            state: None,
            len: 0,
            is_referenced: false,
            is_garbage: false,
            is_denied: false,
            placements: Vec::new(),
            debts: Vec::new(),
        }
    }
}

/// Which ids a page of blobs is about.
pub(crate) enum Ids {
    /// Those after one, or all.
    After(Option<BlobId>),
    /// One.
    Only(BlobId),
}

/// Blobs with their placements and debts in a region; and the last id that the page covers, if ids
/// may follow. To be called on a snapshot.
pub(crate) async fn blobs(
    tx: &mut Tx<'_>,
    region: &Region,
    ids: &Ids,
    limit: usize,
) -> Result<(Vec<PackedBlobAudit>, Option<BlobId>), MetadataError> {
    let (from, to): (Vec<u8>, Vec<u8>) = match ids {
        Ids::After(None) => (Vec::new(), BEHIND_ALL.to_vec()),
        // The least string behind the id.
        Ids::After(Some(after)) => ([after.as_bytes(), &[0][..]].concat(), BEHIND_ALL.to_vec()),
        Ids::Only(blob) => (blob.as_bytes().to_vec(), blob.as_bytes().to_vec()),
    };
    let rows = tx
        .fetch(
            "SELECT b.blob_id, b.state, b.len, \
             CAST(CASE WHEN EXISTS (SELECT 1 FROM slices s WHERE s.blob_id = b.blob_id) \
             THEN 1 ELSE 0 END AS BIGINT), \
             CAST(CASE WHEN EXISTS (SELECT 1 FROM garbage g WHERE g.blob_id = b.blob_id) \
             THEN 1 ELSE 0 END AS BIGINT), \
             CAST(CASE WHEN EXISTS (SELECT 1 FROM outcomes o WHERE o.op_id = b.blob_id \
             AND o.state = 'aborted') THEN 1 ELSE 0 END AS BIGINT) \
             FROM blobs b WHERE b.blob_id >= $1 AND b.blob_id <= $2 ORDER BY b.blob_id LIMIT $3",
            values![&from, &to, limit],
        )
        .await?;
    let mut page: Vec<PackedBlobAudit> = Vec::with_capacity(rows.len());
    for row in &rows {
        page.push(PackedBlobAudit {
            state: Some(row.text(1)?),
            len: row.number(2)?,
            is_referenced: row.truth(3)?,
            is_garbage: row.truth(4)?,
            is_denied: row.truth(5)?,
            ..PackedBlobAudit::orphan(row.blob(0)?)
        });
    }
    let end = page
        .last()
        .filter(|_| page.len() == limit)
        .map(|last| last.blob);
    let to = end.map_or(to, |end| end.as_bytes().to_vec());
    let rows = tx
        .fetch(
            "SELECT blob_id, generation, layout, drives FROM placements \
             WHERE blob_id >= $1 AND blob_id <= $2 AND region = $3 ORDER BY blob_id, generation",
            values![&from, &to, region.as_str()],
        )
        .await?;
    for row in &rows {
        let placement = PackedPlacementAudit {
            generation: Generation(row.small(1)?),
            layout: row.text(2)?,
            drives: row.bytes(3)?.chunks(NUMBER_LEN).map(number_of).collect(),
        };
        of(&mut page, row.blob(0)?).placements.push(placement);
    }
    let rows = tx
        .fetch(
            "SELECT blob_id, generation, fragment_index, drive_number, kind FROM debts \
             WHERE blob_id >= $1 AND blob_id <= $2 AND region = $3 \
             ORDER BY blob_id, generation, fragment_index",
            values![&from, &to, region.as_str()],
        )
        .await?;
    for row in &rows {
        let debt = PackedDebtAudit {
            generation: Generation(row.small(1)?),
            index: FragmentIndex(row.small(2)?),
            drive: row.small(3)?,
            kind: kind(&row.text(4)?)?,
        };
        of(&mut page, row.blob(0)?).debts.push(debt);
    }
    Ok((page, end))
}

/// The number in a chunk of a packed placement. A chunk that was cut short names no known drive.
fn number_of(chunk: &[u8]) -> u32 {
    <[u8; NUMBER_LEN]>::try_from(chunk).map_or(u32::MAX, u32::from_be_bytes)
}

/// The page's entry for an id; one without a blob is put in where it belongs.
fn of(page: &mut Vec<PackedBlobAudit>, blob: BlobId) -> &mut PackedBlobAudit {
    let at = match page.binary_search_by(|found| found.blob.cmp(&blob)) {
        Ok(at) => at,
        Err(at) => {
            page.insert(at, PackedBlobAudit::orphan(blob));
            at
        }
    };
    &mut page[at]
}

/// See [`crate::audit::FoundAudit`]; the drive's number where it is placed, 0 for none.
pub(crate) struct PackedFound {
    pub(crate) state: Option<String>,
    pub(crate) placed: Option<u32>,
    pub(crate) is_stray: bool,
    pub(crate) is_owed_there: bool,
}

/// What the rows say of a fragment that lies on drive `number`. To be called on a snapshot.
pub(crate) async fn found(
    tx: &mut Tx<'_>,
    number: u32,
    fragment: &FragmentId,
) -> Result<PackedFound, MetadataError> {
    let (blob, region) = (&fragment.blob, fragment.region.as_str());
    let (generation, index) = (fragment.generation.0, u32::from(fragment.index.0));
    let state = tx
        .fetch_one("SELECT state FROM blobs WHERE blob_id = $1", values![blob])
        .await?;
    let placement = tx
        .fetch_one(
            "SELECT drives FROM placements \
             WHERE blob_id = $1 AND region = $2 AND generation = $3",
            values![blob, region, generation],
        )
        .await?;
    let placed = match placement {
        None => None,
        Some(row) => {
            let drives = row.bytes(0)?;
            drives
                .chunks(NUMBER_LEN)
                .nth(usize::from(fragment.index.0))
                .map(number_of)
        }
    };
    let stray = tx
        .fetch_one(
            "SELECT doomed FROM strays WHERE drive_number = $1 AND blob_id = $2 AND region = $3 \
             AND generation = $4 AND fragment_index = $5",
            values![number, blob, region, generation, index],
        )
        .await?;
    let owed = tx
        .fetch_one(
            "SELECT kind FROM debts WHERE blob_id = $1 AND region = $2 AND generation = $3 \
             AND fragment_index = $4 AND drive_number = $5",
            values![blob, region, generation, index, number],
        )
        .await?;
    Ok(PackedFound {
        state: state.map(|row| row.text(0)).transpose()?,
        placed,
        is_stray: stray.is_some(),
        is_owed_there: owed.is_some(),
    })
}

/// Who refers to a blob: versions, then parts of uploads.
pub(crate) async fn owners(
    tx: &mut Tx<'_>,
    blob: &BlobId,
    limit: usize,
) -> Result<Vec<OwnerName>, MetadataError> {
    let rows = tx
        .fetch(
            "SELECT b.name, v.key, v.version_id FROM slices s JOIN versions v ON v.uid = s.owner \
             LEFT JOIN buckets b ON b.bucket_id = v.bucket_id WHERE s.blob_id = $1 \
             ORDER BY b.name, v.key, v.sequence LIMIT $2",
            values![blob, limit],
        )
        .await?;
    let mut owners = Vec::with_capacity(rows.len());
    for row in &rows {
        owners.push(OwnerName {
            bucket: row.optional_text(0)?,
            key: row.bytes(1)?,
            version_id: Some(row.text(2)?),
        });
    }
    if !owners.is_empty() {
        return Ok(owners);
    }
    let rows = tx
        .fetch(
            "SELECT b.name, u.key FROM slices s JOIN parts p ON p.uid = s.owner \
             JOIN uploads u ON u.upload_id = p.upload_id \
             LEFT JOIN buckets b ON b.bucket_id = u.bucket_id WHERE s.blob_id = $1 LIMIT $2",
            values![blob, limit],
        )
        .await?;
    for row in &rows {
        owners.push(OwnerName {
            bucket: row.optional_text(0)?,
            key: row.bytes(1)?,
            version_id: None,
        });
    }
    Ok(owners)
}

/// Versions that refer to a blob and are locked at `now_ms`. Governance locks too, whoever may
/// bypass it.
pub(crate) async fn locked_owners(
    tx: &mut Tx<'_>,
    blob: &BlobId,
    now_ms: u64,
    limit: usize,
) -> Result<Vec<OwnerName>, MetadataError> {
    let rows = tx
        .fetch(
            "SELECT b.name, v.key, v.version_id FROM slices s JOIN versions v ON v.uid = s.owner \
             LEFT JOIN buckets b ON b.bucket_id = v.bucket_id WHERE s.blob_id = $1 \
             AND (COALESCE(v.legal_hold, 0) <> 0 OR COALESCE(v.retain_until_ms, 0) > $2) \
             ORDER BY b.name, v.key, v.sequence LIMIT $3",
            values![blob, now_ms, limit],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(OwnerName {
                bucket: row.optional_text(0)?,
                key: row.bytes(1)?,
                version_id: Some(row.text(2)?),
            })
        })
        .collect()
}
