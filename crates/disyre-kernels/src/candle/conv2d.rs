//! The convolution as a differentiable operation on candle tensors.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};

use super::reference::channels_last;
use super::storage::{values, with_values};
use crate::{Addends, ConvInput, ConvKind, Convolution, Cpu, Extent, InputPart};

/// Convolves images, see [`Convolution`]; differentiable in all its tensors. On another device than the CPU it is the plain
/// form, [`channels_last::conv2d`].
///
/// # Shapes and units
/// `x` is (n, h, w, c), `weight` (k, k, c, o), `bias` (o); `addend` is (n, 1, 1, o), a number for each image and
/// channel, or has the shape of the result, (n, h', w', o). All are `f32`.
///
/// # Errors
/// Shapes that do not belong together, empty tensors, and tensors on the CPU that are not `f32`. A gradient of the
/// gradient is not available there.
pub fn conv2d(
    cpu: &Cpu,
    kind: ConvKind,
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    addend: Option<&Tensor>,
) -> Result<Tensor> {
    let op = Conv2dOp::new(cpu, kind, x, weight, bias)?;
    let addend_is = addend.map(|addend| op.addend(addend)).transpose()?;
    if !x.device().is_cpu() {
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

/// [`Convolution`] of images of one extent, of data and parameters (weight, then bias): forward and backward on CPU
/// tensors.
struct Conv2dOp {
    cpu: Cpu,
    layer: Convolution,
    extent: Extent,
}

/// The same with an addend.
struct WithAddend {
    op: Conv2dOp,
    addend_is: AddendIs,
}

/// Kind of an addend: a number for each image and channel, or images.
#[derive(Clone, Copy, PartialEq)]
enum AddendIs {
    ByImage,
    Images,
}

impl Conv2dOp {
    fn new(cpu: &Cpu, kind: ConvKind, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Self> {
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
        Ok(Self { cpu: cpu.clone(), layer, extent: Extent { count, height, width } })
    }

    fn dims(&self) -> [usize; 4] {
        let Extent { count, height, width } = self.layer.result(self.extent);
        [count, height, width, self.layer.outputs]
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

    fn forward(&self, x: &[f32], parameters: &[f32], addends: Addends<'_>) -> (CpuStorage, Shape) {
        let (weight, bias) = parameters.split_at(self.layer.weight_len());
        let source = ConvInput { parts: &[InputPart::new(x, self.layer.inputs)], transform: None };
        let addends = Addends { bias: Some(bias), ..addends };
        let y = self.layer.forward(&self.cpu, self.extent, &source, weight, &addends, false);
        (CpuStorage::F32(y.values.to_vec()), Shape::from(&self.dims()[..]))
    }

    /// The gradients by x, unless it needs none, by the parameters, and by what is added to each image.
    fn backward(
        &self,
        x: &Tensor,
        parameters: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Tensor, Tensor)> {
        let (layer, cpu, extent) = (self.layer, &self.cpu, self.extent);
        let mut by_parameters = vec![0.0; parameters.elem_count()];
        let (backward_filter, by_bias) = by_parameters.split_at_mut(layer.weight_len());
        let by_image = with_values(x, |x| {
            let source = ConvInput { parts: &[InputPart::new(x, layer.inputs)], transform: None };
            with_values(gradient, |g| {
                layer.backward_filter(cpu, extent, &source, g, backward_filter)
            })
        })??;
        for (channel, bias) in by_bias.iter_mut().enumerate() {
            *bias = by_image[channel..].iter().step_by(layer.outputs).sum::<f64>() as f32;
        }
        let backward_data = || {
            let backward_data = with_values(parameters, |parameters| {
                let weight = &parameters[..layer.weight_len()];
                with_values(gradient, |g| layer.backward_data(cpu, extent, g, weight).to_vec())
            })??;
            Tensor::from_vec(backward_data, x.shape(), x.device())
        };
        let backward_data = x.track_op().then(backward_data).transpose()?;
        let by_parameters = Tensor::from_vec(by_parameters, parameters.shape(), x.device())?;
        let by_image = by_image.iter().map(|&sum| sum as f32).collect();
        let shape = (extent.count, 1, 1, layer.outputs);
        Ok((backward_data, by_parameters, Tensor::from_vec(by_image, shape, x.device())?))
    }
}

impl CustomOp2 for Conv2dOp {
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
        let parameters = values(parameters, parameters_layout)?;
        Ok(self.forward(values(x, x_layout)?, parameters, Addends::default()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        parameters: &Tensor,
        _y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (backward_data, by_parameters, _) = self.backward(x, parameters, gradient)?;
        Ok((backward_data, Some(by_parameters)))
    }
}

impl CustomOp3 for WithAddend {
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
        let (addend, parameters) =
            (values(addend, addend_layout)?, values(parameters, parameters_layout)?);
        let addends = match self.addend_is {
            AddendIs::ByImage => Addends { by_image: Some(addend), ..Addends::default() },
            AddendIs::Images => Addends { images: Some(addend), ..Addends::default() },
        };
        Ok(self.op.forward(values(x, x_layout)?, parameters, addends))
    }

    fn bwd(
        &self,
        x: &Tensor,
        parameters: &Tensor,
        _addend: &Tensor,
        _y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (backward_data, by_parameters, by_image) = self.op.backward(x, parameters, gradient)?;
        let by_addend = match self.addend_is {
            AddendIs::ByImage => by_image,
            AddendIs::Images => gradient.clone(),
        };
        Ok((backward_data, Some(by_parameters), Some(by_addend)))
    }
}
