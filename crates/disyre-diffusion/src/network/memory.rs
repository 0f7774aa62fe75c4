//! How much memory feature maps take.

use disyre_kernels::Extent;

use super::{Block, Network};
use crate::UNetConfig;

/// The purpose of a pass, which decides what it keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Restorations alone.
    Restore,
    /// Gradients, from results that are kept.
    Learn,
    /// Gradients, from results within blocks that are computed anew.
    LearnAgain,
}

/// Numbers of one step for one image.
struct Sizes {
    /// Of what it reads, all parts together.
    inputs: usize,
    /// Of its result.
    result: usize,
    /// Of what it keeps for its gradient.
    hidden: usize,
    /// Of what it takes and drops on the way to its gradient.
    passing: usize,
}

impl UNetConfig {
    /// Bytes that restoring `count` images of this height and width takes on the CPU: feature maps and parameters.
    ///
    /// # Source
    /// A forecast from the layers alone; what kernels take in passing is not among them. Sizes whose product is beyond 64
    /// bits give the greatest number.
    ///
    /// ```
    /// use disyre_diffusion::UNetConfig;
    /// let network = UNetConfig::default(); // 26 million parameters
    /// let [one, four] = [1, 4].map(|count| network.restoring_bytes(count, [128, 128]) / 1_000_000);
    /// assert!(one > 104 && four > one, "{one} MB, {four} MB");
    /// assert!(network.training_bytes(16, [128, 128], true) < network.training_bytes(16, [128, 128], false));
    /// ```
    pub fn restoring_bytes(&self, count: usize, image: [usize; 2]) -> u64 {
        self.forecast(count, image, Purpose::Restore, 1)
    }

    /// Bytes that a training step of `count` images takes on the CPU: feature maps, parameters, their gradients and moments,
    /// and their moving average. `recompute`: results within blocks are computed anew.
    ///
    /// # Source
    /// As [`restoring_bytes`](Self::restoring_bytes).
    pub fn training_bytes(&self, count: usize, image: [usize; 2], recompute: bool) -> u64 {
        let purpose = if recompute { Purpose::LearnAgain } else { Purpose::Learn };
        self.forecast(count, image, purpose, 5)
    }

    fn forecast(&self, count: usize, image: [usize; 2], purpose: Purpose, copies: u64) -> u64 {
        /// Above it sizes of layers no longer multiply within 64 bits.
        const MOST_CHANNELS: usize = 1 << 20;
        let widest =
            self.channels.iter().chain([&self.embedding_channels, &self.sinusoid_channels]);
        if self.ensure_valid().is_err() || widest.max().is_none_or(|&n| n > MOST_CHANNELS) {
            return u64::MAX;
        }
        let network = Network::new(self);
        // The peak grows with the pixels: that of the smallest image stands for all.
        let side = self.size_multiple();
        let tiles = image.map(|pixels| pixels.div_ceil(side) as u64);
        let maps = [count as u64, tiles[0], tiles[1], 4]
            .into_iter()
            .fold(network.peak([side, side], purpose) as u64, u64::saturating_mul);
        maps.saturating_add((network.layout().len() as u64).saturating_mul(4 * copies))
    }
}

impl Network {
    /// Numbers of feature maps that a pass over one image of this height and width holds at most, from the layers
    /// alone: what kernels take in passing is not among them.
    pub(crate) fn peak(&self, [height, width]: [usize; 2], purpose: Purpose) -> usize {
        let sizes = self.sizes(Extent { count: 1, height, width });
        match purpose {
            Purpose::Restore => self.peak_of_restoring(&sizes),
            Purpose::Learn => self.peak_of_learning(&sizes, true),
            Purpose::LearnAgain => self.peak_of_learning(&sizes, false),
        }
    }

