use candle_core::{Device, Result, Tensor};
use candle_nn::VarBuilder;

use super::layers::Linear;
use crate::Conditioning;

/// Longest period of the sinusoid, in levels.
const LONGEST_PERIOD: f32 = 10_000.0;

/// Turns conditioning into the vector that every residual block adds: sinusoid, linear, SiLU, linear.
#[derive(Debug)]
pub(super) struct TimeEmbedding {
    first: Linear,
    second: Linear,
    sinusoid: usize,
}

impl TimeEmbedding {
    pub(super) fn new(sinusoid: usize, outputs: usize, vb: &VarBuilder<'_>) -> Result<Self> {
        let first = Linear::new(sinusoid, outputs, &vb.pp("linear_1"))?;
        Ok(Self { first, second: Linear::new(outputs, outputs, &vb.pp("linear_2"))?, sinusoid })
    }

    /// The embedding, `(n, embedding, 1, 1)`.
    pub(super) fn forward(&self, conditioning: &Conditioning, device: &Device) -> Result<Tensor> {
        let values = sinusoids(conditioning, self.sinusoid);
        let shape = (conditioning.len(), self.sinusoid, 1, 1);
        self.embed(&Tensor::from_vec(values, shape, device)?)
    }

    fn embed(&self, sinusoid: &Tensor) -> Result<Tensor> {
        self.second.forward(&self.first.forward(sinusoid)?.silu()?)
    }
}

/// `[cos(t w_k), sin(t w_k)]` with `w_k = exp(-ln(10000) k / half)`, for each item in turn.
pub(crate) fn sinusoids(conditioning: &Conditioning, length: usize) -> Vec<f32> {
    let half = length / 2;
    let angle = |level: u32, k: usize| {
        let frequency = (-LONGEST_PERIOD.ln() * k as f32 / half as f32).exp();
        level as f32 * frequency
    };
    let of_level = |&level: &u32| {
        let cosines = (0..half).map(move |k| angle(level, k).cos());
        cosines.chain((0..half).map(move |k| angle(level, k).sin()))
    };
    conditioning.levels().iter().flat_map(of_level).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{Golden, assert_close};

    #[test]
    fn level_zero_is_ones_then_zeros() {
        assert_eq!(sinusoids(&Conditioning::from_levels(vec![0]), 4), [1.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn sinusoids_equal_those_of_the_published_code() {
        let Some(golden) = Golden::load("timestep_embedding.safetensors") else { return };
        let levels = golden.integers("t").into_iter().map(|t| t as u32).collect();
        let conditioning = Conditioning::from_levels(levels);
        for length in [32, 64] {
            let (_, expected) = golden.floats(&format!("emb{length}"));
            assert_close("sinusoid", &sinusoids(&conditioning, length), &expected, 1e-5);
        }
    }

    #[test]
    fn the_embedding_equals_that_of_the_published_network() {
        let Some(golden) = Golden::load("unet_small.safetensors") else { return };
        let embedding =
            TimeEmbedding::new(32, 128, &golden.weights().pp("time_embedding")).unwrap();
        let input = golden.tensor("io.time_embedding.in").reshape((3, 32, 1, 1)).unwrap();
        let output = embedding.embed(&input).unwrap();
        golden.assert_tensor("io.time_embedding.out", &output.reshape((3, 128)).unwrap(), 1e-4);
    }
}
