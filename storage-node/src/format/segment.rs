//! Segment files: a header page, then records, appended in batches that begin on a new page.
//!
//! ```text
//! header page                          record
//!    0  8 magic "HFSEGMNT"               0  4 magic "HFRC"
//!    8  2 version                        4  1 1 put, 2 tombstone
//!   10  6 zero                           5  3 zero
//!   16 16 drive id                       8  8 segment          \  where the record is: part of what
//!   32  8 segment                       16  8 generation        > is checksummed, so that a record
//!   40  8 generation (random)           24  8 offset           /  elsewhere never verifies
//!   48    zero                          32  8 synced up to
//! 4088  8 CRC-64 of 0..4088             40  4 length of the payload
//!                                       44  4 number of blocks
//!                                       48 72 fragment header (`header.rs`)
//!                                      120    put: 8 bytes a block, its seeded CRC-64
//!                                             tombstone: 8 horizon segment, 8 horizon offset,
//!                                             8 oldest and 8 newest segment of what it kills
//!                                          8 CRC-64 of the record so far
//!                                             the payload: the blocks; zeros to the next 8 bytes
//! ```
//! "Synced up to" is how far the segment was durable when the record was written: a record before
//! the highest of these was acknowledged, one after it may be a torn leftover that never was.

use holdfast_types::{DriveId, FragmentHeader, FragmentId, Layout};

use super::{array_at, header, put, u16_at, u32_at, u64_at};
use crate::checksum;
use crate::disk::PAGE;

/// Bytes of the header page: records begin after it.
pub(crate) const HEAD_LEN: usize = PAGE;
/// Fragments of at most this many bytes are packed: a file of its own would cost a large one's
/// three syncs and, in ext4, an inode and a page or more of slack.
pub(crate) const SMALL_UP_TO: u64 = 128 << 10;
/// Records begin at multiples of this.
pub(crate) const ALIGN: usize = 8;
/// The longest head of a record: blocks of 4096 bytes, and one that is shorter.
pub(crate) const MAX_RECORD_HEAD: usize = TABLE_AT + (SMALL_UP_TO as usize / PAGE + 1) * 8 + 8;
/// The longest record.
pub(crate) const MAX_RECORD: usize = MAX_RECORD_HEAD + SMALL_UP_TO as usize;
/// What a record begins with.
pub(crate) const MAGIC: &[u8; 4] = b"HFRC";
const SEGMENT_MAGIC: &[u8; 8] = b"HFSEGMNT";
const VERSION: u16 = 1;
const CHECKSUM_AT: usize = PAGE - 8;
const TABLE_AT: usize = 48 + header::LEN;
const TOMBSTONE_LEN: usize = 32;
const PUT: u8 = 1;
const TOMBSTONE: u8 = 2;

/// What a segment says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHead {
    pub(crate) drive: DriveId,
    pub(crate) segment: u64,
    pub(crate) generation: u64,
}

/// Why a segment's header page is not to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadHead {
    Newer(u16),
    Damaged,
}

/// A place in the log; places are ordered as the log was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
}

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) at: Position,
    pub(crate) generation: u64,
    pub(crate) synced_to: u64,
}

/// Ends the life of one fragment's records before `horizon`, all in segments `oldest..=newest`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tombstone {
    pub(crate) id: FragmentId,
    pub(crate) horizon: Position,
    pub(crate) oldest: u64,
    pub(crate) newest: u64,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Body {
    Put {
        header: FragmentHeader,
        table: Vec<u64>,
    },
    Tombstone(Tombstone),
}

/// A record whose head was verified; its payload was not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) place: Place,
    pub(crate) body: Body,
    pub(crate) head_len: usize,
    pub(crate) payload_len: usize,
}

impl Record {
    /// Bytes from this record to the next of its batch.
    pub(crate) const fn len(&self) -> usize {
        (self.head_len + self.payload_len).next_multiple_of(ALIGN)
    }
}

/// Bytes of a put record's head.
pub(crate) const fn put_head_len(blocks: u64) -> usize {
    TABLE_AT + blocks as usize * 8 + 8
}

pub(crate) fn encode_head(head: SegmentHead) -> Vec<u8> {
    let mut bytes = vec![0; HEAD_LEN];
    put(&mut bytes, 0, SEGMENT_MAGIC);
    put(&mut bytes, 8, &VERSION.to_le_bytes());
    put(&mut bytes, 16, head.drive.as_bytes());
    put(&mut bytes, 32, &head.segment.to_le_bytes());
    put(&mut bytes, 40, &head.generation.to_le_bytes());
    let checksum = checksum::of(&bytes[..CHECKSUM_AT]);
    put(&mut bytes, CHECKSUM_AT, &checksum.to_le_bytes());
    bytes
}

