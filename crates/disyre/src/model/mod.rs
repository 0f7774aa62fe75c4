//! A trained model as one value: network, preparation and settings; what users of the façade begin with.

mod folder;
mod pack;

use std::path::Path;
use std::time::Instant;

use disyre_core::Volume;
use disyre_core::ndarray::ArrayView3;
use disyre_diffusion::{ColdRestorer, Device, Engine};
use disyre_volume::{Scan, nonzero_mask, sha256_of_bytes, sha256_of_file};

pub use folder::ModelFolder;

use crate::findings::Record;
#[cfg(feature = "pictures")]
use crate::findings::Report;
use crate::thresholds::ScoreMaps;
use crate::{
    Calibration, DetectOptions, Detection, Detector, Error, Findings, Marked, MaskThreshold,
    SkullPolicy, Thresholds,
};

/// A trained model: its network on a device, and how scans are prepared and scored for it.
///
/// ```
#[doc = include_str!("doctest_model.txt")]
/// use disyre::{DetectOptions, DetectRequest, Model, Scan};
///
/// let model = Model::load("model")?;
/// let scan = Scan::read("sub-01_T1w.nii.gz")?;
/// let options = DetectOptions { whole_slices: true, ..model.detect_options() };
/// let request = DetectRequest { options: Some(options), ..DetectRequest::default() };
/// let found = model.detect_with(&scan, &request, &mut |done, all| eprintln!("{done} of {all} slices"))?;
/// assert_eq!(found.detection.score.dim(), scan.volume.data.dim());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Model {
    folder: ModelFolder,
    restorer: ColdRestorer,
    calibration: Option<Calibration>,
    engine: Engine,
    /// Device and instructions of the network, in words.
    device: String,
    on_cpu: bool,
}

/// Device and precision of a model's network.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Device; default: the CPU.
    pub device: Device,
    /// Precision; `None`: that of the model's settings.
    pub engine: Option<Engine>,
    /// True to leave the folder's calibration alone, as for a new one.
    pub uncalibrated: bool,
}

/// One detection, where it is not the plain one: other settings, or a brain mask.
#[derive(Debug, Clone, Default)]
pub struct DetectRequest<'a> {
    /// Settings; `None`: the model's.
    pub options: Option<DetectOptions>,
    /// Brain mask; `None`: that of `skull` if the scan is a head, else where the scan is not 0.
    pub brain: Option<BrainMask<'a>>,
    /// Treatment of a skull where there is no mask.
    pub skull: SkullPolicy,
    /// Threshold that marks findings, where the score is calibrated and has thresholds.
    pub operating_point: MaskThreshold,
    /// True to draw and note what only a detection knows and a page shows: bias field, registration, restorations at each
    /// severity (one slice each), histograms. Pages without are made of the maps alone.
    pub report: bool,
    /// When the work on the scan began, for the record; `None`: when detection begins.
    pub started: Option<Instant>,
}

/// Brain mask of one detection.
#[derive(Debug, Clone, Copy)]
pub struct BrainMask<'a> {
    /// Voxels on the grid of the scan, non-zero inside.
    pub voxels: ArrayView3<'a, u8>,
    /// File that they were read from, for the record; `None`: made in memory.
    pub path: Option<&'a Path>,
}

impl Model {
    /// Loads a model's folder onto the CPU.
    ///
    /// # Errors
    /// Those of [`ModelFolder::open`] and [`ModelFolder::load`].
    pub fn load(folder: impl AsRef<Path>) -> Result<Self, Error> {
        Self::load_with(folder, &LoadOptions::default())
    }

