use disyre_kernels::{
    Addends, Buffer, Cpu, GroupNorm, Images, InputGradient, Kind, Normalised, Part, PartGradient,
    Source, Transform,
};

use super::layout::{Affine, Conv, Layout};

/// `out = conv(silu(norm(conv(silu(norm(x))) + embedding))) + x`, with a 1×1 convolution of x where channels differ.
///
/// x may come in several parts, one behind another in channels. Normalisation, SiLU, embedding and the last sum happen
/// within the convolutions; of what lies between, only the result of the first is kept for the gradient.
#[derive(Debug)]
pub(super) struct Resnet {
    norm1: Affine,
    conv1: Conv,
    norm2: Affine,
    conv2: Conv,
    shortcut: Option<Conv>,
    norm: GroupNorm,
    /// First of this block's channels among all embeddings.
    pub(super) column: usize,
}

/// What a block computes with.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) cpu: &'a Cpu,
    pub(super) weights: &'a [f32],
}

/// Gradients by all parameters, and the embeddings' by image and channel.
pub(super) struct Gradients<'a> {
    pub(super) weights: &'a mut [f32],
    pub(super) embedding: &'a mut [f32],
    /// Channels of all embeddings.
    pub(super) embedding_width: usize,
}

impl Context<'_> {
    pub(super) fn of(&self, range: &std::ops::Range<usize>) -> &[f32] {
        &self.weights[range.clone()]
    }

    /// The coefficients of a normalisation of some images side by side.
    pub(super) fn normalise(
        &self,
        norm: &GroupNorm,
        affine: &Affine,
        parts: &[&Images],
    ) -> Normalised {
        let moments: Vec<_> = parts.iter().map(|part| &part.moments[..]).collect();
        let (count, pixels) = (parts[0].count, parts[0].pixels());
        norm.normalise(&moments, count, pixels, self.of(&affine.weight), self.of(&affine.bias))
    }
}

/// What convolutions read of normalised images.
pub(super) fn transform(normalised: &Normalised, silu: bool) -> Transform<'_> {
    Transform { scale: &normalised.scale, shift: &normalised.shift, silu }
}

impl Gradients<'_> {
    /// Takes a convolution's gradient by its bias from the sums over each image.
    pub(super) fn bias(&mut self, conv: &Conv, by_image: &[f64]) {
        let out = &mut self.weights[conv.bias.clone()];
        for (channel, out) in out.iter_mut().enumerate() {
            *out = by_image[channel..].iter().step_by(conv.layer.outputs).sum::<f64>() as f32;
        }
    }

    /// The gradients by weight and bias of a normalisation.
    pub(super) fn norm(&mut self, affine: &Affine) -> (&mut [f32], &mut [f32]) {
        debug_assert_eq!(affine.weight.end, affine.bias.start);
        let both = &mut self.weights[affine.weight.start..affine.bias.end];
        both.split_at_mut(affine.weight.len())
    }
}

/// A normalisation, SiLU or not, and the convolution that reads through them.
pub(super) struct NormConv<'a> {
    pub(super) norm: GroupNorm,
    pub(super) affine: &'a Affine,
    pub(super) silu: bool,
    pub(super) conv: &'a Conv,
}

/// The gradient of a [`NormConv`] by what it reads, as far as the normalisation.
pub(super) struct NormConvGradient {
    by_z: Buffer,
    input: InputGradient,
    /// Sums of the gradient by the result over the pixels of each image.
    by_image: Vec<f64>,
}

impl NormConv<'_> {
    /// The gradients by all parameters, and by z with what leads on from there to x.
    fn backward(
        &self,
        context: Context<'_>,
        x: &[&Images],
        gradient: &[f32],
        gradients: &mut Gradients<'_>,
    ) -> NormConvGradient {
        let (cpu, layer) = (context.cpu, self.conv.layer);
        let (extent, pixels) = (x[0].extent(), x[0].pixels());
        let normalised = context.normalise(&self.norm, self.affine, x);
        let parts = parts(x);
        let source = Source { parts: &parts, transform: Some(transform(&normalised, self.silu)) };
        let out = &mut gradients.weights[self.conv.weight.clone()];
        let by_image = layer.by_weight(cpu, extent, &source, gradient, out);
        gradients.bias(self.conv, &by_image);
        let statistics = (&normalised.spread[..], &normalised.level[..]);
        let weight = context.of(&self.conv.weight);
        let found = layer.by_data_through_norm(cpu, extent, gradient, weight, &source, statistics);
        let affine = context.of(&self.affine.weight);
        let (by_weight, by_bias) = gradients.norm(self.affine);
        let input =
            self.norm.gradients(&normalised, &found.sums, pixels, affine, by_weight, by_bias);
        NormConvGradient { by_z: found.by_z, input, by_image }
    }

    /// The same for one source; returns the gradient by it, plus `addend`.
    pub(super) fn backward_alone(
        &self,
        context: Context<'_>,
        x: &Images,
        gradient: &[f32],
        addend: Option<&[f32]>,
        gradients: &mut Gradients<'_>,
    ) -> Buffer {
        let mut found = self.backward(context, &[x], gradient, gradients);
        found.input.apply(context.cpu, x.pixels(), &x.values, addend, &mut found.by_z);
        found.by_z
    }
}

