use disyre_kernels::{Addends, Attention as Heads, Buffer, GroupNorm, Images, Part, Source};

use super::layout::{Affine, Conv, Layout};
use super::resnet::{Context, Gradients, NormConv, transform};

/// Self-attention over the pixels of an image, with a residual connection.
#[derive(Debug)]
pub(super) struct Attention {
    affine: Affine,
    /// Query, key and value.
    qkv: Conv,
    output: Conv,
    heads: Heads,
    norm: GroupNorm,
}

/// What attention keeps for its gradient.
#[derive(Debug)]
pub(super) struct Attended {
    qkv: Images,
    mixed: Buffer,
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
        Self {
            affine: layout.norm(&named("group_norm"), channels),
            qkv: layout.linear(channels, &inner),
            output: layout.linear(channels, &[(named("to_out.0"), channels)]),
            heads: Heads { channels, head_channels },
            norm,
        }
    }

    /// What lies between x and the last linear layer.
    pub(super) fn hidden(&self, context: Context<'_>, x: &Images) -> Attended {
        let (cpu, extent) = (context.cpu, x.extent());
        let normalised = context.normalise(&self.norm, &self.affine, &[x]);
        let source = Source { parts: &[x.part()], transform: Some(transform(&normalised, false)) };
        let addends = Addends { bias: Some(context.of(&self.qkv.bias)), ..Addends::default() };
        let weight = context.of(&self.qkv.weight);
        let qkv = self.qkv.layer.forward(cpu, extent, &source, weight, &addends, false);
        let mixed = self.heads.forward(cpu, extent, &qkv.values);
        Attended { qkv, mixed }
    }

    pub(super) fn result(&self, context: Context<'_>, x: &Images, hidden: &Attended) -> Images {
        let parts = [Part::new(&hidden.mixed, self.heads.channels)];
        let source = Source { parts: &parts, transform: None };
        let addends = Addends {
            bias: Some(context.of(&self.output.bias)),
            by_image: None,
            images: Some(&x.values),
        };
        let weight = context.of(&self.output.weight);
        self.output.layer.forward(context.cpu, x.extent(), &source, weight, &addends, true)
    }

    /// The gradients by all parameters; returns the one by x.
    pub(super) fn backward(
        &self,
        context: Context<'_>,
        x: &Images,
        hidden: Attended,
        gradient: &[f32],
        gradients: &mut Gradients<'_>,
    ) -> Buffer {
        let (cpu, extent) = (context.cpu, x.extent());
        let Attended { qkv, mixed } = hidden;
        let parts = [Part::new(&mixed, self.heads.channels)];
        let source = Source { parts: &parts, transform: None };
        let out = &mut gradients.weights[self.output.weight.clone()];
        let by_image = self.output.layer.by_weight(cpu, extent, &source, gradient, out);
        gradients.bias(&self.output, &by_image);
        let weight = context.of(&self.output.weight);
        let by_mixed = self.output.layer.by_data(cpu, extent, gradient, weight);
        let by_qkv = self.heads.backward(cpu, extent, &qkv.values, &by_mixed);
        let layer =
            NormConv { norm: self.norm, affine: &self.affine, silu: false, conv: &self.qkv };
        layer.backward_alone(context, x, &by_qkv, Some(gradient), gradients)
    }
}
