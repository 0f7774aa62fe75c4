//! Names of the files that a detection leaves; the command line asks for them before any work.

use std::path::{Path, PathBuf};

use disyre_volume::ScanName;

/// Files of one scan's findings.
///
/// ```
/// use disyre::DetectionFiles;
/// use std::path::Path;
///
/// let files = DetectionFiles::of(Path::new("scans/sub-01_T1w.nii.gz"), Path::new("out"));
/// assert_eq!(files.score, Path::new("out/sub-01_desc-anomalyscore_T1w.nii.gz"));
/// assert_eq!(files.sidecar, Path::new("out/sub-01_desc-anomalyscore_T1w.json"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetectionFiles {
    /// Anomaly score on the scan's own grid, with its header.
    pub score: PathBuf,
    /// Restoration on the scan's own grid, in its units.
    pub restored: PathBuf,
    /// Calibrated score with its sign; `None` where the score is the published one.
    pub signed: Option<PathBuf>,
    /// Spread of the restorations over the severities, in scaled intensities; `None` where it was not asked for.
    pub uncertainty: Option<PathBuf>,
    /// Mask of the findings; `None` without a calibrated score or without thresholds.
    pub mask: Option<PathBuf>,
    /// Table of the findings, as tab-separated values; `None` where there is no mask.
    pub table: Option<PathBuf>,
    /// Picture of axial slices; `None` without the feature `pictures`.
    pub overlay: Option<PathBuf>,
    /// Sources, settings and model, as JSON; written last.
    pub sidecar: PathBuf,
}

impl DetectionFiles {
    /// Names those after a scan, in a folder, that there always are.
    pub fn of(scan: &Path, folder: &Path) -> Self {
        let name = ScanName::of(scan);
        let score = name.output("anomalyscore");
        Self {
            signed: None,
            uncertainty: None,
            mask: None,
            table: None,
            score: folder.join(score.file("nii.gz")),
            restored: folder.join(name.output("restored").file("nii.gz")),
            overlay: cfg!(feature = "pictures").then(|| folder.join(format!("{name}_overlay.png"))),
            sidecar: folder.join(score.file("json")),
        }
    }

    /// Names all that there may be: those of [`of`](Self::of), the signed score, the uncertainty, and mask and table of findings.
    pub fn all(scan: &Path, folder: &Path) -> Self {
        let file = |description, extension| {
            Some(folder.join(ScanName::of(scan).output(description).file(extension)))
        };
        Self {
            signed: file("signed", "nii.gz"),
            uncertainty: file("uncertainty", "nii.gz"),
            mask: file("findings", "nii.gz"),
            table: file("findings", "tsv"),
            ..Self::of(scan, folder)
        }
    }

    /// Paths of all of them.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let Self { score, restored, signed, uncertainty, mask, table, overlay, sidecar } = self;
        let optional = [signed, uncertainty, mask, table, overlay].into_iter().flatten();
        [score, restored].into_iter().chain(optional).chain([sidecar]).map(PathBuf::as_path)
    }
}
