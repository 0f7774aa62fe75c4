//! Map of where anomalies of a scan may lie; cohorts and samples read one for each scan.

use std::path::{Path, PathBuf};

use disyre_core::Grid;
use disyre_core::ndarray::{ArcArray, ArrayView3, Ix3, Zip};
use disyre_volume::{Interpolation, Scan, read_scan_on_grid, resample_to_grid};

use crate::Error;

/// Map of where anomalies of a prepared scan may lie.
#[doc(alias = "Places")]
#[derive(Debug, Clone, PartialEq)]
pub struct LocationMap {
    /// File of the map.
    pub path: PathBuf,
    /// Probability of each voxel of the prepared scan as the centre of an anomaly's window, `(z, y, x)`: ≥ 0, of any sum,
    /// 0 outside the brain.
    pub weights: ArcArray<f32, Ix3>,
}

impl LocationMap {
    /// Reads a map that lies on the grid of a scan and brings it to the grid on which that scan was prepared: the mean
    /// weight of each new voxel.
    ///
    /// # Shapes and units
    /// `brain` lies on the grid `prepared`, 1 inside.
    ///
    /// # Errors
    /// [`Error::Volume`] for a file on another grid, [`Error::Weight`] for a weight below 0, [`Error::NoLocation`] for a map
    /// that is 0 in the whole brain.
    pub fn read(
        path: &Path,
        scan: &Scan,
        prepared: &Grid,
        brain: ArrayView3<'_, u8>,
    ) -> Result<Self, Error> {
        let file = read_scan_on_grid(path, scan)?;
        let rounding = file.header().rounding();
        let mut map = file.volume;
        // A file that stores integers with a slope may hold something else for 0.
        map.data.mapv_inplace(|value| if value.abs() <= 1.01 * rounding { 0.0 } else { value });
        let wrong = |weight: &&f32| !(weight.is_finite() && **weight >= 0.0);
        if let Some(&value) = map.data.iter().find(wrong) {
            return Err(Error::Weight { path: path.to_owned(), value });
        }
        let means = resample_to_grid(&map, prepared, Interpolation::Area)?.data;
        let inside = |&mean: &f32, &inside: &u8| if inside == 0 { 0.0 } else { mean.max(0.0) };
        let weights = Zip::from(&means).and(brain).map_collect(inside).into_shared();
        match weights.iter().any(|&weight| weight > 0.0) {
            true => Ok(Self { path: path.to_owned(), weights }),
            false => Err(Error::NoLocation { path: path.to_owned() }),
        }
    }
}
