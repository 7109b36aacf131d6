//! Blobs beside what the drives hold, a page of ids at a time, both ways.
//!
//! The page is one state of the metadata; the drives' lists are read after it. On a live store a
//! write, a repair or a sweep may come in between, so nothing is reported that was seen once: a
//! suspect is looked at again, its rows and its fragments by name, and only what is still wrong
//! then is told.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use holdfast_erasure::{BlobLocation, FragmentCheck};
use holdfast_metadata::audit::{BlobAudit, BlobPage};
use holdfast_types::{
    BlobId, Drive, DriveId, FragmentHeader, FragmentId, FragmentIndex, Layout, Placement,
    StoreError,
};

use super::judge::{self, Held, Judgement, Seen, Severity};
use super::progress::Phase;
use super::report::{Depth, Finding, Invariant};
use super::{OWNERS, Run, VerifyError, concerned};

/// Where the walk over one drive's fragments is.
struct Cursor {
    drive: DriveId,
    after: Option<FragmentId>,
}

/// What a page wants: which fragments on which drives, those of removed blobs included.
type Wanted = HashSet<(DriveId, FragmentId)>;

impl Run<'_> {
    /// Goes through all blobs and all fragments.
    pub(super) async fn fragments(&mut self, total: u64) -> Result<(), VerifyError> {
        self.watch.begin(Phase::Fragments, total);
        let drives = self.of.store.drives();
        let mut cursors: Vec<Cursor> = drives
            .iter()
            .filter(|drive| drive.state.readable())
            .map(|drive| Cursor {
                drive: drive.id,
                after: None,
            })
            .collect();
        let mut after = None;
        loop {
            self.go_on().await?;
            let page = self.of.metadata.audit_blobs(after, PAGE).await?;
            let has = self.list(&mut cursors, &page, after).await?;
            self.report.looked.blobs += page.blobs.len() as u64;
            for blob in &page.blobs {
                let held = self.look(blob, &has).await;
                self.report.looked.fragments += held.len() as u64;
                let judged = judge::judge(blob, &held);
                if !judged.is_empty() {
                    self.suspect(blob.blob, judged).await?;
                }
                self.watch.change(|progress| progress.done += 1);
                self.go_on().await?;
            }
            match page.end {
                Some(end) => after = Some(end),
                None => return Ok(()),
            }
        }
    }

    /// Lists what each drive has of the page's ids; judges what no placement names.
    async fn list(
        &mut self,
        cursors: &mut [Cursor],
        page: &BlobPage,
        page_after: Option<BlobId>,
    ) -> Result<Lists, VerifyError> {
        let wanted = wanted(page, &self.of.region);
        let mut lists = Lists::default();
        for cursor in cursors {
            loop {
                let after = cursor.after.as_ref();
                let listed = match self.of.store.list(cursor.drive, after, LIST).await {
                    Ok(listed) => listed,
                    Err(error) => {
                        lists.unreadable.insert(cursor.drive, error.to_string());
                        break;
                    }
                };
                let is_last = listed.len() < LIST;
                let mut is_end = is_last;
                for fragment in listed {
                    if page.end.is_some_and(|end| fragment.blob > end) {
                        is_end = true;
                        break;
                    }
                    cursor.after = Some(fragment.clone());
                    // Of an earlier page: the drive was away when it was its turn.
                    if page_after.is_some_and(|after| fragment.blob <= after) {
                        continue;
                    }
                    let key = (cursor.drive, fragment);
                    if wanted.contains(&key) {
                        lists.has.insert(key);
                    } else {
                        self.unplaced(key.0, &key.1).await?;
                    }
                }
                self.go_on().await?;
                if is_end {
                    lists.listed.insert(cursor.drive);
                    break;
                }
            }
        }
        Ok(lists)
    }

    /// What is there of a blob's current placement.
    async fn look(&self, blob: &BlobAudit, has: &Lists) -> Vec<Held> {
        let Some((placement, layout)) = judge::current(blob).filter(|_| blob.len > 0) else {
            return Vec::new();
        };
        let place = Placement {
            region: self.of.region.clone(),
            generation: placement.generation,
            layout,
            drives: placement.drives.iter().map(|named| named.drive()).collect(),
        };
        let location = BlobLocation {
            blob: blob.blob,
            len: blob.len,
            placement: place,
        };
        let fragments: Vec<(DriveId, FragmentId)> = location.fragments().collect();
        stream::iter(fragments)
            .map(|(drive, id)| {
                let location = &location;
                async move {
                    let index = id.index;
                    let seen = match has.of(drive, &id) {
                        Listed::Yes if self.report.depth == Depth::Quick && has.ask.is_none() => {
                            Seen::Good
                        }
                        Listed::Yes => self.open(location, drive, &id).await,
                        Listed::No => Seen::Missing,
                        Listed::Unknown(why) => Seen::Unreadable(why),
                    };
                    // What was found bad before looks good until its blocks are read.
                    let is_owed = blob
                        .debts
                        .iter()
                        .any(|debt| debt.generation == placement.generation && debt.index == index);
                    let seen = match seen {
                        Seen::Good if is_owed && self.report.depth != Depth::Deep => {
                            Seen::Bad("as a debt says that waits for repair".to_owned())
                        }
                        seen => seen,
                    };
                    Held { index, drive, seen }
                }
            })
            .buffered(AT_ONCE)
            .collect()
            .await
    }

    /// Looks into a fragment.
    async fn open(&self, location: &BlobLocation, drive: DriveId, id: &FragmentId) -> Seen {
        let header = FragmentHeader {
            id: id.clone(),
            layout: location.placement.layout,
            blob_len: location.len,
        };
        match self.of.store.stat(drive, id).await {
            Ok(found) if found != header => {
                return Seen::Bad("it is of another layout or length".to_owned());
            }
            Ok(_) => {}
            Err(error) => return seen(error),
        }
        if self.report.depth != Depth::Deep {
            return Seen::Good;
        }
        match self
            .of
            .blobs
            .check_fragment(location, id.index, drive)
            .await
        {
            FragmentCheck::Good => Seen::Good,
            FragmentCheck::Missing => Seen::Missing,
            FragmentCheck::Corrupt(what) => Seen::Bad(what),
            FragmentCheck::Unreadable(why) => Seen::Unreadable(why),
        }
    }

    /// A blob that seemed wrong: on a live store it is looked at again, as it is now.
    async fn suspect(
        &mut self,
        blob: BlobId,
        mut judged: Vec<Judgement>,
    ) -> Result<(), VerifyError> {
        if self.of.is_live {
            for pause in RECHECKS {
                let Some(now) = self.of.metadata.audit_blob(blob).await? else {
                    return Ok(());
                };
                let held = self.look(&now, &Lists::ask(&self.of.store.drives())).await;
                judged = judge::judge(&now, &held);
                let is_broken = judged
                    .iter()
                    .any(|judgement| judgement.severity == Severity::Broken);
                if !is_broken || !self.may_wait(pause).await {
                    break;
                }
            }
        }
        let objects = match judged.iter().find(|judgement| self.has_room(judgement)) {
            Some(_) => self.concerned(blob).await?,
            None => Vec::new(),
        };
        let is_lost = |judgement: &Judgement| {
            (judgement.invariant, judgement.severity) == (Invariant::I1, Severity::Broken)
        };
        if judged.iter().any(is_lost) {
            let now_ms = self.of.clock.now_ms();
            let metadata = &self.of.metadata;
            let locked = metadata.audit_locked_owners(blob, now_ms, OWNERS).await?;
            if !locked.is_empty() {
                let finding = Finding {
                    invariant: Invariant::I17,
                    what: "what is locked can't be read".to_owned(),
                    objects: locked.iter().map(concerned).collect(),
                    blob: Some(blob.to_string()),
                    drive: None,
                    fragment: None,
                };
                self.add(Severity::Broken, finding);
            }
        }
        for judgement in judged {
            let fragment = judgement
                .generation_index
                .map(|(generation, index)| FragmentId {
                    blob,
                    region: self.of.region.clone(),
                    generation,
                    index,
                });
            let finding = Finding {
                invariant: judgement.invariant,
                what: judgement.what,
                objects: objects.clone(),
                blob: Some(blob.to_string()),
                drive: judgement.drive.map(|drive| drive.to_string()),
                fragment: fragment.map(|fragment| fragment.to_string()),
            };
            self.add(judgement.severity, finding);
        }
        Ok(())
    }

    fn has_room(&self, judgement: &Judgement) -> bool {
        let findings = match judgement.severity {
            Severity::Broken => &self.report.broken,
            Severity::Degraded => &self.report.degraded,
        };
        findings.has_room(judgement.invariant)
    }

    /// A fragment that the page's placements do not name on this drive.
    async fn unplaced(&mut self, drive: DriveId, fragment: &FragmentId) -> Result<(), VerifyError> {
        if fragment.region != self.of.region {
            return Ok(());
        }
        self.report.looked.unplaced_fragments += 1;
        if !self.is_reconciled {
            self.report.looked.unreconciled += 1;
            return Ok(());
        }
        let now_ms = self.of.clock.now_ms();
        let made_ms = fragment.blob.made_ms().unwrap_or(0);
        if made_ms.saturating_add(self.of.grace_ms) > now_ms {
            self.report.looked.young_unplaced += 1;
            return Ok(());
        }
        let mut found = self.of.metadata.audit_found(drive, fragment).await?;
        if self.of.is_live {
            for pause in RECHECKS {
                let is_gone = matches!(
                    self.of.store.stat(drive, fragment).await,
                    Err(StoreError::NotFound { .. } | StoreError::Unavailable { .. })
                );
                if is_gone {
                    return Ok(());
                }
                found = self.of.metadata.audit_found(drive, fragment).await?;
                if is_known(&found, drive) || !self.may_wait(pause).await {
                    break;
                }
            }
        }
        if is_known(&found, drive) {
            self.report.looked.known_unplaced += 1;
            return Ok(());
        }
        let (invariant, what) = match (found.state.as_deref(), found.placed) {
            (Some("live"), Some(named)) => {
                let other = match named.drive() {
                    Some(other) => format!("drive {other}"),
                    None => "no drive".to_owned(),
                };
                (
                    Invariant::I7,
                    format!("it lies here, and the placement has it on {other}"),
                )
            }
            (Some("live"), None) => (
                Invariant::I6,
                "it is of a placement that the blob no longer has, and nothing will remove it"
                    .to_owned(),
            ),
            (Some(state), _) => (
                Invariant::I6,
                format!("its blob is {state}, and nothing will remove it"),
            ),
            (None, _) => (
                Invariant::I6,
                "the metadata does not know its blob, and nothing will remove it".to_owned(),
            ),
        };
        let objects = if self.report.broken.has_room(invariant) {
            self.concerned(fragment.blob).await?
        } else {
            Vec::new()
        };
        self.add(
            Severity::Broken,
            Finding {
                invariant,
                what: format!("a fragment that no row explains: {what}"),
                objects,
                blob: Some(fragment.blob.to_string()),
                drive: Some(drive.to_string()),
                fragment: Some(fragment.to_string()),
            },
        );
        Ok(())
    }
}

