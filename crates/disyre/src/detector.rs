use std::sync::Arc;

use disyre_core::ndarray::{Array3, Array5, ArrayView3, ArrayView4, Axis};
use disyre_core::{Restorer, Volume};
use disyre_patch::{Blender, TilePlan, Window, WindowWeights};
use disyre_score::{AbsoluteResidual, Ensemble, EnsembleConfig};

use crate::{Error, PrepareConfig, Prepared, RunConfig};

/// Turns a scan into an anomaly map with any [`Restorer`].
pub struct Detector<'a> {
    restorer: &'a dyn Restorer,
    prepare: PrepareConfig,
    ensemble: Ensemble,
    window: [usize; 3],
    stride: [usize; 3],
    batch: usize,
    /// Where slices are restored as a whole, what their sides are multiples of.
    whole_slices: Option<usize>,
}

impl std::fmt::Debug for Detector<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Detector")
            .field("window", &self.window)
            .field("stride", &self.stride)
            .finish_non_exhaustive()
    }
}

/// What a detector found in one scan.
#[derive(Debug, Clone)]
pub struct Detection {
    /// Anomaly score on the grid of the scan: 0 or more, 0 outside the brain.
    pub score: Array3<f32>,
    /// The restoration (mean over severities) on the grid of the scan, in its units, 0 outside the brain.
    pub restored: Array3<f32>,
    /// The scan as the network saw it.
    pub prepared: Prepared,
    /// The score on the working grid.
    pub working_score: Array3<f32>,
    /// The restoration on the working grid, in `[0, 1]`.
    pub working_restored: Array3<f32>,
}

impl<'a> Detector<'a> {
    /// Joins a restorer and the settings of a run.
    ///
    /// # Errors
    /// [`Error::Setting`] for settings out of range, [`Error::Score`] for an ensemble that cannot be.
    pub fn new(config: &RunConfig, restorer: &'a dyn Restorer) -> Result<Self, Error> {
        config.check()?;
        let ensemble = EnsembleConfig {
            severities: config.detect.severities.clone(),
            foreground_weight: config.detect.foreground_weight,
        };
        Ok(Self {
            restorer,
            prepare: config.prepare,
            ensemble: ensemble.build(Arc::new(AbsoluteResidual))?,
            window: config.pairs.patch,
            stride: config.detect.stride,
            batch: config.detect.batch,
            whole_slices: config.detect.whole_slices.then(|| config.network.size_multiple()),
        })
    }

    /// Maps a scan. `progress` hears of windows done and windows in all.
    ///
    /// # Shapes and units
    /// `brain` has the scan's shape, non-zero inside the brain; without it the brain is where the scan is not 0.
    ///
    /// # Errors
    /// Those of [`PrepareConfig::prepare`] and of the restorer.
    pub fn detect(
        &self,
        scan: &Volume,
        brain: Option<ArrayView3<'_, u8>>,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Detection, Error> {
        let prepared = self.prepare.prepare(scan, brain)?;
        let (score, restored) = self.map(&prepared.volume.data, progress)?;
        let restored = inside(&restored, &prepared.mask).mapv(|value| value.clamp(0.0, 1.0));
        let score = inside(&score, &prepared.mask);
        let mut in_units = restored.clone();
        prepared.range.invert(&mut in_units.view_mut());
        Ok(Detection {
            score: prepared.to_scan(score.clone(), scan, brain)?,
            restored: prepared.to_scan(inside(&in_units, &prepared.mask), scan, brain)?,
            working_score: score,
            working_restored: restored,
            prepared,
        })
    }

    /// Score and restoration of a prepared image, both on its grid.
    fn map(
        &self,
        image: &Array3<f32>,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<(Array3<f32>, Array3<f32>), Error> {
        let shape = [image.len_of(Axis(0)), image.len_of(Axis(1)), image.len_of(Axis(2))];
        let (window, stride) = self.window(shape);
        let plan = TilePlan::new(shape, window, stride)?;
        let weights = match self.whole_slices {
            Some(_) => WindowWeights::uniform(window)?,
            None => WindowWeights::gaussian(window)?,
        };
        let (mut scores, mut restorations) =
            (Blender::new(&plan, &weights)?, Blender::new(&plan, &weights)?);
        let image = image.view().insert_axis(Axis(0));
        // A window without brain scores 0 everywhere: leaving it out changes nothing inside the brain.
        let windows = self.windows_with_brain(&plan, image)?;
        for (done, chunk) in windows.chunks(self.batch).enumerate() {
            let (score, restored) = self.restore(&plan, image, chunk)?;
            for (index, &window) in chunk.iter().enumerate() {
                scores.add(window, only_channel(&score, index))?;
                restorations.add(window, only_channel(&restored, index))?;
            }
            progress((done * self.batch + chunk.len()).min(windows.len()), windows.len());
        }
        Ok((scores.finish(), restorations.finish()))
    }

    /// Window and stride for a prepared image: those of the settings, or its whole slices.
    fn window(&self, [_, y, x]: [usize; 3]) -> ([usize; 3], [usize; 3]) {
        match self.whole_slices {
            None => (self.window, self.stride),
            Some(multiple) => {
                let [y, x] = [y, x].map(|extent| extent.next_multiple_of(multiple));
                let window = [self.window[0], y, x];
                (window, window)
            }
        }
    }

    fn windows_with_brain(
        &self,
        plan: &TilePlan,
        image: ArrayView4<'_, f32>,
    ) -> Result<Vec<Window>, Error> {
        let [z, y, x] = plan.window_shape();
        let mut patch = Array5::zeros((1, 1, z, y, x));
        let mut kept = Vec::with_capacity(plan.len());
        for window in plan.windows() {
            plan.extract(image, window, patch.index_axis_mut(Axis(0), 0))?;
            if patch.iter().any(|&value| value > 0.0) {
                kept.push(window);
            }
        }
        Ok(kept)
    }

    fn restore(
        &self,
        plan: &TilePlan,
        image: ArrayView4<'_, f32>,
        windows: &[Window],
    ) -> Result<(Array5<f32>, Array5<f32>), Error> {
        let [z, y, x] = plan.window_shape();
        let mut batch = Array5::zeros((windows.len(), 1, z, y, x));
        for (&window, patch) in windows.iter().zip(batch.outer_iter_mut()) {
            plan.extract(image, window, patch)?;
        }
        let (mut score, mut restored) = (Array5::zeros(batch.dim()), Array5::zeros(batch.dim()));
        self.ensemble.score(self.restorer, batch.view(), score.view_mut(), restored.view_mut())?;
        Ok((score, restored))
    }
}

fn inside(map: &Array3<f32>, mask: &Array3<u8>) -> Array3<f32> {
    map * &mask.mapv(f32::from)
}

fn only_channel(batch: &Array5<f32>, item: usize) -> ArrayView3<'_, f32> {
    batch.index_axis(Axis(0), item).index_axis_move(Axis(0), 0)
}
