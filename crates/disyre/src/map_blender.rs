//! Maps of windows blended into whole images; the detector drives it.

use disyre_core::ndarray::{Array3, Array5, ArrayViewMut5, Axis, Slice};
use disyre_patch::{Blender, TilePlan, Window, WindowWeights};
use disyre_score::EnsembleMaps;
use rayon::prelude::*;

use crate::Error;

/// Optional maps that a detection is to find.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct WantedMaps {
    /// The network's map of the corruption, if it predicts one.
    pub(crate) corruption: bool,
    /// Spread of the restorations over the severities.
    pub(crate) spread: bool,
}

/// One value for each map of an ensemble.
#[derive(Debug)]
pub(crate) struct PerMap<T> {
    pub(crate) score: T,
    pub(crate) restored: T,
    pub(crate) corruption: Option<T>,
    pub(crate) spread: Option<T>,
}

impl WantedMaps {
    fn each<T>(self, mut make: impl FnMut() -> T) -> PerMap<T> {
        PerMap {
            score: make(),
            restored: make(),
            corruption: self.corruption.then(&mut make),
            spread: self.spread.then(&mut make),
        }
    }
}

/// Windows and their maps: room for one batch.
pub(crate) struct WindowBatch {
    pub(crate) windows: Array5<f32>,
    pub(crate) maps: PerMap<Array5<f32>>,
}

impl WindowBatch {
    pub(crate) fn zeros(size: usize, [z, y, x]: [usize; 3], wanted: WantedMaps) -> Self {
        let zeros = || Array5::zeros((size, 1, z, y, x));
        Self { windows: zeros(), maps: wanted.each(zeros) }
    }

    /// The first windows, and their maps to be written.
    pub(crate) fn first(&mut self, count: usize) -> (ArrayViewMut5<'_, f32>, EnsembleMaps<'_>) {
        fn part(array: &mut Array5<f32>, count: usize) -> ArrayViewMut5<'_, f32> {
            array.slice_axis_mut(Axis(0), Slice::from(..count))
        }
        let PerMap { score, restored, corruption, spread } = &mut self.maps;
        let maps = EnsembleMaps {
            score: part(score, count),
            restored: part(restored, count),
            corruption: corruption.as_mut().map(|map| part(map, count)),
            spread: spread.as_mut().map(|map| part(map, count)),
        };
        (part(&mut self.windows, count), maps)
    }
}

/// Maps on their way to whole images.
pub(crate) struct MapBlender {
    blenders: PerMap<Blender>,
}

impl MapBlender {
    pub(crate) fn new(
        plan: &TilePlan,
        weights: &WindowWeights,
        wanted: WantedMaps,
    ) -> Result<Self, Error> {
        let blender = || Blender::new(plan, weights);
        let optional = |wanted: bool| wanted.then(blender).transpose();
        Ok(Self {
            blenders: PerMap {
                score: blender()?,
                restored: blender()?,
                corruption: optional(wanted.corruption)?,
                spread: optional(wanted.spread)?,
            },
        })
    }

    /// Adds the first windows of a batch.
    pub(crate) fn add(&mut self, windows: &[Window], batch: &WindowBatch) -> Result<(), Error> {
        let (blenders, maps) = (&mut self.blenders, &batch.maps);
        let corruption = blenders.corruption.as_mut().zip(maps.corruption.as_ref());
        let spread = blenders.spread.as_mut().zip(maps.spread.as_ref());
        let always = [(&mut blenders.score, &maps.score), (&mut blenders.restored, &maps.restored)];
        let all: Vec<_> = always.into_iter().chain(corruption).chain(spread).collect();
        let added = all.into_par_iter().map(|(blender, values)| {
            let mut pairs = windows.iter().zip(values.outer_iter());
            pairs.try_for_each(|(&window, values)| {
                blender.add(window, values.index_axis_move(Axis(0), 0))
            })
        });
        added.collect::<Result<(), _>>().map_err(Error::from)
    }

    /// The maps of the image.
    pub(crate) fn finish(self) -> PerMap<Array3<f32>> {
        let PerMap { score, restored, corruption, spread } = self.blenders;
        PerMap {
            score: score.finish(),
            restored: restored.finish(),
            corruption: corruption.map(Blender::finish),
            spread: spread.map(Blender::finish),
        }
    }
}
