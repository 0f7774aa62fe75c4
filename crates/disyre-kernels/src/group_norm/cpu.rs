//! The normalisation over contiguous slices: one piece of work for each group of each item.

use pulp::{Arch, NullaryFnOnce};
use rayon::prelude::*;

use crate::sigmoid::sigmoid;
use crate::sum::{sum, sum_of};

/// Sizes of a normalisation.
#[derive(Clone, Copy)]
pub(super) struct Geometry {
    pub(super) channels: usize,
    pub(super) groups: usize,
    pub(super) pixels: usize,
    pub(super) eps: f64,
    pub(super) silu: bool,
}

/// Gradients by input, weight and bias.
pub(super) struct Gradients {
    pub(super) x: Vec<f32>,
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
}

/// What one group is normalised by.
#[derive(Clone, Copy)]
struct Statistics {
    mean: f32,
    inverse_deviation: f32,
}

impl Geometry {
    fn channels_per_group(&self) -> usize {
        self.channels / self.groups
    }

    fn group_len(&self) -> usize {
        self.channels_per_group() * self.pixels
    }

    /// First channel of the group at an index over all items.
    fn first_channel(&self, group: usize) -> usize {
        group % self.groups * self.channels_per_group()
    }

    /// Mean, then variance around it: exact where the mean is large against the deviation.
    #[inline(always)]
    fn statistics(&self, x: &[f32]) -> Statistics {
        let count = x.len() as f64;
        let mean = (sum(x) / count) as f32;
        let variance = sum_of([x], |[x]| f64::from(x - mean) * f64::from(x - mean)) / count;
        Statistics { mean, inverse_deviation: (variance + self.eps).sqrt().recip() as f32 }
    }
}

/// The result, of the shape of `x`.
pub(super) fn forward(geometry: &Geometry, x: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f32> {
    let widest = Arch::new();
    let mut y = vec![0.0; x.len()];
    let pieces = x.par_chunks(geometry.group_len()).zip(y.par_chunks_mut(geometry.group_len()));
    pieces.enumerate().for_each(|(group, (x, y))| {
        let first = geometry.first_channel(group);
        let (weight, bias) = (&weight[first..], &bias[first..]);
        widest.dispatch(ForwardGroup { geometry, x, weight, bias, y });
    });
    y
}

/// The result of one group; `weight` and `bias` start at its first channel. A type, not a closure,
/// since only its `call` is sure to be compiled for the vectors of the caller.
struct ForwardGroup<'a> {
    geometry: &'a Geometry,
    x: &'a [f32],
    weight: &'a [f32],
    bias: &'a [f32],
    y: &'a mut [f32],
}

impl NullaryFnOnce for ForwardGroup<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { geometry, x, weight, bias, y } = self;
        let Statistics { mean, inverse_deviation } = geometry.statistics(x);
        let channels = x.chunks(geometry.pixels).zip(y.chunks_mut(geometry.pixels));
        for ((x, y), (&weight, &offset)) in channels.zip(weight.iter().zip(bias)) {
            let scale = weight * inverse_deviation;
            y.iter_mut().zip(x).for_each(|(y, &x)| *y = (x - mean) * scale + offset);
            if geometry.silu {
                y.iter_mut().for_each(|z| *z *= sigmoid(*z));
            }
        }
    }
}

