//! An image's frames: writing them into chunks, reading them back with every check.
//!
//! ```text
//! HFIMAGE\0, version (2), zeros (6)
//! frame: kind (1), length (4), payload, checksum (8) of number, kind, length and payload
//!   1  header    JSON
//!   2  rows      table (2), columns (2), count (4), cells
//!   3  counters  JSON: how far the database's own numbering is
//!   4  end       JSON: rows a table; nothing may follow
//! ```
//!
//! A frame's number, counted from 0, is in its checksum: none can be lost or change places.

use std::io::{self, Read};

use holdfast_types::ClusterId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::cell::{Cell, Malformed, Reader, put_cell};
use super::checksum;
use super::tables::Schema;

const MAGIC: &[u8; 8] = b"HFIMAGE\0";
const VERSION: u16 = 1;
const HEADER: u8 = 1;
const ROWS: u8 = 2;
const COUNTERS: u8 = 3;
const END: u8 = 4;
/// A frame of rows is closed once it has so many bytes.
const FRAME_BYTES: usize = 256 << 10;
/// The longest frame that is read: one row may be long, but no row is longer than this.
const MAX_FRAME_BYTES: u32 = 256 << 20;

/// Which database an image was taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The embedded one.
    Sqlite,
    /// The cluster's.
    Postgresql,
}

/// What an image says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    pub(crate) cluster: Option<ClusterId>,
    /// The backup that it is, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) backup: Option<Uuid>,
    pub(crate) taken_ms: u64,
    pub(crate) source: Source,
    pub(crate) epoch: u64,
    pub(crate) term: u64,
    pub(crate) group: u64,
    pub(crate) mark: Uuid,
    pub(crate) schema: Schema,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Counters {
    counters: Vec<(String, i64)>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    rows: Vec<u64>,
}

/// Why an image can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// It is something else.
    #[error("it is no image of Holdfast's metadata")]
    NotAnImage,
    /// A newer Holdfast made it: use that.
    #[error("it has format version {0}, and this program reads up to {VERSION}")]
    Newer(u16),
    /// It is damaged, or cut short: use another.
    #[error("it is damaged {at} bytes from its beginning: {what}")]
    Damaged {
        /// Where.
        at: u64,
        /// What does not hold.
        what: &'static str,
    },
    /// It has other tables or columns than this program's schema.
    #[error("it was taken under another schema: {0}")]
    OtherSchema(String),
    /// It can't be read.
    #[error("it can't be read: {0}")]
    Io(#[from] io::Error),
    /// The database that it is read into or from said no.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
}

/// What was found in an image that is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageInfo {
    /// The cluster, where the metadata knew it.
    pub cluster: Option<ClusterId>,
    /// The backup that it is: `backups list` has it by this id.
    pub backup: Option<Uuid>,
    /// When it was begun, in milliseconds since 1970: it has everything that was committed before.
    pub taken_ms: u64,
    /// From which database.
    pub source: Source,
    /// The metadata's epoch then.
    pub epoch: u64,
    /// The schema's version.
    pub schema_version: u64,
    /// Its length.
    pub bytes: u64,
    /// Each table's name, rows, and a digest of them that does not depend on their order.
    pub tables: Vec<(String, u64, u64)>,
}

/// A frame that was read.
#[derive(Debug)]
pub(crate) enum Frame {
    Rows { table: usize, rows: Vec<Vec<Cell>> },
    Counters(Vec<(String, i64)>),
    End,
}

/// Makes the bytes of an image, chunk by chunk.
pub(crate) struct ImageWriter {
    number: u64,
    rows: Vec<u64>,
    table: usize,
    columns: usize,
    count: u32,
    cells: Vec<u8>,
    out: Vec<u8>,
}

