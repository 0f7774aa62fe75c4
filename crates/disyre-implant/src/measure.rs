//! Measures of one real lesion against the tissue around it.

use disyre_core::ndarray::{Array3, ArrayView3};
use disyre_core::{Affine, Component, Components, Connectivity, Grid};
use disyre_volume::affine::{compose, invert};
use disyre_volume::{Interpolation, Volume, VoxelBox, resample_to_grid};
use serde::{Deserialize, Serialize};

use crate::ImplantError;
use crate::brain::Brain;
use crate::distance::{distance_mm, signed_distance_mm};
use crate::edge::edge_width_mm;
use crate::samples::{deviation, quantile, rank_correlation, robust_deviation, sorted};

/// Number of quantiles of a lesion's intensities.
pub(crate) const QUANTILES: usize = 21;

/// Share of the voxels below a quantile: steps of a twentieth, but .01 and .99 at the ends, where single voxels would count.
pub(crate) fn quantile_share(index: usize) -> f64 {
    (index as f64 / (QUANTILES - 1) as f64).clamp(0.01, 0.99)
}

/// The tissue around a lesion that it is compared with: this far from it, in millimetres (ours). Nearer, the edge and
/// oedema count; farther, other tissue.
pub(crate) const SHELL_MM: [f32; 2] = [2.0, 10.0];

/// Intensities of one lesion beside those of the tissue around it.
///
/// The local level L is the median of the grey and white matter 2 to 10 mm from the lesion, without the scan's shading.
/// A log ratio is ln(intensity / L), of the median of each voxel and its neighbours, so that noise counts apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LesionMeasurement {
    /// Name of the case.
    pub case: String,
    /// Pathology of the case, as its list says.
    pub pathology: String,
    /// Volume in millilitres.
    pub volume_ml: f64,
    /// Quantiles of the log ratio inside: .01, .05, .1 and so on to .95, .99.
    pub quantiles: Vec<f64>,
    /// Log ratio of cerebrospinal fluid: how dark a lesion can be.
    pub fluid_log_ratio: f64,
    /// Share of voxels brighter than L.
    pub bright_share: f64,
    /// Standard deviation of the log ratio inside.
    pub deviation: f64,
    /// Standard deviation of the log ratio of the grey and white matter around.
    pub tissue_deviation: f64,
    /// Noise inside as a multiple of that in white matter. No draw uses it, for an implant keeps the noise of its host: it
    /// compares implants with real lesions (docs/IMPLANT.md).
    pub noise_ratio: f64,
    /// Mean log ratio by distance from the border, one millimetre a step, above 0 inside.
    pub profile: Vec<ProfileStep>,
    /// Rank correlation of log ratio and depth below the lesion's border.
    pub depth_correlation: Option<f64>,
    /// Rank correlation of the log ratio with the intensity of the mirrored place, as a share of that of the tissue
    /// around: 0 where the lesion has erased the anatomy, 1 where it has kept it.
    pub anatomy_correlation: Option<f64>,
    /// Distance over which the correlation of the log ratio (less its mean at each depth) falls to 1/e.
    pub correlation_mm: Option<f64>,
    /// Standard deviation of the Gaussian edge between lesion and surroundings.
    pub edge_mm: Option<f64>,
}

/// One step of a [`LesionMeasurement::profile`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileStep {
    /// Middle of the step, from the border; above 0 inside.
    pub distance_mm: f64,
    /// Mean log ratio; outside of the lesion of grey and white matter alone.
    pub log_ratio: f64,
    /// Number of voxels.
    pub voxels: usize,
}

/// A scan with a lesion, prepared for measuring.
pub(crate) struct LesionScan<'a> {
    pub(crate) case: &'a str,
    pub(crate) pathology: &'a str,
    pub(crate) brain: &'a Brain,
    pub(crate) lesion: ArrayView3<'a, u8>,
    /// Denoised intensities of the mirrored places, 0 where there is none.
    pub(crate) mirrored: &'a Array3<f32>,
}

