//! The sidecar of an anomaly map: where it comes from and how it was made.

use std::path::Path;

use disyre_diffusion::Engine;
use disyre_register::Registration;
use disyre_volume::{ScanHeader, path_text};
use serde::Serialize;

use super::DetectionFiles;
#[cfg(feature = "pictures")]
use super::ReportFacts;
use crate::{
    DetectOptions, Detection, Marked, ModelFolder, ObliqueScan, Prepared, RunConfig, ScoreKind,
};

/// Model and settings of a detection.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Record {
    model: ModelRecord,
    settings: RunConfig,
    /// Size of the windows, where it is not that of the training patch.
    window: Option<[usize; 3]>,
    brain_mask: Option<String>,
    /// SHA-256 of the scan's file; none where that can't be read any more.
    pub(crate) source_sha256: Option<String>,
    /// Whether the scan was a head, and its brain extracted.
    pub(crate) brain_extracted: bool,
}

/// Model that made a map.
#[derive(Debug, Clone, Serialize)]
struct ModelRecord {
    #[serde(skip_serializing_if = "Option::is_none")]
    folder: Option<String>,
    /// Name and version, where it is part of the program.
    #[serde(skip_serializing_if = "Option::is_none")]
    embedded: Option<String>,
    weights: &'static str,
    weights_sha256: String,
    device: String,
}

/// The sidecar's fields, in the order of the file.
#[derive(Debug, Serialize)]
pub(crate) struct Sidecar<'a> {
    generated_by: &'static str,
    version: &'static str,
    source: String,
    /// SHA-256 of that file.
    #[serde(skip_serializing_if = "Option::is_none")]
    source_sha256: Option<&'a str>,
    volume_index: Option<usize>,
    /// None: the brain is where the scan is not 0.
    brain_mask: Option<&'a str>,
    /// SHA-256 of the weights that found the brain of a head.
    #[serde(skip_serializing_if = "Option::is_none")]
    brain_weights_sha256: Option<String>,
    model: &'a ModelRecord,
    /// Seed of the training; detection draws no random number.
    seed: u64,
    settings: &'a RunConfig,
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<[usize; 3]>,
    /// Kind of the score.
    score: ScoreKind,
    outputs: Outputs,
    /// Findings at an operating point, and the alarm of the scan.
    #[serde(skip_serializing_if = "Option::is_none")]
    marked: Option<&'a Marked>,
    /// To the template, where the settings ask for its axes or for the calibrated score; where it is doubtful, the scan's
    /// own axes are kept, and the score is the published one.
    #[serde(skip_serializing_if = "Option::is_none")]
    registration: Option<&'a Registration>,
    /// Where the scan's axes are oblique: the axes that it was prepared along.
    #[serde(skip_serializing_if = "Option::is_none")]
    oblique: Option<ObliqueScan>,
    /// On the working grid.
    brain_voxels: usize,
    /// Volume of the brain in millilitres, by these voxels.
    brain_ml: f64,
    score_q999: f32,
    /// Facts that the page shows and no other file holds.
    #[cfg(feature = "pictures")]
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<&'a ReportFacts>,
    /// Wall-clock time for this scan, reading and writing included; left out where equal work shall leave equal bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Outputs {
    score: String,
    restored: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    signed: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uncertainty: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mask: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    overlay: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    preparation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<String>,
}

#[cfg(feature = "pictures")]
impl<'a> Sidecar<'a> {
    /// The same with what the page shows.
    pub(crate) fn with_report(self, report: Option<&'a ReportFacts>) -> Self {
        Self { report, ..self }
    }
}

impl Record {
    pub(crate) fn new(
        folder: &ModelFolder,
        device: &str,
        engine: Engine,
        options: &DetectOptions,
        brain_mask: Option<&Path>,
    ) -> Self {
        let model = ModelRecord {
            folder: (!folder.is_embedded()).then(|| path_text(folder.path())),
            embedded: folder.embedded_name(),
            weights: folder.weights().file_name(),
            weights_sha256: folder.weights_sha256().to_owned(),
            device: device.to_owned(),
        };
        Self {
            model,
            settings: folder.config().with_detection(options, engine),
            window: (options.window != folder.network().patch).then_some(options.window),
            brain_mask: brain_mask.map(path_text),
            source_sha256: None,
            brain_extracted: false,
        }
    }

    pub(crate) fn sidecar<'a>(
        &'a self,
        scan: &ScanHeader,
        (found, marked): (&'a Detection, Option<&'a Marked>),
        files: &DetectionFiles,
        score_q999: f32,
        seconds: Option<f64>,
    ) -> Sidecar<'a> {
        let Prepared { volume, mask, .. } = &found.prepared;
        let brain_voxels = mask.iter().filter(|&&inside| inside != 0).count();
        Sidecar {
            generated_by: "disyre detect",
            version: env!("CARGO_PKG_VERSION"),
            source: path_text(scan.path()),
            source_sha256: self.source_sha256.as_deref(),
            volume_index: scan.volume_index(),
            brain_mask: self.brain_mask.as_deref(),
            brain_weights_sha256: self.brain_extracted.then(disyre_brain::embedded_sha256),
            model: &self.model,
            seed: self.settings.seed,
            settings: &self.settings,
            window: self.window,
            score: found.kind,
            outputs: Outputs {
                score: path_text(&files.score),
                restored: path_text(&files.restored),
                signed: files.signed.as_deref().map(path_text),
                uncertainty: files.uncertainty.as_deref().map(path_text),
                mask: files.mask.as_deref().map(path_text),
                table: files.table.as_deref().map(path_text),
                overlay: files.overlay.as_deref().map(path_text),
                preparation: files.preparation.as_deref().map(path_text),
                page: files.page.as_deref().map(path_text),
            },
            marked,
            registration: found.registration.as_ref(),
            oblique: found.prepared.oblique,
            brain_voxels,
            brain_ml: brain_voxels as f64 * volume.grid.voxel_mm3() / 1000.0,
            score_q999,
            #[cfg(feature = "pictures")]
            report: None,
            seconds,
        }
    }
}