impl Resnet {
    pub(super) fn new(
        layout: &mut Layout,
        name: &str,
        norm: GroupNorm,
        (inputs, outputs): (usize, usize),
        column: usize,
    ) -> Self {
        let named = |part: &str| format!("{name}.{part}");
        Self {
            norm1: layout.norm(&named("norm1"), inputs),
            conv1: layout.conv(&named("conv1"), Kind::Same, inputs, outputs),
            norm2: layout.norm(&named("norm2"), outputs),
            conv2: layout.conv(&named("conv2"), Kind::Same, outputs, outputs),
            shortcut: (inputs != outputs)
                .then(|| layout.conv(&named("conv_shortcut"), Kind::Pointwise, inputs, outputs)),
            norm,
            column,
        }
    }

    /// The result of the first convolution; `embedding` is this block's, `(n, c)`.
    pub(super) fn hidden(&self, context: Context<'_>, x: &[&Images], embedding: &[f32]) -> Images {
        let normalised = context.normalise(&self.norm, &self.norm1, x);
        let parts = parts(x);
        let source = Source { parts: &parts, transform: Some(transform(&normalised, true)) };
        let addends = Addends {
            bias: Some(context.of(&self.conv1.bias)),
            by_image: Some(embedding),
            images: None,
        };
        let weight = context.of(&self.conv1.weight);
        self.conv1.layer.forward(context.cpu, x[0].extent(), &source, weight, &addends, true)
    }

    /// The block's result, from x and the result of the first convolution.
    pub(super) fn result(&self, context: Context<'_>, x: &[&Images], hidden: &Images) -> Images {
        let extent = x[0].extent();
        let shortcut = self.shortcut.as_ref().map(|conv| {
            let source = Source { parts: &parts(x), transform: None };
            let addends = Addends { bias: Some(context.of(&conv.bias)), ..Addends::default() };
            let weight = context.of(&conv.weight);
            conv.layer.forward(context.cpu, extent, &source, weight, &addends, false)
        });
        let normalised = context.normalise(&self.norm, &self.norm2, &[hidden]);
        let source =
            Source { parts: &[hidden.part()], transform: Some(transform(&normalised, true)) };
        let addends = Addends {
            bias: Some(context.of(&self.conv2.bias)),
            by_image: None,
            images: Some(shortcut.as_ref().map_or(&x[0].values, |shortcut| &shortcut.values)),
        };
        let weight = context.of(&self.conv2.weight);
        self.conv2.layer.forward(context.cpu, extent, &source, weight, &addends, true)
    }

    /// The gradients by all parameters, and by x: part i's into `by_x[i]`, added where there is one.
    pub(super) fn backward(
        &self,
        context: Context<'_>,
        x: &[&Images],
        hidden: Images,
        gradient: Buffer,
        gradients: &mut Gradients<'_>,
        by_x: &mut [Option<Buffer>],
    ) {
        let layer =
            NormConv { norm: self.norm, affine: &self.norm2, silu: true, conv: &self.conv2 };
        let by_hidden = layer.backward_alone(context, &hidden, &gradient, None, gradients);
        drop(hidden);
        let addend = self.through_shortcut(context, x, gradient, gradients);
        let layer =
            NormConv { norm: self.norm, affine: &self.norm1, silu: true, conv: &self.conv1 };
        let NormConvGradient { mut by_z, input, by_image } =
            layer.backward(context, x, &by_hidden, gradients);
        drop(by_hidden);
        self.keep_embedding(&by_image, gradients);
        let (cpu, parts, pixels) = (context.cpu, parts(x), x[0].pixels());
        if let ([x], [None]) = (x, &by_x[..]) {
            input.apply(cpu, pixels, &x.values, Some(&addend), &mut by_z);
            by_x[0] = Some(by_z);
            return;
        }
        let mut first = 0;
        for (part, by_x) in parts.iter().zip(by_x) {
            let add = by_x.is_some();
            let out = by_x.get_or_insert_with(|| cpu.pool.take(part.values.len()));
            let to = PartGradient { part: *part, first, out, add };
            input.write(cpu, pixels, &by_z, Some(&addend), to);
            first += part.channels;
        }
    }

    /// The gradient by x that passes around both convolutions.
    fn through_shortcut(
        &self,
        context: Context<'_>,
        x: &[&Images],
        gradient: Buffer,
        gradients: &mut Gradients<'_>,
    ) -> Buffer {
        let Some(conv) = &self.shortcut else { return gradient };
        let source = Source { parts: &parts(x), transform: None };
        let out = &mut gradients.weights[conv.weight.clone()];
        let extent = x[0].extent();
        let by_image = conv.layer.by_weight(context.cpu, extent, &source, &gradient, out);
        gradients.bias(conv, &by_image);
        conv.layer.by_data(context.cpu, extent, &gradient, context.of(&conv.weight))
    }

    fn keep_embedding(&self, by_image: &[f64], gradients: &mut Gradients<'_>) {
        let outputs = self.conv1.layer.outputs;
        let rows = gradients.embedding.chunks_exact_mut(gradients.embedding_width);
        for (row, by_image) in rows.zip(by_image.chunks_exact(outputs)) {
            let own = &mut row[self.column..self.column + outputs];
            own.iter_mut().zip(by_image).for_each(|(out, &sum)| *out = sum as f32);
        }
    }

    /// Channels of the result.
    pub(super) fn outputs(&self) -> usize {
        self.conv1.layer.outputs
    }
}

/// Images side by side, as convolutions read them.
pub(super) fn parts<'a>(images: &[&'a Images]) -> Vec<Part<'a>> {
    images.iter().map(|images| images.part()).collect()
}
