//! A segment: a file on a drive that records are appended to, for as long as its writer lives.
//!
//! ```text
//!  0  8  HFJOURNL                     48 16  id of the segment, random
//!  8  2  version, 1                   64  8  epoch
//! 10  6  zero                         72  8  term
//! 16 16  cluster                      80  4  length of the schema
//! 32 16  drive                        84     the schema as JSON
//!                                         8  checksum of all before; zeros to the next page
//! ```
//!
//! Records follow, each on a page boundary. What does not verify is skipped page by page: at the
//! end of a segment that is a record that was torn, elsewhere it is damage, and the same record is
//! on other drives.

use std::io;
use std::sync::Arc;

use holdfast_types::{ClusterId, DriveId};
use uuid::Uuid;

use super::record::{HEAD_LEN, Head, PAGE, Record};
use super::shelf::{ShelfFile, ShelfRead};
use crate::image::{CellReader, Schema, checksum};

const MAGIC: &[u8; 8] = b"HFJOURNL";
const VERSION: u16 = 1;
const FIXED_LEN: usize = 84;
/// A schema is a few thousand bytes.
const MAX_SCHEMA_BYTES: usize = 1 << 20;
/// The longest record that is read: requests bound what a group can change.
const MAX_RECORD_BYTES: u64 = 1 << 30;

/// Who a segment belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct About {
    pub(super) cluster: ClusterId,
    pub(super) drive: DriveId,
    pub(super) epoch: u64,
    pub(super) term: u64,
    pub(super) schema: Schema,
}

/// A segment that this process appends to.
pub(super) struct SegmentWriter {
    file: Box<dyn ShelfFile>,
    id: Uuid,
    len: u64,
}

impl SegmentWriter {
    /// Makes a segment under `name`, durably.
    pub(super) fn create(
        mut file: Box<dyn ShelfFile>,
        name: &str,
        about: &About,
    ) -> io::Result<Self> {
        let id = Uuid::new_v4();
        let head = encode_head(about, &id);
        file.append(&head)?;
        file.publish(name)?;
        Ok(Self {
            file,
            id,
            len: head.len() as u64,
        })
    }

    /// Appends a record, durably.
    pub(super) fn append(&mut self, record: &Record) -> io::Result<u64> {
        let bytes = record.encode(&self.id, self.len);
        self.file.append(&bytes)?;
        self.file.sync()?;
        self.len += bytes.len() as u64;
        Ok(bytes.len() as u64)
    }
}

fn encode_head(about: &About, id: &Uuid) -> Vec<u8> {
    let schema = serde_json::to_vec(&about.schema).expect("a schema is plain data");
    let mut bytes = Vec::with_capacity(2 * PAGE);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&[0; 6]);
    bytes.extend_from_slice(about.cluster.as_bytes());
    bytes.extend_from_slice(about.drive.as_bytes());
    bytes.extend_from_slice(id.as_bytes());
    bytes.extend_from_slice(&about.epoch.to_le_bytes());
    bytes.extend_from_slice(&about.term.to_le_bytes());
    bytes.extend_from_slice(&(schema.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&schema);
    let sum = checksum(&[&bytes]);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes.resize(bytes.len().next_multiple_of(PAGE), 0);
    bytes
}

/// A segment that is read.
#[derive(Clone)]
pub(super) struct Segment {
    pub(super) file: Arc<dyn ShelfRead>,
    pub(super) about: About,
    id: Uuid,
    first: u64,
}

/// Where a record lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) head: Head,
    offset: u64,
}

impl Segment {
    /// Reads a segment's head; else says what is wrong with it.
    pub(super) fn open(file: Box<dyn ShelfRead>) -> Result<Self, String> {
        let failed = |error: io::Error| error.to_string();
        let mut bytes = vec![0; FIXED_LEN];
        let read = file.read_at(&mut bytes, 0).map_err(failed)?;
        bytes.truncate(read);
        let mut reader = CellReader(&bytes);
        let cut = |_| "its head is cut short".to_owned();
        if reader.take(8).map_err(cut)? != MAGIC {
            return Err("it is no journal".to_owned());
        }
        let version = reader.u16().map_err(cut)?;
        if version != VERSION {
            return Err(format!(
                "it has format version {version}, and this program reads up to {VERSION}"
            ));
        }
        reader.take(6).map_err(cut)?;
        let cluster = ClusterId::from_bytes(reader.id().map_err(cut)?);
        let drive = DriveId::from_bytes(reader.id().map_err(cut)?);
        let id = Uuid::from_bytes(reader.id().map_err(cut)?);
        let (epoch, term) = (reader.u64().map_err(cut)?, reader.u64().map_err(cut)?);
        let schema_len = reader.u32().map_err(cut)? as usize;
        if schema_len > MAX_SCHEMA_BYTES {
            return Err("its head is damaged".to_owned());
        }
        let whole = FIXED_LEN + schema_len + 8;
        bytes.resize(whole, 0);
        let read = file.read_at(&mut bytes, 0).map_err(failed)?;
        let (body, sum) = bytes.split_at(whole - 8);
        if read != whole || sum != checksum(&[body]).to_le_bytes() {
            return Err("its head is damaged".to_owned());
        }
        let schema = serde_json::from_slice(&body[FIXED_LEN..])
            .map_err(|_| "its schema can't be read".to_owned())?;
        Ok(Self {
            file: file.into(),
            about: About {
                cluster,
                drive,
                epoch,
                term,
                schema,
            },
            id,
            first: whole.next_multiple_of(PAGE) as u64,
        })
    }

    /// All records that verify, in order, and how many pages between them do not.
    pub(super) fn scan(&self) -> io::Result<(Vec<Place>, u64)> {
        let (mut places, mut damaged, mut doubtful) = (Vec::new(), 0, 0);
        let len = self.file.len_bytes()?;
        let mut offset = self.first;
        while offset < len {
            match self.record_at(offset)? {
                Some((head, _)) => {
                    damaged += std::mem::take(&mut doubtful);
                    places.push(Place { head, offset });
                    offset += head.record_len().next_multiple_of(PAGE as u64);
                }
                None => {
                    doubtful += 1;
                    offset += PAGE as u64;
                }
            }
        }
        Ok((places, damaged))
    }

    /// Reads a record again.
    pub(super) fn read(&self, place: &Place) -> io::Result<Option<Record>> {
        Ok(self.record_at(place.offset)?.map(|(_, record)| record))
    }

    fn record_at(&self, offset: u64) -> io::Result<Option<(Head, Record)>> {
        let mut bytes = vec![0; HEAD_LEN];
        if self.file.read_at(&mut bytes, offset)? < HEAD_LEN {
            return Ok(None);
        }
        let Some(head) = Head::decode(&bytes, &self.id, offset) else {
            return Ok(None);
        };
        // A damaged length must not make us ask for memory that nobody has.
        let room = self.file.len_bytes()?.saturating_sub(offset);
        if head.record_len() > room.min(MAX_RECORD_BYTES) {
            return Ok(None);
        }
        bytes.resize(head.record_len() as usize, 0);
        self.file.read_at(&mut bytes, offset)?;
        Ok(Record::decode(&bytes, &self.id, offset).map(|record| (head, record)))
    }
}
