//! One head of attention: forward and backward. A row of a matrix is one channel over all query pixels, so that pixels fill
//! the vectors.

use crate::activation::exp;
use crate::lanes::{Lanes, Work};

/// Queries, keys and values of one head, each (channel, pixel).
pub(super) struct Head {
    pub(super) queries: Vec<f32>,
    pub(super) keys: Vec<f32>,
    pub(super) values: Vec<f32>,
    pub(super) channels: usize,
}

/// Channels `first` and following of pixels `(pixel, width)`, as (channel, pixel).
pub(super) fn columns(pixels: &[f32], width: usize, first: usize, channels: usize) -> Vec<f32> {
    let n = pixels.len() / width;
    let mut out = vec![0.0; channels * n];
    for (pixel, values) in pixels.chunks_exact(width).enumerate() {
        for (c, &value) in values[first..first + channels].iter().enumerate() {
            out[c * n + pixel] = value;
        }
    }
    out
}

impl Head {
    fn pixels(&self) -> usize {
        self.keys.len() / self.channels
    }

    fn scale(&self) -> f32 {
        (self.channels as f32).sqrt().recip()
    }

    /// The weight that each pixel i gives to each pixel j, (j, i).
    #[inline(always)]
    fn weights<L: Lanes>(&self) -> Vec<f32> {
        let n = self.pixels();
        let mut weights = vec![0.0; n * n];
        let mut greatest = vec![f32::NEG_INFINITY; n];
        for (j, row) in weights.chunks_exact_mut(n).enumerate() {
            for (queries, keys) in self.queries.chunks_exact(n).zip(self.keys.chunks_exact(n)) {
                add_scaled(row, queries, keys[j] * self.scale());
            }
            greatest.iter_mut().zip(&*row).for_each(|(max, &x)| *max = max.max(x));
        }
        let mut total = vec![0.0f32; n];
        for row in weights.chunks_exact_mut(n) {
            for ((weight, greatest), total) in row.iter_mut().zip(&greatest).zip(&mut total) {
                *weight = exp::<L>(*weight - greatest);
                *total += *weight;
            }
        }
        for row in weights.chunks_exact_mut(n) {
            row.iter_mut().zip(&total).for_each(|(weight, total)| *weight /= total);
        }
        weights
    }
}

/// `sums += factor · values`.
#[inline(always)]
fn add_scaled(sums: &mut [f32], values: &[f32], factor: f32) {
    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += factor * value);
}

/// Sum of products, in sixteen partial sums.
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 16];
    let (a, b) = (a.chunks_exact(16), b.chunks_exact(16));
    let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a.zip(b) {
        (0..16).for_each(|i| sums[i] += a[i] * b[i]);
    }
    for half in [8, 4, 2, 1] {
        (0..half).for_each(|i| sums[i] += sums[i + half]);
    }
    sums[0] + rest
}

/// The result of a head, (channel, pixel).
pub(super) struct Forward<'a> {
    pub(super) head: &'a Head,
    pub(super) out: &'a mut [f32],
}

impl Work for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        let n = self.head.pixels();
        let weights = self.head.weights::<L>();
        let channels = self.out.chunks_exact_mut(n).zip(self.head.values.chunks_exact(n));
        for (out, values) in channels {
            out.fill(0.0);
            let rows = weights.chunks_exact(n).zip(values);
            rows.for_each(|(weights, &value)| add_scaled(out, weights, value));
        }
    }
}

/// The gradients by queries, keys and values, (which, channel, pixel), from the one by the result.
///
/// With w the softmax and g the gradient: by w `g · v`, by the affinities `w (by w − Σ w · by w)`.
pub(super) struct Backward<'a> {
    pub(super) head: &'a Head,
    pub(super) gradient: &'a [f32],
    pub(super) out: &'a mut [f32],
}

impl Work for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        let Self { head, gradient, out } = self;
        let (n, len, scale) = (head.pixels(), head.keys.len(), head.scale());
        let (by_queries, rest) = out.split_at_mut(len);
        let (by_keys, by_values) = rest.split_at_mut(len);
        let weights = head.weights::<L>();
        let mut by_affinity = vec![0.0f32; n * n]; // (j, i)
        let mut means = vec![0.0f32; n];
        for (j, (row, weights)) in
            by_affinity.chunks_exact_mut(n).zip(weights.chunks_exact(n)).enumerate()
        {
            for (c, gradient) in gradient.chunks_exact(n).enumerate() {
                add_scaled(row, gradient, head.values[c * n + j]);
                by_values[c * n + j] = dot(weights, gradient);
            }
            for ((mean, weight), by) in means.iter_mut().zip(weights).zip(&*row) {
                *mean += weight * by;
            }
        }
        for (j, (row, weights)) in
            by_affinity.chunks_exact_mut(n).zip(weights.chunks_exact(n)).enumerate()
        {
            for ((by, weight), mean) in row.iter_mut().zip(weights).zip(&means) {
                *by = scale * weight * (*by - mean);
            }
            for c in 0..head.channels {
                by_keys[c * n + j] = dot(row, &head.queries[c * n..][..n]);
                add_scaled(&mut by_queries[c * n..][..n], row, head.keys[c * n + j]);
            }
        }
    }
}
