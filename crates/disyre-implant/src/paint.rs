//! Lesions drawn into a host.

use disyre_core::Volume;
use disyre_core::ndarray::{Array3, Slice, Zip};
use disyre_volume::VoxelBox;
use serde::{Deserialize, Serialize};

use crate::brain::Brain;
use crate::measure::{QUANTILES, SHELL_MM, quantile_share};
use crate::params::{Appearance, LesionParams, between};
use crate::placement::Placed;
use crate::samples::{deviation, gaussian_share, quantile, rank, score, sorted};
use crate::smooth::random_field;
use crate::{Host, ImplantError};

/// A lesion as it came out in its host.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RealisedLesion {
    /// Volume of its label in millilitres.
    pub volume_ml: f64,
    /// Share of the shape that is grey or white matter of the host: the rest stays as it is.
    pub tissue_share: f64,
    /// Level of the tissue around it, without the shading, in the unit of the scan.
    pub level: f64,
    /// Mean over its label of ln(intensity after / intensity before), noise apart.
    pub mean_log_change: f64,
}

/// A host with lesions.
#[derive(Debug, Clone)]
pub struct Implanted {
    /// Intensities on the grid and in the unit of the host; exactly the host's where nothing is implanted.
    pub data: Array3<f32>,
    /// 1 where a lesion changes the tissue by at least half of its full effect.
    pub label: Array3<u8>,
    /// Each lesion as it came out.
    pub lesions: Vec<RealisedLesion>,
}

/// A host while lesions are drawn into it.
pub(crate) struct Canvas<'a> {
    host: &'a Host,
    flat: Array3<f32>,
    denoised: Array3<f32>,
    pub(crate) label: Array3<u8>,
    changed: Array3<u8>,
    lesions: Vec<RealisedLesion>,
}

/// A shape in a host's tissue, on the voxels of a box.
pub(crate) struct Extent {
    pub(crate) region: VoxelBox,
    signed_mm: Array3<f32>,
    /// Weight of the lesion in each voxel.
    weight: Array3<f32>,
    pub(crate) volume_ml: f64,
    pub(crate) tissue_share: f64,
    /// Share of the label that is white matter.
    pub(crate) white_share: f64,
}

impl Extent {
    /// Where a placed shape changes a host: Φ(distance / edge) times the share of tissue in the voxel.
    ///
    /// The edge is widened by the variance of a voxel's own extent, whose square is spacing² / 12.
    pub(crate) fn new(placed: Placed, params: &LesionParams, host: &Host) -> Self {
        let (Placed { region, signed_mm }, brain) = (placed, &host.brain);
        let squares = brain.spacing_mm.iter().map(|spacing| spacing * spacing).sum::<f64>() / 3.0;
        let edge = (params.appearance.edge_mm.powi(2) + squares / 12.0).sqrt();
        let inside = signed_mm.mapv(|signed| gaussian_share(f64::from(signed) / edge) as f32);
        let ground = match params.kind.fills_sulci() {
            true => region.view_of(host.tissue_and_sulci.view()),
            false => region.view_of(host.tissue.view()),
        };
        let mut weight = &inside * &ground;
        // What can't be seen is not changed, so that a lesion ends.
        weight.mapv_inplace(|weight| if weight > 1e-3 { weight } else { 0.0 });
        let shape = inside.iter().filter(|&&inside| inside >= 0.5).count();
        let label = weight.iter().filter(|&&weight| weight >= 0.5).count();
        let least_white = brain.levels.least_white() as f32;
        let denoised = region.view_of(brain.denoised.view());
        let white = denoised.iter().zip(&weight).filter(|(v, w)| **w >= 0.5 && **v >= least_white);
        let white_share = white.count() as f64 / label.max(1) as f64;
        let voxel_ml = brain.spacing_mm.iter().product::<f64>() / 1000.0;
        let tissue_share = label as f64 / shape.max(1) as f64;
        let volume_ml = label as f64 * voxel_ml;
        Self { region, signed_mm, weight, volume_ml, tissue_share, white_share }
    }

    /// Mask of the label, in the box.
    pub(crate) fn label(&self) -> Array3<u8> {
        self.weight.mapv(|weight| u8::from(weight >= 0.5))
    }
}

impl<'a> Canvas<'a> {
    pub(crate) fn new(host: &'a Host) -> Self {
        let shape = host.brain.flat.raw_dim();
        Self {
            host,
            flat: host.brain.flat.clone(),
            denoised: host.brain.denoised.clone(),
            label: Array3::zeros(shape),
            changed: Array3::zeros(shape),
            lesions: Vec::new(),
        }
    }

