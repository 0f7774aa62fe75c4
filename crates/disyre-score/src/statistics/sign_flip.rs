//! Sign-flip permutation test of paired differences.

use disyre_core::Key;
use disyre_core::rand::RngExt;
use rayon::prelude::*;

use super::ensure_values;
use crate::ScoreError;

/// Up to this many differences all assignments of signs are counted: 65 536 of them.
const EXACT_UP_TO: usize = 16;

/// Assignments of signs drawn where there are more.
const DRAWS: usize = 99_999;

/// Draws of one task: tasks are a fixed division of the work.
const DRAWS_OF_A_TASK: usize = 1000;

/// Two-sided p-value of the mean of paired differences being 0, where swapping the two methods of a case changes
/// nothing if they are alike.
///
/// The share of assignments of signs whose sum is at least as far from 0 as the one seen. With up to 16 differences
/// that are not 0, all assignments are counted; with more, 99 999 are drawn, and the one seen counts as another
/// `(1 + hits) / (1 + draws)`, so that p is never too small.
///
/// # Errors
/// [`ScoreError::Shape`] if there is no difference or one is not finite.
///
/// # Source
/// Fisher (1935), *The Design of Experiments*, section 21; drawn: Phipson and Smyth (2010).
///
/// ```
/// use disyre_score::{Key, statistics::sign_flip};
/// assert_eq!(sign_flip(Key::new(0), &[0.1, 0.2, 0.3])?, 2.0 / 8.0); // +++ and ---, of eight
/// # Ok::<(), disyre_score::ScoreError>(())
/// ```
pub fn sign_flip(key: Key, differences: &[f64]) -> Result<f64, ScoreError> {
    ensure_values("differences", differences)?;
    // In units of the greatest, so that no sum overflows.
    let greatest = differences.iter().fold(0.0_f64, |greatest, d| greatest.max(d.abs()));
    let moved = differences.iter().filter(|&&d| d != 0.0).map(|d| d / greatest);
    let moved: Vec<f64> = moved.collect();
    // Sums of the same numbers in another order may differ in the last bits.
    let rounding = 1e-12 * moved.iter().map(|d| d.abs()).sum::<f64>();
    let least = moved.iter().sum::<f64>().abs() - rounding;
    let hit = |signs: &[u64]| flipped_sum(&moved, signs).abs() >= least;
    if moved.len() <= EXACT_UP_TO {
        let assignments = 1_u64 << moved.len();
        let hits = (0..assignments).filter(|&signs| hit(&[signs])).count();
        return Ok(hits as f64 / assignments as f64);
    }
    let hits: usize = (0..DRAWS.div_ceil(DRAWS_OF_A_TASK))
        .into_par_iter()
        .map(|task| {
            let mut rng = key.child(task).rng();
            let mut signs = vec![0; moved.len().div_ceil(64)];
            let draws = DRAWS_OF_A_TASK.min(DRAWS - task * DRAWS_OF_A_TASK);
            let drawn = (0..draws).filter(|_| {
                signs.fill_with(|| rng.random());
                hit(&signs)
            });
            drawn.count()
        })
        .sum();
    Ok((1 + hits) as f64 / (1 + DRAWS) as f64)
}

/// Sum of differences, those whose bit is set with the other sign.
fn flipped_sum(differences: &[f64], signs: &[u64]) -> f64 {
    let words = differences.chunks(64).zip(signs);
    words.map(|(chunk, &bits)| flipped_sum_of_word(chunk, bits)).sum()
}

fn flipped_sum_of_word(differences: &[f64], bits: u64) -> f64 {
    let signed = |(index, &d): (usize, &f64)| if bits >> index & 1 == 1 { -d } else { d };
    differences.iter().enumerate().map(signed).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_great_nor_small_differences_change_their_test() {
        let p = |unit: f64| sign_flip(Key::new(0), &[unit, unit, -0.5 * unit]).unwrap();
        for unit in [1e308, 1.0, 1e-308] {
            assert_eq!(p(unit), 4.0 / 8.0);
        }
        assert_eq!(sign_flip(Key::new(0), &[1e308, 1e308]).unwrap(), 2.0 / 4.0);
    }
}