impl LesionScan<'_> {
    /// Measures every 26-connected component of at least `least_ml`, in the order of their first voxels.
    pub(crate) fn measure(&self, least_ml: f64) -> Vec<LesionMeasurement> {
        let voxel_ml = self.brain.spacing_mm.iter().product::<f64>() / 1000.0;
        let components = Components::new(self.lesion, Connectivity::Corners);
        let labels = components.labels();
        let measured = (1u32..).zip(components.iter()).map(|(label, component)| {
            let volume_ml = component.voxels as f64 * voxel_ml;
            (volume_ml >= least_ml).then(|| self.component(&labels, label, component, volume_ml))?
        });
        measured.flatten().collect()
    }

    fn component(
        &self,
        labels: &Array3<u32>,
        label: u32,
        component: &Component,
        volume_ml: f64,
    ) -> Option<LesionMeasurement> {
        let region = region(component, labels.dim().into(), self.brain.spacing_mm);
        let own = region.view_of(labels.view()).mapv(|l| u8::from(l == label));
        let local = Local::new(self, region, &own)?;
        Some(local.measurement(self, volume_ml))
    }
}

fn quantiles(sorted: &[f32]) -> Vec<f64> {
    (0..QUANTILES).map(|index| rounded(quantile(sorted, quantile_share(index)))).collect()
}

/// To four decimals: beyond, a table only grows.
pub(crate) fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// The box of a component and what is measured around it.
fn region(component: &Component, shape: [usize; 3], spacing_mm: [f64; 3]) -> VoxelBox {
    let pad = spacing_mm.map(|spacing| (f64::from(SHELL_MM[1]) / spacing).ceil() as usize + 1);
    VoxelBox {
        start: [0, 1, 2].map(|axis| component.lower[axis].saturating_sub(pad[axis])),
        end: [0, 1, 2].map(|axis| (component.upper[axis] + pad[axis]).min(shape[axis])),
    }
}

/// The surroundings of one lesion, as flat arrays over its box.
struct Local {
    shape: [usize; 3],
    /// Distance from the border, above 0 inside.
    signed: Vec<f32>,
    /// Distance from the nearest voxel of any lesion.
    from_lesions: Vec<f32>,
    /// Voxels of the brain with an intensity above 0.
    known: Vec<bool>,
    /// Log ratio, where known.
    log: Vec<f32>,
    /// Scan without shading less its median of neighbours.
    noise: Vec<f32>,
    /// Log of the mirrored place's intensity; NaN where there is none.
    mirrored: Vec<f32>,
    /// Grey and white matter.
    tissue: Vec<bool>,
    level: f64,
}

impl Local {
    fn new(scan: &LesionScan<'_>, region: VoxelBox, own: &Array3<u8>) -> Option<Self> {
        let (brain, spacing) = (scan.brain, scan.brain.spacing_mm);
        let flatten = |array: &Array3<f32>| -> Vec<f32> {
            region.view_of(array.view()).iter().copied().collect()
        };
        let denoised = flatten(&brain.denoised);
        let noise = flatten(&brain.flat).iter().zip(&denoised).map(|(a, b)| a - b).collect();
        let signed: Vec<f32> = signed_distance_mm(own.view(), spacing).into_iter().collect();
        let from_lesions = distance_mm(region.view_of(scan.lesion), spacing).into_iter().collect();
        let least = brain.levels.least_tissue() as f32;
        let tissue: Vec<bool> = denoised.iter().map(|&value| value >= least).collect();
        let mirrored = flatten(scan.mirrored)
            .iter()
            .map(|v| if *v > 0.0 { v.ln() } else { f32::NAN })
            .collect();
        let mut local = Self {
            shape: region.shape(),
            signed,
            from_lesions,
            known: denoised.iter().map(|&value| value > 0.0).collect(),
            log: denoised,
            noise,
            mirrored,
            tissue,
            level: 0.0,
        };
        local.relate_to_tissue().then_some(local)
    }

    /// Turns intensities into log ratios; false where there is too little tissue around to know its level.
    fn relate_to_tissue(&mut self) -> bool {
        let around = sorted(self.shell().into_iter().map(|i| self.log[i]));
        self.level = quantile(&around, 0.5);
        let level = self.level as f32;
        self.log.iter_mut().for_each(|value| *value = (*value / level).ln());
        around.len() >= 20 && !self.inside().is_empty()
    }

