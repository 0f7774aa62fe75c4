//! A scan prepared for registration: its images at each level, and where its foreground lies.

use disyre_core::ndarray::{Array3, ArrayView3};
use disyre_core::{Volume, ensure_finite, ensure_same_shape};
use disyre_volume::affine::{invert, transform};

use crate::image::{Image, Range, cut_faces, shrunk};

use crate::template::masked;
use crate::{Level, RegisterError};

/// A scan, or the template, ready to be sampled.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    /// One for each level.
    pub(crate) images: Vec<Image>,
    /// Share of each voxel that does not count.
    pub(crate) excluded: Option<Image>,
    pub(crate) foreground: Foreground,
}

/// Where a scan shows something: where it is not 0, or, if that is more than a brain, where it is bright.
#[derive(Debug, Clone)]
pub(crate) struct Foreground {
    /// World millimetres of the voxels of the coarsest level.
    points: Vec<[f64; 3]>,
    /// Its volume in litres.
    pub(crate) litres: f64,
}

/// Greatest volume in litres that is taken for a brain; the greatest healthy ones have 1.9 l (ours).
const LARGEST_BRAIN_L: f64 = 2.3;

impl Subject {
    /// Prepares a volume; outside of `mask` it is background.
    pub(crate) fn new(
        which: &'static str,
        volume: &Volume,
        mask: Option<ArrayView3<'_, u8>>,
        levels: &[Level],
    ) -> Result<Self, RegisterError> {
        ensure_same_shape(which, &volume.grid.shape, volume.data.shape())?;
        ensure_finite(which, &volume.data.view())?;
        let affine = volume.grid.affine;
        if invert(&affine).is_none() {
            return Err(RegisterError::Singular { affine: Box::new(affine) });
        }
        let stripped = match mask {
            Some(mask) => {
                ensure_same_shape("mask", volume.data.shape(), mask.shape())?;
                &masked(volume, mask)
            }
            None => volume,
        };
        let finest = levels.last().map_or(2.0, |level| level.spacing_mm);
        let finest = shrunk(stripped, finest)?;
        let nothing = || RegisterError::NoForeground { which };
        let range = Range::of(finest.data.view()).ok_or_else(nothing)?;
        let cut = cut_faces(finest.data.view());
        let bright = finest.data.iter().filter(|&&value| range.is_foreground(value)).count();
        let litres = bright as f64 * finest.grid.voxel_mm3() / 1e6;
        // From fine to coarse, so that each level shrinks the one before.
        let mut images = Vec::new();
        let mut volume = finest;
        for level in levels.iter().rev() {
            volume = shrunk(&volume, level.spacing_mm)?;
            images.push(Image::new(&volume, range, cut)?);
        }
        images.reverse();
        let foreground = Foreground::of(&volume, litres).ok_or_else(nothing)?;
        Ok(Self { images, excluded: None, foreground })
    }

    /// The same, without the voxels where `excluded` is not 0.
    pub(crate) fn without(
        mut self,
        volume: &Volume,
        excluded: ArrayView3<'_, u8>,
    ) -> Result<Self, RegisterError> {
        ensure_same_shape("excluded", volume.data.shape(), excluded.shape())?;
        let share: Array3<f32> = excluded.mapv(|voxel| f32::from(u8::from(voxel != 0)));
        let share = shrunk(&Volume { data: share, grid: volume.grid }, 2.0)?;
        self.excluded = Some(Image::new(&share, Range::UNIT, [[false; 2]; 3])?);
        Ok(self)
    }

    /// The image of the finest level.
    pub(crate) fn finest(&self) -> &Image {
        &self.images[self.images.len() - 1]
    }

    /// False if so much is not 0 that there is more than a brain.
    pub(crate) fn is_stripped(&self) -> bool {
        self.foreground.litres <= LARGEST_BRAIN_L
    }
}

impl Foreground {
    fn of(volume: &Volume, litres: f64) -> Option<Self> {
        let is_bright: Box<dyn Fn(f32) -> bool> = if litres > LARGEST_BRAIN_L {
            let threshold = otsu(volume.data.view())?;
            Box::new(move |value| value > threshold)
        } else {
            Box::new(|value| value != 0.0)
        };
        let affine = &volume.grid.affine;
        let inside = volume.data.indexed_iter().filter(|(_, value)| is_bright(**value));
        let points: Vec<_> = inside
            .map(|((z, y, x), _)| transform(affine, [x as f64, y as f64, z as f64]))
            .collect();
        (!points.is_empty()).then_some(Self { points, litres })
    }