    /// Loads a model's folder onto a device.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_with(folder: impl AsRef<Path>, options: &LoadOptions) -> Result<Self, Error> {
        ModelFolder::open(folder)?.load(options)
    }

    /// Loads the model that is part of the program onto the CPU: T1-weighted scans of adult brains, see
    /// [`disyre_weights::CARD`].
    ///
    /// ```
    /// use disyre::{Model, Scan, phantom::PhantomConfig, volume::write_volume};
    ///
    /// let model = Model::embedded()?;
    /// # let folder = tempfile::tempdir()?;
    /// # std::env::set_current_dir(&folder)?;
    /// # let phantom = PhantomConfig { shape: [10, 24, 20], spacing_mm: 8.0, ..PhantomConfig::default() };
    /// # write_volume("sub-01_T1w.nii.gz".as_ref(), &phantom.healthy(disyre::core::Key::new(1)).volume)?;
    /// let found = model.detect(&Scan::read("sub-01_T1w.nii.gz")?)?;
    /// assert_eq!(found.detection.score.dim(), (10, 24, 20));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`load`](Self::load).
    #[cfg(feature = "weights")]
    pub fn embedded() -> Result<Self, Error> {
        ModelFolder::embedded()?.load(&LoadOptions::default())
    }

    /// The folder that it was loaded from: settings, and which weights.
    pub fn folder(&self) -> &ModelFolder {
        &self.folder
    }

    /// The network alone: batches in, restored batches out.
    pub fn restorer(&self) -> &ColdRestorer {
        &self.restorer
    }

    /// Its calibration, if it has one.
    pub fn calibration(&self) -> Option<&Calibration> {
        self.calibration.as_ref()
    }

    /// The same model with a calibration from elsewhere, or without any.
    ///
    /// # Errors
    /// [`Error::CalibrationOfOtherWeights`].
    pub fn with_calibration(self, calibration: Option<Calibration>) -> Result<Self, Error> {
        if let Some(calibration) = &calibration {
            calibration.ensure_of(self.folder.weights_sha256(), self.folder.path())?;
        }
        Ok(Self { calibration, ..self })
    }

    /// Precision of the network.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// The model's own settings of detection: those of its calibration, if it has one, with the calibrated score.
    pub fn detect_options(&self) -> DetectOptions {
        match &self.calibration {
            Some(calibration) => calibration.detect_options(self.folder.config()),
            None => self.folder.detect_options(),
        }
    }

    /// A detector with this network and preparation, and some settings.
    ///
    /// # Errors
    /// Those of [`Detector::new`] and [`Detector::with_calibration`].
    pub fn detector(&self, options: DetectOptions) -> Result<Detector<'_>, Error> {
        let detector = Detector::new(&self.restorer, self.folder.preparation().clone(), options)?;
        // A GPU says itself where its memory ends.
        let detector = match self.on_cpu {
            true => detector.with_network(self.folder.network().network.clone()),
            false => detector,
        };
        match &self.calibration {
            Some(calibration) => detector.with_calibration(calibration),
            None => Ok(detector),
        }
    }

    /// Maps a skull-stripped scan with the model's own settings; a head is refused, see [`DetectRequest::skull`].
    ///
    /// # Errors
    /// As [`detect_with`](Self::detect_with).
    pub fn detect(&self, scan: &Scan) -> Result<Findings, Error> {
        self.detect_with(scan, &DetectRequest::default(), &mut |_, _| ())
    }

    /// Maps a scan. `progress` is called with the number of windows restored so far, and of all.
    ///
    /// # Errors
    /// [`Error::Setting`] for settings out of range; [`Error::Case`] naming the scan, with those of
    /// [`Detector::detect`].
    pub fn detect_with(
        &self,
        scan: &Scan,
        request: &DetectRequest<'_>,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Findings, Error> {
        let started = request.started.unwrap_or_else(Instant::now);
        let options = request.options.clone().unwrap_or_else(|| self.detect_options());
        let case = || Error::case(&scan.path().display().to_string());
        let extracted = match request.brain {
            Some(_) => None,
            None => {
                let brains = self.folder.preparation().brains();
                brains.brain_of(request.skull, &scan.volume).map_err(case())?
            }
        };
        let given = request.brain.as_ref().map(|mask| mask.voxels);
        let brain = given.or_else(|| extracted.as_ref().map(|found| found.mask.view()));
        let brain_path = request.brain.as_ref().and_then(|mask| mask.path);
        let mut record = Record::new(&self.folder, &self.device, self.engine, &options, brain_path);
        record.brain_extracted = extracted.is_some();
        record.source_sha256 = sha256_of_file(scan.path()).ok();
        let thresholds = self.thresholds_for(&options);
        let detector = self.detector(options)?;
        let detection = detector.detect(&scan.volume, brain, progress).map_err(case())?;
        let marked = thresholds.map(|thresholds| {
            mark(thresholds, &detection, (&scan.volume, brain), request.operating_point)
        });
        let marked = marked.transpose().map_err(case())?.flatten();
        #[cfg(feature = "pictures")]
        let report = request.report.then(|| {
            let report = Report::of(&detector, (scan, brain), (&detection, marked.as_ref()));
            or_warning(report, scan.path())
        });
        let found = (detection, marked);
        let found = Findings::new(found, scan.header().clone(), record, started.elapsed());
        #[cfg(feature = "pictures")]
        let found = found.with_report(report.flatten());
        Ok(found)
    }

    /// SHA-256 of all that the maps and sidecars of a detection depend on beside scan, brain mask and output folder: version
    /// of the program, device, precision, weights, preparation, calibration and these settings.
    ///
    /// # Errors
    /// [`Error::Io`] naming a file of the model that cannot be read any more, and [`Error::Config`].
    pub fn detection_sha256(&self, options: &DetectOptions) -> Result<String, Error> {
        let record = Record::new(&self.folder, &self.device, self.engine, options, None);
        let folder = self.folder.path();
        let record = serde_json::to_string(&record).map_err(Error::config(folder))?;
        let files = self.folder.fitted_files_sha256(self.calibration.is_some())?;
        let parts = [env!("CARGO_PKG_VERSION"), &record, &files, &disyre_brain::embedded_sha256()];
        Ok(sha256_of_bytes(parts.join("\n").as_bytes()))
    }

    /// Thresholds of the score that these settings give: those of its calibration, if the score is the same.
    pub fn thresholds_for(&self, options: &DetectOptions) -> Option<&Thresholds> {
        let config = options.calibrated.as_ref()?;
        self.calibration.as_ref()?.thresholds_for(config)
    }
}

