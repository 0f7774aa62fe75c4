//! A queue that a thread of its own keeps filled: batches are made while earlier ones are in use.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::Scope;

use disyre_core::PairError;

use super::Batch;

/// Items that a thread of its own makes step by step, a little ahead of their use, such as by
/// [`Batches::ahead`](super::Batches::ahead): waits for the next, and ends after the last step or a failure.
#[derive(Debug)]
pub struct BatchQueue<T = Batch> {
    receiver: Receiver<Result<T, PairError>>,
}

impl<T: Send> BatchQueue<T> {
    /// Of what `make` gives for each of `steps`, in order; at most `depth` that are finished wait.
    ///
    /// The thread starts at once and ends with the steps, after a failure, or when the queue is dropped: `scope` then
    /// waits for no more than the one in the making.
    pub(crate) fn new<'scope>(
        scope: &'scope Scope<'scope, '_>,
        steps: Range<u64>,
        depth: NonZeroUsize,
        make: impl Fn(u64) -> Result<T, PairError> + Send + 'scope,
    ) -> Self
    where
        T: 'scope,
    {
        // One more that is finished waits in the hands of the thread.
        let (sender, receiver) = sync_channel(depth.get() - 1);
        scope.spawn(move || {
            for step in steps {
                let made = make(step);
                let failed = made.is_err();
                if sender.send(made).is_err() || failed {
                    return;
                }
            }
        });
        Self { receiver }
    }
}

impl<T> Iterator for BatchQueue<T> {
    type Item = Result<T, PairError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.receiver.recv().ok()
    }
}
