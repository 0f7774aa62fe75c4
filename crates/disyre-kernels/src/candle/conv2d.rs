//! The convolution as a differentiable operation on candle tensors.

use candle_core::{
    CpuStorage, CudaStorage, CustomOp2, CustomOp3, Device, Layout, Result, Shape, Storage, Tensor,
    bail,
};

use super::reference::channels_last;
use super::storage::{cpu, cuda, maps, tensor_of_maps, tensor_of_values, values};
use super::{TensorBackend, TensorNumbers};
use crate::backend::{Added, Columns, Conv, FeatureMaps, Input};
use crate::{ConvKind, Convolution, Extent};

/// Convolves images, see [`Convolution`]; differentiable in all its tensors. On a device that `backend` does not hold it is
/// the plain form, [`channels_last::conv2d`].
///
/// # Shapes and units
/// `x` is (n, h, w, c), `weight` (k, k, c, o), `bias` (o); `addend` is (n, 1, 1, o), a number for each image and
/// channel, or has the shape of the result, (n, h', w', o). All are `f32`.
///
/// # Errors
/// Shapes that do not belong together, empty tensors, tensors that are not `f32`, and failures of the backend. A gradient
/// of the gradient is available only in the plain form.
pub fn conv2d<B: TensorBackend>(
    backend: &B,
    kind: ConvKind,
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    addend: Option<&Tensor>,
) -> Result<Tensor> {
    let op = Conv2dOp::new(backend, kind, x, weight, bias)?;
    let addend_is = addend.map(|addend| op.addend(addend)).transpose()?;
    if !backend.holds(x.device()) {
        return channels_last::conv2d(kind, x, weight, bias, addend);
    }
    // An operation takes three tensors at most, so weight and bias travel as one.
    let parameters = Tensor::cat(&[weight.flatten_all()?, bias.clone()], 0)?;
    let x = x.contiguous()?;
    match addend.zip(addend_is) {
        None => x.apply_op2(&parameters, op),
        Some((addend, addend_is)) => {
            x.apply_op3(&parameters, &addend.contiguous()?, WithAddend { op, addend_is })
        }
    }
}

/// [`Convolution`] of images of one extent, of data and parameters (weight, then bias): forward and backward on tensors of
/// one device.
struct Conv2dOp<B> {
    backend: B,
    device: Device,
    conv: Conv,
    extent: Extent,
}

/// The same with an addend.
struct WithAddend<B> {
    op: Conv2dOp<B>,
    addend_is: AddendIs,
}

/// Kind of an addend: a number for each image and channel, or images.
#[derive(Clone, Copy, PartialEq)]
enum AddendIs {
    ByImage,
    Images,
}

impl<B: TensorBackend> Conv2dOp<B> {
    fn new(
        backend: &B,
        kind: ConvKind,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
    ) -> Result<Self> {
        let (count, height, width, inputs) = x.dims4()?;
        let k = kind.kernel();
        let outputs = bias.dims1()?;
        if x.elem_count() == 0 || weight.elem_count() == 0 {
            bail!("conv2d: nothing to do for input {:?} and weight {:?}", x.dims(), weight.dims());
        }
        if weight.dims() != [k, k, inputs, outputs] {
            let expected = [k, k, inputs, outputs];
            bail!("conv2d: the weight has shape {:?}, expected {expected:?}", weight.dims());
        }
        let layer = Convolution { kind, inputs, outputs };
        let len = layer.weight_len();
        let conv = Conv { layer, weight: 0..len, bias: len..len + outputs };
        let extent = Extent { count, height, width };
        Ok(Self { backend: backend.clone(), device: x.device().clone(), conv, extent })
    }

    fn outputs(&self) -> usize {
        self.conv.layer.outputs
    }

    fn result(&self) -> Extent {
        self.conv.layer.result(self.extent)
    }

    fn dims(&self) -> [usize; 4] {
        let Extent { count, height, width } = self.result();
        [count, height, width, self.outputs()]
    }

    /// A row of pixels, one for each image.
    fn row(&self) -> Extent {
        Extent { count: 1, height: 1, width: self.extent.count }
    }

    fn addend(&self, addend: &Tensor) -> Result<AddendIs> {
        let dims @ [count, _, _, outputs] = self.dims();
        if addend.dims() == dims {
            return Ok(AddendIs::Images);
        }
        if addend.dims() == [count, 1, 1, outputs] {
            return Ok(AddendIs::ByImage);
        }
        let by_image = [count, 1, 1, outputs];
        bail!(
            "conv2d: the addend has shape {:?}, expected {dims:?} or {by_image:?}",
            addend.dims()
        );
    }

