//! The embedding of the conditioning that every residual block adds.

use disyre_kernels::Extent;
use disyre_kernels::backend::{Added, Backend, Conv, FeatureMaps, Input, Through};

use super::Inputs;
use super::layout::Layout;
use super::resnet::{Context, Gradients};
use super::sinusoids::sinusoids;
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

/// Intermediate results that the embedding keeps for its gradient.
#[derive(Debug)]
pub(super) struct Embedded<B: Backend> {
    first: FeatureMaps<B>,
    second: FeatureMaps<B>,
    /// `(n, all blocks' channels)`.
    pub(super) blocks: FeatureMaps<B>,
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

    /// The sinusoids of each item's conditioning.
    pub(super) fn sinusoids(&self, conditioning: &Conditioning) -> Vec<f32> {
        sinusoids(conditioning, self.sinusoid)
    }

    /// Length of a sinusoid.
    pub(super) fn sinusoid(&self) -> usize {
        self.sinusoid
    }

    /// Channels between the linear layers.
    pub(super) fn inner(&self) -> usize {
        self.second.layer.inputs
    }

    /// FeatureMaps for the gradient by the embeddings of all blocks.
    pub(super) fn blank<B: Backend>(&self, backend: &B, items: usize) -> FeatureMaps<B> {
        backend.blank(row(items), self.blocks.layer.outputs)
    }

    pub(super) fn forward<B: Backend>(
        &self,
        context: &Context<'_, B>,
        inputs: &Inputs<'_, B>,
    ) -> Embedded<B> {
        let first = context.convolve(&self.first, &[inputs.sinusoid], false);
        let through = |conv, x: &FeatureMaps<B>| {
            let parts = [x];
            let (input, nothing) = (activated(&parts, inputs), Added::default());
            context.backend.convolve(conv, context.weights, &input, &nothing, false)
        };
        let second = through(&self.second, &first);
        let blocks = through(&self.blocks, &second);
        Embedded { first, second, blocks }
    }

    /// The gradients by all parameters, from `gradients.embedding`.
    pub(super) fn backward<B: Backend>(
        &self,
        context: &Context<'_, B>,
        inputs: &Inputs<'_, B>,
        embedded: &Embedded<B>,
        gradients: Gradients<'_, B>,
    ) {
        let Gradients { weights: out, embedding } = gradients;
        let mut through = |conv: &Conv, x: &FeatureMaps<B>, gradient: &B::Map| {
            let parts = [x];
            let input = activated(&parts, inputs);
            context.backend.backward_filter(conv, &input, gradient, out, None);
            context.backend.backward_data_through_norm(conv, context.weights, &input, gradient).0
        };
        let by_second = through(&self.blocks, &embedded.second, embedding.values());
        let by_first = through(&self.second, &embedded.first, &by_second);
        let input = Input { parts: &[inputs.sinusoid], through: None };
        context.backend.backward_filter(&self.first, &input, &by_first, out, None);
    }
}

/// Feature maps read through SiLU.
fn activated<'a, B: Backend>(
    parts: &'a [&'a FeatureMaps<B>],
    inputs: &'a Inputs<'a, B>,
) -> Input<'a, B> {
    Input { parts, through: Some(Through { normalised: inputs.identity, silu: true }) }
}

/// n items as one row of pixels.
pub(super) fn row(n: usize) -> Extent {
    Extent { count: 1, height: 1, width: n }
}
