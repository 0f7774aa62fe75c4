//! The optimiser AdamW: one pass over memory for all tensors of a network.

use rayon::prelude::*;

use crate::Compute;
use crate::lanes::{Lanes, Work};

/// Numbers of one piece of work: fixed, so that sums do not depend on the number of threads.
const PIECE: usize = 1 << 14;

/// One update of AdamW with clipping and a moving average of the weights: all tensors in one pass over memory.
///
/// # Source
/// Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (arXiv 1711.05101), algorithm 2, in the form of
/// PyTorch's `AdamW`; clipping as its `clip_grad_norm_`.
///
/// ```
/// use disyre_kernels::{AdamW, AdamWState, Compute};
///
/// // The first step of rate 0.1: β₁ and β₂ correct the moments to g and g², so its length is the rate.
/// let update = AdamW {
///     clip_norm: 0.0,
///     keep: 1.0,
///     betas: [0.9, 0.999],
///     step_size: 0.1 / (1.0 - 0.9),
///     correction: 0.001f32.sqrt(),
///     epsilon: 1e-8,
///     average: 0.0,
/// };
/// let (mut weights, mut first, mut second) = ([1.0, 1.0], [0.0; 2], [0.0; 2]);
/// let state = AdamWState {
///     weights: &mut weights,
///     first: &mut first,
///     second: &mut second,
///     average: &mut [],
/// };
/// update.apply(&Compute::default(), state, &[3.0, -4.0], 5.0);
/// assert!((weights[0] - 0.9).abs() < 1e-4 && (weights[1] - 1.1).abs() < 1e-4);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW {
    /// Greatest norm of the gradient: a longer one is shortened to it. 0 for none.
    pub clip_norm: f64,
    /// Factor of every weight: 1 less what decays.
    pub keep: f32,
    /// Decay of the gradient's and the squared gradient's average.
    pub betas: [f64; 2],
    /// Learning rate over the first moment's correction.
    pub step_size: f32,
    /// Square root of the second moment's correction.
    pub correction: f32,
    /// Added to the denominator.
    pub epsilon: f32,
    /// Share of the new weights in their average.
    pub average: f32,
}

/// State that an update changes, all of one length.
#[doc(alias = "Moments")]
#[derive(Debug)]
pub struct AdamWState<'a> {
    /// The weights.
    pub weights: &'a mut [f32],
    /// Average of the gradient.
    pub first: &'a mut [f32],
    /// Average of the squared gradient.
    pub second: &'a mut [f32],
    /// Average of the weights; empty if none is kept.
    pub average: &'a mut [f32],
}

impl AdamW {
    /// Factor of a gradient of this norm.
    pub fn gradient_scale(&self, norm: f64) -> f32 {
        let clipped = self.clip_norm / (norm + 1e-6);
        if self.clip_norm > 0.0 { clipped.min(1.0) as f32 } else { 1.0 }
    }

    /// Updates everything; `norm` is the gradient's.
    ///
    /// # Panics
    /// If lengths differ.
    pub fn apply(&self, compute: &Compute, state: AdamWState<'_>, gradient: &[f32], norm: f64) {
        let AdamWState { weights, first, second, average } = state;
        let lengths = [weights.len(), first.len(), second.len()];
        assert!(lengths.iter().all(|&len| len == gradient.len()), "lengths belong together");
        assert!(average.is_empty() || average.len() == weights.len(), "an average of all weights");
        let moments = first.par_chunks_mut(PIECE).zip(second.par_chunks_mut(PIECE));
        let weights = weights.par_chunks_mut(PIECE).zip(gradient.par_chunks(PIECE));
        let scale = self.gradient_scale(norm);
        let run = |((weights, gradient), (first, second)), average| {
            let state = AdamWState { weights, first, second, average };
            compute.isa().elementwise().run(Piece { update: self, scale, state, gradient });
        };
        if average.is_empty() {
            weights.zip(moments).for_each(|piece| run(piece, &mut []));
        } else {
            let averages = average.par_chunks_mut(PIECE);
            weights.zip(moments).zip(averages).for_each(|(piece, average)| run(piece, average));
        }
    }
}

