//! What pages of a listing cost, in rows and in time, where delete markers or old versions crowd.
//!
//! `cargo run -p holdfast-metadata --example crowded_list_bench -- [MARKERS [VERSIONS]]` fills one
//! bucket with 1,000,000 deleted keys, each a delete marker over one old version, between 1,000
//! objects that are there; and another with one key of 100,000 versions between 1,000 others. Then
//! it reads pages of 1,000 objects and of 1,000 versions. SQLite in a temporary folder, or the empty
//! PostgreSQL database that `HOLDFAST_BENCH_POSTGRES` names.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use holdfast_metadata::model::{BucketId, ListPage, ListQuery, Policy, VersionId};
use holdfast_metadata::{Metadata, MetadataConfig};
use holdfast_types::{FailureDomain, Region, SizeRule, SystemClock};
use sqlx::Connection as _;

/// Reads of each page; the shortest is printed, which has the least of what else the machine does.
const REPEATS: u32 = 5;

/// Objects that are there, in both buckets.
const VISIBLE: i64 = 1000;

/// The key of many versions, in the middle of the others.
const CROWDED: &str = "000500/w";

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).map(|text| {
        let number: i64 = text
            .parse()
            .with_context(|| format!("`{text}` is no number"))?;
        Ok::<i64, anyhow::Error>(number)
    });
    let markers = arguments.next().transpose()?.unwrap_or(1_000_000);
    let versions = arguments.next().transpose()?.unwrap_or(100_000);
    let folder = tempfile::tempdir()?;
    let url = std::env::var("HOLDFAST_BENCH_POSTGRES")
        .unwrap_or_else(|_| format!("sqlite:{}", folder.path().join("bench.db").display()));
    let metadata = open(&url).await?;
    let deleted = make_bucket(&metadata, "deleted").await?;
    let crowded = make_bucket(&metadata, "crowded").await?;
    metadata.close().await;
    fill(&url, &visible(deleted)).await?;
    fill(&url, &deleted_keys(deleted, markers)).await?;
    fill(&url, &visible(crowded)).await?;
    fill(&url, &one_key(crowded, versions)).await?;

    let metadata = open(&url).await?;
    println!(
        "{:<26} {:<30} {:>7} {:>7} {:>9}",
        "bucket", "page", "entries", "rows", "us/page"
    );
    read_pages(&metadata, deleted, &format!("{markers} markers"), None).await?;
    let middle = VersionId(format!("{:032}", versions / 2));
    let name = format!("{versions} versions of a key");
    read_pages(&metadata, crowded, &name, Some(middle)).await?;
    metadata.close().await;
    Ok(())
}

async fn open(url: &str) -> Result<Metadata> {
    let config = MetadataConfig::new(url);
    let region = Region::parse("bench")?;
    Ok(Metadata::open(&config, region, Arc::new(SystemClock)).await?)
}

async fn make_bucket(metadata: &Metadata, name: &str) -> Result<BucketId> {
    let policy = Policy {
        name: "bench".to_owned(),
        rule: SizeRule::new("4+2".parse()?),
        protect: FailureDomain::Drive,
        generation: 1,
        rules: Vec::new(),
        quorum: None,
    };
    metadata.put_policy(policy).await?;
    Ok(metadata.create_bucket(name, "bench", None).await?.id)
}

