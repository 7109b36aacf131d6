//! Drives as small numbers, so that a placement is 4 bytes a fragment.
//!
//! A number is given once and never changes, so committed numbers may be remembered for ever. They
//! are given in a transaction of their own before the command that uses them; a number seen inside
//! an open transaction is never remembered, because a rollback could give it to another drive.

use std::collections::HashMap;
use std::sync::RwLock;

use holdfast_types::{DriveId, Generation, Layout, Placement, Region};

use crate::error::MetadataError;

/// Bytes of a number in a packed placement; 0 stands for "no drive".
const NUMBER_LEN: usize = 4;

/// All numbers seen so far, both ways.
#[derive(Debug, Default)]
pub(crate) struct DriveNumbers {
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    by_id: HashMap<DriveId, u32>,
    by_number: HashMap<u32, DriveId>,
}

/// A placement as its row has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PackedPlacement {
    pub(crate) region: Region,
    pub(crate) generation: Generation,
    pub(crate) layout: Layout,
    pub(crate) drives: Vec<u8>,
}

/// A number that has not been read from the database yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnknownNumber(pub(crate) u32);

impl DriveNumbers {
    /// Remembers committed numbers.
    pub(crate) fn remember(&self, numbers: impl IntoIterator<Item = (u32, DriveId)>) {
        let mut known = self
            .known
            .write()
            .unwrap_or_else(|broken| broken.into_inner());
        for (number, id) in numbers {
            known.by_id.insert(id, number);
            known.by_number.insert(number, id);
        }
    }

    /// The number of a drive, if it is known here.
    pub(crate) fn number(&self, id: DriveId) -> Option<u32> {
        let known = self
            .known
            .read()
            .unwrap_or_else(|broken| broken.into_inner());
        known.by_id.get(&id).copied()
    }

    /// The number that a row has for `drive`: 0 for none.
    pub(crate) fn stored_number(&self, drive: Option<DriveId>) -> Result<u32, MetadataError> {
        drive.map_or(Ok(0), |id| {
            self.number(id).ok_or(MetadataError::NotFound("drive"))
        })
    }

    /// The drive of a stored number: `None` for 0.
    pub(crate) fn drive(&self, number: u32) -> Result<Option<DriveId>, UnknownNumber> {
        if number == 0 {
            return Ok(None);
        }
        let known = self
            .known
            .read()
            .unwrap_or_else(|broken| broken.into_inner());
        known
            .by_number
            .get(&number)
            .copied()
            .map(Some)
            .ok_or(UnknownNumber(number))
    }

    /// The drives of a placement as 4 bytes each, big-endian.
    pub(crate) fn pack(&self, drives: &[Option<DriveId>]) -> Result<Vec<u8>, MetadataError> {
        let mut packed = Vec::with_capacity(drives.len() * NUMBER_LEN);
        for drive in drives {
            packed.extend_from_slice(&self.stored_number(*drive)?.to_be_bytes());
        }
        Ok(packed)
    }

    /// The reverse of [`DriveNumbers::pack`].
    pub(crate) fn unpack(&self, packed: &PackedPlacement) -> Result<Placement, UnknownNumber> {
        let drives = packed
            .drives
            .as_chunks::<NUMBER_LEN>()
            .0
            .iter()
            .map(|bytes| self.drive(u32::from_be_bytes(*bytes)))
            .collect::<Result<_, _>>()?;
        Ok(Placement {
            region: packed.region.clone(),
            generation: packed.generation,
            layout: packed.layout,
            drives,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placement_unpacks_to_what_was_packed() {
        let numbers = DriveNumbers::default();
        let drives = [DriveId::generate(), DriveId::generate()];
        numbers.remember([(1, drives[0]), (70_000, drives[1])]);
        let placement = Placement {
            region: Region::parse("here").unwrap(),
            generation: Generation(3),
            layout: "copies:3".parse().unwrap(),
            drives: vec![Some(drives[1]), None, Some(drives[0])],
        };
        let packed = PackedPlacement {
            region: placement.region.clone(),
            generation: placement.generation,
            layout: placement.layout,
            drives: numbers.pack(&placement.drives).unwrap(),
        };
        assert_eq!(packed.drives, [0, 1, 0x11, 0x70, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(numbers.unpack(&packed), Ok(placement));
        let stranger = DriveNumbers::default();
        assert_eq!(stranger.unpack(&packed), Err(UnknownNumber(70_000)));
    }
}
