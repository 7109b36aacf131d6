//! One schedule: what is done, what goes wrong meanwhile, and what must be so in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::time::Duration;

use holdfast_metadata::command::{CopyObject, DeleteObject, PutObject, WriteCondition};
use holdfast_metadata::model::{Attributes, Bucket, OpId, Origin, Version, VersionSelector};
use holdfast_metadata::{Metadata, MetadataError};
use holdfast_replication::verify::Depth;
use holdfast_storage_node::disk::{Fault, SimDisk, SimOp, Survival};
use md5::{Digest as _, Md5};

use super::world::{BUCKET, DRIVES, Machine, Process};

const STEPS: usize = 45;
const KEYS: u64 = 7;
const HOUR_MS: u64 = 3_600_000;

/// SplitMix64: what a kept seed does must not change with a crate.
pub(crate) struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }
}

/// What a key may hold: a body by its MD5, or nothing (`None`).
type State = Option<String>;

/// How a drive is that is not well.
enum Trouble {
    /// Pulled out, and its disk lies here; or wiped, and its disk is gone for good.
    Out(Option<SimDisk>),
    /// Its disk is in the place of another's, and that one's here.
    Swapped(usize),
    /// Bytes are damaged.
    Rotten,
    /// Reads fail.
    Unreadable,
}

struct Schedule {
    random: Random,
    machine: Machine,
    /// What each key may hold. More than one: an operation was cut short.
    truth: BTreeMap<String, BTreeSet<State>>,
    /// Drives whose bytes are in doubt: at most two at a time.
    troubles: BTreeMap<usize, Trouble>,
    /// Drives that had any trouble since redundancy was full: what was written meanwhile may lack
    /// their fragments. At most two, or more is lost than the layout bears.
    weak: BTreeSet<usize>,
    log: Vec<String>,
}

/// Runs a schedule on a runtime of its own; fails with its log.
pub(crate) fn run(seed: u64) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        runtime.block_on(async {
            let mut schedule = Schedule {
                random: Random(seed.wrapping_mul(0x2545_F491_4F6C_DD1D)),
                machine: Machine::new(),
                truth: BTreeMap::new(),
                troubles: BTreeMap::new(),
                weak: BTreeSet::new(),
                log: Vec::new(),
            };
            let done = tokio::time::timeout(DEADLINE, schedule.go()).await;
            let failed = match done {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(why)) => why,
                Err(_) => "it hangs".to_owned(),
            };
            Err(format!("{failed}\n  {}", schedule.log.join("\n  ")))
        })
    }));
    runtime.shutdown_timeout(Duration::from_secs(1));
    match outcome {
        Ok(Ok(())) => {}
        Ok(Err(why)) => panic!("seed {seed}: {why}"),
        Err(_) => panic!("seed {seed} panicked"),
    }
}

const DEADLINE: Duration = Duration::from_secs(120);

impl Schedule {
    fn note(&mut self, what: impl Into<String>) {
        self.log.push(what.into());
    }

    async fn go(&mut self) -> Result<(), String> {
        let mut process = self.machine.start().await;
        for _ in 0..STEPS {
            process = match self.random.below(100) {
                0..45 => {
                    self.operate(&process).await?;
                    process
                }
                45..60 => {
                    self.read_all(&process).await?;
                    process
                }
                60..78 => {
                    self.break_something();
                    process.refresh().await;
                    process
                }
                78..86 => {
                    self.mend_something();
                    process.refresh().await;
                    process
                }
                86..92 => {
                    let steps = 1 + self.random.below(12);
                    self.note(format!("the workers make {steps} steps each"));
                    process.work(steps).await;
                    self.rest(&process).await;
                    self.machine.clock.advance_ms(HOUR_MS);
                    process
                }
                _ => self.crash(process).await,
            };
        }
        self.end(process).await
    }

    /// Once nothing is wrong any more and redundancy is full, other drives may get into trouble.
    async fn rest(&mut self, process: &Process) {
        if !self.troubles.is_empty() {
            return;
        }
        for drive in 0..DRIVES {
            self.machine.set_full(drive, false);
            self.machine.disks[drive].heal();
        }
        process.refresh().await;
        if process.verify(Depth::Quick).await.is_whole() {
            self.weak.clear();
        }
    }

    fn key(&mut self) -> String {
        format!("key {}", self.random.next() % KEYS)
    }

    fn body(&mut self) -> Vec<u8> {
        let len = match self.random.below(6) {
            0 => 1 + self.random.below(100),
            1 => 4096 * self.random.below(4) + 1,
            2..5 => 60_000 + self.random.below(100_000),
            _ => 600_000 + self.random.below(600_000),
        };
        self.random.bytes(len)
    }

