//! A convolution and its passes: the public type.

use super::backward_filter::BackwardFilter;
use super::data_pass::{Addend, ChannelStats, DataPass, Finish, ThroughNorm};
use super::input::{ConvInput, InputPart};
use super::kind::{ConvKind, Direction};
use super::lattice::{Side, Tap};
use super::output::ConvOutput;
use super::weights::{Form, Packed, Purpose};
use super::winograd::WinogradTiling;
use crate::{Buffer, Cpu, Extent};

/// A convolution by kind and channels, with its three passes over images `(n, h, w, c)`.
///
/// `y[n,i,j,o] = bias[o] + Σ weight[u,v,c,o] · x[n,s·i+u−p,s·j+v−p,c]` over u, v and c, where x is what the source
/// becomes by its transformation, s the stride and p = k/2 the padding; [`ConvKind::Upsampled`] first repeats every pixel
/// twice along both axes.
///
/// Weights are `(u, v, c, o)`. All passes give the same bits for any number of threads, and the result of one
/// image and the gradient by it do not depend on the others.
///
/// ```
/// use disyre_kernels::{Addends, ConvInput, ConvKind, Convolution, Cpu, Extent, InputPart};
///
/// // One pixel of two channels, times a 2×1 matrix.
/// let layer = Convolution { kind: ConvKind::Pointwise, inputs: 2, outputs: 1 };
/// let (cpu, extent) = (Cpu::default(), Extent { count: 1, height: 1, width: 1 });
/// let (x, weight, bias) = ([3.0, 4.0], [10.0, 100.0], [0.5]);
/// let input = ConvInput { parts: &[InputPart::new(&x, 2)], transform: None };
/// let addends = Addends { bias: Some(&bias), ..Addends::default() };
/// let y = layer.forward(&cpu, extent, &input, &weight, &addends, false);
/// assert_eq!(y.values[..], [430.5]);
///
/// let gradient = [2.0];
/// assert_eq!(layer.backward_data(&cpu, extent, &gradient, &weight)[..], [20.0, 200.0]);
/// let mut by_weight = [0.0; 2];
/// let by_bias = layer.backward_filter(&cpu, extent, &input, &gradient, &mut by_weight);
/// assert_eq!((by_weight, by_bias), ([6.0, 8.0], vec![2.0]));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Convolution {
    /// Which kind.
    pub kind: ConvKind,
    /// Channels of the source, all parts together.
    pub inputs: usize,
    /// Channels of the result.
    pub outputs: usize,
}

/// Addends of a convolution: bias, embedding and residual.
#[derive(Debug, Clone, Copy, Default)]
pub struct Addends<'a> {
    /// Bias, `(o)`.
    pub bias: Option<&'a [f32]>,
    /// One number for each image and channel, `(n, o)`.
    pub by_image: Option<&'a [f32]>,
    /// Images of the shape of the result.
    pub images: Option<&'a [f32]>,
}

/// The gradient by a normalised input, before its normalisation: see [`Convolution::backward_data_through_norm`].
#[derive(Debug)]
pub struct NormGradient {
    /// The gradient by z, `(n, h, w, c)`.
    pub by_z: Buffer,
    /// For each channel of each image, the sums over its pixels of that gradient, and of it times ẋ.
    pub sums: Vec<[f64; 2]>,
}

impl Convolution {
    /// Numbers of the weight.
    ///
    /// # Panics
    /// If they are more than a `usize` counts.
    pub fn weight_len(&self) -> usize {
        let len = self.inputs.checked_mul(self.outputs);
        let len = len.and_then(|area| area.checked_mul(self.kind.weights()));
        len.expect("weights that memory can hold")
    }

    /// Size of the result.
    pub fn result(&self, extent: Extent) -> Extent {
        let [height, width] = self.kind.output_size([extent.height, extent.width]);
        Extent { height, width, ..extent }
    }

    fn sides(&self, extent: Extent) -> [Side; 2] {
        let [input, output] = self.kind.phases();
        let result = self.result(extent);
        let side = |phases, extent: Extent, channels| Side {
            phases,
            height: extent.height,
            width: extent.width,
            channels,
        };
        [side(input, extent, self.inputs), side(output, result, self.outputs)]
    }

