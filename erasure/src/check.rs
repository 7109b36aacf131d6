//! One fragment read through, block by block, to know whether a drive really has it; and drives for
//! fragments that are to be made anew.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use holdfast_types::{
    Drive, DriveId, DriveState, FailureDomain, FragmentHeader, FragmentIndex, StoreError,
};
use tokio::time::timeout;

use crate::blobs::Blobs;
use crate::get::{memory_needed, run_stripes};
use crate::location::BlobLocation;
use crate::placement::{room_for, weighted};
use crate::quorum::domain_of;

/// How long a drive may take for one run of blocks.
const DEADLINE: Duration = Duration::from_secs(30);

/// What a drive has of one fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FragmentCheck {
    /// All of it, and every block matches its checksum.
    Good,
    /// Nothing.
    Missing,
    /// Something that is not right.
    Corrupt(String),
    /// Nobody knows now: the drive can't be read.
    Unreadable(String),
}

impl Blobs {
    /// Reads a fragment through on a drive. Memory: a run of its blocks, out of the reads' budget.
    pub async fn check_fragment(
        &self,
        location: &BlobLocation,
        index: FragmentIndex,
        drive: DriveId,
    ) -> FragmentCheck {
        if let Err(malformed) = location.check() {
            return FragmentCheck::Unreadable(malformed.to_string());
        }
        let layout = location.placement.layout;
        let header = location.header(usize::from(index.0));
        let (blocks, run) = (header.blocks(), run_stripes(layout));
        let needed = memory_needed(layout, location.len, &(0..blocks.min(run)));
        let _share = match self.shared.reads.acquire(needed, self.sharer).await {
            Ok(share) => share,
            Err(busy) => return FragmentCheck::Unreadable(busy.to_string()),
        };
        let mut first = 0;
        while first < blocks {
            let count = run.min(blocks - first);
            if let Err(check) = self.read_run(drive, &header, first, count).await {
                return check;
            }
            first += count;
        }
        FragmentCheck::Good
    }

    /// A run of a fragment's blocks, each as it was written; else what is wrong.
    pub(crate) async fn read_run(
        &self,
        drive: DriveId,
        header: &FragmentHeader,
        first: u64,
        count: u64,
    ) -> Result<Vec<Bytes>, FragmentCheck> {
        let read = self.shared.store.read(drive, header, first, count);
        let read = match timeout(DEADLINE, read).await {
            Ok(Ok(read)) => read,
            Ok(Err(error)) => return Err(verdict(&error)),
            Err(_) => {
                let after = DEADLINE.as_secs();
                return Err(FragmentCheck::Unreadable(format!(
                    "drive {drive} did not answer in {after} s"
                )));
            }
        };
        let mut blocks = Vec::with_capacity(read.blocks.len());
        for (block, number) in read.blocks.into_iter().zip(first..) {
            blocks.push(
                block.ok_or_else(|| FragmentCheck::Corrupt(format!("block {number} is rotten")))?,
            );
        }
        Ok(blocks)
    }

    /// Whether a fragment of the blob may move between these drives without bringing more of the
    /// blob's fragments into one zone or node than there are where it comes from.
    #[must_use]
    pub fn keeps_spread(&self, location: &BlobLocation, from: DriveId, to: DriveId) -> bool {
        let drives = self.shared.store.drives();
        let find = |id| drives.iter().find(|drive| drive.id == id);
        let (Some(from), Some(to)) = (find(from), find(to)) else {
            return false;
        };
        [FailureDomain::Zone, FailureDomain::Node]
            .into_iter()
            .all(|kind| {
                let here = |of: &Drive| {
                    let domain = domain_of(of, kind);
                    let placed = drives.iter().filter(|drive| {
                        location.placement.drives.contains(&Some(drive.id))
                            && domain_of(drive, kind) == domain
                    });
                    placed.count()
                };
                domain_of(from, kind) == domain_of(to, kind) || here(to) < here(from)
            })
    }

    /// Drives that may take the fragments `indices`, which are to be made anew: none that has
    /// another fragment of the blob, none of `not`; from the zones and nodes that have fewest of
    /// the others, at random in proportion to free space. Where there are not enough, the last
    /// indices get none.
    #[must_use]
    pub fn choose_targets(
        &self,
        location: &BlobLocation,
        indices: &[FragmentIndex],
        not: &[DriveId],
    ) -> Vec<(FragmentIndex, DriveId)> {
        let drives = self.shared.store.drives();
        let placement = &location.placement;
        let room = room_for(placement.layout.fragment_len(location.len));
        let mut used: HashMap<_, usize> = HashMap::new();
        let is_here = |drive: &&Drive| placement.drives.contains(&Some(drive.id));
        // What is on a drive that shall not have it any more does not count for its zone.
        let stays = |drive: &&Drive| is_here(drive) && !not.contains(&drive.id);
        for drive in drives.iter().filter(stays) {
            for kind in [FailureDomain::Zone, FailureDomain::Node] {
                *used.entry(domain_of(drive, kind)).or_default() += 1;
            }
        }
        let mut rest: Vec<&Drive> = drives
            .iter()
            .filter(|drive| {
                drive.state == DriveState::Online
                    && drive.region == placement.region
                    && drive.free_bytes >= room
                    && !is_here(drive)
                    && !not.contains(&drive.id)
            })
            .collect();
        let mut rng = self
            .shared
            .rng
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut targets = Vec::with_capacity(indices.len());
        for &index in indices {
            let load = |drive: &Drive| {
                let of = |kind| used.get(&domain_of(drive, kind)).copied().unwrap_or(0);
                (of(FailureDomain::Zone), of(FailureDomain::Node))
            };
            let Some(least) = rest.iter().map(|drive| load(drive)).min() else {
                break;
            };
            let least_used: Vec<usize> = (0..rest.len())
                .filter(|&at| load(rest[at]) == least)
                .collect();
            let drive = rest.swap_remove(weighted(&rest, &least_used, &mut *rng));
            for kind in [FailureDomain::Zone, FailureDomain::Node] {
                *used.entry(domain_of(drive, kind)).or_default() += 1;
            }
            targets.push((index, drive.id));
        }
        targets
    }
}

fn verdict(error: &StoreError) -> FragmentCheck {
    match error {
        StoreError::NotFound { .. } => FragmentCheck::Missing,
        StoreError::Corrupt { what, .. } => FragmentCheck::Corrupt(what.clone()),
        StoreError::Unavailable { .. }
        | StoreError::Io { .. }
        | StoreError::Exists { .. }
        | StoreError::Contract(_) => FragmentCheck::Unreadable(error.to_string()),
    }
}