struct Piece<'a> {
    update: &'a AdamW,
    /// Of the gradient.
    scale: f32,
    state: AdamWState<'a>,
    gradient: &'a [f32],
}

impl Work for Piece<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        let AdamW { keep, betas, step_size, correction, epsilon, average: share, .. } =
            *self.update;
        let AdamWState { weights, first, second, average } = self.state;
        let n = weights.len();
        let (gradient, first, second) = (&self.gradient[..n], &mut first[..n], &mut second[..n]);
        let correction = correction.recip();
        // 1 − β from the exact β: that of a rounded one is off by 1e-5.
        let shares = betas.map(|beta| (1.0 - beta) as f32);
        let beta2 = betas[1] as f32;
        for i in 0..n {
            let g = gradient[i] * self.scale;
            first[i] += shares[0] * (g - first[i]);
            second[i] = beta2 * second[i] + shares[1] * g * g;
            let denominator = second[i].sqrt() * correction + epsilon;
            weights[i] = weights[i] * keep - step_size * first[i] / denominator;
        }
        for (average, weight) in average.iter_mut().zip(weights) {
            *average += share * (*weight - *average);
        }
    }
}

/// Sum of squares in `f64`, by pieces merged in order.
pub fn sum_of_squares(compute: &Compute, values: &[f32]) -> f64 {
    let piece = |values| compute.isa().elementwise().run(Squares(values));
    values.par_chunks(PIECE).map(piece).collect::<Vec<_>>().iter().sum()
}

struct Squares<'a>(&'a [f32]);

impl Work for Squares<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) -> f64 {
        let mut sums = [0.0f64; 16];
        let chunks = self.0.chunks_exact(16);
        let rest: f64 = chunks.remainder().iter().map(|&v| f64::from(v) * f64::from(v)).sum();
        for values in chunks {
            (0..16).for_each(|i| sums[i] += f64::from(values[i]) * f64::from(values[i]));
        }
        sums.iter().sum::<f64>() + rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_has_the_length_of_the_learning_rate() {
        // Corrected moments are g and g², so the step is −rate · sign(g), after the decay of the weight.
        let update = AdamW {
            clip_norm: 0.0,
            keep: 0.95,
            betas: [0.9, 0.999],
            step_size: 0.1 / 0.1,
            correction: 0.001f32.sqrt(),
            epsilon: 1e-8,
            average: 0.25,
        };
        let (mut weights, mut first, mut second) = ([1.0, -2.0], [0.0; 2], [0.0; 2]);
        let mut average = weights;
        let state = AdamWState {
            weights: &mut weights,
            first: &mut first,
            second: &mut second,
            average: &mut average,
        };
        update.apply(&Compute::default(), state, &[3.0, -4.0], 5.0);
        for (weight, expected) in weights.iter().zip([0.95 - 0.1, -1.9 + 0.1]) {
            assert!((weight - expected).abs() < 1e-4, "{weights:?}");
        }
        assert!((average[0] - (1.0 + 0.25 * (weights[0] - 1.0))).abs() < 1e-6);
    }

    #[test]
    fn a_long_gradient_is_shortened_to_the_limit_and_a_short_one_kept() {
        let update = |clip_norm| AdamW {
            clip_norm,
            keep: 1.0,
            betas: [0.9, 0.999],
            step_size: 0.1,
            correction: 1.0,
            epsilon: 1e-8,
            average: 0.0,
        };
        assert_eq!(update(1.0).gradient_scale(4.0), (1.0 / (4.0 + 1e-6)) as f32);
        assert_eq!(update(1.0).gradient_scale(0.5), 1.0);
        assert_eq!(update(0.0).gradient_scale(4.0), 1.0);
    }

    #[test]
    fn the_sum_of_squares_of_a_long_tensor_is_exact() {
        let squares = sum_of_squares(&Compute::default(), &vec![2.0; 3 * PIECE + 5]);
        assert_eq!(squares, 4.0 * (3 * PIECE + 5) as f64);
    }
}