    /// The convolution, with the moments of the result if `moments` is set.
    ///
    /// # Panics
    /// If lengths do not belong together, or if there is no image or no channel: in all builds, since unsafe code relies
    /// on them.
    pub fn forward(
        &self,
        cpu: &Cpu,
        extent: Extent,
        source: &ConvInput<'_>,
        weight: &[f32],
        addends: &Addends<'_>,
        moments: bool,
    ) -> ConvOutput {
        let weights = self.packed(cpu, extent, weight);
        self.forward_packed(cpu, extent, source, &weights, addends, moments)
    }

    /// The weight as [`forward_packed`](Self::forward_packed) reads it, for images of this size.
    ///
    /// # Panics
    /// If the weight has another length.
    pub(crate) fn packed(&self, cpu: &Cpu, extent: Extent, weight: &[f32]) -> Packed {
        assert_eq!(weight.len(), self.weight_len(), "the weight has the layer's shape");
        self.pack(cpu, extent, weight, Direction::Forward)
    }

    /// As [`forward`](Self::forward), with weights that were packed before.
    pub(crate) fn forward_packed(
        &self,
        cpu: &Cpu,
        extent: Extent,
        source: &ConvInput<'_>,
        weights: &Packed,
        addends: &Addends<'_>,
        moments: bool,
    ) -> ConvOutput {
        self.check(extent, source);
        assert_eq!(
            weights.purpose,
            self.purpose(cpu, extent, Direction::Forward),
            "packed for this"
        );
        let [from, to] = self.sides(extent);
        let mut values = cpu.pool.take(self.result(extent).len(self.outputs));
        let fits = addends.images.is_none_or(|images| images.len() == values.len());
        assert!(fits, "the images added have the result's shape");
        let found = DataPass {
            compute: &cpu.compute,
            pool: &cpu.pool,
            images: extent.count,
            taps: &self.kind.taps(),
            from,
            to,
            source: *source,
            weights,
            start: &self.start(extent.count, addends),
            addend: addends.images.map_or(Addend::Nothing, Addend::Images),
            finish: if moments { Finish::Moments } else { Finish::Nothing },
        }
        .run(&mut values);
        let (height, width) = (to.height, to.width);
        let (count, channels) = (extent.count, self.outputs);
        ConvOutput { count, height, width, channels, values, moments: found }
    }

    /// Backward pass by the data: the gradient by the (transformed) input, `(n, h, w, c)`, from `gradient`, the one by
    /// the result; `extent` is the input's.
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    #[doc(alias = "by_data")]
    #[doc(alias = "dgrad")]
    pub fn backward_data(
        &self,
        cpu: &Cpu,
        extent: Extent,
        gradient: &[f32],
        weight: &[f32],
    ) -> Buffer {
        let mut out = cpu.pool.take(extent.len(self.inputs));
        self.transposed(
            cpu,
            extent,
            gradient,
            weight,
            (Addend::Nothing, Finish::Nothing),
            &mut out,
        );
        out
    }

    /// [`backward_data`](Self::backward_data), added to what `out` holds.
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    pub fn add_backward_data(
        &self,
        cpu: &Cpu,
        extent: Extent,
        gradient: &[f32],
        weight: &[f32],
        out: &mut [f32],
    ) {
        self.transposed(cpu, extent, gradient, weight, (Addend::Result, Finish::Nothing), out);
    }

    /// The gradient by a normalised source, taken on through its SiLU: by `z = scale · x + shift`, with the sums that
    /// the normalisation's own gradients need. `statistics` is `(rstd, offset)` of `ẋ = rstd · x + offset`, `(n, c)`.
    ///
    /// # Panics
    /// As [`forward`](Self::forward), and if the source has no transformation.
    pub fn backward_data_through_norm(
        &self,
        cpu: &Cpu,
        extent: Extent,
        gradient: &[f32],
        weight: &[f32],
        source: &ConvInput<'_>,
        (rstd, offset): (&[f32], &[f32]),
    ) -> NormGradient {
        self.check(extent, source);
        let transform = source.transform.expect("the source is normalised");
        let mut by_z = cpu.pool.take(extent.len(self.inputs));
        let len = extent.count * self.inputs;
        assert_eq!(
            [rstd.len(), offset.len()],
            [len; 2],
            "statistics of each channel of each image"
        );
        let finish = Finish::ThroughNorm(ThroughNorm { source: *source, transform, rstd, offset });
        let sums =
            self.transposed(cpu, extent, gradient, weight, (Addend::Nothing, finish), &mut by_z);
        NormGradient { by_z, sums }
    }

