//! What the data path costs: CPU seconds for a gigabyte of user data, with drives in memory.
//!
//! `cargo run --release -p holdfast-erasure --example cost [LAYOUT]...` (Linux: reads /proc).
//! Compare figures of one run only; the machine's noise is in all of them alike.

#[path = "../src/testing.rs"]
#[expect(
    dead_code,
    clippy::unwrap_used,
    reason = "the tests' store, of which little is used here"
)]
mod testing;

use std::convert::Infallible;
use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use holdfast_codec::{Code, Codec as _, Reference};
use holdfast_erasure::{BlobLocation, Blobs, Config, NoObserver, PutSpec, Receipt};
use holdfast_types::{BlobId, FailureDomain, Generation, Layout};
use testing::TestStore;

const BLOB_BYTES: usize = 64 << 20;
const ROUNDS: usize = 16;
/// What hyper hands out at a time when it is fast.
const CHUNK_BYTES: usize = 256 << 10;

#[tokio::main]
async fn main() {
    let mut layouts: Vec<String> = std::env::args().skip(1).collect();
    if layouts.is_empty() {
        layouts = ["4+2", "8+3", "copies:3"].map(str::to_owned).into();
    }
    println!("layout      step             CPU-s/GB     GB/s");
    for layout in layouts {
        measure(layout.parse().expect("a layout is K+M or copies:N")).await;
    }
}

async fn measure(layout: Layout) {
    if let Layout::Erasure { k, m, block_len } = layout {
        encode(
            layout,
            Code::new(k, m).expect("the layout was parsed"),
            block_len as usize,
        );
    }
    let store = TestStore::with_drives(usize::from(layout.width()));
    let blobs = Blobs::new(
        Arc::new(store.clone()),
        Arc::new(Reference::new()),
        &Config::default(),
        Arc::new(NoObserver),
    );
    let data = Bytes::from(vec![0x5A; BLOB_BYTES]);

    let mut last: Option<Receipt> = None;
    let meter = Meter::start(layout, "put");
    for _ in 0..ROUNDS {
        if let Some(old) = last.take() {
            blobs.delete(location(&old).fragments()).await;
        }
        last = Some(put(&blobs, layout, &data).await);
    }
    meter.stop();
    let receipt = last.expect("there was a round");

    get(&blobs, &receipt, "get").await;
    for (drive, id) in location(&receipt)
        .fragments()
        .take(usize::from(layout.m().min(2)))
    {
        store.lose(drive, &id);
    }
    get(&blobs, &receipt, "get, degraded").await;
}

fn encode(layout: Layout, code: Code, block_len: usize) {
    let codec = Reference::new();
    let data = vec![vec![0x5A; block_len]; code.k()];
    let mut parity = vec![vec![0; block_len]; code.m()];
    let inputs: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
    let mut outputs: Vec<&mut [u8]> = parity.iter_mut().map(Vec::as_mut_slice).collect();
    let meter = Meter::start(layout, "encode only");
    for _ in 0..BLOB_BYTES * ROUNDS / (block_len * code.k()) {
        codec
            .encode(code, black_box(&inputs), &mut outputs)
            .expect("the shape is right");
    }
    meter.stop();
}

async fn put(blobs: &Blobs, layout: Layout, data: &Bytes) -> Receipt {
    let spec = PutSpec {
        blob: BlobId::generate(),
        len: data.len() as u64,
        layout,
        region: testing::region(),
        generation: Generation(0),
        protect: FailureDomain::Drive,
        quorum: None,
    };
    let chunks = (0..data.len()).step_by(CHUNK_BYTES);
    let body = stream::iter(
        chunks.map(|at| Ok::<_, Infallible>(data.slice(at..(at + CHUNK_BYTES).min(data.len())))),
    );
    blobs.put(spec, body).await.expect("all drives are well")
}

async fn get(blobs: &Blobs, receipt: &Receipt, step: &'static str) {
    let meter = Meter::start(receipt.placement.layout, step);
    for _ in 0..ROUNDS {
        let mut parts = blobs.get(location(receipt), 0..receipt.len);
        let mut len = 0;
        while let Some(part) = parts.next().await {
            len += part.expect("k drives are well").len();
        }
        assert_eq!(len, BLOB_BYTES);
    }
    meter.stop();
}

fn location(receipt: &Receipt) -> BlobLocation {
    BlobLocation {
        blob: receipt.blob,
        len: receipt.len,
        placement: receipt.placement.clone(),
    }
}

struct Meter {
    layout: Layout,
    step: &'static str,
    cpu_seconds: f64,
    start: std::time::Instant,
}

impl Meter {
    fn start(layout: Layout, step: &'static str) -> Self {
        Self {
            layout,
            step,
            cpu_seconds: cpu_seconds(),
            start: std::time::Instant::now(),
        }
    }

    fn stop(self) {
        let gigabytes = (BLOB_BYTES * ROUNDS) as f64 / 1e9;
        let cpu = (cpu_seconds() - self.cpu_seconds) / gigabytes;
        let rate = gigabytes / self.start.elapsed().as_secs_f64();
        println!(
            "{:<11} {:<16} {cpu:>8.3} {rate:>8.2}",
            self.layout.to_string(),
            self.step
        );
    }
}

/// User and system time of this process: fields 14 and 15, in ticks of 10 ms.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("this example needs Linux");
    let after_name = stat.rsplit_once(')').expect("the name is in parentheses").1;
    let ticks = after_name.split_whitespace().skip(11).take(2);
    ticks
        .map(|ticks| ticks.parse::<f64>().expect("ticks are a number"))
        .sum::<f64>()
        / 100.0
}
