//! The cost of a pass: operations, and numbers that move.

use disyre_kernels::{ConvKind, Convolution, Extent};

use super::{Block, Network};
use crate::{DiffusionError, UNetConfig};

/// The cost of one pass of a network over one image, whatever computes it. A step of training takes three times as much:
/// every convolution is undone by its input and by its weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[doc(alias = "Work")]
pub struct PassCost {
    /// Floating-point operations of the convolutions and of attention: a multiplication and an addition are two. Doubling
    /// counts as the convolution of the doubled image.
    pub flops: u64,
    /// Numbers of feature maps that the convolutions read and write, each once.
    pub numbers: u64,
}

impl UNetConfig {
    /// The cost of one pass over an image `(y, x)` of this size.
    ///
    /// # Errors
    /// [`DiffusionError`] if the network or the size cannot work.
    pub fn pass_cost(&self, size: [usize; 2]) -> Result<PassCost, DiffusionError> {
        let passes = self.passes(size)?;
        let convolutions = passes.convolutions.iter();
        let of_convolutions = convolutions.map(|&(layer, extent)| PassCost::of(layer, extent));
        let start = PassCost { flops: passes.attention_flops, numbers: 0 };
        Ok(of_convolutions.fold(start, |sum, cost| PassCost {
            flops: sum.flops + cost.flops,
            numbers: sum.numbers + cost.numbers,
        }))
    }

    /// The convolutions of one pass over an image `(y, x)` of this size in their order, attention's products of single
    /// pixels among them, each with the extent that it reads.
    ///
    /// # Errors
    /// As [`pass_cost`](Self::pass_cost).
    pub fn convolutions(
        &self,
        size: [usize; 2],
    ) -> Result<Vec<(Convolution, Extent)>, DiffusionError> {
        Ok(self.passes(size)?.convolutions)
    }

    fn passes(&self, [height, width]: [usize; 2]) -> Result<Passes, DiffusionError> {
        self.ensure_valid()?;
        self.ensure_divisible(height, width)?;
        Ok(Network::new(self).passes(Extent { count: 1, height, width }))
    }
}

/// The operations of one pass of a network.
struct Passes {
    /// With the extent that each reads.
    convolutions: Vec<(Convolution, Extent)>,
    /// Affinities of pixels and mixtures of their values.
    attention_flops: u64,
}

impl Network {
    fn passes(&self, image: Extent) -> Passes {
        let mut passes = Passes { convolutions: Vec::new(), attention_flops: 0 };
        let mut extents = vec![image];
        for step in &self.steps {
            let extent = extents[step.sources()[0]];
            let layers: Vec<_> = step.convs().into_iter().map(|conv| conv.layer).collect();
            extents.push(layers.last().map_or(extent, |layer| layer.result(extent)));
            passes.convolutions.extend(layers.into_iter().map(|layer| (layer, extent)));
            if let Block::Attention { block, .. } = step {
                let pixels = (extent.height * extent.width) as u64;
                passes.attention_flops += 2 * 2 * pixels * pixels * block.layer().outputs as u64;
            }
        }
        passes.convolutions.push((self.output.conv.layer, image));
        passes
    }
}

impl PassCost {
    /// The work of one convolution of images of an extent, all of them.
    pub fn of(layer: Convolution, extent: Extent) -> Self {
        let numbers = |extent: Extent, channels: usize| {
            (extent.count * extent.height * extent.width * channels) as u64
        };
        let taps = if layer.kind == ConvKind::Pointwise { 1 } else { 9 };
        let written = numbers(layer.result(extent), layer.outputs);
        Self {
            flops: 2 * taps * written * layer.inputs as u64,
            numbers: numbers(extent, layer.inputs) + written,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_network_takes_the_operations_that_were_counted_for_it() {
        let cost = UNetConfig::default().pass_cost([128, 128]).unwrap();
        let published = 16.12e9;
        assert!((cost.flops as f64 / published - 1.0).abs() < 2e-3, "{cost:?}");
    }

    #[test]
    fn the_convolutions_of_a_small_network_are_those_counted_by_hand() {
        use ConvKind::{Conv3x3, Pointwise, Strided, Upsampled};
        let config = UNetConfig {
            channels: vec![8, 16],
            resnets_per_level: 1,
            attention_levels: vec![],
            middle_attention: false,
            groups: 8,
            ..UNetConfig::default()
        };
        let (fine, coarse) = (4, 2);
        let down = [(Conv3x3, 1, 8, fine), (Conv3x3, 8, 8, fine), (Conv3x3, 8, 8, fine)];
        let coarser = [(Strided, 8, 8, fine), (Conv3x3, 8, 16, coarse), (Conv3x3, 16, 16, coarse)];
        let joined = [(Pointwise, 8, 16, coarse)];
        let middle = [(Conv3x3, 16, 16, coarse); 4];
        // Blocks on the way up also read what was set aside on the way down.
        let up = |inputs, outputs, side| {
            let first = (Conv3x3, inputs, outputs, side);
            [first, (Conv3x3, outputs, outputs, side), (Pointwise, inputs, outputs, side)]
        };
        let coarse_up = [up(16 + 16, 16, coarse), up(16 + 8, 16, coarse)].concat();
        let doubled = [(Upsampled, 16, 16, coarse)];
        let fine_up = [up(16 + 8, 8, fine), up(8 + 8, 8, fine)].concat();
        let output = [(Conv3x3, 8, 1, fine)];
        let counted: [&[_]; 8] =
            [&down, &coarser, &joined, &middle, &coarse_up, &doubled, &fine_up, &output];
        let named = |(layer, extent): (Convolution, Extent)| {
            (layer.kind, layer.inputs, layer.outputs, extent.height)
        };
        let all: Vec<_> = config.convolutions([4, 4]).unwrap().into_iter().map(named).collect();
        assert_eq!(all, counted.concat());
    }

    #[test]
    fn work_grows_with_the_image_and_an_impossible_size_is_an_error() {
        let config = UNetConfig {
            attention_levels: vec![],
            middle_attention: false,
            ..UNetConfig::default()
        };
        let [small, large] = [[64, 64], [128, 64]].map(|size| config.pass_cost(size).unwrap());
        assert_eq!(large.flops, 2 * small.flops);
        assert_eq!(large.numbers, 2 * small.numbers);
        assert!(config.pass_cost([100, 64]).is_err());
    }
}
