use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::Scope;

use disyre_core::ndarray::Array5;
use disyre_core::{PairError, PairSource, Severity};
use rayon::prelude::*;

/// Batches made ahead of the one in use.
const AHEAD: usize = 2;

/// Pairs of corrupted and clean images, `(n, c, z, y, x)`, with the severity of each.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) corrupted: Array5<f32>,
    pub(crate) clean: Array5<f32>,
    pub(crate) severities: Vec<Severity>,
}

/// Which pairs, and of which shape `(c, z, y, x)`.
#[derive(Clone, Copy)]
pub(crate) struct Pairs<'a> {
    pub(crate) source: &'a dyn PairSource,
    pub(crate) shape: [usize; 4],
}

impl<'a> Pairs<'a> {
    /// Pairs `first` to `first + n`, each made on any thread; of several failures the first counts.
    pub(crate) fn batch(&self, first: u64, n: usize) -> Result<Batch, PairError> {
        let [c, z, y, x] = self.shape;
        let mut corrupted = Array5::zeros((n, c, z, y, x));
        let mut clean = Array5::zeros((n, c, z, y, x));
        let items: Vec<_> = corrupted.outer_iter_mut().zip(clean.outer_iter_mut()).collect();
        let made: Vec<Result<Severity, PairError>> = items
            .into_par_iter()
            .enumerate()
            .map(|(i, (corrupted, clean))| self.source.pair(first + i as u64, corrupted, clean))
            .collect();
        let severities = made.into_iter().collect::<Result<_, _>>()?;
        Ok(Batch { corrupted, clean, severities })
    }

    /// The batches of `steps`, made by a thread of their own that stays a little ahead.
    ///
    /// Step s has the pairs s·n to (s + 1)·n, so a batch is a function of its step. The thread ends with the steps,
    /// after a failure, or when the receiver is dropped.
    pub(crate) fn ahead<'scope>(
        self,
        scope: &'scope Scope<'scope, '_>,
        steps: std::ops::Range<u64>,
        n: usize,
    ) -> Receiver<Result<Batch, PairError>>
    where
        'a: 'scope,
    {
        let (sender, receiver) = sync_channel(AHEAD);
        scope.spawn(move || {
            for step in steps {
                let batch = self.batch(step * n as u64, n);
                let failed = batch.is_err();
                if sender.send(batch).is_err() || failed {
                    return;
                }
            }
        });
        receiver
    }
}
