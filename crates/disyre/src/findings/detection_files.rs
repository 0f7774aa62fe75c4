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
    /// Pictures of the preparation and of the severities; `None` without the feature `pictures`.
    pub preparation: Option<PathBuf>,
    /// Sources, settings and model, as JSON; written after all of the above.
    pub sidecar: PathBuf,
    /// Page for a reader, made of the files above and the scan by `ScanPages`; `None` where it was not asked for, and without
    /// the feature `pictures`.
    pub page: Option<PathBuf>,
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
            preparation: cfg!(feature = "pictures")
                .then(|| folder.join(format!("{name}_preparation.png"))),
            sidecar: folder.join(score.file("json")),
            page: None,
        }
    }

    /// Names all that there may be: those of [`of`](Self::of), the signed score, the uncertainty, mask and table of findings,
    /// and the page.
    pub fn all(scan: &Path, folder: &Path) -> Self {
        let file = |description, extension| {
            Some(folder.join(ScanName::of(scan).output(description).file(extension)))
        };
        Self {
            signed: file("signed", "nii.gz"),
            uncertainty: file("uncertainty", "nii.gz"),
            mask: file("findings", "nii.gz"),
            table: file("findings", "tsv"),
            page: cfg!(feature = "pictures")
                .then(|| folder.join(format!("{}_page.html", ScanName::of(scan)))),
            ..Self::of(scan, folder)
        }
    }

    /// Paths of all of them.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let Self { score, restored, signed, uncertainty, mask, table, .. } = self;
        let Self { overlay, preparation, sidecar, page, .. } = self;
        let optional = [signed, uncertainty, mask, table, overlay, preparation];
        let optional = optional.into_iter().flatten();
        let files = [score, restored].into_iter().chain(optional).chain([sidecar]).chain(page);
        files.map(PathBuf::as_path)
    }
}
