//! The normalisation as a differentiable operation on candle tensors.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};

use rayon::prelude::*;

use super::reference::channels_last;
use super::storage::{values, with_values};
use crate::activation::{fma, silu_slope};
use crate::lanes::{Lanes, Work};
use crate::{Cpu, GroupNorm, InputTransform, Normalised};

/// Normalises images, see [`GroupNorm`], and takes SiLU, `z / (1 + e^−z)`, of the result if `silu` is set; differentiable in
/// all its tensors. On another device than the CPU it is the plain form, [`channels_last::group_norm`].
///
/// # Shapes and units
/// `x` is (n, h, w, c), `weight` and `bias` (c), all `f32`. The result has the shape of `x`.
///
/// # Errors
/// Groups that do not divide the channels, shapes that do not belong together, an empty `x`, and tensors on the CPU
/// that are not `f32`. A gradient of the gradient is not available there.
pub fn group_norm(
    cpu: &Cpu,
    norm: GroupNorm,
    silu: bool,
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
) -> Result<Tensor> {
    let (_, _, _, channels) = x.dims4()?;
    if x.elem_count() == 0 {
        bail!("group norm: nothing to do for input {:?}", x.dims());
    }
    if norm.groups == 0 || !channels.is_multiple_of(norm.groups) {
        bail!("group norm: {channels} channels cannot be split into {} equal groups", norm.groups);
    }
    for (name, parameter) in [("weight", weight), ("bias", bias)] {
        if parameter.dims() != [channels] {
            bail!("group norm: the {name} has shape {:?}, expected [{channels}]", parameter.dims());
        }
    }
    if !x.device().is_cpu() {
        return channels_last::group_norm(norm, silu, x, weight, bias);
    }
    let op = GroupNormOp { cpu: cpu.clone(), norm, silu };
    x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, op)
}

/// [`GroupNorm`] with or without SiLU: forward and backward on CPU tensors.
struct GroupNormOp {
    cpu: Cpu,
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
    fn new(values: &'a [f32], dims: &[usize]) -> Self {
        Self { values, images: dims[0], pixels: dims[1] * dims[2], channels: dims[3] }
    }
}

impl GroupNormOp {
    fn normalise(&self, x: &Shaped<'_>, weight: &[f32], bias: &[f32]) -> Normalised {
        let images = x.values.par_chunks_exact(x.pixels * x.channels);
        let moments: Vec<Vec<[f64; 2]>> = images.map(|image| moments(image, x.channels)).collect();
        self.norm.normalise(&[&moments.concat()], x.images, x.pixels, weight, bias)
    }

    fn forward(&self, x: &Shaped<'_>, weight: &[f32], bias: &[f32]) -> Vec<f32> {
        let normalised = self.normalise(x, weight, bias);
        let mut y = vec![0.0; x.values.len()];
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

    /// The gradients by x, weight and bias.
    fn backward(
        &self,
        x: &Shaped<'_>,
        weight: &[f32],
        bias: &[f32],
        gradient: &[f32],
    ) -> [Vec<f32>; 3] {
        let normalised = self.normalise(x, weight, bias);
        let mut by_z = gradient.to_vec();
        let row = x.pixels * x.channels;
        let images = by_z.par_chunks_exact_mut(row).zip(x.values.par_chunks_exact(row));
        let sums: Vec<Vec<[f64; 2]>> = images
            .enumerate()
            .map(|(image, (gradient, x_values))| {
                let (silu, first, channels) = (self.silu, image * x.channels, x.channels);
                let normalised = &normalised;
                let work = ThroughZ { normalised, silu, first, channels, x: x_values, gradient };
                self.cpu.compute.isa().elementwise().run(work)
            })
            .collect();
        let (mut by_weight, mut by_bias) = (vec![0.0; x.channels], vec![0.0; x.channels]);
        let (sums, pixels) = (sums.concat(), x.pixels);
        let found =
            self.norm.gradients(&normalised, &sums, pixels, weight, &mut by_weight, &mut by_bias);
        found.apply(&self.cpu, pixels, x.values, None, &mut by_z);
        [by_z, by_weight, by_bias]
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

impl CustomOp3 for GroupNormOp {
    fn name(&self) -> &'static str {
        "group-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = Shaped::new(values(x, x_layout)?, x_layout.dims());
        let y = self.forward(&x, values(weight, weight_layout)?, values(bias, bias_layout)?);
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [weights, biases] = [weight, bias].map(|tensor| with_values(tensor, <[f32]>::to_vec));
        let (weights, biases) = (weights?, biases?);
        let found = with_values(x, |values| {
            let x = Shaped::new(values, x.dims());
            with_values(gradient, |gradient| self.backward(&x, &weights, &biases, gradient))
        })??;
        let [by_x, by_weight, by_bias] = found;
        let of = |values, like: &Tensor| Tensor::from_vec(values, like.shape(), like.device());
        Ok((Some(of(by_x, x)?), Some(of(by_weight, weight)?), Some(of(by_bias, bias)?)))
    }
}
