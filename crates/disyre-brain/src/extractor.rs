//! [`BrainExtractor`]: the brain mask of a head.

use std::path::Path;

use disyre_augment::Plane;
use disyre_core::ndarray::{Array3, ArrayView3, Zip};
use disyre_core::{Grid, Volume, ensure_finite};
use disyre_diffusion::{ColdRestorer, Device, Parameters, Weights};
use disyre_volume::{
    Interpolation, crop, foreground_box, resample_to_grid, resample_to_spacing, to_ras,
};

use crate::clean::solid;
use crate::slabs::{add_plane, all_starts};
use crate::{BrainError, SLAB, SPACING_MM, model_config};

/// A trained network that finds the brain in a head of any contrast.
#[derive(Debug)]
pub struct BrainExtractor {
    pub(crate) network: ColdRestorer,
}

/// The brain of a scan, on its grid.
#[derive(Debug, Clone, PartialEq)]
pub struct BrainMask {
    /// 1 inside the brain, 0 outside, `(z, y, x)`.
    pub mask: Array3<u8>,
    /// The network's answer, in `[0, 1]`, on the same grid; 0 beyond the head.
    pub probability: Array3<f32>,
    /// Volume of the mask in millilitres.
    pub volume_ml: f64,
}

/// A scan at the network's resolution: RAS+, 2 mm, cropped to what is not dark, intensities in `[0, 1]`.
#[derive(Debug, Clone)]
pub(crate) struct Working {
    pub(crate) image: Volume,
}

impl BrainExtractor {
    /// Least probability inside the mask: the network's own border, at ½, lies about a millimetre outside the masks of
    /// docs/BRAIN.md.
    const THRESHOLD: f32 = 0.75;

    /// Reads a model's folder, as training leaves it.
    ///
    /// # Errors
    /// [`BrainError::Network`] naming the file that is missing or belongs to another network.
    pub fn load(folder: &Path, device: &Device) -> Result<Self, BrainError> {
        Ok(Self { network: ColdRestorer::load(folder, Weights::Ema, device)? })
    }

    /// The network with given weights.
    ///
    /// # Errors
    /// [`BrainError::Network`] for weights of another network.
    pub fn new(parameters: &Parameters, device: &Device) -> Result<Self, BrainError> {
        Ok(Self { network: ColdRestorer::new(model_config(), parameters, device)? })
    }

    /// The network with the weights that this crate holds.
    ///
    /// # Errors
    /// [`BrainError::Network`] if the device cannot take it.
    #[cfg(feature = "weights")]
    pub fn embedded(device: &Device) -> Result<Self, BrainError> {
        let path = Path::new("weights/brain.safetensors");
        let parameters = Parameters::from_bytes(&model_config().network, crate::WEIGHTS, path)?;
        Self::new(&parameters, device)
    }

    /// Finds the brain of a scan.
    ///
    /// # Errors
    /// [`BrainError::Shape`] for a value that is not finite, [`BrainError::Volume`] for an affine without inverse.
    pub fn extract(&self, scan: &Volume) -> Result<BrainMask, BrainError> {
        ensure_finite("scan", &scan.data.view())?;
        let Some(working) = Working::of(scan)? else { return Ok(BrainMask::empty(&scan.grid)) };
        let probability = self.probability(&working)?;
        let mask = solid(probability.view(), Self::THRESHOLD);
        BrainMask::on(&scan.grid, &working.image.grid, &probability, mask.view(), Self::THRESHOLD)
    }

    /// The network's mean answer of the three orientations.
    fn probability(&self, working: &Working) -> Result<Array3<f32>, BrainError> {
        let image = working.image.data.view();
        let multiple = self.network.config().network.size_multiple();
        let mut sum = Array3::zeros(image.raw_dim());
        for plane in Plane::ALL {
            let starts = all_starts(image.shape()[plane.axes()[0]]);
            add_plane(&self.network, multiple, image, plane, &starts, &mut sum)?;
        }
        let answers = (Plane::ALL.len() * SLAB) as f32;
        Ok(sum.mapv_into(|total| (total / answers).clamp(0.0, 1.0)))
    }
}

impl Working {
    /// Share of the brightness below which a border is cut off.
    const DARK: f32 = 0.02;

    /// None if nothing is above 0.
    pub(crate) fn of(scan: &Volume) -> Result<Option<Self>, BrainError> {
        let ras = to_ras(scan);
        let mut image = resample_to_spacing(&ras, [SPACING_MM; 3], Interpolation::Area)?;
        let Some(top) = top(image.data.view()) else { return Ok(None) };
        image.data.par_mapv_inplace(|value| (value / top).clamp(0.0, 1.0));
        let seen = image.data.mapv(|value| u8::from(value > Self::DARK));
        let Some(region) = foreground_box(seen.view()) else { return Ok(None) };
        Ok(Some(Self { image: crop(&image, region) }))
    }
}

/// The 99.5th percentile of the values above 0.
fn top(values: ArrayView3<'_, f32>) -> Option<f32> {
    let mut positive: Vec<f32> = values.iter().copied().filter(|&value| value > 0.0).collect();
    if positive.is_empty() {
        return None;
    }
    let rank = ((positive.len() - 1) as f64 * 0.995) as usize;
    Some(*positive.select_nth_unstable_by(rank, f32::total_cmp).1)
}

impl BrainMask {
    fn empty(grid: &Grid) -> Self {
        let shape = grid.shape;
        Self { mask: Array3::zeros(shape), probability: Array3::zeros(shape), volume_ml: 0.0 }
    }

    /// Carries probability and mask from the working grid to another.
    fn on(
        grid: &Grid,
        working: &Grid,
        probability: &Array3<f32>,
        mask: ArrayView3<'_, u8>,
        threshold: f32,
    ) -> Result<Self, BrainError> {
        // The mask's border lies where the interpolated probability passes the threshold; other parts and holes are gone.
        let level =
            Zip::from(probability).and(mask).map_collect(|&share, &inside| match inside != 0 {
                true => share.max(threshold),
                false if share >= threshold => 0.0,
                false => share,
            });
        let carry = |data: Array3<f32>| {
            resample_to_grid(&Volume { data, grid: *working }, grid, Interpolation::Linear)
        };
        let mask = carry(level)?.data.mapv(|share| u8::from(share >= threshold - 1e-6));
        let voxels: usize = mask.iter().map(|&inside| usize::from(inside)).sum();
        let volume_ml = voxels as f64 * grid.voxel_mm3() / 1000.0;
        Ok(Self { mask, probability: carry(probability.clone())?.data, volume_ml })
    }
}