    fn sizes(&self, image: Extent) -> Vec<Sizes> {
        let mut extents = vec![image];
        let mut sizes = Vec::new();
        for step in &self.steps {
            let extent = extents[step.sources()[0]];
            let pixels = extent.height * extent.width;
            let (layer, hidden, passing) = match step {
                Block::Conv { conv, .. } => (conv.layer, 0, 0),
                Block::Resnet { block, .. } => {
                    let layer = block.layer();
                    // The gradients by the hidden result, by z, and what passes around both convolutions.
                    (layer, layer.outputs, layer.outputs + 2 * layer.inputs)
                }
                Block::Attention { block, .. } => {
                    let layer = block.layer();
                    // Queries, keys, values and their mixture; the gradients by all these, and by z.
                    (layer, 4 * layer.outputs, 5 * layer.outputs)
                }
            };
            let result = layer.result(extent);
            sizes.push(Sizes {
                inputs: layer.inputs * pixels,
                result: layer.outputs * result.height * result.width,
                hidden: hidden * pixels,
                passing: passing * pixels,
            });
            extents.push(result);
        }
        sizes
    }

    /// While a step runs there are its sources, what later steps read, and its own results.
    fn peak_of_restoring(&self, sizes: &[Sizes]) -> usize {
        let at = |index: usize| {
            let waiting = (0..index).filter(|&i| self.last_use[i + 1] >= index);
            let own = sizes[index].hidden + 2 * sizes[index].result;
            waiting.map(|i| sizes[i].result).sum::<usize>() + own
        };
        (0..sizes.len()).map(at).max().unwrap_or_default()
    }

    /// On the way back there are, at each step, all results before it, gradients by those that later steps read, its own
    /// and what it takes in passing.
    fn peak_of_learning(&self, sizes: &[Sizes], keep: bool) -> usize {
        let at = |index: usize| {
            let before: usize = sizes[..index].iter().map(|size| size.result).sum();
            let waiting = (0..index).filter(|&i| self.last_use[i + 1] > index);
            let gradients: usize = waiting.map(|i| sizes[i].result).sum();
            let hidden: usize = match keep {
                true => sizes[..=index].iter().map(|size| size.hidden).sum(),
                false => sizes[index].hidden,
            };
            let own = &sizes[index];
            before + gradients + hidden + own.passing + own.inputs + own.result
        };
        (0..sizes.len()).map(at).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn learning_takes_more_memory_than_restoring_and_less_where_results_are_computed_anew() {
        let network = Network::new(&UNetConfig::default());
        let peak = |purpose| network.peak([128, 128], purpose);
        let [restore, learn, again] =
            [Purpose::Restore, Purpose::Learn, Purpose::LearnAgain].map(peak);
        assert!(restore < again && again < learn, "{restore}, {again}, {learn}");
        assert_eq!(network.peak([256, 128], Purpose::Learn), 2 * learn);
    }

    #[test]
    fn a_forecast_beyond_64_bits_is_the_greatest_number() {
        let network = UNetConfig::default();
        assert_eq!(network.restoring_bytes(usize::MAX, [1 << 30; 2]), u64::MAX);
        let wide = UNetConfig { channels: vec![32 << 30], ..UNetConfig::default() };
        assert_eq!(wide.training_bytes(1, [32, 32], false), u64::MAX);
    }

    #[test]
    fn the_estimate_is_that_of_a_network_counted_by_hand() {
        // One level of 4 channels: conv_in, a block down, two in the middle, two up that read 8 channels.
        let config = UNetConfig {
            channels: vec![4],
            resnets_per_level: 1,
            groups: 1,
            attention_levels: vec![],
            middle_attention: false,
            ..UNetConfig::default()
        };
        let network = Network::new(&config);
        // In the first block up: conv_in (for the second), its two sources, hidden result, shortcut and result.
        assert_eq!(network.peak([1, 1], Purpose::Restore), 6 * 4);
        // In the second block up: five results before it, five hidden ones, in passing 4 + 16, inputs and own 8 + 4.
        assert_eq!(network.peak([1, 1], Purpose::Learn), 5 * 4 + 5 * 4 + 20 + 12);
    }
}
