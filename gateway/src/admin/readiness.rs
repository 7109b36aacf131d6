//! Whether this process can do its work, and if not, why: for load balancers and for people.

use holdfast_metadata::journal::{JournalState, JournalStatus};
use holdfast_types::{Drive, DriveState, Layout};
use serde::{Deserialize, Serialize};

/// What can be served now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// Objects can be read: the metadata answers and enough drives can be read.
    pub reads: bool,
    /// Objects can be written: what reads need, and enough drives can be written.
    pub writes: bool,
    /// Everything that is not as it should be, in words for an operator.
    pub reasons: Vec<String>,
}

/// Judges by the metadata's word and the drives' states, for objects of the default layout.
///
/// Reads need `k` readable drives: with fewer no object of this layout can be read at all. With
/// more than `m` drives away, objects that had fragments on too many of them can't be read; that is
/// a reason, not a failure, because all others can. Writes need as many drives online as the write
/// quorum has fragments, because no two fragments of an object share a drive; and a journal of the
/// metadata that is on enough drives for a commit. While a drive that held it is being replaced
/// commits go on: that is a reason, not a failure.
#[must_use]
pub fn readiness(
    metadata: Result<(), String>,
    journal: Option<&JournalStatus>,
    layout: Layout,
    drives: &[Drive],
) -> Readiness {
    let readable = drives.iter().filter(|drive| drive.state.readable()).count();
    let online = drives
        .iter()
        .filter(|drive| drive.state == DriveState::Online)
        .count();
    let away = drives.len() - readable;
    let (k, m, quorum) = (
        usize::from(layout.k()),
        usize::from(layout.m()),
        usize::from(layout.write_quorum()),
    );
    let healthy = metadata.is_ok();
    let reads = healthy && readable >= k;
    let commits = journal.is_none_or(|journal| journal.state != JournalState::Stopped);
    let writes = reads && online >= quorum && commits;

    let mut reasons: Vec<String> = drives
        .iter()
        .filter(|drive| drive.state != DriveState::Online)
        .map(|drive| {
            format!(
                "drive {} ({}) is {}: {}",
                drive.id, drive.path, drive.state, drive.reason
            )
        })
        .collect();
    if let Err(reason) = metadata {
        reasons.push(format!("metadata: {reason}"));
    }
    if readable < k {
        reasons.push(format!(
            "reads need {k} readable drives and {readable} are there"
        ));
    } else if away > m {
        reasons.push(format!(
            "{away} drives are away, more than the {m} that layout {layout} bears: some objects \
             can't be read"
        ));
    }
    if online < quorum {
        reasons.push(format!(
            "writes need {quorum} drives online and {online} are"
        ));
    }
    if let Some(journal) = journal.filter(|journal| journal.state != JournalState::Whole) {
        let so = if commits { "" } else { "nothing is written: " };
        reasons.push(format!("{so}{}", journal.reason));
    }
    Readiness {
        reads,
        writes,
        reasons,
    }
}

#[cfg(test)]
mod tests {
    use holdfast_metadata::journal::Position;
    use holdfast_types::{DriveId, Region};

    use super::*;

    fn drives(states: &[DriveState]) -> Vec<Drive> {
        states
            .iter()
            .enumerate()
            .map(|(at, state)| Drive {
                id: DriveId::from_bytes([at as u8; 16]),
                region: Region::parse("us-east-1").unwrap(),
                zone: "local".to_owned(),
                node: "local".to_owned(),
                state: *state,
                reason: if *state == DriveState::Online {
                    ""
                } else {
                    "pulled"
                }
                .to_owned(),
                path: format!("drives/{at:02}"),
                capacity_bytes: 1,
                free_bytes: 1,
            })
            .collect()
    }

    fn judged(metadata: Result<(), String>, away: usize, away_as: DriveState) -> Readiness {
        let mut states = vec![DriveState::Online; 6];
        states[..away].fill(away_as);
        readiness(metadata, None, "4+2".parse().unwrap(), &drives(&states))
    }

    #[test]
    fn a_journal_without_enough_holders_stops_writes_and_one_that_is_mended_does_not() {
        let with = |state, reason: &str| {
            let journal = JournalStatus {
                state,
                reason: reason.to_owned(),
                holders: vec![],
                holders_wanted: 3,
                term: 2,
                position: Position {
                    epoch: 1,
                    group: 7,
                    mark: uuid::Uuid::nil(),
                },
                record_bytes: 0,
                image_bytes: 0,
                image_ms: None,
                not_whole_since_ms: None,
            };
            let drives = drives(&[DriveState::Online; 6]);
            readiness(Ok(()), Some(&journal), "4+2".parse().unwrap(), &drives)
        };
        let whole = with(JournalState::Whole, "");
        assert!(whole.reads && whole.writes && whole.reasons.is_empty());
        let degraded = with(JournalState::Degraded, "on 2 drives");
        assert!(degraded.reads && degraded.writes);
        assert_eq!(degraded.reasons, ["on 2 drives"]);
        let stopped = with(JournalState::Stopped, "on 1 drive");
        assert!(stopped.reads && !stopped.writes);
        assert_eq!(stopped.reasons, ["nothing is written: on 1 drive"]);
    }

    #[test]
    fn all_there_is_ready_and_has_nothing_to_say() {
        let all = judged(Ok(()), 0, DriveState::Missing);
        assert_eq!(
            all,
            Readiness {
                reads: true,
                writes: true,
                reasons: vec![]
            }
        );
    }

    #[test]
    fn one_away_is_ready_and_named() {
        let one = judged(Ok(()), 1, DriveState::Missing);
        assert!(one.reads && one.writes);
        assert_eq!(
            one.reasons,
            ["drive 00000000000000000000000000000000 (drives/00) is missing: pulled"]
        );
    }

    #[test]
    fn two_away_read_but_do_not_write() {
        let two = judged(Ok(()), 2, DriveState::Faulty);
        assert!(two.reads && !two.writes);
        assert_eq!(two.reasons.len(), 3);
        assert_eq!(two.reasons[2], "writes need 5 drives online and 4 are");
    }

    #[test]
    fn read_only_drives_count_for_reads() {
        let full = judged(Ok(()), 6, DriveState::ReadOnly);
        assert!(full.reads && !full.writes);
    }

    #[test]
    fn three_away_is_not_ready() {
        let three = judged(Ok(()), 3, DriveState::Missing);
        assert!(!three.reads && !three.writes);
        assert!(
            three
                .reasons
                .contains(&"reads need 4 readable drives and 3 are there".to_owned())
        );
    }

    #[test]
    fn more_drives_than_fragments_make_more_than_m_away_a_warning() {
        let mut states = vec![DriveState::Online; 12];
        states[..3].fill(DriveState::Missing);
        let judged = readiness(Ok(()), None, "4+2".parse().unwrap(), &drives(&states));
        assert!(judged.reads && judged.writes);
        assert!(
            judged
                .reasons
                .iter()
                .any(|reason| reason.contains("some objects can't be read"))
        );
    }

    #[test]
    fn without_metadata_nothing_is_served() {
        let away = judged(Err("the file is gone".to_owned()), 0, DriveState::Missing);
        let reasons = vec!["metadata: the file is gone".to_owned()];
        assert_eq!(
            away,
            Readiness {
                reads: false,
                writes: false,
                reasons
            }
        );
    }
}
