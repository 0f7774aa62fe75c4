//! The network on the fused operations of the processor, with a gradient of its own.
//!
//! candle's tape keeps every intermediate tensor and adds every gradient to a tensor of zeros; here a block keeps one
//! tensor, normalisations and activations happen as convolutions read, and gradients are written where they belong.

mod attention;
mod embedding;
mod layout;
mod resnet;

use disyre_kernels::{Addends, Buffer, Cpu, Extent, GroupNorm, Images, Kind, Part, Source};

use crate::{Conditioning, UNetConfig};
use attention::{Attended, Attention};
use embedding::{Embedded, Embedding};
use layout::{Affine, Conv};
use resnet::{Context, Gradients, NormConv, Resnet, transform};

pub(crate) use layout::{Entry, Layout};

/// The [`UNet`](crate::UNet) over parameters in one run of numbers: the same function, other roundings.
#[derive(Debug)]
pub(crate) struct FusedNetwork {
    layout: Layout,
    embedding: Embedding,
    /// In order; the first reads the image, and each writes the feature maps of its own index plus one.
    steps: Vec<Step>,
    norm_out: Affine,
    conv_out: Conv,
    norm: GroupNorm,
    /// For each feature maps the last step that reads them.
    last_use: Vec<usize>,
}

/// One step, and which feature maps it reads.
#[derive(Debug)]
enum Step {
    Conv { conv: Conv, from: usize },
    Resnet { block: Resnet, from: Vec<usize> },
    Attention { block: Attention, from: usize },
}

/// What a step keeps for its gradient beside its result.
#[derive(Debug)]
enum Hidden {
    Nothing,
    Resnet(Images),
    Attention(Attended),
}

/// All that a pass keeps for the gradient.
#[derive(Debug)]
pub(crate) struct Tape {
    embedded: Embedded,
    /// By index; 0 is the image.
    maps: Vec<Option<Images>>,
    hidden: Vec<Hidden>,
}

/// The network while it is put together.
struct Builder<'a> {
    config: &'a UNetConfig,
    layout: Layout,
    norm: GroupNorm,
    steps: Vec<Step>,
    /// Names and channels of the blocks that take an embedding.
    blocks: Vec<(String, usize)>,
}

impl Builder<'_> {
    fn conv(
        &mut self,
        name: &str,
        kind: Kind,
        (inputs, outputs): (usize, usize),
        from: usize,
    ) -> usize {
        let conv = self.layout.conv(name, kind, inputs, outputs);
        self.push(Step::Conv { conv, from })
    }

    fn push(&mut self, step: Step) -> usize {
        self.steps.push(step);
        self.steps.len()
    }

    fn resnet(&mut self, name: &str, channels: (usize, usize), from: Vec<usize>) -> usize {
        let column = self.blocks.iter().map(|(_, channels)| channels).sum();
        let block = Resnet::new(&mut self.layout, name, self.norm, channels, column);
        self.blocks.push((name.to_owned(), channels.1));
        self.push(Step::Resnet { block, from })
    }

    fn attention(&mut self, name: &str, channels: usize, from: usize) -> usize {
        let head_channels = self.config.head_channels;
        let block = Attention::new(&mut self.layout, name, self.norm, channels, head_channels);
        self.push(Step::Attention { block, from })
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
        let mut at = self.conv("conv_in", Kind::Same, (self.config.in_channels, channels[0]), 0);
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
                at = self.conv(&name, Kind::Halving, (outputs, outputs), at);
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
                at = self.conv(&name, Kind::Doubling, (outputs, outputs), at);
            }
        }
        at
    }
}

impl Step {
    fn sources(&self) -> &[usize] {
        match self {
            Self::Conv { from, .. } | Self::Attention { from, .. } => std::slice::from_ref(from),
            Self::Resnet { from, .. } => from,
        }
    }
}

impl FusedNetwork {
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
        let norm_out = layout.norm("conv_norm_out", first);
        let conv_out = layout.conv("conv_out", Kind::Same, first, config.out_channels);
        let embedding = Embedding::new(&mut layout, config, &blocks);
        let mut last_use: Vec<usize> = (0..=steps.len()).collect();
        for (index, step) in steps.iter().enumerate() {
            step.sources().iter().for_each(|&from| last_use[from] = index);
        }
        Self { layout, embedding, steps, norm_out, conv_out, norm, last_use }
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Restores a batch `(n, h, w, c)`; `weights` is a run in the order of the layout.
    pub(crate) fn forward(
        &self,
        cpu: &Cpu,
        weights: &[f32],
        image: Images,
        conditioning: &Conditioning,
    ) -> Images {
        let context = Context { cpu, weights };
        let embedded = self.embedding.forward(context, conditioning);
        let mut maps = self.empty_maps(image);
        for (index, step) in self.steps.iter().enumerate() {
            let (result, _) = self.step(context, step, &maps, &embedded);
            maps[index + 1] = Some(result);
            for &from in step.sources() {
                if self.last_use[from] == index {
                    maps[from] = None;
                }
            }
        }
        let last = maps.pop().flatten();
        self.output(context, last.as_ref().expect("the last step wrote its maps"))
    }

