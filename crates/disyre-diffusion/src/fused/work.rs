//! How much there is to compute.

use disyre_kernels::backend::Conv;
use disyre_kernels::{Extent, Kind};

use super::{FusedNetwork, Step};
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
    pub fn work(&self, [height, width]: [usize; 2]) -> Result<Work, DiffusionError> {
        self.ensure_valid()?;
        self.ensure_divisible(height, width)?;
        Ok(FusedNetwork::new(self).work(Extent { count: 1, height, width }))
    }
}

impl FusedNetwork {
    fn work(&self, image: Extent) -> Work {
        let mut work = Work { operations: 0, numbers: 0 };
        let mut extents = vec![image];
        for step in &self.steps {
            let extent = extents[step.sources()[0]];
            let mut result = extent;
            for conv in step.convs() {
                result = work.add(conv, extent);
            }
            if let Step::Attention { block, .. } = step {
                let pixels = (extent.height * extent.width) as u64;
                // Affinities and the mixture of values.
                work.operations += 2 * 2 * pixels * pixels * block.layer().outputs as u64;
            }
            extents.push(result);
        }
        work.add(&self.output.conv, image);
        work
    }
}

impl Work {
    /// Adds a convolution; returns the size of its result.
    fn add(&mut self, conv: &Conv, extent: Extent) -> Extent {
        let (layer, result) = (conv.layer, conv.layer.result(extent));
        let [read, written] = [extent, result].map(|extent| (extent.height * extent.width) as u64);
        let taps = if layer.kind == Kind::Pointwise { 1 } else { 9 };
        let [inputs, outputs] = [layer.inputs, layer.outputs].map(|channels| channels as u64);
        self.operations += 2 * taps * written * inputs * outputs;
        self.numbers += read * inputs + written * outputs;
        result
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
