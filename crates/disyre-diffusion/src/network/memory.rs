//! How much memory feature maps take.

use disyre_kernels::Extent;

use super::{Block, Network};

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
    use crate::UNetConfig;

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
