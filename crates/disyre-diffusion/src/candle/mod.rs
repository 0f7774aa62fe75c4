//! The restoration network as a candle module: slow and plain, for models of one's own and as the reference in tests.
//!
//! [`UNet`] is built over any `VarBuilder`, so it reads the files of the diffusers library; [`Variables`] are
//! [`Parameters`](crate::Parameters) as candle variables that gradients reach.
//!
//! ```
//! use candle_core::{Device, Tensor};
//! use disyre_core::Key;
//! use disyre_diffusion::candle::Variables;
//! use disyre_diffusion::{Parameters, ScheduleConfig, UNetConfig};
//!
//! let network = UNetConfig { channels: vec![32, 64], attention_levels: vec![], ..UNetConfig::default() };
//! let schedule = ScheduleConfig::default().build()?;
//! let conditioning = schedule.conditioning(&schedule.severities(1)?);
//! let variables = Variables::new(&Parameters::seeded(&network, Key::new(1))?, &Device::Cpu)?;
//! let image = Tensor::zeros((1, 1, 16, 16), candle_core::DType::F32, &Device::Cpu)?; // (n, c, h, w)
//! let restored = variables.trainable_network()?.forward(&image, &conditioning)?;
//! let gradients = restored.sqr()?.mean_all()?.backward()?;
//! assert!(variables.iter().all(|(_, var)| gradients.get(var).is_some()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod blocks;
mod embedding;
mod engine;
mod layers;
mod variables;

use candle_core::{Result as TensorResult, Tensor};
use candle_nn::VarBuilder;

use blocks::{Middle, Stage};
use embedding::TimeEmbedding;
use layers::{Conv, Norm};

pub(crate) use engine::{Plain, PlainTrainable};
pub use variables::Variables;

use crate::{Conditioning, DiffusionError, UNetConfig};

/// A U-Net that returns the healthy image, given an image and how severe its corruption is.
///
/// Parameters have the names and shapes of the `UNet2DModel` of the diffusers library, so weights go both ways.
///
/// # Source
/// DISYRE (arXiv 2311.15453), the network of the published code; layout of [`UNetConfig`].
#[derive(Debug)]
pub struct UNet {
    config: UNetConfig,
    embedding: TimeEmbedding,
    conv_in: Conv,
    down: Vec<Down>,
    middle: Middle,
    up: Vec<Up>,
    norm_out: Norm,
    conv_out: Conv,
}

#[derive(Debug)]
struct Down {
    stage: Stage,
    downsample: Option<Conv>,
}

#[derive(Debug)]
struct Up {
    stage: Stage,
    upsample: Option<Conv>,
}

impl UNet {
    /// Builds the network over the tensors that `vb` gives out by name.
    ///
    /// # Errors
    /// [`DiffusionError::Config`] for an impossible configuration, [`DiffusionError::Tensor`] for a tensor that is missing or of
    /// another shape.
    pub fn new(config: &UNetConfig, vb: &VarBuilder<'_>) -> Result<Self, DiffusionError> {
        config.ensure_valid()?;
        let [first, last] = [0, config.channels.len() - 1].map(|level| config.channels[level]);
        let mut skips = vec![first];
        let sizes = (config.sinusoid_channels, config.embedding_channels);
        let norm_vb = vb.pp("conv_norm_out");
        Ok(Self {
            embedding: TimeEmbedding::new(sizes.0, sizes.1, &vb.pp("time_embedding"))?,
            conv_in: Conv::new((config.in_channels, first), 3, 1, &vb.pp("conv_in"))?,
            down: Down::all(config, &mut skips, &vb.pp("down_blocks"))?,
            middle: Middle::new(config, last, &vb.pp("mid_block"))?,
            up: Up::all(config, &mut skips, &vb.pp("up_blocks"))?,
            norm_out: Norm::new(first, config.groups, config.norm_epsilon, &norm_vb)?,
            conv_out: Conv::new((first, config.out_channels), 3, 1, &vb.pp("conv_out"))?,
            config: config.clone(),
        })
    }

