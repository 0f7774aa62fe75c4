use super::{Backend, Maps};

/// What a network can be told about how severe an image is: for each level its severity and a row of numbers.
#[derive(Debug, Clone, Copy)]
pub struct Conditions<'a> {
    /// Of each level, at least one.
    pub severities: &'a [f32],
    /// Of each level what the network reads, `(level, width)`; as many levels as severities.
    pub rows: &'a [f32],
}

/// A batch of n training pairs on a machine, each of patches of z slices.
#[derive(Debug)]
pub struct Pairs<B: Backend + ?Sized> {
    /// n·z images `(h, w, 1)` in `f32`: slices of the corrupted patches.
    pub corrupted: Maps<B>,
    /// The same of the clean patches.
    pub clean: Maps<B>,
    /// One image of one row of n·z pixels, whose channels are a level's row of [`Conditions`]: for every slice of a
    /// patch that of the level whose severity is closest to the patch's, the first of equally close.
    pub conditions: Maps<B>,
    /// How corrupted each patch is, (n).
    pub severities: B::Values,
}

impl Conditions<'_> {
    /// Numbers of a row.
    ///
    /// # Panics
    /// If there is no level.
    pub fn width(&self) -> usize {
        self.rows.len() / self.severities.len()
    }
}
