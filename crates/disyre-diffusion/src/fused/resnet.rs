use disyre_kernels::{
    Addends, Buffer, Cpu, Extent, GroupNorm, Images, Kind, Normalised, Part, PartGradient, Source,
    Transform,
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
        let extent = x[0].extent();
        let by_hidden = self.through_second(context, extent, hidden, &gradient, gradients);
        let addend = self.through_shortcut(context, x, gradient, gradients);
        let normalised = context.normalise(&self.norm, &self.norm1, x);
        let parts = parts(x);
        let source = Source { parts: &parts, transform: Some(transform(&normalised, true)) };
        let out = &mut gradients.weights[self.conv1.weight.clone()];
        let by_image = self.conv1.layer.by_weight(context.cpu, extent, &source, &by_hidden, out);
        gradients.bias(&self.conv1, &by_image);
        self.keep_embedding(&by_image, gradients);
        let statistics = (&normalised.spread[..], &normalised.level[..]);
        let weight = context.of(&self.conv1.weight);
        let (cpu, layer) = (context.cpu, self.conv1.layer);
        let mut found =
            layer.by_data_through_norm(cpu, extent, &by_hidden, weight, &source, statistics);
        drop(by_hidden);
        let affine = context.of(&self.norm1.weight);
        let (by_weight, by_bias) = gradients.norm(&self.norm1);
        let pixels = x[0].pixels();
        let input =
            self.norm.gradients(&normalised, &found.sums, pixels, affine, by_weight, by_bias);
        if let ([x], [None]) = (x, &by_x[..]) {
            input.apply(cpu, pixels, &x.values, Some(&addend), &mut found.by_z);
            by_x[0] = Some(found.by_z);
            return;
        }
        let mut first = 0;
        for (part, by_x) in parts.iter().zip(by_x) {
            let add = by_x.is_some();
            let out = by_x.get_or_insert_with(|| cpu.pool.take(part.values.len()));
            let to = PartGradient { part: *part, first, out, add };
            input.write(cpu, pixels, &found.by_z, Some(&addend), to);
            first += part.channels;
        }
    }

    /// The gradient by the result of the first convolution.
    fn through_second(
        &self,
        context: Context<'_>,
        extent: Extent,
        hidden: Images,
        gradient: &[f32],
        gradients: &mut Gradients<'_>,
    ) -> Buffer {
        let normalised = context.normalise(&self.norm, &self.norm2, &[&hidden]);
        let (cpu, layer, pixels) = (context.cpu, self.conv2.layer, hidden.pixels());
        let part = [hidden.part()];
        let source = Source { parts: &part, transform: Some(transform(&normalised, true)) };
        let out = &mut gradients.weights[self.conv2.weight.clone()];
        let by_image = layer.by_weight(cpu, extent, &source, gradient, out);
        gradients.bias(&self.conv2, &by_image);
        let statistics = (&normalised.spread[..], &normalised.level[..]);
        let weight = context.of(&self.conv2.weight);
        let mut found =
            layer.by_data_through_norm(cpu, extent, gradient, weight, &source, statistics);
        let affine = context.of(&self.norm2.weight);
        let (by_weight, by_bias) = gradients.norm(&self.norm2);
        let input =
            self.norm.gradients(&normalised, &found.sums, pixels, affine, by_weight, by_bias);
        input.apply(cpu, pixels, &hidden.values, None, &mut found.by_z);
        found.by_z
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
