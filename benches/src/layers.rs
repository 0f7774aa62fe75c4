//! Convolutions of the published network, with numbers to compute on.

use disyre_core::rand::RngExt;
use disyre_kernels::{ConvKind, Convolution, Extent, InputTransform};

use crate::key;

/// Kind, images, extent, channels in and out.
pub const LAYERS: [(ConvKind, [usize; 4]); 7] = [
    (ConvKind::Conv3x3, [8, 128, 32, 32]),
    (ConvKind::Conv3x3, [8, 64, 64, 64]),
    (ConvKind::Conv3x3, [8, 16, 128, 128]),
    (ConvKind::Conv3x3, [8, 8, 512, 256]),
    (ConvKind::Strided, [8, 128, 32, 32]),
    (ConvKind::Upsampled, [8, 64, 64, 64]),
    (ConvKind::Pointwise, [8, 128, 96, 32]),
];

/// Uniform in −1 to 1.
pub fn uniform(name: &str, len: usize) -> Vec<f32> {
    let mut rng = key("kernels").child(name).rng();
    (0..len).map(|_| rng.random_range(-1.0..1.0)).collect()
}

/// One convolution with numbers to compute on.
#[derive(Debug)]
pub struct Layer {
    /// Kind and channels.
    pub layer: Convolution,
    /// Of the source.
    pub extent: Extent,
    /// The source.
    pub x: Vec<f32>,
    /// `(u, v, c, o)`.
    pub weight: Vec<f32>,
    /// By the result.
    pub gradient: Vec<f32>,
    /// A scale for each channel of each image.
    pub ones: Vec<f32>,
    /// A shift, or anything else that is 0.
    pub zeros: Vec<f32>,
}

impl Layer {
    /// Of a kind; images, height and width, inputs and outputs.
    pub fn new(kind: ConvKind, [count, size, inputs, outputs]: [usize; 4]) -> Self {
        let layer = Convolution { kind, inputs, outputs };
        let extent = Extent { count, height: size, width: size };
        let result = layer.result(extent);
        Self {
            layer,
            extent,
            x: uniform("x", count * size * size * inputs),
            weight: uniform("weight", layer.weight_len()),
            gradient: uniform("gradient", count * result.height * result.width * outputs),
            ones: vec![1.0; count * inputs],
            zeros: vec![0.0; count * inputs],
        }
    }

    /// FLOPs of one pass: multiplications and additions, as the formula counts them.
    pub fn flops(&self) -> u64 {
        let kernel = self.layer.kind.kernel();
        (2 * kernel * kernel * self.layer.inputs * self.gradient.len()) as u64
    }

    /// SiLU alone.
    pub fn transform(&self) -> InputTransform<'_> {
        InputTransform { scale: &self.ones, shift: &self.zeros, silu: true }
    }
}
