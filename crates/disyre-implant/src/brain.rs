//! Brains with their shading and the levels of their tissues: what lesions are measured against and drawn into.

use disyre_core::ndarray::{Array2, Array3, ArrayView3, Slice, Zip};
use disyre_core::{Key, Volume};
use disyre_n4::N4Config;
use disyre_tissue::KMeansConfig;
use disyre_volume::foreground_box;
use serde::{Deserialize, Serialize};

use crate::ImplantError;
use crate::distance::distance_mm;
use crate::samples::{quantile, robust_deviation, sorted};
use crate::smooth::median_of_neighbours;

/// Levels of the tissues of a T1-weighted brain without its shading, in the unit of the scan.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TissueLevels {
    /// Cerebrospinal fluid, as in the ventricles.
    pub fluid: f64,
    /// Grey matter.
    pub grey: f64,
    /// White matter.
    pub white: f64,
    /// Standard deviation of the noise in white matter: of what differs from the median of neighbours.
    pub noise: f64,
}

impl TissueLevels {
    /// Whether grey matter is brighter than fluid, and all levels are finite.
    fn are_apart(&self) -> bool {
        self.white.is_finite() && self.noise.is_finite() && self.grey > self.fluid
    }

    /// Whether fluid and noise are above 0, so that intensities have a finite ratio to them.
    pub(crate) fn have_ratios(&self) -> bool {
        self.fluid > 0.0 && self.noise > 0.0
    }

    /// Share of tissue in a voxel of this level: 0 in fluid, 1 in grey and white matter.
    ///
    /// It rises from a fifth to seven tenths of the way from fluid to grey matter (ours): noise leaves both ends alone.
    pub(crate) fn tissue_share(&self, level: f64) -> f64 {
        ((level - self.fluid) / (self.grey - self.fluid) - 0.2).clamp(0.0, 0.5) / 0.5
    }

    /// Level between fluid and grey matter that parts one from the other.
    pub(crate) fn least_tissue(&self) -> f64 {
        0.5 * (self.fluid + self.grey)
    }

    /// Level between grey and white matter.
    pub(crate) fn least_white(&self) -> f64 {
        0.5 * (self.grey + self.white)
    }
}

/// A brain whose shading is known. All arrays have the shape of the scan.
#[derive(Debug, Clone)]
pub(crate) struct Brain {
    /// 1 in the brain.
    pub(crate) mask: Array3<u8>,
    /// Shading; 1 outside the box of the brain.
    pub(crate) field: Array3<f32>,
    /// Scan without its shading.
    pub(crate) flat: Array3<f32>,
    /// Median of each voxel of `flat` and its neighbours.
    pub(crate) denoised: Array3<f32>,
    /// Depth below the brain's surface in millimetres.
    pub(crate) depth_mm: Array3<f32>,
    pub(crate) levels: TissueLevels,
    pub(crate) spacing_mm: [f64; 3],
}

/// Where a lesion may change a brain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ground {
    /// Grey and white matter.
    Tissue,
    /// Those, and the fluid of sulci between them.
    TissueAndSulci,
}

impl Brain {
    /// Estimates shading and levels from the voxels of the brain outside of `lesion`.
    pub(crate) fn new(
        name: &str,
        volume: &Volume,
        mask: Array3<u8>,
        lesion: Option<ArrayView3<'_, u8>>,
        n4: &N4Config,
    ) -> Result<Self, ImplantError> {
        let mut healthy = mask.clone();
        if let Some(lesion) = lesion {
            healthy.zip_mut_with(&lesion, |healthy, &ill| *healthy *= u8::from(ill == 0));
        }
        let spacing_mm = volume.grid.spacing_mm();
        let field = shading(volume, &mask, &healthy, n4)?;
        let mut flat = &volume.data / &field;
        flat.zip_mut_with(&mask, |value, &inside| *value *= f32::from(inside));
        let denoised = median_of_neighbours(flat.view(), mask.view());
        let outside = mask.mapv(|inside| u8::from(inside == 0));
        let depth_mm = distance_mm(outside.view(), spacing_mm);
        let levels = levels(&flat, &denoised, &healthy, &depth_mm)
            .ok_or_else(|| ImplantError::NoTissue { name: name.to_owned() })?;
        Ok(Self { mask, field, flat, denoised, depth_mm, levels, spacing_mm })
    }

