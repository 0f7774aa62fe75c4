//! Kinds of lesions: which shapes, sizes and intensities belong together.

use serde::{Deserialize, Serialize};

use crate::measure::{LesionMeasurement, QUANTILES};

/// Kind of an implanted lesion.
///
/// The shapes of all kinds are those of strokes; the kind decides which of them, of what size, and with whose intensities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LesionKind {
    /// A whole mask of an acute stroke, mildly dark: the intensities of those lesions of the table, of any pathology, whose
    /// median is 5 to 35 % of the way from tissue to fluid.
    AcuteStroke,
    /// A whole mask of a chronic stroke: a cavity near fluid, 70 to 100 % of the way, that fills 30 to 80 % of it from
    /// the core, and a rim as mild as an acute stroke. The table has no such lesion: the cavity is an assumption. The
    /// darkest twentieth of the table's six darkest lesions above .3 ml lies 64 to 79 % of the way.
    ChronicStroke,
    /// The greatest component of a mask, if it is compact, with the intensities of gliomas.
    Tumour,
    /// Several small components of masks in white matter, with the intensities of multiple sclerosis.
    Sclerosis,
}

impl LesionKind {
    /// All kinds.
    pub const ALL: [Self; 4] =
        [Self::AcuteStroke, Self::ChronicStroke, Self::Tumour, Self::Sclerosis];

    /// Name, as in recipes.
    pub fn name(self) -> &'static str {
        match self {
            Self::AcuteStroke => "acute-stroke",
            Self::ChronicStroke => "chronic-stroke",
            Self::Tumour => "tumour",
            Self::Sclerosis => "sclerosis",
        }
    }

    /// Range of the volume of one lesion in millilitres; volumes are drawn evenly on a logarithmic scale.
    pub(crate) fn size_ml(self) -> [f64; 2] {
        match self {
            Self::AcuteStroke => [0.1, 120.0],
            Self::ChronicStroke => [0.5, 150.0],
            Self::Tumour => [2.0, 120.0],
            Self::Sclerosis => [0.06, 1.5],
        }
    }

    /// Blur of the shape's distance map in millimetres: tumours are rounder than the strokes that lend them their shape.
    pub(crate) fn smoothing_mm(self) -> f64 {
        match self {
            Self::Tumour => 4.0,
            Self::Sclerosis => 1.2,
            Self::AcuteStroke | Self::ChronicStroke => 1.6,
        }
    }

    /// Whether it takes the place of the fluid in sulci too, as a growing mass does.
    pub(crate) fn fills_sulci(self) -> bool {
        self == Self::Tumour
    }

    /// Whether a row of the table lends its intensities to this kind.
    pub(crate) fn suits(self, row: &LesionMeasurement) -> bool {
        let pathology = row.pathology.to_ascii_lowercase();
        let median = fluid_shares(row)[QUANTILES / 2];
        match self {
            Self::Tumour => pathology.contains("glioma") && row.volume_ml >= 1.0,
            Self::Sclerosis => pathology.contains("ms") || pathology.contains("sclerosis"),
            Self::AcuteStroke | Self::ChronicStroke => (0.05..=0.35).contains(&median),
        }
    }
}

/// Quantiles of a lesion as shares of the way from the local tissue (0) to fluid (1), falling; below 0 it is brighter than
/// the tissue.
///
/// Sequences differ in how far apart they put tissue and fluid; the share does not depend on it to first order.
pub(crate) fn fluid_shares(row: &LesionMeasurement) -> Vec<f64> {
    let way = 1.0 - row.fluid_log_ratio.exp();
    row.quantiles.iter().map(|log| (1.0 - log.exp()) / way).collect()
}