/// Facts and pictures of a detection; where they can't be made the detection stands without them, and its page says so.
#[cfg(feature = "pictures")]
fn or_warning(report: Result<Report, Error>, scan: &Path) -> Option<Report> {
    let warn = |error: &Error| {
        let causes: String = disyre_core::causes(error).map(|cause| format!(": {cause}")).collect();
        log::warn!(
            "{}: the map is whole, but pictures of its preparation and a check of the header could not be made: {error}{causes}",
            scan.display()
        );
    };
    report.inspect_err(warn).ok()
}

/// Mask, findings and alarm of a detection on a scan and its brain; `None` where the score is not the calibrated one.
fn mark(
    thresholds: &Thresholds,
    found: &Detection,
    (scan, brain): (&Volume, Option<ArrayView3<'_, u8>>),
    which: MaskThreshold,
) -> Result<Option<Marked>, Error> {
    let (Some(signed), Some(registration)) = (&found.signed, &found.registration) else {
        return Ok(None);
    };
    let nonzero = brain.is_none().then(|| nonzero_mask(scan.data.view()));
    let Some(brain) = brain.or_else(|| nonzero.as_ref().map(|mask| mask.view())) else {
        return Ok(None);
    };
    let maps = ScoreMaps {
        score: found.score.view(),
        signed: signed.view(),
        brain,
        grid: &scan.grid,
        registration,
    };
    thresholds.mark(&maps, which).map(Some)
}

#[cfg(test)]
#[cfg(feature = "pictures")]
mod tests {
    use std::fs;

    use disyre_core::Key;

    use super::*;
    use crate::phantom::{LesionKind, PhantomConfig};
    use crate::{Cohort, RunConfig, ScanPages, Training};

    /// A model trained for a moment on phantoms, in a folder.
    fn model(folder: &Path, phantoms: &PhantomConfig) -> Model {
        let mut config = RunConfig::cpu_2mm();
        config.prepare.spacing_mm = 8.0;
        (config.pairs.patch, config.dag.window) = ([1, 16, 16], [1, 8, 8]);
        config.detect.stride = [1, 8, 8];
        (config.network.channels, config.network.groups) = (vec![8, 16], 4);
        (config.train.steps, config.train.batch, config.train.warmup_steps) = (2, 2, 1);
        (config.train.validation_pairs, config.tissue.classes) = (2, 3);
        let scan = |index: u64| (format!("h{index}"), phantoms.healthy(Key::new(index)).volume);
        let scans: Vec<_> = (0..3).map(scan).collect();
        let cohort = Cohort::prepare(&scans, &config, Key::new(0)).unwrap();
        crate::train(&Training::new(&cohort, &config, folder), &mut |_| ()).unwrap();
        Model::load(folder).unwrap()
    }

    #[test]
    fn a_detection_whose_report_fails_is_saved_whole_and_its_page_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let phantoms =
            PhantomConfig { shape: [10, 24, 20], spacing_mm: 8.0, ..PhantomConfig::default() };
        let model = model(&folder.path().join("model"), &phantoms);
        let path = folder.path().join("a.nii.gz");
        let ill = phantoms.with_lesion(Key::new(9), LesionKind::Stroke).volume;
        disyre_volume::write_volume(&path, &ill).unwrap();
        let request = DetectRequest { report: true, ..DetectRequest::default() };
        let scan = Scan::read(&path).unwrap();
        let found = model.detect_with(&scan, &request, &mut |_, _| ()).unwrap();
        let out = folder.path().join("out");
        // Pictures of an earlier run do not stand beside maps that have none.
        assert!(found.save(&out).unwrap().files.preparation.unwrap().is_file());
        let saved = found.with_report(or_warning(Err(Error::NoAnomaly), &path)).save(&out).unwrap();
        assert_eq!(saved.files.preparation, None);
        assert!(saved.files.paths().all(Path::is_file));
        assert!(!out.join("a_preparation.png").exists());
        let page = ScanPages::beside(&out).write(&saved.files.sidecar).unwrap();
        let html = fs::read_to_string(page).unwrap();
        assert!(html.contains("Header and geometry were not checked"));
    }
}
