//! Sorted keys, in memory or in a temporary file, and the walk down from the greatest.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Most keys that are read from a file at once: 256 KiB.
const BLOCK: usize = 1 << 16;

/// Keys in memory of all lists that are walked together: 16 MiB, also of hundreds of runs.
const WALKED: usize = 1 << 22;

/// Fewest keys that are read at once: less would be many reads.
const LEAST_BLOCK: usize = 1 << 10;

/// Bytes of a key in a file, little-endian.
const BYTES: usize = size_of::<u32>();

/// Keys in ascending order.
#[derive(Debug)]
pub(super) enum Keys {
    /// In memory.
    Memory(Vec<u32>),
    /// In a file, which the system deletes when all of its lists are dropped.
    File(KeyFile),
}

/// Keys in an unnamed temporary file, which all lists of a [`Spill`] share.
#[derive(Debug)]
pub(super) struct KeyFile {
    // Reading moves the position of the file.
    file: Arc<Mutex<File>>,
    /// Keys before these in the file.
    start: u64,
    count: u64,
}

/// An unnamed temporary file that lists of keys are written to, one after another; made with the first of them.
#[derive(Debug, Default)]
pub(super) struct Spill {
    file: Option<Arc<Mutex<File>>>,
    /// Keys in the file.
    count: u64,
}

impl Spill {
    /// Writes the two lists of a run to the file, in `folder` or in the system's folder of temporary files. An empty list
    /// needs none.
    pub(super) fn write(
        &mut self,
        lists: [&[u32]; 2],
        folder: Option<&Path>,
    ) -> io::Result<[Keys; 2]> {
        let shared = match &self.file {
            Some(file) => Arc::clone(file),
            None => Arc::new(Mutex::new(match folder {
                Some(folder) => tempfile::tempfile_in(folder)?,
                None => tempfile::tempfile()?,
            })),
        };
        let mut file = shared.lock().unwrap_or_else(PoisonError::into_inner);
        // Behind the whole lists, whatever a write that failed has left there.
        file.seek(SeekFrom::Start(self.count * BYTES as u64))?;
        for block in lists.into_iter().flat_map(|keys| keys.chunks(BLOCK)) {
            let bytes: Vec<u8> = block.iter().flat_map(|key| key.to_le_bytes()).collect();
            file.write_all(&bytes)?;
        }
        drop(file);
        let counts = lists.map(|keys| keys.len() as u64);
        let starts = [self.count, self.count + counts[0]];
        let keys = [0, 1].map(|list| match counts[list] {
            0 => Keys::Memory(Vec::new()),
            count => Keys::File(KeyFile { file: Arc::clone(&shared), start: starts[list], count }),
        });
        self.count += counts[0] + counts[1];
        self.file = Some(shared);
        Ok(keys)
    }
}

/// Keys to read at once of each list, where so many are walked together.
pub(super) fn block_of(lists: usize) -> usize {
    (WALKED / lists.max(1)).clamp(LEAST_BLOCK, BLOCK)
}

impl Keys {
    /// Number of keys.
    pub(super) fn count(&self) -> u64 {
        match self {
            Self::Memory(keys) => keys.len() as u64,
            Self::File(file) => file.count,
        }
    }

    /// Number of keys that are at least `key`.
    pub(super) fn at_least(&self, key: u32) -> io::Result<u64> {
        match self {
            Self::Memory(keys) => Ok((keys.len() - keys.partition_point(|&k| k < key)) as u64),
            Self::File(file) => file.at_least(key),
        }
    }

    /// A walk down from the greatest key, of which so many are read from a file at once.
    pub(super) fn descend(&self, at_once: usize) -> Descent<'_> {
        let (block, left, below): (&[u32], _, _) = match self {
            Self::Memory(keys) => (keys, keys.len(), None),
            Self::File(file) => (&[], 0, Some((file, file.count))),
        };
        Descent { block: Cow::Borrowed(block), left, below, at_once: at_once as u64 }
    }
}

impl KeyFile {
    /// Some of the keys.
    fn read(&self, keys: Range<u64>) -> io::Result<Vec<u32>> {
        let mut bytes = vec![0; (keys.end - keys.start) as usize * BYTES];
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start((self.start + keys.start) * BYTES as u64))?;
        file.read_exact(&mut bytes)?;
        Ok(bytes.as_chunks().0.iter().copied().map(u32::from_le_bytes).collect())
    }

    /// Binary search in the file.
    fn at_least(&self, key: u32) -> io::Result<u64> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.read(middle..middle + 1)?[0] < key {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        Ok(self.count - low)
    }
}

