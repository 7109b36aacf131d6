//! The bytes on a drive, without any I/O. `docs/formats.md` describes them for people.
//!
//! All numbers are little-endian. Everything carries a magic, a version, its length and a checksum;
//! a version once released stays readable (its decoder keeps its module, `v1`, when `v2` comes).

pub(crate) mod fragment_file;
pub(crate) mod header;
pub(crate) mod segment;

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array_at(bytes, at))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}

pub(crate) fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}

pub(crate) fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}