    fn may_hold(&mut self, key: &str) -> &mut BTreeSet<State> {
        self.truth
            .entry(key.to_owned())
            .or_insert_with(|| BTreeSet::from([None]))
    }

    /// One write, copy or delete, which may be cut short as by a client that leaves.
    async fn operate(&mut self, process: &Process) -> Result<(), String> {
        let key = self.key();
        let kind = self.random.below(10);
        let polls = (self.random.below(6) == 0).then(|| self.random.below(400));
        let (target, after): (String, State) = match kind {
            0..7 => {
                let body = self.body();
                let md5 = md5_hex(&body);
                self.note(format!(
                    "put {} bytes as {key} (cut: {polls:?})",
                    body.len()
                ));
                let done = cut_short(put(process, &key, &body), polls).await;
                match done {
                    Some(Ok(true)) => {
                        self.truth.insert(key, BTreeSet::from([Some(md5)]));
                        return Ok(());
                    }
                    Some(Ok(false)) => {
                        self.note("  the drives could not take it");
                        return Ok(());
                    }
                    Some(Err(error)) => return Err(format!("put {key}: {error}")),
                    None => (key, Some(md5)),
                }
            }
            7 => {
                let to = self.key();
                let Some(source) = current(process, &key).await? else {
                    return Ok(());
                };
                self.note(format!("copy {key} to {to}"));
                match copy(process, &source, &to).await {
                    Ok(()) => {
                        self.truth.insert(to, BTreeSet::from([Some(source.etag)]));
                    }
                    Err(MetadataError::SourceChanged) => {}
                    Err(error) => return Err(format!("copy {key}: {error}")),
                }
                return Ok(());
            }
            _ => {
                self.note(format!("delete {key}"));
                match delete(process, &key).await {
                    Ok(()) => {
                        self.truth.insert(key, BTreeSet::from([None]));
                    }
                    Err(error) => return Err(format!("delete {key}: {error}")),
                }
                return Ok(());
            }
        };
        self.may_hold(&target).insert(after);
        Ok(())
    }

    /// Reads every key: it must hold what was acknowledged last, byte for byte.
    async fn read_all(&mut self, process: &Process) -> Result<(), String> {
        let keys: Vec<String> = self.truth.keys().cloned().collect();
        for key in keys {
            let found = match current(process, &key).await? {
                None => None,
                Some(version) => {
                    let body = match process.read(&version).await {
                        Ok(body) => body,
                        // It may have been replaced, and what it had is being removed.
                        Err(why) => match current(process, &key).await? {
                            Some(now) if now.uid == version.uid => {
                                return Err(format!("{key} can't be read: {why}"));
                            }
                            _ => continue,
                        },
                    };
                    let md5 = md5_hex(&body);
                    if md5 != version.etag {
                        // What was cut short may have landed between the two questions.
                        match current(process, &key).await? {
                            Some(now) if now.uid == version.uid => {}
                            _ => continue,
                        }
                        return Err(format!("{key} has other bytes than its ETag says"));
                    }
                    Some(md5)
                }
            };
            let may_hold = self.may_hold(&key);
            if !may_hold.contains(&found) {
                return Err(format!("{key} holds {found:?}, and may hold {may_hold:?}"));
            }
            // What was cut short may still land as long as the process lives.
        }
        Ok(())
    }

    /// A drive that is well, if another may be troubled.
    fn victim(&mut self) -> Option<usize> {
        let drive = self.random.below(DRIVES);
        let may_be = self.weak.contains(&drive) || self.weak.len() < 2;
        (may_be && !self.troubles.contains_key(&drive)).then_some(drive)
    }

