//! How much memory requests may hold at once: the bound that the store's RSS rests on.
//!
//! A request takes its whole share once, before it moves a byte, and gives it back when it ends.
//! Nobody waits for a share while holding one of the same budget. What is free goes to the sharer
//! (a client, or the store's own work) that holds least, and of two that hold the same to who asked
//! first; it is kept for that one until it is enough, so that no big request starves. So a client
//! with hundreds of requests makes its own wait, and another one with few is served before them.
//! Who would wait too long, or behind too many, is told that the store is busy; where the queue is
//! full, who has most waiting in it gives way.
//!
//! **The bound.** Blocks that requests hold are at most the budget, or the need of one request
//! where that alone is more (such a request runs alone). Not counted: what a body's own stream
//! buffers before it hands out a chunk, and what a fragment store keeps after it took a block.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

/// Shares are counted in pages: a fragment's block is many of them.
const UNIT_BYTES: u64 = 4096;

/// How long a request waits for its share: shorter than any client's own patience, so that it
/// hears "slow down" and not nothing.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(10);

/// How many requests may wait: what would not be served within [`MAX_WAIT`] anyway.
pub(crate) const MAX_WAITING: usize = 1024;

/// The memory budget is used up and the queue for it is too long. Try again later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many requests at once: the memory budget of {budget_bytes} bytes is in use")]
pub struct Busy {
    /// The budget.
    pub budget_bytes: u64,
}

/// With whom memory is shared fairly: each client is one, by a number that the caller gives it. The
/// default one is the store's own work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Sharer(pub u128);

/// A number of bytes that requests share.
#[derive(Debug)]
pub(crate) struct Budget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    units: u64,
    /// As in the queue, for who asks often.
    waiting: AtomicUsize,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    used: u64,
    waiting: usize,
    /// Who holds something or waits.
    sharers: HashMap<Sharer, Account>,
    /// Requests that were given a share and do not know it yet.
    unclaimed: HashSet<u64>,
    asked: u64,
}

#[derive(Debug, Default)]
struct Account {
    held: u64,
    waiting: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    /// In the order of asking.
    number: u64,
    units: u64,
    /// Dropped without a word where it has to give way.
    given: oneshot::Sender<()>,
}

/// A request's part of the budget, given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    shared: Arc<Shared>,
    sharer: Sharer,
    units: u64,
}

impl Budget {
    pub(crate) fn new(bytes: u64) -> Self {
        Self {
            shared: Arc::new(Shared {
                units: bytes.div_ceil(UNIT_BYTES).max(1),
                waiting: AtomicUsize::new(0),
                queue: Mutex::default(),
            }),
        }
    }

    /// Waits for `bytes`, or for all there is where that is less.
    ///
    /// # Errors
    /// `Busy` after [`MAX_WAIT`], or at once where the queue is full.
    pub(crate) async fn acquire(&self, bytes: u64, sharer: Sharer) -> Result<Share, Busy> {
        let units = bytes.div_ceil(UNIT_BYTES).min(self.shared.units);
        let busy = Busy {
            budget_bytes: self.shared.units * UNIT_BYTES,
        };
        let (place, given) = self.shared.enter(sharer, units).ok_or(busy)?;
        match tokio::time::timeout(MAX_WAIT, given).await {
            Ok(Ok(())) => Ok(place.claim()),
            Ok(Err(_gave_way)) => Err(busy),
            Err(_too_long) => Err(busy),
        }
    }

    /// Whether someone waits for a share.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.shared.waiting.load(Ordering::Relaxed) > 0
    }

    /// Bytes that requests hold now.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.shared.queue().used * UNIT_BYTES
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a request; `None` if there is no room for it.
    fn enter(
        self: &Arc<Self>,
        sharer: Sharer,
        units: u64,
    ) -> Option<(Place, oneshot::Receiver<()>)> {
        let mut queue = self.queue();
        if queue.waiting >= MAX_WAITING && !queue.make_room_for(sharer) {
            return None;
        }
        let (give, given) = oneshot::channel();
        let number = queue.asked;
        queue.asked += 1;
        let waiter = Waiter {
            number,
            units,
            given: give,
        };
        let account = queue.sharers.entry(sharer).or_default();
        account.waiting.push_back(waiter);
        queue.waiting += 1;
        self.serve(&mut queue);
        let place = Place {
            shared: Arc::clone(self),
            sharer,
            units,
            number,
        };
        Some((place, given))
    }

    /// Gives what is free to those who wait.
    fn serve(&self, queue: &mut Queue) {
        while let Some(next) = queue.next() {
            let free = self.units - queue.used;
            let Some(account) = queue.sharers.get_mut(&next) else {
                break;
            };
            let Some(waiter) = account.waiting.pop_front_if(|first| first.units <= free) else {
                break;
            };
            account.held += waiter.units;
            queue.used += waiter.units;
            queue.waiting -= 1;
            queue.unclaimed.insert(waiter.number);
            // Who has gone meanwhile gives it back when its place is dropped.
            let _gone = waiter.given.send(());
        }
        self.waiting.store(queue.waiting, Ordering::Relaxed);
    }

    fn give_back(&self, queue: &mut Queue, sharer: Sharer, units: u64) {
        queue.used -= units;
        if let Some(account) = queue.sharers.get_mut(&sharer) {
            account.held -= units;
        }
    }
}

