//! [`SpatialParams`]: place, elastic deformation, rotation and scale of a patch.

use disyre_core::ndarray::{ArrayView3, ArrayView4, ArrayViewMut3, ArrayViewMut4, Axis, Slice};
use disyre_core::{ShapeError, ensure_same_shape};
use serde::{Deserialize, Serialize};

use crate::{
    check,
    elastic::ElasticParams,
    error::AugmentError,
    spline::{Border, CubicSpline},
};

/// Drawn place of a patch, with its elastic deformation, rotation and scale.
///
/// ```
/// use disyre_augment::{SpatialParams, ndarray::Array4};
///
/// let image = Array4::from_shape_fn((1, 1, 9, 9), |(_, _, y, x)| (9 * y + x) as f32 / 81.0);
/// let crop = SpatialParams { place: [0.5; 3], elastic: None, rotation_degrees: None, scale: None };
/// let mut patch = Array4::zeros((1, 1, 3, 3));
/// crop.apply(image.view(), patch.view_mut())?;
/// assert!(crop.is_crop() && patch[[0, 0, 1, 1]] == 40.0 / 81.0); // the middle of the image
/// # Ok::<(), disyre_augment::AugmentError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpatialParams {
    /// Place as fractions in `[0, 1)` along `(z, y, x)` between the first and the last at which the patch fits.
    pub place: [f64; 3],
    /// Elastic deformation.
    pub elastic: Option<ElasticParams>,
    /// Angles about the axes `(z, y, x)`, in degrees. A patch of one slice is turned in its plane only.
    pub rotation_degrees: Option<[f64; 3]>,
    /// Distance of neighbouring samples in voxels, above 0: below 1 enlarges.
    pub scale: Option<f64>,
}

impl SpatialParams {
    /// Whether the patch is cut at whole voxels and not interpolated.
    pub fn is_crop(&self) -> bool {
        self.elastic.is_none() && self.rotation_degrees.is_none() && self.scale.is_none()
    }

    /// Cuts a patch out of an image. An image shorter than the patch is centred in it; outside is 0.
    ///
    /// A patch that is deformed, rotated or scaled is interpolated by cubic splines, and a voxel whose nearest voxel of
    /// the image is background, all channels 0, is background too.
    ///
    /// # Shapes and units
    /// `image` and `patch` are `(c, z, y, x)` with the same channels. An axis along which the patch has one voxel is cut
    /// at a whole voxel and nothing moves along it.
    ///
    /// # Errors
    /// [`AugmentError::Shape`] if the channels differ, an array is empty or the image is not finite;
    /// [`AugmentError::Config`] for recorded numbers that no configuration could have drawn. `patch` is then untouched.
    ///
    /// # Source
    /// The published code of DISYRE v2 (arXiv 2407.06635). That background stays background is ours: splines ring there.
    pub fn apply(
        &self,
        image: ArrayView4<'_, f32>,
        mut patch: ArrayViewMut4<'_, f32>,
    ) -> Result<(), AugmentError> {
        ensure_same_shape("channels of the patch", &image.shape()[..1], &patch.shape()[..1])?;
        if image.is_empty() || patch.is_empty() {
            return Err(ShapeError::Empty { array: "the image or the patch" }.into());
        }
        self.check()?;
        if self.is_crop() {
            self.crop(image, patch);
            return Ok(());
        }
        let positions = self.positions(extents(&image), extents(&patch.view()));
        let (region, start) = reach(image, &positions);
        let spline = CubicSpline::new(region, Border::Zero)?;
        let mut values = vec![0.0; image.len_of(Axis(0))];
        for (mut voxel, position) in patch.lanes_mut(Axis(0)).into_iter().zip(positions) {
            values.fill(0.0);
            if is_foreground(image, position) {
                spline.sample([0, 1, 2].map(|axis| position[axis] - start[axis]), &mut values);
            }
            voxel.iter_mut().zip(&values).for_each(|(to, from)| *to = *from);
        }
        Ok(())
    }

