//! The CPU computes on candle tensors; its normalisation of maps without moments.

use rayon::prelude::*;

use super::TensorBackend;
use crate::activation::{fma, silu_slope};
use crate::backend::{Backend, FeatureMaps, Numbers};
use crate::lanes::{Lanes, Work};
use crate::{Buffer, Cpu, GroupNorm, InputTransform, Normalised};

impl TensorBackend for Cpu {
    fn group_norm(
        &self,
        norm: GroupNorm,
        silu: bool,
        x: &FeatureMaps<Self>,
        parameters: &Numbers,
    ) -> FeatureMaps<Self> {
        let (weight, bias) = parameters.split_at(x.channels());
        let y = CpuNorm { cpu: self, norm, silu }.forward(&Shaped::new(x), weight, bias);
        FeatureMaps::new(x.extent(), x.channels(), y)
    }

    fn backward_group_norm(
        &self,
        norm: GroupNorm,
        silu: bool,
        x: &FeatureMaps<Self>,
        parameters: &Numbers,
        gradient: Buffer,
    ) -> (Buffer, Numbers) {
        CpuNorm { cpu: self, norm, silu }.backward(&Shaped::new(x), parameters, gradient)
    }
}

/// [`GroupNorm`] with or without SiLU on the CPU.
struct CpuNorm<'a> {
    cpu: &'a Cpu,
    norm: GroupNorm,
    silu: bool,
}

/// Images (pixel, channel), one behind another.
struct Shaped<'a> {
    values: &'a [f32],
    images: usize,
    pixels: usize,
    channels: usize,
}

impl<'a> Shaped<'a> {
    fn new(x: &'a FeatureMaps<Cpu>) -> Self {
        let (images, pixels) = (x.extent().count, x.extent().image_pixels());
        Self { values: x.values(), images, pixels, channels: x.channels() }
    }
}

impl CpuNorm<'_> {
    fn normalise(&self, x: &Shaped<'_>, weight: &[f32], bias: &[f32]) -> Normalised {
        let images = x.values.par_chunks_exact(x.pixels * x.channels);
        let moments: Vec<Vec<[f64; 2]>> = images.map(|image| moments(image, x.channels)).collect();
        self.norm.normalise(&[&moments.concat()], x.images, x.pixels, weight, bias)
    }

    fn forward(&self, x: &Shaped<'_>, weight: &[f32], bias: &[f32]) -> Buffer {
        let normalised = self.normalise(x, weight, bias);
        let mut y = self.cpu.pool.take(x.values.len());
        let row = x.pixels * x.channels;
        let images = y.par_chunks_exact_mut(row).zip(x.values.par_chunks_exact(row));
        images.enumerate().for_each(|(image, (y, x_values))| {
            let transform = InputTransform {
                scale: &normalised.scale,
                shift: &normalised.shift,
                silu: self.silu,
            };
            let (channels, first) = (x.channels, image * x.channels);
            let work = Forward { transform, first, channels, x: x_values, y };
            self.cpu.compute.isa().elementwise().run(work);
        });
        y
    }

    /// The gradients by x and by the parameters, from the one by the result.
    fn backward(
        &self,
        x: &Shaped<'_>,
        parameters: &Numbers,
        mut gradient: Buffer,
    ) -> (Buffer, Numbers) {
        let (weight, bias) = parameters.split_at(x.channels);
        let normalised = self.normalise(x, weight, bias);
        let row = x.pixels * x.channels;
        let images = gradient.par_chunks_exact_mut(row).zip(x.values.par_chunks_exact(row));
        let sums: Vec<Vec<[f64; 2]>> = images
            .enumerate()
            .map(|(image, (gradient, x_values))| {
                let (silu, first, channels) = (self.silu, image * x.channels, x.channels);
                let normalised = &normalised;
                let work = ThroughZ { normalised, silu, first, channels, x: x_values, gradient };
                self.cpu.compute.isa().elementwise().run(work)
            })
            .collect();
        let mut by_parameters = self.cpu.zeros(2 * x.channels);
        let (by_weight, by_bias) = by_parameters.split_at_mut(x.channels);
        let (sums, pixels) = (sums.concat(), x.pixels);
        let found = self.norm.gradients(&normalised, &sums, pixels, weight, by_weight, by_bias);
        found.apply(self.cpu, pixels, x.values, None, &mut gradient);
        (gradient, by_parameters)
    }
}

/// Mean and sum of squared deviations of each channel of an image.
fn moments(image: &[f32], channels: usize) -> Vec<[f64; 2]> {
    let pixels = (image.len() / channels) as f64;
    let mut found = vec![[0.0; 2]; channels];
    for values in image.chunks_exact(channels) {
        found.iter_mut().zip(values).for_each(|(found, &x)| found[0] += f64::from(x) / pixels);
    }
    for values in image.chunks_exact(channels) {
        for (found, &x) in found.iter_mut().zip(values) {
            found[1] += (f64::from(x) - found[0]).powi(2);
        }
    }
    found
}

struct Forward<'a> {
    transform: InputTransform<'a>,
    first: usize,
    channels: usize,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Work for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        let pixels = self.x.chunks_exact(self.channels).zip(self.y.chunks_exact_mut(self.channels));
        pixels.for_each(|(x, y)| self.transform.apply::<L>(self.first, x, y));
    }
}

/// Turns the gradient by the result into the one by z; its sums over pixels, and those of it times ẋ.
struct ThroughZ<'a> {
    normalised: &'a Normalised,
    silu: bool,
    first: usize,
    channels: usize,
    x: &'a [f32],
    gradient: &'a mut [f32],
}

impl Work for ThroughZ<'_> {
    type Output = Vec<[f64; 2]>;

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) -> Vec<[f64; 2]> {
        let n = self.channels;
        let Normalised { scale, shift, rstd, offset } = self.normalised;
        let own = |values: &[f32]| values[self.first..self.first + n].to_vec();
        let [scale, shift, rstd, offset] = [own(scale), own(shift), own(rstd), own(offset)];
        let mut sums = vec![[0.0f64; 2]; n];
        let pixels = self.x.chunks_exact(n).zip(self.gradient.chunks_exact_mut(n));
        for (x, gradient) in pixels {
            for i in 0..n {
                if self.silu {
                    let z = fma::<L>(scale[i], x[i], shift[i]);
                    gradient[i] *= silu_slope::<L>(z);
                }
                let normal = fma::<L>(rstd[i], x[i], offset[i]);
                sums[i][0] += f64::from(gradient[i]);
                sums[i][1] += f64::from(gradient[i] * normal);
            }
        }
        sums
    }
}
