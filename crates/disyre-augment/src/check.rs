//! Checks of configured numbers.

use crate::error::AugmentError;

/// That a number lies in `[low, high]`; not-a-number does not.
pub(crate) fn in_range(
    parameter: &'static str,
    got: f64,
    [low, high]: [f64; 2],
    expected: &'static str,
) -> Result<(), AugmentError> {
    if got >= low && got <= high {
        return Ok(());
    }
    Err(AugmentError::Config { parameter, expected, got })
}

/// That a number is a probability.
pub(crate) fn probability(parameter: &'static str, got: f64) -> Result<(), AugmentError> {
    in_range(parameter, got, [0.0, 1.0], "a probability in [0, 1]")
}

/// That `[least, greatest]` is ordered and lies within `bounds`.
pub(crate) fn interval(
    parameter: &'static str,
    [least, greatest]: [f64; 2],
    bounds: [f64; 2],
    expected: &'static str,
) -> Result<(), AugmentError> {
    in_range(parameter, least, bounds, expected)?;
    in_range(parameter, greatest, [least, bounds[1]], expected)
}

/// That distances between voxels, in millimetres, are positive.
pub(crate) fn spacing(spacing_mm: [f64; 3]) -> Result<(), AugmentError> {
    let expected = "0.001 to 1000 mm";
    spacing_mm.into_iter().try_for_each(|mm| in_range("spacing_mm", mm, [1e-3, 1e3], expected))
}
