//! Any k of the k + m blocks give every other block back; a broken contract computes nothing.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use holdfast_codec::{Code, Codec, CodecError, Reference};
use proptest::prelude::{Just, Strategy, any, prop, prop_assert_eq, proptest};
use reed_solomon_erasure::galois_8::ReedSolomon;

fn stripe(codec: &Reference, code: Code, data: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let mut parity = vec![vec![0; data[0].len()]; code.m()];
    let inputs: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
    let mut outputs: Vec<&mut [u8]> = parity.iter_mut().map(Vec::as_mut_slice).collect();
    codec.encode(code, &inputs, &mut outputs).unwrap();
    [data, parity].concat()
}

fn rebuilt(
    codec: &Reference,
    code: Code,
    stripe: &[Vec<u8>],
    from: &[usize],
    wanted: &[usize],
) -> Vec<Vec<u8>> {
    let sources: Vec<(usize, &[u8])> = from.iter().map(|&i| (i, stripe[i].as_slice())).collect();
    let mut blocks = vec![vec![0xEE; stripe[0].len()]; wanted.len()];
    let mut missing: Vec<(usize, &mut [u8])> = wanted
        .iter()
        .copied()
        .zip(blocks.iter_mut().map(Vec::as_mut_slice))
        .collect();
    codec.reconstruct(code, &sources, &mut missing).unwrap();
    blocks
}

/// A code, data for it, and an order of its blocks, of which the first `k` will be kept.
fn cases() -> impl Strategy<Value = (Code, Vec<Vec<u8>>, Vec<usize>)> {
    (1..=Code::MAX_K, 0..=Code::MAX_M, 0..200_usize).prop_flat_map(|(k, m, len)| {
        let code = Code::new(k, m).unwrap();
        let block = prop::collection::vec(any::<u8>(), len);
        let data = prop::collection::vec(block, code.k());
        let order = Just((0..code.width()).collect::<Vec<_>>()).prop_shuffle();
        (Just(code), data, order)
    })
}

proptest! {
    #[test]
    fn any_k_blocks_give_all_others((code, data, order) in cases()) {
        let codec = Reference::new();
        let stripe = stripe(&codec, code, data);
        let (kept, lost) = order.split_at(code.k());
        let expected: Vec<_> = lost.iter().map(|&index| stripe[index].clone()).collect();
        prop_assert_eq!(rebuilt(&codec, code, &stripe, kept, lost), expected);
    }

    #[test]
    fn the_crates_own_rebuild_agrees((code, data, order) in cases()) {
        let (kept, lost) = order.split_at(code.k());
        if code.m() > 0 && !data[0].is_empty() {
            let codec = Reference::new();
            let stripe = stripe(&codec, code, data);
            let mut blocks: Vec<Option<Vec<u8>>> = stripe.iter().cloned().map(Some).collect();
            for &index in lost {
                blocks[index] = None;
            }
            ReedSolomon::new(code.k(), code.m()).unwrap().reconstruct(&mut blocks).unwrap();
            let theirs: Vec<_> = lost.iter().map(|&index| blocks[index].clone().unwrap()).collect();
            prop_assert_eq!(rebuilt(&codec, code, &stripe, kept, lost), theirs);
        }
    }
}

#[test]
fn every_loss_of_two_of_six_is_rebuilt() {
    let codec = Reference::new();
    let code = Code::new(4, 2).unwrap();
    let stripe = stripe(
        &codec,
        code,
        (0..4).map(|i| vec![i * 31 + 1, i, 255 - i]).collect(),
    );
    for first in 0..6 {
        for second in first + 1..6 {
            let kept: Vec<usize> = (0..6).filter(|&i| i != first && i != second).collect();
            let blocks = rebuilt(&codec, code, &stripe, &kept, &[first, second]);
            assert_eq!(blocks, [stripe[first].clone(), stripe[second].clone()]);
        }
    }
}

#[test]
fn a_broken_contract_is_named_and_computes_nothing() {
    assert_eq!(Code::new(0, 1), Err(CodecError::Unsupported { k: 0, m: 1 }));
    assert_eq!(
        Code::new(33, 1),
        Err(CodecError::Unsupported { k: 33, m: 1 })
    );
    assert_eq!(
        Code::new(1, 17),
        Err(CodecError::Unsupported { k: 1, m: 17 })
    );

    let codec = Reference::new();
    let code = Code::new(2, 1).unwrap();
    let mut out = [7, 7];
    assert_eq!(
        codec.encode(code, &[&[1, 2]], &mut [&mut out]),
        Err(CodecError::BlockCount {
            what: "data",
            expected: 2,
            found: 1
        })
    );
    assert_eq!(
        codec.encode(code, &[&[1, 2], &[1]], &mut [&mut out]),
        Err(CodecError::BlockLen {
            expected: 2,
            found: 1
        })
    );
    assert_eq!(
        codec.reconstruct(code, &[(0, &[1, 2])], &mut [(1, &mut out)]),
        Err(CodecError::BlockCount {
            what: "source",
            expected: 2,
            found: 1
        })
    );
    assert_eq!(
        codec.reconstruct(code, &[(0, &[1, 2]), (0, &[1, 2])], &mut [(1, &mut out)]),
        Err(CodecError::BlockIndex(0))
    );
    assert_eq!(
        codec.reconstruct(code, &[(0, &[1, 2]), (3, &[1, 2])], &mut [(1, &mut out)]),
        Err(CodecError::BlockIndex(3))
    );
    assert_eq!(out, [7, 7]);
}
