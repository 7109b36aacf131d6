//! Parity compared with data: that what would be rebuilt is what was stored.
//!
//! Every block's checksum holds for what was written, so it says nothing of parity that was wrong
//! when it was written: that shows only on the day it is needed. Here it is needed before: for each
//! stripe and each parity block, a data block is rebuilt from that parity block and the other data
//! blocks, and compared with the one that is there. A codec that encodes wrongly is found even if
//! it does so every time, because decoding is another computation.

use bytes::Bytes;
use holdfast_types::FragmentIndex;

use crate::blobs::Blobs;
use crate::check::FragmentCheck;
use crate::get::{memory_needed, run_stripes};
use crate::location::BlobLocation;

/// What a comparison said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParityCheck {
    /// All parity fits the data.
    Fits,
    /// These parity fragments do not fit the data in some stripe, of which this is the first.
    Wrong {
        /// The first stripe with one that does not.
        stripe: u64,
        /// The fragments, in order.
        fragments: Vec<FragmentIndex>,
    },
    /// A fragment is missing, rotten or out of reach: nothing can be said before it is repaired.
    NotWhole(String),
}

impl Blobs {
    /// Compares a blob's parity with its data, all of it. Memory: a run of stripes, out of the
    /// reads' budget. Cost: all fragments are read, and `m` blocks a stripe are rebuilt.
    pub async fn check_parity(&self, location: &BlobLocation) -> ParityCheck {
        if let Err(malformed) = location.check() {
            return ParityCheck::NotWhole(malformed.to_string());
        }
        let layout = location.placement.layout;
        let (stripes, at_once) = (layout.stripes(location.len), run_stripes(layout));
        let run = 0..stripes.min(at_once);
        // A run of parity beside the data of a run.
        let needed = memory_needed(layout, location.len, &run) * u64::from(layout.width())
            / u64::from(layout.k());
        let _share = match self.shared.reads.acquire(needed, self.sharer).await {
            Ok(share) => share,
            Err(busy) => return ParityCheck::NotWhole(busy.to_string()),
        };
        let mut first = 0;
        while first < stripes {
            let count = at_once.min(stripes - first);
            let fragments = match self.read_stripes(location, first, count).await {
                Ok(fragments) => fragments,
                Err(why) => return ParityCheck::NotWhole(why),
            };
            for at in 0..count as usize {
                let blocks: Vec<Bytes> = fragments.iter().map(|run| run[at].clone()).collect();
                let wrong = self.wrong_parity(location, &blocks).await;
                if !wrong.is_empty() {
                    return ParityCheck::Wrong {
                        stripe: first + at as u64,
                        fragments: wrong,
                    };
                }
            }
            first += count;
        }
        ParityCheck::Fits
    }

    /// A run of blocks of every fragment.
    async fn read_stripes(
        &self,
        location: &BlobLocation,
        first: u64,
        count: u64,
    ) -> Result<Vec<Vec<Bytes>>, String> {
        let reads = location.placement.drives.iter().enumerate().map(
            async |(index, drive)| -> Result<Vec<Bytes>, String> {
                let drive = drive.ok_or_else(|| format!("fragment {index} was not written"))?;
                let header = location.header(index);
                match self.read_run(drive, &header, first, count).await {
                    Ok(blocks) => Ok(blocks),
                    Err(FragmentCheck::Good | FragmentCheck::Missing) => {
                        Err(format!("fragment {index} is not on drive {drive}"))
                    }
                    Err(FragmentCheck::Corrupt(why) | FragmentCheck::Unreadable(why)) => {
                        Err(format!("fragment {index} on drive {drive}: {why}"))
                    }
                }
            },
        );
        futures::future::try_join_all(reads).await
    }

    /// The parity blocks of one stripe that do not fit its data.
    async fn wrong_parity(&self, location: &BlobLocation, blocks: &[Bytes]) -> Vec<FragmentIndex> {
        let layout = location.placement.layout;
        let k = usize::from(layout.k());
        let mut wrong = Vec::new();
        for (parity, block) in blocks.iter().enumerate().skip(k) {
            let others = blocks.iter().cloned().enumerate().take(k).skip(1);
            let sources: Vec<(usize, Bytes)> = others.chain([(parity, block.clone())]).collect();
            let rebuilt = self.shared.coder.rebuild(layout, sources, vec![0]).await;
            if rebuilt.first() != blocks.first() {
                wrong.push(crate::location::fragment_index(parity));
            }
        }
        wrong
    }
}
