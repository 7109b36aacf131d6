//! Which multiples of `k` given blocks add up to a missing one.
//!
//! With `G` the `(k + m) * k` generator (its first `k` rows are the identity) and `S` the rows of
//! `G` of the `k` sources, the data is `S^-1 * sources`, so block `i` is `G[i] * S^-1 * sources`.
//! Any `k` rows of `G` are independent, so `S` always has an inverse. A kernel of any kind can
//! take its coefficients from here.

use reed_solomon_erasure::galois_8::{div, mul};

/// The parity rows of the generator, row by row, `k` coefficients each.
#[derive(Debug, Clone)]
pub(crate) struct Generator {
    k: usize,
    parity: Vec<u8>,
}

impl Generator {
    /// `parity` has `m` rows of `k` coefficients.
    pub(crate) fn new(k: usize, parity: Vec<u8>) -> Self {
        debug_assert_eq!(parity.len() % k, 0);
        Self { k, parity }
    }

    /// The row of block `index`: how it is made from the data.
    fn row(&self, index: usize) -> Vec<u8> {
        match index.checked_sub(self.k) {
            None => (0..self.k)
                .map(|column| u8::from(column == index))
                .collect(),
            Some(parity) => self.parity[parity * self.k..][..self.k].to_vec(),
        }
    }

    /// For each of `missing`, the coefficients of `sources` (exactly `k`, distinct) that give it.
    pub(crate) fn coefficients(&self, sources: &[usize], missing: &[usize]) -> Vec<Vec<u8>> {
        assert_eq!(sources.len(), self.k, "a decode takes exactly k sources");
        let inverse = invert(sources.iter().map(|&index| self.row(index)).collect());
        missing
            .iter()
            .map(|&index| multiply(&self.row(index), &inverse))
            .collect()
    }
}

/// A row times a square matrix.
fn multiply(row: &[u8], matrix: &[Vec<u8>]) -> Vec<u8> {
    (0..row.len())
        .map(|column| {
            row.iter()
                .zip(matrix)
                .fold(0, |sum, (&factor, line)| sum ^ mul(factor, line[column]))
        })
        .collect()
}

/// The inverse, by Gauss and Jordan: `O(k^3)`, 32 thousand products at most.
fn invert(mut left: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let size = left.len();
    let mut right: Vec<Vec<u8>> = (0..size)
        .map(|row| (0..size).map(|column| u8::from(row == column)).collect())
        .collect();
    for pivot in 0..size {
        let found = (pivot..size)
            .find(|&row| left[row][pivot] != 0)
            .expect("any k distinct rows of the generator are independent");
        left.swap(pivot, found);
        right.swap(pivot, found);
        let factor = left[pivot][pivot];
        for value in left[pivot].iter_mut().chain(&mut right[pivot]) {
            *value = div(*value, factor);
        }
        for row in (0..size).filter(|&row| row != pivot) {
            let factor = left[row][pivot];
            if factor != 0 {
                subtract(&mut left, row, pivot, factor);
                subtract(&mut right, row, pivot, factor);
            }
        }
    }
    right
}

/// `matrix[row] -= factor * matrix[pivot]`
fn subtract(matrix: &mut [Vec<u8>], row: usize, pivot: usize, factor: u8) {
    let subtrahend = matrix[pivot].clone();
    for (value, from) in matrix[row].iter_mut().zip(subtrahend) {
        *value ^= mul(factor, from);
    }
}
