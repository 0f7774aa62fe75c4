//! The blocks of the network on candle tensors.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use disyre_kernels::candle::reference;

use super::layers::{Conv, Linear, Norm};
use crate::UNetConfig;

/// `out = conv(silu(norm(conv(silu(norm(x))) + embedding))) + x`, with a 1×1 convolution of x where channels differ.
#[derive(Debug)]
pub(super) struct Resnet {
    norm1: Norm,
    conv1: Conv,
    embedding: Linear,
    norm2: Norm,
    conv2: Conv,
    shortcut: Option<Conv>,
}

impl Resnet {
    pub(super) fn new(
        config: &UNetConfig,
        (inputs, outputs): (usize, usize),
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let norm =
            |channels, name| Norm::new(channels, config.groups, config.norm_epsilon, &vb.pp(name));
        let conv = |channels, kernel, name| Conv::new(channels, kernel, 1, &vb.pp(name));
        let shortcut = match inputs == outputs {
            true => None,
            false => Some(conv((inputs, outputs), 1, "conv_shortcut")?),
        };
        Ok(Self {
            norm1: norm(inputs, "norm1")?,
            conv1: conv((inputs, outputs), 3, "conv1")?,
            embedding: Linear::new(config.embedding_channels, outputs, &vb.pp("time_emb_proj"))?,
            norm2: norm(outputs, "norm2")?,
            conv2: conv((outputs, outputs), 3, "conv2")?,
            shortcut,
        })
    }

    /// `x` is `(n, c, h, w)`; `embedding` is SiLU of the time embedding, `(n, e, 1, 1)`.
    pub(super) fn forward(&self, x: &Tensor, embedding: &Tensor) -> Result<Tensor> {
        let h = self.conv1.forward(&self.norm1.forward_silu(x)?)?;
        let h = h.broadcast_add(&self.embedding.forward(embedding)?)?;
        let h = self.conv2.forward(&self.norm2.forward_silu(&h)?)?;
        match &self.shortcut {
            Some(conv) => conv.forward(x)? + h,
            None => x + h,
        }
    }
}

/// Self-attention over the pixels of an image, with a residual connection.
#[derive(Debug)]
pub(super) struct Attention {
    norm: Norm,
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    head_channels: usize,
}

impl Attention {
    pub(super) fn new(config: &UNetConfig, channels: usize, vb: &VarBuilder<'_>) -> Result<Self> {
        let linear = |name| Linear::new(channels, channels, &vb.pp(name));
        let norm_vb = vb.pp("group_norm");
        Ok(Self {
            norm: Norm::new(channels, config.groups, config.norm_epsilon, &norm_vb)?,
            query: linear("to_q")?,
            key: linear("to_k")?,
            value: linear("to_v")?,
            output: linear("to_out.0")?,
            head_channels: config.head_channels,
        })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (n, c, h, w) = x.dims4()?;
        let heads = n * c / self.head_channels;
        let normed = self.norm.forward(x)?;
        let split =
            |linear: &Linear| linear.forward(&normed)?.reshape((heads, self.head_channels, h * w));
        let mixed =
            reference::attention(&split(&self.query)?, &split(&self.key)?, &split(&self.value)?)?;
        self.output.forward(&mixed.reshape((n, c, h, w))?)? + x
    }
}

/// Residual blocks, each followed by attention where there is any.
#[derive(Debug)]
pub(super) struct Stage {
    resnets: Vec<Resnet>,
    attentions: Vec<Attention>,
}

