//! Results of registrations.

use disyre_core::{Affine, Grid, Volume};
use disyre_volume::affine::{compose, invert, transform};
use disyre_volume::{Interpolation, resample_to_grid};
use serde::{Deserialize, Serialize};

use crate::RegisterError;
use crate::matrix::{affine_about, linear_part, nearest_rotation};
use crate::quality::Quality;
use crate::verdict::Verdict;

/// The map between a template and a scan, with its metric and verdict.
///
/// It never mirrors: its determinant in world coordinates is positive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// World millimetres of the template → world millimetres of the scan.
    pub scan_from_template: Affine,
    /// Final value of the metric; greater is better. Mutual information is in nats, local correlation in `[0, 1]`.
    pub metric: f64,
    /// Measures by which it is judged.
    pub quality: Quality,
    /// Whether the fit can be trusted.
    pub verdict: Verdict,
}

impl Registration {
    /// The inverse map: world millimetres of the scan → world millimetres of the template.
    pub fn inverse(&self) -> Affine {
        // A fit's determinant is an exponential: never 0.
        invert(&self.scan_from_template).unwrap_or([[f64::NAN; 4]; 4])
    }

    /// Position in the template's millimetres, MNI's for instance, of a point in the scan's.
    pub fn position(&self, scan_mm: [f64; 3]) -> [f64; 3] {
        transform(&self.inverse(), scan_mm)
    }

    /// The scan on a grid of the template's space.
    ///
    /// # Shapes and units
    /// The result lies on `onto`; what lies outside the scan is 0.
    ///
    /// # Errors
    /// [`RegisterError::Volume`]: an affine without an inverse, or a grid beyond memory.
    pub fn resample(
        &self,
        scan: &Volume,
        onto: &Grid,
        interpolation: Interpolation,
    ) -> Result<Volume, RegisterError> {
        let affine = compose(&self.scan_from_template, &onto.affine);
        let grid = Grid { shape: onto.shape, affine };
        let data = resample_to_grid(scan, &grid, interpolation)?.data;
        Ok(Volume { data, grid: *onto })
    }

    /// The rotation and translation nearest to the map: it turns and moves the template as a whole, without changing
    /// sizes, and takes `centre_mm` of the template where the map takes it.
    pub fn rigid(&self, centre_mm: [f64; 3]) -> Affine {
        let rotation = nearest_rotation(&linear_part(&self.scan_from_template));
        affine_about(&rotation, centre_mm, transform(&self.scan_from_template, centre_mm))
    }
}
