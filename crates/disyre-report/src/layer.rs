//! [`Layer`]: one map of a scan on the grid of its page.

use disyre_core::Affine;
use serde::Serialize;

use crate::{ByteVolume, ColourMap};

/// Grid of a page: RAS+ voxels around the brain.
///
/// # Shapes and units
/// Everything is in the order `(x, y, z)`, x to the patient's right, y forwards, z upwards.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PageGrid {
    /// Number of voxels.
    pub shape: [usize; 3],
    /// Sides of a voxel in millimetres.
    pub spacing_mm: [f64; 3],
    /// Voxel of the page → world millimetres of the scan.
    pub world: Affine,
    /// Voxel of the page → millimetres of MNI152, where the scan is registered well.
    pub mni: Option<Affine>,
    /// Voxel of the page → voxel of the scan's file, counted from 0.
    pub file: Affine,
}

/// Kind of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LayerKind {
    /// The scan.
    Scan,
    /// The restoration.
    Restored,
    /// Scan minus restoration.
    Residual,
    /// The score, from 0 on.
    Score,
    /// The calibrated score with its sign.
    Signed,
    /// Spread of the restorations over severities.
    Uncertainty,
    /// Mask of the findings.
    Findings,
}

/// One map of a scan.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Its kind.
    pub kind: LayerKind,
    /// Unit of its values, as "standard deviations"; empty where there is none.
    pub unit: String,
    /// Its voxels on the [`PageGrid`].
    pub volume: ByteVolume,
}

impl LayerKind {
    /// Word for the script of a page.
    pub fn id(self) -> &'static str {
        match self {
            Self::Scan => "scan",
            Self::Restored => "restored",
            Self::Residual => "residual",
            Self::Score => "score",
            Self::Signed => "signed",
            Self::Uncertainty => "uncertainty",
            Self::Findings => "findings",
        }
    }

    /// Words for a reader.
    pub fn label(self) -> &'static str {
        match self {
            Self::Scan => "Scan",
            Self::Restored => "Restoration",
            Self::Residual => "Residual (scan − restoration)",
            Self::Score => "Anomaly score",
            Self::Signed => "Signed score",
            Self::Uncertainty => "Uncertainty",
            Self::Findings => "Findings",
        }
    }

    /// Colours of its values.
    pub fn colours(self) -> ColourMap {
        match self {
            Self::Scan | Self::Restored | Self::Findings => ColourMap::Grey,
            Self::Residual | Self::Signed => ColourMap::Signed,
            Self::Score | Self::Uncertainty => ColourMap::Heat,
        }
    }

    /// Whether it is laid over an image.
    pub fn is_overlay(self) -> bool {
        !matches!(self, Self::Scan | Self::Restored | Self::Findings)
    }
}