    /// Cuts the same patch out of a segmentation of the image, or another map of it: the nearest voxels, 0 outside.
    ///
    /// # Shapes and units
    /// `labels` and `patch` are `(z, y, x)`.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    ///
    /// # Source
    /// Ours: the published code has no segmentations.
    pub fn apply_to_labels<T: Copy + Default>(
        &self,
        labels: ArrayView3<'_, T>,
        mut patch: ArrayViewMut3<'_, T>,
    ) -> Result<(), AugmentError> {
        if labels.is_empty() || patch.is_empty() {
            return Err(ShapeError::Empty { array: "the labels or their patch" }.into());
        }
        self.check()?;
        if self.is_crop() {
            let (labels, patch) = (labels.insert_axis(Axis(0)), patch.insert_axis(Axis(0)));
            self.crop(labels, patch);
            return Ok(());
        }
        let positions = self.positions(labels.dim().into(), patch.dim().into());
        for (label, position) in patch.iter_mut().zip(positions) {
            *label = nearest(labels.dim().into(), position)
                .map_or_else(T::default, |voxel| labels[voxel]);
        }
        Ok(())
    }

    fn check(&self) -> Result<(), AugmentError> {
        for place in self.place {
            check::in_range("place", place, [0.0, 1.0], "a fraction in [0, 1)")?;
        }
        if let Some(elastic) = &self.elastic {
            check::in_range("sigma", elastic.sigma, [0.0, 1.0], "a number in [0, 1]")?;
            for magnitude in elastic.magnitude {
                check::in_range("magnitude", magnitude, [0.0, 2.0], "a number in [0, 2]")?;
            }
        }
        for angle in self.rotation_degrees.unwrap_or_default() {
            check::in_range("rotation_degrees", angle, [-180.0, 180.0], "−180 to 180")?;
        }
        let scale = self.scale.unwrap_or(1.0);
        check::in_range("scale", scale, [0.1, 10.0], "a number in [0.1, 10]")
    }

    /// Copies whole voxels.
    fn crop<T: Clone + Default>(&self, image: ArrayView4<'_, T>, mut patch: ArrayViewMut4<'_, T>) {
        let (from, to): (Vec<Slice>, Vec<Slice>) = (0..3)
            .map(|axis| {
                let (length, size) = (image.len_of(Axis(axis + 1)), patch.len_of(Axis(axis + 1)));
                let start = whole(self.place[axis], length.saturating_sub(size) + 1);
                let before = size.saturating_sub(length) / 2;
                let copied = length.min(size);
                (Slice::from(start..start + copied), Slice::from(before..before + copied))
            })
            .unzip();
        let part = |slices: &[Slice], axis: usize| match axis {
            0 => Slice::from(..),
            axis => slices[axis - 1],
        };
        patch.fill(T::default());
        patch
            .slice_each_axis_mut(|axis| part(&to, axis.axis.index()))
            .assign(&image.slice_each_axis(|axis| part(&from, axis.axis.index())));
    }

    /// Position in the image of each voxel of a patch, in voxels, in memory order.
    fn positions(&self, image: [usize; 3], patch: [usize; 3]) -> Vec<[f64; 3]> {
        let moves = patch.map(|extent| extent > 1);
        let centre: [f64; 3] = std::array::from_fn(|axis| {
            if !moves[axis] {
                return whole(self.place[axis], image[axis]) as f64;
            }
            // From half a patch to the image less half a patch; for a shorter image in the reverse direction.
            let free = image[axis] as f64 - patch[axis] as f64;
            patch[axis] as f64 / 2.0 + self.place[axis] * free
        });
        let fields = self.elastic.map(|elastic| {
            std::array::from_fn::<_, 3, _>(|axis| moves[axis].then(|| elastic.field(patch, axis)))
        });
        let matrix = self.matrix(moves);
        let mut positions = Vec::with_capacity(patch.iter().product());
        for (z, y, x) in indices(patch) {
            let index = [z, y, x];
            let offset: [f64; 3] = std::array::from_fn(|axis| {
                let field = fields.as_ref().and_then(|fields| fields[axis].as_ref());
                let displaced = field.map_or(0.0, |field| f64::from(field[index]));
                index[axis] as f64 - (patch[axis] - 1) as f64 / 2.0 + displaced
            });
            positions.push(std::array::from_fn(|row| {
                centre[row] + (0..3).map(|column| matrix[row][column] * offset[column]).sum::<f64>()
            }));
        }
        positions
    }

