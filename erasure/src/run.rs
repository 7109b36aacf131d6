//! A run of stripes being read: wanted blocks come out in order, whatever fails on the way.
//!
//! Every wanted block is asked of its own drive, consecutive blocks of a fragment in one call.
//! A block that is missing, rotten, late, or on a drive that is known to be in trouble, is rebuilt
//! from any `k` other blocks of its stripe, which are asked for only then. What is late is still
//! welcome if it comes first. Memory: at most `k + m` blocks for each stripe of the run.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use holdfast_types::{DriveId, ReadBlocks, StoreError};
use tokio::time::{Instant, sleep_until, timeout};

use crate::failure::Damage;
use crate::health::Use;
use crate::reading::{Reading, Unavailable, Wanted};

/// A drive that has not answered by then has failed, even if there is no other to ask.
pub(crate) const READ_DEADLINE: Duration = Duration::from_secs(30);

/// What is known of one block of the run.
#[derive(Debug, Clone)]
enum Cell {
    Unasked,
    Asked,
    /// Asked for, and others are asked because it takes too long.
    Late,
    Have(Bytes),
    Bad,
}

/// A call to a drive, under way.
struct Call {
    fragment: usize,
    drive: DriveId,
    stripes: Range<usize>,
    started: Instant,
    late_at: Instant,
}

struct Answer {
    call: usize,
    result: Result<ReadBlocks, Option<StoreError>>,
}

/// The state of one run.
pub(crate) struct Run {
    reading: Arc<Reading>,
    first: u64,
    /// By stripe of the run, then by fragment.
    cells: Vec<Vec<Cell>>,
    wanted: VecDeque<Wanted>,
    calls: Vec<Option<Call>>,
    answers: FuturesUnordered<BoxFuture<'static, Answer>>,
}

impl Run {
    /// Begins to read the `wanted` blocks of `stripes`.
    pub(crate) fn start(
        reading: Arc<Reading>,
        stripes: Range<u64>,
        wanted: impl IntoIterator<Item = Wanted>,
    ) -> Self {
        let width = usize::from(reading.location.placement.layout.width());
        let unknown: Vec<Cell> = (0..width)
            .map(|index| reading.drive(index).map_or(Cell::Bad, |_| Cell::Unasked))
            .collect();
        let mut run = Self {
            first: stripes.start,
            cells: stripes.map(|_| unknown.clone()).collect(),
            wanted: wanted.into_iter().collect(),
            calls: Vec::new(),
            answers: FuturesUnordered::new(),
            reading,
        };
        run.ask_for_wanted();
        run
    }

    /// The next wanted block; `None` when all were given. After an error there is nothing more.
    pub(crate) async fn next(&mut self) -> Option<Result<(Wanted, Bytes), Unavailable>> {
        let wanted = *self.wanted.front()?;
        let at = self.row(wanted.stripe);
        loop {
            if let Cell::Have(block) = &self.cells[at][wanted.fragment] {
                let block = block.clone();
                self.wanted.pop_front();
                return Some(Ok((wanted, block)));
            }
            if let Err(unavailable) = self.mend().await {
                self.wanted.clear();
                return Some(Err(unavailable));
            }
            if !matches!(self.cells[at][wanted.fragment], Cell::Have(_)) {
                self.wait().await;
            }
        }
    }

    fn row(&self, stripe: u64) -> usize {
        usize::try_from(stripe - self.first).expect("a run has few stripes")
    }

    /// Asks every wanted block of its own drive, unless that drive is in trouble.
    fn ask_for_wanted(&mut self) {
        let mut by_fragment: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for wanted in &self.wanted {
            by_fragment
                .entry(wanted.fragment)
                .or_default()
                .push(self.row(wanted.stripe));
        }
        for (fragment, rows) in by_fragment {
            let drive = self.reading.drive(fragment);
            if drive.is_some_and(|drive| !self.reading.shared.health.suspect(drive, Use::Read)) {
                self.ask(fragment, &rows);
            }
        }
    }

    /// Asks for the blocks of a fragment that were not asked for, consecutive ones in one call.
    fn ask(&mut self, fragment: usize, rows: &[usize]) {
        let Some(drive) = self.reading.drive(fragment) else {
            rows.iter()
                .for_each(|&row| self.cells[row][fragment] = Cell::Bad);
            return;
        };
        let mut open: Option<Range<usize>> = None;
        for &row in rows {
            if !matches!(self.cells[row][fragment], Cell::Unasked) {
                continue;
            }
            self.cells[row][fragment] = Cell::Asked;
            open = Some(match open {
                Some(range) if range.end == row => range.start..row + 1,
                Some(range) => {
                    self.call(fragment, drive, range);
                    row..row + 1
                }
                None => row..row + 1,
            });
        }
        if let Some(range) = open {
            self.call(fragment, drive, range);
        }
    }

