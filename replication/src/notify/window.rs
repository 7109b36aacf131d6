//! The events of one webhook that were read from the log and are not all done: which may be posted
//! now, and how far everything is done.
//!
//! Events stand in the order of the log. Those of one key wait for each other; those of different
//! keys don't. What is done in the middle stays in its place until all before it is done, because
//! the durable place in the log is one cursor: after a crash what stood behind it is posted again.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use holdfast_metadata::model::{BucketId, ChangeCursor};
use holdfast_types::mutant::{self, Mutant};
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
    /// A key whose events wait for something that is posted beside them.
    held: Option<Held>,
    /// How far the log was read.
    read_to: ChangeCursor,
}

#[derive(Debug)]
struct Held {
    key: KeyName,
    /// Its first event with its time, if it is not under way.
    first: Option<(Instant, Slot)>,
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
            held: None,
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
        if mutant::active(Mutant::CursorFirst) {
            return self.read_to;
        }
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
        queue.push_back(slot);
        if queue.len() == 1 {
            self.make_ready(&key, Some((now, slot)));
        }
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
    pub(super) fn key(&self, slot: Slot) -> Option<&KeyName> {
        let entry = self.entries.get(self.index(slot)?)?;
        Some(&entry.waiting.as_ref()?.key)
    }

    /// From now on no event of this key is given out, until `release`. One key at a time.
    pub(super) fn hold(&mut self, key: KeyName) {
        self.release();
        let first = self.keys.get(&key).and_then(|queue| queue.front());
        let first = first.and_then(|slot| self.ready.iter().find(|(_, one)| one == slot));
        let first = first.copied();
        if let Some(first) = first {
            self.ready.remove(&first);
        }
        self.held = Some(Held { key, first });
    }

    /// Whether no event of the key that is held is under way.
    pub(super) fn is_free(&self) -> bool {
        let is_free = |held: &Held| held.first.is_some() || !self.keys.contains_key(&held.key);
        self.held.as_ref().is_none_or(is_free)
    }

    /// The events of the key that was held may go on.
    pub(super) fn release(&mut self) {
        let held = self.held.take();
        self.ready.extend(held.and_then(|held| held.first));
    }

    /// A key's first event may be posted from then on, unless the key is held.
    fn make_ready(&mut self, key: &KeyName, first: Option<(Instant, Slot)>) {
        match &mut self.held {
            Some(held) if held.key == *key => held.first = first,
            _ => self.ready.extend(first),
        }
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
        if let Some(key) = self.key(slot).cloned() {
            self.make_ready(&key, Some((at, slot)));
        }
    }

    /// It is not to be posted again after all.
    pub(super) fn drop_retry(&mut self, slot: Slot) {
        self.ready.retain(|(_, waiting)| *waiting != slot);
        if let Some(held) = &mut self.held {
            held.first.take_if(|(_, waiting)| *waiting == slot);
        }
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
            let next = queue.front().map(|next| (now, *next));
            if next.is_none() {
                self.keys.remove(&waiting.key);
            }
            self.make_ready(&waiting.key, next);
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

    #[tokio::test(start_paused = true)]
    async fn a_key_that_is_held_waits_and_others_do_not() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let key = |name: &str| (BucketId(1), name.as_bytes().into());
        let mut window = Window::new(at(10));
        push(&mut window, 11, "a", now);
        push(&mut window, 12, "b", now);
        push(&mut window, 13, "a", now);
        let (a1, _) = take(&mut window, now).unwrap();
        window.hold(key("a"));
        assert!(!window.is_free(), "a11 is under way");
        let (b1, body) = take(&mut window, now).unwrap();
        assert_eq!(body, "b12");
        window.again(a1, later);
        assert!(window.is_free());
        assert_eq!(take(&mut window, later), None, "a is held");
        window.release();
        assert_eq!(take(&mut window, now), None, "a11 keeps its time");
        let (a1, body) = take(&mut window, later).unwrap();
        assert_eq!(body, "a11");

        window.hold(key("a"));
        window.done(a1, later);
        assert!(window.is_free());
        assert_eq!(take(&mut window, later), None, "a13 waits");
        window.release();
        let (a2, body) = take(&mut window, later).unwrap();
        assert_eq!(body, "a13");
        window.hold(key("a"));
        window.again(a2, later);
        window.drop_retry(a2);
        window.done(a2, later);
        assert!(window.is_free(), "there is none of it");
        push(&mut window, 14, "a", later);
        assert!(window.is_free());
        assert_eq!(
            take(&mut window, later),
            None,
            "nor is what comes meanwhile"
        );
        window.release();
        let (a3, body) = take(&mut window, later).unwrap();
        assert_eq!(body, "a14");

        window.done(b1, later);
        window.done(a3, later);
        assert_eq!(window.done_to(), at(14));
        window.hold(key("c"));
        assert!(window.is_free(), "a key of which nothing is known");
        window.release();
        assert_eq!((window.len(), window.next_at()), (0, None));
    }
}
