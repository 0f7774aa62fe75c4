use disyre_core::ndarray::{Array3, ArrayView3, Zip};
use disyre_core::{Grid, Volume, ensure_finite, ensure_same_shape};
use disyre_volume::{
    IntensityRange, IntensityScaling, Interpolation, VolumeError, crop, foreground_box,
    nonzero_mask, resample_to_grid, resample_to_spacing, to_ras,
};
use serde::{Deserialize, Serialize};

use crate::Error;

/// From a scan to what the network sees: RAS+, one spacing, intensities in `[0, 1]`, cropped to the brain.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrepareConfig {
    /// Isotropic spacing to work at, in millimetres; published: 1.
    pub spacing_mm: f64,
    /// How intensities are brought to `[0, 1]`.
    pub scaling: IntensityScaling,
}

/// A scan ready for the network, and the way back.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// RAS+, working spacing, cropped to the brain, intensities in `[0, 1]`, background exactly 0.
    pub volume: Volume,
    /// Brain on the grid of `volume`: 1 inside, 0 outside.
    pub mask: Array3<u8>,
    /// The intensities that became 0 and 1.
    pub range: IntensityRange,
}

impl PrepareConfig {
    /// Prepares a scan.
    ///
    /// # Shapes and units
    /// `brain` has the scan's grid, non-zero inside the brain; without it the brain is where the scan is not 0.
    ///
    /// # Errors
    /// [`Error::Shape`] for a mask of another shape or a value that is not finite, [`Error::EmptyBrain`],
    /// [`Error::NegativeBrain`] if more than a twentieth of the brain is below 0, and the volume crate's errors.
    pub fn prepare(
        &self,
        scan: &Volume,
        brain: Option<ArrayView3<'_, u8>>,
    ) -> Result<Prepared, Error> {
        ensure_finite("scan", &scan.data.view())?;
        let mask = brain_on_grid(scan, brain)?;
        ensure_magnitudes(&scan.data, &mask)?;
        let masked = Volume { data: keep_inside(&scan.data, &mask), grid: scan.grid };
        let brain = Volume { data: share(&mask), grid: scan.grid };
        let (masked, brain) = rayon::join(|| self.at_spacing(&masked), || self.at_spacing(&brain));
        let (masked, brain) = (masked?, brain?);
        let mask = Zip::from(&brain.data).par_map_collect(|&share| u8::from(share >= 0.5));
        let region = foreground_box(mask.view())
            .ok_or_else(|| Error::EmptyBrain { name: "the scan".to_owned() })?;
        let whole = Volume { data: undilute(&masked.data, &brain.data), grid: masked.grid };
        let range = self.scaling.fit(whole.data.view(), mask.view())?;
        let mask = region.view_of(mask.view()).to_owned();
        let mut volume = crop(&whole, region);
        range.apply(&mut volume.data.view_mut());
        volume.data = keep_inside(&volume.data, &mask);
        Ok(Prepared { volume, mask, range })
    }

    /// RAS+ at the working spacing.
    fn at_spacing(&self, volume: &Volume) -> Result<Volume, VolumeError> {
        resample_to_spacing(&to_ras(volume), [self.spacing_mm; 3], Interpolation::Area)
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.spacing_mm.is_finite() && self.spacing_mm > 0.0 {
            return Ok(());
        }
        Err(Error::Setting { field: "prepare.spacing_mm", expected: "a positive number" })
    }
}

impl Prepared {
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
        self.way_back(scan, brain)?.carry(&working)
    }

    /// What all maps on the working grid need on their way to the grid of the scan.
    pub(crate) fn way_back<'a>(
        &self,
        scan: &'a Volume,
        brain: Option<ArrayView3<'_, u8>>,
    ) -> Result<WayBack<'a>, Error> {
        let inside = brain_on_grid(scan, brain)?;
        let working = Volume { data: share(&self.mask), grid: self.volume.grid };
        let shares = resample_to_grid(&working, &scan.grid, Interpolation::Area)?.data;
        Ok(WayBack { grid: &scan.grid, inside, shares })
    }
}

/// From a working grid to the grid of a scan.
pub(crate) struct WayBack<'a> {
    grid: &'a Grid,
    /// Brain on the grid of the scan.
    inside: Array3<u8>,
    /// How much of what a voxel of the scan is made from is brain of the working grid.
    shares: Array3<f32>,
}

impl WayBack<'_> {
    /// A map on the working grid, 0 outside the brain, on the grid of the scan.
    pub(crate) fn carry(&self, map: &Volume) -> Result<Array3<f32>, Error> {
        let values = resample_to_grid(map, self.grid, Interpolation::Area)?.data;
        Ok(keep_inside(&undilute(&values, &self.shares), &self.inside))
    }
}

fn brain_on_grid(scan: &Volume, brain: Option<ArrayView3<'_, u8>>) -> Result<Array3<u8>, Error> {
    match brain {
        None => Ok(nonzero_mask(scan.data.view())),
        Some(brain) => {
            ensure_same_shape("brain mask", scan.data.shape(), brain.shape())?;
            Ok(Zip::from(brain).par_map_collect(|&inside| u8::from(inside != 0)))
        }
    }
}

fn ensure_magnitudes(data: &Array3<f32>, mask: &Array3<u8>) -> Result<(), Error> {
    let (mut brain, mut negative) = (0u64, 0u64);
    Zip::from(data).and(mask).for_each(|&value, &inside| {
        brain += u64::from(inside != 0);
        negative += u64::from(inside != 0 && value < 0.0);
    });
    let percent = 100.0 * negative as f64 / brain.max(1) as f64;
    if percent > 5.0 { Err(Error::NegativeBrain { percent }) } else { Ok(()) }
}

/// A mask as the share of brain in each voxel: 0 or 1.
fn share(mask: &Array3<u8>) -> Array3<f32> {
    Zip::from(mask).par_map_collect(|&inside| f32::from(inside))
}

fn keep_inside(data: &Array3<f32>, mask: &Array3<u8>) -> Array3<f32> {
    let keep = |&value: &f32, &inside: &u8| if inside == 0 { 0.0 } else { value };
    Zip::from(data).and(mask).par_map_collect(keep)
}

/// Mean over the brain's share of a voxel alone: the background that was averaged in is taken out again.
fn undilute(values: &Array3<f32>, shares: &Array3<f32>) -> Array3<f32> {
    let undiluted = |&value: &f32, &share: &f32| if share > 1e-3 { value / share } else { 0.0 };
    Zip::from(values).and(shares).par_map_collect(undiluted)
}
