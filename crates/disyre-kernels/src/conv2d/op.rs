//! The CPU form as a candle operation.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};

use super::cpu;
use super::geometry::Geometry;
use crate::storage::{tensor_values, values};

/// Convolution of contiguous `f32` tensors on the CPU.
pub(super) struct Convolution {
    pub(super) stride: usize,
}

impl Convolution {
    fn forward(
        &self,
        x: (&CpuStorage, &Layout),
        weight: (&CpuStorage, &Layout),
        bias: Option<(&CpuStorage, &Layout)>,
    ) -> Result<(CpuStorage, Shape)> {
        let geometry = Geometry::new(x.1.dims(), weight.1.dims(), self.stride);
        let bias = bias.map(|(storage, layout)| values(storage, layout)).transpose()?;
        let y = cpu::forward(&geometry, values(x.0, x.1)?, values(weight.0, weight.1)?, bias);
        let (height, width) = (geometry.out_height(), geometry.out_width());
        Ok((CpuStorage::F32(y), (geometry.items, geometry.outputs, height, width).into()))
    }

    /// The gradients by `x`, unless it needs none, and by `weight`.
    fn backward(
        &self,
        x: &Tensor,
        weight: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Tensor)> {
        let geometry = Geometry::new(x.dims(), weight.dims(), self.stride);
        let (x_storage, x_layout) = x.storage_and_layout();
        let (weight_storage, weight_layout) = weight.storage_and_layout();
        let (gradient_storage, gradient_layout) = gradient.storage_and_layout();
        let g = tensor_values(&gradient_storage, gradient_layout)?;
        let by_weight = cpu::gradient_by_weight(&geometry, tensor_values(&x_storage, x_layout)?, g);
        let by_weight = Tensor::from_vec(by_weight, weight.shape(), weight.device())?;
        if !x.track_op() {
            return Ok((None, by_weight));
        }
        let weight = tensor_values(&weight_storage, weight_layout)?;
        let by_data = cpu::gradient_by_data(&geometry, g, weight);
        Ok((Some(Tensor::from_vec(by_data, x.shape(), x.device())?), by_weight))
    }
}

impl CustomOp2 for Convolution {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward((x, x_layout), (weight, weight_layout), None)
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (by_data, by_weight) = self.backward(x, weight, &gradient.contiguous()?)?;
        Ok((by_data, Some(by_weight)))
    }
}

impl CustomOp3 for Convolution {
    fn name(&self) -> &'static str {
        "conv2d"
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
        self.forward((x, x_layout), (weight, weight_layout), Some((bias, bias_layout)))
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
        let (by_data, by_weight) = self.backward(x, weight, &gradient)?;
        let geometry = Geometry::new(x.dims(), weight.dims(), self.stride);
        let (storage, layout) = gradient.storage_and_layout();
        let by_bias = cpu::gradient_by_bias(&geometry, tensor_values(&storage, layout)?);
        let by_bias = Tensor::from_vec(by_bias, bias.shape(), bias.device())?;
        Ok((by_data, Some(by_weight), Some(by_bias)))
    }
}