fn is_known(found: &holdfast_metadata::audit::FoundAudit, drive: DriveId) -> bool {
    found.is_stray
        || found.is_owed_there
        || found.placed.and_then(|named| named.drive()) == Some(drive)
}

fn wanted(page: &BlobPage, region: &holdfast_types::Region) -> Wanted {
    let mut wanted = Wanted::new();
    for blob in &page.blobs {
        for placement in &blob.placements {
            for (index, named) in (0u8..).zip(placement.drives.iter().take(MAX_WIDTH)) {
                let Some(drive) = named.drive() else { continue };
                let id = FragmentId {
                    blob: blob.blob,
                    region: region.clone(),
                    generation: placement.generation,
                    index: FragmentIndex(index),
                };
                wanted.insert((drive, id));
            }
        }
    }
    wanted
}

fn seen(error: StoreError) -> Seen {
    match error {
        StoreError::NotFound { .. } => Seen::Missing,
        StoreError::Corrupt {
            found: Some(other), ..
        } => Seen::Another(*other),
        StoreError::Corrupt { what, .. } => Seen::Bad(what),
        other => Seen::Unreadable(other.to_string()),
    }
}

/// What the drives list of a page.
#[derive(Default)]
struct Lists {
    has: HashSet<(DriveId, FragmentId)>,
    /// Drives whose list of the page is whole.
    listed: HashSet<DriveId>,
    unreadable: HashMap<DriveId, String>,
    /// Drives that are to be asked for each fragment, with why they can't be.
    ask: Option<BTreeMap<DriveId, Result<(), String>>>,
}