impl Queue {
    /// Who is to be given something next.
    fn next(&self) -> Option<Sharer> {
        if self.waiting == 0 {
            return None;
        }
        self.sharers
            .iter()
            .filter_map(|(sharer, it)| Some((it.held, it.waiting.front()?.number, *sharer)))
            .min_by_key(|(held, number, _)| (*held, *number))
            .map(|(.., sharer)| sharer)
    }

    /// Lets the newest request of who has most waiting give way, if that is more than `sharer` has.
    fn make_room_for(&mut self, sharer: Sharer) -> bool {
        let own = self.sharers.get(&sharer).map_or(0, |it| it.waiting.len());
        let most = self.sharers.values_mut().max_by_key(|it| it.waiting.len());
        let gave_way = most
            .filter(|most| most.waiting.len() > own + 1)
            .and_then(|most| most.waiting.pop_back());
        self.waiting -= usize::from(gave_way.is_some());
        gave_way.is_some()
    }

    /// Forgets a sharer that neither holds nor waits.
    fn tidy(&mut self, sharer: Sharer) {
        if let Some(account) = self.sharers.get(&sharer)
            && account.held == 0
            && account.waiting.is_empty()
        {
            self.sharers.remove(&sharer);
        }
    }
}

/// A request's place in the queue; it is left when dropped (the request may be cancelled).
struct Place {
    shared: Arc<Shared>,
    sharer: Sharer,
    units: u64,
    number: u64,
}

