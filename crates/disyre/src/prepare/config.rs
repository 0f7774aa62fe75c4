//! Settings of preparation, as `run.toml` and recipes hold them.

use disyre_n4::N4Config;
use disyre_volume::{IntensityReference, IntensityScaling};
use serde::{Deserialize, Serialize};

use super::Preparation;
use crate::{Error, SkullPolicy};

/// From a scan to what the network sees: RAS+, one spacing, intensities in `[0, 1]`, cropped to the brain.
///
/// ```
/// use disyre::core::{Grid, Volume, ndarray::Array3};
/// use disyre::{PrepareConfig, volume::IntensityScaling};
///
/// let mut data = Array3::zeros([4, 4, 4]);
/// data.slice_each_axis_mut(|_| (1..3).into()).fill(80.0); // a brain of 2 × 2 × 2 voxels
/// let scan = Volume::new(data, Grid::from_spacing([4, 4, 4], [1.0; 3]))?;
/// let scaling = IntensityScaling::Brain { upper: 0.98 };
/// let config = PrepareConfig { spacing_mm: 1.0, scaling, ..PrepareConfig::default() };
/// let prepared = config.build()?.prepare(&scan, None)?;
/// assert_eq!(prepared.volume.data, Array3::<f32>::ones([2, 2, 2]));
/// # Ok::<(), disyre::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrepareConfig {
    /// Correction of the scanner's shading, on the scan's own voxels; published: none.
    #[serde(default)]
    pub bias: BiasCorrection,
    /// Axes of the working grid; published: the scan's.
    #[serde(default)]
    pub orientation: WorkingAxes,
    /// Isotropic spacing to work at, in millimetres; published: 1.
    pub spacing_mm: f64,
    /// Scaling of intensities to `[0, 1]`.
    pub scaling: IntensityScaling,
    /// Treatment of scans with a skull, where scans are read from files.
    #[serde(default, skip_serializing_if = "SkullPolicy::is_default")]
    pub skull: SkullPolicy,
}

/// No correction, heads refused, the scan's axes, 1 mm, the 98th percentile of the brain as 1.
impl Default for PrepareConfig {
    fn default() -> Self {
        Self {
            bias: BiasCorrection::default(),
            orientation: WorkingAxes::default(),
            spacing_mm: 1.0,
            scaling: IntensityScaling::default(),
            skull: SkullPolicy::default(),
        }
    }
}

/// Correction of the bias field, the smooth shading that a scanner's coils leave.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BiasCorrection {
    /// None: the scan as it is.
    #[default]
    None,
    /// N4 inside the box of the brain. `shrink` counts steps of 1 mm, so that scans of any voxel size are sampled alike.
    N4(N4Config),
}

/// Axes of the working grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkingAxes {
    /// Those of the scan, permuted and mirrored to RAS+.
    #[default]
    Scan,
    /// Those of the MNI152 template: the scan is turned by the rotation of its registration, and keeps its size. A scan
    /// whose registration is doubtful keeps its own axes.
    Template,
}

impl BiasCorrection {
    /// N4 as it served the detection of lesions best: one level of 5 control points along each axis, up to 200 iterations
    /// to a change of 1e-5.
    ///
    /// # Source
    /// Ours, by measurement (`docs/REPRODUCING.md`): finer levels flatten large lesions.
    pub fn n4() -> Self {
        Self::N4(N4Config {
            control_points: [5; 3],
            iterations: vec![200],
            convergence: 1e-5,
            ..N4Config::default()
        })
    }
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
    /// [`Error::Setting`], [`Error::BiasSettings`] and [`Error::Volume`] for settings out of range, [`Error::Volume`] for a reference that is
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
        if let BiasCorrection::N4(n4) = &self.bias {
            n4.build().map_err(Error::BiasSettings)?;
        }
        Ok(self.scaling.check()?)
    }
}
