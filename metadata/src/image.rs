//! Everything that the metadata knows, as one stream that either database can write and read.
//!
//! An *image* is a consistent copy of all rows: what `admin metadata backup` makes, and what the
//! journal on the drives starts from. It carries its format's version, the schema that it was
//! taken under, where in the metadata's history it was taken, and checksums; it is valid only with
//! its end. `docs/formats.md` describes every byte.

mod cell;
mod dump;
mod frames;
mod load;
mod tables;

pub(crate) use cell::{Cell, Malformed, Reader as CellReader, put_cell};
pub(crate) use dump::{About, dump};
pub use frames::{ImageError, ImageInfo, ImageReader, Source};
pub(crate) use load::{Target, arguments, insert_sqlite, load};
pub(crate) use tables::{Schema, Table, schema_of_sqlite};

/// The checksum of everything that Holdfast writes: CRC-64/NVME.
pub(crate) fn checksum(parts: &[&[u8]]) -> u64 {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme);
    for part in parts {
        digest.update(part);
    }
    digest.finalize()
}
