//! The chunk format: what is sealed opens again, in every part; what was changed never does.

use futures::executor::block_on_stream;
use futures::stream;
use proptest::prelude::{ProptestConfig, any, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::Just;

use super::*;
use crate::seal::Seal;
use crate::span::{CHUNK_LEN, sealed_len};

const CHUNK: usize = CHUNK_LEN as usize;
const SEALED: usize = CHUNK + TAG_LEN as usize;

/// Bytes in which every position is different enough to be missed.
fn content(len: usize) -> Vec<u8> {
    (0..len as u64)
        .map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8)
        .collect()
}

fn pieces(bytes: &[u8], piece: usize) -> Vec<Result<Bytes, &'static str>> {
    bytes
        .chunks(piece.max(1))
        .map(|piece| Ok(Bytes::copy_from_slice(piece)))
        .collect()
}

fn seal(bytes: &[u8], key: &DataKey, piece: usize) -> Vec<u8> {
    let sealed = Seal::new(stream::iter(pieces(bytes, piece)), key, bytes.len() as u64);
    block_on_stream(sealed)
        .map(Result::unwrap)
        .flat_map(|piece| piece.to_vec())
        .collect()
}

/// What a reader of `range` gets out of a sealed blob, and how it ends.
fn read(
    sealed: &[u8],
    key: &DataKey,
    content_len: u64,
    range: Range<u64>,
    piece: usize,
) -> (Vec<u8>, Result<(), OpenError<&'static str>>) {
    let open = Open::range(key, content_len, &range, |needed| {
        let end = (needed.end as usize).min(sealed.len());
        let start = (needed.start as usize).min(end);
        stream::iter(pieces(&sealed[start..end], piece))
    });
    let mut bytes = Vec::new();
    for next in block_on_stream(open.unwrap()) {
        match next {
            Ok(piece) => bytes.extend_from_slice(&piece),
            Err(error) => return (bytes, Err(error)),
        }
    }
    (bytes, Ok(()))
}

#[test]
fn every_length_and_every_boundary_comes_back() {
    let key = DataKey::random();
    for len in [1, 2, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 7] {
        let bytes = content(len);
        let sealed = seal(&bytes, &key, 10_000);
        assert_eq!(sealed.len() as u64, sealed_len(len as u64));
        assert_ne!(sealed[..len.min(64)], bytes[..len.min(64)]);
        let near: Vec<usize> = (0..=len / CHUNK + 1)
            .flat_map(|i| [(i * CHUNK).saturating_sub(1), i * CHUNK, i * CHUNK + 1])
            .filter(|at| *at <= len)
            .collect();
        for &start in &near {
            for &end in near.iter().filter(|end| **end > start) {
                let range = start as u64..end as u64;
                let (got, ended) = read(&sealed, &key, len as u64, range, 4_096);
                assert!(ended.is_ok() && got == bytes[start..end], "{start}..{end}");
            }
        }
    }
}

#[test]
fn a_flipped_bit_a_swapped_chunk_and_another_end_are_errors() {
    let key = DataKey::random();
    let len = 3 * CHUNK + 100;
    let bytes = content(len);
    let sealed = seal(&bytes, &key, CHUNK);
    let all = 0..len as u64;
    let fails = |sealed: &[u8], content_len: u64, what: &str| {
        let (got, ended) = read(sealed, &key, content_len, 0..content_len, SEALED);
        assert!(matches!(ended, Err(OpenError::Tampered(_))), "{what}");
        assert!(bytes.starts_with(&got) && got.len() < len, "{what}");
        assert_eq!(got.len() % CHUNK, 0, "only whole, right chunks: {what}");
    };
    // The ends and the middle of each chunk's content and tag.
    for chunk in 0..4 {
        let (from, to) = (chunk * SEALED, ((chunk + 1) * SEALED).min(sealed.len()));
        for at in [from, from + 17, to - 17, to - 16, to - 1] {
            for bit in 0..8 {
                let mut changed = sealed.clone();
                changed[at] ^= 1 << bit;
                fails(&changed, all.end, &format!("bit {bit} of byte {at}"));
            }
        }
    }
    let mut swapped = sealed.clone();
    swapped[..2 * SEALED].rotate_left(SEALED);
    fails(&swapped, all.end, "two chunks swapped");
    let repeated = [&sealed[..SEALED], &sealed[..SEALED], &sealed[2 * SEALED..]].concat();
    fails(&repeated, all.end, "a chunk repeated");
    fails(&sealed[..sealed.len() - 1], all.end, "a byte cut off");
    fails(&sealed[..3 * SEALED], all.end, "the last chunk cut off");
    // Whoever also changes the length that the metadata knows makes another chunk the last one.
    fails(
        &sealed[..3 * SEALED],
        3 * CHUNK as u64,
        "cut at a chunk's end",
    );
    fails(&sealed, all.end - 1, "a byte fewer");
    let longer = [&sealed[..], &sealed[3 * SEALED..]].concat();
    fails(&longer, all.end + 100, "a chunk appended");
    let (got, ended) = read(&sealed, &DataKey::random(), all.end, all, SEALED);
    assert!(got.is_empty() && ended.is_err(), "another key");
}

