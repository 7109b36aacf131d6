//! What a statement is given: 64-bit numbers, texts and bytes, and nothing else.

use holdfast_types::BlobId;
use sqlx::{Arguments, Database, Encode, Type};
use uuid::Uuid;

/// One value, borrowed from the command.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'v> {
    /// BIGINT.
    Number(Option<i64>),
    /// TEXT.
    Text(Option<&'v str>),
    /// BYTEA or BLOB.
    Bytes(Option<&'v [u8]>),
}

impl Value<'_> {
    /// Adds it to a statement's arguments.
    pub(super) fn bind<A: Arguments>(&self, arguments: &mut A) -> Result<(), sqlx::Error>
    where
        for<'t> Option<i64>: Encode<'t, A::Database> + Type<A::Database>,
        for<'t> Option<&'t str>: Encode<'t, A::Database> + Type<A::Database>,
        for<'t> Option<&'t [u8]>: Encode<'t, A::Database> + Type<A::Database>,
        A::Database: Database,
    {
        match *self {
            Self::Number(number) => arguments.add(number),
            Self::Text(text) => arguments.add(text),
            Self::Bytes(bytes) => arguments.add(bytes),
        }
        .map_err(sqlx::Error::Encode)
    }
}

/// The values of one statement, in the order of its placeholders.
macro_rules! values {
    ($($value:expr),* $(,)?) => {
        &[$($crate::sql::Value::from($value)),*]
    };
}
pub(crate) use values;

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Number(Some(number))
    }
}

impl From<u64> for Value<'_> {
    /// No length, time or number that is stored comes near 2^63; the end of an open range may, and
    /// then means "no end".
    fn from(number: u64) -> Self {
        Self::Number(Some(i64::try_from(number).unwrap_or(i64::MAX)))
    }
}

impl From<usize> for Value<'_> {
    fn from(number: usize) -> Self {
        Self::from(number as u64)
    }
}

impl From<u32> for Value<'_> {
    fn from(number: u32) -> Self {
        Self::Number(Some(i64::from(number)))
    }
}

impl From<Option<u32>> for Value<'_> {
    fn from(number: Option<u32>) -> Self {
        Self::Number(number.map(i64::from))
    }
}

impl From<Option<u64>> for Value<'_> {
    fn from(number: Option<u64>) -> Self {
        number.map_or(Self::Number(None), Self::from)
    }
}

impl From<Option<bool>> for Value<'_> {
    fn from(truth: Option<bool>) -> Self {
        Self::Number(truth.map(i64::from))
    }
}

impl From<bool> for Value<'_> {
    fn from(truth: bool) -> Self {
        Self::Number(Some(i64::from(truth)))
    }
}

impl<'v> From<&'v str> for Value<'v> {
    fn from(text: &'v str) -> Self {
        Self::Text(Some(text))
    }
}

impl<'v> From<&'v String> for Value<'v> {
    fn from(text: &'v String) -> Self {
        Self::Text(Some(text))
    }
}

impl<'v> From<Option<&'v str>> for Value<'v> {
    fn from(text: Option<&'v str>) -> Self {
        Self::Text(text)
    }
}

impl<'v> From<&'v [u8]> for Value<'v> {
    fn from(bytes: &'v [u8]) -> Self {
        Self::Bytes(Some(bytes))
    }
}

impl<'v> From<&'v Vec<u8>> for Value<'v> {
    fn from(bytes: &'v Vec<u8>) -> Self {
        Self::Bytes(Some(bytes))
    }
}

impl<'v> From<&'v Uuid> for Value<'v> {
    fn from(id: &'v Uuid) -> Self {
        Self::Bytes(Some(id.as_bytes()))
    }
}

impl<'v> From<&'v BlobId> for Value<'v> {
    fn from(id: &'v BlobId) -> Self {
        Self::Bytes(Some(id.as_bytes()))
    }
}