    /// Share of each voxel that a lesion may change, 0 to 1.
    ///
    /// Sulci are fluid at most 3 mm from tissue and 4 to 15 mm below the surface: no rim of the brain, no ventricle and no
    /// wide cistern (ours).
    pub(crate) fn ground(&self, ground: Ground) -> Array3<f32> {
        let share = |level: f32| self.levels.tissue_share(f64::from(level)) as f32;
        let mut shares = self.flat.mapv(share);
        if ground == Ground::TissueAndSulci {
            let least = self.levels.least_tissue() as f32;
            let tissue = self.denoised.mapv(|value| u8::from(value >= least));
            let from_tissue = distance_mm(tissue.view(), self.spacing_mm);
            Zip::from(&mut shares).and(&from_tissue).and(&self.depth_mm).for_each(
                |share, &from_tissue, &depth| {
                    if from_tissue <= 3.0 && (4.0..=15.0).contains(&depth) {
                        *share = 1.0;
                    }
                },
            );
        }
        shares.zip_mut_with(&self.mask, |share, &inside| *share *= f32::from(inside));
        shares
    }
}

/// The shading that N4 finds in the box of the brain, from its healthy voxels; 1 outside of the box. `shrink` counts steps
/// of 1 mm.
fn shading(
    volume: &Volume,
    mask: &Array3<u8>,
    healthy: &Array3<u8>,
    n4: &N4Config,
) -> Result<Array3<f32>, ImplantError> {
    let mut field = Array3::ones(volume.data.raw_dim());
    let Some(region) = foreground_box(mask.view()) else { return Ok(field) };
    let spacing_mm = volume.grid.spacing_mm().iter().product::<f64>().cbrt();
    let shrink = (n4.shrink as f64 / spacing_mm).round().clamp(1.0, 64.0) as usize;
    let n4 = N4Config { shrink, ..n4.clone() }.build()?;
    let (image, healthy) = (region.view_of(volume.data.view()), region.view_of(healthy.view()));
    let part = n4.correct(image, healthy)?.field.evaluate();
    field
        .slice_each_axis_mut(|axis| {
            let axis = axis.axis.index();
            Slice::from(region.start[axis]..region.end[axis])
        })
        .assign(&part);
    Ok(field)
}

/// Levels of three classes by k-means; that of fluid is taken deep in the brain, where partial volume does not raise it.
fn levels(
    flat: &Array3<f32>,
    denoised: &Array3<f32>,
    healthy: &Array3<u8>,
    depth_mm: &Array3<f32>,
) -> Option<TissueLevels> {
    /// K-means of this many voxels takes a fraction of a second.
    const MOST: usize = 200_000;
    let inside: Vec<f32> =
        denoised.iter().zip(healthy).filter(|(_, ok)| **ok != 0).map(|(v, _)| *v).collect();
    let all = sorted(inside.iter().copied());
    let top = quantile(&all, 0.999);
    if top <= 0.0 {
        return None;
    }
    let step = inside.len().div_ceil(MOST);
    let samples: Vec<f32> =
        inside.iter().step_by(step).map(|&v| (f64::from(v) / top).min(1.0) as f32).collect();
    let samples = Array2::from_shape_vec((samples.len(), 1), samples).ok()?;
    let classes = KMeansConfig { classes: 3, ..KMeansConfig::default() };
    let fit = classes.fit(samples.view(), Key::new(0)).ok()?;
    let centres: Vec<f64> = fit.codebook.centres().iter().map(|&c| c * top).collect();
    let &[low, grey, white] = centres.as_slice() else { return None };
    let fluid = fluid_level(denoised, healthy, depth_mm, 0.5 * (low + grey)).unwrap_or(low);
    let bright = Zip::from(flat).and(denoised).and(healthy).map_collect(|&flat, &median, &ok| {
        (ok != 0 && f64::from(median) > 0.5 * (grey + white)).then_some(flat - median)
    });
    let noise = robust_deviation(bright.into_iter().flatten());
    let levels = TissueLevels { fluid, grey, white, noise };
    levels.are_apart().then_some(levels)
}

/// The fifth part of the way through the dark voxels deeper than 15 mm: the ventricles, without their partial volume.
fn fluid_level(
    denoised: &Array3<f32>,
    healthy: &Array3<u8>,
    depth_mm: &Array3<f32>,
    below: f64,
) -> Option<f64> {
    const DEEP_MM: f32 = 15.0;
    let voxels = denoised.iter().zip(healthy).zip(depth_mm);
    let dark = voxels.filter(|((value, ok), depth)| {
        **ok != 0 && **depth > DEEP_MM && f64::from(**value) < below
    });
    let dark = sorted(dark.map(|((value, _), _)| *value));
    (dark.len() >= 30).then(|| quantile(&dark, 0.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_without_a_finite_ratio_are_found() {
        let good = TissueLevels { fluid: 20.0, grey: 60.0, white: 100.0, noise: 2.0 };
        assert!(good.are_apart() && good.have_ratios());
        assert!(!TissueLevels { fluid: 60.0, ..good }.are_apart());
        assert!(!TissueLevels { grey: f64::NAN, ..good }.are_apart());
        assert!(!TissueLevels { fluid: 0.0, ..good }.have_ratios());
        assert!(!TissueLevels { noise: 0.0, ..good }.have_ratios());
    }
}
