//! Rows that must not be in the database whenever no transaction is under way.

/// Each counts rows that must not be there.
pub(crate) const FORBIDDEN: &[(&str, &str)] = &[
    (
        "references to blobs that are not live",
        "SELECT COUNT(*) FROM slices LEFT JOIN blobs ON blobs.blob_id = slices.blob_id \
         WHERE blobs.blob_id IS NULL OR blobs.state <> 'live'",
    ),
    (
        "live blobs that nobody refers to and nobody will sweep",
        "SELECT COUNT(*) FROM blobs WHERE state = 'live' \
         AND NOT EXISTS (SELECT 1 FROM slices WHERE slices.blob_id = blobs.blob_id) \
         AND NOT EXISTS (SELECT 1 FROM garbage WHERE garbage.blob_id = blobs.blob_id)",
    ),
    (
        "slices without an owner",
        "SELECT COUNT(*) FROM slices \
         WHERE NOT EXISTS (SELECT 1 FROM versions WHERE versions.uid = slices.owner) \
         AND NOT EXISTS (SELECT 1 FROM parts WHERE parts.uid = slices.owner)",
    ),
    (
        "versions whose slices are not their size",
        "SELECT COUNT(*) FROM versions WHERE size <> \
         (SELECT COALESCE(SUM(len), 0) FROM slices WHERE slices.owner = versions.uid)",
    ),
    (
        "parts whose slices are not their size",
        "SELECT COUNT(*) FROM parts WHERE size <> \
         (SELECT COALESCE(SUM(len), 0) FROM slices WHERE slices.owner = parts.uid)",
    ),
    (
        "versions that are current and not the newest, or the other way round",
        "SELECT COUNT(*) FROM versions WHERE is_current <> CASE WHEN sequence = \
         (SELECT MAX(newest.sequence) FROM versions AS newest \
         WHERE newest.bucket_id = versions.bucket_id AND newest.key = versions.key) \
         THEN 1 ELSE 0 END",
    ),
    (
        "versions of a sequence that their key has not reached",
        "SELECT COUNT(*) FROM versions LEFT JOIN heads \
         ON heads.bucket_id = versions.bucket_id AND heads.key = versions.key \
         WHERE heads.last_sequence IS NULL OR heads.last_sequence < versions.sequence",
    ),
    (
        "versions and open uploads of buckets that are gone",
        "SELECT (SELECT COUNT(*) FROM versions WHERE bucket_id NOT IN \
         (SELECT bucket_id FROM buckets)) + (SELECT COUNT(*) FROM uploads WHERE state = 'open' \
         AND bucket_id NOT IN (SELECT bucket_id FROM buckets))",
    ),
    (
        "parts of uploads that are not open",
        "SELECT COUNT(*) FROM parts JOIN uploads ON uploads.upload_id = parts.upload_id \
         WHERE uploads.state <> 'open'",
    ),
    (
        "bytes that the totals miss",
        "SELECT CAST(ABS((SELECT COALESCE(SUM(size), 0) FROM versions WHERE is_marker = 0) \
         - (SELECT COALESCE(SUM(bytes), 0) FROM usage) \
         - (SELECT COALESCE(SUM(bytes), 0) FROM usage_deltas)) AS BIGINT)",
    ),
    (
        "bytes of parts that the totals miss",
        "SELECT CAST(ABS((SELECT COALESCE(SUM(size), 0) FROM parts) \
         - (SELECT COALESCE(SUM(part_bytes), 0) FROM usage) \
         - (SELECT COALESCE(SUM(part_bytes), 0) FROM usage_deltas)) AS BIGINT)",
    ),
    (
        "versions that the totals miss",
        "SELECT CAST(ABS((SELECT COUNT(*) FROM versions WHERE is_marker = 0) \
         - (SELECT COALESCE(SUM(versions), 0) FROM usage) \
         - (SELECT COALESCE(SUM(versions), 0) FROM usage_deltas)) AS BIGINT)",
    ),
    (
        "rate limits of buckets and keys that are gone",
        "SELECT COUNT(*) FROM rate_limits WHERE \
         (kind = 'bucket' AND name NOT IN (SELECT name FROM buckets)) OR \
         (kind = 'key' AND name NOT IN (SELECT access_key FROM access_keys))",
    ),
];
