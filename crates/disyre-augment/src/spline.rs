//! [`CubicSpline`]: interpolation as SciPy's, for deformed, rotated and scaled patches.

use disyre_core::ndarray::ArrayView4;
use disyre_core::{ShapeError, ensure_finite};

/// Values outside an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Border {
    /// 0 beyond the centres of the outermost voxels.
    Zero,
    /// The nearest voxel of the image.
    Nearest,
}

/// Copies of the outermost voxels that SciPy puts around an image before it filters, with [`Border::Nearest`].
const NEAREST_PADDING: usize = 12;

/// The cubic B-spline through the voxels of an image, as `scipy.ndimage.map_coordinates(order=3)`.
///
/// An axis of a single voxel has nothing to interpolate: any position on it counts as that voxel.
///
/// # Source
/// Unser, Aldroubi and Eden, "B-spline signal processing" (1993); the borders are SciPy's "constant" and "nearest".
///
/// ```
/// use disyre_augment::{Border, CubicSpline};
/// use disyre_core::ndarray::Array4;
///
/// let parabola = Array4::from_shape_fn((1, 1, 1, 30), |(_, _, _, x)| (x * x) as f32);
/// let spline = CubicSpline::new(parabola.view(), Border::Zero)?;
/// let mut value = [0.0];
/// spline.sample([0.0, 0.0, 14.5], &mut value);
/// assert!((value[0] - 14.5 * 14.5).abs() < 1e-3);
/// # Ok::<(), disyre_core::ShapeError>(())
/// ```
#[derive(Debug, Clone)]
pub struct CubicSpline {
    /// (c, z, y, x), with what lies around the image along every axis of more than one voxel.
    coefficients: Vec<f32>,
    /// Extents of the coefficients `(z, y, x)`.
    extents: [usize; 3],
    /// Voxels of the image `(z, y, x)`.
    voxels: [usize; 3],
    border: Border,
}

/// The coefficients that make a value along one axis.
struct CubicTaps {
    first: usize,
    count: usize,
    weights: [f32; 4],
}

impl CubicSpline {
    /// Filters an image so that the spline passes through its voxels.
    ///
    /// # Shapes and units
    /// `image` is `(c, z, y, x)`, of any finite values.
    ///
    /// # Errors
    /// [`ShapeError`] for an empty image or a value that is not finite.
    pub fn new(image: ArrayView4<'_, f32>, border: Border) -> Result<Self, ShapeError> {
        if image.is_empty() {
            return Err(ShapeError::Empty { array: "the image to interpolate" });
        }
        ensure_finite("the image to interpolate", &image)?;
        let (channels, z, y, x) = image.dim();
        let voxels = [z, y, x];
        let mut field = CoefficientField {
            values: image.iter().copied().collect(),
            shape: [channels, z, y, x],
        };
        for axis in (0..3).filter(|&axis| voxels[axis] > 1) {
            if border == Border::Nearest {
                let nearest = |index: isize, length: isize| index.clamp(0, length - 1);
                field.pad(axis + 1, NEAREST_PADDING, nearest);
            }
            field.filter(axis + 1);
            // The spline is mirrored about its outermost coefficients; a cubic reaches one beyond its interval.
            field.pad(axis + 1, 1, mirrored);
        }
        let [_, z, y, x] = field.shape;
        Ok(Self { coefficients: field.values, extents: [z, y, x], voxels, border })
    }

    /// Writes the value of every channel at a position, in voxels `(z, y, x)`.
    ///
    /// Outside the image all values are 0. Inside, values beyond the number of channels stay as they are, and channels
    /// beyond the number of values are left out.
    pub fn sample(&self, position: [f64; 3], values: &mut [f32]) {
        let [z, y, x] = [0, 1, 2].map(|axis| self.taps(axis, position[axis]));
        let (Some(z), Some(y), Some(x)) = (z, y, x) else { return values.fill(0.0) };
        let [depth, height, width] = self.extents;
        let channels = self.coefficients.chunks_exact(depth * height * width);
        for (coefficients, value) in channels.zip(values) {
            let mut sum = 0.0;
            for (plane, weight_z) in z.weights[..z.count].iter().enumerate() {
                for (row, weight_y) in y.weights[..y.count].iter().enumerate() {
                    let start = ((z.first + plane) * height + y.first + row) * width + x.first;
                    let line = coefficients[start..start + x.count].iter().zip(&x.weights);
                    sum += weight_z * weight_y * line.map(|(c, w)| c * w).sum::<f32>();
                }
            }
            *value = sum;
        }
    }

