//! Disks that fail, fill or rot: each is a state with a name, and no byte that is returned is wrong.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{Lab, assert_state, drive, is_refused, large, run, small};
use holdfast_storage_node::LocalStore;
use holdfast_storage_node::conformance::Sample;
use holdfast_storage_node::disk::{Disk, Fault, SimOp, Survival};
use holdfast_types::{BlobId, Deleted, DriveId, DriveState, FragmentStore, StoreError};
use rustix::io::Errno;

fn is_io<T>(done: &Result<T, StoreError>) -> bool {
    matches!(done, Err(StoreError::Io { .. }))
}

/// The path of a large fragment's file.
fn file_of(sample: &Sample) -> String {
    let id = &sample.header.id;
    format!("fragments/{:02x}/{id}", id.blob.as_bytes()[15])
}

#[test]
fn after_a_failed_sync_a_drive_takes_no_more_writes_and_never_syncs_again() {
    for (op, make) in [
        (SimOp::Sync, small as fn(u64) -> Sample),
        (SimOp::Sync, large),
        (SimOp::SyncFolder, small),
        (SimOp::SyncFolder, large),
    ] {
        run(async move {
            let lab = Lab::new();
            let store = lab.open().await;
            let (old, old_large) = (Sample::new("copies:1", 500, 70), large(71));
            lab.put(&store, &old_large).await.unwrap();
            if op == SimOp::Sync {
                lab.put(&store, &old).await.unwrap();
            }
            lab.disk.inject(Fault::once(op));
            let lost = make(1);
            let done = lab.put(&store, &lost).await;
            assert!(is_io(&done), "{op:?}: {done:?}");
            assert_state(&store, DriveState::ReadOnly, "takes no more writes");
            let syncs = |store: &LocalStore| {
                let stats = store.stats()[0].1;
                (stats.file_syncs, stats.folder_syncs, stats.sync_errors)
            };
            let before = syncs(&store);
            assert_eq!(before.2, 1);
            for sample in [make(2), small(3), large(4)] {
                assert!(is_refused(
                    &lab.put(&store, &sample).await,
                    DriveState::ReadOnly
                ));
            }
            let deleted = store.delete(lab.id, &old_large.header.id).await;
            assert!(is_refused(&deleted, DriveState::ReadOnly), "{deleted:?}");
            // Not even when the disk says that all is well again.
            lab.disk.heal();
            store.refresh().await;
            assert_state(&store, DriveState::ReadOnly, "takes no more writes");
            assert_eq!(syncs(&store), before, "a failed sync is never retried");
            assert_eq!(
                old_large.read(&store, lab.id).await.unwrap(),
                old_large.whole()
            );
            drop(store);
            // What it refused may be there or not after the restart, but only whole.
            for survival in [None, Some(Survival::Nothing)] {
                match survival {
                    None => lab.disk.kill(),
                    Some(survival) => lab.disk.power_cycle(survival),
                }
                let store = lab.open().await;
                assert_state(&store, DriveState::Online, "");
                assert_eq!(
                    old_large.read(&store, lab.id).await.unwrap(),
                    old_large.whole()
                );
                match lost.read(&store, lab.id).await {
                    Ok(read) => assert_eq!(read, lost.whole()),
                    Err(error) => assert!(matches!(error, StoreError::NotFound { .. }), "{error}"),
                }
            }
        });
    }
}

#[test]
fn one_failed_sync_fails_every_writer_that_shared_it() {
    run(async {
        let lab = Lab::new();
        let store = lab.open().await;
        lab.put(&store, &small(0)).await.unwrap();
        lab.disk.inject(Fault::once(SimOp::Sync));
        let samples: Vec<Sample> = (1..20).map(small).collect();
        let puts = samples.iter().map(|sample| lab.put(&store, sample));
        let done = futures::future::join_all(puts).await;
        assert!(done.iter().all(Result::is_err), "{done:?}");
        assert!(done.iter().any(is_io), "{done:?}");
        drop(store);
        lab.disk.power_cycle(Survival::Nothing);
        let store = lab.open().await;
        assert_eq!(store.list(lab.id, None, 100).await.unwrap().len(), 1);
    });
}