impl ImageWriter {
    /// Begins an image.
    pub(crate) fn new(header: &Header) -> Self {
        let mut out = Vec::with_capacity(FRAME_BYTES + 64);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 6]);
        let mut writer = Self {
            number: 0,
            rows: vec![0; header.schema.tables.len()],
            table: 0,
            columns: 0,
            count: 0,
            cells: Vec::new(),
            out,
        };
        let header = serde_json::to_vec(header).expect("a header is plain data");
        writer.frame(HEADER, &header);
        writer
    }

    fn frame(&mut self, kind: u8, payload: &[u8]) {
        let len = u32::try_from(payload.len()).expect("frames are far below 4 GiB");
        let sum = checksum(&[
            &self.number.to_le_bytes(),
            &[kind],
            &len.to_le_bytes(),
            payload,
        ]);
        self.number += 1;
        self.out.push(kind);
        self.out.extend_from_slice(&len.to_le_bytes());
        self.out.extend_from_slice(payload);
        self.out.extend_from_slice(&sum.to_le_bytes());
    }

    /// Adds a row of table `table`.
    pub(crate) fn row(&mut self, table: usize, row: &[Cell]) {
        if self.table != table || self.columns != row.len() {
            self.close_rows();
            (self.table, self.columns) = (table, row.len());
        }
        row.iter().for_each(|cell| put_cell(&mut self.cells, cell));
        self.count += 1;
        self.rows[table] += 1;
        if self.cells.len() >= FRAME_BYTES {
            self.close_rows();
        }
    }

    fn close_rows(&mut self) {
        if self.count == 0 {
            return;
        }
        let mut payload = Vec::with_capacity(8 + self.cells.len());
        payload.extend_from_slice(&(self.table as u16).to_le_bytes());
        payload.extend_from_slice(&(self.columns as u16).to_le_bytes());
        payload.extend_from_slice(&self.count.to_le_bytes());
        payload.append(&mut self.cells);
        self.count = 0;
        self.frame(ROWS, &payload);
    }

    /// The bytes so far, if there are enough to be worth a write.
    pub(crate) fn chunk(&mut self) -> Option<Vec<u8>> {
        (self.out.len() >= FRAME_BYTES).then(|| std::mem::take(&mut self.out))
    }

    /// Ends the image; its last bytes.
    pub(crate) fn end(mut self, counters: Vec<(String, i64)>) -> Vec<u8> {
        self.close_rows();
        let counters = serde_json::to_vec(&Counters { counters }).expect("plain data");
        self.frame(COUNTERS, &counters);
        let rows = std::mem::take(&mut self.rows);
        let end = serde_json::to_vec(&End { rows }).expect("plain data");
        self.frame(END, &end);
        self.out
    }
}

/// Reads an image, checking all of it on the way.
pub struct ImageReader {
    source: Box<dyn Read + Send>,
    header: Header,
    number: u64,
    at: u64,
    rows: Vec<u64>,
    digests: Vec<u64>,
    ended: bool,
}

impl ImageReader {
    /// Reads its header.
    ///
    /// # Errors
    /// See [`ImageError`].
    pub fn new(mut source: Box<dyn Read + Send>) -> Result<Self, ImageError> {
        let mut head = [0; 16];
        if let Err(error) = source.read_exact(&mut head) {
            return Err(match error.kind() {
                io::ErrorKind::UnexpectedEof => ImageError::NotAnImage,
                _ => error.into(),
            });
        }
        if &head[..8] != MAGIC {
            return Err(ImageError::NotAnImage);
        }
        let version = u16::from_le_bytes([head[8], head[9]]);
        if version != VERSION {
            return Err(ImageError::Newer(version));
        }
        if head[10..] != [0; 6] {
            return Err(ImageError::Damaged {
                at: 10,
                what: "bytes that mean nothing are not zero",
            });
        }
        let (kind, payload) = read_frame(&mut *source, 0, 16)?;
        let header: Header = (kind == HEADER)
            .then(|| serde_json::from_slice(&payload).ok())
            .flatten()
            .ok_or(ImageError::Damaged {
                at: 16,
                what: "it has no header",
            })?;
        let tables = header.schema.tables.len();
        Ok(Self {
            source,
            header,
            number: 1,
            at: 16 + frame_len(payload.len()),
            rows: vec![0; tables],
            digests: vec![0; tables],
            ended: false,
        })
    }

