//! Settings of preparation, as `run.toml` and recipes hold them.

use disyre_volume::{IntensityReference, IntensityScaling};
use serde::{Deserialize, Serialize};

use super::Preparation;
use crate::Error;

/// From a scan to what the network sees: RAS+, one spacing, intensities in `[0, 1]`, cropped to the brain.
///
/// ```
/// use disyre::core::{Grid, Volume, ndarray::Array3};
/// use disyre::{PrepareConfig, volume::IntensityScaling};
///
/// let mut data = Array3::zeros([4, 4, 4]);
/// data.slice_each_axis_mut(|_| (1..3).into()).fill(80.0); // a brain of 2 × 2 × 2 voxels
/// let scan = Volume::new(data, Grid::from_spacing([4, 4, 4], [1.0; 3]))?;
/// let config = PrepareConfig { spacing_mm: 1.0, scaling: IntensityScaling::Brain { upper: 0.98 } };
/// let prepared = config.build()?.prepare(&scan, None)?;
/// assert_eq!(prepared.volume.data, Array3::<f32>::ones([2, 2, 2]));
/// # Ok::<(), disyre::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrepareConfig {
    /// Isotropic spacing to work at, in millimetres; published: 1.
    pub spacing_mm: f64,
    /// Scaling of intensities to `[0, 1]`.
    pub scaling: IntensityScaling,
}

impl PrepareConfig {
    /// The preparation of these settings, where nothing is fitted to a cohort.
    ///
    /// # Errors
    /// As [`with_reference`](Self::with_reference); a scaling that needs a reference is refused.
    pub fn build(&self) -> Result<Preparation, Error> {
        self.with_reference(None)
    }

    /// The preparation of these settings with the reference that was fitted to a cohort, `None` where the scaling needs
    /// none.
    ///
    /// # Errors
    /// [`Error::Setting`] and [`Error::Volume`] for settings out of range, [`Error::Volume`] for a reference that is
    /// missing, or that of another scaling.
    pub fn with_reference(
        &self,
        reference: Option<IntensityReference>,
    ) -> Result<Preparation, Error> {
        Preparation::new(self.clone(), reference)
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        if !(self.spacing_mm.is_finite() && self.spacing_mm > 0.0) {
            return Err(Error::Setting {
                field: "prepare.spacing_mm",
                expected: "a positive number",
            });
        }
        Ok(self.scaling.check()?)
    }
}
