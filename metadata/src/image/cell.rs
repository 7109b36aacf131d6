//! One value of one column, in the three types that the schema uses, as bytes.
//!
//! ```text
//! 0                       NULL
//! 1, 8 bytes              BIGINT, little-endian
//! 2, length (4), bytes    TEXT, UTF-8
//! 3, length (4), bytes    BYTEA / BLOB
//! ```

use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, TypeInfo as _, ValueRef as _};

/// A value of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cell {
    /// No value.
    Null,
    /// BIGINT.
    Integer(i64),
    /// TEXT.
    Text(String),
    /// BYTEA or BLOB.
    Bytes(Vec<u8>),
}

/// Bytes that are not what they must be; says what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Malformed(pub(crate) &'static str);

/// Appends `cell` to `bytes`.
pub(crate) fn put_cell(bytes: &mut Vec<u8>, cell: &Cell) {
    match cell {
        Cell::Null => bytes.push(0),
        Cell::Integer(number) => {
            bytes.push(1);
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        Cell::Text(text) => put_long(bytes, 2, text.as_bytes()),
        Cell::Bytes(content) => put_long(bytes, 3, content),
    }
}

fn put_long(bytes: &mut Vec<u8>, kind: u8, content: &[u8]) {
    let len =
        u32::try_from(content.len()).expect("no column holds 4 GiB: requests are far smaller");
    bytes.push(kind);
    bytes.extend_from_slice(&len.to_le_bytes());
    bytes.extend_from_slice(content);
}

/// Takes numbers and cells off the front of some bytes.
pub(crate) struct Reader<'b>(pub(crate) &'b [u8]);

impl<'b> Reader<'b> {
    /// The next `len` bytes.
    pub(crate) fn take(&mut self, len: usize) -> Result<&'b [u8], Malformed> {
        let (taken, rest) = self
            .0
            .split_at_checked(len)
            .ok_or(Malformed("it is cut short"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// One byte.
    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    /// Two bytes, little-endian.
    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// Four bytes, little-endian.
    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Eight bytes, little-endian.
    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Sixteen bytes.
    pub(crate) fn id(&mut self) -> Result<[u8; 16], Malformed> {
        self.array()
    }

    /// A cell.
    pub(crate) fn cell(&mut self) -> Result<Cell, Malformed> {
        match self.u8()? {
            0 => Ok(Cell::Null),
            1 => Ok(Cell::Integer(i64::from_le_bytes(self.array()?))),
            2 => {
                let len = self.u32()? as usize;
                let text = std::str::from_utf8(self.take(len)?)
                    .map_err(|_| Malformed("a text is not UTF-8"))?;
                Ok(Cell::Text(text.to_owned()))
            }
            3 => {
                let len = self.u32()? as usize;
                Ok(Cell::Bytes(self.take(len)?.to_vec()))
            }
            _ => Err(Malformed("a value has no known type")),
        }
    }
}

/// The value in `column` of a row of SQLite.
pub(super) fn of_sqlite(row: &SqliteRow, column: usize) -> Result<Cell, sqlx::Error> {
    let value = row.try_get_raw(column)?;
    if value.is_null() {
        return Ok(Cell::Null);
    }
    let kind = value.type_info().name().to_owned();
    match kind.as_str() {
        "INTEGER" => Ok(Cell::Integer(row.try_get_unchecked(column)?)),
        "TEXT" => Ok(Cell::Text(row.try_get_unchecked(column)?)),
        "BLOB" => Ok(Cell::Bytes(row.try_get_unchecked(column)?)),
        other => Err(sqlx::Error::Decode(
            format!("column {column} is {other}, which no column is").into(),
        )),
    }
}

impl Cell {
    /// The value in `column` of a row of SQLite, as it is stored there.
    pub(crate) fn of(row: &SqliteRow, column: usize) -> Result<Self, sqlx::Error> {
        of_sqlite(row, column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_read_back_and_a_cut_is_noticed_anywhere() {
        let cells = [
            Cell::Null,
            Cell::Integer(i64::MIN),
            Cell::Text("ümlaut\0".to_owned()),
            Cell::Bytes(vec![0, 255, 7]),
            Cell::Bytes(Vec::new()),
        ];
        let mut bytes = Vec::new();
        cells.iter().for_each(|cell| put_cell(&mut bytes, cell));
        let mut reader = Reader(&bytes);
        for cell in &cells {
            assert_eq!(reader.cell().unwrap(), *cell);
        }
        assert!(reader.0.is_empty());
        for cut in 0..bytes.len() {
            let mut reader = Reader(&bytes[..cut]);
            assert!((0..cells.len()).any(|_| reader.cell().is_err()), "{cut}");
        }
        assert!(Reader(&[9]).cell().is_err());
        assert!(Reader(&[2, 1, 0, 0, 0, 255]).cell().is_err());
    }
}
