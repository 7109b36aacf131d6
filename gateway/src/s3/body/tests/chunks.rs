//! `aws-chunked`: read however it is cut, and refused whatever is changed in it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures::StreamExt;
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};

use super::{
    Pieces, Upload, crc32c_line, data, replaced, signed_chunks, signed_trailer_upload,
    signed_upload, unsigned_trailer_upload,
};
use crate::s3::body::chunked::ChunkedDecoder;
use crate::s3::body::object_body;
use crate::s3::op::body::{BodyClaims, ChecksumClaim};
use crate::s3::op::checksum::ChecksumAlgorithm;
use crate::s3::sigv4::PayloadMode;

#[tokio::test]
async fn the_published_chunked_upload_is_read() {
    let tail = "0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n\
                x-amz-checksum-crc32c:sOO8/Q==\r\n\
                x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n";
    let wire = [
        b"10000;chunk-signature=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2\r\n",
        &vec![b'a'; 65536][..],
        b"\r\n400;chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7\r\n",
        &vec![b'a'; 1024],
        b"\r\n",
        tail.as_bytes(),
    ]
    .concat();
    let upload = Upload::chunked(PayloadMode::SignedChunksTrailer, 66560, wire);
    assert_eq!(upload.verdict().await, "ok");
    let (read, digests) = upload.read(10_000).await.unwrap();
    assert_eq!(read, vec![b'a'; 66560]);
    assert_eq!(digests.checksum.text(), "sOO8/Q==");
}

#[tokio::test]
async fn signed_chunks_come_through() {
    let data = data(20_000);
    for upload in [
        signed_upload(&[&data[..8192], &data[8192..16384], &data[16384..]]),
        signed_upload(&[&data]),
        signed_trailer_upload(&[&data[..8192], &data[8192..]], &crc32c_line(&data)),
        unsigned_trailer_upload(&data, 1),
        unsigned_trailer_upload(&data, 1 << 20),
    ] {
        assert_eq!(upload.verdict().await, "ok");
        assert_eq!(upload.read(999).await.unwrap().0, data);
    }
    for upload in [
        signed_upload(&[]),
        signed_trailer_upload(&[], &crc32c_line(b"")),
    ] {
        assert_eq!(upload.read(999).await.unwrap().0, b"");
    }
}

#[tokio::test]
async fn chunks_that_are_changed_dropped_moved_or_added_are_refused() {
    let data = data(32768);
    let parts: Vec<&[u8]> = data.chunks(8192).collect();
    let chunks = signed_chunks(&parts);
    let upload = |wire: Vec<&Vec<u8>>| {
        let wire = wire.into_iter().flatten().copied().collect();
        Upload::chunked(PayloadMode::SignedChunks, data.len(), wire)
    };
    let [c0, c1, c2, c3, last] = &chunks[..] else {
        panic!("five chunks")
    };
    assert_eq!(upload(vec![c0, c1, c2, c3, last]).verdict().await, "ok");

    for index in 0..4 {
        let mut flipped = chunks.clone();
        let middle = flipped[index].len() / 2;
        flipped[index][middle] ^= 1;
        let verdict = upload(flipped.iter().collect()).verdict().await;
        assert_eq!(
            verdict, "403 SignatureDoesNotMatch",
            "one bit of chunk {index}"
        );
    }
    for (wire, expected) in [
        (vec![c0, c2, c1, c3, last], "403 SignatureDoesNotMatch"),
        (vec![c0, c1, c1, c3, last], "403 SignatureDoesNotMatch"),
        (vec![c0, c2, c3, last], "403 SignatureDoesNotMatch"),
        (vec![c0, c1, c2, last], "403 SignatureDoesNotMatch"),
        (vec![c0, c1, c2, c3], "400 IncompleteBody"),
        (vec![c0, c1, c2], "400 IncompleteBody"),
        (vec![], "400 IncompleteBody"),
        (
            vec![c0, c1, c2, c3, last, last],
            "400 MalformedTrailerError",
        ),
        (vec![c0, c1, c2, c3, last, c0], "400 MalformedTrailerError"),
        (vec![c0, c1, c2, c3, c3, last], "400 IncompleteBody"),
    ] {
        let lens: Vec<usize> = wire.iter().map(|chunk| chunk.len()).collect();
        assert_eq!(upload(wire).verdict().await, expected, "{lens:?}");
    }
    // A whole, rightly signed, shorter body is not the one that the head announced.
    let shorter = signed_chunks(&parts[..3]).concat();
    let shorter = Upload::chunked(PayloadMode::SignedChunks, data.len(), shorter);
    assert_eq!(shorter.verdict().await, "400 IncompleteBody");
}

