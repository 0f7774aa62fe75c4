//! The network over any backend, with a gradient of its own: the engine runs and trains it.
//!
//! candle's tape keeps every intermediate tensor and adds every gradient to a tensor of zeros; here a block keeps one
//! tensor, normalisations and activations happen as convolutions read, and gradients are written where they belong.

mod attention;
mod config;
mod cost;
mod embedding;
mod layout;
mod memory;
mod resnet;
mod sinusoids;

use std::borrow::Cow;

use disyre_kernels::backend::{Added, Backend, Conv, FeatureMaps, Input, PartGradients};
use disyre_kernels::{ConvKind, Extent, GroupNorm};

use crate::slices::ImageBatch;
use crate::{Conditioning, Parameters};
use attention::{Attended, Attention};
use embedding::{Embedded, Embedding, row};
use resnet::{Context, Gradients, NormConv, Resnet};

pub use config::UNetConfig;
pub use cost::PassCost;
pub(crate) use layout::{Entry, Layout};
pub(crate) use memory::Purpose;
#[cfg(feature = "candle")]
pub(crate) use sinusoids::sinusoids;

/// The layers of the restoration network, and where their parameters lie in one run of numbers.
#[derive(Debug)]
pub(crate) struct Network {
    layout: Layout,
    embedding: Embedding,
    /// In order; the first reads the image, and each writes the feature maps of its own index plus one.
    steps: Vec<Block>,
    output: NormConv,
    /// For each feature maps the last step that reads them.
    last_use: Vec<usize>,
}

/// One block, and which feature maps it reads.
#[derive(Debug)]
enum Block {
    Conv { conv: Conv, from: usize },
    Resnet { block: Resnet, from: Vec<usize> },
    Attention { block: Attention, from: usize },
}

/// Intermediate results that a block keeps for its gradient.
#[derive(Debug)]
enum Hidden<B: Backend> {
    Nothing,
    Resnet(FeatureMaps<B>),
    Attention(Attended<B>),
}

/// The inputs of a pass, on the device.
#[derive(Debug)]
pub(crate) struct Inputs<'a, B: Backend> {
    pub(crate) image: &'a FeatureMaps<B>,
    /// Of each image's conditioning: see [`Network::sinusoids`].
    pub(crate) sinusoid: &'a FeatureMaps<B>,
    /// See [`Network::identity`].
    pub(crate) identity: &'a B::Normalised,
}

/// All that a pass keeps for the gradient.
#[derive(Debug)]
pub(crate) struct Tape<'a, B: Backend> {
    inputs: &'a Inputs<'a, B>,
    embedded: Embedded<B>,
    passed: Passed<'a, B>,
    hidden: Vec<Hidden<B>>,
}

/// The feature maps of a pass by index, as long as they are needed.
#[derive(Debug)]
struct Passed<'a, B: Backend> {
    /// Number 0.
    image: &'a FeatureMaps<B>,
    /// From number 1 on.
    results: Vec<Option<FeatureMaps<B>>>,
}

impl<B: Backend> Passed<'_, B> {
    /// # Panics
    /// If no step has written the maps, or all that read them are done: steps are in order.
    fn get(&self, index: usize) -> &FeatureMaps<B> {
        let result = |index: usize| self.results[index].as_ref();
        match index.checked_sub(1) {
            None => self.image,
            Some(index) => result(index).expect("maps are there as long as a step reads them"),
        }
    }

    fn all(&self, indices: &[usize]) -> Vec<&FeatureMaps<B>> {
        indices.iter().map(|&index| self.get(index)).collect()
    }

    fn forget(&mut self, index: usize) {
        if let Some(index) = index.checked_sub(1) {
            self.results[index] = None;
        }
    }
}

/// The network while it is put together.
struct Builder<'a> {
    config: &'a UNetConfig,
    layout: Layout,
    norm: GroupNorm,
    steps: Vec<Block>,
    /// Names and channels of the blocks that take an embedding.
    blocks: Vec<(String, usize)>,
}

