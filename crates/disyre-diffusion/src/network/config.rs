//! The shape of the network, as `config.json` holds it.

use serde::{Deserialize, Serialize};

use super::Network;
use crate::DiffusionError;

/// Greatest number of channels of a layer, and of anything else that is counted: 250 times the published ones. Sizes up to it
/// can be multiplied without an overflow.
const MOST_CHANNELS: usize = 1 << 16;
/// Greatest number of residual blocks of a level.
const MOST_RESNETS: usize = 64;
/// Greatest number of parameters: ten times the published network, 1 GiB of numbers of 32 bits.
const MOST_PARAMETERS: usize = 1 << 28;

/// The shape of the restoration network; `Default` is the published one, 26 296 929 parameters.
///
/// # Source
/// DISYRE (arXiv 2311.15453), the network of the published code: a `UNet2DModel` of the diffusers library.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UNetConfig {
    /// Channels of the image that comes in. Published: 1.
    pub in_channels: usize,
    /// Channels of the image that goes out. Published: 1.
    pub out_channels: usize,
    /// Channels of each level, finest first; multiples of `groups`. Published: 32, 64, 96, 128, 256, 256.
    pub channels: Vec<usize>,
    /// Residual blocks of each level on the way down; one more on the way up. Published: 2.
    pub resnets_per_level: usize,
    /// Levels, counted from 0, with self-attention after every residual block. Published: 4.
    pub attention_levels: Vec<usize>,
    /// Whether the middle block has self-attention. Published: yes.
    pub middle_attention: bool,
    /// Channels of one attention head; divides the channels wherever there is attention. Published: 8.
    pub head_channels: usize,
    /// Groups of every normalisation. Published: 32.
    pub groups: usize,
    /// Added to the variance by normalisations. Published: 1e-5.
    pub norm_epsilon: f64,
    /// Length of the sinusoid that encodes the conditioning; even. Published: 32.
    pub sinusoid_channels: usize,
    /// Length of the embedding made of it. Published: 128.
    pub embedding_channels: usize,
}

impl Default for UNetConfig {
    fn default() -> Self {
        Self {
            in_channels: 1,
            out_channels: 1,
            channels: vec![32, 64, 96, 128, 256, 256],
            resnets_per_level: 2,
            attention_levels: vec![4],
            middle_attention: true,
            head_channels: 8,
            groups: 32,
            norm_epsilon: 1e-5,
            sinusoid_channels: 32,
            embedding_channels: 128,
        }
    }
}

impl UNetConfig {
    /// Height and width of an image must be multiples of this: 2 to the power of levels − 1.
    pub fn size_multiple(&self) -> usize {
        1usize << self.channels.len().saturating_sub(1).min(31)
    }

    /// Checks that an image of this size can be halved and doubled again.
    ///
    /// # Errors
    /// [`DiffusionError::Indivisible`] with the multiple that is needed.
    pub fn ensure_divisible(&self, height: usize, width: usize) -> Result<(), DiffusionError> {
        let factor = self.size_multiple();
        if height > 0 && width > 0 && height.is_multiple_of(factor) && width.is_multiple_of(factor)
        {
            return Ok(());
        }
        Err(DiffusionError::Indivisible { height, width, levels: self.channels.len(), factor })
    }

