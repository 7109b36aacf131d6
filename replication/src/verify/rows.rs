//! Rows that stand for themselves: what belongs to no version, totals, the change log, queues. Each
//! page is one state of the metadata, so nothing needs a second look.

use holdfast_erasure::MemoryUse;
use holdfast_metadata::audit::{ChangeAudit, OwnerName, Totals};
use holdfast_metadata::model::BucketId;

use super::progress::Phase;
use super::report::{Concerned, Invariant};
use super::{Run, VerifyError, concerned};
use crate::change_log::CHANGE_LOG_BOUNDS;

impl Run<'_> {
    /// Looks at all of them.
    pub(super) async fn rows(&mut self) -> Result<(), VerifyError> {
        self.watch.begin(Phase::Rows, 0);
        self.ownerless_slices().await?;
        self.ownerless_parts().await?;
        self.parts().await?;
        self.totals().await?;
        self.change_log().await
    }

    async fn ownerless_slices(&mut self) -> Result<(), VerifyError> {
        let mut after = None;
        loop {
            self.go_on().await?;
            let metadata = &self.of.metadata;
            let (found, next) = metadata.audit_ownerless_slices(after, PAGE).await?;
            for (owner, blob) in found {
                let what = format!("a reference to blob {blob} whose owner {owner} is not there");
                self.rows_finding(Invariant::Rows, what, None);
            }
            match next {
                Some(_) => after = next,
                None => return Ok(()),
            }
        }
    }

    async fn ownerless_parts(&mut self) -> Result<(), VerifyError> {
        let mut after = None;
        loop {
            self.go_on().await?;
            let metadata = &self.of.metadata;
            let (found, next) = metadata.audit_ownerless_parts(after, PAGE).await?;
            for owner in found {
                let what = format!("parts of a version {owner} that is not there");
                self.rows_finding(Invariant::Rows, what, None);
            }
            match next {
                Some(_) => after = next,
                None => return Ok(()),
            }
        }
    }

    async fn parts(&mut self) -> Result<(), VerifyError> {
        let mut after = None;
        loop {
            self.go_on().await?;
            let metadata = &self.of.metadata;
            let (found, next) = metadata.audit_bad_parts(after, PAGE).await?;
            for part in found {
                let state = part.state.as_deref().unwrap_or("not there");
                let what = format!(
                    "part {} of upload {}, which is {state}: of {} bytes, and its slices of {} \
                     with {} gaps",
                    part.part_number,
                    part.upload.simple(),
                    part.size,
                    part.slices.bytes,
                    part.slices.gaps
                );
                self.rows_finding(Invariant::Rows, what, None);
            }
            match next {
                Some(_) => after = next,
                None => return Ok(()),
            }
        }
    }

    /// What quotas go by, against what there is: exact, because both are of one state.
    async fn totals(&mut self) -> Result<(), VerifyError> {
        let mut after = BucketId(i64::MIN);
        loop {
            self.go_on().await?;
            let page = self.of.metadata.audit_usage(after, 1).await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = last.bucket;
            for usage in page.iter().filter(|usage| usage.told != usage.counted) {
                let what = format!(
                    "bucket {} is said to have {}, and has {}",
                    usage.name,
                    words(usage.told),
                    words(usage.counted)
                );
                self.rows_finding(Invariant::Rows, what, None);
            }
        }
    }

    async fn change_log(&mut self) -> Result<(), VerifyError> {
        let mut after = 0;
        loop {
            self.go_on().await?;
            let page = self.of.metadata.audit_changes(after, PAGE).await?;
            self.report.looked.changes += page.rows;
            for change in page.bad {
                self.change(&change);
            }
            match page.next {
                Some(next) => after = next,
                None => return Ok(()),
            }
        }
    }

    fn change(&mut self, change: &ChangeAudit) {
        let row = format!(
            "row {} of the change log says `{}` of version {} as {}",
            change.number, change.kind, change.version_id, change.sequence
        );
        let whom = whom(change);
        if change.is_contradicted() {
            let now = match (change.version_sequence, change.head_sequence) {
                (_, Some(head)) if head < change.sequence => format!("its key's last is {head}"),
                (version, _) => {
                    let version = version.unwrap_or(0);
                    format!("the version is still that of {version}")
                }
            };
            let what = format!("{row}, and {now}");
            self.rows_finding(Invariant::I12, what, Some(whom.clone()));
        }
        if change.is_vanished {
            let what = format!("{row}, no row says that it went, and it is not there");
            let invariant = match change.in_locked_bucket {
                true => Invariant::I17,
                false => Invariant::I12,
            };
            self.rows_finding(invariant, what, Some(whom.clone()));
        }
        if let Some(lock) = change.forbidden {
            let what = format!("{row}, and what it removed had {lock}");
            self.rows_finding(Invariant::I17, what, Some(whom));
        }
    }

    /// Queues in the metadata, and the buffers of a process that serves.
    pub(super) async fn limits(&mut self) -> Result<(), VerifyError> {
        let queues = self.of.metadata.audit_limits(CHANGE_LOG_BOUNDS, PAGE);
        for queue in queues.await? {
            let what = format!(
                "{}: {} rows, above the limit of {}",
                queue.what, queue.found, queue.limit
            );
            self.rows_finding(Invariant::I21, what, None);
        }
        if !self.of.is_live {
            self.report.skip(
                Invariant::I21,
                "buffers in memory are those of a process, and none runs: only the queues in the \
                 metadata were looked at",
            );
            return Ok(());
        }
        for what in too_much_memory(self.of.blobs.memory_use()) {
            self.rows_finding(Invariant::I21, what, None);
        }
        Ok(())
    }
}

fn whom(change: &ChangeAudit) -> Concerned {
    concerned(&OwnerName {
        bucket: None,
        key: change.key.clone(),
        version_id: Some(change.version_id.clone()),
    })
}

fn words(totals: Totals) -> String {
    format!(
        "{} versions of {} bytes and {} bytes of parts",
        totals.versions, totals.bytes, totals.part_bytes
    )
}

/// What holds more memory than it may.
fn too_much_memory(memory: MemoryUse) -> Vec<String> {
    [
        ("writes", memory.writes_bytes),
        ("reads", memory.reads_bytes),
    ]
    .into_iter()
    .filter(|(_, used)| *used > memory.limit_bytes)
    .map(|(what, used)| {
        format!(
            "{what} hold {used} bytes of memory, above their limit of {}",
            memory.limit_bytes
        )
    })
    .collect()
}

/// Rows of one page.
const PAGE: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_above_its_limit_is_told() {
        let memory = |writes_bytes, reads_bytes| MemoryUse {
            writes_bytes,
            reads_bytes,
            limit_bytes: 100,
        };
        assert!(too_much_memory(memory(100, 100)).is_empty());
        let told = too_much_memory(memory(101, 0));
        assert_eq!(
            told,
            ["writes hold 101 bytes of memory, above their limit of 100"]
        );
        let told = too_much_memory(memory(3, 102));
        assert_eq!(
            told,
            ["reads hold 102 bytes of memory, above their limit of 100"]
        );
    }
}