/// The newest segment is read from the disk, not from a cache that a failed sync made a lie of.
#[test]
fn after_a_failed_sync_and_a_restart_the_cache_is_not_believed() {
    run(async {
        let lab = Lab::new();
        let store = lab.open().await;
        lab.put(&store, &small(0)).await.unwrap();
        lab.disk.inject(Fault::once(SimOp::Sync));
        let lost = small(1);
        assert!(is_io(&lab.put(&store, &lost).await));
        drop(store);
        lab.disk.kill();
        let store = lab.open().await;
        assert!(matches!(
            lost.read(&store, lab.id).await,
            Err(StoreError::NotFound { .. })
        ));
        lab.put(&store, &lost).await.unwrap();
        drop(store);
        lab.disk.power_cycle(Survival::Nothing);
        assert_eq!(
            lost.read(&lab.open().await, lab.id).await.unwrap(),
            lost.whole()
        );
    });
}

#[test]
fn a_failed_write_makes_the_drive_read_only() {
    for op in [SimOp::Write, SimOp::Create, SimOp::Rename] {
        for errno in [Errno::IO, Errno::ROFS] {
            run(async move {
                let lab = Lab::new();
                let store = lab.open().await;
                let old = large(0);
                lab.put(&store, &old).await.unwrap();
                lab.disk.inject(Fault::once(op).errno(errno.raw_os_error()));
                let done = lab.put(&store, &large(1)).await;
                assert!(is_io(&done), "{op:?} {done:?}");
                assert_state(&store, DriveState::ReadOnly, "takes no more writes");
                assert!(is_refused(
                    &lab.put(&store, &small(2)).await,
                    DriveState::ReadOnly
                ));
                assert_eq!(old.read(&store, lab.id).await.unwrap(), old.whole());
                store.refresh().await;
                assert_state(&store, DriveState::ReadOnly, "takes no more writes");
            });
        }
    }
}

#[test]
fn a_full_drive_is_read_only_until_there_is_room() {
    run(async {
        let lab = Lab::new();
        let store = lab.open().await;
        let mut kept = Vec::new();
        let full = loop {
            let sample = if kept.len() % 3 == 0 {
                small(1)
            } else {
                large(2)
            };
            match lab.put(&store, &sample).await {
                Ok(()) => kept.push(sample),
                Err(error) => break error,
            }
            assert!(kept.len() < 1000, "64 MiB are full some time");
        };
        assert!(is_refused(&Err::<(), _>(full), DriveState::ReadOnly));
        assert_state(&store, DriveState::ReadOnly, "full");
        let free = lab.disk.attach().unwrap().space().unwrap().free_bytes;
        assert!(
            free >= lab.config.reserve_bytes,
            "the reserve is kept: {free}"
        );
        store.refresh().await;
        // Removals go on: else it would be full for ever.
        for sample in kept.drain(..8) {
            let deleted = store.delete(lab.id, &sample.header.id).await.unwrap();
            assert_eq!(deleted, Deleted::Removed);
        }
        for sample in &kept {
            assert_eq!(sample.read(&store, lab.id).await.unwrap(), sample.whole());
        }
        store.refresh().await;
        assert_state(&store, DriveState::Online, "");
        lab.put(&store, &large(3)).await.unwrap();
    });
}