    fn measurement(&self, scan: &LesionScan<'_>, volume_ml: f64) -> LesionMeasurement {
        let (inside, around, brain) = (self.inside(), self.shell(), scan.brain);
        let log_of = |voxels: &[usize]| voxels.iter().map(|&i| self.log[i]).collect::<Vec<f32>>();
        let (log, depth) =
            (log_of(&inside), inside.iter().map(|&i| self.signed[i]).collect::<Vec<_>>());
        let bright = log.iter().filter(|&&log| log > 0.0).count();
        let noise = robust_deviation(inside.iter().map(|&i| self.noise[i]));
        LesionMeasurement {
            case: scan.case.to_owned(),
            pathology: scan.pathology.to_owned(),
            volume_ml: rounded(volume_ml),
            quantiles: quantiles(&sorted(log_of(&self.interior()))),
            fluid_log_ratio: rounded((brain.levels.fluid / self.level).ln()),
            bright_share: rounded(bright as f64 / log.len() as f64),
            deviation: rounded(deviation(&log)),
            tissue_deviation: rounded(deviation(&log_of(&around))),
            noise_ratio: rounded(noise / brain.levels.noise),
            profile: self.profile(),
            depth_correlation: rank_correlation(&depth, &log).map(rounded),
            anatomy_correlation: self.anatomy(&inside, &around).map(rounded),
            correlation_mm: self.correlation_mm(brain.spacing_mm).map(rounded),
            edge_mm: edge_width_mm(&self.edge_samples()).map(rounded),
        }
    }

    fn select(&self, keep: impl Fn(usize) -> bool) -> Vec<usize> {
        (0..self.signed.len()).filter(|&i| self.known[i] && keep(i)).collect()
    }

    /// Voxels of the lesion.
    fn inside(&self) -> Vec<usize> {
        self.select(|i| self.signed[i] > 0.0)
    }

    /// Voxels of the lesion that its edge does not reach, as far as it has any: 1 mm deep, or half of the greatest depth.
    fn interior(&self) -> Vec<usize> {
        let deepest = self.signed.iter().copied().fold(0.0, f32::max);
        self.select(|i| self.signed[i] >= (0.5 * deepest).min(1.0))
    }

    /// Grey and white matter in the shell around the lesion, away from others.
    fn shell(&self) -> Vec<usize> {
        let [near, far] = SHELL_MM;
        self.select(|i| self.tissue[i] && self.signed[i] >= -far && self.from_lesions[i] >= near)
    }

    /// Distance from the border and log ratio of the lesion and of the tissue near it.
    fn edge_samples(&self) -> Vec<(f32, f32)> {
        const REACH_MM: f32 = 6.0;
        let near = |i: usize| {
            let outside = self.tissue[i] && self.from_lesions[i] >= -self.signed[i];
            self.signed[i].abs() < REACH_MM && (self.signed[i] > 0.0 || outside)
        };
        self.select(near).into_iter().map(|i| (self.signed[i], self.log[i])).collect()
    }

    fn profile(&self) -> Vec<ProfileStep> {
        let step = |distance: i32| {
            let in_step = |i: usize| {
                let here = self.signed[i].floor() as i32 == distance;
                here && (distance >= 0
                    || (self.tissue[i] && self.from_lesions[i] >= -self.signed[i] - 1.0))
            };
            let voxels = self.select(in_step);
            let sum: f64 = voxels.iter().map(|&i| f64::from(self.log[i])).sum();
            let log_ratio = rounded(sum / voxels.len().max(1) as f64);
            ProfileStep { distance_mm: f64::from(distance) + 0.5, log_ratio, voxels: voxels.len() }
        };
        (-6..40).map(step).filter(|step| step.voxels > 0).collect()
    }

