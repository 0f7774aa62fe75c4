//! From a scan to a map with any restorer: prepare, cut windows, restore, score, blend.

use disyre_core::ndarray::{Array2, Array3, ArrayView3, ArrayView4, Axis, Slice, Zip};
use disyre_core::{Restorer, Severity, Volume};
use disyre_diffusion::UNetConfig;
use disyre_patch::{TilePlan, Window, WindowWeights};
use disyre_register::Registration;
use disyre_score::{Ensemble, EnsembleConfig};
use disyre_volume::VolumeError;
use serde::{Deserialize, Serialize};

use crate::calibration::{CalibratedScores, Evidence};
use crate::map_blender::{MapBlender, PerMap, WantedMaps, WindowBatch};
use crate::{Calibration, DetectOptions, Error, Preparation, Prepared};

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
    calibration: Option<&'a Calibration>,
    /// True to find all evidence that a calibration compares.
    evidence: bool,
    /// The network, where its memory is the program's.
    network: Option<UNetConfig>,
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
    /// The kind of the score.
    pub kind: ScoreKind,
    /// Calibrated score with its sign on the grid of the scan, in standard deviations of healthy scans: below 0 is darker
    /// than healthy. `None` where the score is the published one.
    pub signed: Option<Array3<f32>>,
    /// Standard deviation of the restorations over the severities on the grid of the scan, in scaled intensities, where
    /// the settings ask for it.
    pub uncertainty: Option<Array3<f32>>,
    /// Registration to the template, where the axes or the score needed one.
    pub registration: Option<Registration>,
}

/// Kind of an anomaly score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScoreKind {
    /// The published score, as the settings ask.
    Published,
    /// The score that compares with healthy scans.
    Calibrated,
    /// The published score in place of the calibrated one: there is no calibration.
    PublishedUncalibrated,
    /// The published score in place of the calibrated one: the registration to the template is doubtful.
    PublishedDoubtfulRegistration,
}

/// One axial slice of the working grid, restored at one severity.
#[derive(Debug, Clone)]
pub(crate) struct SliceRestoration {
    pub(crate) severity: Severity,
    /// In `[0, 1]`, 0 outside the brain.
    pub(crate) restored: Array2<f32>,
}

/// One passage of an image through the network.
#[derive(Debug, Clone, Copy)]
struct Passage<'a> {
    ensemble: &'a Ensemble,
    wanted: WantedMaps,
}

