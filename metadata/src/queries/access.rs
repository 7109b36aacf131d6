//! Settings, policies, access keys, drives.

use holdfast_types::{Drive, DriveId};

use crate::error::MetadataError;
use crate::model::{AccessKey, Policy};
use crate::sql::{Row, Tx, values};

/// A setting's value.
pub(crate) async fn setting(tx: &mut Tx<'_>, name: &str) -> Result<Option<String>, MetadataError> {
    let row = tx
        .fetch_one("SELECT value FROM settings WHERE name = $1", values![name])
        .await?;
    row.map(|row| row.text(0)).transpose()
}

/// A policy.
pub(crate) async fn policy(tx: &mut Tx<'_>, name: &str) -> Result<Option<Policy>, MetadataError> {
    let row = tx
        .fetch_one("SELECT detail FROM policies WHERE name = $1", values![name])
        .await?;
    row.map(|row| row.json(0)).transpose()
}

/// All policies, by name. There are few: an operator makes each by hand.
pub(crate) async fn policies(tx: &mut Tx<'_>) -> Result<Vec<Policy>, MetadataError> {
    let rows = tx
        .fetch("SELECT detail FROM policies ORDER BY name", values![])
        .await?;
    rows.iter().map(|row| row.json(0)).collect()
}

macro_rules! key_columns {
    () => {
        "access_key, secret_key, description, created_ms, disabled"
    };
}

/// An access key.
pub(crate) async fn key(
    tx: &mut Tx<'_>,
    access_key: &str,
) -> Result<Option<AccessKey>, MetadataError> {
    let row = tx
        .fetch_one(
            concat!(
                "SELECT ",
                key_columns!(),
                " FROM access_keys WHERE access_key = $1"
            ),
            values![access_key],
        )
        .await?;
    row.as_ref().map(read_key).transpose()
}

/// All access keys, by name.
pub(crate) async fn keys(tx: &mut Tx<'_>) -> Result<Vec<AccessKey>, MetadataError> {
    let rows = tx
        .fetch(
            concat!(
                "SELECT ",
                key_columns!(),
                " FROM access_keys ORDER BY access_key"
            ),
            values![],
        )
        .await?;
    rows.iter().map(read_key).collect()
}

fn read_key(row: &Row) -> Result<AccessKey, MetadataError> {
    Ok(AccessKey {
        access_key: row.text(0)?,
        secret_key: row.text(1)?,
        description: row.text(2)?,
        created_ms: row.number(3)?,
        disabled: row.truth(4)?,
    })
}

/// All drives that were described and not removed, in the order of their ids.
pub(crate) async fn drives(tx: &mut Tx<'_>) -> Result<Vec<Drive>, MetadataError> {
    let rows = tx
        .fetch(
            "SELECT detail FROM drives WHERE detail IS NOT NULL AND duty <> 'removed' \
             ORDER BY drive_id",
            values![],
        )
        .await?;
    rows.iter().map(|row| row.json(0)).collect()
}

/// The numbers of all drives.
pub(crate) async fn drive_numbers(tx: &mut Tx<'_>) -> Result<Vec<(u32, DriveId)>, MetadataError> {
    let rows = tx
        .fetch("SELECT drive_number, drive_id FROM drives", values![])
        .await?;
    rows.iter()
        .map(|row| {
            let id = DriveId::try_from(row.bytes(1)?.as_slice())
                .map_err(|error| MetadataError::Corrupt(error.to_string()))?;
            Ok((row.small(0)?, id))
        })
        .collect()
}
