//! The repair of one blob: find out what is really wanting, reserve, write, settle.
//!
//! Nothing is believed: a fragment that is owed is read through first where its drive can be read,
//! and one that is whole is settled without a copy. A fragment is written to the drive that should
//! have it, if that is empty, else to another; only where there is no other is a rotten one deleted
//! and written anew in its place, and then only after `k` others were read through.

use std::collections::HashMap;

use holdfast_erasure::{BlobLocation, Blobs, FragmentCheck, Rebuilt};
use holdfast_metadata::repair::{
    OwedBlob, OwedFragment, Reservation, ReserveTargets, SettleDebts, Settled, Settlement,
};
use holdfast_metadata::{Metadata, MetadataError};
use holdfast_types::mutant::{self, Mutant};
use holdfast_types::{DriveId, DriveState, FragmentIndex};

/// What came of one blob.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Repaired {
    /// Fragments made anew.
    pub(super) written: u64,
    /// Bytes of these.
    pub(super) bytes: u64,
    /// Debts that ended without a copy.
    pub(super) found_well: u64,
    /// Fragments that are still owed.
    pub(super) blocked: u64,
    /// Why.
    pub(super) error: Option<String>,
}

/// A fragment that is to be written.
#[derive(Debug, Clone, Copy)]
struct Job {
    index: FragmentIndex,
    from: Option<DriveId>,
    to: DriveId,
    how: How,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Rebuild,
    /// What is there is rotten and must go first.
    Replace,
}

/// What is to be done about one owed fragment.
enum Finding {
    /// It is whole, there.
    Well(DriveId),
    /// It can be written there.
    Write(DriveId),
    /// It needs another drive; if there is none, the rotten one there can be replaced.
    Elsewhere(Option<DriveId>),
}

pub(super) struct Repair<'a> {
    pub(super) metadata: &'a Metadata,
    pub(super) blobs: &'a Blobs,
    pub(super) states: &'a HashMap<DriveId, DriveState>,
}