    /// Checks every field against the others.
    ///
    /// # Errors
    /// [`DiffusionError::Config`] naming the first field that cannot work.
    pub fn ensure_valid(&self) -> Result<(), DiffusionError> {
        self.ensure_countable()?;
        let error = |field, expected: &str, got: &dyn std::fmt::Debug| {
            Err(DiffusionError::config(field, expected, got))
        };
        if !(1..=16).contains(&self.channels.len()) {
            return error("network.channels", "1 to 16 levels", &self.channels);
        }
        if self.channels.iter().any(|&c| c == 0 || c % self.groups != 0) {
            return error("network.channels", "multiples of network.groups", &self.channels);
        }
        if self.attention_levels.iter().any(|&level| level >= self.channels.len()) {
            return error(
                "network.attention_levels",
                "levels of the network",
                &self.attention_levels,
            );
        }
        if self.attended_channels().any(|c| c % self.head_channels != 0) {
            let expected = "a divisor of the channels of each level with attention";
            return error("network.head_channels", expected, &self.head_channels);
        }
        if !self.sinusoid_channels.is_multiple_of(2) {
            return error("network.sinusoid_channels", "an even number", &self.sinusoid_channels);
        }
        if !(self.norm_epsilon > 0.0 && self.norm_epsilon.is_finite()) {
            return error("network.norm_epsilon", "a positive number", &self.norm_epsilon);
        }
        let parameters = Network::new(self).layout().len();
        if parameters > MOST_PARAMETERS {
            let expected = format!("at most {MOST_PARAMETERS}: fewer channels or levels");
            return Err(DiffusionError::config(
                "network's number of parameters",
                expected,
                parameters,
            ));
        }
        Ok(())
    }

    fn ensure_countable(&self) -> Result<(), DiffusionError> {
        let counts = [
            ("network.in_channels", self.in_channels, MOST_CHANNELS),
            ("network.out_channels", self.out_channels, MOST_CHANNELS),
            ("network.resnets_per_level", self.resnets_per_level, MOST_RESNETS),
            ("network.head_channels", self.head_channels, MOST_CHANNELS),
            ("network.groups", self.groups, MOST_CHANNELS),
            ("network.sinusoid_channels", self.sinusoid_channels, MOST_CHANNELS),
            ("network.embedding_channels", self.embedding_channels, MOST_CHANNELS),
        ];
        let levels = self.channels.iter().map(|&count| ("network.channels", count, MOST_CHANNELS));
        match counts.into_iter().chain(levels).find(|&(_, n, most)| !(1..=most).contains(&n)) {
            Some((field, count, most)) => {
                Err(DiffusionError::config(field, format!("1 to {most}"), count))
            }
            None => Ok(()),
        }
    }

    fn attended_channels(&self) -> impl Iterator<Item = usize> + '_ {
        let middle = self.channels.last().filter(|_| self.middle_attention);
        self.attention_levels.iter().map(|&level| &self.channels[level]).chain(middle).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_network_is_valid() {
        UNetConfig::default().ensure_valid().unwrap();
        assert_eq!(UNetConfig::default().size_multiple(), 32);
    }

    #[test]
    fn an_impossible_field_is_named() {
        let cases = [
            (UNetConfig { channels: vec![], ..UNetConfig::default() }, "network.channels"),
            (UNetConfig { channels: vec![32, 33], ..UNetConfig::default() }, "network.channels"),
            (
                UNetConfig { attention_levels: vec![6], ..UNetConfig::default() },
                "network.attention_levels",
            ),
            (UNetConfig { head_channels: 7, ..UNetConfig::default() }, "network.head_channels"),
            (UNetConfig { channels: vec![1 << 60], ..UNetConfig::default() }, "network.channels"),
            (
                UNetConfig { resnets_per_level: usize::MAX, ..UNetConfig::default() },
                "network.resnets_per_level",
            ),
            (
                UNetConfig { embedding_channels: 1 << 40, ..UNetConfig::default() },
                "network.embedding_channels",
            ),
            (
                UNetConfig { channels: vec![1 << 16; 16], ..UNetConfig::default() },
                "network's number of parameters",
            ),
            (UNetConfig { groups: 0, ..UNetConfig::default() }, "network.groups"),
            (
                UNetConfig { sinusoid_channels: 31, ..UNetConfig::default() },
                "network.sinusoid_channels",
            ),
        ];
        for (config, field) in cases {
            let message = config.ensure_valid().unwrap_err().to_string();
            assert!(message.starts_with(field), "{message}");
        }
    }

    #[test]
    fn a_size_that_cannot_be_halved_is_an_error_with_the_remedy() {
        let config = UNetConfig::default();
        config.ensure_divisible(128, 96).unwrap();
        let message = config.ensure_divisible(128, 100).unwrap_err().to_string();
        assert!(message.contains("128 x 100") && message.contains("multiples of 32"), "{message}");
    }
}
