//! Reading blocks and comparing them with their checksums, the same for files and records.

use bytes::Bytes;
use holdfast_types::{FragmentHeader, StoreError};

use super::{Core, MAX_READ_BYTES};
use crate::checksum::BlockChecksum;
use crate::disk::DiskFile;
use crate::failure::{Context, Failure, Op};

/// Blocks that follow each other are read together, up to this many bytes.
const READ_AT_ONCE_BYTES: u64 = 1 << 20;

/// Refuses blocks that the fragment does not have, and more than may be in memory at once.
pub(crate) fn check_range(
    header: &FragmentHeader,
    first: u64,
    count: u64,
) -> Result<(), StoreError> {
    if header.layout.checked().is_err() {
        return Err(StoreError::Contract("a layout that can't be"));
    }
    if first
        .checked_add(count)
        .is_none_or(|end| end > header.blocks())
    {
        return Err(StoreError::Contract(
            "blocks that the fragment does not have",
        ));
    }
    let most = count
        .saturating_mul(header.layout.block_len().into())
        .min(header.len());
    if most > MAX_READ_BYTES {
        return Err(StoreError::Contract("more than 16 MiB in one read"));
    }
    Ok(())
}

/// Refuses a block that is not the fragment's block `number`.
pub(crate) fn check_block(
    header: &FragmentHeader,
    number: u64,
    block: &Bytes,
) -> Result<(), StoreError> {
    if number >= header.blocks() {
        return Err(StoreError::Contract("more blocks than the fragment has"));
    }
    if block.len() != header.block_len(number) as usize {
        return Err(StoreError::Contract("a block of the wrong length"));
    }
    Ok(())
}

/// Blocks of one fragment in a file.
pub(super) struct Source<'f> {
    pub(super) file: &'f dyn DiskFile,
    pub(super) path: &'f str,
    /// Where block 0 is.
    pub(super) data_at: u64,
    pub(super) header: &'f FragmentHeader,
}

impl Source<'_> {
    fn block_at(&self, number: u64) -> u64 {
        self.data_at + number * u64::from(self.header.layout.block_len())
    }

    fn len_of(&self, first: u64, count: u64) -> u64 {
        let last = first + count - 1;
        self.block_at(last) + u64::from(self.header.block_len(last)) - self.block_at(first)
    }

    /// Reads the blocks from `first` on, one for each checksum in `table`. A block that is cut off,
    /// unreadable or not as it was written is `None`.
    ///
    /// Errors: the first failure, if no block at all could be read.
    pub(super) fn read(
        &self,
        core: &Core,
        first: u64,
        table: &[u64],
    ) -> Result<Vec<Option<Bytes>>, Failure> {
        let at_once = (READ_AT_ONCE_BYTES / u64::from(self.header.layout.block_len())).max(1);
        let end = first + table.len() as u64;
        let mut found = Vec::with_capacity(table.len());
        let mut failed = None;
        let mut number = first;
        while number < end {
            let count = at_once.min(end - number);
            match self.read_run(number, count) {
                Ok(run) => found.extend(run),
                Err(_) if count > 1 => {
                    // One bad sector must not cost its neighbours: each block on its own.
                    for one in number..number + count {
                        found.extend(self.read_one(core, one, &mut failed));
                    }
                }
                Err(failure) => {
                    core.health.note(&failure, &core.counters);
                    failed = failed.or(Some(failure));
                    found.push(None);
                }
            }
            number += count;
        }
        if let Some(failure) = failed.filter(|_| found.iter().all(Option::is_none)) {
            return Err(failure);
        }
        self.verify(core, first, table, &mut found);
        Ok(found)
    }

    fn read_one(
        &self,
        core: &Core,
        number: u64,
        failed: &mut Option<Failure>,
    ) -> Vec<Option<Bytes>> {
        self.read_run(number, 1).unwrap_or_else(|failure| {
            core.health.note(&failure, &core.counters);
            failed.get_or_insert(failure);
            vec![None]
        })
    }

    fn read_run(&self, first: u64, count: u64) -> Result<Vec<Option<Bytes>>, Failure> {
        let mut buffer = vec![0; self.len_of(first, count) as usize];
        let got = self
            .file
            .read_at(&mut buffer, self.block_at(first))
            .during(Op::Read, self.path)?;
        let buffer = Bytes::from(buffer);
        let mut start = 0;
        Ok((first..first + count)
            .map(|number| {
                let end = start + self.header.block_len(number) as usize;
                let block = (end <= got).then(|| buffer.slice(start..end));
                start = end;
                block
            })
            .collect())
    }

    fn verify(&self, core: &Core, first: u64, table: &[u64], found: &mut [Option<Bytes>]) {
        let checksum = BlockChecksum::new(&self.header.id);
        for (place, (block, expected)) in found.iter_mut().zip(table).enumerate() {
            let number = first + place as u64;
            core.counters
                .read_bytes
                .add(block.as_ref().map_or(0, |block| block.len() as u64));
            if block
                .as_ref()
                .is_none_or(|block| !checksum.holds(number, block, *expected))
            {
                *block = None;
                core.counters.bad_blocks.one();
                let id = &self.header.id;
                tracing::debug!(drive = %core.id, fragment = %id, block = number, "bad block");
            }
        }
    }
}
