//! Self-attention blocks.

use disyre_kernels::backend::{Added, Backend, Conv, FeatureMaps, Input, PartGradients};
use disyre_kernels::{Attention as Heads, Convolution, GroupNorm};

use super::layout::Layout;
use super::resnet::{Context, NormConv};

/// Self-attention over the pixels of an image, with a residual connection.
#[derive(Debug)]
pub(super) struct Attention {
    /// Query, key and value, of normalised pixels.
    qkv: NormConv,
    output: Conv,
    heads: Heads,
}

/// Intermediate results that attention keeps for its gradient.
#[derive(Debug)]
pub(super) struct Attended<B: Backend> {
    qkv: FeatureMaps<B>,
    mixed: FeatureMaps<B>,
}

impl Attention {
    pub(super) fn new(
        layout: &mut Layout,
        name: &str,
        norm: GroupNorm,
        channels: usize,
        head_channels: usize,
    ) -> Self {
        let named = |part: &str| format!("{name}.{part}");
        let inner = ["to_q", "to_k", "to_v"].map(|part| (named(part), channels));
        let affine = layout.norm(&named("group_norm"), norm, channels);
        let conv = layout.linear(channels, &inner);
        Self {
            qkv: NormConv { affine, silu: false, conv },
            output: layout.linear(channels, &[(named("to_out.0"), channels)]),
            heads: Heads { channels, head_channels },
        }
    }

    /// The last layer, whose channels are the block's.
    pub(super) fn layer(&self) -> Convolution {
        self.output.layer
    }

    pub(super) fn convs(&self) -> Vec<&Conv> {
        vec![&self.qkv.conv, &self.output]
    }

    /// The intermediate results between x and the last linear layer.
    pub(super) fn hidden<B: Backend>(
        &self,
        context: &Context<'_, B>,
        x: &FeatureMaps<B>,
    ) -> Attended<B> {
        let qkv = self.qkv.forward(context, &[x], &Added::default(), false);
        let mixed = context.backend.attend(&self.heads, &qkv);
        Attended { qkv, mixed }
    }

    pub(super) fn result<B: Backend>(
        &self,
        context: &Context<'_, B>,
        x: &FeatureMaps<B>,
        hidden: &Attended<B>,
    ) -> FeatureMaps<B> {
        let Context { backend, weights } = context;
        let input = Input { parts: &[&hidden.mixed], through: None };
        let addends = Added { by_image: None, map: Some(x.values()) };
        backend.convolve(&self.output, weights, &input, &addends, true)
    }

    /// The gradients by all parameters, and by x into `by_x`, added where there is one.
    pub(super) fn backward<B: Backend>(
        &self,
        context: &Context<'_, B>,
        x: &FeatureMaps<B>,
        hidden: Attended<B>,
        gradient: &B::Map,
        out: &mut B::Values,
        by_x: &mut [Option<B::Map>],
    ) {
        let Context { backend, weights } = context;
        let Attended { qkv, mixed } = hidden;
        let input = Input { parts: &[&mixed], through: None };
        backend.backward_filter(&self.output, &input, gradient, out, None);
        let by_mixed = backend.backward_data(&self.output, weights, x.extent(), gradient, None);
        let by_qkv = backend.backward_attention(&self.heads, &qkv, &by_mixed);
        let to = PartGradients { addend: Some(gradient), by_parts: by_x };
        self.qkv.backward(context, x, &by_qkv, out, to);
    }
}
