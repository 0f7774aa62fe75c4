//! Batches of training pairs, made ahead of their use.

use std::fmt;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::thread::Scope;

use disyre_core::ndarray::Array5;
use disyre_core::{PairError, PairSource, Severity};
use rayon::prelude::*;

use super::BatchQueue;

/// Pairs of corrupted and clean images, made together.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Corrupted images, `(n, c, z, y, x)`, intensities in `[0, 1]`.
    pub corrupted: Array5<f32>,
    /// The images before, likewise.
    pub clean: Array5<f32>,
    /// Severity that each corruption realised, n entries.
    pub severities: Vec<Severity>,
}

/// Makes batches of any source of pairs; [`ahead`](Self::ahead) makes them while the earlier ones are in use.
///
/// ```
/// use disyre_core::{PairError, PairSource, Severity, ndarray::ArrayViewMut4};
/// use disyre_diffusion::Batches;
///
/// struct Grey; // any source will do
/// impl PairSource for Grey {
///     fn pair(&self, index: u64, mut corrupted: ArrayViewMut4<f32>, mut clean: ArrayViewMut4<f32>) -> Result<Severity, PairError> {
///         clean.fill(0.5);
///         corrupted.fill(0.25);
///         Ok(Severity::FULL)
///     }
/// }
/// let batches = Batches::new(&Grey, [1, 1, 8, 8], 4);
/// std::thread::scope(|scope| {
///     for batch in batches.ahead(scope, 0..3) {
///         assert_eq!(batch?.corrupted.dim(), (4, 1, 1, 8, 8)); // a step of training would stand here
///     }
///     Ok::<(), PairError>(())
/// })?;
/// # Ok::<(), PairError>(())
/// ```
#[derive(Clone, Copy)]
pub struct Batches<'a> {
    source: &'a dyn PairSource,
    shape: [usize; 4],
    batch: usize,
    depth: NonZeroUsize,
}

impl fmt::Debug for Batches<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batches")
            .field("shape", &self.shape)
            .field("batch", &self.batch)
            .field("depth", &self.depth)
            .finish_non_exhaustive()
    }
}