pub(crate) fn decode_head(page: &[u8]) -> Result<SegmentHead, BadHead> {
    let whole = page.len() >= HEAD_LEN && page.starts_with(SEGMENT_MAGIC);
    if !whole || u64_at(page, CHECKSUM_AT) != checksum::of(&page[..CHECKSUM_AT]) {
        return Err(BadHead::Damaged);
    }
    match u16_at(page, 8) {
        1 => Ok(SegmentHead {
            drive: DriveId::from_bytes(array_at(page, 16)),
            segment: u64_at(page, 32),
            generation: u64_at(page, 40),
        }),
        version if version > VERSION => Err(BadHead::Newer(version)),
        _ => Err(BadHead::Damaged),
    }
}

/// Appends a put record to `out`; its payload is `payload`, in pieces.
pub(crate) fn encode_put<'b>(
    out: &mut Vec<u8>,
    place: Place,
    header: &FragmentHeader,
    table: &[u64],
    payload: impl IntoIterator<Item = &'b [u8]>,
) {
    let entries: Vec<u8> = table.iter().flat_map(|entry| entry.to_le_bytes()).collect();
    encode_record_head(
        out,
        place,
        PUT,
        header,
        (header.len() as u32, table.len()),
        &entries,
    );
    for piece in payload {
        out.extend_from_slice(piece);
    }
    out.resize(out.len().next_multiple_of(ALIGN), 0);
}

/// Appends a tombstone to `out`.
pub(crate) fn encode_tombstone(out: &mut Vec<u8>, place: Place, tombstone: &Tombstone) {
    // A tombstone needs the id only; the rest of the header is that of an empty blob.
    let header = FragmentHeader {
        id: tombstone.id.clone(),
        layout: Layout::Copies { n: 1 },
        blob_len: 0,
    };
    let fields = [
        tombstone.horizon.segment,
        tombstone.horizon.offset,
        tombstone.oldest,
        tombstone.newest,
    ];
    let fields: Vec<u8> = fields
        .iter()
        .flat_map(|field| field.to_le_bytes())
        .collect();
    encode_record_head(out, place, TOMBSTONE, &header, (0, 0), &fields);
}

fn encode_record_head(
    out: &mut Vec<u8>,
    place: Place,
    kind: u8,
    header: &FragmentHeader,
    (payload_len, blocks): (u32, usize),
    rest: &[u8],
) {
    let start = out.len();
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[kind, 0, 0, 0]);
    for field in [
        place.at.segment,
        place.generation,
        place.at.offset,
        place.synced_to,
    ] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    out.extend_from_slice(&payload_len.to_le_bytes());
    out.extend_from_slice(&(blocks as u32).to_le_bytes());
    out.extend_from_slice(&header::encode(header));
    out.extend_from_slice(rest);
    let checksum = checksum::of(&out[start..]);
    out.extend_from_slice(&checksum.to_le_bytes());
}

/// Reads the head of the record that begins at `bytes[0]`, which is at `at` in the segment.
/// `None` if there is none, or it is damaged, or it was written somewhere else.
pub(crate) fn decode_record(bytes: &[u8], at: Position, generation: Option<u64>) -> Option<Record> {
    if bytes.len() < TABLE_AT || !bytes.starts_with(MAGIC) {
        return None;
    }
    let (kind, blocks) = (bytes[4], u32_at(bytes, 44) as usize);
    let rest_len = if kind == PUT {
        blocks.checked_mul(8)?
    } else {
        TOMBSTONE_LEN
    };
    let sum_at = TABLE_AT.checked_add(rest_len)?;
    let head_len = sum_at + 8;
    if head_len > MAX_RECORD_HEAD || bytes.len() < head_len {
        return None;
    }
    if u64_at(bytes, sum_at) != checksum::of(&bytes[..sum_at]) {
        return None;
    }
    let place = Place {
        at: Position {
            segment: u64_at(bytes, 8),
            offset: u64_at(bytes, 24),
        },
        generation: u64_at(bytes, 16),
        synced_to: u64_at(bytes, 32),
    };
    if place.at != at || generation.is_some_and(|generation| generation != place.generation) {
        return None;
    }
    let header = header::decode(&bytes[48..TABLE_AT])?;
    let payload_len = u32_at(bytes, 40) as usize;
    let body = match kind {
        PUT => {
            let fits = header.len() == payload_len as u64 && header.blocks() == blocks as u64;
            if !fits || payload_len as u64 > SMALL_UP_TO {
                return None;
            }
            let table = (0..blocks)
                .map(|number| u64_at(bytes, TABLE_AT + number * 8))
                .collect();
            Body::Put { header, table }
        }
        TOMBSTONE => Body::Tombstone(Tombstone {
            id: header.id,
            horizon: Position {
                segment: u64_at(bytes, TABLE_AT),
                offset: u64_at(bytes, TABLE_AT + 8),
            },
            oldest: u64_at(bytes, TABLE_AT + 16),
            newest: u64_at(bytes, TABLE_AT + 24),
        }),
        _ => return None,
    };
    Some(Record {
        place,
        body,
        head_len,
        payload_len,
    })
}

