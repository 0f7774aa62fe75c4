//! Whole codes from values that rounding may have moved.

use disyre_core::ndarray::{Array3, ArrayView3, Zip};

/// Distance from a whole number that rounding in a file explains: a program that stores floats as integers moves codes up to
/// 2000 less than this.
const TOLERANCE: f32 = 0.01;

/// Greatest code: whole numbers up to it are exact in 32-bit floats.
const GREATEST: f32 = 16_777_216.0;

/// A value that is no code.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NotCodes {
    /// The first such value.
    pub value: f32,
}

/// The codes of a segmentation: each value rounded to the nearest whole number.
///
/// # Shapes and units
/// `(z, y, x)`. `rounding` is the greatest distance of a value from the one that was meant, from
/// [`ScanHeader::rounding`](crate::ScanHeader::rounding): 0 where the file stores values as they are.
///
/// ```
/// use disyre_core::ndarray::array;
/// use disyre_volume::codes;
///
/// assert_eq!(codes(array![[[0.0, 102.9989]]].view(), 0.0), Ok(array![[[0, 103]]]));
/// assert_eq!(codes(array![[[0.0, 0.5]]].view(), 0.0).unwrap_err().value, 0.5);
/// ```
///
/// # Errors
/// [`NotCodes`] with the first value that is further from a whole number than rounding explains, or too great.
pub fn codes(values: ArrayView3<'_, f32>, rounding: f32) -> Result<Array3<i32>, NotCodes> {
    let tolerance = tolerance(rounding);
    match values.iter().find(|value| !is_code(**value, tolerance)) {
        Some(&value) => Err(NotCodes { value }),
        None => Ok(Zip::from(values).par_map_collect(|value| value.round() as i32)),
    }
}

/// Greatest distance of a code from its whole number.
pub(super) fn tolerance(rounding: f32) -> f32 {
    // Half a step of one or more leaves no whole number to be told from the next.
    if rounding < 0.5 { (1.01 * rounding).clamp(TOLERANCE, 0.499) } else { TOLERANCE }
}

pub(super) fn is_code(value: f32, tolerance: f32) -> bool {
    (value - value.round()).abs() <= tolerance && value.abs() <= GREATEST
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::array;

    #[test]
    fn a_coarse_step_moves_codes_further() {
        let values = array![[[0.0, 2.1, 4.7]]];
        assert_eq!(codes(values.view(), 0.4), Ok(array![[[0, 2, 5]]]));
        assert_eq!(codes(values.view(), 0.0), Err(NotCodes { value: 2.1 }));
        assert_eq!(codes(values.view(), 0.65), Err(NotCodes { value: 2.1 }));
        assert!(codes(array![[[3e7]]].view(), 0.0).is_err());
    }
}