    fn break_something(&mut self) {
        let Some(drive) = self.victim() else {
            return;
        };
        self.weak.insert(drive);
        let disk = self.machine.disks[drive].clone();
        match self.random.below(9) {
            0 => {
                self.note(format!("drive {drive} is pulled out"));
                let shelf = SimDisk::new(0);
                if let Some(medium) = disk.remove() {
                    shelf.insert(medium);
                    shelf.power_cycle(Survival::Random(self.random.next()));
                }
                self.troubles.insert(drive, Trouble::Out(Some(shelf)));
            }
            1 => {
                self.note(format!("drive {drive} is wiped"));
                drop(disk.remove());
                disk.insert(SimDisk::new(256 << 20).remove().unwrap());
                self.troubles.insert(drive, Trouble::Out(None));
            }
            2 if self.troubles.is_empty() && self.weak.len() == 1 => {
                let other = (drive + 1 + self.random.below(DRIVES - 1)) % DRIVES;
                self.note(format!("drives {drive} and {other} change places"));
                swap(&disk, &self.machine.disks[other]);
                self.weak.insert(other);
                self.troubles.insert(drive, Trouble::Swapped(other));
                self.troubles.insert(other, Trouble::Swapped(drive));
            }
            2 | 3 => {
                self.rot(drive, &disk);
            }
            4 => {
                let times = 1 + self.random.next() % 200;
                self.note(format!("drive {drive} fails {times} reads"));
                disk.inject(Fault {
                    times,
                    ..Fault::once(SimOp::Read)
                });
                self.troubles.insert(drive, Trouble::Unreadable);
            }
            5 | 6 => {
                let op = [SimOp::Sync, SimOp::SyncFolder, SimOp::Write, SimOp::Rename]
                    [self.random.below(4)];
                let after = self.random.next() % 6;
                self.note(format!("drive {drive} will fail a {op:?}"));
                disk.inject(Fault::once(op).after(after));
            }
            _ => {
                self.note(format!("drive {drive} is full"));
                self.machine.set_full(drive, true);
            }
        }
    }

    fn rot(&mut self, drive: usize, disk: &SimDisk) {
        let mut files: Vec<String> = Vec::new();
        for folder in disk.names("fragments") {
            let folder = format!("fragments/{folder}");
            files.extend(disk.names(&folder).iter().map(|n| format!("{folder}/{n}")));
        }
        files.extend(
            disk.names("segments")
                .iter()
                .map(|n| format!("segments/{n}")),
        );
        if files.is_empty() {
            return;
        }
        let flips = 1 + self.random.below(8);
        self.note(format!("{flips} bits flip on drive {drive}"));
        for _ in 0..flips {
            let file = &files[self.random.below(files.len())];
            if let Some(bytes) = disk.peek(file).filter(|bytes| !bytes.is_empty()) {
                let (byte, bit) = (self.random.below(bytes.len()), self.random.below(8));
                disk.flip_bit(file, byte, bit as u8);
            }
        }
        self.troubles.insert(drive, Trouble::Rotten);
    }

    fn mend_something(&mut self) {
        for drive in 0..DRIVES {
            self.machine.set_full(drive, false);
        }
        let drives: Vec<usize> = self.troubles.keys().copied().collect();
        if drives.is_empty() {
            return;
        }
        let drive = drives[self.random.below(drives.len())];
        self.mend(drive);
    }

    /// Brings back what can be; rot and wiped drives are the repair's.
    fn mend(&mut self, drive: usize) {
        let disk = self.machine.disks[drive].clone();
        match self.troubles.remove(&drive) {
            Some(Trouble::Out(Some(shelf))) => {
                self.note(format!("drive {drive} is back as it was"));
                if let Some(medium) = shelf.remove() {
                    disk.insert(medium);
                }
            }
            Some(Trouble::Swapped(other)) => {
                self.note(format!("drives {drive} and {other} are in their places"));
                swap(&disk, &self.machine.disks[other]);
                self.troubles.remove(&other);
            }
            Some(Trouble::Unreadable) => {
                self.note(format!("drive {drive} reads again"));
                disk.heal();
            }
            Some(lasting) => drop(self.troubles.insert(drive, lasting)),
            None => {}
        }
    }

    /// The process dies, or all power is cut, while writes are under way.
    async fn crash(&mut self, process: Process) -> Process {
        let writes: Vec<(String, Vec<u8>)> = (0..3).map(|_| (self.key(), self.body())).collect();
        let polls = self.random.below(300);
        let power = self.random.below(2) == 0;
        let what = if power { "power cut" } else { "kill -9" };
        self.note(format!("{what} during three writes, after {polls} polls"));
        for (key, body) in &writes {
            let md5 = Some(md5_hex(body));
            self.may_hold(key).insert(md5);
        }
        {
            let all = async {
                let puts = writes.iter().map(|(key, body)| put(&process, key, body));
                futures::future::join_all(puts).await
            };
            if let Some(done) = cut_short(all, Some(polls)).await {
                // All were answered. The one that came last of a key is not known here.
                self.note(format!("  answered: {}", done.len()));
            }
        }
        let seed = self.random.next();
        if power {
            self.machine.cut(process, seed).await;
        } else {
            self.machine.kill(process).await;
        }
        let process = self.machine.start().await;
        self.settle(&process).await;
        process
    }

    /// After a crash nothing is under way: what each key holds now is what it holds.
    async fn settle(&mut self, process: &Process) {
        let keys: Vec<String> = self.truth.keys().cloned().collect();
        for key in keys {
            if let Ok(version) = current(process, &key).await {
                let now = version.map(|version| version.etag);
                let may_hold = self.may_hold(&key);
                if may_hold.contains(&now) {
                    *may_hold = BTreeSet::from([now]);
                }
            }
        }
    }