#[test]
fn content_of_another_length_or_a_bad_end_never_makes_a_sealed_blob() {
    let key = DataKey::random();
    let total = |items: Vec<Result<Bytes, &'static str>>, len: u64| {
        let mut total = 0;
        for item in block_on_stream(Seal::new(stream::iter(items), &key, len)) {
            match item {
                Ok(piece) => total += piece.len() as u64,
                Err(error) => return Err((error, total)),
            }
        }
        Ok(total)
    };
    for len in [10, CHUNK_LEN, CHUNK_LEN + 10, 3 * CHUNK_LEN] {
        let bytes = content(len as usize);
        for (announced, what) in [(len + 1, "short"), (len + CHUNK_LEN, "much short")] {
            let sealed = total(pieces(&bytes, 1_000), announced).unwrap();
            assert!(sealed < sealed_len(announced), "{what}");
        }
        for announced in [len - 1, len / 2] {
            for piece in [1_000, usize::MAX] {
                let sealed = total(pieces(&bytes, piece), announced).unwrap();
                assert!(sealed > sealed_len(announced), "too long");
            }
        }
        let mut bad_end = pieces(&bytes, 1_000);
        bad_end.push(Err("bad digest"));
        let (error, sealed) = total(bad_end, len).unwrap_err();
        assert_eq!(error, "bad digest");
        assert!(sealed < sealed_len(len), "the last chunk is held back");
    }
}

#[test]
fn a_source_that_fails_ends_the_read() {
    let key = DataKey::random();
    let bytes = content(2 * CHUNK);
    let sealed = seal(&bytes, &key, CHUNK);
    let items = vec![
        Ok(Bytes::copy_from_slice(&sealed[..SEALED + 5])),
        Err("a drive"),
    ];
    let open = Open::range(&key, 2 * CHUNK_LEN, &(0..2 * CHUNK_LEN), |_| {
        stream::iter(items)
    });
    let got: Vec<_> = block_on_stream(open.unwrap()).collect();
    assert_eq!(got.len(), 2);
    assert_eq!(got[0].as_ref().unwrap(), &bytes[..CHUNK]);
    assert!(matches!(got[1], Err(OpenError::Source("a drive"))));
}

/// What was once written must stay readable: the format never changes. Another implementation of
/// AES-GCM (Python's `cryptography`) made these bytes.
#[test]
fn the_golden_blob_opens() {
    let key = DataKey::fixed(7);
    let bytes = content(CHUNK + 3);
    let sealed = seal(&bytes, &key, 999);
    assert_eq!(
        hex::encode(&sealed[..16]),
        "614698688385bebb1088a1a8ae73eceb"
    );
    assert_eq!(
        hex::encode(&sealed[CHUNK..SEALED]),
        "533f95ee591cc9fe5ed56b66815648ce"
    );
    assert_eq!(
        hex::encode(&sealed[SEALED..]),
        "516026dabe6f1b43c090fef45cef508b893d12"
    );
    let (got, ended) = read(&sealed, &key, bytes.len() as u64, 0..bytes.len() as u64, 7);
    assert!(ended.is_ok() && got == bytes);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_range_in_any_pieces_is_what_was_sealed(
        len in prop_oneof![1..200usize, CHUNK - 2..CHUNK + 3, Just(2 * CHUNK), 1..4 * CHUNK],
        a in any::<u64>(),
        b in any::<u64>(),
        pieces_in in 1..100_000usize,
        pieces_out in 1..100_000usize,
    ) {
        let key = DataKey::fixed(9);
        let bytes = content(len);
        let sealed = seal(&bytes, &key, pieces_in);
        let start = (a % len as u64) as usize;
        let end = start + 1 + (b % (len - start) as u64) as usize;
        let range = start as u64..end as u64;
        let (got, ended) = read(&sealed, &key, len as u64, range, pieces_out);
        prop_assert_eq!(ended.is_ok(), true);
        prop_assert_eq!(got, &bytes[start..end]);
    }

    #[test]
    fn a_change_anywhere_is_an_error_and_gives_no_wrong_byte(
        len in 1..3 * CHUNK,
        at in any::<u64>(),
        flip in 1..=255u8,
    ) {
        let key = DataKey::fixed(9);
        let bytes = content(len);
        let mut sealed = seal(&bytes, &key, CHUNK);
        let at = (at % sealed.len() as u64) as usize;
        sealed[at] ^= flip;
        let (got, ended) = read(&sealed, &key, len as u64, 0..len as u64, SEALED);
        prop_assert_eq!(ended.is_err(), true);
        prop_assert_eq!(&got[..], &bytes[..at / SEALED * CHUNK]);
    }
}