impl<'a> Batches<'a> {
    /// Finished batches that wait at most, unless told otherwise: one levels out what a batch costs, the other is in the
    /// making.
    pub const DEPTH: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);

    /// Batches of `batch` pairs, whose images have this shape `(c, z, y, x)`.
    pub fn new(source: &'a dyn PairSource, shape: [usize; 4], batch: usize) -> Self {
        Self { source, shape, batch, depth: Self::DEPTH }
    }

    /// How many finished batches wait at most, the one in use not counted: memory against pairs of uneven cost.
    #[must_use]
    pub fn with_depth(self, depth: NonZeroUsize) -> Self {
        Self { depth, ..self }
    }

    /// The batch of a step s: the pairs s·n to (s + 1)·n, so it is a function of its step.
    ///
    /// # Errors
    /// [`PairError`] of the first pair that could not be made.
    pub fn of_step(&self, step: u64) -> Result<Batch, PairError> {
        self.make(step.wrapping_mul(self.batch as u64), self.batch)
    }

    /// Pairs `first` to `first + n`, each made on any thread; of several failures the first counts.
    pub(crate) fn make(&self, first: u64, n: usize) -> Result<Batch, PairError> {
        let [c, z, y, x] = self.shape;
        let mut corrupted = Array5::zeros((n, c, z, y, x));
        let mut clean = Array5::zeros((n, c, z, y, x));
        let items: Vec<_> = corrupted.outer_iter_mut().zip(clean.outer_iter_mut()).collect();
        let made: Vec<Result<Severity, PairError>> = items
            .into_par_iter()
            .enumerate()
            .map(|(i, (corrupted, clean))| {
                self.source.pair(first.wrapping_add(i as u64), corrupted, clean)
            })
            .collect();
        let severities = made.into_iter().collect::<Result<_, _>>()?;
        Ok(Batch { corrupted, clean, severities })
    }

    /// The batches of `steps`, in order, made by a thread of their own that stays a little ahead of their use.
    ///
    /// That thread starts at once, shares its work with rayon's global pool, and ends with the steps, after a failure,
    /// or when the queue is dropped: `scope` then waits for no more than the batch in the making.
    pub fn ahead<'scope>(self, scope: &'scope Scope<'scope, '_>, steps: Range<u64>) -> BatchQueue
    where
        'a: 'scope,
    {
        BatchQueue::new(scope, steps, self.depth, move |step| self.of_step(step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::ArrayViewMut4;
    use disyre_core::rand::RngExt;
    use disyre_core::{Key, ShapeError};
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;
    use std::time::{Duration, Instant};

    const SHAPE: [usize; 4] = [2, 1, 3, 4];
    const BATCH: usize = 5;

    /// Noise by index; counts the pairs begun, and fails from one on.
    struct Noise {
        begun: AtomicU64,
        fails_from: u64,
    }

    impl Noise {
        fn failing_from(fails_from: u64) -> Self {
            Self { begun: AtomicU64::new(0), fails_from }
        }

        fn endless() -> Self {
            Self::failing_from(u64::MAX)
        }

        fn batches_begun(&self) -> u64 {
            self.begun.load(Ordering::SeqCst).div_ceil(BATCH as u64)
        }

        /// Waits until the maker has nothing left that it may do.
        fn wait_for_batches(&self, count: u64) {
            let started = Instant::now();
            while self.batches_begun() < count && started.elapsed() < Duration::from_secs(20) {
                thread::sleep(Duration::from_millis(1));
            }
            // Long enough for many more, if the maker did not wait.
            thread::sleep(Duration::from_millis(30));
        }
    }

    impl PairSource for Noise {
        fn pair(
            &self,
            index: u64,
            mut corrupted: ArrayViewMut4<'_, f32>,
            mut clean: ArrayViewMut4<'_, f32>,
        ) -> Result<Severity, PairError> {
            self.begun.fetch_add(1, Ordering::SeqCst);
            if index >= self.fails_from {
                let source = Box::new(ShapeError::new("noise", &[1], &[2]));
                return Err(PairError::Source { index, source });
            }
            let mut rng = Key::new(4).child(index).rng();
            clean.map_inplace(|value| *value = rng.random());
            corrupted.map_inplace(|value| *value = rng.random());
            Ok(Severity::new(rng.random()).unwrap())
        }
    }

    fn batches(source: &Noise) -> Batches<'_> {
        Batches::new(source, SHAPE, BATCH)
    }

    #[test]
    fn no_more_finished_batches_wait_than_the_depth_says() {
        for depth in 1..=3 {
            let source = Noise::endless();
            thread::scope(|scope| {
                let depth = NonZeroUsize::new(depth).unwrap();
                let mut queue = batches(&source).with_depth(depth).ahead(scope, 0..u64::MAX);
                for used in 0..4 {
                    let most = used + depth.get() as u64;
                    source.wait_for_batches(most);
                    assert_eq!(source.batches_begun(), most, "{depth} ahead, {used} used");
                    queue.next().unwrap().unwrap();
                }
            });
        }
    }

    #[test]
    fn the_queue_gives_in_order_what_one_thread_or_three_make() {
        let source = Noise::endless();
        let queued: Vec<Batch> = thread::scope(|scope| {
            batches(&source).ahead(scope, 7..12).map(Result::unwrap).collect()
        });
        assert_eq!(queued.len(), 5);
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let made = pool.install(|| (7..12).map(|step| batches(&source).of_step(step)));
            let made: Vec<Batch> = pool.install(|| made.map(Result::unwrap).collect());
            assert_eq!(made, queued, "{threads} threads");
        }
        assert_ne!(queued[0], queued[1]);
    }

    #[test]
    fn dropping_the_queue_ends_the_thread() {
        let source = Noise::endless();
        // The scope ends only when the thread has: a thread that went on would hang here.
        thread::scope(|scope| {
            let queue = batches(&source).ahead(scope, 0..u64::MAX);
            assert_eq!(queue.take(2).count(), 2);
        });
        assert!(source.batches_begun() <= 2 + Batches::DEPTH.get() as u64 + 1);
    }

    #[test]
    fn a_failure_comes_after_the_batches_before_it_and_is_the_last() {
        let source = Noise::failing_from(12);
        let results: Vec<_> =
            thread::scope(|scope| batches(&source).ahead(scope, 0..100).collect());
        assert_eq!(results.len(), 3);
        assert!(results[..2].iter().all(Result::is_ok));
        // Pairs 12 to 14 all fail; the first counts.
        assert!(matches!(results[2], Err(PairError::Source { index: 12, .. })));
        assert_eq!(source.batches_begun(), 3);
    }
}