    fn forward(
        &self,
        x: TensorNumbers<'_>,
        parameters: TensorNumbers<'_>,
        addend: Option<(TensorNumbers<'_>, AddendIs)>,
    ) -> Result<(Storage, Shape)> {
        let (backend, conv) = (&self.backend, &self.conv);
        let _lock = backend.lock();
        let x = backend.maps_of(x, self.extent, conv.layer.inputs)?;
        let parameters = backend.values_of(parameters)?;
        let input = Input { parts: &[&x], through: None };
        let addend = match addend {
            None => None,
            Some((numbers, is)) => {
                let extent = if is == AddendIs::Images { self.result() } else { self.row() };
                Some((backend.maps_of(numbers, extent, self.outputs())?, is))
            }
        };
        let addends = match &addend {
            None => Added::default(),
            Some((maps, AddendIs::ByImage)) => {
                Added { by_image: Some(Columns { maps, first: 0 }), map: None }
            }
            Some((maps, AddendIs::Images)) => Added { by_image: None, map: Some(maps.values()) },
        };
        let y = backend.convolve(conv, &parameters, &input, &addends, false);
        Ok((backend.storage_of_maps(&y, &self.device)?, Shape::from(&self.dims()[..])))
    }

    /// The gradients by x, unless it needs none, by the parameters, and by what is added to each image.
    fn backward(
        &self,
        x: &Tensor,
        parameters: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Tensor, Tensor)> {
        let Self { backend, device, conv, extent } = self;
        let _lock = backend.lock();
        let gradient = maps(backend, gradient, self.result(), self.outputs())?.into_values();
        let mut by_parameters = backend.zeros(conv.bias.end);
        let mut by_image = backend.blank(self.row(), self.outputs());
        let x_maps = maps(backend, x, *extent, conv.layer.inputs)?;
        let input = Input { parts: &[&x_maps], through: None };
        let columns = Some(Columns { maps: &mut by_image, first: 0 });
        backend.backward_filter(conv, &input, &gradient, &mut by_parameters, columns);
        let by_x = || {
            let parameters = values(backend, parameters)?;
            let by_x = backend.backward_data(conv, &parameters, *extent, &gradient, None);
            let by_x = FeatureMaps::new(*extent, conv.layer.inputs, by_x);
            tensor_of_maps(backend, &by_x, x.shape(), device)
        };
        let by_x = x.track_op().then(by_x).transpose()?;
        let by_parameters = tensor_of_values(backend, &by_parameters, parameters.shape(), device)?;
        let shape = (extent.count, 1, 1, self.outputs());
        Ok((by_x, by_parameters, tensor_of_maps(backend, &by_image, shape, device)?))
    }
}

impl<B: TensorBackend> CustomOp2 for Conv2dOp<B> {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        parameters: &CpuStorage,
        parameters_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let parameters = TensorNumbers::cpu(parameters, parameters_layout)?;
        cpu(self.forward(TensorNumbers::cpu(x, x_layout)?, parameters, None)?)
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        x_layout: &Layout,
        parameters: &CudaStorage,
        parameters_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let parameters = TensorNumbers::cuda(parameters, parameters_layout)?;
        cuda(self.forward(TensorNumbers::cuda(x, x_layout)?, parameters, None)?)
    }

    fn bwd(
        &self,
        x: &Tensor,
        parameters: &Tensor,
        _y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (by_x, by_parameters, _) = self.backward(x, parameters, gradient)?;
        Ok((by_x, Some(by_parameters)))
    }
}

impl<B: TensorBackend> CustomOp3 for WithAddend<B> {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        parameters: &CpuStorage,
        parameters_layout: &Layout,
        addend: &CpuStorage,
        addend_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let parameters = TensorNumbers::cpu(parameters, parameters_layout)?;
        let addend = Some((TensorNumbers::cpu(addend, addend_layout)?, self.addend_is));
        cpu(self.op.forward(TensorNumbers::cpu(x, x_layout)?, parameters, addend)?)
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        x_layout: &Layout,
        parameters: &CudaStorage,
        parameters_layout: &Layout,
        addend: &CudaStorage,
        addend_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let parameters = TensorNumbers::cuda(parameters, parameters_layout)?;
        let addend = Some((TensorNumbers::cuda(addend, addend_layout)?, self.addend_is));
        cuda(self.op.forward(TensorNumbers::cuda(x, x_layout)?, parameters, addend)?)
    }

    fn bwd(
        &self,
        x: &Tensor,
        parameters: &Tensor,
        _addend: &Tensor,
        _y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (by_x, by_parameters, by_image) = self.op.backward(x, parameters, gradient)?;
        let by_addend = match self.addend_is {
            AddendIs::ByImage => by_image,
            AddendIs::Images => gradient.clone(),
        };
        Ok((by_x, Some(by_parameters), Some(by_addend)))
    }
}
