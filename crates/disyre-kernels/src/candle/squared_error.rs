//! The loss as a differentiable operation on candle tensors.

use candle_core::{
    CpuStorage, CudaStorage, CustomOp2, Device, Error, Layout, Result, Shape, Storage, Tensor, bail,
};

use super::storage::{cpu, cuda, maps, tensor_of_maps};
use super::{TensorBackend, TensorNumbers, reference};
use crate::Extent;
use crate::backend::FeatureMaps;

/// Mean squared error between two tensors, see [`mean_squared_error`](crate::mean_squared_error); differentiable by both. On
/// a device that `backend` does not hold it is the plain form, [`reference::squared_error`].
///
/// # Shapes and units
/// Both have one shape, `f32`; the result is a single number.
///
/// # Errors
/// Tensors of different or empty shapes, or that are not `f32`, and failures of the backend. A gradient of the gradient is
/// available only in the plain form.
pub fn squared_error<B: TensorBackend>(backend: &B, y: &Tensor, target: &Tensor) -> Result<Tensor> {
    if y.dims() != target.dims() || y.elem_count() == 0 {
        bail!("squared_error: {:?} is not compared with {:?}", y.dims(), target.dims());
    }
    if !backend.holds(y.device()) {
        return reference::squared_error(y, target);
    }
    let op = SquaredErrorOp { backend: backend.clone(), device: y.device().clone() };
    y.contiguous()?.apply_op2(&target.contiguous()?, op)
}

/// The loss of two tensors of one shape: forward and backward on tensors of one device.
struct SquaredErrorOp<B> {
    backend: B,
    device: Device,
}

const ONE: Extent = Extent { count: 1, height: 1, width: 1 };

/// All numbers of a tensor as one row.
fn row(width: usize) -> Extent {
    Extent { width, ..ONE }
}

impl<B: TensorBackend> SquaredErrorOp<B> {
    fn forward(&self, y: TensorNumbers<'_>, target: TensorNumbers<'_>) -> Result<(Storage, Shape)> {
        let backend = &self.backend;
        let _lock = backend.lock();
        let extent = row(y.len());
        let (y, target) = (backend.maps_of(y, extent, 1)?, backend.maps_of(target, extent, 1)?);
        let (loss, _) = backend.squared_error(&y, &target);
        let loss = backend.read(&[&loss]).map_err(Error::wrap)?[0] as f32;
        let loss = backend.maps(&[loss], ONE, 1);
        Ok((backend.storage_of_maps(&loss, &self.device)?, ().into()))
    }
}

impl<B: TensorBackend> CustomOp2 for SquaredErrorOp<B> {
    fn name(&self) -> &'static str {
        "squared-error"
    }

    fn cpu_fwd(
        &self,
        y: &CpuStorage,
        y_layout: &Layout,
        target: &CpuStorage,
        target_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let target = TensorNumbers::cpu(target, target_layout)?;
        cpu(self.forward(TensorNumbers::cpu(y, y_layout)?, target)?)
    }

    fn cuda_fwd(
        &self,
        y: &CudaStorage,
        y_layout: &Layout,
        target: &CudaStorage,
        target_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let target = TensorNumbers::cuda(target, target_layout)?;
        cuda(self.forward(TensorNumbers::cuda(y, y_layout)?, target)?)
    }

    fn bwd(
        &self,
        y: &Tensor,
        target: &Tensor,
        _loss: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (backend, shape, extent) = (&self.backend, y.shape(), row(y.elem_count()));
        let slope = {
            let _lock = backend.lock();
            let (y, target) = (maps(backend, y, extent, 1)?, maps(backend, target, extent, 1)?);
            let (_, slope) = backend.squared_error(&y, &target);
            let slope = FeatureMaps::new(extent, 1, slope);
            tensor_of_maps(backend, &slope, shape, &self.device)?
        };
        let slope = slope.broadcast_mul(gradient)?;
        let by_target = slope.neg()?;
        Ok((Some(slope), Some(by_target)))
    }
}