    /// What it says of itself.
    pub(crate) const fn header(&self) -> &Header {
        &self.header
    }

    /// The next frame; after the end, `None`.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, ImageError> {
        if self.ended {
            return Ok(None);
        }
        let (kind, payload) = read_frame(&mut *self.source, self.number, self.at)?;
        let at = self.at;
        self.number += 1;
        self.at += frame_len(payload.len());
        let damaged = |what| ImageError::Damaged { at, what };
        let frame = match kind {
            ROWS => self
                .take_rows(&payload)
                .map_err(|Malformed(what)| damaged(what))?,
            COUNTERS => serde_json::from_slice(&payload)
                .map(|Counters { counters }| Frame::Counters(counters))
                .map_err(|_| damaged("its counters can't be read"))?,
            END => {
                let end: End = serde_json::from_slice(&payload)
                    .map_err(|_| damaged("its end can't be read"))?;
                if end.rows != self.rows {
                    return Err(damaged("rows are missing"));
                }
                if self.source.read(&mut [0])? != 0 {
                    return Err(damaged("something follows its end"));
                }
                self.ended = true;
                Frame::End
            }
            _ => return Err(damaged("a frame is of no known kind")),
        };
        Ok(Some(frame))
    }

    fn take_rows(&mut self, payload: &[u8]) -> Result<Frame, Malformed> {
        let mut reader = Reader(payload);
        let table = usize::from(reader.u16()?);
        let columns = usize::from(reader.u16()?);
        let count = reader.u32()?;
        let known = self.header.schema.tables.get(table);
        if known.is_none_or(|known| known.columns.len() != columns) {
            return Err(Malformed(
                "rows of a table that it has not, or of other columns",
            ));
        }
        let mut rows = Vec::new();
        for _ in 0..count {
            let before = reader.0;
            let row = (0..columns)
                .map(|_| reader.cell())
                .collect::<Result<Vec<Cell>, _>>()?;
            let encoded = &before[..before.len() - reader.0.len()];
            self.digests[table] = self.digests[table].wrapping_add(checksum(&[encoded]));
            rows.push(row);
        }
        if !reader.0.is_empty() {
            return Err(Malformed("more cells than rows"));
        }
        self.rows[table] += u64::from(count);
        Ok(Frame::Rows { table, rows })
    }

    /// Reads what is left of it: whether it is whole, and what is in it.
    ///
    /// # Errors
    /// See [`ImageError`].
    pub fn verify(mut self) -> Result<ImageInfo, ImageError> {
        while self.next()?.is_some() {}
        Ok(self.info())
    }

    /// What has been read so far; all of it after the end.
    pub(crate) fn info(&self) -> ImageInfo {
        let names = self.header.schema.tables.iter();
        ImageInfo {
            cluster: self.header.cluster,
            backup: self.header.backup,
            taken_ms: self.header.taken_ms,
            source: self.header.source,
            epoch: self.header.epoch,
            schema_version: self.header.schema.version,
            bytes: self.at,
            tables: names
                .zip(self.rows.iter().zip(&self.digests))
                .map(|(table, (rows, digest))| (table.name.clone(), *rows, *digest))
                .collect(),
        }
    }
}

const fn frame_len(payload: usize) -> u64 {
    1 + 4 + payload as u64 + 8
}

