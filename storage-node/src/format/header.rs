//! What a fragment says of itself, in 72 bytes: the same in fragment files and in segment records.
//!
//! ```text
//!  0 16 blob id              52  1 m (0 for copies)
//! 16  1 length of the region 53  3 zero
//! 17 32 region, then zeros   56  4 generation
//! 49  1 index                60  4 block length (0 for copies)
//! 50  1 1 copies, 2 erasure  64  8 blob length
//! 51  1 n or k
//! ```

use holdfast_types::{
    BlobId, FragmentHeader, FragmentId, FragmentIndex, Generation, Layout, Region,
};

use super::{array_at, put, u32_at, u64_at};

/// Bytes of an encoded header.
pub(crate) const LEN: usize = 72;
const COPIES: u8 = 1;
const ERASURE: u8 = 2;

pub(crate) fn encode(header: &FragmentHeader) -> [u8; LEN] {
    let mut bytes = [0; LEN];
    let region = header.id.region.as_str().as_bytes();
    let (kind, k, m, block_len) = match header.layout {
        Layout::Copies { n } => (COPIES, n, 0, 0),
        Layout::Erasure { k, m, block_len } => (ERASURE, k, m, block_len),
    };
    put(&mut bytes, 0, header.id.blob.as_bytes());
    bytes[16] = region.len() as u8;
    put(&mut bytes, 17, region);
    bytes[49] = header.id.index.0;
    bytes[50] = kind;
    bytes[51] = k;
    bytes[52] = m;
    put(&mut bytes, 56, &header.id.generation.0.to_le_bytes());
    put(&mut bytes, 60, &block_len.to_le_bytes());
    put(&mut bytes, 64, &header.blob_len.to_le_bytes());
    bytes
}

/// `None` if the bytes are no header. They are verified by a checksum before.
pub(crate) fn decode(bytes: &[u8]) -> Option<FragmentHeader> {
    if bytes.len() < LEN {
        return None;
    }
    let region = bytes.get(17..17 + usize::from(bytes[16]).min(Region::MAX_LEN))?;
    let layout = match bytes[50] {
        COPIES => Layout::Copies { n: bytes[51] },
        ERASURE => Layout::Erasure {
            k: bytes[51],
            m: bytes[52],
            block_len: u32_at(bytes, 60),
        },
        _ => return None,
    };
    let header = FragmentHeader {
        id: FragmentId {
            blob: BlobId::from_bytes(array_at(bytes, 0)),
            region: Region::parse(std::str::from_utf8(region).ok()?).ok()?,
            generation: Generation(u32_at(bytes, 56)),
            index: FragmentIndex(bytes[49]),
        },
        layout: layout.checked().ok()?,
        blob_len: u64_at(bytes, 64),
    };
    // One header has one encoding: what does not encode to the same bytes is something newer.
    (encode(&header) == bytes[..LEN]).then_some(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back() {
        for layout in ["4+2", "32+16/4194304", "copies:17", "1+0/4096"] {
            let header = FragmentHeader {
                id: FragmentId {
                    blob: BlobId::generate(),
                    region: Region::parse(&"r".repeat(32)).unwrap(),
                    generation: Generation(u32::MAX),
                    index: FragmentIndex(47),
                },
                layout: layout.parse().unwrap(),
                blob_len: u64::MAX,
            };
            assert_eq!(decode(&encode(&header)), Some(header.clone()));
            let mut odd = encode(&header);
            odd[54] = 1;
            assert_eq!(
                decode(&odd),
                None,
                "a field that this version does not know"
            );
        }
    }
}