enum Listed {
    Yes,
    No,
    Unknown(String),
}

impl Lists {
    /// No lists: every fragment is asked for by its name.
    fn ask(drives: &[Drive]) -> Self {
        let state = |drive: &Drive| match drive.state.readable() {
            true => Ok(()),
            false => Err(format!("it is {}", drive.state)),
        };
        Self {
            ask: Some(drives.iter().map(|d| (d.id, state(d))).collect()),
            ..Self::default()
        }
    }

    fn of(&self, drive: DriveId, id: &FragmentId) -> Listed {
        if let Some(ask) = &self.ask {
            return match ask.get(&drive) {
                Some(Ok(())) => Listed::Yes,
                Some(Err(why)) => Listed::Unknown(why.clone()),
                None => Listed::Unknown("it is no drive of this store".to_owned()),
            };
        }
        if self.listed.contains(&drive) {
            return match self.has.contains(&(drive, id.clone())) {
                true => Listed::Yes,
                false => Listed::No,
            };
        }
        let why = self.unreadable.get(&drive).cloned();
        Listed::Unknown(why.unwrap_or_else(|| "the drive is not in reach".to_owned()))
    }
}

/// Blobs of one page: a few thousand fragments.
const PAGE: usize = 500;
/// Fragments of one list.
const LIST: usize = 1000;
/// Fragments that are opened at once.
const AT_ONCE: usize = 8;
/// The widest placement that can be.
const MAX_WIDTH: usize = Layout::MAX_K as usize + Layout::MAX_M as usize;
/// Pauses between the looks at a suspect.
const RECHECKS: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(4),
];
