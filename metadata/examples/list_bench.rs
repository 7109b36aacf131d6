//! What pages of a listing cost, in rows and in time, for buckets of different sizes.
//!
//! `cargo run -p holdfast-metadata --example list_bench -- [KEYS...]` fills a database for each
//! number of keys (1,000, 100,000 and 3,000,000 by default) and reads first, deep and delimiter
//! pages of 1,000 entries. SQLite in a temporary folder, or the empty PostgreSQL database that
//! `HOLDFAST_BENCH_POSTGRES` names; keys are `folder/number`, 1,000 to a folder.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use holdfast_metadata::model::{BucketId, ListQuery, Policy};
use holdfast_metadata::{Metadata, MetadataConfig};
use holdfast_types::{FailureDomain, Region, SizeRule, SystemClock};
use sqlx::Connection as _;

/// Reads of each page; the shortest is printed, which has the least of what else the machine does.
const REPEATS: u32 = 20;

#[tokio::main]
async fn main() -> Result<()> {
    let mut sizes: Vec<i64> = std::env::args()
        .skip(1)
        .map(|size| {
            size.parse()
                .with_context(|| format!("`{size}` is no number of keys"))
        })
        .collect::<Result<_>>()?;
    if sizes.is_empty() {
        sizes = vec![1_000, 100_000, 3_000_000];
    }
    println!(
        "{:>9} {:<22} {:>7} {:>7} {:>9}",
        "keys", "page", "entries", "rows", "us/page"
    );
    let postgres = std::env::var("HOLDFAST_BENCH_POSTGRES").ok();
    for (number, keys) in sizes.into_iter().enumerate() {
        let folder = tempfile::tempdir()?;
        let url = match &postgres {
            Some(url) => url.clone(),
            None => format!("sqlite:{}", folder.path().join("bench.db").display()),
        };
        let bucket = format!("bench-{number}-{keys}");
        let id = make_bucket(&url, &bucket).await?;
        fill(&url, id, keys).await?;
        read_pages(&url, id, keys).await?;
    }
    Ok(())
}

async fn open(url: &str) -> Result<Metadata> {
    let config = MetadataConfig::new(url);
    let region = Region::parse("bench")?;
    Ok(Metadata::open(&config, region, Arc::new(SystemClock)).await?)
}

async fn make_bucket(url: &str, name: &str) -> Result<BucketId> {
    let metadata = open(url).await?;
    let policy = Policy {
        name: "bench".to_owned(),
        rule: SizeRule::new("4+2".parse()?),
        protect: FailureDomain::Drive,
        generation: 1,
        rules: Vec::new(),
        quorum: None,
    };
    metadata.put_policy(policy).await?;
    let bucket = metadata.create_bucket(name, "bench", None).await?;
    metadata.close().await;
    Ok(bucket.id)
}

/// Inserts the rows that PUTs of empty objects would leave, all in one statement.
async fn fill(url: &str, bucket: BucketId, keys: i64) -> Result<()> {
    const COLUMNS: &str = "INSERT INTO versions (uid, bucket_id, key, sequence, version_id, \
        is_current, is_marker, size, etag, last_modified_ms, attributes) ";
    const ETAG: &str = "'d41d8cd98f00b204e9800998ecf8427e'";
    const ATTRIBUTES: &str = "'{\"headers\":{\"content-type\":\"application/octet-stream\"}}'";
    let bucket = bucket.0;
    let began = Instant::now();
    if let Some(path) = url.strip_prefix("sqlite:") {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
        let mut connection = sqlx::SqliteConnection::connect_with(&options).await?;
        let sql = format!(
            "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {keys}) \
             {COLUMNS} SELECT randomblob(16), {bucket}, \
             CAST(printf('%06d/%04d', i / 1000, i % 1000) AS BLOB), 1, 'null', 1, 0, 0, {ETAG}, \
             1800000000000, {ATTRIBUTES} FROM n"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
            .execute(&mut connection)
            .await?;
        connection.close().await?;
    } else {
        let mut connection = sqlx::PgConnection::connect(url).await?;
        let sql = format!(
            "{COLUMNS} SELECT decode(md5('{bucket}/' || i), 'hex'), {bucket}, \
             convert_to(lpad((i / 1000)::text, 6, '0') || '/' || lpad((i % 1000)::text, 4, '0'), \
             'UTF8'), 1, 'null', 1, 0, 0, {ETAG}, 1800000000000, {ATTRIBUTES} \
             FROM generate_series(0, {keys} - 1) AS i"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
            .execute(&mut connection)
            .await?;
        connection.close().await?;
    }
    eprintln!("{keys} keys in {:.1} s", began.elapsed().as_secs_f64());
    Ok(())
}

async fn read_pages(url: &str, bucket: BucketId, keys: i64) -> Result<()> {
    let metadata = open(url).await?;
    let middle = format!("{:06}/0500", keys / 2000);
    let folder = format!("{:06}/", keys / 2000);
    let pages: [(&str, &str, Option<&str>, &str, usize); 6] = [
        ("first", "", None, "", 1000),
        ("deep", "", None, &middle, 1000),
        ("delimiter", "", Some("/"), "", 1000),
        ("delimiter, deep", "", Some("/"), &folder, 1000),
        ("folder, delimiter", &folder, Some("/"), "", 1000),
        ("one key", &middle, None, "", 1),
    ];
    for (name, prefix, delimiter, after, limit) in pages {
        let query = ListQuery {
            bucket,
            prefix: prefix.as_bytes().to_vec(),
            delimiter: delimiter.map(|delimiter| delimiter.as_bytes().to_vec()),
            after: (!after.is_empty()).then(|| after.as_bytes().to_vec()),
            after_version: None,
            limit,
        };
        let mut best_us = u128::MAX;
        let mut page = metadata.list_objects(&query).await?;
        for _ in 0..REPEATS {
            let began = Instant::now();
            page = metadata.list_objects(&query).await?;
            best_us = best_us.min(began.elapsed().as_micros());
        }
        println!(
            "{keys:>9} {name:<22} {:>7} {:>7} {best_us:>9}",
            page.entries.len(),
            page.rows_visited
        );
    }
    metadata.close().await;
    Ok(())
}