    /// The coefficients that count at a coordinate and their weights; `None` outside.
    fn taps(&self, axis: usize, coordinate: f64) -> Option<CubicTaps> {
        if self.voxels[axis] == 1 {
            return Some(CubicTaps { first: 0, count: 1, weights: [1.0, 0.0, 0.0, 0.0] });
        }
        let last = (self.voxels[axis] - 1) as f64;
        let before = match self.border {
            Border::Zero if !(0.0..=last).contains(&coordinate) => return None,
            Border::Zero => 0.0,
            Border::Nearest => NEAREST_PADDING as f64,
        };
        let inner = (coordinate + before).clamp(0.0, last + 2.0 * before);
        // The last voxel belongs to the interval before it.
        let below = inner.floor().min(last + 2.0 * before - 1.0);
        Some(CubicTaps {
            first: below as usize,
            count: 4,
            weights: weights((inner - below) as f32),
        })
    }
}

/// Weights of the four coefficients around a place, `t` in `[0, 1]` after the second.
fn weights(t: f32) -> [f32; 4] {
    let s = 1.0 - t;
    let (outer, inner) = (|t: f32| t * t * t / 6.0, |t: f32| 2.0 / 3.0 - t * t * (1.0 - 0.5 * t));
    [outer(s), inner(t), inner(s), outer(t)]
}

/// Index of the voxel that stands at `index` if the image is mirrored about the centres of its outermost voxels.
fn mirrored(index: isize, length: isize) -> isize {
    let folded = index.rem_euclid(2 * (length - 1));
    folded.min(2 * (length - 1) - folded)
}

/// Voxels that are filtered into coefficients, axis by axis.
struct CoefficientField {
    values: Vec<f32>,
    shape: [usize; 4],
}

impl CoefficientField {
    /// Puts `width` copies of voxels around an axis; `source` gives the voxel for an index outside.
    fn pad(&mut self, axis: usize, width: usize, source: fn(isize, isize) -> isize) {
        let (length, inner) = (self.shape[axis], self.inner(axis));
        self.shape[axis] += 2 * width;
        let mut padded = Vec::with_capacity(self.shape.iter().product());
        for block in self.values.chunks_exact(length * inner) {
            for index in 0..self.shape[axis] {
                let from = source(index as isize - width as isize, length as isize) as usize;
                padded.extend_from_slice(&block[from * inner..(from + 1) * inner]);
            }
        }
        self.values = padded;
    }

    /// Turns values along an axis into coefficients, mirrored at both ends.
    fn filter(&mut self, axis: usize) {
        let (length, inner) = (self.shape[axis], self.inner(axis));
        for block in self.values.chunks_exact_mut(length * inner) {
            filter_rows(block, length, inner);
        }
    }

    /// Values between neighbours along an axis.
    fn inner(&self, axis: usize) -> usize {
        self.shape[axis + 1..].iter().product()
    }
}

/// The recursive filter along rows of `inner` values: causal, then anticausal, both with the pole of the cubic.
fn filter_rows(block: &mut [f32], length: usize, inner: usize) {
    const GAIN: f32 = 6.0;
    let pole = 3f32.sqrt() - 2.0;
    block.iter_mut().for_each(|value| *value *= GAIN);
    let first = causal_start(block, length, inner);
    block[..inner].copy_from_slice(&first);
    for row in 1..length {
        let (before, rest) = block.split_at_mut(row * inner);
        let previous = &before[(row - 1) * inner..];
        rest[..inner].iter_mut().zip(previous).for_each(|(value, last)| *value += pole * last);
    }
    let (before, last) = block.split_at_mut((length - 1) * inner);
    let scale = pole / (pole * pole - 1.0);
    for (value, previous) in last.iter_mut().zip(&before[(length - 2) * inner..]) {
        *value = scale * (*value + pole * previous);
    }
    for row in (0..length - 1).rev() {
        let (here, after) = block.split_at_mut((row + 1) * inner);
        let next = &after[..inner];
        for (value, next) in here[row * inner..].iter_mut().zip(next) {
            *value = pole * (next - *value);
        }
    }
}