impl Builder<'_> {
    fn conv(
        &mut self,
        name: &str,
        kind: ConvKind,
        (inputs, outputs): (usize, usize),
        from: usize,
    ) -> usize {
        let conv = self.layout.conv(name, kind, inputs, outputs);
        self.push(Block::Conv { conv, from })
    }

    fn push(&mut self, step: Block) -> usize {
        self.steps.push(step);
        self.steps.len()
    }

    fn resnet(&mut self, name: &str, channels: (usize, usize), from: Vec<usize>) -> usize {
        let column = self.blocks.iter().map(|(_, channels)| channels).sum();
        let block = Resnet::new(&mut self.layout, name, self.norm, channels, column);
        self.blocks.push((name.to_owned(), channels.1));
        self.push(Block::Resnet { block, from })
    }

    fn attention(&mut self, name: &str, channels: usize, from: usize) -> usize {
        let head_channels = self.config.head_channels;
        let block = Attention::new(&mut self.layout, name, self.norm, channels, head_channels);
        self.push(Block::Attention { block, from })
    }

    /// A residual block and, on some levels, attention.
    fn attended(
        &mut self,
        name: &str,
        i: usize,
        level: usize,
        channels: (usize, usize),
        from: Vec<usize>,
    ) -> usize {
        let at = self.resnet(&format!("{name}.resnets.{i}"), channels, from);
        match self.config.attention_levels.contains(&level) {
            true => self.attention(&format!("{name}.attentions.{i}"), channels.1, at),
            false => at,
        }
    }

    /// Down to the coarsest level; returns where it ends, and the skips with their channels.
    fn down(&mut self) -> (usize, Vec<(usize, usize)>) {
        let channels = &self.config.channels;
        let mut at =
            self.conv("conv_in", ConvKind::Conv3x3, (self.config.in_channels, channels[0]), 0);
        let mut skips = vec![(at, channels[0])];
        let mut inputs = channels[0];
        for (level, &outputs) in channels.iter().enumerate() {
            let name = format!("down_blocks.{level}");
            for i in 0..self.config.resnets_per_level {
                at = self.attended(&name, i, level, (inputs, outputs), vec![at]);
                skips.push((at, outputs));
                inputs = outputs;
            }
            if level + 1 < channels.len() {
                let name = format!("{name}.downsamplers.0.conv");
                at = self.conv(&name, ConvKind::Strided, (outputs, outputs), at);
                skips.push((at, outputs));
            }
        }
        (at, skips)
    }

    fn middle(&mut self, mut at: usize) -> usize {
        let channels = self.config.channels.last().copied().unwrap_or_default();
        at = self.resnet("mid_block.resnets.0", (channels, channels), vec![at]);
        if self.config.middle_attention {
            at = self.attention("mid_block.attentions.0", channels, at);
        }
        self.resnet("mid_block.resnets.1", (channels, channels), vec![at])
    }

    fn up(&mut self, mut at: usize, mut skips: Vec<(usize, usize)>) -> usize {
        let levels = self.config.channels.len();
        let mut inputs = self.config.channels[levels - 1];
        for (block, level) in (0..levels).rev().enumerate() {
            let (name, outputs) = (format!("up_blocks.{block}"), self.config.channels[level]);
            for i in 0..=self.config.resnets_per_level {
                let (skip, channels) = skips.pop().unwrap_or_default();
                let sizes = (inputs + channels, outputs);
                at = self.attended(&name, i, level, sizes, vec![at, skip]);
                inputs = outputs;
            }
            if level > 0 {
                let name = format!("{name}.upsamplers.0.conv");
                at = self.conv(&name, ConvKind::Upsampled, (outputs, outputs), at);
            }
        }
        at
    }
}

impl Network {
    /// The network of a configuration that has been checked.
    pub(crate) fn new(config: &UNetConfig) -> Self {
        let norm = GroupNorm { groups: config.groups, epsilon: config.norm_epsilon };
        let (layout, steps, blocks) = (Layout::default(), Vec::new(), Vec::new());
        let mut builder = Builder { config, layout, norm, steps, blocks };
        let (at, skips) = builder.down();
        let at = builder.middle(at);
        builder.up(at, skips);
        let Builder { mut layout, steps, blocks, .. } = builder;
        let first = config.channels[0];
        let affine = layout.norm("conv_norm_out", norm, first);
        let conv = layout.conv("conv_out", ConvKind::Conv3x3, first, config.out_channels);
        let output = NormConv { affine, silu: true, conv };
        let embedding = Embedding::new(&mut layout, config, &blocks);
        let mut last_use: Vec<usize> = (0..=steps.len()).collect();
        for (index, step) in steps.iter().enumerate() {
            step.sources().iter().for_each(|&from| last_use[from] = index);
        }
        Self { layout, embedding, steps, output, last_use }
    }