    fn call(&mut self, fragment: usize, drive: DriveId, stripes: Range<usize>) {
        self.reading.shared.counting.reads.add(1);
        let started = Instant::now();
        let late_at = started + self.reading.shared.health.hedge_after();
        let store = Arc::clone(&self.reading.shared.store);
        let header = self.reading.location.header(fragment);
        let first = self.first + stripes.start as u64;
        let count = stripes.len() as u64;
        let call = self.calls.len();
        self.calls.push(Some(Call {
            fragment,
            drive,
            stripes,
            started,
            late_at,
        }));
        self.answers.push(Box::pin(async move {
            let read = store.read(drive, &header, first, count);
            let result = match timeout(READ_DEADLINE, read).await {
                Ok(result) => result.map_err(Some),
                Err(_) => Err(None),
            };
            Answer { call, result }
        }));
    }

    /// Waits for an answer, or for one to be late.
    async fn wait(&mut self) {
        let late = |cell: &Cell| matches!(cell, Cell::Asked);
        let next_late = self
            .calls
            .iter()
            .flatten()
            .filter(|call| late(&self.cells[call.stripes.start][call.fragment]))
            .map(|call| call.late_at)
            .min();
        tokio::select! {
            biased;
            Some(answer) = self.answers.next() => self.take(answer),
            () = sleep_until(next_late.unwrap_or_else(Instant::now)), if next_late.is_some() => {
                self.mark_late(Instant::now());
            }
        }
    }

    fn mark_late(&mut self, now: Instant) {
        for call in self
            .calls
            .iter()
            .flatten()
            .filter(|call| call.late_at <= now)
        {
            let mut newly = false;
            for row in call.stripes.clone() {
                let cell = &mut self.cells[row][call.fragment];
                if matches!(cell, Cell::Asked) {
                    *cell = Cell::Late;
                    newly = true;
                }
            }
            if newly {
                self.reading.shared.counting.reads_late.add(1);
                self.reading.shared.health.late(call.drive, Use::Read);
            }
        }
    }

    /// Takes an answer in.
    fn take(&mut self, answer: Answer) {
        let call = self.calls[answer.call]
            .take()
            .expect("a call is answered once");
        let elapsed = call.started.elapsed();
        match answer.result {
            Ok(read) => {
                self.reading.shared.health.read_took(elapsed);
                if Instant::now() < call.late_at {
                    self.reading.shared.health.good(call.drive, Use::Read);
                }
                self.take_blocks(&call, read.blocks);
            }
            Err(error) => {
                self.reading.shared.counting.reads_failed.add(1);
                self.take_error(&call, error);
                self.set(&call, |_| Cell::Bad);
            }
        }
    }

    fn take_blocks(&mut self, call: &Call, blocks: Vec<Option<Bytes>>) {
        let header = self.reading.location.header(call.fragment);
        let mut blocks = blocks.into_iter();
        let mut rotten = 0_usize;
        let first = self.first;
        self.set(call, |row| {
            let expected = header.block_len(first + row as u64) as usize;
            match blocks.next().flatten() {
                Some(block) if block.len() == expected => Cell::Have(block),
                _ => {
                    rotten += 1;
                    Cell::Bad
                }
            }
        });
        if rotten > 0 {
            self.reading.shared.counting.blocks_rotten.add(rotten);
            let reason = format!("{rotten} blocks do not match their checksums");
            self.reading.failed(call.fragment, reason);
            self.reading
                .damaged(call.fragment, call.drive, Damage::Corrupt);
        }
    }

    fn take_error(&self, call: &Call, error: Option<StoreError>) {
        let Call {
            fragment, drive, ..
        } = *call;
        let reading = &self.reading;
        let reason = match &error {
            Some(error) => error.to_string(),
            None => format!(
                "drive {drive} did not answer in {} s",
                READ_DEADLINE.as_secs()
            ),
        };
        reading.failed(fragment, reason);
        match error {
            Some(StoreError::NotFound { .. }) => {
                reading.gone(fragment);
                reading.damaged(fragment, drive, Damage::Missing);
            }
            Some(StoreError::Corrupt { .. }) => {
                reading.gone(fragment);
                reading.damaged(fragment, drive, Damage::Corrupt);
            }
            Some(StoreError::Unavailable { .. } | StoreError::Io { .. }) | None => {
                reading.shared.health.failed(drive, Use::Read);
            }
            Some(error @ (StoreError::Exists { .. } | StoreError::Contract(_))) => {
                tracing::error!(%error, "a read was refused as wrong");
            }
        }
    }

