//! Blocks in, blocks out: the codec as the data path uses it.
//!
//! Copies are made here (a copy is a reference, no byte moves). Small work is done where it is
//! asked for; work that would keep other requests from running goes to the blocking threads.

use std::sync::Arc;

use bytes::Bytes;
use holdfast_codec::{Code, Codec};
use holdfast_types::Layout;
use holdfast_types::mutant::{self, Mutant};

/// Multiply-adds that are done in place: the reference codec does 5 GB/s, so this is 0.1 ms, about
/// what a task may take between two awaits; handing work to another thread costs 0.02 ms.
const INLINE_WORK_BYTES: usize = 512 << 10;

pub(crate) struct Coder {
    codec: Arc<dyn Codec>,
}

impl Coder {
    pub(crate) fn new(codec: Arc<dyn Codec>) -> Self {
        Self { codec }
    }

    /// All `k + m` blocks of a stripe, from its `k` data blocks of one length.
    pub(crate) async fn encode(&self, layout: Layout, data: Vec<Vec<u8>>) -> Vec<Bytes> {
        let m = usize::from(layout.m());
        if let Layout::Copies { n } = layout {
            let block = Bytes::from(data.into_iter().next().expect("copies have one data block"));
            return vec![block; usize::from(n)];
        }
        let work = data.len() * m * data[0].len();
        let codec = Arc::clone(&self.codec);
        run(work, move || {
            let mut parity = vec![vec![0; data[0].len()]; m];
            if m > 0 {
                let inputs: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
                let mut outputs: Vec<&mut [u8]> =
                    parity.iter_mut().map(Vec::as_mut_slice).collect();
                codec
                    .encode(code(layout), &inputs, &mut outputs)
                    .expect("k data blocks and m parity blocks of one length");
                if mutant::active(Mutant::WrongParity)
                    && let Some(byte) = parity[m - 1].last_mut()
                {
                    *byte ^= 1;
                }
            }
            data.into_iter().chain(parity).map(Bytes::from).collect()
        })
        .await
    }

    /// The `missing` blocks of a stripe, from any `k` others of the same length.
    pub(crate) async fn rebuild(
        &self,
        layout: Layout,
        sources: Vec<(usize, Bytes)>,
        missing: Vec<usize>,
    ) -> Vec<Bytes> {
        assert!(
            sources.len() >= usize::from(layout.k()),
            "a rebuild takes k blocks"
        );
        if matches!(layout, Layout::Copies { .. }) {
            return vec![sources[0].1.clone(); missing.len()];
        }
        let len = sources[0].1.len();
        let work = usize::from(layout.k()) * missing.len() * len;
        let codec = Arc::clone(&self.codec);
        run(work, move || {
            let mut blocks = vec![vec![0; len]; missing.len()];
            let inputs: Vec<(usize, &[u8])> = sources
                .iter()
                .map(|(index, block)| (*index, block.as_ref()))
                .collect();
            let mut outputs: Vec<(usize, &mut [u8])> = missing
                .into_iter()
                .zip(blocks.iter_mut().map(Vec::as_mut_slice))
                .collect();
            codec
                .reconstruct(code(layout), &inputs, &mut outputs)
                .expect("k different blocks of the stripe, all of one length");
            drop(outputs);
            blocks.into_iter().map(Bytes::from).collect()
        })
        .await
    }
}

fn code(layout: Layout) -> Code {
    Code::new(layout.k(), layout.m()).expect("a checked layout's k and m are the codec's")
}

/// Does the work here if it is little, else on a blocking thread.
async fn run<T: Send + 'static>(work: usize, task: impl FnOnce() -> T + Send + 'static) -> T {
    if work <= INLINE_WORK_BYTES {
        return task();
    }
    match tokio::task::spawn_blocking(task).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is going away, and this task with it.
            Err(_) => std::future::pending().await,
        },
    }
}