/// First value of the causal filter on the mirrored rows: `Σ pole^k · row k`, over one period where that is short.
fn causal_start(block: &[f32], length: usize, inner: usize) -> Vec<f32> {
    /// pole^18 < 6e-11: what follows is below rounding.
    const HORIZON: usize = 18;
    let pole = 3f32.sqrt() - 2.0;
    let period = 2 * (length - 1);
    let mut sums = vec![0.0; inner];
    let mut power = 1.0;
    for index in 0..period.min(HORIZON) {
        let row = mirrored(index as isize, length as isize) as usize * inner;
        sums.iter_mut().zip(&block[row..]).for_each(|(sum, value)| *sum += power * value);
        power *= pole;
    }
    if period < HORIZON {
        sums.iter_mut().for_each(|sum| *sum /= 1.0 - power);
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::Array4;
    use proptest::prelude::*;

    #[test]
    fn indices_are_mirrored_about_the_outermost_voxels() {
        let seen: Vec<isize> = (-3..7).map(|index| mirrored(index, 3)).collect();
        assert_eq!(seen, [1, 2, 1, 0, 1, 2, 1, 0, 1, 2]);
    }

    #[test]
    fn outside_is_zero_or_the_nearest_voxel() {
        let image = Array4::from_shape_fn((1, 1, 1, 40), |(_, _, _, x)| 1.0 + x as f32);
        let at = |border, x| {
            let mut value = [9.0];
            CubicSpline::new(image.view(), border).unwrap().sample([0.0, 0.0, x], &mut value);
            value[0]
        };
        for outside in [-1e-9, 39.001, 1e9, f64::NEG_INFINITY, f64::NAN] {
            assert_eq!(at(Border::Zero, outside), 0.0);
        }
        assert!((at(Border::Nearest, -1e9) - 1.0).abs() < 1e-5);
        assert!((at(Border::Nearest, 1e9) - 40.0).abs() < 1e-4);
    }

    #[test]
    fn images_without_sense_are_refused() {
        let nan = Array4::from_elem((1, 1, 2, 2), f32::NAN);
        assert!(CubicSpline::new(nan.view(), Border::Zero).is_err());
        assert!(CubicSpline::new(Array4::zeros((1, 0, 2, 2)).view(), Border::Zero).is_err());
    }

    fn images() -> impl Strategy<Value = Array4<f32>> {
        ([1usize..3, 1..5, 1..9, 1..30], any::<u32>()).prop_map(|(shape, seed)| {
            Array4::from_shape_fn(shape, |(c, z, y, x)| {
                let mixed = (c * 7919 + z * 104_729 + y * 1_299_709 + x * 15_485_863) as u32 ^ seed;
                mixed.wrapping_mul(2_654_435_761) as f32 / u32::MAX as f32
            })
        })
    }

    proptest! {
        #[test]
        fn the_spline_passes_through_every_voxel(image in images(), nearest: bool) {
            let border = if nearest { Border::Nearest } else { Border::Zero };
            let spline = CubicSpline::new(image.view(), border).unwrap();
            let mut values = vec![0.0; image.dim().0];
            for ((c, z, y, x), &expected) in image.indexed_iter() {
                spline.sample([z, y, x].map(|index| index as f64), &mut values);
                prop_assert!((values[c] - expected).abs() < 1e-5, "{} {}", values[c], expected);
            }
        }

        #[test]
        fn weights_add_up_to_one(t in 0f32..1.0) {
            prop_assert!((weights(t).iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
    }
}
