//! The layers that the blocks are made of; weights keep the names and shapes of PyTorch.

use candle_core::{Result, Tensor};
use candle_nn::{Init, VarBuilder};
use disyre_kernels::candle::reference;

/// PyTorch's default for convolutions and linear layers: Kaiming uniform with a = sqrt(5) is U(−1/sqrt(fan in), 1/sqrt(fan in)).
fn uniform(fan_in: usize) -> Init {
    let bound = 1.0 / (fan_in as f64).sqrt();
    Init::Uniform { lo: -bound, up: bound }
}

/// A convolution with a 1×1 or 3×3 kernel, zero padding, stride 1 or 2.
#[derive(Debug)]
pub(super) struct Conv {
    weight: Tensor,
    bias: Tensor,
    stride: usize,
}

impl Conv {
    pub(super) fn new(
        (inputs, outputs): (usize, usize),
        kernel: usize,
        stride: usize,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let init = uniform(inputs * kernel * kernel);
        let weight = vb.get_with_hints((outputs, inputs, kernel, kernel), "weight", init)?;
        let bias = vb.get_with_hints(outputs, "bias", init)?;
        Ok(Self { weight, bias, stride })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        reference::conv2d(x, &self.weight, &self.bias, self.stride)
    }
}

/// A linear layer on the channels of an image, run as a 1×1 convolution: a matrix product over the whole batch would
/// round differently for different batch sizes.
#[derive(Debug)]
pub(super) struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    pub(super) fn new(inputs: usize, outputs: usize, vb: &VarBuilder<'_>) -> Result<Self> {
        let init = uniform(inputs);
        let weight = vb.get_with_hints((outputs, inputs), "weight", init)?;
        Ok(Self { weight, bias: vb.get_with_hints(outputs, "bias", init)? })
    }

    /// `x` is `(n, c, h, w)`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (outputs, inputs) = self.weight.dims2()?;
        let weight = self.weight.reshape((outputs, inputs, 1, 1))?;
        reference::conv2d(x, &weight, &self.bias, 1)
    }
}

/// A group normalisation.
#[derive(Debug)]
pub(super) struct Norm {
    weight: Tensor,
    bias: Tensor,
    groups: usize,
    epsilon: f64,
}

impl Norm {
    pub(super) fn new(
        channels: usize,
        groups: usize,
        epsilon: f64,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let weight = vb.get_with_hints(channels, "weight", Init::Const(1.0))?;
        let bias = vb.get_with_hints(channels, "bias", Init::Const(0.0))?;
        Ok(Self { weight, bias, groups, epsilon })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        reference::group_norm(x, &self.weight, &self.bias, self.groups, self.epsilon)
    }

    pub(super) fn forward_silu(&self, x: &Tensor) -> Result<Tensor> {
        self.forward(x)?.silu()
    }
}
