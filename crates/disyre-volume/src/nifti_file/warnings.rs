//! Warnings of a header that is readable, but leaves something open or says it twice.
use std::fmt;

use disyre_core::Grid;

use super::header_affine::qform_affine;
use super::read::ScanHeader;
use crate::AffineSource;
use crate::affine::corner_distance_mm;

/// A doubt about a header that is read all the same.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum HeaderWarning {
    /// Neither sform nor qform is set, so that left and right, and the rest of the orientation, are a guess.
    GuessedOrientation,
    /// Sform and qform are both set and put the image in different places; the sform counts.
    FormsDiffer {
        /// Greatest distance between corners of the image.
        distance_mm: f64,
    },
}

impl fmt::Display for HeaderWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GuessedOrientation => f.write_str(
                "its header has neither sform nor qform: that x runs to the left, y forwards and z upwards is a guess",
            ),
            Self::FormsDiffer { distance_mm } => write!(
                f,
                "its sform and qform differ by up to {distance_mm:.1} mm; the sform is used, other programs may take the qform"
            ),
        }
    }
}

impl ScanHeader {
    /// Doubts about the header.
    ///
    /// Forms differ where a corner of the image moves by more than the smallest side of a voxel.
    pub fn warnings(&self) -> Vec<HeaderWarning> {
        match self.affine_source {
            AffineSource::Pixdim => vec![HeaderWarning::GuessedOrientation],
            AffineSource::Qform => Vec::new(),
            AffineSource::Sform => self.forms_differ().into_iter().collect(),
        }
    }

    fn forms_differ(&self) -> Option<HeaderWarning> {
        let qform = Grid { affine: qform_affine(&self.fields, &self.sizes)?, ..self.grid };
        let distance_mm = corner_distance_mm(&self.grid, &qform);
        let side = self.grid.spacing_mm().into_iter().fold(f64::INFINITY, f64::min);
        (distance_mm > side).then_some(HeaderWarning::FormsDiffer { distance_mm })
    }
}
