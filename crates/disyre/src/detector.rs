//! From a scan to a map with any restorer: prepare, cut windows, restore, score, blend.

use disyre_core::ndarray::{Array3, ArrayView3, ArrayView4, Axis, Slice, Zip};
use disyre_core::{Restorer, Volume};
use disyre_patch::{TilePlan, Window, WindowWeights};
use disyre_score::{Ensemble, EnsembleConfig};

use crate::map_blender::{MapBlender, WindowBatch};
use crate::{DetectOptions, Error, Preparation, Prepared};

/// Turns a scan into an anomaly map with any [`Restorer`].
///
/// ```
/// use disyre::core::{Key, RestoreError, Restorer, Severity, ndarray::{ArrayView5, ArrayViewMut5}};
/// use disyre::phantom::{LesionKind, PhantomConfig};
/// use disyre::{DetectOptions, Detector, PrepareConfig};
///
/// struct Darken; // any restorer will do, not only the diffusion model
/// impl Restorer for Darken {
///     fn restore(&self, batch: ArrayView5<f32>, _: &[Severity], mut out: ArrayViewMut5<f32>) -> Result<(), RestoreError> {
///         out.assign(&batch.mapv(|value| 0.9 * value));
///         Ok(())
///     }
/// }
/// let config = PhantomConfig { shape: [4, 32, 32], ..PhantomConfig::default() };
/// let scan = config.with_lesion(Key::new(1), LesionKind::Stroke).volume;
/// let options = DetectOptions { window: [1, 32, 32], ..DetectOptions::default() };
/// let detector = Detector::new(&Darken, PrepareConfig::default().build()?, options)?;
/// let found = detector.detect(&scan, None, &mut |_, _| ())?;
/// assert_eq!(found.score.dim(), scan.data.dim());
/// # Ok::<(), disyre::Error>(())
/// ```
pub struct Detector<'a> {
    restorer: &'a dyn Restorer,
    preparation: Preparation,
    ensemble: Ensemble,
    options: DetectOptions,
}

impl std::fmt::Debug for Detector<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Detector")
            .field("preparation", &self.preparation)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// Anomaly score and restoration of one scan.
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
    /// Joins a restorer, the preparation of its scans and the settings of detection.
    ///
    /// # Errors
    /// [`Error::Setting`] for settings out of range, [`Error::Score`] for an ensemble that cannot be.
    pub fn new(
        restorer: &'a dyn Restorer,
        preparation: Preparation,
        options: DetectOptions,
    ) -> Result<Self, Error> {
        options.check()?;
        let ensemble = EnsembleConfig {
            severities: options.severities.clone(),
            foreground_weight: options.foreground_weight,
        };
        Ok(Self { restorer, preparation, ensemble: ensemble.build()?, options })
    }

    /// Maps a scan. `progress` is called with the number of windows restored so far, and of all.
    ///
    /// # Shapes and units
    /// `brain` has the scan's shape, non-zero inside the brain; without it the brain is where the scan is not 0, and
    /// nobody looks for a skull: see [`SkullPolicy::brain_of`](crate::SkullPolicy::brain_of).
    ///
    /// # Errors
    /// Those of [`Preparation::prepare`] and of the restorer.
    pub fn detect(
        &self,
        scan: &Volume,
        brain: Option<ArrayView3<'_, u8>>,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Detection, Error> {
        let prepared = self.preparation.prepare(scan, brain)?;
        let to_scan = prepared.to_scan_grid(scan, brain)?;
        let (mut score, mut restored) = self.map(&prepared.volume.data, progress)?;
        restored.par_mapv_inplace(|value| value.clamp(0.0, 1.0));
        clear_outside(&mut restored, &prepared.mask);
        clear_outside(&mut score, &prepared.mask);
        let mut in_units = restored.clone();
        prepared.intensities.invert(&mut in_units.view_mut());
        clear_outside(&mut in_units, &prepared.mask);
        let [score, in_units] =
            [score, in_units].map(|data| Volume { data, grid: prepared.volume.grid });
        let (on_scan, restored_on_scan) =
            rayon::join(|| to_scan.resample(&score), || to_scan.resample(&in_units));
        let mut restored_on_scan = restored_on_scan?;
        if let Some(field) = &prepared.field {
            field.multiply(&mut restored_on_scan);
        }
        Ok(Detection {
            score: on_scan?,
            restored: restored_on_scan,
            working_score: score.data,
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
        let (plan, weights) = self.tiles(shape)?;
        let mut blend = MapBlender::new(&plan, &weights)?;
        // A window without brain scores 0 everywhere: leaving it out changes nothing inside the brain.
        let windows: Vec<_> = plan.windows().filter(|window| has_brain(image, window)).collect();
        let image = image.view().insert_axis(Axis(0));
        let room =
            || WindowBatch::zeros(self.options.batch.min(windows.len()), plan.window_shape());
        let (mut next, mut last) = (room(), room());
        let mut restored: &[Window] = &[];
        for (done, chunk) in windows.chunks(self.options.batch).enumerate() {
            // The restorer stays on this thread, which may be the one that its device knows.
            let mut blended = Ok(());
            rayon::in_place_scope(|scope| {
                scope.spawn(|_| blended = blend.add(restored, &last));
                self.restore(&plan, image, chunk, &mut next)
            })?;
            blended?;
            std::mem::swap(&mut next, &mut last);
            restored = chunk;
            progress(done * self.options.batch + chunk.len(), windows.len());
        }
        blend.add(restored, &last)?;
        Ok(blend.finish())
    }

    /// The windows of an image and their weights in the blend.
    fn tiles(&self, shape: [usize; 3]) -> Result<(TilePlan, WindowWeights), Error> {
        let (window, stride) = self.window(shape);
        let weights = match self.options.whole_slices {
            true => WindowWeights::uniform(window)?,
            false => WindowWeights::gaussian(window)?,
        };
        Ok((TilePlan::new(shape, window, stride)?, weights))
    }

    /// Window and stride for a prepared image: those of the settings, or its whole slices.
    fn window(&self, [_, y, x]: [usize; 3]) -> ([usize; 3], [usize; 3]) {
        let DetectOptions { window, stride, whole_slices, size_multiple, .. } = self.options;
        if !whole_slices {
            return (window, stride);
        }
        let [y, x] = [y, x].map(|extent| extent.next_multiple_of(size_multiple));
        let window = [window[0], y, x];
        (window, window)
    }

    /// Restores and scores windows into the first places of a batch.
    fn restore(
        &self,
        plan: &TilePlan,
        image: ArrayView4<'_, f32>,
        windows: &[Window],
        batch: &mut WindowBatch,
    ) -> Result<(), Error> {
        let first = Slice::from(..windows.len());
        let [mut input, score, restored] =
            [&mut batch.windows, &mut batch.scores, &mut batch.restored]
                .map(|array| array.slice_axis_mut(Axis(0), first));
        for (&window, patch) in windows.iter().zip(input.outer_iter_mut()) {
            plan.extract(image, window, patch)?;
        }
        Ok(self.ensemble.score_into(self.restorer, input.view(), score, restored)?)
    }
}

fn has_brain(image: &Array3<f32>, window: &Window) -> bool {
    let region = window.region();
    let seen = image.slice_each_axis(|axis| Slice::from(region[axis.axis.index()].clone()));
    seen.iter().any(|&value| value > 0.0)
}

fn clear_outside(map: &mut Array3<f32>, mask: &Array3<u8>) {
    Zip::from(map).and(mask).par_for_each(|value, &inside| {
        if inside == 0 {
            *value = 0.0;
        }
    });
}
