//! Checks at the door, shared by the configs and the `apply` functions.

use disyre_core::{
    ndarray::{ArrayView, Dimension},
    unravel,
};

use crate::error::DagError;

/// That a configured number lies in `[low, high]`; not-a-number does not.
pub(crate) fn in_range(
    parameter: &'static str,
    got: f64,
    [low, high]: [f64; 2],
    expected: &'static str,
) -> Result<(), DagError> {
    if got >= low && got <= high {
        return Ok(());
    }
    Err(DagError::Config { parameter, expected, got })
}

/// That a configured number is a probability.
pub(crate) fn probability(parameter: &'static str, got: f64) -> Result<(), DagError> {
    in_range(parameter, got, [0.0, 1.0], "a probability in [0, 1]")
}

/// That a configured `[low, high]` is ordered and lies within `bounds`.
pub(crate) fn interval(
    parameter: &'static str,
    [low, high]: [f64; 2],
    bounds: [f64; 2],
    expected: &'static str,
) -> Result<(), DagError> {
    in_range(parameter, low, bounds, expected)?;
    in_range(parameter, high, [low, bounds[1]], expected)
}

/// That every value of an image is in `[0, 1]`.
pub(crate) fn unit_interval<D: Dimension>(
    array: &'static str,
    view: &ArrayView<'_, f32, D>,
) -> Result<(), DagError> {
    let fine = |value: &f32| *value >= 0.0 && *value <= 1.0;
    // Without early exit inside a piece, the comparison vectorises.
    let all_fine = |piece: &[f32]| piece.iter().fold(true, |sofar, value| sofar & fine(value));
    let passed = match view.as_slice() {
        Some(values) => values.chunks(1024).all(all_fine),
        None => view.iter().all(fine),
    };
    if passed {
        return Ok(());
    }
    let position = view.iter().position(|value| !fine(value)).unwrap_or_default();
    let value = view.iter().nth(position).copied().unwrap_or_default();
    Err(DagError::OutOfRange { array, index: unravel(position, view.shape()), value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::Array2;

    #[test]
    fn the_first_value_outside_the_unit_interval_is_named() {
        let mut image = Array2::<f32>::zeros((30, 50));
        assert_eq!(unit_interval("image", &image.view()), Ok(()));
        image[[29, 3]] = 1.5;
        image[[2, 49]] = f32::NAN;
        for view in [image.view(), image.t()] {
            let DagError::OutOfRange { index, .. } = unit_interval("image", &view).unwrap_err()
            else {
                panic!("another error")
            };
            assert!(index == [2, 49] || index == [3, 29], "{index:?}");
        }
    }

    #[test]
    fn an_interval_in_the_wrong_order_is_refused() {
        assert!(interval("span", [0.2, 0.4], [0.0, 1.0], "ordered").is_ok());
        assert!(interval("span", [0.4, 0.2], [0.0, 1.0], "ordered").is_err());
        assert!(interval("span", [0.4, f64::NAN], [0.0, 1.0], "ordered").is_err());
    }
}
