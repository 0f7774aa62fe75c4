//! A scan ready for the network, and the return of maps to its grid.

use disyre_core::ndarray::{Array3, ArrayView3};
use disyre_core::{Grid, Volume};
use disyre_register::Registration;
use disyre_volume::{IntensityMap, Interpolation, resample_to_grid};

use super::brain::{brain_on_grid, keep_inside, share, undilute};
use super::{ScanField, TemplateSpace};
use crate::Error;

/// A scan ready for the network, and what its maps need to return to the scan's grid.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// RAS+, working spacing, cropped to the brain, intensities in `[0, 1]`, background exactly 0.
    pub volume: Volume,
    /// Brain on the grid of `volume`: 1 inside, 0 outside.
    pub mask: Array3<u8>,
    /// From the scan's intensities to those of `volume`.
    ///
    /// Where the scan's field was corrected, from the corrected intensities.
    pub intensities: IntensityMap,
    /// The field that the scan was divided by, if one was corrected.
    pub field: Option<ScanField>,
    /// Registration to the template, where the settings ask for its axes. `volume` lies along these axes if its verdict
    /// is good, along the scan's own if it is doubtful.
    pub registration: Option<Registration>,
}

impl Prepared {
    /// Its registration to the template: the one that it was prepared with, or a new one.
    ///
    /// # Errors
    /// Those of [`TemplateSpace::register`].
    pub(crate) fn registration_to(&self, space: &TemplateSpace) -> Result<Registration, Error> {
        match &self.registration {
            Some(found) => Ok(found.clone()),
            None => Ok(space.register(&self.volume, Some(self.mask.view()))?),
        }
    }

    /// Carries a map on the working grid back to the grid of the scan, 0 outside the brain.
    ///
    /// # Shapes and units
    /// `map` has the shape of `self.volume`; the result has the shape of `scan`.
    ///
    /// # Errors
    /// [`Error::Shape`] for a map or mask of another shape.
    pub fn to_scan(
        &self,
        map: Array3<f32>,
        scan: &Volume,
        brain: Option<ArrayView3<'_, u8>>,
    ) -> Result<Array3<f32>, Error> {
        let working = Volume::new(map, self.volume.grid)?;
        self.to_scan_grid(scan, brain)?.resample(&working)
    }

    /// The resampling of maps from the working grid to the grid of the scan.
    pub(crate) fn to_scan_grid<'a>(
        &self,
        scan: &'a Volume,
        brain: Option<ArrayView3<'_, u8>>,
    ) -> Result<ToScan<'a>, Error> {
        let inside = brain_on_grid(scan, brain)?;
        let working = Volume { data: share(&self.mask), grid: self.volume.grid };
        let shares = resample_to_grid(&working, &scan.grid, Interpolation::Area)?.data;
        Ok(ToScan { grid: &scan.grid, inside, shares })
    }
}

/// From a working grid to the grid of a scan.
pub(crate) struct ToScan<'a> {
    grid: &'a Grid,
    /// Brain on the grid of the scan.
    inside: Array3<u8>,
    /// Share of each voxel of the scan that comes from brain of the working grid, in `[0, 1]`.
    shares: Array3<f32>,
}

impl ToScan<'_> {
    /// A map on the working grid, 0 outside the brain, on the grid of the scan.
    pub(crate) fn resample(&self, map: &Volume) -> Result<Array3<f32>, Error> {
        let values = resample_to_grid(map, self.grid, Interpolation::Area)?.data;
        Ok(keep_inside(&undilute(&values, &self.shares), &self.inside))
    }
}