    /// Heals everything, waits for full redundancy, and looks at every byte.
    async fn end(&mut self, process: Process) -> Result<(), String> {
        self.note("everything is healed");
        for drive in 0..DRIVES {
            self.mend(drive);
            self.machine.set_full(drive, false);
            if is_in(&self.machine.disks[drive]) {
                self.machine.disks[drive].heal();
            }
        }
        self.machine.kill(process).await;
        let process = self.machine.start().await;
        self.settle(&process).await;
        let mut last = None;
        for _ in 0..ROUNDS {
            process.refresh().await;
            process.scrub().await;
            process.work(100_000).await;
            self.machine.clock.advance_ms(3 * HOUR_MS);
            let report = process.verify(Depth::Quick).await;
            if report.is_whole() {
                last = None;
                break;
            }
            last = Some(report);
        }
        if let Some(report) = last {
            return Err(format!("never whole again: {report:#?}"));
        }
        self.read_all(&process).await?;
        let report = process.verify(Depth::Deep).await;
        if !report.is_whole() {
            return Err(format!("not whole in the end: {report:#?}"));
        }
        self.machine.kill(process).await;
        Ok(())
    }
}

/// Rounds of all workers after which redundancy must be full.
const ROUNDS: usize = 12;

/// Whether a disk is in its place.
pub(crate) fn is_in(disk: &SimDisk) -> bool {
    disk.remove().map(|medium| disk.insert(medium)).is_some()
}

fn swap(one: &SimDisk, other: &SimDisk) {
    let (first, second) = (one.remove(), other.remove());
    if let Some(second) = second {
        one.insert(second);
    }
    if let Some(first) = first {
        other.insert(first);
    }
}

fn md5_hex(bytes: &[u8]) -> String {
    hex::encode(Md5::digest(bytes))
}

/// Polls a future so often and then drops it, as a client that leaves does; its result if it was
/// done by then.
async fn cut_short<T>(future: impl Future<Output = T>, polls: Option<usize>) -> Option<T> {
    let mut future = pin!(future);
    let Some(polls) = polls else {
        return Some(future.await);
    };
    for _ in 0..polls {
        if let std::task::Poll::Ready(done) = futures::poll!(&mut future) {
            return Some(done);
        }
        tokio::task::yield_now().await;
    }
    None
}

/// Puts an object; whether the drives could take it.
async fn put(process: &Process, key: &str, body: &[u8]) -> Result<bool, MetadataError> {
    let Some(blob) = process.write(body).await else {
        return Ok(false);
    };
    let put = PutObject {
        op: OpId::from(blob.id),
        bucket: BUCKET.to_owned(),
        key: key.as_bytes().to_vec(),
        blob: Some(blob),
        taken_len: None,
        etag: md5_hex(body),
        attributes: Attributes::default(),
        condition: WriteCondition::default(),
        origin: Origin::default(),
        lock: Default::default(),
    };
    process.metadata.put_object(put).await.map(|_| true)
}

async fn copy(process: &Process, source: &Version, to: &str) -> Result<(), MetadataError> {
    let copy = CopyObject {
        op: OpId::generate(),
        source: source.uid,
        bucket: BUCKET.to_owned(),
        key: to.as_bytes().to_vec(),
        attributes: Attributes::default(),
        condition: WriteCondition::default(),
        origin: Origin::default(),
        lock: Default::default(),
    };
    process.metadata.copy_object(copy).await.map(drop)
}

async fn delete(process: &Process, key: &str) -> Result<(), MetadataError> {
    let delete = DeleteObject {
        op: OpId::generate(),
        bucket: BUCKET.to_owned(),
        key: key.as_bytes().to_vec(),
        version: VersionSelector::Current,
        condition: WriteCondition::default(),
        origin: Origin::default(),
        bypass: Default::default(),
    };
    process.metadata.delete_object(delete).await.map(drop)
}

async fn current(process: &Process, key: &str) -> Result<Option<Version>, String> {
    let bucket = bucket(&process.metadata).await?;
    let current = VersionSelector::Current;
    match process
        .metadata
        .version(bucket.id, key.as_bytes(), &current)
        .await
    {
        Ok(version) => Ok(Some(version)),
        Err(MetadataError::NoSuchKey) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

async fn bucket(metadata: &Metadata) -> Result<Bucket, String> {
    metadata
        .bucket(BUCKET)
        .await
        .map_err(|error| error.to_string())
}
