//! Mean squared error: the loss of training.

use rayon::prelude::*;

/// Numbers of one piece of work.
const PIECE: usize = 1 << 14;

/// Mean squared error of `y` against `target`; its gradient by `y`, `2 (y − target) / N`, goes to `gradient`.
///
/// # Shapes and units
/// All three have one length. The sum runs in `f64`, by pieces merged in order.
///
/// # Panics
/// If lengths differ.
///
/// ```
/// use disyre_kernels::mean_squared_error;
///
/// let mut gradient = [0.0; 2];
/// assert_eq!(mean_squared_error(&[1.0, 3.0], &[0.0, 5.0], &mut gradient), 2.5);
/// assert_eq!(gradient, [1.0, -2.0]);
/// ```
pub fn mean_squared_error(y: &[f32], target: &[f32], gradient: &mut [f32]) -> f64 {
    assert!(y.len() == target.len() && y.len() == gradient.len(), "lengths belong together");
    let slope = (2.0 / y.len() as f64) as f32;
    let pieces = y.par_chunks(PIECE).zip(target.par_chunks(PIECE));
    let sums: Vec<f64> = pieces
        .zip(gradient.par_chunks_mut(PIECE))
        .map(|((y, target), gradient)| {
            let mut sum = 0.0;
            for ((y, target), gradient) in y.iter().zip(target).zip(gradient) {
                let error = y - target;
                *gradient = slope * error;
                sum += f64::from(error) * f64::from(error);
            }
            sum
        })
        .collect();
    sums.iter().sum::<f64>() / y.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_of_two_numbers_by_hand() {
        let mut gradient = [0.0; 2];
        assert_eq!(mean_squared_error(&[1.0, 3.0], &[0.0, 5.0], &mut gradient), 2.5);
        assert_eq!(gradient, [1.0, -2.0]);
    }

    #[test]
    fn pieces_add_up() {
        let (y, mut gradient) = (vec![1.0; 3 * PIECE + 7], vec![0.0; 3 * PIECE + 7]);
        assert_eq!(mean_squared_error(&y, &vec![-1.0; y.len()], &mut gradient), 4.0);
    }
}
