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
    /// Picture of axial slices; `None` without the feature `pictures`.
    pub overlay: Option<PathBuf>,
    /// Sources, settings and model, as JSON; written last.
    pub sidecar: PathBuf,
}

impl DetectionFiles {
    /// Names them after a scan, in a folder.
    pub fn of(scan: &Path, folder: &Path) -> Self {
        let name = ScanName::of(scan);
        let score = name.output("anomalyscore");
        Self {
            score: folder.join(score.file("nii.gz")),
            restored: folder.join(name.output("restored").file("nii.gz")),
            overlay: cfg!(feature = "pictures").then(|| folder.join(format!("{name}_overlay.png"))),
            sidecar: folder.join(score.file("json")),
        }
    }

    /// Paths of all of them.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let Self { score, restored, overlay, sidecar } = self;
        [Some(score), Some(restored), overlay.as_ref(), Some(sidecar)]
            .into_iter()
            .flatten()
            .map(PathBuf::as_path)
    }
}
