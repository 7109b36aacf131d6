//! Debts that readers report.

use crate::command::ReportDebts;
use crate::engine::Apply;
use crate::error::MetadataError;
use crate::model::{Debt, DebtKind};
use crate::sql::{Tx, values};

impl Apply for ReportDebts {
    type Outcome = ();

    async fn apply(&self, tx: &mut Tx<'_>) -> Result<(), MetadataError> {
        let mut debts: Vec<&Debt> = self.debts.iter().collect();
        debts.sort_by(|a, b| {
            let key = |debt: &Debt| (debt.blob, debt.region.clone(), debt.generation, debt.index);
            key(a).cmp(&key(b))
        });
        for debt in debts {
            report(tx, debt).await?;
        }
        Ok(())
    }
}

/// Records one debt if the blob is live and its placement still says what the reader saw: a
/// fragment that has moved since is no debt.
async fn report(tx: &mut Tx<'_>, debt: &Debt) -> Result<(), MetadataError> {
    let drive = tx.drives().stored_number(debt.drive)?;
    let row = tx
        .fetch_one(
            "SELECT placements.drives FROM placements \
             JOIN blobs ON blobs.blob_id = placements.blob_id \
             WHERE placements.blob_id = $1 AND placements.region = $2 \
             AND placements.generation = $3 AND blobs.state = 'live'",
            values![&debt.blob, debt.region.as_str(), debt.generation.0],
        )
        .await?;
    let Some(row) = row else {
        return Ok(());
    };
    let at = usize::from(debt.index.0) * 4;
    if row.bytes(0)?.get(at..at + 4) != Some(drive.to_be_bytes().as_slice()) {
        return Ok(());
    }
    let now_ms = tx.now_ms();
    tx.execute(
        "INSERT INTO debts (blob_id, region, generation, fragment_index, drive_number, kind, \
         created_ms) VALUES ($1, $2, $3, $4, $5, $6, $7) \
         ON CONFLICT (blob_id, region, generation, fragment_index) DO NOTHING",
        values![
            &debt.blob,
            debt.region.as_str(),
            debt.generation.0,
            u32::from(debt.index.0),
            drive,
            kind_text(debt.kind),
            now_ms
        ],
    )
    .await?;
    Ok(())
}

const fn kind_text(kind: DebtKind) -> &'static str {
    match kind {
        DebtKind::Unwritten => "unwritten",
        DebtKind::Missing => "missing",
        DebtKind::Corrupt => "corrupt",
    }
}

/// A debt's kind from its column.
pub(crate) fn kind(text: &str) -> Result<DebtKind, MetadataError> {
    match text {
        "unwritten" => Ok(DebtKind::Unwritten),
        "missing" => Ok(DebtKind::Missing),
        "corrupt" => Ok(DebtKind::Corrupt),
        other => Err(MetadataError::Corrupt(format!(
            "a debt's kind is `{other}`"
        ))),
    }
}
