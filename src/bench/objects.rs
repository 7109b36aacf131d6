//! Which objects there are, and which one is next: in turn, at random, each once, or as a mix that
//! never meets an object which is just being deleted.

use std::sync::{Mutex, PoisonError};

use super::args::{Mix, Workload};
use super::content::split_mix;

/// One object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) key: String,
    pub(crate) len: u64,
}

/// The names and sizes of all objects.
#[derive(Debug, Clone)]
pub(crate) struct Objects {
    prefix: String,
    sizes: Vec<u64>,
    /// How many there are to read: numbers from 0.
    pub(crate) count: u64,
}

/// What one operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Put(u64),
    Get(u64),
    /// The object and where the range begins.
    Range(u64, u64),
    /// The object behind which the page begins.
    List(u64),
    Head(u64),
    Delete(u64),
    Multipart(u64),
}

/// Gives out what is to be done.
#[derive(Debug)]
pub(crate) enum Chooser {
    /// All operations are of one kind.
    One(Workload),
    Mixed(Mix, Mutex<Pool>),
}

/// The objects of a mixed workload that nobody is working on.
#[derive(Debug)]
pub(crate) struct Pool {
    at_rest: Vec<u64>,
    /// The number of the next new object.
    next: u64,
}

impl Objects {
    pub(crate) fn new(prefix: String, sizes: Vec<u64>, count: u64) -> Self {
        assert!(!sizes.is_empty(), "there is always a default size");
        Self {
            prefix,
            sizes,
            count,
        }
    }

    pub(crate) fn object(&self, number: u64) -> Object {
        let len = self.sizes[(number % self.sizes.len() as u64) as usize];
        Object {
            key: format!("{}{number:010}", self.folder(len)),
            len,
        }
    }

    /// What the keys of all objects of one size begin with.
    pub(crate) fn folder(&self, len: u64) -> String {
        format!("{}/{len}/", self.prefix)
    }
}

impl Chooser {
    pub(crate) fn new(workload: Workload, mix: Mix, objects: u64) -> Self {
        match workload {
            Workload::Mixed => Self::Mixed(
                mix,
                Mutex::new(Pool {
                    at_rest: (0..objects).collect(),
                    next: objects,
                }),
            ),
            one => Self::One(one),
        }
    }

    /// What operation `number` of the run does.
    pub(crate) fn choose(&self, number: u64, objects: &Objects, range_len: u64) -> Step {
        let mut random = number;
        let random = split_mix(&mut random);
        let turn = number % objects.count;
        match self {
            Self::One(Workload::Put) => Step::Put(number),
            Self::One(Workload::Multipart) => Step::Multipart(number),
            Self::One(Workload::Delete) => Step::Delete(number),
            Self::One(Workload::Head) => Step::Head(turn),
            Self::One(Workload::List) => Step::List(random % objects.count),
            Self::One(Workload::Range) => {
                let room = objects.object(turn).len.saturating_sub(range_len);
                Step::Range(turn, random % (room + 1))
            }
            Self::One(Workload::Get | Workload::Mixed) => Step::Get(turn),
            Self::Mixed(mix, pool) => {
                let mut pool = pool.lock().unwrap_or_else(PoisonError::into_inner);
                pool.choose(*mix, random)
            }
        }
    }

    /// The operation is over: its object may be worked on again, if there still is one.
    pub(crate) fn done(&self, step: Step, went_well: bool) {
        let Self::Mixed(_, pool) = self else {
            return;
        };
        let number = match step {
            Step::Get(number) | Step::Head(number) => number,
            Step::Put(number) if went_well => number,
            _ => return,
        };
        let mut pool = pool.lock().unwrap_or_else(PoisonError::into_inner);
        pool.at_rest.push(number);
    }

    /// How many numbers may have been used, of a run that began `operations`.
    pub(crate) fn used(&self, operations: u64, objects: &Objects) -> u64 {
        match self {
            Self::One(Workload::Put | Workload::Multipart) => operations,
            Self::One(_) => objects.count,
            Self::Mixed(_, pool) => pool.lock().unwrap_or_else(PoisonError::into_inner).next,
        }
    }
}