    /// Parameters in one run, as the layout says.
    ///
    /// # Panics
    /// If they are another network's.
    pub(crate) fn laid_out(&self, parameters: &Parameters) -> Vec<f32> {
        let mut run = vec![0.0; self.layout.len()];
        for entry in self.layout.entries() {
            let values = parameters.get(&entry.name).expect("parameters are those of the network");
            entry.write(values.iter().copied(), &mut run);
        }
        run
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Conditioning on the device, `(n, sinusoid)`.
    pub(crate) fn sinusoids<B: Backend>(
        &self,
        backend: &B,
        conditioning: &Conditioning,
    ) -> FeatureMaps<B> {
        let (row, length) = (row(conditioning.len()), self.embedding.sinusoid());
        backend.maps(&self.embedding.sinusoids(conditioning), row, length)
    }

    /// Puts that of as many images in its place.
    pub(crate) fn replace_sinusoids<B: Backend>(
        &self,
        backend: &B,
        conditioning: &Conditioning,
        sinusoids: &mut FeatureMaps<B>,
    ) {
        backend.replace(&self.embedding.sinusoids(conditioning), sinusoids);
    }

    /// The normalisation that changes nothing: the embedding reads through it where SiLU alone comes before a convolution.
    pub(crate) fn identity<B: Backend>(&self, backend: &B) -> B::Normalised {
        backend.identity(self.embedding.inner())
    }

    /// Restores a batch; `weights` is a run in the order of the layout.
    pub(crate) fn forward<B: Backend>(
        &self,
        backend: &B,
        weights: &B::Values,
        inputs: &Inputs<'_, B>,
    ) -> FeatureMaps<B> {
        let context = Context { backend, weights };
        let embedded = self.embedding.forward(&context, inputs);
        let mut passed = Passed { image: inputs.image, results: Vec::new() };
        for (index, step) in self.steps.iter().enumerate() {
            let (result, _) = step.forward(&context, &passed, &embedded);
            passed.results.push(Some(result));
            for &from in step.sources() {
                if self.last_use[from] == index {
                    passed.forget(from);
                }
            }
        }
        self.result(&context, &passed)
    }

    /// The same, with what the gradient needs. With `recompute` set, results within blocks are not kept but computed
    /// anew for the gradient: less memory for more work.
    pub(crate) fn forward_taped<'a, B: Backend>(
        &self,
        backend: &B,
        weights: &B::Values,
        inputs: &'a Inputs<'a, B>,
        recompute: bool,
    ) -> (FeatureMaps<B>, Tape<'a, B>) {
        let context = Context { backend, weights };
        let embedded = self.embedding.forward(&context, inputs);
        let mut passed = Passed { image: inputs.image, results: Vec::new() };
        let mut hidden = Vec::new();
        for step in &self.steps {
            let (result, within) = step.forward(&context, &passed, &embedded);
            passed.results.push(Some(result));
            hidden.push(if recompute { Hidden::Nothing } else { within });
        }
        (self.result(&context, &passed), Tape { inputs, embedded, passed, hidden })
    }

    /// Writes the gradient by every parameter to `out`, in the order of the layout, from the one by the result.
    pub(crate) fn backward<B: Backend>(
        &self,
        backend: &B,
        weights: &B::Values,
        tape: Tape<'_, B>,
        gradient: &B::Map,
        out: &mut B::Values,
    ) {
        let context = Context { backend, weights };
        let Tape { inputs, embedded, mut passed, mut hidden } = tape;
        let embedding = self.embedding.blank(backend, embedded.blocks.extent().width);
        let mut gradients = Gradients { weights: out, embedding };
        let mut by_map: Vec<Option<B::Map>> = (0..=self.steps.len()).map(|_| None).collect();
        let last = self.steps.len();
        let to = PartGradients { addend: None, by_parts: &mut by_map[last..] };
        self.output.backward(&context, passed.get(last), gradient, gradients.weights, to);
        for (index, step) in self.steps.iter().enumerate().rev() {
            passed.forget(index + 1);
            let gradient = by_map[index + 1].take().expect("every step's result is used");
            let within = match hidden.pop().unwrap_or(Hidden::Nothing) {
                Hidden::Nothing => step.hidden(&context, &passed, &embedded),
                kept => kept,
            };
            let from = step.sources();
            let mut by_x: Vec<_> = from.iter().map(|&from| by_map[from].take()).collect();
            step.backward(&context, &passed, within, gradient, &mut gradients, &mut by_x);
            for (&from, by_x) in from.iter().zip(by_x) {
                by_map[from] = by_x;
            }
        }
        self.embedding.backward(&context, inputs, &embedded, gradients);
    }

    fn result<B: Backend>(
        &self,
        context: &Context<'_, B>,
        passed: &Passed<'_, B>,
    ) -> FeatureMaps<B> {
        let last = passed.get(self.steps.len());
        self.output.forward(context, &[last], &Added::default(), false)
    }
}

impl Block {
    fn sources(&self) -> &[usize] {
        match self {
            Self::Conv { from, .. } | Self::Attention { from, .. } => std::slice::from_ref(from),
            Self::Resnet { from, .. } => from,
        }
    }