#[tokio::test]
async fn a_body_that_is_cut_anywhere_is_incomplete() {
    let data = data(9000);
    let signed = signed_upload(&[&data[..8192], &data[8192..]]);
    let signed_trailer = signed_trailer_upload(&[&data], &crc32c_line(&data));
    let unsigned = unsigned_trailer_upload(&data, 5000);
    let plain = Upload::plain(&data);
    for upload in [signed, signed_trailer, unsigned, plain] {
        // The last line ends may be left out, as some clients do.
        let needed = upload.wire.trim_ascii_end().len();
        for cut in (0..needed)
            .step_by(97)
            .chain(needed.saturating_sub(200)..needed)
        {
            let cut_off = Upload {
                wire: upload.wire[..cut].to_vec(),
                ..upload.clone()
            };
            let (_, error) = cut_off.read(4096).await.expect_err("it is not whole");
            let codes = [
                "IncompleteBody",
                "MalformedTrailerError",
                // Cut in the middle of a trailer's value.
                "InvalidRequest",
                "SignatureDoesNotMatch",
            ];
            let code = error.code().as_str();
            assert!(codes.contains(&code), "{code} at {cut} of {needed}");
            if cut < needed.saturating_sub(200) {
                assert_eq!(code, "IncompleteBody", "{cut} of {needed}");
            }
        }
    }
}

#[tokio::test]
async fn malformed_chunks_are_refused() {
    let good = unsigned_trailer_upload(b"0123456789", 10);
    let signed = signed_upload(&[b"0123456789"]);
    let long_extension = format!("A;{}\r\n", "e".repeat(5000));
    for (upload, from, to, expected) in [
        (&good, "A\r\n", "a\r\n", "ok"),
        (&good, "A\r\n", "0000a\r\n", "ok"),
        (&good, "A\r\n", "A;name=value\r\n", "ok"),
        (&good, "A\r\n", "A\n", "400 InvalidRequest"),
        (&good, "A\r\n", " A\r\n", "400 InvalidRequest"),
        (&good, "A\r\n", "0xA\r\n", "400 InvalidRequest"),
        (&good, "A\r\n", "-A\r\n", "400 InvalidRequest"),
        (&good, "A\r\n", "+A\r\n", "400 InvalidRequest"),
        (&good, "A\r\n", "\r\n", "400 InvalidRequest"),
        (
            &good,
            "A\r\n",
            "FFFFFFFFFFFFFFFFFFFF\r\n",
            "400 InvalidRequest",
        ),
        (&good, "A\r\n", "FFFFFFFFFFFFFFF\r\n", "400 IncompleteBody"),
        (&good, "A\r\n", "B\r\n", "400 IncompleteBody"),
        (&good, "A\r\n", "9\r\n", "400 InvalidRequest"),
        (&good, "A\r\n", &long_extension, "400 InvalidRequest"),
        (&good, "9\r\n0\r\n", "9\n0\r\n", "400 InvalidRequest"),
        (
            &good,
            "0\r\nx-amz",
            "0\r\nx-amz-meta-a:b\r\nx-amz",
            "400 MalformedTrailerError",
        ),
        (
            &good,
            "x-amz-checksum-crc32c",
            "x-amz-checksum-crc32",
            "400 MalformedTrailerError",
        ),
        (
            &good,
            "x-amz-checksum-crc32c:",
            "x-amz-checksum-crc32c:A",
            "400 InvalidRequest",
        ),
        (
            &signed,
            "a;chunk-signature=",
            "a;signature=",
            "400 InvalidRequest",
        ),
        (
            &signed,
            "a;chunk-signature=",
            "a;chunk-signature=x",
            "403 SignatureDoesNotMatch",
        ),
        (&signed, "0;chunk-signature=", "0;x=", "400 InvalidRequest"),
    ] {
        let wire = replaced(&upload.wire, from, to);
        let changed = Upload {
            wire,
            ..upload.clone()
        };
        assert_eq!(changed.verdict().await, expected, "{from:?} -> {to:?}");
    }
}

