//! How much there is to compute.

use disyre_kernels::{ConvKind, Convolution, Extent};

use super::{Network, Step};
use crate::{DiffusionError, UNetConfig};

/// What one pass of a network over one image takes, whatever computes it. A step of training takes three times as much:
/// every convolution is undone by its input and by its weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// Floating-point operations of the convolutions and of attention: a multiplication and an addition are two. Doubling
    /// counts as the convolution of the doubled image.
    pub operations: u64,
    /// Numbers of feature maps that the convolutions read and write, each once.
    pub numbers: u64,
}

impl UNetConfig {
    /// The work of one pass over an image `(y, x)` of this size.
    ///
    /// # Errors
    /// [`DiffusionError`] if the network or the size cannot work.
    pub fn work(&self, size: [usize; 2]) -> Result<Work, DiffusionError> {
        let passes = self.passes(size)?;
        let convolutions = passes.convolutions.iter();
        let of_convolutions = convolutions.map(|&(layer, extent)| Work::of(layer, extent));
        let start = Work { operations: passes.attention_operations, numbers: 0 };
        Ok(of_convolutions.fold(start, |sum, work| Work {
            operations: sum.operations + work.operations,
            numbers: sum.numbers + work.numbers,
        }))
    }

    /// The convolutions of one pass over an image `(y, x)` of this size in their order, attention's products of single
    /// pixels among them, each with the extent that it reads.
    ///
    /// # Errors
    /// As [`work`](Self::work).
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

/// What one pass of a network consists of.
struct Passes {
    /// With the extent that each reads.
    convolutions: Vec<(Convolution, Extent)>,
    /// Affinities of pixels and mixtures of their values.
    attention_operations: u64,
}

impl Network {
    fn passes(&self, image: Extent) -> Passes {
        let mut passes = Passes { convolutions: Vec::new(), attention_operations: 0 };
        let mut extents = vec![image];
        for step in &self.steps {
            let extent = extents[step.sources()[0]];
            let layers: Vec<_> = step.convs().into_iter().map(|conv| conv.layer).collect();
            extents.push(layers.last().map_or(extent, |layer| layer.result(extent)));
            passes.convolutions.extend(layers.into_iter().map(|layer| (layer, extent)));
            if let Step::Attention { block, .. } = step {
                let pixels = (extent.height * extent.width) as u64;
                passes.attention_operations +=
                    2 * 2 * pixels * pixels * block.layer().outputs as u64;
            }
        }
        passes.convolutions.push((self.output.conv.layer, image));
        passes
    }
}

impl Work {
    /// The work of one convolution of images of an extent, all of them.
    pub fn of(layer: Convolution, extent: Extent) -> Self {
        let numbers = |extent: Extent, channels: usize| {
            (extent.count * extent.height * extent.width * channels) as u64
        };
        let taps = if layer.kind == ConvKind::Pointwise { 1 } else { 9 };
        let written = numbers(layer.result(extent), layer.outputs);
        Self {
            operations: 2 * taps * written * layer.inputs as u64,
            numbers: numbers(extent, layer.inputs) + written,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_network_takes_the_operations_that_were_counted_for_it() {
        let work = UNetConfig::default().work([128, 128]).unwrap();
        let published = 16.12e9;
        assert!((work.operations as f64 / published - 1.0).abs() < 2e-3, "{work:?}");
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
        let [small, large] = [[64, 64], [128, 64]].map(|size| config.work(size).unwrap());
        assert_eq!(large.operations, 2 * small.operations);
        assert_eq!(large.numbers, 2 * small.numbers);
        assert!(config.work([100, 64]).is_err());
    }
}