    /// Sets the cells of a call that are still open.
    fn set(&mut self, call: &Call, mut to: impl FnMut(usize) -> Cell) {
        for row in call.stripes.clone() {
            let new = to(row);
            let cell = &mut self.cells[row][call.fragment];
            if !matches!(cell, Cell::Have(_)) {
                *cell = new;
            }
        }
    }

    /// Rebuilds the wanted blocks that are in trouble, or asks for what that takes.
    async fn mend(&mut self) -> Result<(), Unavailable> {
        let troubled = self.troubled();
        for (&row, fragments) in &troubled {
            let have = self.count(row, |cell| matches!(cell, Cell::Have(_)));
            if have >= self.k() {
                self.rebuild(row, fragments).await;
            } else if let Err(unavailable) = self.ask_others(row, &troubled)
                && self
                    .wanted
                    .front()
                    .is_some_and(|front| self.row(front.stripe) == row)
            {
                return Err(unavailable); // In a later stripe: not before what comes first is out.
            }
        }
        Ok(())
    }

    /// The wanted blocks, by stripe, that will not come from their own drive, or not in time.
    fn troubled(&self) -> BTreeMap<usize, Vec<usize>> {
        let mut troubled: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for wanted in &self.wanted {
            let row = self.row(wanted.stripe);
            if matches!(
                self.cells[row][wanted.fragment],
                Cell::Unasked | Cell::Late | Cell::Bad
            ) {
                troubled.entry(row).or_default().push(wanted.fragment);
            }
        }
        troubled
    }

    fn k(&self) -> usize {
        usize::from(self.reading.location.placement.layout.k())
    }

    fn count(&self, row: usize, which: impl Fn(&Cell) -> bool) -> usize {
        self.cells[row].iter().filter(|cell| which(cell)).count()
    }

    async fn rebuild(&mut self, row: usize, missing: &[usize]) {
        let sources = self.cells[row]
            .iter()
            .enumerate()
            .filter_map(|(index, cell)| match cell {
                Cell::Have(block) => Some((index, block.clone())),
                Cell::Unasked | Cell::Asked | Cell::Late | Cell::Bad => None,
            });
        let sources: Vec<_> = sources.take(self.k()).collect();
        let layout = self.reading.location.placement.layout;
        let coder = &self.reading.shared.coder;
        let blocks = coder.rebuild(layout, sources, missing.to_vec()).await;
        self.reading
            .shared
            .counting
            .blocks_rebuilt
            .add(blocks.len());
        for (&index, block) in missing.iter().zip(blocks) {
            self.cells[row][index] = Cell::Have(block);
        }
    }

    /// Asks so many other drives that, if all answer, the stripe can be rebuilt.
    fn ask_others(
        &mut self,
        row: usize,
        troubled: &BTreeMap<usize, Vec<usize>>,
    ) -> Result<(), Unavailable> {
        let have = self.count(row, |cell| !matches!(cell, Cell::Bad));
        if have < self.k() {
            if self.front_may_come() {
                return Ok(());
            }
            return Err(Unavailable {
                have,
                need: self.k(),
                reasons: self.reading.reasons(),
            });
        }
        while self.count(row, |cell| matches!(cell, Cell::Have(_) | Cell::Asked)) < self.k() {
            let Some(other) = self.best_other(row) else {
                break; // Those that are late will do: there are enough of them.
            };
            let rows: Vec<usize> = troubled
                .keys()
                .copied()
                .filter(|&other| other >= row)
                .collect();
            self.ask(other, &rows);
        }
        Ok(())
    }

    /// Whether the block that is to be given next may still come from its own drive.
    fn front_may_come(&self) -> bool {
        self.wanted.front().is_some_and(|front| {
            let cell = &self.cells[self.row(front.stripe)][front.fragment];
            matches!(cell, Cell::Asked | Cell::Late)
        })
    }

    /// A fragment that can still be asked for its block: healthy drives first.
    fn best_other(&self, row: usize) -> Option<usize> {
        let health = &self.reading.shared.health;
        let unasked = self.cells[row].iter().enumerate();
        let unasked = unasked.filter(|(_, cell)| matches!(cell, Cell::Unasked));
        unasked.map(|(index, _)| index).min_by_key(|&index| {
            let drive = self.reading.drive(index);
            drive.is_none_or(|drive| health.suspect(drive, Use::Read))
        })
    }
}
