//! What every fragment store must do, told as stories. All implementations pass all of them.
//!
//! [`all`] takes a store with at least one online drive (two, to see that drives are apart) and
//! panics where it does not hold. It leaves nothing behind but what it says it leaves.

use bytes::Bytes;
use futures::future::join_all;
use holdfast_types::{
    BlobId, Deleted, DriveId, DriveState, FragmentHeader, FragmentId, FragmentIndex, FragmentStore,
    Generation, Region, StoreError,
};

/// A fragment with contents that no other sample has.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Who it is.
    pub header: FragmentHeader,
    /// Its blocks.
    pub blocks: Vec<Bytes>,
}

impl Sample {
    /// A fragment of a new blob of `blob_len` bytes in `layout`; `seed` makes its contents.
    ///
    /// # Panics
    /// If `layout` is none.
    #[must_use]
    pub fn new(layout: &str, blob_len: u64, seed: u64) -> Self {
        Self::of(BlobId::generate(), layout, blob_len, seed)
    }

    /// The same of a given blob.
    ///
    /// # Panics
    /// If `layout` is none.
    #[must_use]
    pub fn of(blob: BlobId, layout: &str, blob_len: u64, seed: u64) -> Self {
        let header = FragmentHeader {
            id: FragmentId {
                blob,
                region: Region::parse("local").expect("it is a plain name"),
                generation: Generation(1),
                index: FragmentIndex(0),
            },
            layout: layout.parse().expect("the test gives a layout"),
            blob_len,
        };
        let mut state = seed.wrapping_mul(2).wrapping_add(1);
        let mut byte = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        let blocks = (0..header.blocks())
            .map(|number| (0..header.block_len(number)).map(|_| byte()).collect())
            .collect();
        Self { header, blocks }
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// What the store says.
    pub async fn put(&self, store: &dyn FragmentStore, drive: DriveId) -> Result<(), StoreError> {
        let mut writer = store.create(drive, self.header.clone()).await?;
        for block in &self.blocks {
            writer.write_block(block.clone()).await?;
        }
        writer.commit().await
    }

    /// Reads all of it.
    ///
    /// # Errors
    /// What the store says.
    pub async fn read(
        &self,
        store: &dyn FragmentStore,
        drive: DriveId,
    ) -> Result<Vec<Option<Bytes>>, StoreError> {
        Ok(store
            .read(drive, &self.header, 0, self.header.blocks())
            .await?
            .blocks)
    }

    /// What a read gives if all is well.
    #[must_use]
    pub fn whole(&self) -> Vec<Option<Bytes>> {
        self.blocks.iter().cloned().map(Some).collect()
    }

    async fn remove(&self, store: &dyn FragmentStore, drive: DriveId) {
        let deleted = store
            .delete(drive, &self.header.id)
            .await
            .expect("the drive is well");
        assert_eq!(deleted, Deleted::Removed);
    }
}

/// Runs all stories.
///
/// # Panics
/// Where one does not hold.
pub async fn all(store: &dyn FragmentStore) {
    let online: Vec<DriveId> = store
        .drives()
        .iter()
        .filter(|drive| drive.state == DriveState::Online)
        .map(|drive| drive.id)
        .collect();
    let drive = *online.first().expect("the store has an online drive");
    what_was_written_is_read(store, drive).await;
    any_run_of_blocks_can_be_read(store, drive).await;
    an_identity_is_written_once(store, drive).await;
    a_dropped_writer_leaves_nothing(store, drive).await;
    a_cancelled_commit_leaves_all_or_nothing(store, drive).await;
    wrong_use_is_refused(store, drive).await;
    another_header_is_not_answered(store, drive).await;
    what_was_deleted_is_gone(store, drive).await;
    a_listing_is_in_order_and_complete(store, drive).await;
    many_at_once_do_not_mix(store, drive).await;
    an_unknown_drive_is_unavailable(store).await;
    if let Some(other) = online.get(1) {
        drives_are_apart(store, drive, *other).await;
    }
}

/// Layouts and lengths around every boundary: blocks, pages, packed or a file of its own.
fn samples() -> Vec<Sample> {
    let shapes = [
        ("copies:1", 1),
        ("copies:3", 4096),
        ("copies:3", 131_071),
        ("copies:3", 131_072),
        ("copies:3", 131_073),
        ("copies:2", 400_001),
        ("4+2", 5),
        ("4+2", 524_288),
        ("4+2", 524_289),
        ("4+2", 2_000_003),
        ("1+0/4096", 131_072),
        ("1+0/4096", 131_073),
        ("1+1/4096", 3_000_000),
        ("2+1/1048576", 5_000_000),
    ];
    (1..)
        .zip(shapes)
        .map(|(seed, (layout, len))| Sample::new(layout, len, seed))
        .collect()
}

async fn what_was_written_is_read(store: &dyn FragmentStore, drive: DriveId) {
    for sample in samples() {
        let shape = format!("{} {}", sample.header.layout, sample.header.blob_len);
        sample.put(store, drive).await.expect(&shape);
        assert_eq!(
            sample.read(store, drive).await.expect(&shape),
            sample.whole(),
            "{shape}"
        );
        assert_eq!(
            store.stat(drive, &sample.header.id).await.expect(&shape),
            sample.header
        );
        sample.remove(store, drive).await;
    }
}

async fn any_run_of_blocks_can_be_read(store: &dyn FragmentStore, drive: DriveId) {
    for sample in [
        Sample::new("1+0/4096", 30_000, 21),
        Sample::new("1+0/65536", 500_000, 22),
    ] {
        sample.put(store, drive).await.expect("the drive is well");
        let whole = sample.whole();
        for first in 0..whole.len() {
            for count in 0..=whole.len() - first {
                let read = store
                    .read(drive, &sample.header, first as u64, count as u64)
                    .await;
                assert_eq!(
                    read.expect("it is there").blocks,
                    whole[first..first + count]
                );
            }
        }
        sample.remove(store, drive).await;
    }
}

async fn an_identity_is_written_once(store: &dyn FragmentStore, drive: DriveId) {
    for len in [1000, 1_000_000] {
        let first = Sample::new("copies:2", len, 31);
        let second = Sample::of(first.header.id.blob, "copies:2", len, 32);
        let id = &first.header.id;
        let refused = |again: Result<(), StoreError>| {
            assert!(matches!(again, Err(StoreError::Exists { id: found, .. }) if found == *id));
        };
        let mut writer = store
            .create(drive, first.header.clone())
            .await
            .expect("it is new");
        refused(store.create(drive, second.header.clone()).await.map(drop));
        for block in &first.blocks {
            writer
                .write_block(block.clone())
                .await
                .expect("the drive is well");
        }
        refused(store.create(drive, second.header.clone()).await.map(drop));
        writer.commit().await.expect("the drive is well");
        refused(second.put(store, drive).await);
        assert_eq!(
            first.read(store, drive).await.expect("it is there"),
            first.whole()
        );
        first.remove(store, drive).await;
    }
}

async fn a_dropped_writer_leaves_nothing(store: &dyn FragmentStore, drive: DriveId) {
    for len in [1000, 1_000_000] {
        let sample = Sample::new("copies:2", len, 41);
        let id = &sample.header.id;
        for written in 0..=sample.blocks.len() {
            let mut writer = create_when_free(store, drive, &sample.header).await;
            for block in &sample.blocks[..written] {
                writer
                    .write_block(block.clone())
                    .await
                    .expect("the drive is well");
            }
            drop(writer);
            assert!(matches!(
                store.stat(drive, id).await,
                Err(StoreError::NotFound { .. })
            ));
        }
        // And the identity is free again.
        let mut writer = create_when_free(store, drive, &sample.header).await;
        for block in &sample.blocks {
            writer
                .write_block(block.clone())
                .await
                .expect("the drive is well");
        }
        writer.commit().await.expect("the drive is well");
        sample.remove(store, drive).await;
    }
}

/// A dropped writer is cleaned up in the background: its identity is free soon, not at once.
async fn create_when_free(
    store: &dyn FragmentStore,
    drive: DriveId,
    header: &FragmentHeader,
) -> Box<dyn holdfast_types::FragmentWriter> {
    for _ in 0..1000 {
        match store.create(drive, header.clone()).await {
            Err(StoreError::Exists { .. }) => {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            other => return other.expect("the drive is well"),
        }
    }
    panic!("the identity of a dropped writer was not freed in 5 s");
}

async fn a_cancelled_commit_leaves_all_or_nothing(store: &dyn FragmentStore, drive: DriveId) {
    for (len, polls) in [1000, 600_000]
        .into_iter()
        .flat_map(|len| [(len, 0), (len, 1), (len, 2)])
    {
        let sample = Sample::new("copies:2", len, 51);
        let mut writer = store
            .create(drive, sample.header.clone())
            .await
            .expect("it is new");
        for block in &sample.blocks {
            writer
                .write_block(block.clone())
                .await
                .expect("the drive is well");
        }
        let mut commit = writer.commit();
        for _ in 0..polls {
            if futures::poll!(&mut commit).is_ready() {
                break;
            }
        }
        drop(commit);
        // It may yet become visible, and then whole; the identity may be claimed until then.
        for _ in 0..1000 {
            match store.create(drive, sample.header.clone()).await {
                Ok(writer) => {
                    drop(writer);
                    break;
                }
                Err(StoreError::Exists { .. }) => {
                    if let Ok(read) = sample.read(store, drive).await {
                        assert_eq!(read, sample.whole());
                        sample.remove(store, drive).await;
                        break;
                    }
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
}

async fn wrong_use_is_refused(store: &dyn FragmentStore, drive: DriveId) {
    fn is_contract<T>(done: Result<T, StoreError>) -> bool {
        matches!(done, Err(StoreError::Contract(_)))
    }
    let empty = Sample::new("4+2", 0, 61);
    assert!(is_contract(store.create(drive, empty.header.clone()).await));
    for len in [10_000, 1_000_000] {
        let sample = Sample::new("copies:2", len, 62);
        let id = &sample.header.id;
        let mut writer = store
            .create(drive, sample.header.clone())
            .await
            .expect("it is new");
        let short = sample.blocks[0].slice(1..);
        assert!(
            is_contract(writer.write_block(short).await),
            "a short block"
        );
        drop(writer);
        let writer = create_when_free(store, drive, &sample.header).await;
        assert!(is_contract(writer.commit().await), "no block at all");
        let mut writer = create_when_free(store, drive, &sample.header).await;
        for block in &sample.blocks {
            writer
                .write_block(block.clone())
                .await
                .expect("the drive is well");
        }
        let extra = sample.blocks[0].clone();
        assert!(
            is_contract(writer.write_block(extra).await),
            "a block too many"
        );
        drop(writer);
        assert!(matches!(
            store.stat(drive, id).await,
            Err(StoreError::NotFound { .. })
        ));

        let mut writer = create_when_free(store, drive, &sample.header).await;
        for block in &sample.blocks {
            writer
                .write_block(block.clone())
                .await
                .expect("the drive is well");
        }
        writer.commit().await.expect("the drive is well");
        let blocks = sample.header.blocks();
        for (first, count) in [(0, blocks + 1), (blocks, 1), (u64::MAX, 2)] {
            assert!(is_contract(
                store.read(drive, &sample.header, first, count).await
            ));
        }
        sample.remove(store, drive).await;
    }
}

async fn another_header_is_not_answered(store: &dyn FragmentStore, drive: DriveId) {
    for len in [1000, 1_000_000] {
        let sample = Sample::new("4+2", len, 71);
        sample.put(store, drive).await.expect("the drive is well");
        let mut longer = sample.header.clone();
        longer.blob_len += 4;
        let mut other_layout = sample.header.clone();
        other_layout.layout = "4+1".parse().expect("it is a layout");
        for header in [longer, other_layout] {
            let read = store.read(drive, &header, 0, 1).await;
            assert!(
                matches!(read, Err(StoreError::Corrupt { .. })),
                "{header:?}: {read:?}"
            );
        }
        for change in [change_generation, change_index, change_region] {
            let mut header = sample.header.clone();
            change(&mut header.id);
            let read = store.read(drive, &header, 0, 1).await;
            assert!(
                matches!(read, Err(StoreError::NotFound { .. })),
                "{header:?}: {read:?}"
            );
            let deleted = store
                .delete(drive, &header.id)
                .await
                .expect("the drive is well");
            assert_eq!(deleted, Deleted::Absent, "{header:?}");
        }
        assert_eq!(
            sample.read(store, drive).await.expect("it is there"),
            sample.whole()
        );
        sample.remove(store, drive).await;
    }
}

fn change_generation(id: &mut FragmentId) {
    id.generation.0 += 1;
}

fn change_index(id: &mut FragmentId) {
    id.index.0 += 1;
}

fn change_region(id: &mut FragmentId) {
    id.region = Region::parse("elsewhere").expect("it is a plain name");
}

async fn what_was_deleted_is_gone(store: &dyn FragmentStore, drive: DriveId) {
    for len in [1000, 1_000_000] {
        let sample = Sample::new("copies:2", len, 81);
        let id = &sample.header.id;
        assert_eq!(
            store.delete(drive, id).await.expect("the drive is well"),
            Deleted::Absent
        );
        sample.put(store, drive).await.expect("the drive is well");
        sample.remove(store, drive).await;
        assert_eq!(
            store.delete(drive, id).await.expect("the drive is well"),
            Deleted::Absent
        );
        assert!(matches!(
            store.stat(drive, id).await,
            Err(StoreError::NotFound { .. })
        ));
        assert!(matches!(
            sample.read(store, drive).await,
            Err(StoreError::NotFound { .. })
        ));
        assert!(!list_all(store, drive).await.contains(id));
        // The same identity may be written again, with other contents.
        let again = Sample::of(id.blob, "copies:2", len, 82);
        again.put(store, drive).await.expect("the drive is well");
        assert_eq!(
            again.read(store, drive).await.expect("it is there"),
            again.whole()
        );
        let both = tokio::join!(store.delete(drive, id), store.delete(drive, id));
        let both = [
            both.0.expect("the drive is well"),
            both.1.expect("the drive is well"),
        ];
        assert_eq!(
            both.iter()
                .filter(|deleted| **deleted == Deleted::Removed)
                .count(),
            1
        );
    }
}

async fn list_all(store: &dyn FragmentStore, drive: DriveId) -> Vec<FragmentId> {
    store
        .list(drive, None, usize::MAX)
        .await
        .expect("the drive is well")
}

async fn a_listing_is_in_order_and_complete(store: &dyn FragmentStore, drive: DriveId) {
    let samples: Vec<Sample> = (0..20)
        .map(|seed| Sample::new("copies:1", if seed % 4 == 0 { 200_000 } else { 50 }, seed))
        .collect();
    for sample in &samples {
        sample.put(store, drive).await.expect("the drive is well");
    }
    let mut expected: Vec<FragmentId> = samples
        .iter()
        .map(|sample| sample.header.id.clone())
        .collect();
    expected.sort();
    let all = list_all(store, drive).await;
    assert!(all.is_sorted());
    assert!(expected.iter().all(|id| all.binary_search(id).is_ok()));
    for page_len in [1, 3, 100] {
        let mut paged = Vec::new();
        loop {
            let page = store
                .list(drive, paged.last(), page_len)
                .await
                .expect("the drive is well");
            assert!(page.len() <= page_len);
            if page.is_empty() {
                break;
            }
            paged.extend(page);
        }
        assert_eq!(paged, all, "in pages of {page_len}");
    }
    for sample in &samples {
        sample.remove(store, drive).await;
    }
}

async fn many_at_once_do_not_mix(store: &dyn FragmentStore, drive: DriveId) {
    let samples: Vec<Sample> = (0..64)
        .map(|seed| {
            Sample::new(
                "1+0/65536",
                if seed % 8 == 0 {
                    300_000
                } else {
                    seed * 900 + 1
                },
                seed,
            )
        })
        .collect();
    let done = join_all(samples.iter().map(|sample| sample.put(store, drive))).await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    let (gone, kept) = samples.split_at(32);
    let (removed, read) = tokio::join!(
        join_all(
            gone.iter()
                .map(|sample| store.delete(drive, &sample.header.id))
        ),
        join_all(kept.iter().map(|sample| sample.read(store, drive))),
    );
    assert!(
        removed
            .iter()
            .all(|done| matches!(done, Ok(Deleted::Removed)))
    );
    for (sample, read) in kept.iter().zip(read) {
        assert_eq!(read.expect("it is there"), sample.whole());
    }
    for sample in gone {
        assert!(matches!(
            sample.read(store, drive).await,
            Err(StoreError::NotFound { .. })
        ));
    }
    for sample in kept {
        sample.remove(store, drive).await;
    }
}

async fn an_unknown_drive_is_unavailable(store: &dyn FragmentStore) {
    let sample = Sample::new("copies:1", 10, 91);
    let nowhere = DriveId::generate();
    let refused = sample.put(store, nowhere).await;
    assert!(matches!(refused, Err(StoreError::Unavailable { drive, .. }) if drive == nowhere));
    let refused = store.list(nowhere, None, 1).await;
    assert!(matches!(refused, Err(StoreError::Unavailable { drive, .. }) if drive == nowhere));
}

async fn drives_are_apart(store: &dyn FragmentStore, one: DriveId, other: DriveId) {
    let first = Sample::new("copies:2", 1000, 95);
    let second = Sample::of(first.header.id.blob, "copies:2", 1000, 96);
    first.put(store, one).await.expect("the drive is well");
    assert!(matches!(
        second.read(store, other).await,
        Err(StoreError::NotFound { .. })
    ));
    second.put(store, other).await.expect("the drive is well");
    assert_eq!(
        first.read(store, one).await.expect("it is there"),
        first.whole()
    );
    assert_eq!(
        second.read(store, other).await.expect("it is there"),
        second.whole()
    );
    first.remove(store, one).await;
    assert_eq!(
        second.read(store, other).await.expect("it is there"),
        second.whole()
    );
    second.remove(store, other).await;
}