    /// Number of voxels of an extent that are in a lesion already.
    pub(crate) fn overlap(&self, extent: &Extent) -> usize {
        let drawn = extent.region.view_of(self.label.view());
        drawn
            .iter()
            .zip(&extent.weight)
            .filter(|(drawn, weight)| **drawn != 0 && **weight >= 0.5)
            .count()
    }

    /// Draws one lesion.
    pub(crate) fn draw(&mut self, params: &LesionParams, extent: &Extent) {
        let region = extent.region;
        let before = region.view_of(self.denoised.view()).to_owned();
        let level = self.level(extent, &before);
        let target = target(params, extent, &before, level, &self.host.brain);
        let change = (&target - &before) * &extent.weight;
        let slice = |axis: usize| Slice::from(region.start[axis]..region.end[axis]);
        let mut flat = self.flat.slice_each_axis_mut(|axis| slice(axis.axis.index()));
        flat += &change;
        let mut denoised = self.denoised.slice_each_axis_mut(|axis| slice(axis.axis.index()));
        denoised += &change;
        let mut label = self.label.slice_each_axis_mut(|axis| slice(axis.axis.index()));
        label.zip_mut_with(&extent.label(), |label, &own| *label |= own);
        let mut changed = self.changed.slice_each_axis_mut(|axis| slice(axis.axis.index()));
        changed.zip_mut_with(&extent.weight, |changed, &weight| *changed |= u8::from(weight > 0.0));
        let mean_log_change = mean_log_change(&before, &change, &extent.weight);
        self.lesions.push(RealisedLesion {
            volume_ml: extent.volume_ml,
            tissue_share: extent.tissue_share,
            level,
            mean_log_change,
        });
    }

    /// Median of the grey and white matter around: as real lesions are measured.
    fn level(&self, extent: &Extent, denoised: &Array3<f32>) -> f64 {
        let levels = self.host.brain.levels;
        let least = levels.least_tissue() as f32;
        let [near, far] = SHELL_MM;
        let voxels = denoised.iter().zip(&extent.signed_mm);
        let around =
            voxels.filter(|(value, signed)| **value >= least && (-far..=-near).contains(*signed));
        let around = sorted(around.map(|(value, _)| *value));
        match around.len() < 20 {
            true => 0.5 * (levels.grey + levels.white),
            false => quantile(&around, 0.5),
        }
    }

    /// The scan with its shading and what was implanted; nothing falls to background.
    pub(crate) fn finish(self) -> Implanted {
        let scan = &self.host.scan.volume.data;
        let positive = scan.iter().copied().filter(|&value| value > 0.0);
        let least = positive.fold(f32::INFINITY, f32::min);
        let mut data = scan.clone();
        Zip::from(&mut data)
            .and(&self.flat)
            .and(&self.host.brain.field)
            .and(&self.changed)
            .for_each(|value, &flat, &field, &changed| {
                if changed != 0 {
                    *value = (flat * field).max(least);
                }
            });
        Implanted { data, label: self.label, lesions: self.lesions }
    }
}

/// Intensities of the lesion without noise and shading.
///
/// Each voxel's brightness is ranked within the lesion: by depth, by the tissue that was there, and by a smooth random
/// field, in the measure of their correlations. The rank then gets the intensity that the table has for it, so that the
/// lesion has the table's distribution however the three are mixed.
fn target(
    params: &LesionParams,
    extent: &Extent,
    before: &Array3<f32>,
    level: f64,
    brain: &Brain,
) -> Array3<f32> {
    let look = &params.appearance;
    let brightness = brightness(params, extent, before, brain.spacing_mm);
    let ranked = sorted(in_core(extent, &brightness));
    let ranks = brightness.mapv(|value| rank(&ranked, value) as f32);
    let way = level - brain.levels.fluid;
    let shares = calibrated(look, extent, before, &ranks, [level, way]);
    ranks.mapv(|rank| (level - between(&shares, f64::from(rank)) * way) as f32)
}

