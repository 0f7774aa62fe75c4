//! Checks of shapes and values, which every public function makes first, and their error.

use ndarray::{ArrayView, Dimension};

/// Arrays of different shapes, an empty array, or a value that is not finite.
///
/// ```
/// use disyre_core::{ensure_finite, ensure_same_shape, ndarray::arr2};
/// let (image, mask) = (arr2(&[[0.5, f32::NAN]]), arr2(&[[1, 0], [0, 0]]));
/// let error = ensure_same_shape("mask", image.shape(), mask.shape()).unwrap_err();
/// assert_eq!(error.to_string(), "mask has shape [2, 2], expected [1, 2]");
/// let error = ensure_finite("image", &image.view()).unwrap_err();
/// assert!(error.to_string().contains("not finite, first at index [0, 1]"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// An array has another shape than it should.
    #[error("{array} has shape {got:?}, expected {expected:?}")]
    Differs {
        /// Name of the array.
        array: &'static str,
        /// The shape it should have.
        expected: Vec<usize>,
        /// The shape it has.
        got: Vec<usize>,
    },
    /// An array holds an infinity or a not-a-number.
    #[error(
        "{array} holds a value that is not finite, first at index {index:?}; replace it before this call"
    )]
    NotFinite {
        /// Name of the array.
        array: &'static str,
        /// Index of the first such value.
        index: Vec<usize>,
    },
    /// An array has no element.
    #[error("{array} is empty")]
    Empty {
        /// Name of the array.
        array: &'static str,
    },
}

impl ShapeError {
    /// The error for an array of another shape.
    pub fn new(array: &'static str, expected: &[usize], got: &[usize]) -> Self {
        Self::Differs { array, expected: expected.to_vec(), got: got.to_vec() }
    }
}

/// Checks that `got` is `expected`.
///
/// # Errors
/// [`ShapeError::Differs`] naming `array`.
pub fn ensure_same_shape(
    array: &'static str,
    expected: &[usize],
    got: &[usize],
) -> Result<(), ShapeError> {
    if expected == got { Ok(()) } else { Err(ShapeError::new(array, expected, got)) }
}

/// Checks that every value of an array is finite.
///
/// # Errors
/// [`ShapeError::NotFinite`] naming `array` and the first offending index.
pub fn ensure_finite<D: Dimension>(
    array: &'static str,
    view: &ArrayView<'_, f32, D>,
) -> Result<(), ShapeError> {
    // Blocks without a branch per value: many times faster.
    let finite = |block: &[f32]| block.iter().fold(true, |all, value| all & value.is_finite());
    let all = match view.as_slice_memory_order() {
        Some(values) => values.chunks(4096).all(finite),
        None => view.iter().all(|value| value.is_finite()),
    };
    if all {
        return Ok(());
    }
    let position = view.iter().position(|value| !value.is_finite()).unwrap_or_default();
    Err(ShapeError::NotFinite { array, index: unravel(position, view.shape()) })
}

/// Index of an element in an array of `shape`, from its position in logical (row-major) order; errors name voxels by
/// it.
///
/// # Shapes and units
/// `position` is below the product of `shape`.
pub fn unravel(mut position: usize, shape: &[usize]) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for (axis, &length) in shape.iter().enumerate().rev() {
        index[axis] = position % length;
        position /= length;
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array3, ArrayView3, Axis, Slice};

    #[test]
    fn the_first_bad_value_is_named_by_index() {
        let mut array = Array3::<f32>::zeros((2, 3, 4));
        assert_eq!(ensure_finite("image", &array.view()), Ok(()));
        array[[1, 0, 2]] = f32::NAN;
        array[[1, 2, 3]] = f32::INFINITY;
        let error = ensure_finite("image", &array.view()).unwrap_err();
        assert_eq!(error, ShapeError::NotFinite { array: "image", index: vec![1, 0, 2] });
    }

    #[test]
    fn a_bad_value_is_found_in_every_block_and_in_every_order_of_axes() {
        let fine = Array3::<f32>::zeros((2, 50, 101));
        for index in [[0, 40, 56], [0, 49, 100], [1, 49, 100]] {
            let mut array = fine.clone();
            array[index] = f32::NEG_INFINITY;
            let named = |view: &ArrayView3<'_, f32>, [z, y, x]: [usize; 3]| {
                let index = vec![z, y, x];
                let error = Err(ShapeError::NotFinite { array: "image", index });
                assert_eq!(ensure_finite("image", view), error);
            };
            let [z, y, x] = index;
            named(&array.view(), index);
            named(&array.view().permuted_axes([2, 0, 1]), [x, z, y]);
            let mut mirrored = array.view();
            mirrored.invert_axis(Axis(2));
            named(&mirrored, [z, y, 100 - x]);
            let [rows, others] = [y % 2, 1 - y % 2]
                .map(|from| array.slice_axis(Axis(1), Slice::new(from as isize, None, 2)));
            named(&rows, [z, y / 2, x]);
            assert_eq!(ensure_finite("image", &others), Ok(()));
        }
    }
}
