//! Scans read and prepared several at a time: as many as there is memory for.

use std::path::Path;

use disyre_volume::{MemoryLeft, ScanHeader};
use rayon::prelude::*;

use crate::Error;

/// Scans that are read and prepared before work on them begins that is not done at once: memory, and speed, not results.
pub(crate) const AT_ONCE: usize = 4;

/// Memory that reading and preparing a scan takes in passing for each voxel of its file: scan, mask, corrected scan, and
/// copies for N4, registration and brain extraction.
const BYTES_PER_VOXEL: u64 = 24;

/// Does some work for every item with a scan, several at a time; the results are in the order of the items.
///
/// Where memory is short, fewer are worked on at once; what a single scan needs is compared with the memory that is left when
/// it is read.
///
/// # Errors
/// Those of all items that fail: see [`Error::Scans`].
pub(crate) fn for_scans<I: Sync, T: Send>(
    items: &[I],
    path: impl Fn(&I) -> &Path + Sync,
    work: impl Fn(&I) -> Result<T, Error> + Sync,
) -> Result<Vec<T>, Error> {
    // A header that cannot be read is an error where its scan is read.
    let voxels = |item: &I| ScanHeader::read(path(item)).map_or(0, |header| header.grid().len());
    let most = items.par_iter().map(voxels).max().unwrap_or(0) as u64 * BYTES_PER_VOXEL;
    let mut done = Vec::with_capacity(items.len());
    let mut failed = Vec::new();
    let mut rest = items;
    while !rest.is_empty() {
        let (chunk, later) = rest.split_at(at_once(MemoryLeft::now(), most).min(rest.len()));
        rest = later;
        for result in chunk.par_iter().map(&work).collect::<Vec<_>>() {
            match result {
                // After a failure the others are looked at for theirs alone.
                Ok(_) if !failed.is_empty() => {}
                Ok(result) => done.push(result),
                Err(error) => failed.push(error),
            }
        }
        if !failed.is_empty() {
            done.clear();
        }
    }
    Error::all_of(failed, items.len()).map(|()| done)
}

/// Number of scans that need so many bytes each.
fn at_once(left: Option<MemoryLeft>, bytes: u64) -> usize {
    let fit = left.map_or(u64::MAX, |left| left.bytes / bytes.max(1));
    // With room for all threads twice over, nothing is gained by waiting for each other.
    let threads = rayon::current_num_threads();
    match usize::try_from(fit).unwrap_or(usize::MAX) {
        fit if fit >= 2 * threads => usize::MAX,
        fit => fit.max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_volume::MemoryBound;

    #[test]
    fn short_memory_makes_work_wait_and_changes_no_result() {
        let left = |bytes| Some(MemoryLeft { bytes, bound: MemoryBound::Machine });
        assert_eq!(at_once(left(10), 100), 1);
        assert_eq!(at_once(left(100), 100), 1);
        assert_eq!(at_once(left(u64::MAX), 100), usize::MAX);
        assert_eq!(at_once(None, 100), usize::MAX);
        let items: Vec<usize> = (0..7).collect();
        let squares = for_scans(&items, |_| Path::new("none.nii"), |&item| Ok(item * item));
        assert_eq!(squares.unwrap(), [0, 1, 4, 9, 16, 25, 36]);
    }

    #[test]
    fn all_failures_are_listed_and_a_single_one_is_itself() {
        let run = |bad: &'static [usize]| {
            let items: Vec<usize> = (0..5).collect();
            for_scans(
                &items,
                |_| Path::new("none.nii"),
                |item| match bad.contains(item) {
                    true => Err(Error::EmptyBrain { name: format!("scan {item}") }),
                    false => Ok(()),
                },
            )
        };
        assert!(matches!(run(&[3]), Err(Error::EmptyBrain { .. })));
        let message = run(&[1, 4]).unwrap_err().to_string();
        assert!(message.starts_with("2 of 5 scans cannot be used:\n- scan 1"), "{message}");
        assert!(message.contains("\n- scan 4 "), "{message}");
    }
}
