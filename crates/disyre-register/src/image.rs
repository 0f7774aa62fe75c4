//! Images that are sampled between their voxels, with gradients.

use disyre_core::ndarray::{Array3, ArrayView3, Axis};
use disyre_core::{Affine, Volume};
use disyre_volume::affine::{invert, transform};
use disyre_volume::{Interpolation, resample_to_spacing};

use crate::RegisterError;

/// Range of intensities that is mapped to `[0, 1]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Range {
    least: f32,
    greatest: f32,
}

impl Range {
    /// Values that are shares already.
    pub(crate) const UNIT: Self = Self { least: 0.0, greatest: 1.0 };

    /// From 0, or the 0.2 % quantile of the other voxels if that is negative, to their 99.8 % quantile.
    ///
    /// Few bright voxels, vessels for instance, would else press all tissue into a few bins of a histogram.
    pub(crate) fn of(data: ArrayView3<'_, f32>) -> Option<Self> {
        const TAIL: f64 = 0.002;
        let mut values: Vec<f32> = data.iter().copied().filter(|&value| value != 0.0).collect();
        let last = values.len().checked_sub(1)?;
        let mut quantile = |share: f64| {
            let index = (share * last as f64).round() as usize;
            *values.select_nth_unstable_by(index, f32::total_cmp).1
        };
        let (least, greatest) = (quantile(TAIL).min(0.0), quantile(1.0 - TAIL));
        (greatest > least).then_some(Self { least, greatest })
    }

    /// True for an intensity that stands out from background.
    pub(crate) fn is_foreground(self, value: f32) -> bool {
        self.rescaled(value) > self.rescaled(0.0) + FOREGROUND
    }

    fn rescaled(self, value: f32) -> f32 {
        ((value - self.least) / (self.greatest - self.least)).clamp(0.0, 1.0)
    }
}

/// Difference from background, of `[0, 1]`, that makes foreground of what is between voxels (ours).
const FOREGROUND: f32 = 0.03;

/// Mean over coarser voxels; axes that are as coarse already keep their spacing.
pub(crate) fn shrunk(volume: &Volume, spacing_mm: f64) -> Result<Volume, RegisterError> {
    let spacing = volume.grid.spacing_mm().map(|own| own.max(spacing_mm));
    Ok(resample_to_spacing(volume, spacing, Interpolation::Area)?)
}

/// Faces of a volume, `(z, y, x)` and lower before upper, on which an object ends because the field of view does.
pub(crate) fn cut_faces(data: ArrayView3<'_, f32>) -> [[bool; 2]; 3] {
    /// A brain that only touches a face covers less of it, one that is cut covers more.
    const LEAST_SHARE: f64 = 0.1;
    let cut = |axis: usize, index: usize| {
        let face = data.index_axis(Axis(axis), index);
        let object = face.iter().filter(|&&value| value != 0.0).count();
        object as f64 > LEAST_SHARE * face.len() as f64
    };
    [0, 1, 2].map(|axis| [cut(axis, 0), cut(axis, data.len_of(Axis(axis)) - 1)])
}

/// Intensities in `[0, 1]` at any point of the world, by linear interpolation.
///
/// Background continues beyond faces that do not cut the object; beyond the others nothing is known.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// A border of one voxel of background all round.
    voxels: Array3<f32>,
    /// World millimetres → indices `(x, y, z)` of `voxels`.
    index_from_world: Affine,
    /// Least and greatest known index, `(x, y, z)`.
    known: [[f64; 2]; 3],
    background: f32,
}

impl Image {
    /// The image of a volume whose foreground is not 0.
    pub(crate) fn new(
        volume: &Volume,
        range: Range,
        cut: [[bool; 2]; 3],
    ) -> Result<Self, RegisterError> {
        let background = range.rescaled(0.0);
        let shape = volume.grid.shape.map(|voxels| voxels + 2);
        let mut voxels = Array3::from_elem(shape, background);
        let mut inner = voxels.view_mut();
        inner.slice_each_axis_inplace(|axis| (1..axis.len as isize - 1).into());
        inner.zip_mut_with(&volume.data, |voxel, &value| *voxel = range.rescaled(value));
        let singular = || RegisterError::Singular { affine: Box::new(volume.grid.affine) };
        let mut index_from_world = invert(&volume.grid.affine).ok_or_else(singular)?;
        index_from_world[..3].iter_mut().for_each(|row| row[3] += 1.0);
        let known = [2, 1, 0].map(|axis: usize| {
            let last = shape[axis] as f64 - 1.0;
            let low = if cut[axis][0] { 0.5 } else { f64::NEG_INFINITY };
            let high = if cut[axis][1] { last - 0.5 } else { f64::INFINITY };
            [low, high]
        });
        Ok(Self { voxels, index_from_world, known, background })
    }

    /// True for an intensity in `[0, 1]` that stands out from background.
    pub(crate) fn is_foreground(&self, intensity: f32) -> bool {
        intensity > self.background + FOREGROUND
    }

    /// World millimetres → the indices that [`sample`](Self::sample) takes.
    pub(crate) fn index_from_world(&self) -> &Affine {
        &self.index_from_world
    }

