//! Drives get their numbers, and their last known state.

use holdfast_types::{Drive, DriveId};

use crate::engine::Apply;
use crate::error::MetadataError;
use crate::sql::{Tx, values};

/// Records how drives are.
pub(crate) struct UpsertDrives(pub(crate) Vec<Drive>);

impl Apply for UpsertDrives {
    type Outcome = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), MetadataError> {
        let mut drives: Vec<&Drive> = self.0.iter().collect();
        drives.sort_by_key(|drive| drive.id);
        for drive in drives {
            let detail = super::json(drive)?;
            tx.execute(
                "INSERT INTO drives (drive_id, detail) VALUES ($1, $2) \
                 ON CONFLICT (drive_id) DO UPDATE SET detail = excluded.detail",
                values![drive.id.as_bytes().as_slice(), &detail],
            )
            .await?;
        }
        Ok(())
    }
}

/// Gives numbers to drives that a placement names before anybody has described them.
pub(crate) struct NumberDrives(pub(crate) Vec<DriveId>);

impl Apply for NumberDrives {
    type Outcome = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), MetadataError> {
        let mut ids = self.0.clone();
        ids.sort_unstable();
        for id in ids {
            tx.execute(
                "INSERT INTO drives (drive_id) VALUES ($1) ON CONFLICT (drive_id) DO NOTHING",
                values![id.as_bytes().as_slice()],
            )
            .await?;
        }
        Ok(())
    }
}