fn read_frame(source: &mut dyn Read, number: u64, at: u64) -> Result<(u8, Vec<u8>), ImageError> {
    let damaged = |what| ImageError::Damaged { at, what };
    let cut = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => damaged("it is cut short"),
        _ => error.into(),
    };
    let mut head = [0; 5];
    source.read_exact(&mut head).map_err(cut)?;
    let len = u32::from_le_bytes([head[1], head[2], head[3], head[4]]);
    if len > MAX_FRAME_BYTES {
        return Err(damaged("a frame is too long"));
    }
    let mut payload = Vec::new();
    let read = source.take(u64::from(len)).read_to_end(&mut payload)?;
    if read != len as usize {
        return Err(damaged("it is cut short"));
    }
    let mut sum = [0; 8];
    source.read_exact(&mut sum).map_err(cut)?;
    let expected = checksum(&[&number.to_le_bytes(), &head, &payload]);
    if u64::from_le_bytes(sum) != expected {
        return Err(damaged("a checksum does not match"));
    }
    Ok((head[0], payload))
}

#[cfg(test)]
mod tests {
    use super::super::tables::Table;
    use super::*;

    fn image() -> Vec<u8> {
        let header = Header {
            cluster: None,
            backup: None,
            taken_ms: 7,
            source: Source::Sqlite,
            epoch: 1,
            term: 0,
            group: 3,
            mark: Uuid::from_bytes([9; 16]),
            schema: Schema {
                version: 1,
                tables: vec![Table {
                    name: "t".to_owned(),
                    columns: vec!["a".to_owned(), "b".to_owned()],
                    key: vec!["a".to_owned()],
                    identity: Some("a".to_owned()),
                }],
            },
        };
        let mut writer = ImageWriter::new(&header);
        for number in 0..3 {
            writer.row(0, &[Cell::Integer(number), Cell::Text("x".to_owned())]);
            writer.close_rows();
        }
        let mut bytes = writer.chunk().unwrap_or_default();
        bytes.extend(writer.end(vec![("t".to_owned(), 2)]));
        bytes
    }

    fn verify(bytes: &[u8]) -> Result<ImageInfo, ImageError> {
        ImageReader::new(Box::new(io::Cursor::new(bytes.to_vec())))?.verify()
    }

    #[test]
    fn an_image_reads_back() {
        let info = verify(&image()).unwrap();
        assert_eq!(info.tables[0].0, "t");
        assert_eq!(info.tables[0].1, 3);
        assert_eq!(info.bytes, image().len() as u64);
    }

    #[test]
    fn each_damaged_byte_and_each_cut_is_noticed() {
        let image = image();
        for at in 0..image.len() {
            let mut damaged = image.clone();
            damaged[at] ^= 1;
            assert!(verify(&damaged).is_err(), "byte {at}");
            assert!(verify(&image[..at]).is_err(), "cut at {at}");
        }
        let mut longer = image;
        longer.push(0);
        assert!(verify(&longer).is_err());
    }

    /// Each frame is well by itself: only their numbers and the end say that they are all there.
    #[test]
    fn no_frame_can_be_lost_repeated_or_change_places() {
        let image = image();
        let mut frames = Vec::new();
        let mut rest = &image[16..];
        while !rest.is_empty() {
            let len = u32::from_le_bytes([rest[1], rest[2], rest[3], rest[4]]) as usize;
            let (frame, after) = rest.split_at(1 + 4 + len + 8);
            frames.push(frame);
            rest = after;
        }
        let joined = |frames: &[&[u8]]| [&image[..16], &frames.concat()].concat();
        assert!(frames.len() >= 6 && verify(&joined(&frames)).is_ok());
        for at in 0..frames.len() {
            let mut lost = frames.clone();
            lost.remove(at);
            assert!(verify(&joined(&lost)).is_err(), "without frame {at}");
            let mut twice = frames.clone();
            twice.insert(at, frames[at]);
            assert!(verify(&joined(&twice)).is_err(), "frame {at} twice");
            for other in 0..at {
                let mut swapped = frames.clone();
                swapped.swap(at, other);
                assert!(verify(&joined(&swapped)).is_err(), "{at} and {other}");
            }
        }
    }

    #[test]
    fn a_newer_format_says_so() {
        let mut newer = image();
        newer[8] = 2;
        assert!(matches!(verify(&newer), Err(ImageError::Newer(2))));
    }
}