#[tokio::test]
async fn a_trailer_is_announced_sent_signed_and_right() {
    let data = data(9000);
    let good = signed_trailer_upload(&[&data], &crc32c_line(&data));
    assert_eq!(good.verdict().await, "ok");
    let wrong_value = signed_trailer_upload(&[&data], &crc32c_line(b"other"));
    assert_eq!(wrong_value.verdict().await, "400 BadDigest");
    let unsigned_wrong = {
        let upload = unsigned_trailer_upload(&data, 4096);
        let wire = replaced(&upload.wire, &crc32c_line(&data), &crc32c_line(b"other"));
        Upload { wire, ..upload }
    };
    assert_eq!(unsigned_wrong.verdict().await, "400 BadDigest");
    // The value is right, but is not what was signed.
    let swapped = signed_trailer_upload(&[&data], &crc32c_line(b"other"));
    let swapped = Upload {
        wire: replaced(&swapped.wire, &crc32c_line(b"other"), &crc32c_line(&data)),
        ..swapped
    };
    assert_eq!(swapped.verdict().await, "403 SignatureDoesNotMatch");
    let unsigned = Upload {
        wire: replaced(
            &good.wire,
            "x-amz-trailer-signature",
            "x-amz-trailer-signaturx",
        ),
        ..good.clone()
    };
    assert_eq!(unsigned.verdict().await, "400 MalformedTrailerError");
    let not_announced = Upload {
        claims: BodyClaims::default(),
        ..good.clone()
    };
    assert_eq!(not_announced.verdict().await, "400 InvalidRequest");
    let another = BodyClaims {
        checksum: ChecksumClaim::Trailer(ChecksumAlgorithm::Sha1),
        ..BodyClaims::default()
    };
    let announced_another = Upload {
        claims: another.clone(),
        ..good
    };
    assert_eq!(
        announced_another.verdict().await,
        "400 MalformedTrailerError"
    );
    let no_mode = Upload {
        claims: another,
        ..Upload::plain(b"")
    };
    assert_eq!(no_mode.verdict().await, "400 InvalidRequest");
    let never_ends = unsigned_trailer_upload(b"x", 1);
    let never_ends = Upload {
        wire: [&never_ends.wire[..], "\r\n".repeat(3000).as_bytes()].concat(),
        ..never_ends
    };
    assert_eq!(never_ends.verdict().await, "400 MalformedTrailerError");
}

#[tokio::test]
async fn small_signed_chunks_are_refused_as_aws_does() {
    let data = data(8192);
    let upload = signed_upload(&[&data[..8191], &data[8191..]]);
    assert_eq!(upload.verdict().await, "403 InvalidChunkSizeError");
}

#[tokio::test]
async fn a_chunk_of_a_gibibyte_is_not_buffered() {
    const PIECE: usize = 64 << 10;
    const PIECES: usize = 512;
    let announced = 1_u64 << 30;
    let mut wire = format!("{announced:x};chunk-signature={}\r\n", "0".repeat(64)).into_bytes();
    wire.extend_from_slice(&vec![b'x'; PIECE * PIECES]);
    let raw = Pieces::of(&wire, PIECE);
    let taken = Arc::clone(&raw.taken);
    let upload = Upload::chunked(PayloadMode::SignedChunks, 1 << 30, Vec::new());
    let headers = upload.headers();
    let mut body = object_body(
        &headers,
        &upload.authenticated(),
        BodyClaims::default(),
        raw,
    )
    .unwrap();
    let mut given = 0;
    loop {
        match body.stream.next().await.unwrap() {
            Ok(piece) => given += piece.len(),
            Err(error) => {
                assert_eq!(error.code().as_str(), "IncompleteBody");
                break;
            }
        }
        let kept = taken.load(Ordering::Relaxed) - given;
        assert!(
            kept <= 2 * PIECE + 200,
            "{kept} bytes are kept after {given}"
        );
    }
    assert!(
        given >= PIECE * (PIECES - 1),
        "most of it was passed on: {given}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever comes, it is the right bytes or an error, never a panic, never other bytes.
    #[test]
    fn a_damaged_body_is_never_taken_for_another(
        len in 0..30_000_usize,
        piece_len in 1..9000_usize,
        at in any::<proptest::sample::Index>(),
        change in 0..3_u8,
        byte in any::<u8>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let data = data(len);
        let chunks: Vec<&[u8]> = data.chunks(8192).collect();
        for good in [
            signed_upload(&chunks),
            signed_trailer_upload(&chunks, &crc32c_line(&data)),
            unsigned_trailer_upload(&data, 3000),
        ] {
            let mut wire = good.wire.clone();
            let at = at.index(wire.len());
            match change {
                0 => wire[at] = byte,
                1 => wire.insert(at, byte),
                _ => { wire.remove(at); }
            }
            let damaged = Upload { wire, ..good };
            if let Ok((read, _)) = runtime.block_on(damaged.read(piece_len)) {
                prop_assert_eq!(&read, &data);
            }
        }
    }

    /// Any bytes at all: an error or nothing, never a panic, never more than was announced.
    #[test]
    fn noise_is_no_body(
        pieces in vec(vec(any::<u8>(), 0..20), 0..20),
        decoded_len in 0..100_u64,
    ) {
        let mut decoder = ChunkedDecoder::new(decoded_len, None);
        let mut given = 0;
        'pieces: for piece in pieces {
            let mut input = Bytes::from(piece);
            loop {
                match decoder.decode(&mut input) {
                    Ok(Some(data)) => given += data.len() as u64,
                    Ok(None) => break,
                    Err(_) => break 'pieces,
                }
            }
        }
        prop_assert_eq!(given.min(decoded_len), given);
    }
}
