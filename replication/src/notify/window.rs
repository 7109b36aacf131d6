//! The events of one webhook that were read from the log and are not all done: which may be posted
//! now, and how far everything is done.
//!
//! Events stand in the order of the log. Those of one key wait for each other; those of different
//! keys don't. What is done in the middle stays in its place until all before it is done, because
//! the durable place in the log is one cursor: after a crash what stood behind it is posted again.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use holdfast_metadata::model::{BucketId, ChangeCursor};
use tokio::time::Instant;

/// A key of a bucket.
pub(super) type KeyName = (BucketId, Arc<[u8]>);

/// An event that was read, by its place in the window since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Slot(u64);

/// What was made of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    /// The change's place.
    pub(super) cursor: ChangeCursor,
    /// S3's name.
    pub(super) name: &'static str,
    /// The bucket's name.
    pub(super) bucket_name: String,
    /// What is posted.
    pub(super) body: String,
    /// When it happened.
    pub(super) at_ms: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Window {
    /// In the order of the log; the first is not done.
    entries: VecDeque<Entry>,
    /// The slot of the first of them.
    first: u64,
    /// Slots that are not done, by key, in order: the first of each may be posted.
    keys: HashMap<KeyName, VecDeque<Slot>>,
    /// The first of each key that is not under way, by when it may be posted.
    ready: BTreeSet<(Instant, Slot)>,
    /// How far the log was read.
    read_to: ChangeCursor,
}

#[derive(Debug)]
struct Entry {
    /// The place of the row before this one.
    before: ChangeCursor,
    /// The event, until it is done.
    waiting: Option<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    key: KeyName,
    event: Arc<Event>,
    tries: u32,
    first_refused: Option<Instant>,
}

/// How often an event was tried in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Patience {
    /// How often.
    pub(super) tries: u32,
    /// Since when.
    pub(super) since: Instant,
}

impl Window {
    /// Begins after `cursor`.
    pub(super) fn new(cursor: ChangeCursor) -> Self {
        Self {
            entries: VecDeque::new(),
            first: 0,
            keys: HashMap::new(),
            ready: BTreeSet::new(),
            read_to: cursor,
        }
    }

    /// How many events are not done, or wait for one before them that is not.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Where to read on.
    pub(super) const fn read_to(&self) -> ChangeCursor {
        self.read_to
    }

    /// Everything up to here is done.
    pub(super) fn done_to(&self) -> ChangeCursor {
        self.entries
            .front()
            .map_or(self.read_to, |entry| entry.before)
    }

    /// The oldest event that is not done.
    pub(super) fn oldest(&self) -> Option<&Event> {
        let waiting = self.entries.front()?.waiting.as_ref()?;
        Some(&waiting.event)
    }

    /// A row was read that is nothing to post.
    pub(super) fn pass(&mut self, cursor: ChangeCursor) {
        self.read_to = cursor;
    }

    /// An event was read.
    pub(super) fn push(&mut self, key: KeyName, event: Event, now: Instant) {
        let slot = Slot(self.first + self.entries.len() as u64);
        let before = std::mem::replace(&mut self.read_to, event.cursor);
        let queue = self.keys.entry(key.clone()).or_default();
        if queue.is_empty() {
            self.ready.insert((now, slot));
        }
        queue.push_back(slot);
        self.entries.push_back(Entry {
            before,
            waiting: Some(Waiting {
                key,
                event: Arc::new(event),
                tries: 0,
                first_refused: None,
            }),
        });
    }