    /// Point of a head where the centre of its brain may be, if `up` is the direction of its vertex.
    ///
    /// # Source
    /// Ours: in MNI152 the centre of mass of the brain lies 73 mm below its top, and scalp and skull are about 12 mm
    /// thick; the other two coordinates are those of the centre of the slab that holds the brain.
    pub(crate) fn brain_below_vertex(&self, up: [f64; 3]) -> [f64; 3] {
        const VERTEX_TO_CENTRE_MM: f64 = 85.0;
        const SLAB_MM: f64 = 150.0;
        let height = |p: &[f64; 3]| p[0] * up[0] + p[1] * up[1] + p[2] * up[2];
        let mut heights: Vec<f64> = self.points.iter().map(height).collect();
        // A thousandth of the voxels may be noise.
        let top = heights.len() - 1 - heights.len() / 1000;
        let top = *heights.select_nth_unstable_by(top, f64::total_cmp).1;
        let slab = self.points.iter().copied().filter(|p| height(p) > top - SLAB_MM);
        let centre = mean(&slab.collect::<Vec<_>>());
        let shift = top - VERTEX_TO_CENTRE_MM - height(&centre);
        [0, 1, 2].map(|axis| centre[axis] + shift * up[axis])
    }

    /// Centre of mass in world millimetres, every voxel of equal mass.
    pub(crate) fn centre(&self) -> [f64; 3] {
        mean(&self.points)
    }

    /// Root mean square distance from the centre in millimetres.
    pub(crate) fn radius_mm(&self) -> f64 {
        let centre = self.centre();
        let squares = self.points.iter().flatten().zip(centre.iter().cycle());
        let sum: f64 = squares.map(|(point, centre)| (point - centre).powi(2)).sum();
        (sum / self.points.len() as f64).sqrt()
    }
}

fn mean(points: &[[f64; 3]]) -> [f64; 3] {
    let sum = points.iter().fold([0.0; 3], |sum, p| [sum[0] + p[0], sum[1] + p[1], sum[2] + p[2]]);
    sum.map(|sum| sum / points.len() as f64)
}

/// The threshold between background and object: that of the greatest variance between the two.
///
/// # Source
/// Otsu, IEEE Transactions on Systems, Man, and Cybernetics 9 (1979) 62, on 128 bins up to the greatest value.
fn otsu(data: ArrayView3<'_, f32>) -> Option<f32> {
    const BINS: usize = 128;
    let greatest = data.iter().copied().fold(0.0f32, f32::max);
    let mut histogram = [0.0f64; BINS];
    for value in data {
        let bin = (value.max(0.0) / greatest * BINS as f32) as usize;
        histogram[bin.min(BINS - 1)] += 1.0;
    }
    let total: f64 = histogram.iter().sum();
    let moment: f64 = histogram.iter().enumerate().map(|(bin, count)| bin as f64 * count).sum();
    let (mut below, mut moment_below) = (0.0, 0.0);
    let mut best = (0.0, 0);
    for (bin, count) in histogram.iter().enumerate() {
        below += count;
        moment_below += bin as f64 * count;
        let above = total - below;
        if below == 0.0 || above == 0.0 {
            continue;
        }
        let apart = moment_below / below - (moment - moment_below) / above;
        let between = below * above * apart * apart;
        if between > best.0 {
            best = (between, bin + 1);
        }
    }
    (best.0 > 0.0).then(|| best.1 as f32 * greatest / BINS as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::Grid;

    #[test]
    fn a_threshold_separates_noise_from_tissue() {
        let data = Array3::from_shape_fn((10, 10, 10), |(z, y, x)| {
            if z < 6 { ((x + y) % 4) as f32 } else { 50.0 + (x % 7) as f32 }
        });
        let threshold = otsu(data.view()).unwrap();
        assert!((3.0..50.0).contains(&threshold), "{threshold}");
        assert_eq!(otsu(Array3::ones((2, 2, 2)).view()), None);
    }

    #[test]
    fn a_ball_has_the_moments_of_a_ball() {
        let grid = Grid::from_spacing([60; 3], [2.0; 3]);
        let centred = |index: usize| 2.0 * index as f64 - 60.0;
        let data = Array3::from_shape_fn(grid.shape, |(z, y, x)| {
            let square = [z, y, x].map(|index| centred(index).powi(2)).iter().sum::<f64>();
            f32::from(u8::from(square < 2500.0))
        });
        let levels = [Level { spacing_mm: 2.0, samples: 500 }];
        let ball = Subject::new("scan", &Volume { data, grid }, None, &levels).unwrap();
        for coordinate in ball.foreground.centre() {
            assert!((coordinate - 60.0).abs() < 0.1);
        }
        // The square of the distance is 3/5 of that of the radius.
        assert!((ball.foreground.radius_mm() - 50.0 * 0.6f64.sqrt()).abs() < 0.2);
        let litres = 4.0 / 3.0 * std::f64::consts::PI * 0.5f64.powi(3);
        assert!((ball.foreground.litres - litres).abs() < 0.005);
        assert!(ball.is_stripped());
        let below = ball.foreground.brain_below_vertex([0.0, 0.0, 1.0]);
        assert!((below[2] - (110.0 - 85.0)).abs() < 3.0, "{below:?}");
    }
}
