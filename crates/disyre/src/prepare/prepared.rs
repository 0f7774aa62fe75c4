//! A scan ready for the network, and the return of maps to its grid.

use disyre_core::ndarray::{Array3, ArrayView3, Zip};
use disyre_core::{Volume, ensure_same_shape};
use disyre_register::Registration;
use disyre_volume::{IntensityMap, Interpolation, Resampler, VolumeError, foreground_box};
use rayon::prelude::*;

use super::brain::{brain_on_grid, share, undilute};
use super::{ObliqueScan, ScanField, TemplateSpace};
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
    /// The axes of `volume`, where the settings ask for those of the scan and these are oblique.
    pub oblique: Option<ObliqueScan>,
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
        let mut on_scan = self.all_to_scan(&[map.view()], scan, brain)?;
        on_scan.pop().ok_or_else(|| Error::EmptyBrain { name: "the scan".to_owned() })
    }

    /// [`to_scan`](Self::to_scan) for several maps, slab by slab: beside the results little is held at once.
    pub(crate) fn all_to_scan(
        &self,
        maps: &[ArrayView3<'_, f32>],
        scan: &Volume,
        brain: Option<ArrayView3<'_, u8>>,
    ) -> Result<Vec<Array3<f32>>, Error> {
        for map in maps {
            ensure_same_shape("map", &self.volume.grid.shape, map.shape())?;
        }
        let inside = brain_on_grid(scan, brain)?;
        let voxels = scan.grid.len() as u64;
        VolumeError::ensure_memory(
            "the maps on the grid of the scan",
            voxels * 4 * maps.len() as u64,
        )?;
        let resampler = Resampler::new(&self.volume.grid, &scan.grid, Interpolation::Area)?;
        let working = share(self.mask.view());
        let mut results: Vec<Array3<f32>> =
            maps.iter().map(|_| Array3::zeros(scan.grid.shape)).collect();
        let slabs = foreground_box(inside.view()).map(|brain| brain.slabs());
        for slab in slabs.into_iter().flatten() {
            let input = resampler.input_box(slab);
            let resample =
                |map: ArrayView3<'_, f32>| resampler.resample_box(input.view_of(map), slab);
            let shares = resample(working.view());
            let inside = slab.view_of(inside.view());
            maps.par_iter().zip(&mut results).for_each(|(map, result)| {
                let mut values = resample(map.view());
                undilute(values.view_mut(), shares.view());
                Zip::from(slab.view_of_mut(result.view_mut()))
                    .and(&values)
                    .and(inside)
                    .for_each(|out, &value, &inside| *out = if inside == 0 { 0.0 } else { value });
            });
        }
        Ok(results)
    }
}