    /// The same, with what the gradient needs. With `recompute` set, results within blocks are not kept but computed
    /// anew for the gradient: less memory for more work.
    pub(crate) fn forward_taped(
        &self,
        cpu: &Cpu,
        weights: &[f32],
        image: Images,
        conditioning: &Conditioning,
        recompute: bool,
    ) -> (Images, Tape) {
        let context = Context { cpu, weights };
        let embedded = self.embedding.forward(context, conditioning);
        let (mut maps, mut hidden) = (self.empty_maps(image), Vec::new());
        for (index, step) in self.steps.iter().enumerate() {
            let (result, within) = self.step(context, step, &maps, &embedded);
            maps[index + 1] = Some(result);
            hidden.push(if recompute { Hidden::Nothing } else { within });
        }
        let output = self.output(context, map(&maps, self.steps.len()));
        (output, Tape { embedded, maps, hidden })
    }

    /// Writes the gradient by every parameter to `out`, in the order of the layout, from the one by the result.
    pub(crate) fn backward(
        &self,
        cpu: &Cpu,
        weights: &[f32],
        tape: Tape,
        gradient: &[f32],
        out: &mut [f32],
    ) {
        let context = Context { cpu, weights };
        let Tape { embedded, mut maps, mut hidden } = tape;
        let width = self.embedding.width();
        let mut by_embedding = vec![0.0; embedded.blocks.values.len()];
        let mut gradients =
            Gradients { weights: out, embedding: &mut by_embedding, embedding_width: width };
        let mut by_map: Vec<Option<Buffer>> = maps.iter().map(|_| None).collect();
        let last = self.steps.len();
        let (norm, affine, conv) = (self.norm, &self.norm_out, &self.conv_out);
        let layer = NormConv { norm, affine, silu: true, conv };
        let x = map(&maps, last);
        by_map[last] = Some(layer.backward_alone(context, x, gradient, None, &mut gradients));
        for (index, step) in self.steps.iter().enumerate().rev() {
            maps[index + 1] = None;
            let within = hidden.pop().unwrap_or(Hidden::Nothing);
            let gradient = by_map[index + 1].take().expect("every step's result is used");
            let from = step.sources();
            let within = match within {
                Hidden::Nothing => self.hidden(context, step, &maps, &embedded),
                kept => kept,
            };
            let mut by_x: Vec<_> = from.iter().map(|&from| by_map[from].take()).collect();
            step_backward(context, step, &maps, within, gradient, &mut gradients, &mut by_x);
            for (&from, by_x) in from.iter().zip(by_x) {
                by_map[from] = by_x;
            }
        }
        self.embedding.backward(context, &embedded, &mut gradients);
    }

    fn empty_maps(&self, image: Images) -> Vec<Option<Images>> {
        let mut maps: Vec<Option<Images>> = (0..=self.steps.len()).map(|_| None).collect();
        maps[0] = Some(image);
        maps
    }

    /// What a step computes before its result.
    fn hidden(
        &self,
        context: Context<'_>,
        step: &Step,
        maps: &[Option<Images>],
        embedded: &Embedded,
    ) -> Hidden {
        match step {
            Step::Conv { .. } => Hidden::Nothing,
            Step::Resnet { block, from } => {
                let x: Vec<&Images> = from.iter().map(|&from| map(maps, from)).collect();
                let rows = embedded.blocks.values.chunks_exact(self.embedding.width());
                let own = block.column..block.column + block.outputs();
                let own: Vec<f32> = rows.flat_map(|row| &row[own.clone()]).copied().collect();
                Hidden::Resnet(block.hidden(context, &x, &own))
            }
            Step::Attention { block, from } => {
                Hidden::Attention(block.hidden(context, map(maps, *from)))
            }
        }
    }

    /// A step's result and what it computed before.
    fn step(
        &self,
        context: Context<'_>,
        step: &Step,
        maps: &[Option<Images>],
        embedded: &Embedded,
    ) -> (Images, Hidden) {
        let hidden = self.hidden(context, step, maps, embedded);
        let result = match (step, &hidden) {
            (Step::Resnet { block, from }, Hidden::Resnet(hidden)) => {
                let x: Vec<&Images> = from.iter().map(|&from| map(maps, from)).collect();
                block.result(context, &x, hidden)
            }
            (Step::Attention { block, from }, Hidden::Attention(hidden)) => {
                block.result(context, map(maps, *from), hidden)
            }
            (step, _) => plain(context, step, maps),
        };
        (result, hidden)
    }

