//! Uploads and their parts.

use uuid::Uuid;

use crate::error::MetadataError;
use crate::model::{BucketId, Part, Upload, UploadState};
use crate::queries::scan::{Page, Position, Scan, Source};
use crate::sql::{Row, Tx, values};

macro_rules! upload_columns {
    () => {
        "upload_id, bucket_id, key, created_ms, state, attributes, checksum, outcome, \
         object_lock"
    };
}

fn read(row: &Row) -> Result<Upload, MetadataError> {
    let state = match row.text(4)?.as_str() {
        "open" => UploadState::Open,
        "completed" => UploadState::Completed(row.json(7)?),
        "aborted" => UploadState::Aborted,
        other => {
            return Err(MetadataError::Corrupt(format!("an upload is `{other}`")));
        }
    };
    Ok(Upload {
        id: row.uuid(0)?,
        bucket: BucketId(row.signed(1)?),
        key: row.bytes(2)?,
        created_ms: row.number(3)?,
        state,
        attributes: row.json(5)?,
        checksum: row.optional_json(6)?,
        lock: row.optional_json(8)?.unwrap_or_default(),
    })
}

/// The upload of this bucket, key and id, in any state.
pub(crate) async fn upload(
    tx: &mut Tx<'_>,
    bucket: BucketId,
    key: &[u8],
    id: &Uuid,
) -> Result<Upload, MetadataError> {
    let row = tx
        .fetch_one(
            concat!(
                "SELECT ",
                upload_columns!(),
                " FROM uploads WHERE upload_id = $1 AND bucket_id = $2 AND key = $3"
            ),
            values![id, bucket.0, key],
        )
        .await?;
    read(&row.ok_or(MetadataError::NoSuchUpload)?)
}

/// Parts of an open upload, after a part number.
pub(crate) async fn parts(
    tx: &mut Tx<'_>,
    upload: &Uuid,
    after_part: u32,
    limit: usize,
) -> Result<Vec<Part>, MetadataError> {
    let rows = tx
        .fetch(
            "SELECT part_number, uid, size, etag, last_modified_ms, checksum FROM parts \
             WHERE upload_id = $1 AND part_number > $2 ORDER BY part_number LIMIT $3",
            values![upload, after_part, limit],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Part {
                part_number: row.small(0)?,
                uid: row.uuid(1)?,
                size: row.number(2)?,
                etag: row.text(3)?,
                last_modified_ms: row.number(4)?,
                checksum: row.optional_json(5)?,
            })
        })
        .collect()
}

/// A page of open uploads, after a key (and all its uploads) or after an upload of a key.
pub(crate) async fn page(
    tx: &mut Tx<'_>,
    scan: &Scan<'_>,
    bucket: BucketId,
    after: Option<(&[u8], Option<Uuid>)>,
) -> Result<Page<Upload>, MetadataError> {
    let from = match after {
        Some((key, Some(id))) => Some(scan.not_before_prefix(Position::Within(key.to_vec(), id))),
        Some((key, None)) => scan.start(Some(key)),
        None => scan.start(None),
    };
    scan.page(tx, &OpenUploads(bucket), from).await
}

/// Open uploads, by key and then by id.
struct OpenUploads(BucketId);

impl Source for OpenUploads {
    type Item = Upload;
    type Mark = Uuid;

    async fn fetch(
        &self,
        tx: &mut Tx<'_>,
        from: &Position<Uuid>,
        end: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Upload>, MetadataError> {
        let (key, mut uploads) = match from {
            Position::From(key) => (key.clone(), Vec::new()),
            Position::Within(key, id) => {
                let rows = tx
                    .fetch(
                        concat!(
                            "SELECT ",
                            upload_columns!(),
                            " FROM uploads WHERE bucket_id = $1 AND state = 'open' AND key = $2 \
                             AND upload_id > $3 ORDER BY upload_id LIMIT $4"
                        ),
                        values![self.0.0, key, id, limit],
                    )
                    .await?;
                let mut behind = key.clone();
                behind.push(0);
                (behind, read_all(&rows)?)
            }
        };
        let room = limit - uploads.len();
        if room > 0 {
            uploads.extend(self.at_or_after(tx, &key, end, room).await?);
        }
        Ok(uploads)
    }

    fn key(item: &Upload) -> &[u8] {
        &item.key
    }

    fn behind(item: &Upload) -> Position<Uuid> {
        Position::Within(item.key.clone(), item.id)
    }
}

impl OpenUploads {
    async fn at_or_after(
        &self,
        tx: &mut Tx<'_>,
        key: &[u8],
        end: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Upload>, MetadataError> {
        let rows = match end {
            Some(end) => {
                tx.fetch(
                    concat!(
                        "SELECT ",
                        upload_columns!(),
                        " FROM uploads WHERE bucket_id = $1 AND state = 'open' \
                         AND key >= $2 AND key < $3 ORDER BY key, upload_id LIMIT $4"
                    ),
                    values![self.0.0, key, end, limit],
                )
                .await?
            }
            None => {
                tx.fetch(
                    concat!(
                        "SELECT ",
                        upload_columns!(),
                        " FROM uploads WHERE bucket_id = $1 AND state = 'open' AND key >= $2 \
                         ORDER BY key, upload_id LIMIT $3"
                    ),
                    values![self.0.0, key, limit],
                )
                .await?
            }
        };
        read_all(&rows)
    }
}

fn read_all(rows: &[Row]) -> Result<Vec<Upload>, MetadataError> {
    rows.iter().map(read).collect()
}
