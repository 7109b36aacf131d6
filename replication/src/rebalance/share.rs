//! Which part of all bytes each drive should have: in proportion to its size, but no more than one
//! fragment of every blob.

use std::collections::BTreeMap;

use holdfast_types::DriveId;

/// The share of each of `drives`, which have these sizes, of `total_bytes`; none has more than
/// `most_bytes`. What a drive can't have goes to the others.
pub(super) fn shares(
    drives: &BTreeMap<DriveId, u64>,
    total_bytes: u64,
    most_bytes: u64,
) -> BTreeMap<DriveId, u64> {
    let mut given = BTreeMap::new();
    let mut open = drives.clone();
    let mut left = u128::from(total_bytes);
    loop {
        let sizes: u128 = open.values().map(|size| u128::from(*size)).sum();
        if sizes == 0 {
            return given;
        }
        let share = |size: u64| left * u128::from(size) / sizes;
        let full: Vec<DriveId> = open
            .iter()
            .filter(|(_, size)| share(**size) > u128::from(most_bytes))
            .map(|(drive, _)| *drive)
            .collect();
        if full.is_empty() {
            let fits = |share: u128| u64::try_from(share).unwrap_or(u64::MAX);
            given.extend(
                open.iter()
                    .map(|(drive, size)| (*drive, fits(share(*size)))),
            );
            return given;
        }
        for drive in full {
            open.remove(&drive);
            given.insert(drive, most_bytes);
            left = left.saturating_sub(u128::from(most_bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(sizes: &[u64], total: u64, most: u64) -> Vec<u64> {
        let drives = sizes.iter().zip(0u8..);
        let drives = drives.map(|(size, n)| (DriveId::from_bytes([n; 16]), *size));
        shares(&drives.collect(), total, most)
            .into_values()
            .collect()
    }

    #[test]
    fn bytes_go_by_size_and_no_drive_gets_two_fragments_of_a_blob() {
        assert_eq!(of(&[1, 1, 1, 1], 400, 1000), [100; 4]);
        assert_eq!(of(&[1, 1, 2], 400, 1000), [100, 100, 200]);
        // 600 bytes of six fragments each: six drives have one of every blob.
        assert_eq!(of(&[1; 6], 600, 100), [100; 6]);
        assert_eq!(of(&[1; 8], 600, 100), [75; 8]);
        // The big one takes one of every blob; what is left goes to the others.
        assert_eq!(of(&[10, 1, 1, 1, 1, 1, 1], 700, 100), [100; 7]);
        assert_eq!(of(&[10, 1, 1, 1, 1], 300, 100), [100, 50, 50, 50, 50]);
        assert_eq!(of(&[], 300, 100), Vec::<u64>::new());
        assert_eq!(of(&[5, 5], 0, 0), [0, 0]);
    }
}