#[test]
fn a_disk_without_any_room_fails_the_write_and_keeps_nothing_of_it() {
    run(async {
        let mut lab = Lab::new();
        lab.config.reserve_bytes = 0;
        let store = lab.open().await;
        let (old, kept_large) = (small(0), large(1));
        lab.put(&store, &old).await.unwrap();
        lab.put(&store, &kept_large).await.unwrap();
        let space = lab.disk.attach().unwrap().space().unwrap();
        let used = space.capacity_bytes - space.free_bytes;
        // Room for a page or two: the write fails half-way.
        lab.disk.set_capacity(used + 8192);
        let refused = Sample::new("1+0/4096", 40_000, 5);
        let done = lab.put(&store, &refused).await;
        assert!(done.is_err(), "{done:?}");
        assert_state(&store, DriveState::ReadOnly, "full");
        lab.disk.set_capacity(64 << 20);
        store.refresh().await;
        assert_state(&store, DriveState::Online, "");
        // The disk itself says ENOSPC in mid-batch: the segment is cut back and goes on.
        for errno in [Errno::NOSPC, Errno::DQUOT] {
            lab.disk
                .inject(Fault::once(SimOp::Write).errno(errno.raw_os_error()));
            let failed = small(6);
            let done = lab.put(&store, &failed).await;
            assert!(is_io(&done), "{done:?}");
            assert_state(&store, DriveState::ReadOnly, "full");
            store.refresh().await;
            assert_eq!(
                store.delete(lab.id, &failed.header.id).await.unwrap(),
                Deleted::Absent
            );
            lab.put(&store, &failed).await.unwrap();
            assert_eq!(failed.read(&store, lab.id).await.unwrap(), failed.whole());
            lab.disk
                .inject(Fault::once(SimOp::Write).errno(errno.raw_os_error()));
            assert!(is_io(&lab.put(&store, &large(7)).await));
            store.refresh().await;
        }
        assert_eq!(lab.disk.names("staging"), Vec::<String>::new());
        drop(store);
        lab.disk.power_cycle(Survival::Nothing);
        let store = lab.open().await;
        for sample in [old, kept_large] {
            assert_eq!(sample.read(&store, lab.id).await.unwrap(), sample.whole());
        }
        assert_eq!(store.list(lab.id, None, 100).await.unwrap().len(), 4);
    });
}

#[test]
fn a_drive_that_fails_many_reads_is_faulty_and_one_bad_sector_is_not() {
    run(async {
        let lab = Lab::new();
        let store = lab.open().await;
        let (packed, file) = (small(1), large(2));
        lab.put(&store, &packed).await.unwrap();
        lab.put(&store, &file).await.unwrap();
        // One failure: a batch is read again block by block, nothing is lost.
        lab.disk.inject(Fault::once(SimOp::Read).after(1));
        assert_eq!(file.read(&store, lab.id).await.unwrap(), file.whole());
        // A block that can't be read is a bad block; its neighbours are good.
        lab.disk.inject(Fault {
            times: 2,
            ..Fault::once(SimOp::Read).after(1)
        });
        let read = file.read(&store, lab.id).await.unwrap();
        assert_eq!(read[0], None);
        assert_eq!(read[1..], file.whole()[1..]);
        assert_state(&store, DriveState::Online, "");
        lab.disk.inject(Fault::always(SimOp::Read));
        let mut failed = 0;
        while drive(&store).state == DriveState::Online {
            assert!(is_io(&packed.read(&store, lab.id).await));
            failed += 1;
            assert!(failed < 100);
        }
        assert!(failed > 5);
        assert_state(&store, DriveState::Faulty, "fails too many reads");
        lab.disk.heal();
        store.refresh().await;
        assert!(is_refused(
            &packed.read(&store, lab.id).await,
            DriveState::Faulty
        ));
        assert!(is_refused(
            &lab.put(&store, &small(5)).await,
            DriveState::Faulty
        ));
    });
}

#[test]
fn no_flipped_bit_is_ever_returned_and_its_neighbours_are() {
    run(async {
        let lab = Lab::new();
        let store = lab.open().await;
        let samples = [large(1), small(2)];
        for sample in &samples {
            lab.put(&store, sample).await.unwrap();
        }
        let segment = format!("segments/{}", lab.disk.names("segments")[0]);
        for (sample, path) in samples.iter().zip([file_of(&samples[0]), segment]) {
            let good = lab.disk.peek(&path).unwrap();
            let mut noticed = 0;
            for byte in (0..good.len()).step_by(97).chain(0..300).chain(4096..4400) {
                lab.disk
                    .flip_bit(&path, byte.min(good.len() - 1), (byte % 8) as u8);
                match sample.read(&store, lab.id).await {
                    Ok(read) => {
                        for (found, block) in read.iter().zip(&sample.blocks) {
                            assert!(found.as_ref().is_none_or(|found| found == block), "{byte}");
                        }
                        let bad = read.iter().filter(|block| block.is_none()).count();
                        assert!(bad <= 1, "one bit, one block: {byte}");
                        noticed += bad;
                    }
                    Err(StoreError::Corrupt { .. }) => noticed += 1,
                    Err(other) => panic!("{byte}: {other}"),
                }
                lab.disk.poke(&path, &good);
            }
            assert!(noticed > 100, "{path}: {noticed}");
            assert_eq!(sample.read(&store, lab.id).await.unwrap(), sample.whole());
        }
        assert!(store.stats()[0].1.bad_blocks > 100);
        // Bits in a block, exactly: that block is missing and all others are there.
        let [sample, _] = &samples;
        lab.disk.flip_bit(&file_of(sample), 8192 + 65_536 + 7, 3);
        let read = sample.read(&store, lab.id).await.unwrap();
        let mut expected = sample.whole();
        expected[1] = None;
        assert_eq!(read, expected);
    });
}

