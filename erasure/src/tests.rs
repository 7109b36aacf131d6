//! The data path as a whole, over a store whose drives can be made to fail.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use holdfast_codec::Reference;
use holdfast_types::{BlobId, FailureDomain, Generation, Layout};

use crate::testing::{TestStore, region};
use crate::{
    BlobLocation, Blobs, Config, DebtObserver, FragmentReport, GetError, PutError, PutSpec, Receipt,
};

mod chaos;
mod check;
mod get;
mod layouts;
mod memory;
mod put;
mod rebuild;

/// Remembers what it is told.
#[derive(Default)]
pub(crate) struct Reports(Mutex<Vec<FragmentReport>>);

impl DebtObserver for Reports {
    fn report(&self, report: FragmentReport) {
        self.0.lock().unwrap().push(report);
    }
}

impl Reports {
    fn take(&self) -> Vec<FragmentReport> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

struct Lab {
    store: TestStore,
    reports: Arc<Reports>,
    blobs: Blobs,
}

impl Lab {
    fn new(drives: usize) -> Self {
        Self::over(TestStore::with_drives(drives), 64 << 20)
    }

    fn over(store: TestStore, memory_budget_bytes: u64) -> Self {
        let reports = Arc::new(Reports::default());
        let blobs = Blobs::with_seed(
            Arc::new(store.clone()),
            Arc::new(Reference::new()),
            &Config {
                memory_budget_bytes,
            },
            reports.clone(),
            7,
        );
        Self {
            store,
            reports,
            blobs,
        }
    }

    async fn put(&self, layout: &str, data: &Bytes) -> Receipt {
        self.try_put(layout, data).await.unwrap()
    }

    async fn try_put(&self, layout: &str, data: &Bytes) -> Result<Receipt, PutError<Infallible>> {
        self.blobs
            .put(spec(layout, data.len()), body(data, 10_007))
            .await
    }

    async fn get(&self, receipt: &Receipt) -> Result<Bytes, GetError> {
        let location = location(receipt);
        let len = location.len;
        read(self.blobs.get(location, 0..len)).await
    }
}

fn spec(layout: &str, len: usize) -> PutSpec {
    PutSpec {
        blob: BlobId::generate(),
        len: len as u64,
        layout: layout.parse::<Layout>().unwrap(),
        region: region(),
        generation: Generation(1),
        protect: FailureDomain::Drive,
        quorum: None,
    }
}

fn location(receipt: &Receipt) -> BlobLocation {
    BlobLocation {
        blob: receipt.blob,
        len: receipt.len,
        placement: receipt.placement.clone(),
    }
}

/// Bytes without a pattern that a mistake could hide in.
fn bytes(len: usize, seed: u64) -> Bytes {
    use rand::{Rng as _, SeedableRng as _};
    let mut data = vec![0; len];
    rand::rngs::StdRng::seed_from_u64(seed).fill_bytes(&mut data);
    data.into()
}

fn body(
    data: &Bytes,
    chunk: usize,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + use<> {
    let data = data.clone();
    let count = data.len().div_ceil(chunk);
    stream::iter(
        (0..count).map(move |at| Ok(data.slice(at * chunk..((at + 1) * chunk).min(data.len())))),
    )
}

async fn read(mut stream: crate::BlobStream) -> Result<Bytes, GetError> {
    let mut all = Vec::new();
    while let Some(part) = stream.next().await {
        all.extend_from_slice(&part?);
    }
    Ok(all.into())
}
