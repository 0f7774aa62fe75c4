//! The embedding of the conditioning on candle tensors.

use candle_core::{Device, Result, Tensor};
use candle_nn::VarBuilder;

use super::layers::Linear;
use crate::Conditioning;
use crate::network::sinusoids;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{Golden, small_weights};

    #[test]
    fn the_embedding_equals_that_of_the_published_network() {
        let golden = Golden::load("unet_small_formula.safetensors");
        let embedding = TimeEmbedding::new(32, 128, &small_weights().pp("time_embedding")).unwrap();
        let input = golden.tensor("io.time_embedding.in").reshape((2, 32, 1, 1)).unwrap();
        let output = embedding.embed(&input).unwrap();
        golden.assert_tensor("io.time_embedding.out", &output.reshape((2, 128)).unwrap(), 1e-4);
    }
}