/// Rows to insert: for each `i` of `0..count`, SQL expressions of its columns.
struct Rows {
    bucket: BucketId,
    count: i64,
    /// Folder and number, each an expression of `i`.
    key: (&'static str, String),
    sequence: &'static str,
    version_id: &'static str,
    /// Truths, as expressions of `i`.
    is_current: String,
    is_marker: &'static str,
}

/// `000000/v` to `000999/v`: one object each.
fn visible(bucket: BucketId) -> Rows {
    Rows {
        bucket,
        count: VISIBLE,
        key: ("i", "'v'".to_owned()),
        sequence: "1",
        version_id: "'null'",
        is_current: "1".to_owned(),
        is_marker: "0",
    }
}

/// Keys spread evenly between those, two rows each: an old version and the marker over it.
fn deleted_keys(bucket: BucketId, markers: i64) -> Rows {
    Rows {
        bucket,
        count: markers * 2,
        key: ("(i / 2) % 1000", "'x' || (i / 2000)".to_owned()),
        sequence: "i % 2 + 1",
        version_id: "i",
        is_current: "i % 2".to_owned(),
        is_marker: "i % 2",
    }
}

/// One key, the oldest version first.
fn one_key(bucket: BucketId, versions: i64) -> Rows {
    Rows {
        bucket,
        count: versions,
        key: ("500", "'w'".to_owned()),
        sequence: "i + 1",
        version_id: "i",
        is_current: format!("CASE WHEN i + 1 = {versions} THEN 1 ELSE 0 END"),
        is_marker: "0",
    }
}

/// Inserts them all in one statement.
async fn fill(url: &str, rows: &Rows) -> Result<()> {
    let Rows {
        count,
        sequence,
        is_current,
        is_marker,
        ..
    } = rows;
    let bucket = rows.bucket.0;
    let (folder, name) = &rows.key;
    let columns = "INSERT INTO versions (uid, bucket_id, key, sequence, version_id, is_current, \
                   is_marker, size, etag, last_modified_ms, attributes, noncurrent_since_ms) ";
    let rest = format!(
        "{is_current}, {is_marker}, 0, 'd41d8cd98f00b204e9800998ecf8427e', 1800000000000, '{{}}', \
         CASE WHEN {is_current} = 1 THEN NULL ELSE 1800000000000 END"
    );
    let began = Instant::now();
    if let Some(path) = url.strip_prefix("sqlite:") {
        let id = if rows.version_id == "i" {
            "printf('%032d', i)"
        } else {
            rows.version_id
        };
        let sql = format!(
            "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {count}) \
             {columns} SELECT randomblob(16), {bucket}, \
             CAST(printf('%06d/%s', {folder}, {name}) AS BLOB), {sequence}, {id}, {rest} FROM n"
        );
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
        let mut connection = sqlx::SqliteConnection::connect_with(&options).await?;
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
            .execute(&mut connection)
            .await?;
        connection.close().await?;
    } else {
        let id = if rows.version_id == "i" {
            "lpad(i::text, 32, '0')"
        } else {
            rows.version_id
        };
        let sql = format!(
            "{columns} SELECT decode(md5('{bucket}/{count}/' || i), 'hex'), {bucket}, \
             convert_to(lpad(({folder})::text, 6, '0') || '/' || {name}, 'UTF8'), {sequence}, {id}, \
             {rest} FROM generate_series(0, {count} - 1) AS i"
        );
        let mut connection = sqlx::PgConnection::connect(url).await?;
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
            .execute(&mut connection)
            .await?;
        connection.close().await?;
    }
    eprintln!("{count} rows in {:.1} s", began.elapsed().as_secs_f64());
    Ok(())
}

async fn read_pages(
    metadata: &Metadata,
    bucket: BucketId,
    name: &str,
    within: Option<VersionId>,
) -> Result<()> {
    let query = |delimiter: bool, after: &str, after_version: Option<&VersionId>| ListQuery {
        bucket,
        prefix: Vec::new(),
        delimiter: delimiter.then(|| b"/".to_vec()),
        after: (!after.is_empty()).then(|| after.as_bytes().to_vec()),
        after_version: after_version.cloned(),
        limit: 1000,
    };
    let pages = [
        ("objects, first", false, query(false, "", None)),
        ("objects, deep", false, query(false, "000400/v", None)),
        ("objects, delimiter", false, query(true, "", None)),
        ("versions, first", true, query(false, "", None)),
        ("versions, deep", true, query(false, "000400/v", None)),
        ("versions, delimiter", true, query(true, "", None)),
    ];
    for (page, of_versions, query) in &pages {
        read_page(metadata, name, page, *of_versions, query).await?;
    }
    if within.is_some() {
        let query = query(false, CROWDED, within.as_ref());
        read_page(metadata, name, "versions, within the key", true, &query).await?;
    }
    Ok(())
}

async fn read_page(
    metadata: &Metadata,
    bucket: &str,
    name: &str,
    of_versions: bool,
    query: &ListQuery,
) -> Result<()> {
    let read = || async {
        if of_versions {
            metadata.list_versions(query).await
        } else {
            metadata.list_objects(query).await
        }
    };
    let mut page: ListPage = read().await?;
    let mut best_us = u128::MAX;
    for _ in 0..REPEATS {
        let began = Instant::now();
        page = read().await?;
        best_us = best_us.min(began.elapsed().as_micros());
    }
    println!(
        "{bucket:<26} {name:<30} {:>7} {:>7} {best_us:>9}",
        page.entries.len(),
        page.rows_visited
    );
    Ok(())
}