    /// Rotation and scale of offsets `(z, y, x)` from the centre of the patch.
    fn matrix(&self, moves: [bool; 3]) -> [[f64; 3]; 3] {
        let scale = self.scale.unwrap_or(1.0);
        let mut matrix = [[scale, 0.0, 0.0], [0.0, scale, 0.0], [0.0, 0.0, scale]];
        let angles = self.rotation_degrees.unwrap_or_default();
        // About z, y and x: the two other axes mix.
        for ((a, b), angle) in [(1, 2), (0, 2), (0, 1)].into_iter().zip(angles) {
            if moves[a] && moves[b] {
                let (sine, cosine) = angle.to_radians().sin_cos();
                for row in &mut matrix {
                    (row[a], row[b]) =
                        (row[a] * cosine - row[b] * sine, row[a] * sine + row[b] * cosine);
                }
            }
        }
        matrix
    }
}

/// The whole number that a fraction in `[0, 1]` means among `count`.
fn whole(fraction: f64, count: usize) -> usize {
    ((fraction * count as f64) as usize).min(count - 1)
}

fn extents(image: &ArrayView4<'_, f32>) -> [usize; 3] {
    let (_, z, y, x) = image.dim();
    [z, y, x]
}

fn indices([depth, height, width]: [usize; 3]) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..depth).flat_map(move |z| (0..height).flat_map(move |y| (0..width).map(move |x| (z, y, x))))
}

/// The part of an image that some positions need, and its first voxel: the filter forgets what is further away.
fn reach<'a>(
    image: ArrayView4<'a, f32>,
    positions: &[[f64; 3]],
) -> (ArrayView4<'a, f32>, [f64; 3]) {
    /// 0.268^12 < 2e-7: below the rounding of 32-bit numbers.
    const MEMORY: f64 = 12.0;
    let bounds: [[usize; 2]; 3] = std::array::from_fn(|axis| {
        let length = image.len_of(Axis(axis + 1));
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for position in positions {
            (low, high) = (low.min(position[axis]), high.max(position[axis]));
        }
        if low == high && low.fract() == 0.0 && (0.0..length as f64).contains(&low) {
            // A patch of one slice needs no other.
            return [low as usize, low as usize + 1];
        }
        let first = ((low - MEMORY).max(0.0) as usize).min(length - 1);
        [first, ((high + MEMORY).max(0.0) as usize + 2).clamp(first + 1, length)]
    });
    let mut part = image;
    part.slice_each_axis_inplace(|axis| match axis.axis.index() {
        0 => Slice::from(..),
        axis => Slice::from(bounds[axis - 1][0]..bounds[axis - 1][1]),
    });
    (part, bounds.map(|[first, _]| first as f64))
}

/// Whether the voxel nearest to a position has a channel other than 0.
fn is_foreground(image: ArrayView4<'_, f32>, position: [f64; 3]) -> bool {
    nearest(extents(&image), position).is_some_and(|[z, y, x]| {
        (0..image.len_of(Axis(0))).any(|channel| image[[channel, z, y, x]] != 0.0)
    })
}