    /// How much of the anatomy the lesion has kept.
    fn anatomy(&self, inside: &[usize], around: &[usize]) -> Option<f64> {
        /// Where the tissue around resembles its mirror image less than this, nothing can be told.
        const LEAST: f64 = 0.2;
        let correlation = |voxels: &[usize]| {
            let known = voxels.iter().filter(|&&i| !self.mirrored[i].is_nan());
            let pairs: (Vec<f32>, Vec<f32>) =
                known.map(|&i| (self.log[i], self.mirrored[i])).unzip();
            rank_correlation(&pairs.0, &pairs.1)
        };
        let (inside, around) = (correlation(inside)?, correlation(around)?);
        (around >= LEAST).then(|| (inside / around).clamp(0.0, 1.0))
    }

    /// Lag at which the mean correlation along the axes falls to 1/e; `None` for a lesion of less than 1 ml,
    /// whose own size would be measured.
    fn correlation_mm(&self, spacing_mm: [f64; 3]) -> Option<f64> {
        let inside = self.inside();
        if (inside.len() as f64) * spacing_mm.iter().product::<f64>() < 1000.0 {
            return None;
        }
        let residual = self.residual(&inside);
        let variance = self.covariance(&residual, 0, 0).0;
        let mut earlier = (0.0, 1.0);
        let least = spacing_mm.into_iter().fold(f64::INFINITY, f64::min);
        for step in 1..=(40.0 / least) as usize {
            let lag_mm = step as f64 * least;
            let lags = spacing_mm.map(|spacing| (lag_mm / spacing).round() as usize);
            let sums = [0, 1, 2].map(|axis| self.covariance(&residual, axis, lags[axis]));
            let pairs: f64 = sums.iter().map(|sum| sum.1).sum();
            if pairs < 50.0 {
                return None;
            }
            let mean = sums.iter().map(|sum| sum.0 * sum.1).sum::<f64>() / pairs / variance;
            let (lag, correlation) = earlier;
            let limit = (-1.0f64).exp();
            if mean <= limit {
                return Some(lag + (lag_mm - lag) * (correlation - limit) / (correlation - mean));
            }
            earlier = (lag_mm, mean);
        }
        None
    }

    /// Log ratio less its mean at each depth; NaN outside of the lesion.
    fn residual(&self, inside: &[usize]) -> Vec<f32> {
        let mut residual = vec![f32::NAN; self.log.len()];
        let profile = self.profile();
        for &i in inside {
            let middle = f64::from(self.signed[i].floor()) + 0.5;
            if let Some(step) = profile.iter().find(|step| step.distance_mm == middle) {
                residual[i] = self.log[i] - step.log_ratio as f32;
            }
        }
        residual
    }

    /// Mean product of pairs of residuals that lie `lag` voxels apart along an axis, and their number.
    fn covariance(&self, residual: &[f32], axis: usize, lag: usize) -> (f64, f64) {
        let [_, ny, nx] = self.shape;
        let stride = [ny * nx, nx, 1][axis];
        let (mut sum, mut count) = (0.0, 0.0);
        for (i, &first) in residual.iter().enumerate() {
            let along = i / stride % self.shape[axis];
            if along + lag >= self.shape[axis] {
                continue;
            }
            let product = f64::from(first) * f64::from(residual[i + lag * stride]);
            if !product.is_nan() {
                sum += product;
                count += 1.0;
            }
        }
        (if count > 0.0 { sum / count } else { 0.0 }, count)
    }
}

/// Denoised intensities of the places that a mirror through the template's middle gives; 0 outside of the brain and where
/// the mirror shows a lesion.
pub(crate) fn mirrored(
    brain: &Brain,
    grid: &Grid,
    lesion: ArrayView3<'_, u8>,
    scan_from_template: &Affine,
) -> Result<Array3<f32>, ImplantError> {
    let mut healthy = brain.denoised.clone();
    healthy.zip_mut_with(&lesion, |value, &ill| *value *= f32::from(u8::from(ill == 0)));
    let mut flip = *scan_from_template;
    flip.iter_mut().for_each(|row| row[0] = -row[0]);
    let Some(back) = invert(scan_from_template) else { return Ok(healthy * 0.0) };
    let onto = Grid { affine: compose(&compose(&flip, &back), &grid.affine), ..*grid };
    let volume = Volume { data: healthy, grid: *grid };
    Ok(resample_to_grid(&volume, &onto, Interpolation::Linear)?.data)
}
