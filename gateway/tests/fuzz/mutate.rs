//! Bends valid input.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Makes inputs from valid ones.
pub(crate) struct Mutator {
    random: StdRng,
    seeds: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
    max_len: usize,
}

/// What parsers of text and numbers trip over.
const WORDS: [&str; 34] = [
    "",
    "0",
    "-1",
    "+1",
    "00",
    "1e9",
    "65536",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999",
    " ",
    "\t",
    "\r\n",
    "\n",
    "\r\n\r\n",
    "\0",
    "%00",
    "%",
    "%2",
    "%zz",
    "%2F",
    "%25",
    "+",
    ",",
    ";",
    "=",
    "\"",
    "\\",
    "\u{feff}",
    "\u{1f980}",
    "null",
];

impl Mutator {
    pub(crate) fn new(seed: u64, seeds: &[Vec<u8>], words: &[&str], max_len: usize) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            seeds: seeds.to_vec(),
            words: WORDS
                .iter()
                .chain(words)
                .map(|word| word.as_bytes().to_vec())
                .collect(),
            max_len,
        }
    }

    /// One to eight changes to a valid input.
    pub(crate) fn input(&mut self) -> Vec<u8> {
        let mut input = self.pick(|m| &m.seeds);
        // Few changes reach deep, many reach far.
        let changes = 1 << self.random.random_range(0..4);
        for _ in 0..self.random.random_range(1..=changes) {
            self.change(&mut input);
        }
        input.truncate(self.max_len);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let (from, to) = self.range(input.len());
        match self.random.random_range(0..10) {
            0 if from < input.len() => input[from] ^= 1 << self.random.random_range(0..8),
            1 if from < input.len() => input[from] = self.random.random(),
            2 => drop(input.drain(from..to)),
            3 => input.truncate(from),
            4 => {
                let word = self.pick(|m| &m.words);
                input.splice(from..from, word);
            }
            5 => {
                let word = self.pick(|m| &m.words);
                input.splice(from..to, word);
            }
            6 => {
                let piece = input[from..to].to_vec();
                let times = 1 << self.random.random_range(0..10);
                let room = (self.max_len.saturating_sub(input.len())) / piece.len().max(1);
                let piece = piece.repeat(room.min(times));
                input.splice(to..to, piece);
            }
            7 => {
                let other = self.pick(|m| &m.seeds);
                let (other_from, other_to) = self.range(other.len());
                input.splice(from..to, other[other_from..other_to].iter().copied());
            }
            8 => {
                let (second, _) = self.range(input.len());
                let moved: Vec<u8> = input.drain(from..to).collect();
                let at = second.min(input.len());
                input.splice(at..at, moved);
            }
            _ => input[from..to].reverse(),
        }
    }

    fn pick(&mut self, from: impl Fn(&Self) -> &Vec<Vec<u8>>) -> Vec<u8> {
        let count = from(self).len();
        let at = self.random.random_range(0..count);
        from(self)[at].clone()
    }

    /// A range, mostly a short one.
    fn range(&mut self, len: usize) -> (usize, usize) {
        let from = self.random.random_range(0..=len);
        let most = if self.random.random_range(0..8) == 0 {
            len
        } else {
            8
        };
        let to = from + self.random.random_range(0..=most);
        (from, to.min(len))
    }
}
