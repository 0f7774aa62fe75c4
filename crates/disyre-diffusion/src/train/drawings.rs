use disyre_core::{Drawing, DrawnPairs, PairError};
use rayon::prelude::*;

/// Makes batches of drawings: what [`Batches`](super::Batches) is for pairs.
#[derive(Clone, Copy)]
pub(crate) struct Drawings<'a> {
    source: &'a dyn DrawnPairs,
    batch: usize,
}

impl<'a> Drawings<'a> {
    pub(crate) fn new(source: &'a dyn DrawnPairs, batch: usize) -> Self {
        Self { source, batch }
    }

    /// The drawings of the pairs that [`Batches::of_step`](super::Batches::of_step) would make, each on any thread; of
    /// several failures the first counts.
    pub(crate) fn of_step(&self, step: u64) -> Result<Vec<Drawing>, PairError> {
        let first = step.wrapping_mul(self.batch as u64);
        let drawing = |i: usize| self.source.drawing(first.wrapping_add(i as u64));
        let drawn: Vec<_> = (0..self.batch).into_par_iter().map(drawing).collect();
        drawn.into_iter().collect()
    }
}