    fn output(&self, context: Context<'_>, last: &Images) -> Images {
        let normalised = context.normalise(&self.norm, &self.norm_out, &[last]);
        let source =
            Source { parts: &[last.part()], transform: Some(transform(&normalised, true)) };
        let addends = Addends { bias: Some(context.of(&self.conv_out.bias)), ..Addends::default() };
        let weight = context.of(&self.conv_out.weight);
        self.conv_out.layer.forward(context.cpu, last.extent(), &source, weight, &addends, false)
    }
}

/// # Panics
/// If no step has written the maps, or all that read them are done: steps are in order.
fn map(maps: &[Option<Images>], index: usize) -> &Images {
    maps[index].as_ref().expect("maps are there as long as a step reads them")
}

/// The result of a convolution by itself.
fn plain(context: Context<'_>, step: &Step, maps: &[Option<Images>]) -> Images {
    let Step::Conv { conv, from } = step else {
        unreachable!("other steps compute something first")
    };
    let x = map(maps, *from);
    let source = Source { parts: &[x.part()], transform: None };
    let addends = Addends { bias: Some(context.of(&conv.bias)), ..Addends::default() };
    let weight = context.of(&conv.weight);
    conv.layer.forward(context.cpu, x.extent(), &source, weight, &addends, true)
}

/// The gradients by a step's parameters and sources.
fn step_backward(
    context: Context<'_>,
    step: &Step,
    maps: &[Option<Images>],
    hidden: Hidden,
    gradient: Buffer,
    gradients: &mut Gradients<'_>,
    by_x: &mut [Option<Buffer>],
) {
    match (step, hidden) {
        (Step::Resnet { block, from }, Hidden::Resnet(hidden)) => {
            let x: Vec<&Images> = from.iter().map(|&from| map(maps, from)).collect();
            block.backward(context, &x, hidden, gradient, gradients, by_x);
        }
        (Step::Attention { block, from }, Hidden::Attention(hidden)) => {
            let found = block.backward(context, map(maps, *from), hidden, &gradient, gradients);
            by_x[0] = Some(match by_x[0].take() {
                None => found,
                Some(sum) => added(sum, &found),
            });
        }
        (Step::Conv { conv, from }, _) => {
            plain_backward(context, conv, (*from, map(maps, *from)), &gradient, gradients, by_x);
        }
        _ => unreachable!("every step has its own kind of hidden results"),
    }
}

fn plain_backward(
    context: Context<'_>,
    conv: &Conv,
    (from, x): (usize, &Images),
    gradient: &[f32],
    gradients: &mut Gradients<'_>,
    by_x: &mut [Option<Buffer>],
) {
    let (cpu, extent, weight) = (context.cpu, x.extent(), context.of(&conv.weight));
    let parts = [Part::new(&x.values, x.channels)];
    let source = Source { parts: &parts, transform: None };
    let out = &mut gradients.weights[conv.weight.clone()];
    let by_image = conv.layer.by_weight(cpu, extent, &source, gradient, out);
    gradients.bias(conv, &by_image);
    // Nobody asks for the gradient by the image itself.
    if from == 0 {
        return;
    }
    match &mut by_x[0] {
        Some(sum) => conv.layer.add_by_data(cpu, extent, gradient, weight, sum),
        none => *none = Some(conv.layer.by_data(cpu, extent, gradient, weight)),
    }
}

/// Of small maps only: those with attention.
fn added(mut sum: Buffer, more: &[f32]) -> Buffer {
    sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
    sum
}

/// Images `(n, c, h, w)` as feature maps `(n, h, w, c)`.
pub(crate) fn to_maps(cpu: &Cpu, values: &[f32], extent: Extent, channels: usize) -> Images {
    let Extent { count, height, width } = extent;
    let mut out = cpu.pool.take(values.len());
    permute(values, [channels, height * width], &mut out);
    Images { count, height, width, channels, values: out, moments: Vec::new() }
}

/// Transposes each of a run of matrices `(rows, columns)`.
pub(crate) fn permute(values: &[f32], [rows, columns]: [usize; 2], out: &mut [f32]) {
    let matrices = values.chunks_exact(rows * columns).zip(out.chunks_exact_mut(rows * columns));
    for (matrix, out) in matrices {
        if rows == 1 {
            out.copy_from_slice(matrix);
            continue;
        }
        for (row, values) in matrix.chunks_exact(columns).enumerate() {
            let column = out.iter_mut().skip(row).step_by(rows);
            column.zip(values).for_each(|(out, &value)| *out = value);
        }
    }
}