    /// Its convolutions; all have results of one size.
    fn convs(&self) -> Vec<&Conv> {
        match self {
            Self::Conv { conv, .. } => vec![conv],
            Self::Resnet { block, .. } => block.convs(),
            Self::Attention { block, .. } => block.convs(),
        }
    }

    /// The intermediate results of a block.
    fn hidden<B: Backend>(
        &self,
        context: &Context<'_, B>,
        passed: &Passed<'_, B>,
        embedded: &Embedded<B>,
    ) -> Hidden<B> {
        match self {
            Self::Conv { .. } => Hidden::Nothing,
            Self::Resnet { block, from } => {
                Hidden::Resnet(block.hidden(context, &passed.all(from), &embedded.blocks))
            }
            Self::Attention { block, from } => {
                Hidden::Attention(block.hidden(context, passed.get(*from)))
            }
        }
    }

    /// A step's result and what it computed before.
    fn forward<B: Backend>(
        &self,
        context: &Context<'_, B>,
        passed: &Passed<'_, B>,
        embedded: &Embedded<B>,
    ) -> (FeatureMaps<B>, Hidden<B>) {
        let hidden = self.hidden(context, passed, embedded);
        let result = match (self, &hidden) {
            (Self::Conv { conv, from }, _) => context.convolve(conv, &[passed.get(*from)], true),
            (Self::Resnet { block, from }, Hidden::Resnet(hidden)) => {
                block.result(context, &passed.all(from), hidden)
            }
            (Self::Attention { block, from }, Hidden::Attention(hidden)) => {
                block.result(context, passed.get(*from), hidden)
            }
            _ => unreachable!("every step has its own kind of hidden results"),
        };
        (result, hidden)
    }

    /// The gradients by a step's parameters and sources.
    fn backward<B: Backend>(
        &self,
        context: &Context<'_, B>,
        passed: &Passed<'_, B>,
        hidden: Hidden<B>,
        gradient: B::Map,
        gradients: &mut Gradients<'_, B>,
        by_x: &mut [Option<B::Map>],
    ) {
        match (self, hidden) {
            (Self::Resnet { block, from }, Hidden::Resnet(hidden)) => {
                block.backward(context, &passed.all(from), hidden, gradient, gradients, by_x);
            }
            (Self::Attention { block, from }, Hidden::Attention(hidden)) => {
                let (x, out) = (passed.get(*from), &mut *gradients.weights);
                block.backward(context, x, hidden, &gradient, out, by_x);
            }
            (Self::Conv { conv, from }, _) => {
                let (backend, x) = (context.backend, passed.get(*from));
                let input = Input { parts: &[x], through: None };
                backend.backward_filter(conv, &input, &gradient, gradients.weights, None);
                // Nobody asks for the gradient by the image itself.
                if *from > 0 {
                    let onto = by_x[0].take();
                    let (weights, extent) = (context.weights, x.extent());
                    by_x[0] = Some(backend.backward_data(conv, weights, extent, &gradient, onto));
                }
            }
            _ => unreachable!("every step has its own kind of hidden results"),
        }
    }
}

/// Images `(n, c, h, w)` as feature maps `(n, h, w, c)` on a device.
pub(crate) fn to_maps<B: Backend>(backend: &B, images: &ImageBatch) -> FeatureMaps<B> {
    let [count, channels, height, width] = images.shape;
    let values = transposed(&images.values, [channels, height * width]);
    backend.maps(&values, Extent { count, height, width }, channels)
}

/// Puts images of the same shape in the place of earlier ones.
pub(crate) fn replace_maps<B: Backend>(
    backend: &B,
    images: &ImageBatch,
    maps: &mut FeatureMaps<B>,
) {
    let [_, channels, height, width] = images.shape;
    backend.replace(&transposed(&images.values, [channels, height * width]), maps);
}

/// Transposes each of a run of matrices `(rows, columns)`.
pub(crate) fn transposed(values: &[f32], [rows, columns]: [usize; 2]) -> Cow<'_, [f32]> {
    if rows == 1 || columns == 1 {
        return Cow::Borrowed(values);
    }
    let mut out = vec![0.0; values.len()];
    let matrices = values.chunks_exact(rows * columns).zip(out.chunks_exact_mut(rows * columns));
    for (matrix, out) in matrices {
        for (row, values) in matrix.chunks_exact(columns).enumerate() {
            let column = out.iter_mut().skip(row).step_by(rows);
            column.zip(values).for_each(|(out, &value)| *out = value);
        }
    }
    Cow::Owned(out)
}
