//! A fragment was found on a drive that no placement names with it: what it is, decided under the
//! blob's lock, and a durable note of it that begins its quarantine.
//!
//! An id that has no row is condemned in the very table whose primary key a publish inserts, so
//! that exactly one of the two can win. What is noted is deleted by nobody before its quarantine is
//! over, and then only after [`super::strays::JudgeStray`] has asked all of this again.

use holdfast_types::mutant::{self, Mutant};

use crate::commands::outcomes::condemn_unknown;
use crate::drive_numbers::UnknownNumber;
use crate::engine::Apply;
use crate::error::MetadataError;
use crate::inventory::{FoundFragment, FoundVerdict, NoteFound};
use crate::queries::horizon;
use crate::sql::{Tx, values};

impl Apply for NoteFound {
    type Outcome = FoundVerdict;

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<FoundVerdict, MetadataError> {
        let found = &self.found;
        if horizon::reconcile_pending(tx).await?.is_some() {
            // It may be of an object that is newer than the backup: an operator decides first.
            return Ok(FoundVerdict::Surplus { elsewhere: None });
        }
        let number = tx.drives().stored_number(Some(found.drive))?;
        let mut state = blob_state(tx, found).await?;
        if state.is_none()
            && !mutant::active(Mutant::SkipCondemn)
            && !condemn_unknown(tx, &found.fragment.blob).await?
        {
            // It was published a moment ago.
            state = blob_state(tx, found).await?;
        }
        let placed = placed_at(tx, found).await?;
        let (verdict, is_new) = match (state.as_deref(), placed) {
            (_, Some(placed)) if placed == number => return Ok(FoundVerdict::Placed),
            // A generation that a re-encode has left behind never comes back.
            (Some("live"), None) if is_past(tx, found).await? => {
                (FoundVerdict::Noted, self.note(tx, number).await?)
            }
            (Some("live"), None) if self.came_later(tx).await? => {
                (FoundVerdict::Noted, self.note(tx, number).await?)
            }
            (Some("live"), placed) => {
                let elsewhere = match placed {
                    None | Some(0) => None,
                    Some(other) => tx.drives().drive(other).map_err(|UnknownNumber(number)| {
                        MetadataError::Corrupt(format!("there is no drive number {number}"))
                    })?,
                };
                // Of a live blob only what another drive has for certain is one too many.
                if elsewhere.is_none() || elsewhere != self.seen_on {
                    return Ok(FoundVerdict::Surplus { elsewhere });
                }
                (FoundVerdict::Noted, self.note(tx, number).await?)
            }
            _ => (FoundVerdict::Noted, self.note(tx, number).await?),
        };
        Ok(if is_new { verdict } else { FoundVerdict::Known })
    }
}

impl NoteFound {
    /// Whether the fragment is of a later generation than the one that counts. A re-encode has noted
    /// what it writes before it does; what it has not noted was written after a backup that was
    /// restored since. Its generation is never given out again.
    async fn came_later(&self, tx: &mut Tx<'_>) -> Result<bool, MetadataError> {
        let fragment = &self.found.fragment;
        let later = tx
            .execute(
                "UPDATE placements SET last_generation = CASE WHEN last_generation < $3 \
                 THEN $3 ELSE last_generation END \
                 WHERE blob_id = $1 AND region = $2 AND generation < $3",
                values![
                    &fragment.blob,
                    fragment.region.as_str(),
                    fragment.generation.0
                ],
            )
            .await?;
        Ok(later > 0)
    }

    /// Whether there was no note of it yet.
    async fn note(&self, tx: &mut Tx<'_>, number: u32) -> Result<bool, MetadataError> {
        let fragment = &self.found.fragment;
        let not_before_ms = tx.now_ms().saturating_add(self.quarantine_ms);
        let noted = tx
            .execute(
                "INSERT INTO strays (drive_number, blob_id, region, generation, fragment_index, \
                 not_before_ms, doomed) VALUES ($1, $2, $3, $4, $5, $6, 0) \
                 ON CONFLICT (drive_number, blob_id, region, generation, fragment_index) \
                 DO NOTHING",
                values![
                    number,
                    &fragment.blob,
                    fragment.region.as_str(),
                    fragment.generation.0,
                    u32::from(fragment.index.0),
                    not_before_ms
                ],
            )
            .await?;
        Ok(noted == 1)
    }
}

async fn blob_state(
    tx: &mut Tx<'_>,
    found: &FoundFragment,
) -> Result<Option<String>, MetadataError> {
    let row = tx
        .fetch_one(
            "SELECT state FROM blobs WHERE blob_id = $1 FOR UPDATE",
            values![&found.fragment.blob],
        )
        .await?;
    row.map(|row| row.text(0)).transpose()
}

/// Whether the blob has a placement of a later generation.
async fn is_past(tx: &mut Tx<'_>, found: &FoundFragment) -> Result<bool, MetadataError> {
    let fragment = &found.fragment;
    let later = tx
        .fetch_one(
            "SELECT generation FROM placements \
             WHERE blob_id = $1 AND region = $2 AND generation > $3 LIMIT 1",
            values![
                &fragment.blob,
                fragment.region.as_str(),
                fragment.generation.0
            ],
        )
        .await?;
    Ok(later.is_some())
}

/// The number of the drive that the placement of the fragment's generation names; 0 for none.
async fn placed_at(tx: &mut Tx<'_>, found: &FoundFragment) -> Result<Option<u32>, MetadataError> {
    let fragment = &found.fragment;
    let row = tx
        .fetch_one(
            "SELECT drives FROM placements \
             WHERE blob_id = $1 AND region = $2 AND generation = $3",
            values![
                &fragment.blob,
                fragment.region.as_str(),
                fragment.generation.0
            ],
        )
        .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let at = usize::from(fragment.index.0);
    Ok(row
        .bytes(0)?
        .as_chunks::<4>()
        .0
        .get(at)
        .map(|bytes| u32::from_be_bytes(*bytes)))
}