impl Repair<'_> {
    pub(super) async fn run(&self, owed: &OwedBlob) -> Result<Repaired, MetadataError> {
        let location = BlobLocation {
            blob: owed.blob.blob,
            len: owed.blob.len,
            placement: owed.blob.placement.clone(),
        };
        let mut done = Repaired::default();
        let (mut settled, jobs) = self.plan(&location, owed, &mut done).await;
        done.found_well = settled.len() as u64;
        let moves = settled
            .iter()
            .map(|s| (s.index, s.from, s.to))
            .chain(jobs.iter().map(|job| (job.index, job.from, job.to)))
            .filter(|(_, from, to)| *from != Some(*to))
            .map(|(index, _, to)| (index, to))
            .collect();
        let Some(refused) = self.reserve(&location, moves).await? else {
            return Ok(Repaired::default());
        };
        settled.retain(|s| !refused.contains(&(s.index, s.to)));
        let jobs: Vec<Job> = jobs
            .into_iter()
            .filter(|job| !refused.contains(&(job.index, job.to)))
            .collect();
        let written = self.write(&location, &jobs, &mut done).await;
        let fragment_len = location.placement.layout.fragment_len(location.len);
        settled.extend(written.iter().map(|job| Settled {
            index: job.index,
            from: job.from,
            to: job.to,
        }));
        if !settled.is_empty() {
            let settle = SettleDebts {
                blob: location.blob,
                region: location.placement.region.clone(),
                generation: location.placement.generation,
                settled: settled.clone(),
            };
            match self.metadata.settle_debts(settle).await? {
                Settlement::Gone => return Ok(Repaired::default()),
                Settlement::Made(made) => settled.retain({
                    let mut made = made.into_iter();
                    move |_| made.next().unwrap_or(false)
                }),
            }
        }
        let is_written = |s: &&Settled| written.iter().any(|job| job.index == s.index);
        done.written = settled.iter().filter(is_written).count() as u64;
        done.bytes = done.written * fragment_len;
        done.found_well = settled.len() as u64 - done.written;
        done.blocked = (owed.owed.len() - settled.len()) as u64;
        Ok(done)
    }

    /// What is whole already, and what is to be written where.
    async fn plan(
        &self,
        location: &BlobLocation,
        owed: &OwedBlob,
        done: &mut Repaired,
    ) -> (Vec<Settled>, Vec<Job>) {
        let (mut settled, mut jobs, mut homeless) = (Vec::new(), Vec::new(), Vec::new());
        let mut not = Vec::new();
        for one in &owed.owed {
            let from = location.placement.drives[usize::from(one.index.0)];
            not.extend(one.meant);
            match self.find(location, one, from).await {
                Finding::Well(to) => settled.push(Settled {
                    index: one.index,
                    from,
                    to,
                }),
                Finding::Write(to) => jobs.push(Job {
                    index: one.index,
                    from,
                    to,
                    how: How::Rebuild,
                }),
                Finding::Elsewhere(rotten) => homeless.push((one.index, from, rotten)),
            }
        }
        not.extend(jobs.iter().map(|job| job.to));
        let indices: Vec<FragmentIndex> = homeless.iter().map(|one| one.0).collect();
        let targets = self.blobs.choose_targets(location, &indices, &not);
        for (index, from, rotten) in homeless {
            let target = targets.iter().find(|target| target.0 == index);
            if let Some(&(_, to)) = target {
                let how = How::Rebuild;
                jobs.push(Job {
                    index,
                    from,
                    to,
                    how,
                });
            } else if let Some(to) = rotten
                && self.others_are_well(location, owed).await
            {
                let how = How::Replace;
                jobs.push(Job {
                    index,
                    from,
                    to,
                    how,
                });
            } else {
                done.error = Some(format!(
                    "no drive can take fragment {} of blob {}",
                    index.0, location.blob
                ));
            }
        }
        (settled, jobs)
    }

    fn state(&self, drive: DriveId) -> DriveState {
        let state = self.states.get(&drive).copied();
        state.unwrap_or(DriveState::Missing)
    }

    async fn find(
        &self,
        location: &BlobLocation,
        one: &OwedFragment,
        from: Option<DriveId>,
    ) -> Finding {
        let Some(drive) = from.or(one.meant) else {
            return Finding::Elsewhere(None);
        };
        if !self.state(drive).readable() {
            return Finding::Elsewhere(None);
        }
        let is_online = self.state(drive) == DriveState::Online;
        match self.blobs.check_fragment(location, one.index, drive).await {
            FragmentCheck::Good => Finding::Well(drive),
            FragmentCheck::Missing if is_online => Finding::Write(drive),
            FragmentCheck::Corrupt(_) if is_online => Finding::Elsewhere(Some(drive)),
            FragmentCheck::Missing | FragmentCheck::Corrupt(_) | FragmentCheck::Unreadable(_) => {
                Finding::Elsewhere(None)
            }
        }
    }

    /// Whether `k` fragments that nothing is owed of were read through just now: only then is a
    /// rotten one deleted, which may hold good blocks.
    async fn others_are_well(&self, location: &BlobLocation, owed: &OwedBlob) -> bool {
        if mutant::active(Mutant::ReplaceUnread) {
            return true;
        }
        let mut well = 0;
        for (drive, id) in location.fragments() {
            if owed.owed.iter().any(|one| one.index == id.index) {
                continue;
            }
            let check = self.blobs.check_fragment(location, id.index, drive).await;
            well += u8::from(check == FragmentCheck::Good);
            if well == location.placement.layout.k() {
                return true;
            }
        }
        false
    }

    /// Records where this repair will write, before it does. Gives back what it may not; `None` if
    /// the blob is gone.
    async fn reserve(
        &self,
        location: &BlobLocation,
        targets: Vec<(FragmentIndex, DriveId)>,
    ) -> Result<Option<Vec<(FragmentIndex, DriveId)>>, MetadataError> {
        if targets.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let reserve = ReserveTargets {
            blob: location.blob,
            region: location.placement.region.clone(),
            generation: location.placement.generation,
            targets: targets.clone(),
        };
        Ok(match self.metadata.reserve_targets(reserve).await? {
            Reservation::Gone => None,
            Reservation::Made(made) => Some(
                targets
                    .into_iter()
                    .zip(made)
                    .filter_map(|(target, made)| (!made).then_some(target))
                    .collect(),
            ),
        })
    }

    /// Writes; gives back what is durable.
    async fn write(&self, location: &BlobLocation, jobs: &[Job], done: &mut Repaired) -> Vec<Job> {
        let mut durable = Vec::new();
        for how in [How::Rebuild, How::Replace] {
            let mut now: Vec<Job> = jobs.iter().filter(|job| job.how == how).copied().collect();
            if how == How::Replace {
                now = self.clear(location, now).await;
            }
            if now.is_empty() {
                continue;
            }
            let targets: Vec<_> = now.iter().map(|job| (job.index, job.to)).collect();
            match self.blobs.rebuild(location.clone(), &targets).await {
                Ok(outcomes) => {
                    for (job, outcome) in now.into_iter().zip(outcomes) {
                        match self.judge(location, job, outcome).await {
                            Ok(()) => durable.push(job),
                            Err(reason) => done.error = Some(reason),
                        }
                    }
                }
                Err(error) => done.error = Some(format!("blob {}: {error}", location.blob)),
            }
        }
        durable
    }

    /// Deletes rotten fragments that are about to be replaced; gives back those that are gone.
    async fn clear(&self, location: &BlobLocation, jobs: Vec<Job>) -> Vec<Job> {
        let rotten = jobs
            .iter()
            .map(|job| (job.to, location.fragment_id(job.index)));
        let deletion = self.blobs.delete(rotten).await;
        jobs.into_iter()
            .filter(|job| deletion.gone.iter().any(|gone| gone.0 == job.to))
            .collect()
    }

    async fn judge(
        &self,
        location: &BlobLocation,
        job: Job,
        outcome: Rebuilt,
    ) -> Result<(), String> {
        match outcome {
            Rebuilt::Written => Ok(()),
            Rebuilt::Failed(_) if mutant::active(Mutant::SettleUnwritten) => Ok(()),
            Rebuilt::Failed(reason) => Err(reason),
            Rebuilt::AlreadyThere => {
                let check = self.blobs.check_fragment(location, job.index, job.to).await;
                if check == FragmentCheck::Good {
                    return Ok(());
                }
                // An older attempt left something rotten where no placement points: it was
                // reserved, so it may go, and the next round writes it anew.
                if job.from != Some(job.to) && matches!(check, FragmentCheck::Corrupt(_)) {
                    let id = location.fragment_id(job.index);
                    self.blobs.delete([(job.to, id)]).await;
                }
                Err(format!(
                    "drive {} has an unusable fragment {} of blob {}",
                    job.to, job.index.0, location.blob
                ))
            }
        }
    }
}
