//! [`ByteVolume`]: a map in 8 bits, and its slices as one picture that a browser decodes.

use disyre_core::ensure_same_shape;
use disyre_core::ndarray::{Array3, ArrayView3, Zip};

use crate::{PngImage, ReportError};

/// A map in 8 bits.
///
/// Code 0 is outside. Codes 1 to 255 are equally spaced values from `low` to `high`; what lies beyond has the code of the end.
///
/// ```
/// use disyre_core::ndarray::array;
/// use disyre_report::ByteVolume;
/// let values = array![[[0.0, 5.0, 10.0, 99.0]]];
/// let volume = ByteVolume::new(values.view(), array![[[0, 1, 1, 1]]].view(), (0.0, 10.0))?;
/// assert_eq!(volume.codes(), array![[[0, 128, 255, 255]]]);
/// assert_eq!(volume.value(128), 5.0);
/// # Ok::<(), disyre_report::ReportError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ByteVolume {
    codes: Array3<u8>,
    low: f32,
    high: f32,
}

impl ByteVolume {
    /// Rounds a map to 255 values.
    ///
    /// # Shapes and units
    /// `values` and `inside` are `(z, y, x)`; `inside` is 0 outside. A range without extent is widened upwards.
    ///
    /// # Errors
    /// [`ReportError::Shape`].
    pub fn new(
        values: ArrayView3<'_, f32>,
        inside: ArrayView3<'_, u8>,
        (low, high): (f32, f32),
    ) -> Result<Self, ReportError> {
        ensure_same_shape("mask of the page", values.shape(), inside.shape())?;
        let high = if high > low { high } else { low + 1.0 };
        let code = |&value: &f32, &inside: &u8| match inside {
            0 => 0,
            _ => (1.0 + ((value - low) / (high - low)).clamp(0.0, 1.0) * 254.0).round() as u8,
        };
        Ok(Self { codes: Zip::from(values).and(inside).map_collect(code), low, high })
    }

    /// Codes, `(z, y, x)`.
    pub fn codes(&self) -> ArrayView3<'_, u8> {
        self.codes.view()
    }

    /// Value of code 1.
    pub fn low(&self) -> f32 {
        self.low
    }

    /// Value of code 255.
    pub fn high(&self) -> f32 {
        self.high
    }

    /// Value of a code from 1 on.
    pub fn value(&self, code: u8) -> f32 {
        self.low + (f32::from(code) - 1.0) / 254.0 * (self.high - self.low)
    }

    /// Sum of all codes, by which a browser finds that it decoded the picture unchanged.
    pub fn sum(&self) -> u64 {
        self.codes.iter().map(|&code| u64::from(code)).sum()
    }

    /// Slices along a row of [`sheet`](Self::sheet).
    pub fn columns(&self) -> usize {
        sheet_columns(self.codes.dim().0)
    }

    /// All axial slices in one grey picture: slice z is in column z modulo [`columns`](Self::columns), its first row on top.
    ///
    /// # Errors
    /// [`ReportError::Encode`].
    pub fn sheet(&self) -> Result<PngImage, ReportError> {
        let (nz, ny, nx) = self.codes.dim();
        let columns = self.columns();
        let width = columns * nx;
        let mut shades = vec![0; width * nz.div_ceil(columns) * ny];
        for ((z, y, x), &code) in self.codes.indexed_iter() {
            shades[((z / columns) * ny + y) * width + (z % columns) * nx + x] = code;
        }
        PngImage::grey(width, nz.div_ceil(columns) * ny, &shades)
    }
}

fn sheet_columns(slices: usize) -> usize {
    (slices as f64).sqrt().ceil().max(1.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pixels;
    use disyre_core::ndarray::array;

    #[test]
    fn values_come_back_within_half_a_step() {
        let values =
            Array3::from_shape_fn((3, 4, 5), |(z, y, x)| (z * 20 + y * 5 + x) as f32 - 30.0);
        let inside = Array3::ones(values.dim());
        let volume = ByteVolume::new(values.view(), inside.view(), (-30.0, 29.0)).unwrap();
        for (&value, &code) in values.iter().zip(volume.codes()) {
            assert!((volume.value(code) - value).abs() <= 59.0 / 254.0 / 2.0 + 1e-4);
        }
    }

    #[test]
    fn a_sheet_holds_every_voxel_once() {
        let values = Array3::from_shape_fn((5, 2, 3), |(z, y, x)| (z * 6 + y * 3 + x) as f32);
        let inside = Array3::ones(values.dim());
        let volume = ByteVolume::new(values.view(), inside.view(), (0.0, 254.0)).unwrap();
        let pixels = Pixels::decode(volume.sheet().unwrap().bytes()).unwrap();
        assert_eq!((pixels.width, pixels.height, volume.columns()), (9, 4, 3));
        // Slice 4 is the second of the second row of slices; its voxel (y 1, x 2) is 4 · 6 + 5, and code 1 is 0.
        assert_eq!(pixels.colours[(2 + 1) * 9 + 3 + 2], [30; 3]);
        let sum: u64 = pixels.colours.iter().map(|colour| u64::from(colour[0])).sum();
        assert_eq!(sum, volume.sum());
    }

    #[test]
    fn a_constant_map_has_a_range() {
        let values = array![[[2.0]]];
        let volume = ByteVolume::new(values.view(), array![[[1]]].view(), (2.0, 2.0)).unwrap();
        assert_eq!((volume.value(volume.codes()[[0, 0, 0]]), volume.high()), (2.0, 3.0));
    }
}
