//! The reference: plain and portable, on `reed-solomon-erasure`. Faster kernels must match it.
//!
//! Parity comes from that crate. Its own rebuild wants every block mutable and makes all missing
//! ones, so ours takes the coefficients from [`Generator`] and the crate's table multiplication;
//! the tests hold both against each other.

use std::sync::OnceLock;

use reed_solomon_erasure::galois_8::{ReedSolomon, mul_slice, mul_slice_xor};

use crate::decode::Generator;
use crate::{Code, Codec, CodecError, checked_encode, checked_reconstruct};

/// The reference codec. Matrices are built once for each `(k, m)` and kept.
#[derive(Debug)]
pub struct Reference {
    matrices: Box<[OnceLock<Matrices>]>,
}

#[derive(Debug)]
struct Matrices {
    /// `None` without parity, which the crate does not know.
    encoder: Option<ReedSolomon>,
    generator: Generator,
}

impl Default for Reference {
    fn default() -> Self {
        Self::new()
    }
}

impl Reference {
    /// A codec that has built no matrix yet.
    #[must_use]
    pub fn new() -> Self {
        let codes = usize::from(Code::MAX_K) * (usize::from(Code::MAX_M) + 1);
        Self {
            matrices: (0..codes).map(|_| OnceLock::new()).collect(),
        }
    }

    fn matrices(&self, code: Code) -> &Matrices {
        let slot = (code.k() - 1) * (usize::from(Code::MAX_M) + 1) + code.m();
        self.matrices[slot].get_or_init(|| Matrices::build(code))
    }
}

impl Matrices {
    fn build(code: Code) -> Self {
        if code.m() == 0 {
            return Self {
                encoder: None,
                generator: Generator::new(code.k(), Vec::new()),
            };
        }
        let encoder = ReedSolomon::new(code.k(), code.m()).expect("k >= 1, m >= 1, k + m <= 48");
        // Byte `j` of data block `j` is 1 and all else 0: byte `j` of parity `i` is then the
        // coefficient of data block `j` in it, so the parity blocks are the generator's rows.
        let unit: Vec<Vec<u8>> = (0..code.k())
            .map(|row| {
                (0..code.k())
                    .map(|column| u8::from(row == column))
                    .collect()
            })
            .collect();
        let mut rows = vec![vec![0; code.k()]; code.m()];
        encoder
            .encode_sep(&unit, &mut rows)
            .expect("k blocks of k bytes and m rows of k bytes");
        Self {
            encoder: Some(encoder),
            generator: Generator::new(code.k(), rows.concat()),
        }
    }
}

impl Codec for Reference {
    fn encode(
        &self,
        code: Code,
        data: &[&[u8]],
        parity: &mut [&mut [u8]],
    ) -> Result<(), CodecError> {
        let len = checked_encode(code, data, parity)?;
        if let (Some(encoder), true) = (&self.matrices(code).encoder, len > 0) {
            encoder
                .encode_sep(data, parity)
                .expect("the shape was checked");
        }
        Ok(())
    }

    fn reconstruct(
        &self,
        code: Code,
        sources: &[(usize, &[u8])],
        missing: &mut [(usize, &mut [u8])],
    ) -> Result<(), CodecError> {
        checked_reconstruct(code, sources, missing)?;
        let sources = &sources[..code.k()];
        let from: Vec<usize> = sources.iter().map(|source| source.0).collect();
        let wanted: Vec<usize> = missing.iter().map(|block| block.0).collect();
        let coefficients = self.matrices(code).generator.coefficients(&from, &wanted);
        for ((_, block), row) in missing.iter_mut().zip(&coefficients) {
            mul_slice(row[0], sources[0].1, block);
            for (source, &factor) in sources.iter().zip(row).skip(1) {
                if factor != 0 {
                    mul_slice_xor(factor, source.1, block);
                }
            }
        }
        Ok(())
    }
}