    /// When the next event may be posted, if one waits for nothing but that.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.ready.first().map(|(at, _)| *at)
    }

    /// Takes an event that may be posted now. Until `done` or `again`, no other of its key is given.
    pub(super) fn take(&mut self, now: Instant) -> Option<(Slot, Arc<Event>)> {
        let (at, slot) = *self.ready.first()?;
        if at > now {
            return None;
        }
        self.ready.pop_first();
        let event = Arc::clone(&self.waiting(slot)?.event);
        Some((slot, event))
    }

    /// The event's key.
    pub(super) fn key(&self, slot: Slot) -> Option<&[u8]> {
        let entry = self.entries.get(self.index(slot)?)?;
        Some(&entry.waiting.as_ref()?.key.1)
    }

    /// It was tried in vain.
    pub(super) fn refused(&mut self, slot: Slot, now: Instant) -> Option<Patience> {
        let waiting = self.waiting(slot)?;
        waiting.tries = waiting.tries.saturating_add(1);
        Some(Patience {
            tries: waiting.tries,
            since: *waiting.first_refused.get_or_insert(now),
        })
    }

    /// It is to be posted again, not before `at`.
    pub(super) fn again(&mut self, slot: Slot, at: Instant) {
        if self.waiting(slot).is_some() {
            self.ready.insert((at, slot));
        }
    }

    /// It is not to be posted again after all.
    pub(super) fn drop_retry(&mut self, slot: Slot) {
        self.ready.retain(|(_, waiting)| *waiting != slot);
    }

    /// It is acknowledged or put aside: the next of its key may go.
    pub(super) fn done(&mut self, slot: Slot, now: Instant) {
        let Some(entry) = self.index(slot).and_then(|at| self.entries.get_mut(at)) else {
            return;
        };
        let Some(waiting) = entry.waiting.take() else {
            return;
        };
        if let Some(queue) = self.keys.get_mut(&waiting.key) {
            queue.pop_front();
            match queue.front() {
                Some(next) => {
                    self.ready.insert((now, *next));
                }
                None => {
                    self.keys.remove(&waiting.key);
                }
            }
        }
        while self
            .entries
            .front()
            .is_some_and(|entry| entry.waiting.is_none())
        {
            self.entries.pop_front();
            self.first += 1;
        }
    }

    fn index(&self, slot: Slot) -> Option<usize> {
        usize::try_from(slot.0.checked_sub(self.first)?).ok()
    }

    fn waiting(&mut self, slot: Slot) -> Option<&mut Waiting> {
        let at = self.index(slot)?;
        self.entries.get_mut(at)?.waiting.as_mut()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(number: u64) -> ChangeCursor {
        ChangeCursor {
            transaction: 0,
            number,
        }
    }

    fn push(window: &mut Window, number: u64, key: &str, now: Instant) {
        let event = Event {
            cursor: at(number),
            name: "s3:ObjectCreated:Put",
            bucket_name: "b".to_owned(),
            body: format!("{key}{number}"),
            at_ms: number,
        };
        window.push((BucketId(1), key.as_bytes().into()), event, now);
    }

    fn take(window: &mut Window, now: Instant) -> Option<(Slot, String)> {
        let (slot, event) = window.take(now)?;
        Some((slot, event.body.clone()))
    }

    #[tokio::test(start_paused = true)]
    async fn keys_wait_for_themselves_and_the_place_for_all() {
        let now = Instant::now();
        let mut window = Window::new(at(10));
        push(&mut window, 11, "a", now);
        push(&mut window, 12, "b", now);
        window.pass(at(13));
        push(&mut window, 14, "a", now);
        window.pass(at(15));
        assert_eq!((window.read_to(), window.done_to()), (at(15), at(10)));

        let (a1, body) = take(&mut window, now).unwrap();
        assert_eq!(body, "a11");
        let (b1, body) = take(&mut window, now).unwrap();
        assert_eq!(body, "b12");
        assert_eq!(take(&mut window, now), None, "a14 waits for a11");
        window.done(b1, now);
        assert_eq!(window.done_to(), at(10), "a11 is not done");
        assert_eq!(take(&mut window, now), None);

        let patience = window.refused(a1, now).unwrap();
        assert_eq!((patience.tries, patience.since), (1, now));
        let later = now + Duration::from_secs(1);
        window.again(a1, later);
        assert_eq!(window.next_at(), Some(later));
        assert_eq!(take(&mut window, now), None);
        let (again, body) = take(&mut window, later).unwrap();
        assert_eq!((again, body.as_str()), (a1, "a11"));
        let patience = window.refused(a1, later).unwrap();
        assert_eq!((patience.tries, patience.since), (2, now));
        assert_eq!(window.oldest().unwrap().at_ms, 11);

        window.done(a1, later);
        assert_eq!(window.done_to(), at(13), "b12 is done, and 13 was nothing");
        let (a2, body) = take(&mut window, later).unwrap();
        assert_eq!(body, "a14");
        window.done(a2, later);
        assert_eq!(window.done_to(), at(15));
        assert_eq!((window.len(), window.next_at()), (0, None));
        assert!(window.keys.is_empty(), "nothing is kept of keys");
        window.done(a2, later);
        window.again(a1, later);
        assert_eq!(window.next_at(), None, "late words mean nothing");
    }
}