/// Walk over ascending keys from the greatest down, a block at a time.
pub(super) struct Descent<'a> {
    block: Cow<'a, [u32]>,
    /// Keys of the block that are not yet taken: the first ones.
    left: usize,
    /// The file and the number of its keys below the block.
    below: Option<(&'a KeyFile, u64)>,
    /// Keys to read at once.
    at_once: u64,
}

impl Descent<'_> {
    /// The greatest key that is not yet taken.
    pub(super) fn peek(&mut self) -> io::Result<Option<u32>> {
        self.fill()?;
        Ok(self.block[..self.left].last().copied())
    }

    /// Takes all keys that are at least `key` and counts them.
    pub(super) fn take_at_least(&mut self, key: u32) -> io::Result<u64> {
        let mut taken = 0;
        while self.fill()? {
            let some = count_at_least(&self.block[..self.left], key);
            self.left -= some;
            taken += some as u64;
            if self.left > 0 {
                break;
            }
        }
        Ok(taken)
    }

    /// Reads the next block if this one is taken; false at the end.
    fn fill(&mut self) -> io::Result<bool> {
        if self.left == 0
            && let Some((file, end)) = self.below
        {
            let start = end.saturating_sub(self.at_once);
            self.block = Cow::Owned(file.read(start..end)?);
            self.left = self.block.len();
            self.below = (start > 0).then_some((file, start));
        }
        Ok(self.left > 0)
    }
}

/// Number of ascending keys that are at least `key`: few usually, so the search begins at the end.
fn count_at_least(keys: &[u32], key: u32) -> usize {
    let mut step = 1;
    while step <= keys.len() && keys[keys.len() - step] >= key {
        step *= 2;
    }
    // The last step/2 keys are at least `key`, the one at `step` is not.
    let (least, most) = (step / 2, step.min(keys.len()));
    let undecided = &keys[keys.len() - most..keys.len() - least];
    least + undecided.len() - undecided.partition_point(|&k| k < key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(keys: Vec<u32>) -> [Keys; 2] {
        // Behind another list in the file.
        let [_, file] = Spill::default().write([&[7, 8, 9], &keys], None).unwrap();
        [file, Keys::Memory(keys)]
    }

    #[test]
    fn keys_in_a_file_are_counted_as_in_memory() {
        for keys in both(vec![1, 4, 4, 9]) {
            let counts = [0, 1, 2, 4, 5, 9, 10].map(|key| keys.at_least(key).unwrap());
            assert_eq!(counts, [4, 4, 3, 3, 1, 1, 0]);
            assert_eq!(keys.count(), 4);
        }
    }

    #[test]
    fn all_lists_share_a_file_and_empty_ones_need_none() {
        let mut spill = Spill::default();
        let mut lists = Vec::new();
        for run in [[&[1][..], &[2, 3]], [&[], &[5]], [&[4, 6], &[]]] {
            lists.extend(spill.write(run, None).unwrap());
        }
        let file = spill.file.unwrap();
        for (list, expected) in lists.iter().zip([&[1][..], &[2, 3], &[], &[5], &[4, 6], &[]]) {
            match list {
                Keys::Memory(keys) => assert!(keys.is_empty() && expected.is_empty()),
                Keys::File(keys) => {
                    assert!(Arc::ptr_eq(&file, &keys.file));
                    assert_eq!(keys.read(0..keys.count).unwrap(), expected);
                }
            }
        }
    }

    #[test]
    fn blocks_of_all_lists_together_are_bounded() {
        assert_eq!([1, 64, 128, 1000, 1 << 20].map(block_of), [BLOCK, BLOCK, 32768, 4194, 1024]);
    }

    #[test]
    fn a_walk_crosses_the_blocks_of_a_file() {
        // Equal keys reach over two ends of blocks.
        let count = 3 * BLOCK as u32;
        let list: Vec<u32> =
            (0..count).map(|index| index.min(count - 2 * BLOCK as u32 - 7)).collect();
        for keys in both(list.clone()) {
            let mut walk = keys.descend(BLOCK);
            let mut seen = 0;
            while let Some(key) = walk.peek().unwrap() {
                assert_eq!(key, list[list.len() - 1 - seen]);
                seen += walk.take_at_least(key).unwrap() as usize;
            }
            assert_eq!(seen, list.len());
        }
    }

    #[test]
    fn the_search_from_the_end_equals_a_count() {
        for length in 0..40 {
            let keys: Vec<u32> = (0..length).map(|index| index / 3 * 2).collect();
            for key in 0..30 {
                let expected = keys.iter().filter(|&&k| k >= key).count();
                assert_eq!(count_at_least(&keys, key), expected);
            }
        }
    }
}