impl Pool {
    /// A step of the kind that `random` falls on; a put while no object is at rest.
    fn choose(&mut self, mix: Mix, random: u64) -> Step {
        let [get, head, put, delete] = [mix.get, mix.head, mix.put, mix.delete].map(u64::from);
        let fell_on = (random >> 32) % (get + head + put + delete);
        if (get + head..get + head + put).contains(&fell_on) || self.at_rest.is_empty() {
            let number = self.next;
            self.next += 1;
            return Step::Put(number);
        }
        let place = (random & 0xffff_ffff) % self.at_rest.len() as u64;
        let number = self.at_rest.swap_remove(place as usize);
        if fell_on < get {
            Step::Get(number)
        } else if fell_on < get + head {
            Step::Head(number)
        } else {
            Step::Delete(number)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn objects(count: u64) -> Objects {
        Objects::new("p".to_owned(), vec![4096, 1 << 20], count)
    }

    #[test]
    fn a_name_says_size_and_number() {
        let object = objects(5).object(3);
        assert_eq!(object.key, "p/1048576/0000000003");
        assert_eq!(object.len, 1 << 20);
        assert_eq!(objects(5).object(4).len, 4096);
        assert!(objects(5).object(4).key < objects(5).object(6).key);
    }

    #[test]
    fn reads_take_turns_and_stay_within_the_objects() {
        let objects = objects(3);
        let get = Chooser::new(Workload::Get, Mix::default(), 3);
        let steps: Vec<Step> = (0..4).map(|n| get.choose(n, &objects, 0)).collect();
        let expected = [Step::Get(0), Step::Get(1), Step::Get(2), Step::Get(0)];
        assert_eq!(steps, expected);
        let range = Chooser::new(Workload::Range, Mix::default(), 3);
        let mut starts = BTreeSet::new();
        for number in 0..1000 {
            let Step::Range(object, from) = range.choose(number, &objects, 4000) else {
                panic!("ranges are ranges");
            };
            assert!(from + 4000 <= objects.object(object).len);
            starts.insert(from);
        }
        assert!(starts.len() > 300, "ranges begin anywhere");
        assert_eq!(get.used(1000, &objects), 3);
        let put = Chooser::new(Workload::Put, Mix::default(), 3);
        assert_eq!(put.used(1000, &objects), 1000);
    }

    #[test]
    fn a_mix_never_meets_an_object_that_is_worked_on() {
        let mix = Mix {
            get: 40,
            head: 10,
            put: 20,
            delete: 30,
        };
        let objects = objects(8);
        let chooser = Chooser::new(Workload::Mixed, mix, 8);
        let mut alive: BTreeSet<u64> = (0..8).collect();
        let mut under_way: Vec<Step> = Vec::new();
        let mut kinds = [0_u32; 4];
        for number in 0..10_000 {
            let step = chooser.choose(number, &objects, 0);
            let (kind, object) = match step {
                Step::Get(object) => (0, object),
                Step::Head(object) => (1, object),
                Step::Put(object) => (2, object),
                Step::Delete(object) => (3, object),
                other => panic!("{other:?} is in no mix"),
            };
            kinds[kind] += 1;
            let busy = |other: &Step| {
                matches!(other, Step::Get(n) | Step::Head(n) | Step::Put(n) | Step::Delete(n)
                    if *n == object)
            };
            assert!(!under_way.iter().any(busy), "{step:?} while {under_way:?}");
            assert_eq!(alive.contains(&object), kind != 2, "{step:?}");
            under_way.push(step);
            if under_way.len() == 4 {
                let over = under_way.remove((number % 4) as usize);
                match over {
                    Step::Put(object) => drop(alive.insert(object)),
                    Step::Delete(object) => drop(alive.remove(&object)),
                    _ => {}
                }
                chooser.done(over, true);
            }
        }
        assert!(kinds.iter().all(|&count| count > 500), "{kinds:?}");
        let used = chooser.used(0, &objects);
        assert_eq!(used, 8 + u64::from(kinds[2]), "every put made a new object");
    }
}