#[test]
fn a_cut_file_gives_what_is_left_of_it() {
    run(async {
        let lab = Lab::new();
        let store = lab.open().await;
        let sample = large(1);
        lab.put(&store, &sample).await.unwrap();
        let path = file_of(&sample);
        let good = lab.disk.peek(&path).unwrap();
        lab.disk.poke(&path, &good[..8192 + 65_536 + 100]);
        let mut expected = sample.whole();
        expected[1..].fill(None);
        assert_eq!(sample.read(&store, lab.id).await.unwrap(), expected);
        for len in [0, 100, 4095] {
            lab.disk.poke(&path, &good[..len]);
            let read = sample.read(&store, lab.id).await;
            assert!(
                matches!(read, Err(StoreError::Corrupt { .. })),
                "{len}: {read:?}"
            );
            let stat = store.stat(lab.id, &sample.header.id).await;
            assert!(
                matches!(stat, Err(StoreError::Corrupt { .. })),
                "{len}: {stat:?}"
            );
        }
        lab.disk.poke(&path, &vec![0; good.len()]);
        assert!(matches!(
            sample.read(&store, lab.id).await,
            Err(StoreError::Corrupt { .. })
        ));
        lab.disk.erase(&path);
        assert!(matches!(
            sample.read(&store, lab.id).await,
            Err(StoreError::NotFound { .. })
        ));
        assert_state(&store, DriveState::Online, "");
    });
}

