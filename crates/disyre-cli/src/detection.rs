//! The work on one scan: map it, write the maps, the picture and what is to be known about them.

use std::path::{Path, PathBuf};
use std::time::Instant;

use disyre::core::ndarray::ArrayView3;
use disyre::volume::{
    ReadOptions, Scan, output_name, read_mask, resample_mask, scan_name, write_map,
};
use disyre::{Detection, Detector, RunConfig};
use serde::Serialize;

use crate::error::CliError;
use crate::model::Model;
use crate::output::{remove_if_there, write_json};
use crate::overlay::write_overlay;
use crate::progress::Progress;

/// What is the same for all scans of a run.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    pub(crate) detector: Detector<'a>,
    pub(crate) model: &'a Model,
    /// Where the network runs, in words.
    pub(crate) device: &'a str,
    pub(crate) config: &'a RunConfig,
    pub(crate) volume_index: Option<usize>,
    /// Folder of the results.
    pub(crate) output: &'a Path,
}

impl Job<'_> {
    /// Maps one scan and writes all its files. The sidecar comes last: where it is, all is.
    ///
    /// # Errors
    /// Those of reading, of [`Detector::detect`] and of writing, each naming its file.
    pub(crate) fn run(
        &self,
        path: &Path,
        mask: Option<&Path>,
        lesion: Option<ArrayView3<'_, u8>>,
    ) -> Result<Detection, CliError> {
        let started = Instant::now();
        let scan = Scan::read_with(path, &ReadOptions { volume_index: self.volume_index })?;
        let brain = mask.map(|mask| read_mask(mask, &scan)).transpose()?;
        if brain.is_none() {
            warn_unless_stripped(path, &scan);
        }
        let found = self.detect(path, &scan, brain.as_ref().map(|mask| mask.view()))?;
        let outputs = Outputs::of(path, self.output);
        // An earlier sidecar must not stand beside a map that it does not describe.
        remove_if_there(&outputs.sidecar)?;
        write_map(&outputs.score, &scan, found.score.view())?;
        write_map(&outputs.restored, &scan, found.restored.view())?;
        let working = &found.prepared.volume.grid;
        let lesion =
            lesion.map(|lesion| resample_mask(lesion, &scan.volume.grid, working)).transpose()?;
        let lesion = lesion.as_ref().map(|mask| mask.view());
        let score_q999 = write_overlay(&outputs.overlay, &scan_name(path), &found, lesion)?;
        let seconds = started.elapsed().as_secs_f64();
        let sidecar = Sidecar { seconds, score_q999, ..self.sidecar(path, mask, &found, &outputs) };
        write_json(&outputs.sidecar, &sidecar)?;
        let score = outputs.score.display();
        println!(
            "{}: {seconds:.1} s, 99.9 % of the brain score below {score_q999:.4} → {score}",
            path.display()
        );
        Ok(found)
    }

    /// What is known without the clock and the picture.
    fn sidecar<'s>(
        &'s self,
        path: &'s Path,
        mask: Option<&'s Path>,
        found: &Detection,
        outputs: &'s Outputs,
    ) -> Sidecar<'s> {
        Sidecar {
            generated_by: "disyre detect",
            version: env!("CARGO_PKG_VERSION"),
            source: path,
            volume_index: self.volume_index,
            brain_mask: mask,
            model: ModelRecord {
                folder: &self.model.folder,
                weights: self.model.weights.file_name(),
                weights_sha256: &self.model.weights_sha256,
                device: self.device,
            },
            seed: self.config.seed,
            settings: self.config,
            outputs,
            brain_voxels: found.prepared.mask.iter().filter(|&&inside| inside != 0).count(),
            score_q999: 0.0,
            seconds: 0.0,
        }
    }

    fn detect(
        &self,
        path: &Path,
        scan: &Scan,
        brain: Option<ArrayView3<'_, u8>>,
    ) -> Result<Detection, CliError> {
        let mut progress = Progress::bar_only(&scan_name(path), 0);
        let found = self.detector.detect(&scan.volume, brain, &mut |done, total| {
            progress.set(done as u64, total as u64, || "windows".to_owned());
        });
        progress.finish();
        found.map_err(|source| {
            disyre::Error::Case { case: path.display().to_string(), source: Box::new(source) }
                .into()
        })
    }
}

/// A scan whose field of view is mostly not 0 still has its skull, or noise around it.
fn warn_unless_stripped(path: &Path, scan: &Scan) {
    const MOST: f64 = 0.6;
    let voxels = &scan.volume.data;
    let share = voxels.iter().filter(|&&value| value != 0.0).count() as f64 / voxels.len() as f64;
    if share > MOST {
        eprintln!(
            "warning: {}: {:.0} % of the voxels are not 0, so the skull or the background seems to be in; strip the \
             skull (background exactly 0) or give a brain mask with --mask",
            path.display(),
            100.0 * share
        );
    }
}

/// The files of one detection.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Outputs {
    pub(crate) score: PathBuf,
    pub(crate) restored: PathBuf,
    pub(crate) overlay: PathBuf,
    #[serde(skip)]
    pub(crate) sidecar: PathBuf,
}

impl Outputs {
    /// Where the results of a scan go.
    pub(crate) fn of(scan: &Path, folder: &Path) -> Self {
        let named = |description| folder.join(output_name(scan, description));
        let score = named("anomalyscore");
        Self {
            sidecar: folder.join(scan_name(&score) + ".json"),
            restored: named("restored"),
            overlay: folder.join(scan_name(scan) + "_overlay.png"),
            score,
        }
    }

    /// All of them.
    pub(crate) fn all(self) -> [PathBuf; 4] {
        [self.score, self.restored, self.overlay, self.sidecar]
    }
}

/// What is told beside an anomaly map: where it comes from and how it was made.
#[derive(Debug, Serialize)]
struct Sidecar<'a> {
    /// What wrote it.
    generated_by: &'static str,
    version: &'static str,
    /// The scan.
    source: &'a Path,
    /// Which volume of a series.
    volume_index: Option<usize>,
    /// The brain mask; none = the brain is where the scan is not 0.
    brain_mask: Option<&'a Path>,
    model: ModelRecord<'a>,
    /// Seed of the training; detection draws no random number.
    seed: u64,
    settings: &'a RunConfig,
    outputs: &'a Outputs,
    /// Brain voxels on the working grid.
    brain_voxels: usize,
    /// The quantile 0.999 of the score in the brain, where the picture's colours end.
    score_q999: f32,
    /// Wall-clock time for this scan, reading and writing included.
    seconds: f64,
}

/// Which model made a map.
#[derive(Debug, Clone, Copy, Serialize)]
struct ModelRecord<'a> {
    folder: &'a Path,
    weights: &'a str,
    weights_sha256: &'a str,
    device: &'a str,
}
