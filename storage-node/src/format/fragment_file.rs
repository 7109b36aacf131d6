//! A large fragment's file: a header page, a table of checksums, blocks at computable offsets.
//!
//! ```text
//!    0  8 magic "HFFRAGMT"      the header page, 4096 bytes
//!    8  2 version
//!   10  6 zero
//!   16 72 fragment header (`header.rs`)
//!   88  8 offset of the table   (4096)
//!   96  8 offset of block 0     (4096 + table, rounded up to 4096)
//!  104  8 length of the file
//!  112    zero
//! 4088  8 CRC-64/NVME of bytes 0..4088
//! 4096    table: 8 bytes a block, each block's seeded CRC-64/NVME; zeros to the next 4096
//!         blocks: block `i` at offset of block 0 + i * block length; only the last may be shorter
//! ```

use holdfast_types::FragmentHeader;

use super::{header, put, u16_at, u64_at};
use crate::checksum;
use crate::disk::PAGE;

/// Bytes of the header page.
pub(crate) const HEAD_LEN: usize = PAGE;
/// Bytes of one entry of the table.
pub(crate) const ENTRY_LEN: usize = 8;
const MAGIC: &[u8; 8] = b"HFFRAGMT";
const VERSION: u16 = 1;
const CHECKSUM_AT: usize = PAGE - 8;

/// Where things are in a fragment file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    table_at: u64,
    data_at: u64,
    block_len: u64,
    fragment_len: u64,
}

impl Geometry {
    /// The geometry that version 1 gives to a fragment.
    pub(crate) fn of(header: &FragmentHeader) -> Self {
        let table_len = (header.blocks() * ENTRY_LEN as u64).next_multiple_of(PAGE as u64);
        let table_at = HEAD_LEN as u64;
        Self {
            table_at,
            data_at: table_at + table_len,
            block_len: u64::from(header.layout.block_len()),
            fragment_len: header.len(),
        }
    }

    /// Where block `number`'s checksum is.
    pub(crate) const fn entry_at(self, number: u64) -> u64 {
        self.table_at + number * ENTRY_LEN as u64
    }

    /// Where block `number` is.
    pub(crate) const fn block_at(self, number: u64) -> u64 {
        self.data_at + number * self.block_len
    }

    /// Bytes of the whole file.
    pub(crate) const fn file_len(self) -> u64 {
        self.data_at + self.fragment_len
    }
}

/// Why a header page is not to be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadHead {
    #[error("the file is too short for a header")]
    Short,
    #[error("the header does not match its checksum")]
    Checksum,
    #[error("the file is of format version {0}, which is newer than this program")]
    Newer(u16),
    #[error("the header makes no sense")]
    Nonsense,
}

/// The header page and the table, padded: everything before block 0.
pub(crate) fn encode(header: &FragmentHeader, checksums: &[u64]) -> Vec<u8> {
    let geometry = Geometry::of(header);
    let mut bytes = vec![0; geometry.data_at as usize];
    put(&mut bytes, 0, MAGIC);
    put(&mut bytes, 8, &VERSION.to_le_bytes());
    put(&mut bytes, 16, &header::encode(header));
    put(&mut bytes, 88, &geometry.table_at.to_le_bytes());
    put(&mut bytes, 96, &geometry.data_at.to_le_bytes());
    put(&mut bytes, 104, &geometry.file_len().to_le_bytes());
    let checksum = checksum::of(&bytes[..CHECKSUM_AT]);
    put(&mut bytes, CHECKSUM_AT, &checksum.to_le_bytes());
    for (number, checksum) in checksums.iter().enumerate() {
        put(
            &mut bytes,
            HEAD_LEN + number * ENTRY_LEN,
            &checksum.to_le_bytes(),
        );
    }
    bytes
}

/// Reads a header page of any version.
pub(crate) fn decode(page: &[u8]) -> Result<(FragmentHeader, Geometry), BadHead> {
    if page.len() < HEAD_LEN {
        return Err(BadHead::Short);
    }
    if u64_at(page, CHECKSUM_AT) != checksum::of(&page[..CHECKSUM_AT]) {
        return Err(BadHead::Checksum);
    }
    match (page.starts_with(MAGIC), u16_at(page, 8)) {
        (true, 1) => v1::decode(page).ok_or(BadHead::Nonsense),
        (true, version) if version > VERSION => Err(BadHead::Newer(version)),
        _ => Err(BadHead::Nonsense),
    }
}

mod v1 {
    //! The first format, as the table above.

    use super::{FragmentHeader, Geometry, header, u64_at};

    pub(super) fn decode(page: &[u8]) -> Option<(FragmentHeader, Geometry)> {
        let header = header::decode(&page[16..88])?;
        let geometry = Geometry::of(&header);
        let told = [u64_at(page, 88), u64_at(page, 96), u64_at(page, 104)];
        (told == [geometry.table_at, geometry.data_at, geometry.file_len()])
            .then_some((header, geometry))
    }
}

#[cfg(test)]
mod tests {
    use holdfast_types::{BlobId, FragmentId, FragmentIndex, Generation, Region};

    use super::*;

    fn header() -> FragmentHeader {
        FragmentHeader {
            id: FragmentId {
                blob: BlobId::from_bytes([7; 16]),
                region: Region::parse("north").unwrap(),
                generation: Generation(3),
                index: FragmentIndex(1),
            },
            layout: "4+2".parse().unwrap(),
            blob_len: 3 << 20,
        }
    }

    #[test]
    fn a_head_reads_back_and_each_damaged_byte_is_noticed() {
        let bytes = encode(&header(), &[1, 2, 3, 4, 5, 6]);
        let (found, geometry) = decode(&bytes).unwrap();
        assert_eq!(found, header());
        assert_eq!(geometry.block_at(0), 8192);
        assert_eq!(geometry.block_at(2), 8192 + 2 * 131_072);
        assert_eq!(geometry.file_len(), 8192 + header().len());
        assert_eq!(u64_at(&bytes, geometry.entry_at(5) as usize), 6);
        for at in 0..HEAD_LEN {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert_eq!(decode(&damaged), Err(BadHead::Checksum), "byte {at}");
        }
        assert_eq!(decode(&bytes[..4095]), Err(BadHead::Short));
    }

    #[test]
    fn a_newer_version_says_so() {
        let mut bytes = encode(&header(), &[0; 6]);
        put(&mut bytes, 8, &9_u16.to_le_bytes());
        let checksum = checksum::of(&bytes[..CHECKSUM_AT]);
        put(&mut bytes, CHECKSUM_AT, &checksum.to_le_bytes());
        assert_eq!(decode(&bytes), Err(BadHead::Newer(9)));
    }

    /// What version 1 writes must stay what it is: files of it are out there.
    #[test]
    fn version_1_is_frozen() {
        let bytes = encode(&header(), &[1, 2, 3, 4, 5, 6]);
        assert_eq!(checksum::of(&bytes), GOLDEN);
    }

    const GOLDEN: u64 = 14_020_718_348_278_284_420;
}
