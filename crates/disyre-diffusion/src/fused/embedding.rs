use disyre_kernels::{Addends, Buffer, Extent, Images, Kind, Part, Source, Transform};

use super::layout::{Conv, Layout};
use super::resnet::{Context, Gradients};
use crate::unet::sinusoids;
use crate::{Conditioning, UNetConfig};

/// From conditioning to what every residual block adds: sinusoid, linear, SiLU, linear, SiLU, and one linear layer for
/// all blocks side by side. Items lie side by side like the pixels of one row.
#[derive(Debug)]
pub(super) struct Embedding {
    first: Conv,
    second: Conv,
    blocks: Conv,
    sinusoid: usize,
}

/// What the embedding keeps for its gradient.
#[derive(Debug)]
pub(super) struct Embedded {
    sinusoid: Vec<f32>,
    first: Images,
    second: Images,
    /// `(n, all blocks' channels)`.
    pub(super) blocks: Images,
}

/// SiLU alone, as a transformation of `channels` channels.
struct Silu {
    ones: Vec<f32>,
    zeros: Vec<f32>,
}

impl Silu {
    fn new(channels: usize) -> Self {
        Self { ones: vec![1.0; channels], zeros: vec![0.0; channels] }
    }

    fn transform(&self) -> Transform<'_> {
        Transform { scale: &self.ones, shift: &self.zeros, silu: true }
    }
}

impl Embedding {
    /// `blocks` are the blocks' names and channels.
    pub(super) fn new(
        layout: &mut Layout,
        config: &UNetConfig,
        blocks: &[(String, usize)],
    ) -> Self {
        let (sinusoid, channels) = (config.sinusoid_channels, config.embedding_channels);
        let mut linear = |name: &str, inputs| {
            layout.linear(inputs, &[(format!("time_embedding.{name}"), channels)])
        };
        let (first, second) = (linear("linear_1", sinusoid), linear("linear_2", channels));
        let blocks: Vec<_> =
            blocks.iter().map(|(name, c)| (format!("{name}.time_emb_proj"), *c)).collect();
        Self { first, second, blocks: layout.linear(channels, &blocks), sinusoid }
    }

    /// Channels of all blocks.
    pub(super) fn width(&self) -> usize {
        self.blocks.layer.outputs
    }

    pub(super) fn forward(&self, context: Context<'_>, conditioning: &Conditioning) -> Embedded {
        let sinusoid = sinusoids(conditioning, self.sinusoid);
        let silu = Silu::new(self.second.layer.inputs);
        let apply = |conv: &Conv, values: &[f32], transform| {
            debug_assert_eq!(conv.layer.kind, Kind::Pointwise);
            let parts = [Part::new(values, conv.layer.inputs)];
            let source = Source { parts: &parts, transform };
            let addends = Addends { bias: Some(context.of(&conv.bias)), ..Addends::default() };
            let weight = context.of(&conv.weight);
            let extent = row(conditioning.len());
            conv.layer.forward(context.cpu, extent, &source, weight, &addends, false)
        };
        let first = apply(&self.first, &sinusoid, None);
        let second = apply(&self.second, &first.values, Some(silu.transform()));
        let blocks = apply(&self.blocks, &second.values, Some(silu.transform()));
        Embedded { sinusoid, first, second, blocks }
    }

    /// The gradients by all parameters, from `gradients.embedding`.
    pub(super) fn backward(
        &self,
        context: Context<'_>,
        embedded: &Embedded,
        gradients: &mut Gradients<'_>,
    ) {
        let silu = Silu::new(self.second.layer.inputs);
        let extent = embedded.blocks.extent();
        let (first, second) = (&embedded.first.values, &embedded.second.values);
        let gradient = gradients.embedding.to_vec();
        let activated = Some(silu.transform());
        learn(context, &self.blocks, extent, (second, activated), &gradient, gradients);
        let by_second = through(context, &self.blocks, (second, &silu), extent, &gradient);
        learn(context, &self.second, extent, (first, activated), &by_second, gradients);
        let by_first = through(context, &self.second, (first, &silu), extent, &by_second);
        learn(context, &self.first, extent, (&embedded.sinusoid, None), &by_first, gradients);
    }
}

/// The gradients by weight and bias of one linear layer.
fn learn(
    context: Context<'_>,
    conv: &Conv,
    extent: Extent,
    (values, transform): (&[f32], Option<Transform<'_>>),
    gradient: &[f32],
    gradients: &mut Gradients<'_>,
) {
    let parts = [Part::new(values, conv.layer.inputs)];
    let source = Source { parts: &parts, transform };
    let out = &mut gradients.weights[conv.weight.clone()];
    let sums = conv.layer.by_weight(context.cpu, extent, &source, gradient, out);
    gradients.bias(conv, &sums);
}

/// The gradient by what SiLU was taken of.
fn through(
    context: Context<'_>,
    conv: &Conv,
    (values, silu): (&[f32], &Silu),
    extent: Extent,
    gradient: &[f32],
) -> Buffer {
    let parts = [Part::new(values, conv.layer.inputs)];
    let source = Source { parts: &parts, transform: Some(silu.transform()) };
    let statistics = (&silu.zeros[..], &silu.zeros[..]);
    let weight = context.of(&conv.weight);
    let (cpu, layer) = (context.cpu, conv.layer);
    layer.by_data_through_norm(cpu, extent, gradient, weight, &source, statistics).by_z
}

/// n items as one row of pixels.
fn row(n: usize) -> Extent {
    Extent { count: 1, height: 1, width: n }
}
