//! [`ScanMapper`]: one scan read, mapped, and its findings saved; `detect` and `demo` use it.

use std::path::Path;
use std::time::Instant;

use disyre::core::ndarray::ArrayView3;
use disyre::volume::{Image, ImageOptions, ScanName};
use disyre::{
    BrainMask, DetectOptions, DetectRequest, Detection, DetectionFiles, Marked, MaskThreshold,
    Model, SaveOptions, ScanPages, ScoreKind, SkullPolicy,
};

use crate::error::CliError;
use crate::progress::Progress;

/// A model, and all that is the same for the scans of a run.
#[derive(Debug)]
pub(crate) struct ScanMapper<'a> {
    pub(crate) model: &'a Model,
    pub(crate) options: DetectOptions,
    /// Threshold that marks findings.
    pub(crate) operating_point: MaskThreshold,
    pub(crate) volume_index: Option<usize>,
    /// Treatment of skulls where there is no mask.
    pub(crate) skull: SkullPolicy,
    /// Folder of the results.
    pub(crate) output: &'a Path,
    /// Whether sidecars hold nothing of this run, as those of a cohort: see [`Findings::portable`](disyre::Findings::portable).
    pub(crate) portable: bool,
    /// Whether pages are made.
    pub(crate) page: bool,
}

impl ScanMapper<'_> {
    /// Maps one scan and saves its files but for the page. A `lesion` on the grid of the scan is outlined in the picture.
    ///
    /// # Errors
    /// Those of reading, of [`Model::detect_with`] and of [`Findings::save_with`](disyre::Findings::save_with).
    pub(crate) fn run(
        &self,
        path: &Path,
        mask: Option<&Path>,
        lesion: Option<ArrayView3<'_, u8>>,
    ) -> Result<Detection, CliError> {
        let started = Instant::now();
        let may_be_head = self.skull == SkullPolicy::Strip;
        let options = ImageOptions { volume_index: self.volume_index, mask, may_be_head };
        let Image { scan, mask: brain, .. } = Image::read(path, &options)?;
        for doubt in scan.header().warnings() {
            note!("warning: {}: {doubt}", path.display());
        }
        let request = DetectRequest {
            options: Some(self.options.clone()),
            brain: brain.as_ref().map(|brain| BrainMask { voxels: brain.view(), path: mask }),
            skull: self.skull,
            operating_point: self.operating_point,
            report: true,
            started: Some(started),
        };
        let mut progress = Progress::bar_only(ScanName::of(path).as_str(), 0);
        let found = self.model.detect_with(&scan, &request, &mut |done, total| {
            progress.set(done as u64, total as u64, || "windows".to_owned());
        });
        progress.finish();
        drop(scan);
        let found = found?;
        let found = if self.portable { found.portable() } else { found };
        if let Some(oblique) = &found.detection.prepared.oblique {
            note!("warning: {}: {oblique}", path.display());
        }
        warn_if_not_turned(path, &found.detection);
        warn_if_not_calibrated(path, &found.detection);
        if self.skull == SkullPolicy::Strip && mask.is_none() && !found.brain_was_extracted() {
            note!("{}: is stripped already and left alone", path.display());
        }
        let saved = found.save_with(self.output, SaveOptions { lesion, page: self.page })?;
        print_line!(
            "{}: {:.1} s, 99.9 % of the brain score below {:.4}{} → {}",
            path.display(),
            saved.seconds,
            saved.score_q999,
            found.marked.as_ref().map(in_short).unwrap_or_default(),
            saved.files.score.display()
        );
        Ok(found.detection)
    }

    /// Makes the page of a scan of its files, which stay if this fails.
    ///
    /// # Errors
    /// Those of [`ScanPages::write_of`].
    pub(crate) fn write_page(&self, path: &Path) -> Result<(), CliError> {
        if self.page {
            let files = DetectionFiles::of(path, self.output);
            ScanPages::beside(self.output).write_of(&files.sidecar, path)?;
        }
        Ok(())
    }
}

/// Number of findings, their volume, and the p-value of the scan.
fn in_short(marked: &Marked) -> String {
    // The sum of nothing is -0.
    let ml = marked.findings.iter().map(|found| found.volume_mm3).sum::<f64>() / 1000.0 + 0.0;
    let (count, p) = (marked.findings.len(), marked.alarm.p_value);
    format!(", {count} findings of {ml:.1} ml, p {p:.3}")
}

/// Warns of a published score in place of the calibrated one.
fn warn_if_not_calibrated(path: &Path, found: &Detection) {
    let reason = match found.kind {
        ScoreKind::PublishedUncalibrated => "the model is not calibrated (`disyre calibrate`)",
        ScoreKind::PublishedDoubtfulRegistration => "the registration to the template is doubtful",
        _ => return,
    };
    note!("warning: {}: the score is the published one: {reason}", path.display());
}

/// Warns of a scan that kept its own axes, though the model works along the template's.
fn warn_if_not_turned(path: &Path, found: &Detection) {
    let registration = found.prepared.registration.as_ref();
    if let Some(doubtful) = registration.filter(|found| !found.verdict.is_good()) {
        note!(
            "warning: {}: the registration to the template is {}; the scan was mapped along its own axes",
            path.display(),
            doubtful.verdict
        );
    }
}
