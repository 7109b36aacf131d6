//! What a statement gives back, column by column, or [`MetadataError::Corrupt`] where a column does
//! not hold what it must.

use holdfast_types::BlobId;
use serde::de::DeserializeOwned;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::error::MetadataError;

/// A row of either database.
pub(crate) enum Row {
    /// See [`super::Dialect`].
    Sqlite(SqliteRow),
    /// See [`super::Dialect`].
    Postgres(PgRow),
}

macro_rules! get {
    ($row:expr, $column:expr) => {
        match $row {
            Row::Sqlite(row) => row.try_get($column),
            Row::Postgres(row) => row.try_get($column),
        }
        .map_err(|error| MetadataError::Corrupt(format!("column {}: {error}", $column)))
    };
}

impl Row {
    /// The BIGINT in `column`.
    pub(crate) fn signed(&self, column: usize) -> Result<i64, MetadataError> {
        get!(self, column)
    }

    /// The BIGINT in `column`, which is never negative.
    pub(crate) fn number(&self, column: usize) -> Result<u64, MetadataError> {
        let number: i64 = get!(self, column)?;
        u64::try_from(number).map_err(|_| corrupt(column, &format!("{number} is negative")))
    }

    /// The BIGINT in `column`, which fits a smaller type.
    pub(crate) fn small<T: TryFrom<u64>>(&self, column: usize) -> Result<T, MetadataError> {
        let number = self.number(column)?;
        T::try_from(number).map_err(|_| corrupt(column, &format!("{number} is too large")))
    }

    /// The BIGINT in `column`, if any.
    pub(crate) fn optional_small<T: TryFrom<u64>>(
        &self,
        column: usize,
    ) -> Result<Option<T>, MetadataError> {
        let number: Option<i64> = get!(self, column)?;
        number.map(|_| self.small(column)).transpose()
    }

    /// The BIGINT in `column`, which is never negative, if any.
    pub(crate) fn optional_number(&self, column: usize) -> Result<Option<u64>, MetadataError> {
        self.optional_small(column)
    }

    /// The truth in `column`: 0 or 1.
    pub(crate) fn truth(&self, column: usize) -> Result<bool, MetadataError> {
        Ok(self.number(column)? != 0)
    }

    /// The TEXT in `column`.
    pub(crate) fn text(&self, column: usize) -> Result<String, MetadataError> {
        get!(self, column)
    }

    /// The TEXT in `column`, if any.
    pub(crate) fn optional_text(&self, column: usize) -> Result<Option<String>, MetadataError> {
        get!(self, column)
    }

    /// The value whose JSON is in `column`.
    pub(crate) fn json<T: DeserializeOwned>(&self, column: usize) -> Result<T, MetadataError> {
        let text = self.text(column)?;
        serde_json::from_str(&text).map_err(|error| corrupt(column, &error.to_string()))
    }

    /// The value whose JSON is in `column`, if any.
    pub(crate) fn optional_json<T: DeserializeOwned>(
        &self,
        column: usize,
    ) -> Result<Option<T>, MetadataError> {
        match self.optional_text(column)? {
            Some(_) => self.json(column).map(Some),
            None => Ok(None),
        }
    }

    /// The bytes in `column`.
    pub(crate) fn bytes(&self, column: usize) -> Result<Vec<u8>, MetadataError> {
        get!(self, column)
    }

    /// The UUID in `column`.
    pub(crate) fn uuid(&self, column: usize) -> Result<Uuid, MetadataError> {
        let bytes = self.bytes(column)?;
        Uuid::from_slice(&bytes).map_err(|error| corrupt(column, &error.to_string()))
    }

    /// The bytes in `column`, if any.
    pub(crate) fn optional_bytes(&self, column: usize) -> Result<Option<Vec<u8>>, MetadataError> {
        get!(self, column)
    }

    /// The UUID in `column`, if any.
    pub(crate) fn optional_uuid(&self, column: usize) -> Result<Option<Uuid>, MetadataError> {
        let bytes = self.optional_bytes(column)?;
        let parse = |bytes: Vec<u8>| {
            Uuid::from_slice(&bytes).map_err(|error| corrupt(column, &error.to_string()))
        };
        bytes.map(parse).transpose()
    }

    /// The blob's id in `column`.
    pub(crate) fn blob(&self, column: usize) -> Result<BlobId, MetadataError> {
        let bytes = self.bytes(column)?;
        BlobId::try_from(bytes.as_slice()).map_err(|error| corrupt(column, &error.to_string()))
    }
}

fn corrupt(column: usize, what: &str) -> MetadataError {
    MetadataError::Corrupt(format!("column {column}: {what}"))
}