/// A segment's file name: its number in hexadecimal, so that names sort as numbers do.
pub(crate) fn file_name(segment: u64) -> String {
    format!("{segment:016x}.seg")
}

/// The number in a segment's file name.
pub(crate) fn parse_file_name(name: &str) -> Option<u64> {
    let number = u64::from_str_radix(name.strip_suffix(".seg")?, 16).ok()?;
    (file_name(number) == name).then_some(number)
}

#[cfg(test)]
mod tests {
    use holdfast_types::{BlobId, FragmentIndex, Generation, Region};

    use super::*;

    fn header() -> FragmentHeader {
        FragmentHeader {
            id: FragmentId {
                blob: BlobId::from_bytes([9; 16]),
                region: Region::parse("south").unwrap(),
                generation: Generation(1),
                index: FragmentIndex(0),
            },
            layout: "1+0/4096".parse().unwrap(),
            blob_len: 5000,
        }
    }

    fn place() -> Place {
        let at = Position {
            segment: 3,
            offset: 4096,
        };
        Place {
            at,
            generation: 77,
            synced_to: 4096,
        }
    }

    #[test]
    fn a_record_reads_back_only_where_it_was_written() {
        let mut bytes = Vec::new();
        let payload = vec![5; 5000];
        encode_put(
            &mut bytes,
            place(),
            &header(),
            &[11, 22],
            [&payload[..4096], &payload[4096..]],
        );
        let record = decode_record(&bytes, place().at, Some(77)).unwrap();
        assert_eq!(
            record.body,
            Body::Put {
                header: header(),
                table: vec![11, 22]
            }
        );
        assert_eq!(record.len(), bytes.len());
        assert_eq!(&bytes[record.head_len..record.head_len + 5000], &payload);
        let elsewhere = Position {
            segment: 3,
            offset: 8192,
        };
        assert_eq!(decode_record(&bytes, elsewhere, Some(77)), None);
        let other_segment = Position {
            segment: 4,
            offset: 4096,
        };
        assert_eq!(decode_record(&bytes, other_segment, Some(77)), None);
        assert_eq!(
            decode_record(&bytes, place().at, Some(78)),
            None,
            "an older life of the number"
        );
        for at in 0..record.head_len {
            let mut damaged = bytes.clone();
            damaged[at] ^= 4;
            assert_eq!(
                decode_record(&damaged, place().at, Some(77)),
                None,
                "byte {at}"
            );
        }
    }

    #[test]
    fn a_tombstone_reads_back() {
        let tombstone = Tombstone {
            id: header().id,
            horizon: place().at,
            oldest: 1,
            newest: 3,
        };
        let mut bytes = Vec::new();
        encode_tombstone(&mut bytes, place(), &tombstone);
        let record = decode_record(&bytes, place().at, Some(77)).unwrap();
        assert_eq!(record.len(), bytes.len());
        assert_eq!(record.body, Body::Tombstone(tombstone));
    }

    #[test]
    fn a_segment_head_reads_back() {
        let head = SegmentHead {
            drive: DriveId::generate(),
            segment: 5,
            generation: 6,
        };
        let mut page = encode_head(head);
        assert_eq!(decode_head(&page), Ok(head));
        page[100] = 1;
        assert_eq!(decode_head(&page), Err(BadHead::Damaged));
    }

    #[test]
    fn segment_names_sort_as_their_numbers() {
        assert_eq!(parse_file_name(&file_name(255)), Some(255));
        assert!(file_name(9) < file_name(10));
        assert_eq!(parse_file_name("ff.seg"), None);
    }

    /// What version 1 writes must stay what it is: segments of it are out there.
    #[test]
    fn version_1_is_frozen() {
        let drive = DriveId::from_bytes([8; 16]);
        let mut bytes = encode_head(SegmentHead {
            drive,
            segment: 3,
            generation: 77,
        });
        encode_put(&mut bytes, place(), &header(), &[11, 22], [&[5; 5000][..]]);
        let tombstone = Tombstone {
            id: header().id,
            horizon: place().at,
            oldest: 1,
            newest: 3,
        };
        encode_tombstone(&mut bytes, place(), &tombstone);
        assert_eq!(checksum::of(&bytes), GOLDEN);
    }

    const GOLDEN: u64 = 15_950_619_593_106_483_998;
}