    /// Backward pass by the filter: writes the gradient by the weights to `out`, `(u, v, c, o)`, from `gradient`, the one
    /// by the result. Returns the sums of `gradient` over the pixels of each image, `(n, o)`: the gradient by what is
    /// added to each image.
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    #[doc(alias = "by_weight")]
    #[doc(alias = "wgrad")]
    pub fn backward_filter(
        &self,
        cpu: &Cpu,
        extent: Extent,
        source: &ConvInput<'_>,
        gradient: &[f32],
        out: &mut [f32],
    ) -> Vec<f64> {
        self.check(extent, source);
        assert_eq!(out.len(), self.weight_len(), "the gradient has the weight's shape");
        let [input, output] = self.sides(extent);
        let len = self.result(extent).len(self.outputs);
        assert_eq!(gradient.len(), len, "the gradient has the result's shape");
        BackwardFilter {
            compute: &cpu.compute,
            pool: &cpu.pool,
            kind: self.kind,
            images: extent.count,
            input,
            output,
            source: *source,
            gradient,
        }
        .run(out)
    }

    fn transposed(
        &self,
        cpu: &Cpu,
        extent: Extent,
        gradient: &[f32],
        weight: &[f32],
        (addend, finish): (Addend<'_>, Finish<'_>),
        out: &mut [f32],
    ) -> ChannelStats {
        let [to, from] = self.sides(extent);
        assert!(extent.pixels() > 0 && self.weight_len() > 0, "there are images and channels");
        assert_eq!(out.len(), extent.len(self.inputs), "the sum has the input's shape");
        let len = self.result(extent).len(self.outputs);
        assert_eq!(gradient.len(), len, "the gradient has the result's shape");
        assert_eq!(weight.len(), self.weight_len(), "the weight has the layer's shape");
        let taps: Vec<Tap> = self.kind.taps().into_iter().map(Tap::transposed).collect();
        let weights = self.pack(cpu, extent, weight, Direction::BackwardData);
        let parts = [InputPart::new(gradient, from.channels)];
        DataPass {
            compute: &cpu.compute,
            pool: &cpu.pool,
            images: extent.count,
            taps: &taps,
            from,
            to,
            source: ConvInput { parts: &parts, transform: None },
            weights: &weights,
            start: &vec![0.0; extent.count * to.channels],
            addend,
            finish,
        }
        .run(out)
    }

    fn pack(&self, cpu: &Cpu, extent: Extent, weight: &[f32], direction: Direction) -> Packed {
        Packed::new(self.purpose(cpu, extent, direction), &cpu.pool, weight)
    }

    /// The order in which weights are packed for images of this size.
    pub(crate) fn purpose(&self, cpu: &Cpu, extent: Extent, direction: Direction) -> Purpose {
        let (kind, compute) = (self.kind, cpu.compute);
        let (size, channels) = ([extent.height, extent.width], [self.inputs, self.outputs]);
        let form = match WinogradTiling::best(kind, size, channels, direction) {
            Some(tiling) if !compute.isa().multiplies_bf16() => Form::Tiles(tiling),
            _ => Form::Taps,
        };
        Purpose { compute, kind, form, channels, direction }
    }

    /// The values that the channels of each image start from: bias and addend.
    fn start(&self, count: usize, addends: &Addends<'_>) -> Vec<f32> {
        let mut start = match addends.by_image {
            Some(by_image) => by_image.to_vec(),
            None => vec![0.0; count * self.outputs],
        };
        assert_eq!(start.len(), count * self.outputs, "one number for each image and channel");
        if let Some(bias) = addends.bias {
            assert_eq!(bias.len(), self.outputs, "one bias for each channel");
            for start in start.chunks_exact_mut(self.outputs) {
                start.iter_mut().zip(bias).for_each(|(start, bias)| *start += bias);
            }
        }
        start
    }

    fn check(&self, extent: Extent, source: &ConvInput<'_>) {
        let pixels = extent.pixels();
        assert!(pixels > 0 && self.weight_len() > 0, "there are images and channels");
        assert_eq!(source.channels(), self.inputs, "the source has the layer's channels");
        for part in source.parts {
            let (len, end) = (extent.len(part.stride), part.first.checked_add(part.channels));
            assert_eq!(part.values.len(), len, "each part has the input's size");
            let within = part.channels > 0 && end.is_some_and(|end| end <= part.stride);
            assert!(within, "the channels of a part lie within its images");
        }
        if let Some(transform) = source.transform {
            assert_eq!(transform.scale.len(), extent.count * self.inputs, "scales");
            assert_eq!(transform.shift.len(), extent.count * self.inputs, "shifts");
        }
    }
}
