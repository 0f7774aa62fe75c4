//! The CPU form as a candle operation.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::cpu::{self, Geometry};
use crate::storage::{tensor_values, values};

/// Normalisation of contiguous `f32` tensors on the CPU.
pub(super) struct Normalisation {
    pub(super) groups: usize,
    pub(super) eps: f64,
    pub(super) silu: bool,
}

impl Normalisation {
    fn geometry(&self, dims: &[usize]) -> Geometry {
        let (channels, pixels) = (dims[1], dims[2] * dims[3]);
        Geometry { channels, groups: self.groups, pixels, eps: self.eps, silu: self.silu }
    }
}

impl CustomOp3 for Normalisation {
    fn name(&self) -> &'static str {
        "group-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (weight, bias) = (values(weight, weight_layout)?, values(bias, bias_layout)?);
        let geometry = self.geometry(x_layout.dims());
        let y = cpu::forward(&geometry, values(x, x_layout)?, weight, bias);
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        let geometry = self.geometry(x.dims());
        let tensors = [x, weight, bias, &gradient].map(Tensor::storage_and_layout);
        let [x_values, weight_values, bias_values, gradient_values] =
            tensors.each_ref().map(|(storage, layout)| tensor_values(storage, layout));
        let found =
            cpu::backward(&geometry, x_values?, weight_values?, bias_values?, gradient_values?);
        let of = |values, like: &Tensor| Tensor::from_vec(values, like.shape(), like.device());
        Ok((Some(of(found.x, x)?), Some(of(found.weight, weight)?), Some(of(found.bias, bias)?)))
    }
}