    /// Intensity and its gradient by index at an index `(x, y, z)`; `None` where nothing is known.
    pub(crate) fn sample(&self, index: [f64; 3]) -> Option<(f32, [f32; 3])> {
        let [nz, ny, nx] = [0, 1, 2].map(|axis| self.voxels.len_of(Axis(axis)));
        for (index, [low, high]) in index.iter().zip(self.known) {
            if !(low..=high).contains(index) {
                return None;
            }
        }
        let [x, y, z] = index;
        let outside = |index: f64, voxels: usize| !(index >= 0.0 && index < voxels as f64 - 1.0);
        if outside(x, nx) || outside(y, ny) || outside(z, nz) {
            return Some((self.background, [0.0; 3]));
        }
        let (x0, y0, z0) = (x as usize, y as usize, z as usize);
        let (fx, fy, fz) = ((x - x0 as f64) as f32, (y - y0 as f64) as f32, (z - z0 as f64) as f32);
        let voxels = self.voxels.as_slice()?;
        let start = (z0 * ny + y0) * nx + x0;
        // Value and x derivative along the four edges that run along x.
        let edge = |offset: usize| {
            let pair = &voxels[start + offset..start + offset + 2];
            let rise = pair[1] - pair[0];
            (pair[0] + fx * rise, rise)
        };
        let (plane, row) = (ny * nx, nx);
        let (a, b, c, d) = (edge(0), edge(row), edge(plane), edge(plane + row));
        let mix = |low: f32, high: f32, share: f32| low + share * (high - low);
        let (low, high) = (mix(a.0, b.0, fy), mix(c.0, d.0, fy));
        let by_x = mix(mix(a.1, b.1, fy), mix(c.1, d.1, fy), fz);
        let by_y = mix(b.0 - a.0, d.0 - c.0, fz);
        Some((mix(low, high, fz), [by_x, by_y, high - low]))
    }

    /// Intensity at a point of the world.
    pub(crate) fn at(&self, world: [f64; 3]) -> Option<f32> {
        Some(self.sample(transform(&self.index_from_world, world))?.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::Grid;
    use proptest::prelude::*;

    const RANGE: Range = Range { least: 0.0, greatest: 1000.0 };

    fn ramp() -> Volume {
        let grid = Grid::from_spacing([4, 5, 6], [3.0, 2.0, 1.0]);
        let data = Array3::from_shape_fn(grid.shape, |(z, y, x)| (100 * z + 10 * y + x) as f32);
        Volume::new(data, grid).unwrap()
    }

    #[test]
    fn background_continues_beyond_whole_faces_only() {
        let cut = [[false, true], [false, false], [true, false]];
        let image = Image::new(&ramp(), RANGE, cut).unwrap();
        assert_eq!(image.at([1.0, 2.0, 3.0]), Some(0.111));
        assert_eq!(image.at([50.0, 0.0, 0.0]), Some(0.0));
        assert_eq!(image.at([-50.0, 0.0, 0.0]), None);
        assert_eq!(image.at([0.0, 0.0, 50.0]), None);
        assert_eq!(image.at([0.0, -50.0, -50.0]), Some(0.0));
    }

    #[test]
    fn a_face_is_cut_if_the_object_covers_a_tenth() {
        let mut data = Array3::zeros((5, 10, 10));
        data[[0, 4, 4]] = 1.0;
        for (z, x) in [(1, 2), (1, 3), (2, 2), (2, 3), (3, 4), (3, 5)] {
            data[[z, 9, x]] = 1.0;
        }
        let expected = [[false, false], [false, true], [false, false]];
        assert_eq!(cut_faces(data.view()), expected);
    }

    #[test]
    fn two_in_a_thousand_voxels_at_each_end_do_not_set_the_range() {
        let mut data =
            Array3::from_shape_fn((10, 10, 10), |(z, y, x)| (100 * z + 10 * y + x) as f32);
        data[[9, 9, 9]] = 1e9;
        let range = Range::of(data.view()).unwrap();
        assert_eq!((range.least, range.greatest), (0.0, 997.0));
        assert_eq!(Range::of(Array3::zeros((2, 2, 2)).view()), None);
    }

    proptest! {
        #[test]
        fn the_gradient_is_that_of_the_interpolation(x in 1.1f64..4.9, y in 1.1f64..3.9, z in 1.1f64..2.9) {
            let mut volume = ramp();
            volume.data.mapv_inplace(|value| (value * 1.7).sin().abs() * 900.0 + 1.0);
            let image = Image::new(&volume, RANGE, [[false; 2]; 3]).unwrap();
            let step = 1e-3;
            let near_a_voxel = |c: f64| (c - c.round()).abs() < 2.0 * step;
            prop_assume!(!near_a_voxel(x) && !near_a_voxel(y) && !near_a_voxel(z));
            let (_, gradient) = image.sample([x, y, z]).unwrap();
            for axis in 0..3 {
                let mut ends = [[x, y, z]; 2];
                ends[0][axis] -= step;
                ends[1][axis] += step;
                let [low, high] = ends.map(|end| f64::from(image.sample(end).unwrap().0));
                let expected = (high - low) / (2.0 * step);
                prop_assert!((f64::from(gradient[axis]) - expected).abs() < 1e-3);
            }
        }
    }
}
