//! [`SidecarFile`]: what a detection recorded beside its maps.

use std::fs;
use std::path::{Path, PathBuf};

use disyre_register::Registration;
use disyre_volume::ScanName;
use serde::Deserialize;
use serde_json::Value;

use crate::findings::ReportFacts;
use crate::{Error, Finding, MaskThreshold, ScanAlarm, ScoreKind};

/// The fields of a sidecar that pages show.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct SidecarFile {
    pub(super) version: String,
    /// Path of the scan, as text.
    pub(super) source: String,
    /// SHA-256 of that file, where it could be read.
    pub(super) source_sha256: Option<String>,
    pub(super) volume_index: Option<usize>,
    pub(super) brain_mask: Option<String>,
    pub(super) brain_weights_sha256: Option<String>,
    pub(super) model: ModelFacts,
    pub(super) seed: u64,
    pub(super) settings: Value,
    pub(super) score: ScoreKind,
    pub(super) outputs: OutputNames,
    pub(super) marked: Option<MarkedFacts>,
    pub(super) registration: Option<Registration>,
    /// Volume of the brain in millilitres.
    pub(super) brain_ml: f64,
    pub(super) score_q999: f32,
    pub(super) report: Option<ReportFacts>,
    pub(super) seconds: Option<f64>,
}

/// The model of a detection.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ModelFacts {
    pub(super) folder: Option<String>,
    pub(super) embedded: Option<String>,
    pub(super) weights: String,
    pub(super) weights_sha256: String,
    pub(super) device: String,
}

/// Findings and their threshold.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct MarkedFacts {
    pub(super) operating_point: MaskThreshold,
    pub(super) threshold: f32,
    pub(super) false_rates: Option<[f64; 2]>,
    pub(super) least_volume_mm3: f64,
    #[serde(default)]
    pub(super) peak_share: f64,
    pub(super) alarm: ScanAlarm,
    pub(super) findings: Vec<Finding>,
}

/// Files of a detection; of their paths the name counts, since they lie beside the sidecar.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct OutputNames {
    pub(super) score: String,
    pub(super) restored: String,
    pub(super) signed: Option<String>,
    pub(super) uncertainty: Option<String>,
    pub(super) mask: Option<String>,
    pub(super) table: Option<String>,
    pub(super) overlay: Option<String>,
    pub(super) preparation: Option<String>,
}

impl SidecarFile {
    /// Reads a sidecar.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path).map_err(Error::io("read", path))?;
        let sidecar = |source| Error::Sidecar { path: path.to_owned(), source };
        serde_json::from_str(&text).map_err(sidecar)
    }

    /// Name of the scan.
    pub(super) fn name(&self) -> String {
        ScanName::of(Path::new(&self.source)).to_string()
    }

    /// All settings as text.
    pub(super) fn settings_text(&self) -> String {
        serde_json::to_string_pretty(&self.settings).unwrap_or_default()
    }
}

impl OutputNames {
    /// Files with what they hold.
    pub(super) fn listed(&self) -> Vec<[String; 2]> {
        let files = [
            ("Anomaly score", Some(&self.score)),
            ("Restoration", Some(&self.restored)),
            ("Signed score", self.signed.as_ref()),
            ("Uncertainty", self.uncertainty.as_ref()),
            ("Mask of the findings", self.mask.as_ref()),
            ("Table of the findings", self.table.as_ref()),
            ("Overview", self.overlay.as_ref()),
            ("Preparation", self.preparation.as_ref()),
        ];
        let named =
            files.into_iter().filter_map(|(label, file)| Some([label.to_owned(), base(file?)]));
        named.collect()
    }
}

/// A file of a detection, which lies beside its sidecar wherever the folder is.
pub(super) fn beside(folder: &Path, file: &str) -> PathBuf {
    folder.join(base(file))
}

/// Bytes of a picture; a picture that is gone is left out of the page.
pub(super) fn read_beside(folder: &Path, file: &str) -> Option<Vec<u8>> {
    fs::read(beside(folder, file)).ok()
}

fn base(file: &str) -> String {
    let name = Path::new(file).file_name();
    name.map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}
