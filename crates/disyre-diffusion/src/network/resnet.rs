//! Residual blocks, and the convolutions that read through a normalisation.

use disyre_kernels::backend::{
    Added, Affine, Backend, Columns, Conv, FeatureMaps, Input, PartGradients, Through,
};
use disyre_kernels::{ConvKind, Convolution, GroupNorm};

use super::layout::Layout;

/// `out = conv(silu(norm(conv(silu(norm(x))) + embedding))) + x`, with a 1×1 convolution of x where channels differ.
///
/// x may come in several parts, one behind another in channels. Normalisation, SiLU, embedding and the last sum happen
/// within the convolutions; of what lies between, only the result of the first is kept for the gradient.
#[derive(Debug)]
pub(super) struct Resnet {
    first: NormConv,
    second: NormConv,
    shortcut: Option<Conv>,
    /// First of this block's channels among all embeddings.
    column: usize,
}

/// The backend and the weights of a pass.
#[derive(Debug)]
pub(super) struct Context<'a, B: Backend> {
    pub(super) backend: &'a B,
    pub(super) weights: &'a B::Values,
}

/// Gradients by all parameters, and by the embeddings of each image.
#[derive(Debug)]
pub(super) struct Gradients<'a, B: Backend> {
    pub(super) weights: &'a mut B::Values,
    /// `(n, all blocks' channels)`, the n as pixels of one row.
    pub(super) embedding: FeatureMaps<B>,
}

impl<B: Backend> Context<'_, B> {
    /// A convolution of maps as they are.
    pub(super) fn convolve(
        &self,
        conv: &Conv,
        x: &[&FeatureMaps<B>],
        moments: bool,
    ) -> FeatureMaps<B> {
        let input = Input { parts: x, through: None };
        self.backend.convolve(conv, self.weights, &input, &Added::default(), moments)
    }
}

/// A normalisation, SiLU or not, and the convolution that reads through them.
#[derive(Debug)]
pub(super) struct NormConv {
    pub(super) affine: Affine,
    pub(super) silu: bool,
    pub(super) conv: Conv,
}

/// The gradient of a [`NormConv`] by what it reads, as far as the normalisation.
pub(super) struct Halfway<B: Backend> {
    normalised: B::Normalised,
    found: (B::Map, B::Sums),
}

impl NormConv {
    pub(super) fn forward<B: Backend>(
        &self,
        context: &Context<'_, B>,
        x: &[&FeatureMaps<B>],
        addends: &Added<'_, B>,
        moments: bool,
    ) -> FeatureMaps<B> {
        let Context { backend, weights } = context;
        let normalised = backend.normalise(&self.affine, weights, x);
        backend.convolve(&self.conv, weights, &self.input(x, &normalised), addends, moments)
    }

    /// The gradients by the convolution's parameters, and by z with what leads on from there to x.
    fn halfway<B: Backend>(
        &self,
        context: &Context<'_, B>,
        x: &[&FeatureMaps<B>],
        gradient: &B::Map,
        out: &mut B::Values,
        by_image: Option<Columns<&mut FeatureMaps<B>>>,
    ) -> Halfway<B> {
        let Context { backend, weights } = context;
        let normalised = backend.normalise(&self.affine, weights, x);
        let input = self.input(x, &normalised);
        backend.backward_filter(&self.conv, &input, gradient, out, by_image);
        let found = backend.backward_data_through_norm(&self.conv, weights, &input, gradient);
        Halfway { normalised, found }
    }

    /// The gradients by the normalisation's parameters and by x.
    fn onward<B: Backend>(
        &self,
        context: &Context<'_, B>,
        x: &[&FeatureMaps<B>],
        halfway: Halfway<B>,
        out: &mut B::Values,
        to: PartGradients<'_, B>,
    ) {
        let Halfway { normalised, found } = halfway;
        let input = self.input(x, &normalised);
        context.backend.backward_norm(&self.affine, context.weights, &input, found, out, to);
    }