/// The voxel nearest to a position; `None` outside the image.
fn nearest(extents: [usize; 3], position: [f64; 3]) -> Option<[usize; 3]> {
    let rounded = position.map(f64::round);
    let inside = |axis: usize| rounded[axis] >= 0.0 && rounded[axis] < extents[axis] as f64;
    (0..3).all(inside).then(|| rounded.map(|coordinate| coordinate as usize))
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::Array4;

    fn still() -> SpatialParams {
        SpatialParams { place: [0.0; 3], elastic: None, rotation_degrees: None, scale: None }
    }

    fn ramp(shape: [usize; 3]) -> Array4<f32> {
        let [z, y, x] = shape;
        Array4::from_shape_fn((1, z, y, x), |(_, z, y, x)| 1.0 + (z * 100 + y * 10 + x) as f32)
    }

    fn patch(params: &SpatialParams, image: &Array4<f32>, shape: [usize; 3]) -> Array4<f32> {
        let mut patch = Array4::from_elem((image.dim().0, shape[0], shape[1], shape[2]), 9.0);
        params.apply(image.view(), patch.view_mut()).unwrap();
        patch
    }

    #[test]
    fn a_crop_starts_at_the_first_place_or_the_last() {
        let image = ramp([2, 5, 6]);
        assert_eq!(patch(&still(), &image, [1, 2, 2])[[0, 0, 0, 0]], 1.0);
        let last = SpatialParams { place: [0.999; 3], ..still() };
        assert_eq!(patch(&last, &image, [1, 2, 2])[[0, 0, 1, 1]], 1.0 + 145.0);
        let centred = patch(&last, &image, [1, 8, 9]);
        assert_eq!(centred[[0, 0, 1, 1]], 101.0);
        assert_eq!((centred[[0, 0, 0, 1]], centred[[0, 0, 1, 7]]), (0.0, 0.0));
    }

    #[test]
    fn a_linear_image_is_scaled_about_the_centre_of_the_patch() {
        let image = ramp([1, 30, 30]);
        let params = SpatialParams { scale: Some(0.5), place: [0.0, 0.5, 0.5], ..still() };
        let scaled = patch(&params, &image, [1, 10, 10]);
        // The centre of the patch, 4.5, lies at 15; the next samples are half a voxel away.
        for ((_, _, y, x), &value) in scaled.indexed_iter() {
            let at = |index: usize| 15.0 + 0.5 * (index as f32 - 4.5);
            assert!((value - (1.0 + 10.0 * at(y) + at(x))).abs() < 1e-3);
        }
    }

    #[test]
    fn a_quarter_turn_swaps_the_axes_in_2d_and_3d() {
        let params = SpatialParams {
            rotation_degrees: Some([90.0, 0.0, 0.0]),
            place: [0.0, 0.5, 0.5],
            ..still()
        };
        let image = ramp([1, 40, 40]);
        let turned = patch(&params, &image, [1, 8, 8]);
        let centre = 20.0;
        for ((_, _, y, x), &value) in turned.indexed_iter() {
            let (row, column) = (centre + (x as f32 - 3.5), centre - (y as f32 - 3.5));
            assert!((value - (1.0 + 10.0 * row + column)).abs() < 1e-3, "{value}");
        }
        // The same slice in a volume of equal slices, cut as a volume.
        let deep = Array4::from_shape_fn((1, 9, 40, 40), |(_, _, y, x)| image[[0, 0, y, x]]);
        let params = SpatialParams { place: [0.5; 3], ..params };
        let volume = patch(&params, &deep, [3, 8, 8]);
        for slice in volume.index_axis(Axis(0), 0).outer_iter() {
            let plane = turned.index_axis(Axis(0), 0);
            let apart = (&slice - &plane.index_axis(Axis(0), 0)).mapv(f32::abs);
            assert!(apart.fold(0f32, |a, &b| a.max(b)) < 1e-3);
        }
    }

    #[test]
    fn background_stays_background_and_the_far_image_does_not_matter() {
        let mut image = ramp([1, 60, 60]).mapv(|value| value / 1000.0);
        image
            .slice_each_axis_mut(|axis| {
                (if axis.axis.index() == 3 { 0..30 } else { 0..axis.len }).into()
            })
            .fill(0.0);
        let params = SpatialParams { scale: Some(0.8), place: [0.0, 0.5, 0.5], ..still() };
        let cut = patch(&params, &image, [1, 20, 20]);
        for ((_, _, _, x), &value) in cut.indexed_iter() {
            let at = 30.0 + 0.8 * (x as f64 - 9.5);
            assert_eq!(value == 0.0, at.round() < 30.0, "{value} at {at}");
        }
        let mut changed = image.clone();
        changed[[0, 0, 30, 59]] = 0.9;
        assert_eq!(patch(&params, &changed, [1, 20, 20]), cut);
    }

    #[test]
    fn what_does_not_fit_is_refused_and_the_patch_untouched() {
        let image = ramp([1, 9, 9]);
        let mut patch = Array4::from_elem((2, 1, 4, 4), 9.0);
        assert!(still().apply(image.view(), patch.view_mut()).is_err());
        let mut patch = Array4::from_elem((1, 1, 4, 4), 9.0);
        for scale in [0.0, f64::NAN, 1e9] {
            let params = SpatialParams { scale: Some(scale), ..still() };
            let error = params.apply(image.view(), patch.view_mut()).unwrap_err();
            assert!(matches!(error, AugmentError::Config { parameter: "scale", .. }));
        }
        let nan = image.mapv(|_| f32::NAN);
        let params = SpatialParams { scale: Some(0.9), ..still() };
        assert!(params.apply(nan.view(), patch.view_mut()).is_err());
        assert!(patch.iter().all(|&value| value == 9.0));
    }
}