/// Order of brightness: a score of depth, of the tissue that was there and of a random field.
fn brightness(
    params: &LesionParams,
    extent: &Extent,
    before: &Array3<f32>,
    spacing_mm: [f64; 3],
) -> Array3<f32> {
    let look = &params.appearance;
    let shape = extent.region.shape();
    let field = random_field(shape, spacing_mm, look.correlation_mm, params.texture);
    let depths = sorted(in_core(extent, &extent.signed_mm));
    let tissue = sorted(in_core(extent, before));
    let noise = in_core(extent, &field);
    let spread = deviation(&noise).max(1e-12);
    let mean = noise.iter().map(|&value| f64::from(value)).sum::<f64>() / noise.len().max(1) as f64;
    let (by_depth, by_anatomy) = (look.depth_correlation, look.anatomy_correlation);
    let by_texture = (1.0 - by_depth * by_depth - by_anatomy * by_anatomy).max(0.0).sqrt();
    Zip::from(&extent.signed_mm).and(before).and(&field).par_map_collect(
        |&signed, &before, &field| {
            let depth = score(rank(&depths, signed));
            let anatomy = score(rank(&tissue, before));
            let texture = (f64::from(field) - mean) / spread;
            (by_depth * depth + by_anatomy * anatomy + by_texture * texture) as f32
        },
    )
}

/// Quantiles of the lesion's intensities, as shares of the way to fluid, with which it *measures* as the drawn ones.
///
/// The tissue that was there shines through the soft edge, so a lesion drawn with the drawn quantiles would be milder. A few
/// corrections by the difference bring what is measured, 1 mm inside the border, nearer to what was drawn. A correction at
/// most doubles a contrast, and nothing becomes darker than fluid.
fn calibrated(
    look: &Appearance,
    extent: &Extent,
    before: &Array3<f32>,
    ranks: &Array3<f32>,
    [level, way]: [f64; 2],
) -> Vec<f64> {
    const CORRECTIONS: usize = 5;
    let wanted: Vec<f64> =
        (0..QUANTILES).map(|knot| look.fluid_share(quantile_share(knot))).collect();
    let interior = interior(extent, before, ranks);
    let mut shares = wanted.clone();
    for _ in 0..CORRECTIONS {
        let darkness = |[weight, before, rank]: &[f64; 3]| {
            let old = (level - before) / way;
            (old + weight * (between(&shares, *rank) - old)) as f32
        };
        let found = sorted(interior.iter().map(darkness));
        for knot in 0..QUANTILES {
            // The share falls as brightness rises.
            let got = quantile(&found, 1.0 - quantile_share(knot));
            let (near, far) = (wanted[knot], 2.0 * wanted[knot]);
            let corrected = shares[knot] + wanted[knot] - got;
            shares[knot] = corrected.clamp(near.min(far), near.max(far)).min(1.0);
        }
        (1..QUANTILES).for_each(|knot| shares[knot] = shares[knot].min(shares[knot - 1]));
    }
    shares
}

/// Weight, intensity before and rank of the voxels that are measured: 1 mm inside, or half of the greatest depth.
fn interior(extent: &Extent, before: &Array3<f32>, ranks: &Array3<f32>) -> Vec<[f64; 3]> {
    let deepest = extent.signed_mm.iter().copied().fold(0.0, f32::max);
    let least = (0.5 * deepest).min(1.0);
    let voxels = extent.signed_mm.iter().zip(&extent.weight).zip(before.iter().zip(ranks));
    let inside = voxels.filter(|((signed, weight), _)| **signed >= least && **weight >= 0.5);
    inside.map(|((_, &weight), (&before, &rank))| [weight, before, rank].map(f64::from)).collect()
}

/// Values of an array in the label of a lesion.
fn in_core(extent: &Extent, values: &Array3<f32>) -> Vec<f32> {
    let core = values.iter().zip(&extent.weight).filter(|(_, weight)| **weight >= 0.5);
    core.map(|(value, _)| *value).collect()
}

fn mean_log_change(before: &Array3<f32>, change: &Array3<f32>, weight: &Array3<f32>) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    Zip::from(before).and(change).and(weight).for_each(|&before, &change, &weight| {
        if weight >= 0.5 && before > 0.0 && before + change > 0.0 {
            sum += f64::from((before + change) / before).ln();
            count += 1.0;
        }
    });
    if count > 0.0 { sum / count } else { 0.0 }
}

/// Puts the shape of a lesion into a host; `None` if it misses it.
pub(crate) fn extent(
    host: &Host,
    shape: &Volume,
    params: &LesionParams,
) -> Result<Option<Extent>, ImplantError> {
    let grid = &host.scan.volume.grid;
    let map = &host.registration().scan_from_template;
    let placed = params.placement.place(shape, grid, map)?;
    Ok(placed.map(|placed| Extent::new(placed, params, host)))
}
