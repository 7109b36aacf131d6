//! A notice: which drives hold the journal since which term. Every drive that can take it has one.
//!
//! It is what tells a drive that was away from one that is current, and an old database from the
//! present one: whoever finds a notice of a later epoch or term than its own is behind. Text, one
//! field a line, like a drive's identity.

use std::fmt::Write as _;

use holdfast_types::{ClusterId, DriveId};

use crate::image::checksum;

const MAGIC: &str = "holdfast-journal";
const VERSION: u32 = 1;
/// Longer ones are not read: 64 bytes for each of a thousand drives.
pub(super) const MAX_LEN: usize = 64 << 10;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notice {
    pub(super) cluster: ClusterId,
    pub(super) epoch: u64,
    pub(super) term: u64,
    /// Drives that the cluster is able to lose.
    pub(super) may_lose: usize,
    /// Drives that must have had this before it counted.
    pub(super) needed: usize,
    /// All drives of the cluster.
    pub(super) drives: Vec<DriveId>,
    /// Those that every group of this term is on.
    pub(super) holders: Vec<DriveId>,
}

impl Notice {
    /// Its bytes.
    pub(super) fn encode(&self) -> String {
        let mut text = format!(
            "{MAGIC}\nversion {VERSION}\ncluster {}\nepoch {}\nterm {}\nmay-lose {}\nneeded {}\n",
            self.cluster, self.epoch, self.term, self.may_lose, self.needed
        );
        for (word, drives) in [("drive", &self.drives), ("holder", &self.holders)] {
            for drive in drives {
                // Writing to a String does not fail.
                let _infallible = writeln!(text, "{word} {drive}");
            }
        }
        let sum = checksum(&[text.as_bytes()]);
        let _infallible = writeln!(text, "checksum {sum:016x}");
        text
    }

    /// What `bytes` say; else what is wrong with them.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not text")?;
        let (body, sum) = text.rsplit_once("checksum ").ok_or("it has no checksum")?;
        if sum != format!("{:016x}\n", checksum(&[body.as_bytes()])) {
            return Err("its checksum does not match".to_owned());
        }
        let mut lines = body.lines();
        if lines.next() != Some(MAGIC) {
            return Err("it does not begin with `holdfast-journal`".to_owned());
        }
        let mut field = |name: &str| {
            let line = lines.next().and_then(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.strip_prefix(' '))
                .ok_or_else(|| format!("it has no {name}"))
        };
        let version = field("version")?;
        if version != VERSION.to_string() {
            return Err(format!(
                "it has format version {version}, and this program reads up to {VERSION}"
            ));
        }
        let cluster = field("cluster")?;
        let cluster = cluster.parse().map_err(|_| "its cluster is no id")?;
        let mut number = |name: &str| {
            let text = field(name)?;
            text.parse::<u64>()
                .map_err(|_| format!("its {name} is no number"))
        };
        let (epoch, term) = (number("epoch")?, number("term")?);
        let (may_lose, needed) = (number("may-lose")? as usize, number("needed")? as usize);
        let (mut drives, mut holders) = (Vec::new(), Vec::new());
        for line in lines {
            let (list, id) = match line.split_once(' ') {
                Some(("drive", id)) => (&mut drives, id),
                Some(("holder", id)) => (&mut holders, id),
                _ => return Err("it has a line of no known kind".to_owned()),
            };
            list.push(id.parse().map_err(|_| "a drive is no id")?);
        }
        Ok(Self {
            cluster,
            epoch,
            term,
            may_lose,
            needed,
            drives,
            holders,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_reads_back_and_each_damaged_byte_is_noticed() {
        let drives: Vec<DriveId> = (1..=3).map(|n| DriveId::from_bytes([n; 16])).collect();
        let notice = Notice {
            cluster: ClusterId::from_bytes([0xAB; 16]),
            epoch: 2,
            term: 7,
            may_lose: 1,
            needed: 2,
            holders: drives[..2].to_vec(),
            drives,
        };
        let text = notice.encode();
        assert_eq!(Notice::decode(text.as_bytes()), Ok(notice));
        for at in 0..text.len() {
            let mut damaged = text.clone().into_bytes();
            damaged[at] ^= 1;
            assert!(Notice::decode(&damaged).is_err(), "byte {at}");
            assert!(
                Notice::decode(&text.as_bytes()[..at]).is_err(),
                "cut at {at}"
            );
        }
    }

    /// What version 1 writes must stay what it is.
    #[test]
    fn version_1_is_frozen() {
        let notice = Notice {
            cluster: ClusterId::from_bytes([0xAB; 16]),
            epoch: 1,
            term: 2,
            may_lose: 1,
            needed: 2,
            drives: vec![DriveId::from_bytes([1; 16])],
            holders: vec![DriveId::from_bytes([1; 16])],
        };
        let body = "holdfast-journal\nversion 1\ncluster abababababababababababababababab\n\
                    epoch 1\nterm 2\nmay-lose 1\nneeded 2\n\
                    drive 01010101010101010101010101010101\n\
                    holder 01010101010101010101010101010101\n";
        let sum = checksum(&[body.as_bytes()]);
        assert_eq!(notice.encode(), format!("{body}checksum {sum:016x}\n"));
    }
}