    /// Restores a batch of images.
    ///
    /// # Shapes and units
    /// `x` is `(n, c, h, w)`, h and w multiples of [`UNetConfig::size_multiple`]; `conditioning` has n entries. The
    /// result is `(n, c', h, w)`, the healthy image itself, not clamped.
    ///
    /// # Errors
    /// [`DiffusionError`] if shapes do not fit, or if the tensor library fails.
    pub fn forward(
        &self,
        x: &Tensor,
        conditioning: &Conditioning,
    ) -> Result<Tensor, DiffusionError> {
        let (n, c, height, width) = x.dims4()?;
        let expected = [conditioning.len(), self.config.in_channels, height, width];
        disyre_core::ensure_same_shape("image batch", &expected, &[n, c, height, width])?;
        self.config.ensure_divisible(height, width)?;
        Ok(self.restore(x, conditioning)?)
    }

    /// The configuration that it was built from.
    pub fn config(&self) -> &UNetConfig {
        &self.config
    }

    fn restore(&self, x: &Tensor, conditioning: &Conditioning) -> TensorResult<Tensor> {
        let embedding = self.embedding.forward(conditioning, x.device())?.silu()?;
        let mut h = self.conv_in.forward(x)?;
        let mut skips = vec![h.clone()];
        for down in &self.down {
            h = down.forward(h, &embedding, &mut skips)?;
        }
        h = self.middle.forward(&h, &embedding)?;
        for up in &self.up {
            h = up.forward(h, &embedding, &mut skips)?;
        }
        self.conv_out.forward(&self.norm_out.forward_silu(&h)?)
    }
}

impl Down {
    fn all(
        config: &UNetConfig,
        skips: &mut Vec<usize>,
        vb: &VarBuilder<'_>,
    ) -> TensorResult<Vec<Self>> {
        let mut inputs = config.channels[0];
        let mut blocks = Vec::new();
        for (level, &outputs) in config.channels.iter().enumerate() {
            let vb = vb.pp(level);
            let mut channels = vec![(outputs, outputs); config.resnets_per_level];
            channels[0].0 = inputs;
            skips.extend(channels.iter().map(|pair| pair.1));
            let attended = config.attention_levels.contains(&level);
            let stage = Stage::new(config, &channels, attended, &vb)?;
            let downsample = match level + 1 < config.channels.len() {
                true => Some(Conv::new((outputs, outputs), 3, 2, &vb.pp("downsamplers.0.conv"))?),
                false => None,
            };
            skips.extend(downsample.as_ref().map(|_| outputs));
            blocks.push(Self { stage, downsample });
            inputs = outputs;
        }
        Ok(blocks)
    }

    fn forward(
        &self,
        mut h: Tensor,
        embedding: &Tensor,
        skips: &mut Vec<Tensor>,
    ) -> TensorResult<Tensor> {
        for i in 0..self.stage.len() {
            h = self.stage.step(i, &h, embedding)?;
            skips.push(h.clone());
        }
        if let Some(conv) = &self.downsample {
            h = conv.forward(&h)?;
            skips.push(h.clone());
        }
        Ok(h)
    }
}

impl Up {
    fn all(
        config: &UNetConfig,
        skips: &mut Vec<usize>,
        vb: &VarBuilder<'_>,
    ) -> TensorResult<Vec<Self>> {
        let levels = config.channels.len();
        let mut inputs = config.channels[levels - 1];
        let mut blocks = Vec::new();
        for (block, level) in (0..levels).rev().enumerate() {
            let (vb, outputs) = (vb.pp(block), config.channels[level]);
            let mut channels = Vec::new();
            for _ in 0..=config.resnets_per_level {
                let skip = skips.pop().unwrap_or_default();
                channels.push((inputs + skip, outputs));
                inputs = outputs;
            }
            let attended = config.attention_levels.contains(&level);
            let stage = Stage::new(config, &channels, attended, &vb)?;
            let upsample = match level > 0 {
                true => Some(Conv::new((outputs, outputs), 3, 1, &vb.pp("upsamplers.0.conv"))?),
                false => None,
            };
            blocks.push(Self { stage, upsample });
        }
        Ok(blocks)
    }

    fn forward(
        &self,
        mut h: Tensor,
        embedding: &Tensor,
        skips: &mut Vec<Tensor>,
    ) -> TensorResult<Tensor> {
        for i in 0..self.stage.len() {
            let joined = match skips.pop() {
                Some(skip) => Tensor::cat(&[h, skip], 1)?,
                None => h,
            };
            h = self.stage.step(i, &joined, embedding)?;
        }
        match &self.upsample {
            Some(conv) => conv.forward(&disyre_kernels::candle::reference::upsample_nearest2(&h)?),
            None => Ok(h),
        }
    }
}
