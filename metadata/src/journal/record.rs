//! A record: what one group of commands changed, row by row, and where in the history it belongs.
//!
//! ```text
//!  0  4  HFJR                         56  8  group
//!  4  4  zero                         64 16  mark of the group
//!  8  4  length of the changes        80 16  mark of the group before
//! 12  4  number of changes            96     changes
//! 16 16  id of the segment                8  checksum of all before
//! 32  8  offset in the segment               zeros to the next page
//! 40  8  epoch
//! 48  8  term
//!
//! change: kind (1: 1 insert, 2 update, 3 delete), table (2), cells (2), the cells
//! ```
//!
//! An insert or update carries all columns of the row as it is from then on, a delete those of the
//! key. A record in another place than it was written to does not verify.

use uuid::Uuid;

use super::Position;
use crate::image::{Cell, CellReader, Malformed, checksum};

/// What disks write at once: a record begins on such a boundary, so that what was synced is never
/// written again.
pub(super) const PAGE: usize = 4096;
const MAGIC: &[u8; 4] = b"HFJR";
/// The bytes of a record before its changes.
pub(super) const HEAD_LEN: usize = 96;
const SUM_LEN: usize = 8;

/// How a row changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// The row is new.
    Insert { table: usize, row: Vec<Cell> },
    /// The row of this key is as given from now on.
    Update { table: usize, row: Vec<Cell> },
    /// The row of this key is gone.
    Delete { table: usize, key: Vec<Cell> },
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) position: Position,
    pub(crate) term: u64,
    /// The mark of the group before.
    pub(crate) before: Uuid,
    /// How many changes are in `changes`.
    pub(crate) count: u32,
    /// Encoded.
    pub(crate) changes: Vec<u8>,
}

/// What a record's head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) position: Position,
    pub(super) term: u64,
    pub(super) before: Uuid,
    pub(super) len: u32,
    pub(super) count: u32,
}

impl Head {
    /// Bytes of the whole record, padding left aside.
    pub(super) const fn record_len(&self) -> u64 {
        (HEAD_LEN + SUM_LEN) as u64 + self.len as u64
    }

    /// What the first [`HEAD_LEN`] bytes of a page say, if a record of this segment begins here.
    pub(super) fn decode(bytes: &[u8], segment: &Uuid, offset: u64) -> Option<Self> {
        let mut reader = CellReader(bytes);
        let fits = reader.take(4).ok()? == MAGIC && reader.u32().ok()? == 0;
        let (len, count) = (reader.u32().ok()?, reader.u32().ok()?);
        let fits = fits && reader.id().ok()? == *segment.as_bytes() && reader.u64().ok()? == offset;
        let (epoch, term, group) = (reader.u64().ok()?, reader.u64().ok()?, reader.u64().ok()?);
        let mark = Uuid::from_bytes(reader.id().ok()?);
        let before = Uuid::from_bytes(reader.id().ok()?);
        let position = Position { epoch, group, mark };
        fits.then_some(Self {
            position,
            term,
            before,
            len,
            count,
        })
    }
}

impl Record {
    /// The bytes that are appended to segment `segment` at `offset`, padded to a page.
    pub(super) fn encode(&self, segment: &Uuid, offset: u64) -> Vec<u8> {
        let len = u32::try_from(self.changes.len()).expect("its maker bounds it");
        let whole = HEAD_LEN + self.changes.len() + SUM_LEN;
        let mut bytes = Vec::with_capacity(whole.next_multiple_of(PAGE));
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes.extend_from_slice(&self.count.to_le_bytes());
        bytes.extend_from_slice(segment.as_bytes());
        bytes.extend_from_slice(&offset.to_le_bytes());
        bytes.extend_from_slice(&self.position.epoch.to_le_bytes());
        bytes.extend_from_slice(&self.term.to_le_bytes());
        bytes.extend_from_slice(&self.position.group.to_le_bytes());
        bytes.extend_from_slice(self.position.mark.as_bytes());
        bytes.extend_from_slice(self.before.as_bytes());
        bytes.extend_from_slice(&self.changes);
        let sum = checksum(&[&bytes]);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes.resize(whole.next_multiple_of(PAGE), 0);
        bytes
    }

    /// The record whose bytes these are (without padding), if they are as they were written.
    pub(super) fn decode(bytes: &[u8], segment: &Uuid, offset: u64) -> Option<Self> {
        let head = Head::decode(bytes, segment, offset)?;
        let (body, sum) = bytes.split_at_checked(HEAD_LEN + head.len as usize)?;
        if sum != checksum(&[body]).to_le_bytes() {
            return None;
        }
        Some(Self {
            position: head.position,
            term: head.term,
            before: head.before,
            count: head.count,
            changes: body[HEAD_LEN..].to_vec(),
        })
    }

    /// What it changed, in order.
    pub(crate) fn changes(&self) -> Result<Vec<Change>, Malformed> {
        let mut reader = CellReader(&self.changes);
        let changes = (0..self.count)
            .map(|_| {
                let kind = reader.u8()?;
                let table = usize::from(reader.u16()?);
                let count = reader.u16()?;
                let cells = (0..count)
                    .map(|_| reader.cell())
                    .collect::<Result<Vec<Cell>, _>>()?;
                match kind {
                    INSERT => Ok(Change::Insert { table, row: cells }),
                    UPDATE => Ok(Change::Update { table, row: cells }),
                    DELETE => Ok(Change::Delete { table, key: cells }),
                    _ => Err(Malformed("a change is of no known kind")),
                }
            })
            .collect::<Result<Vec<Change>, _>>()?;
        match reader.0 {
            [] => Ok(changes),
            _ => Err(Malformed("a record has more than its changes")),
        }
    }
}

/// Kinds of changes.
pub(super) const INSERT: u8 = 1;
/// See [`INSERT`].
pub(super) const UPDATE: u8 = 2;
/// See [`INSERT`].
pub(super) const DELETE: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::put_cell;

    fn record() -> Record {
        let mut changes = vec![INSERT, 1, 0, 2, 0];
        put_cell(&mut changes, &Cell::Integer(5));
        put_cell(&mut changes, &Cell::Text("x".repeat(5000)));
        changes.extend([DELETE, 0, 0, 1, 0]);
        put_cell(&mut changes, &Cell::Null);
        Record {
            position: Position {
                epoch: 1,
                group: 9,
                mark: Uuid::from_bytes([1; 16]),
            },
            term: 4,
            before: Uuid::from_bytes([2; 16]),
            count: 2,
            changes,
        }
    }

    #[test]
    fn a_record_reads_back_only_where_it_was_written() {
        let (segment, record) = (Uuid::from_bytes([7; 16]), record());
        let bytes = record.encode(&segment, 8192);
        assert_eq!(bytes.len() % PAGE, 0);
        let head = Head::decode(&bytes[..HEAD_LEN], &segment, 8192).unwrap();
        let bytes = &bytes[..head.record_len() as usize];
        assert_eq!(Record::decode(bytes, &segment, 8192).unwrap(), record);
        assert_eq!(Record::decode(bytes, &segment, 4096), None);
        assert_eq!(Record::decode(bytes, &Uuid::nil(), 8192), None);
        assert_eq!(record.changes().unwrap().len(), 2);
        for at in 0..bytes.len() {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= 1;
            assert_eq!(Record::decode(&damaged, &segment, 8192), None, "byte {at}");
        }
    }
}
