//! Kinds of files that lie beside scans, and the endings of their names.
use std::fmt;

use super::belonging::Belonging;
use super::scan_name::ScanName;

/// Endings by which a brain mask is known; nothing: the scan's own name in another folder.
const BRAIN_MASK: [&str; 7] =
    ["", "mask", "brain", "brainmask", "brain_mask", "desc-brain_mask", "label-brain_mask"];

/// Contents of a folder of [`SidecarFiles`](crate::SidecarFiles).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SidecarKind {
    /// Masks of the brain, known by their endings: other files may lie in their folder.
    BrainMask,
    /// Masks of lesions, with any ending.
    LesionMask,
    /// Segmentations of the brain, with any ending.
    Segmentation,
    /// Maps of where anomalies may lie, with any ending.
    LocationMap,
}

impl SidecarKind {
    /// Whether a file that belongs to a scan is of this kind.
    pub(super) fn accepts(self, belonging: &Belonging<'_>) -> bool {
        let added = belonging.added.join("_");
        match self {
            // Without the scan's contrast, `_mask` may be the mask of anything: the brain must be named.
            Self::BrainMask => {
                let named = belonging.keeps_words || added.contains("brain");
                named && BRAIN_MASK.contains(&added.as_str())
            }
            _ => true,
        }
    }

    /// Names that the file of a scan may have, for messages.
    pub(super) fn examples(self, scan: &ScanName) -> String {
        let endings: &[&str] = match self {
            Self::BrainMask => &["", "_mask", "_brain", "_desc-brain_mask"],
            Self::LesionMask => &["", "_lesion"],
            Self::Segmentation => &["", "_dseg"],
            Self::LocationMap => &["", "_location"],
        };
        let named = endings.iter().map(|ending| format!("{scan}{ending}.nii[.gz]"));
        named.collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for SidecarKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BrainMask => "brain mask",
            Self::LesionMask => "lesion mask",
            Self::Segmentation => "segmentation",
            Self::LocationMap => "location map",
        })
    }
}
