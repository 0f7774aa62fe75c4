//! A scan on the working grid, its intensities not yet scaled.

use disyre_core::ndarray::{Array3, ArrayView3, Zip};
use disyre_core::{Grid, Volume, ensure_finite};
use disyre_volume::{Interpolation, VolumeError, VoxelBox, crop, foreground_box};
use disyre_volume::{resample_to_spacing, to_ras};

use super::brain::{brain_on_grid, ensure_magnitudes, keep_inside, share, undilute};
use super::{Preparation, PrepareConfig, Prepared};
use crate::Error;

/// A scan on the working grid, its intensities not yet scaled: all that a scaling can be fitted to.
///
/// [`Preparation::align`] makes it, [`Preparation::fit`] fits a cohort's reference to some, [`Preparation::scale`] ends the
/// preparation.
#[derive(Debug, Clone)]
pub struct Unscaled {
    /// The whole field of view, 0 outside the brain but for voxels that hold a little of it.
    pub(super) volume: Volume,
    /// Brain on the grid of `volume`: 1 inside, 0 outside.
    pub(super) mask: Array3<u8>,
    /// The box around the brain.
    pub(super) region: VoxelBox,
}

impl Unscaled {
    pub(super) fn new(
        config: &PrepareConfig,
        scan: &Volume,
        brain: Option<ArrayView3<'_, u8>>,
    ) -> Result<Self, Error> {
        ensure_finite("scan", &scan.data.view())?;
        let mask = brain_on_grid(scan, brain)?;
        ensure_magnitudes(&scan.data, &mask)?;
        let masked = Volume { data: keep_inside(&scan.data, &mask), grid: scan.grid };
        let brain = Volume { data: share(&mask), grid: scan.grid };
        let at_spacing = |volume: &Volume| -> Result<Volume, VolumeError> {
            resample_to_spacing(&to_ras(volume), [config.spacing_mm; 3], Interpolation::Area)
        };
        let (masked, brain) = rayon::join(|| at_spacing(&masked), || at_spacing(&brain));
        let (masked, brain) = (masked?, brain?);
        let mask = Zip::from(&brain.data).par_map_collect(|&share| u8::from(share >= 0.5));
        let region = foreground_box(mask.view())
            .ok_or_else(|| Error::EmptyBrain { name: "the scan".to_owned() })?;
        let volume = Volume { data: undilute(&masked.data, &brain.data), grid: masked.grid };
        Ok(Self { volume, mask, region })
    }

    /// The grid of the prepared scan: the box around the brain.
    pub(crate) fn grid(&self) -> Grid {
        self.region.grid_of(&self.volume.grid)
    }

    /// Brain on that grid, 1 inside.
    pub(crate) fn brain(&self) -> ArrayView3<'_, u8> {
        self.region.view_of(self.mask.view())
    }

    /// Quantiles of the brain that the cohort's reference is made of.
    pub(super) fn quantiles(&self, config: &PrepareConfig) -> Result<Vec<f32>, VolumeError> {
        let brain = self.region.view_of(self.volume.data.view());
        config.scaling.quantiles(brain, self.brain())
    }

    pub(super) fn scale(&self, preparation: &Preparation) -> Result<Prepared, Error> {
        let Self { volume, mask, region } = self;
        let scaling = preparation.config().scaling;
        let intensities = scaling.fit(volume.data.view(), mask.view(), preparation.reference())?;
        let mask = region.view_of(mask.view()).to_owned();
        let mut volume = crop(volume, *region);
        intensities.apply(&mut volume.data.view_mut());
        volume.data = keep_inside(&volume.data, &mask);
        Ok(Prepared { volume, mask, intensities })
    }
}
