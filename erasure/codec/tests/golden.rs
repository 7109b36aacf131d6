//! The code is part of the disk format: these vectors say what every codec must compute.
//!
//! `golden/parity.txt` has one line for each (k, m), `k m len seed sha256(parity blocks in order)`,
//! over data from [`data`]. It is written once, by `HOLDFAST_WRITE_GOLDEN=1 cargo test`; a change
//! in it would mean that blobs that are already on drives could not be read any more.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;

use holdfast_codec::{Code, Codec, Reference};
use sha2::{Digest, Sha256};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/parity.txt");

/// SplitMix64, eight little-endian bytes a step: `k` blocks of `len` bytes, one after the other.
fn data(seed: u64, k: usize, len: usize) -> Vec<Vec<u8>> {
    let mut state = seed;
    let mut bytes = std::iter::from_fn(move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Some((word ^ (word >> 31)).to_le_bytes())
    })
    .flatten();
    (0..k).map(|_| bytes.by_ref().take(len).collect()).collect()
}

fn parity(codec: &dyn Codec, code: Code, data: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut parity = vec![vec![0xEE; data[0].len()]; code.m()];
    let data: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
    let mut out: Vec<&mut [u8]> = parity.iter_mut().map(Vec::as_mut_slice).collect();
    codec.encode(code, &data, &mut out).unwrap();
    parity
}

fn vectors(codec: &dyn Codec) -> String {
    let mut text = String::from(
        "# k m block-length seed sha256-of-parity; data: see tests/golden.rs. Never change a line.\n",
    );
    for k in 1..=Code::MAX_K {
        for m in 0..=Code::MAX_M {
            let code = Code::new(k, m).unwrap();
            let seed = u64::from(k) << 8 | u64::from(m);
            // Odd lengths of all residues: kernels go wrong in the tail of a block.
            let len = 64 + usize::from(k) * 17 + usize::from(m);
            let parity = parity(codec, code, &data(seed, code.k(), len)).concat();
            let hash = hex::encode(Sha256::digest(&parity));
            writeln!(text, "{k} {m} {len} {seed} {hash}").unwrap();
        }
    }
    text
}

#[test]
fn the_reference_matches_the_golden_vectors() {
    let found = vectors(&Reference::new());
    if std::env::var_os("HOLDFAST_WRITE_GOLDEN").is_some() {
        std::fs::write(GOLDEN, &found).unwrap();
    }
    let golden = std::fs::read_to_string(GOLDEN).unwrap();
    assert_eq!(golden.lines().count(), 1 + 32 * 17);
    for (found, golden) in found.lines().zip(golden.lines()) {
        assert_eq!(found, golden);
    }
}

#[test]
fn the_code_is_the_one_of_the_field() {
    // The vector that the Backblaze, klauspost and reed-solomon-erasure suites share.
    let data: Vec<Vec<u8>> = [[0, 1], [4, 5], [2, 3], [6, 7], [8, 9]]
        .map(Vec::from)
        .into();
    let expected: Vec<Vec<u8>> = [[12, 13], [10, 11], [14, 15], [90, 91], [94, 95]]
        .map(Vec::from)
        .into();
    assert_eq!(
        parity(&Reference::new(), Code::new(5, 5).unwrap(), &data),
        expected
    );
}