    /// The gradients by all parameters, and by x with `to.addend` added.
    pub(super) fn backward<B: Backend>(
        &self,
        context: &Context<'_, B>,
        x: &FeatureMaps<B>,
        gradient: &B::Map,
        out: &mut B::Values,
        to: PartGradients<'_, B>,
    ) {
        let halfway = self.halfway(context, &[x], gradient, out, None);
        self.onward(context, &[x], halfway, out, to);
    }

    fn input<'a, B: Backend>(
        &self,
        x: &'a [&'a FeatureMaps<B>],
        normalised: &'a B::Normalised,
    ) -> Input<'a, B> {
        Input { parts: x, through: Some(Through { normalised, silu: self.silu }) }
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
        let mut norm_conv = |number: usize, channels: usize| NormConv {
            affine: layout.norm(&format!("{name}.norm{number}"), norm, channels),
            silu: true,
            conv: layout.conv(
                &format!("{name}.conv{number}"),
                ConvKind::Conv3x3,
                channels,
                outputs,
            ),
        };
        let (first, second) = (norm_conv(1, inputs), norm_conv(2, outputs));
        let name = format!("{name}.conv_shortcut");
        let shortcut =
            (inputs != outputs).then(|| layout.conv(&name, ConvKind::Pointwise, inputs, outputs));
        Self { first, second, shortcut, column }
    }

    /// The first convolution, whose channels are the block's.
    pub(super) fn layer(&self) -> Convolution {
        self.first.conv.layer
    }

    pub(super) fn convs(&self) -> Vec<&Conv> {
        [&self.first.conv, &self.second.conv].into_iter().chain(&self.shortcut).collect()
    }

    /// The result of the first convolution; `embeddings` are those of all blocks.
    pub(super) fn hidden<B: Backend>(
        &self,
        context: &Context<'_, B>,
        x: &[&FeatureMaps<B>],
        embeddings: &FeatureMaps<B>,
    ) -> FeatureMaps<B> {
        let by_image = Some(Columns { maps: embeddings, first: self.column });
        self.first.forward(context, x, &Added { by_image, map: None }, true)
    }

    /// The block's result, from x and the result of the first convolution.
    pub(super) fn result<B: Backend>(
        &self,
        context: &Context<'_, B>,
        x: &[&FeatureMaps<B>],
        hidden: &FeatureMaps<B>,
    ) -> FeatureMaps<B> {
        let shortcut = self.shortcut.as_ref().map(|conv| context.convolve(conv, x, false));
        let map = Some(shortcut.as_ref().unwrap_or(x[0]).values());
        self.second.forward(context, &[hidden], &Added { by_image: None, map }, true)
    }

    /// The gradients by all parameters, and by x: part i's into `by_x[i]`, added where there is one.
    pub(super) fn backward<B: Backend>(
        &self,
        context: &Context<'_, B>,
        x: &[&FeatureMaps<B>],
        hidden: FeatureMaps<B>,
        gradient: B::Map,
        gradients: &mut Gradients<'_, B>,
        by_x: &mut [Option<B::Map>],
    ) {
        let Gradients { weights: out, embedding } = gradients;
        let mut by_hidden = [None];
        let to = PartGradients { addend: None, by_parts: &mut by_hidden };
        self.second.backward(context, &hidden, &gradient, out, to);
        drop(hidden);
        let addend = self.through_shortcut(context, x, gradient, out);
        let [Some(by_hidden)] = by_hidden else {
            unreachable!("every part of an input gets its gradient")
        };
        let by_image = Some(Columns { maps: &mut *embedding, first: self.column });
        let halfway = self.first.halfway(context, x, &by_hidden, out, by_image);
        drop(by_hidden);
        let to = PartGradients { addend: Some(&addend), by_parts: by_x };
        self.first.onward(context, x, halfway, out, to);
    }

    /// The gradient by x that passes around both convolutions.
    fn through_shortcut<B: Backend>(
        &self,
        context: &Context<'_, B>,
        x: &[&FeatureMaps<B>],
        gradient: B::Map,
        out: &mut B::Values,
    ) -> B::Map {
        let Some(conv) = &self.shortcut else { return gradient };
        let Context { backend, weights } = context;
        backend.backward_filter(conv, &Input { parts: x, through: None }, &gradient, out, None);
        backend.backward_data(conv, weights, x[0].extent(), &gradient, None)
    }
}