impl Place {
    fn claim(self) -> Share {
        self.shared.queue().unclaimed.remove(&self.number);
        Share {
            shared: Arc::clone(&self.shared),
            sharer: self.sharer,
            units: self.units,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut queue = self.shared.queue();
        if queue.unclaimed.remove(&self.number) {
            self.shared.give_back(&mut queue, self.sharer, self.units);
        } else if let Some(account) = queue.sharers.get_mut(&self.sharer) {
            let before = account.waiting.len();
            account
                .waiting
                .retain(|waiter| waiter.number != self.number);
            let left = before - account.waiting.len();
            queue.waiting -= left;
        }
        queue.tidy(self.sharer);
        self.shared.serve(&mut queue);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut queue = self.shared.queue();
        self.shared.give_back(&mut queue, self.sharer, self.units);
        queue.tidy(self.sharer);
        self.shared.serve(&mut queue);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Sharer = Sharer(1);
    const OTHER: Sharer = Sharer(2);

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_is_told() {
        let budget = Budget::new(3 * UNIT_BYTES);
        let held = budget.acquire(2 * UNIT_BYTES, ONE).await.unwrap();
        assert_eq!(budget.used_bytes(), 2 * UNIT_BYTES);
        let start = tokio::time::Instant::now();
        let busy = budget.acquire(2 * UNIT_BYTES, ONE).await.unwrap_err();
        assert_eq!(
            busy,
            Busy {
                budget_bytes: 3 * UNIT_BYTES
            }
        );
        assert_eq!(start.elapsed(), MAX_WAIT);
        drop(held);
        drop(budget.acquire(2 * UNIT_BYTES, ONE).await.unwrap());
        assert_eq!(budget.used_bytes(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_queue_is_bounded_and_a_cancelled_waiter_leaves_it() {
        let budget = Arc::new(Budget::new(UNIT_BYTES));
        let held = budget.acquire(1, ONE).await.unwrap();
        let waiters: Vec<_> = (0..MAX_WAITING)
            .map(|_| {
                let budget = Arc::clone(&budget);
                tokio::spawn(async move { budget.acquire(1, ONE).await.map(drop) })
            })
            .collect();
        while budget.shared.waiting.load(Ordering::Relaxed) < MAX_WAITING {
            tokio::task::yield_now().await;
        }
        let start = tokio::time::Instant::now();
        assert!(budget.acquire(1, ONE).await.is_err());
        assert_eq!(start.elapsed(), Duration::ZERO, "refused without a wait");
        for waiter in waiters {
            waiter.abort();
            assert!(waiter.await.unwrap_err().is_cancelled());
        }
        assert!(!budget.is_waited_for());
        drop(held);
        assert!(budget.acquire(1, ONE).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_bigger_than_the_budget_runs_alone_and_does_not_starve() {
        let budget = Arc::new(Budget::new(4 * UNIT_BYTES));
        let small = budget.acquire(UNIT_BYTES, ONE).await.unwrap();
        let big = tokio::spawn({
            let budget = Arc::clone(&budget);
            async move { budget.acquire(1 << 40, ONE).await }
        });
        tokio::task::yield_now().await;
        let later = tokio::spawn({
            let budget = Arc::clone(&budget);
            async move { budget.acquire(UNIT_BYTES, ONE).await }
        });
        tokio::task::yield_now().await;
        assert!(
            !later.is_finished(),
            "the small one queues behind the big one"
        );
        drop(small);
        let big = big.await.unwrap().unwrap();
        assert_eq!(budget.used_bytes(), 4 * UNIT_BYTES);
        drop(big);
        assert!(later.await.unwrap().is_ok());
    }

    /// One client asks for more than there is, over and over; another asks once.
    #[tokio::test(start_paused = true)]
    async fn who_holds_least_is_served_first() {
        let budget = Arc::new(Budget::new(4 * UNIT_BYTES));
        let (served, mut serves) = tokio::sync::mpsc::unbounded_channel();
        let first = budget.acquire(4 * UNIT_BYTES, ONE).await.unwrap();
        let ask = |sharer: Sharer| {
            let (budget, served) = (Arc::clone(&budget), served.clone());
            tokio::spawn(async move {
                let share = budget.acquire(2 * UNIT_BYTES, sharer).await.unwrap();
                served.send(sharer).unwrap();
                tokio::time::sleep(Duration::from_secs(1)).await;
                drop(share);
            })
        };
        let greedy: Vec<_> = (0..6).map(|_| ask(ONE)).collect();
        tokio::time::sleep(Duration::from_millis(1)).await;
        let modest = ask(OTHER);
        tokio::time::sleep(Duration::from_millis(1)).await;
        drop(first);
        modest.await.unwrap();
        for one in greedy {
            one.await.unwrap();
        }
        let order: Vec<Sharer> = std::iter::from_fn(|| serves.try_recv().ok()).collect();
        assert_eq!(order.len(), 7);
        let turn = order.iter().position(|sharer| *sharer == OTHER).unwrap();
        assert!(
            turn < 2,
            "it waits for one of the other's at most: {order:?}"
        );
        assert_eq!(budget.used_bytes(), 0);
        assert!(
            budget.shared.queue().sharers.is_empty(),
            "nobody is remembered"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_most_waiting_gives_way_in_a_full_queue() {
        let budget = Arc::new(Budget::new(UNIT_BYTES));
        let held = budget.acquire(1, ONE).await.unwrap();
        let crowd: Vec<_> = (0..MAX_WAITING)
            .map(|_| {
                let budget = Arc::clone(&budget);
                tokio::spawn(async move { budget.acquire(1, ONE).await.map(drop) })
            })
            .collect();
        while budget.shared.waiting.load(Ordering::Relaxed) < MAX_WAITING {
            tokio::task::yield_now().await;
        }
        let other = tokio::spawn({
            let budget = Arc::clone(&budget);
            async move { budget.acquire(1, OTHER).await.map(drop) }
        });
        while !crowd[MAX_WAITING - 1].is_finished() {
            tokio::task::yield_now().await;
        }
        assert!(!other.is_finished());
        drop(held);
        other.await.unwrap().expect("it has its turn");
        let mut refused = 0;
        for one in crowd {
            refused += usize::from(one.await.unwrap().is_err());
        }
        assert_eq!(refused, 1, "the newest alone");
    }

    /// Cancelled at any moment, also between being given a share and knowing it.
    #[tokio::test(start_paused = true)]
    async fn whatever_is_cancelled_nothing_is_lost() {
        use rand::rngs::StdRng;
        use rand::{RngExt, SeedableRng};
        let mut random = StdRng::seed_from_u64(1);
        let budget = Arc::new(Budget::new(10 * UNIT_BYTES));
        let mut tasks = Vec::new();
        for _ in 0..500 {
            let sharer = Sharer(random.random_range(0..5));
            let bytes = random.random_range(1..14) * UNIT_BYTES;
            let held = Duration::from_millis(random.random_range(0..20));
            let patience = Duration::from_millis(random.random_range(0..200));
            let budget = Arc::clone(&budget);
            tasks.push(tokio::spawn(tokio::time::timeout(patience, async move {
                let share = budget.acquire(bytes, sharer).await;
                assert!(budget.used_bytes() <= 10 * UNIT_BYTES);
                tokio::time::sleep(held).await;
                drop(share);
            })));
            if random.random_range(0..3) == 0 {
                tokio::time::sleep(Duration::from_millis(random.random_range(0..10))).await;
            }
        }
        for task in tasks {
            let _done_or_cancelled = task.await.unwrap();
        }
        assert_eq!(budget.used_bytes(), 0);
        let queue = budget.shared.queue();
        assert!(
            queue.sharers.is_empty() && queue.unclaimed.is_empty(),
            "{queue:?}"
        );
    }
}