#[test]
fn swapped_fragments_are_not_answered_for_each_other() {
    run(async {
        let lab = Lab::new();
        let store = lab.open().await;
        // Of one shape and one folder: only the identity tells them apart.
        let mut samples = Vec::new();
        for seed in 0..2_u64 {
            let blob =
                BlobId::from_bytes([seed as u8 + 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
            samples.push(Sample::of(blob, "1+0/65536", 200_000, seed));
        }
        for sample in &samples {
            lab.put(&store, sample).await.unwrap();
        }
        let paths: Vec<String> = samples.iter().map(file_of).collect();
        let contents: Vec<Vec<u8>> = paths
            .iter()
            .map(|path| lab.disk.peek(path).unwrap())
            .collect();
        lab.disk.poke(&paths[0], &contents[1]);
        lab.disk.poke(&paths[1], &contents[0]);
        for sample in &samples {
            let read = sample.read(&store, lab.id).await;
            assert!(matches!(read, Err(StoreError::Corrupt { .. })), "{read:?}");
            let stat = store.stat(lab.id, &sample.header.id).await;
            assert!(matches!(stat, Err(StoreError::Corrupt { .. })), "{stat:?}");
        }
        // Blocks that landed in the other file, under the right header, do not verify either.
        let mut mixed = contents[0].clone();
        mixed[8192..].copy_from_slice(&contents[1][8192..]);
        lab.disk.poke(&paths[0], &mixed);
        let read = samples[0].read(&store, lab.id).await.unwrap();
        assert!(read.iter().all(Option::is_none), "{read:?}");
        // Two blocks of one file that changed places.
        let mut turned = contents[0].clone();
        turned[8192..8192 + 65_536].copy_from_slice(&contents[0][8192 + 65_536..8192 + 131_072]);
        lab.disk.poke(&paths[0], &turned);
        let read = samples[0].read(&store, lab.id).await.unwrap();
        assert_eq!(read[0], None);
        assert_eq!(read[1..], samples[0].whole()[1..]);
    });
}

#[test]
fn damage_in_a_segment_costs_what_it_hits_and_is_reported() {
    run(async {
        let mut lab = Lab::new();
        lab.config.segment_bytes = 1 << 20;
        let store = lab.open().await;
        let samples: Vec<Sample> = (0..12)
            .map(|seed| Sample::new("copies:1", 700, seed))
            .collect();
        // One batch each: what a record holds is proven by the next.
        for sample in &samples {
            lab.put(&store, sample).await.unwrap();
        }
        drop(store);
        let path = format!("segments/{}", lab.disk.names("segments")[0]);
        // The head of the third record.
        lab.disk.flip_bit(&path, 4096 + 2 * 4096 + 50, 1);
        // And the segment's own head.
        lab.disk.flip_bit(&path, 33, 1);
        let store = lab.open().await;
        assert_eq!(store.stats()[0].1.bad_records, 1);
        for (number, sample) in samples.iter().enumerate() {
            let read = sample.read(&store, lab.id).await;
            if number == 2 {
                assert!(matches!(read, Err(StoreError::NotFound { .. })), "{read:?}");
            } else {
                assert_eq!(read.unwrap(), sample.whole(), "{number}");
            }
        }
        // What was lost can be written again.
        lab.put(&store, &samples[2]).await.unwrap();
        assert_eq!(
            samples[2].read(&store, lab.id).await.unwrap(),
            samples[2].whole()
        );
    });
}

#[test]
fn a_segment_of_another_drive_or_another_place_is_not_believed() {
    run(async {
        let (lab, other) = (Lab::new(), Lab::new());
        let (mine, theirs) = (small(1), small(2));
        lab.put(&lab.open().await, &mine).await.unwrap();
        other.put(&other.open().await, &theirs).await.unwrap();
        let name = other.disk.names("segments")[0].clone();
        let foreign = other.disk.peek(&format!("segments/{name}")).unwrap();
        lab.disk.poke("segments/0000000000000007.seg", &foreign);
        lab.disk.poke("segments/strange.seg", b"not ours");
        let store = lab.open().await;
        assert_eq!(store.stats()[0].1.bad_records, 1, "it is reported");
        let listed = store.list(lab.id, None, 10).await.unwrap();
        assert_eq!(listed, std::slice::from_ref(&mine.header.id));
        lab.put(&store, &theirs).await.unwrap();
        assert_eq!(theirs.read(&store, lab.id).await.unwrap(), theirs.whole());
        assert!(
            lab.disk
                .names("segments")
                .contains(&"strange.seg".to_owned())
        );
    });
}

#[test]
fn a_commit_that_nobody_waits_for_ends_by_itself_and_leaves_no_litter() {
    run(async {
        let lab = Lab::new();
        let store = lab.open().await;
        let mut kept = [0, 0];
        for seed in 0..40 {
            let sample = if seed % 2 == 0 {
                small(seed)
            } else {
                large(seed)
            };
            let mut writer = store.create(lab.id, sample.header.clone()).await.unwrap();
            for block in &sample.blocks {
                writer.write_block(block.clone()).await.unwrap();
            }
            let mut commit = writer.commit();
            if seed < 30 {
                for _ in 0..=seed / 10 {
                    if futures::poll!(&mut commit).is_ready() {
                        break;
                    }
                }
            } else {
                // However slow the machine: these are left only once they have begun.
                while futures::poll!(&mut commit).is_pending()
                    && sample.read(&store, lab.id).await.is_err()
                {
                    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                }
            }
            drop(commit);
            // Once begun it is done: the caller was told nothing, and the fragment is whole.
            let kind = usize::from(seed % 2 == 0);
            kept[kind] += usize::from(becomes_visible(&store, lab.id, &sample).await);
        }
        // How many of the first begin is the scheduler's choice; the last all did.
        assert!(
            kept.iter().all(|count| *count >= 5),
            "kept of each kind: {kept:?}"
        );
        // A busy machine may still be clearing up behind the last one.
        for _ in 0..1000 {
            if lab.disk.names("staging").is_empty() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert_eq!(lab.disk.names("staging"), Vec::<String>::new());
        assert_state(&store, DriveState::Online, "");
    });
}

async fn becomes_visible(store: &LocalStore, drive: DriveId, sample: &Sample) -> bool {
    for _ in 0..200 {
        if let Ok(read) = sample.read(store, drive).await {
            assert_eq!(read, sample.whole());
            return true;
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    false
}