/// A scan and its restoration on the working grid.
#[derive(Debug)]
pub(crate) struct Restored {
    pub(crate) prepared: Prepared,
    /// The published score.
    score: Array3<f32>,
    /// Mean over severities, in `[0, 1]`, 0 outside the brain.
    pub(crate) restored: Array3<f32>,
    /// The network's map of the corruption, mean over severities; `None`: it predicts none.
    pub(crate) corruption: Option<Array3<f32>>,
    /// Standard deviation of the restorations over severities; `None`: not asked for.
    spread: Option<Array3<f32>>,
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
        let ensemble = ensemble.build()?;
        Ok(Self {
            restorer,
            preparation,
            ensemble,
            options,
            calibration: None,
            evidence: false,
            network: None,
        })
    }

    /// The same detector with a calibration, by which it scores where its settings say `calibrated`.
    ///
    /// # Errors
    /// [`Error::OtherCalibration`] for settings of other restorations than those that it was fitted with.
    pub fn with_calibration(self, calibration: &'a Calibration) -> Result<Self, Error> {
        let Some(config) = &self.options.calibrated else { return Ok(self) };
        calibration.ensure_fits(&self.options, config)?;
        Ok(Self { calibration: Some(calibration), ..self.with_evidence() })
    }

    /// The same detector, which finds all evidence that a calibration compares.
    pub(crate) fn with_evidence(self) -> Self {
        Self { evidence: true, ..self }
    }

    /// The same detector, which forecasts the memory of batches in this network.
    pub(crate) fn with_network(self, network: UNetConfig) -> Self {
        Self { network: Some(network), ..self }
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
        // The brain, and score, restoration and what else is asked for, before any work is done.
        let maps = 2 + u64::from(self.calibration.is_some()) + u64::from(self.options.uncertainty);
        let bytes = scan.data.len() as u64 * (1 + 4 * maps);
        VolumeError::ensure_memory("the maps on the grid of the scan", bytes)?;
        self.detect_prepared(self.preparation.prepare(scan, brain)?, scan, brain, progress)
    }

    /// Maps a scan that is prepared already, or a changed copy of it.
    ///
    /// # Errors
    /// Those of the restorer.
    pub(crate) fn detect_prepared(
        &self,
        prepared: Prepared,
        scan: &Volume,
        brain: Option<ArrayView3<'_, u8>>,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Detection, Error> {
        let restored = self.restore(prepared, progress)?;
        let (kind, calibrated, registration) = self.calibrated(&restored)?;
        let Restored { prepared, score, restored, spread, .. } = restored;
        let (score, signed) = match calibrated {
            Some([score, signed]) => (score, Some(signed)),
            None => (score, None),
        };
        let mut in_units = restored.clone();
        prepared.intensities.invert(&mut in_units.view_mut());
        clear_outside(&mut in_units, &prepared.mask);
        let maps = [Some(&score), Some(&in_units), signed.as_ref(), spread.as_ref()];
        let maps: Vec<_> = maps.into_iter().flatten().map(|map| map.view()).collect();
        let mut on_scan = prepared.all_to_scan(&maps, scan, brain)?.into_iter();
        let (on_scan_score, restored_on_scan) = (on_scan.next(), on_scan.next());
        let signed = signed.and_then(|_| on_scan.next());
        let uncertainty = spread.and_then(|_| on_scan.next());
        let mut restored_on_scan = restored_on_scan.unwrap_or_default();
        if let Some(field) = &prepared.field {
            field.multiply(&mut restored_on_scan);
        }
        Ok(Detection {
            score: on_scan_score.unwrap_or_default(),
            restored: restored_on_scan,
            working_score: score,
            working_restored: restored,
            prepared,
            kind,
            signed,
            uncertainty,
            registration,
        })
    }

    /// Restores a prepared scan.
    pub(crate) fn restore(
        &self,
        prepared: Prepared,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Restored, Error> {
        let passage = Passage { ensemble: &self.ensemble, wanted: self.wanted() };
        let mut maps = self.map(passage, &prepared.volume.data, progress)?;
        maps.restored.par_mapv_inplace(|value| value.clamp(0.0, 1.0));
        let PerMap { score, restored, corruption, spread } = &mut maps;
        for map in [score, restored].into_iter().chain(corruption).chain(spread) {
            clear_outside(map, &prepared.mask);
        }
        let PerMap { score, restored, corruption, spread } = maps;
        Ok(Restored { prepared, score, restored, corruption, spread })
    }

    /// The calibrated score and its signed form on the working grid, if the settings ask for them, there is a calibration
    /// and the registration to the template is good.
    #[expect(clippy::type_complexity, reason = "three values of one step, taken apart at once")]
    fn calibrated(
        &self,
        restored: &Restored,
    ) -> Result<(ScoreKind, Option<[Array3<f32>; 2]>, Option<Registration>), Error> {
        let prepared = &restored.prepared;
        let earlier = prepared.registration.clone();
        let Some(config) = &self.options.calibrated else {
            return Ok((ScoreKind::Published, None, earlier));
        };
        let Some(calibration) = self.calibration else {
            return Ok((ScoreKind::PublishedUncalibrated, None, earlier));
        };
        let found = prepared.registration_to(calibration.space())?;
        if !found.verdict.is_good() {
            return Ok((ScoreKind::PublishedDoubtfulRegistration, None, Some(found)));
        }
        let grid = calibration.space().grid_of(&found);
        let evidence = Evidence::on_grid(restored, &grid)?;
        let scores: CalibratedScores = calibration.scores(&evidence, config)?;
        let mut maps = scores.carried(&grid, &prepared.volume.grid)?;
        maps.iter_mut().for_each(|map| clear_outside(map, &prepared.mask));
        Ok((ScoreKind::Calibrated, Some(maps), Some(found)))
    }

    /// One axial slice of a prepared scan, restored at each severity by itself; where windows are deeper than a slice, by the
    /// windows that have it in their middle.
    pub(crate) fn restore_slice(
        &self,
        prepared: &Prepared,
        slice: usize,
    ) -> Result<Vec<SliceRestoration>, Error> {
        let image = &prepared.volume.data;
        let depth = self.options.window[0].min(image.len_of(Axis(0)));
        let first = slice.saturating_sub(depth / 2).min(image.len_of(Axis(0)) - depth);
        let slab = image.slice_axis(Axis(0), Slice::from(first..first + depth)).to_owned();
        let mask = prepared.mask.index_axis(Axis(0), slice);
        let restore = |&severity: &Severity| {
            let foreground_weight = self.options.foreground_weight;
            let ensemble = EnsembleConfig { severities: vec![severity], foreground_weight };
            let ensemble = ensemble.build()?;
            let passage = Passage { ensemble: &ensemble, wanted: WantedMaps::default() };
            let maps = self.map(passage, &slab, &mut |_, _| ())?;
            let mut restored = maps.restored.index_axis(Axis(0), slice - first).to_owned();
            Zip::from(&mut restored).and(&mask).for_each(|value, &inside| {
                *value = if inside == 0 { 0.0 } else { value.clamp(0.0, 1.0) };
            });
            Ok(SliceRestoration { severity, restored })
        };
        self.options.severities.iter().map(restore).collect()
    }

    /// Maps of a prepared image on its grid.
    fn map(
        &self,
        passage: Passage<'_>,
        image: &Array3<f32>,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<PerMap<Array3<f32>>, Error> {
        let shape = [image.len_of(Axis(0)), image.len_of(Axis(1)), image.len_of(Axis(2))];
        let (plan, weights) = self.tiles(shape)?;
        let wanted = passage.wanted;
        let mut blend = MapBlender::new(&plan, &weights, wanted)?;
        // A window without brain scores 0 everywhere: leaving it out changes nothing inside the brain.
        let windows: Vec<_> = plan.windows().filter(|window| has_brain(image, window)).collect();
        let image = image.view().insert_axis(Axis(0));
        let size = self.options.batch.min(windows.len());
        self.ensure_memory(size, plan.window_shape(), image.len())?;
        let room = || WindowBatch::zeros(size, plan.window_shape(), wanted);
        let (mut next, mut last) = (room(), room());
        let mut restored: &[Window] = &[];
        let mut predicted = false;
        for (done, chunk) in windows.chunks(self.options.batch).enumerate() {
            // The restorer stays on this thread, which may be the one that its device knows.
            let mut blended = Ok(());
            predicted = rayon::in_place_scope(|scope| {
                scope.spawn(|_| blended = blend.add(restored, &last));
                restore_windows(self.restorer, passage.ensemble, (&plan, image), (chunk, &mut next))
            })?;
            blended?;
            std::mem::swap(&mut next, &mut last);
            restored = chunk;
            progress(done * self.options.batch + chunk.len(), windows.len());
        }
        blend.add(restored, &last)?;
        let maps = blend.finish();
        Ok(PerMap { corruption: maps.corruption.filter(|_| predicted), ..maps })
    }

    /// Compares the memory of a batch of windows, their maps and the blended maps of an image with what is left.
    fn ensure_memory(&self, count: usize, window: [usize; 3], image: usize) -> Result<(), Error> {
        let WantedMaps { corruption, spread } = self.wanted();
        let maps = 2 + u64::from(corruption) + u64::from(spread);
        let [z, y, x] = window;
        let windows = [count, z, y, x].map(|n| n as u64).into_iter().fold(1, u64::saturating_mul);
        // Two batches with their maps; sum and weight of each map.
        let arrays = windows.saturating_mul(8 * (1 + maps)) + image as u64 * 8 * maps;
        let network = self.network.as_ref();
        let network = network.map_or(0, |network| network.restoring_bytes(count * z, [y, x]));
        let bytes = arrays.saturating_add(network);
        Ok(VolumeError::ensure_memory("a batch of windows, in the network and blended,", bytes)?)
    }

    /// Maps beside score and restoration that the settings ask for.
    fn wanted(&self) -> WantedMaps {
        WantedMaps { corruption: self.evidence, spread: self.options.uncertainty }
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
}

/// Restores and scores windows of an image into the first places of a batch. Returns true if the restorer predicts maps of
/// the corruption.
fn restore_windows(
    restorer: &dyn Restorer,
    ensemble: &Ensemble,
    (plan, image): (&TilePlan, ArrayView4<'_, f32>),
    (windows, batch): (&[Window], &mut WindowBatch),
) -> Result<bool, Error> {
    let (mut input, maps) = batch.first(windows.len());
    for (&window, patch) in windows.iter().zip(input.outer_iter_mut()) {
        plan.extract(image, window, patch)?;
    }
    Ok(ensemble.maps_into(restorer, input.view(), maps)?)
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