impl Stage {
    /// One residual block per entry of `channels` (into, out of).
    pub(super) fn new(
        config: &UNetConfig,
        channels: &[(usize, usize)],
        attended: bool,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let (resnet_vb, attention_vb) = (vb.pp("resnets"), vb.pp("attentions"));
        let resnets = channels.iter().enumerate();
        let resnets = resnets.map(|(i, &pair)| Resnet::new(config, pair, &resnet_vb.pp(i)));
        let attentions = channels.iter().enumerate().filter(|_| attended);
        let attentions =
            attentions.map(|(i, pair)| Attention::new(config, pair.1, &attention_vb.pp(i)));
        Ok(Self {
            resnets: resnets.collect::<Result<_>>()?,
            attentions: attentions.collect::<Result<_>>()?,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.resnets.len()
    }

    /// Runs residual block `i` and its attention.
    pub(super) fn step(&self, i: usize, x: &Tensor, embedding: &Tensor) -> Result<Tensor> {
        let h = self.resnets[i].forward(x, embedding)?;
        self.attentions.get(i).map_or(Ok(h.clone()), |attention| attention.forward(&h))
    }
}

/// Residual block, attention, residual block at the coarsest level.
#[derive(Debug)]
pub(super) struct Middle {
    first: Resnet,
    attention: Option<Attention>,
    second: Resnet,
}

impl Middle {
    pub(super) fn new(config: &UNetConfig, channels: usize, vb: &VarBuilder<'_>) -> Result<Self> {
        let resnet = |i: usize| Resnet::new(config, (channels, channels), &vb.pp("resnets").pp(i));
        let attention = match config.middle_attention {
            true => Some(Attention::new(config, channels, &vb.pp("attentions.0"))?),
            false => None,
        };
        Ok(Self { first: resnet(0)?, attention, second: resnet(1)? })
    }

    pub(super) fn forward(&self, x: &Tensor, embedding: &Tensor) -> Result<Tensor> {
        let mut h = self.first.forward(x, embedding)?;
        if let Some(attention) = &self.attention {
            h = attention.forward(&h)?;
        }
        self.second.forward(&h, embedding)
    }
}

#[cfg(test)]
mod tests {
    use super::super::embedding::TimeEmbedding;
    use super::*;
    use crate::Conditioning;
    use crate::golden::{Golden, small_network, small_weights};

    const TOLERANCE: f32 = 1e-4;

    fn embedding(golden: &Golden) -> Tensor {
        let time = TimeEmbedding::new(32, 128, &small_weights().pp("time_embedding")).unwrap();
        let levels = golden.integers("t").into_iter().map(|t| t as u32).collect();
        let conditioning = Conditioning::from_levels(levels);
        time.forward(&conditioning, &candle_core::Device::Cpu).unwrap().silu().unwrap()
    }

    #[test]
    fn residual_blocks_equal_those_of_the_published_network() {
        let golden = Golden::load("unet_small_formula.safetensors");
        for (name, channels) in
            [("down_blocks.0.resnets.0", (32, 32)), ("up_blocks.0.resnets.0", (128, 64))]
        {
            let resnet = Resnet::new(&small_network(), channels, &small_weights().pp(name));
            let input = golden.tensor(&format!("io.{name}.in"));
            let output = resnet.unwrap().forward(&input, &embedding(&golden)).unwrap();
            golden.assert_tensor(&format!("io.{name}.out"), &output, TOLERANCE);
        }
    }

    #[test]
    fn attention_equals_that_of_the_published_network() {
        let golden = Golden::load("unet_small_formula.safetensors");
        for (name, channels) in [("down_blocks.1.attentions.0", 32), ("mid_block.attentions.0", 64)]
        {
            let attention = Attention::new(&small_network(), channels, &small_weights().pp(name));
            let output = attention.unwrap().forward(&golden.tensor(&format!("io.{name}.in")));
            golden.assert_tensor(&format!("io.{name}.out"), &output.unwrap(), TOLERANCE);
        }
    }

    #[test]
    fn the_middle_block_equals_that_of_the_published_network() {
        let golden = Golden::load("unet_small_formula.safetensors");
        let middle = Middle::new(&small_network(), 64, &small_weights().pp("mid_block")).unwrap();
        let output = middle.forward(&golden.tensor("io.mid_block.in"), &embedding(&golden));
        golden.assert_tensor("io.mid_block.out", &output.unwrap(), TOLERANCE);
    }

    #[test]
    fn convolutions_and_norm_equal_those_of_the_published_network() {
        let golden = Golden::load("unet_small_formula.safetensors");
        let cases = [
            ("conv_in", "conv_in", (1, 32), 1),
            ("down_blocks.0.downsamplers.0", "down_blocks.0.downsamplers.0.conv", (32, 32), 2),
        ];
        for (io, name, channels, stride) in cases {
            let conv = Conv::new(channels, 3, stride, &small_weights().pp(name)).unwrap();
            let output = conv.forward(&golden.tensor(&format!("io.{io}.in"))).unwrap();
            golden.assert_tensor(&format!("io.{io}.out"), &output, TOLERANCE);
        }
        let name = "up_blocks.0.upsamplers.0";
        let conv = Conv::new((64, 64), 3, 1, &small_weights().pp(name).pp("conv")).unwrap();
        let large = disyre_kernels::candle::reference::upsample_nearest2(
            &golden.tensor(&format!("io.{name}.in")),
        );
        golden.assert_tensor(
            &format!("io.{name}.out"),
            &conv.forward(&large.unwrap()).unwrap(),
            TOLERANCE,
        );
        let norm = Norm::new(32, 32, 1e-5, &small_weights().pp("conv_norm_out")).unwrap();
        let output = norm.forward(&golden.tensor("io.conv_norm_out.in")).unwrap();
        golden.assert_tensor("io.conv_norm_out.out", &output, TOLERANCE);
    }
}