/// All gradients, from `gradient` by the result.
///
/// With ẋ = (x − mean) / deviation, z = weight · ẋ + bias and g the gradient by z:
/// by weight Σ g ẋ, by bias Σ g, by x (weight · g − ⟨weight · g⟩ − ẋ ⟨weight · g · ẋ⟩) / deviation,
/// where ⟨ ⟩ is the mean over the group.
pub(super) fn backward(
    geometry: &Geometry,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    gradient: &[f32],
) -> Gradients {
    let (len, per_group) = (geometry.group_len(), geometry.channels_per_group());
    let widest = Arch::new();
    let mut by_x = vec![0.0; x.len()];
    // Σ g ẋ and Σ g of each channel of each item.
    let mut sums = vec![[0.0f64; 2]; x.len() / geometry.pixels];
    let inputs = x.par_chunks(len).zip(gradient.par_chunks(len));
    let outputs = by_x.par_chunks_mut(len).zip(sums.par_chunks_mut(per_group));
    inputs.zip(outputs).enumerate().for_each(|(group, ((x, gradient), (by_x, sums)))| {
        let first = geometry.first_channel(group);
        let (weight, bias) = (&weight[first..first + per_group], &bias[first..first + per_group]);
        by_x.copy_from_slice(gradient);
        widest.dispatch(BackwardGroup { geometry, x, weight, bias, gradient: by_x, sums });
    });
    let merged = |which: usize| {
        let of_channel =
            |channel| sums[channel..].iter().step_by(geometry.channels).map(|s| s[which]);
        (0..geometry.channels).map(|channel| of_channel(channel).sum::<f64>() as f32).collect()
    };
    Gradients { x: by_x, weight: merged(0), bias: merged(1) }
}

/// Turns the gradient of one group by the result into the one by the input, in place, and sums up
/// those by its weight and bias.
struct BackwardGroup<'a> {
    geometry: &'a Geometry,
    x: &'a [f32],
    weight: &'a [f32],
    bias: &'a [f32],
    gradient: &'a mut [f32],
    sums: &'a mut [[f64; 2]],
}

impl NullaryFnOnce for BackwardGroup<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { geometry, x, weight, bias, gradient, sums } = self;
        let statistics = geometry.statistics(x);
        through_activation(geometry, statistics, (x, weight, bias), gradient, sums);
        through_normalisation(geometry, statistics, (x, weight), gradient, sums);
    }
}

/// Turns the gradient by the result into the one by z, and sums it up.
#[inline(always)]
fn through_activation(
    geometry: &Geometry,
    Statistics { mean, inverse_deviation }: Statistics,
    (x, weight, bias): (&[f32], &[f32], &[f32]),
    gradient: &mut [f32],
    sums: &mut [[f64; 2]],
) {
    let channels = x.chunks(geometry.pixels).zip(gradient.chunks_mut(geometry.pixels));
    for (channel, (x, gradient)) in channels.enumerate() {
        if geometry.silu {
            let scale = weight[channel] * inverse_deviation;
            let offset = bias[channel];
            gradient.iter_mut().zip(x).for_each(|(g, &x)| {
                let z = (x - mean) * scale + offset;
                let s = sigmoid(z);
                *g *= s * (1.0 + z * (1.0 - s));
            });
        }
        let normalised = |x: f32| (x - mean) * inverse_deviation;
        sums[channel] =
            [sum_of([x, gradient], |[x, g]| f64::from(g * normalised(x))), sum(gradient)];
    }
}

/// Turns the gradient by z into the one by x.
#[inline(always)]
fn through_normalisation(
    geometry: &Geometry,
    Statistics { mean, inverse_deviation }: Statistics,
    (x, weight): (&[f32], &[f32]),
    gradient: &mut [f32],
    sums: &[[f64; 2]],
) {
    let mean_over_group = |which: usize| {
        let total: f64 = sums.iter().zip(weight).map(|(s, &w)| s[which] * f64::from(w)).sum();
        (total / geometry.group_len() as f64) as f32
    };
    let (along, level) = (mean_over_group(0), mean_over_group(1));
    let channels = x.chunks(geometry.pixels).zip(gradient.chunks_mut(geometry.pixels));
    for (&weight, (x, gradient)) in weight.iter().zip(channels) {
        gradient.iter_mut().zip(x).for_each(|(g, &x)| {
            let normalised = (x - mean) * inverse_deviation;
            *g = inverse_deviation * (weight * *g - level - normalised * along);
        });
    }
}
