//! Backends that compute on candle tensors: what the operations of this module ask of a device.

use candle_core::{CpuStorage, CudaStorage, Device, Error, Layout, Result, Storage, bail};

use crate::backend::{Added, Affine, Backend, Conv, FeatureMaps, Input, PartGradients, Through};
use crate::{ConvKind, Convolution, Extent, GroupNorm};

/// A backend that computes on candle tensors: [`Cpu`](crate::Cpu), and GPUs in `disyre-cuda` with its feature `candle-cuda`.
///
/// Numbers are copied from a tensor to the backend's memory and from there to a new tensor. The methods that are given
/// here do so through the CPU's memory.
pub trait TensorBackend: Backend + Clone {
    /// Whether tensors of this device can be read and made.
    fn holds(&self, device: &Device) -> bool {
        device.is_cpu()
    }

    /// A copy of a tensor, as parameters.
    ///
    /// # Errors
    /// A tensor of a device that the backend does not hold, and failures of the backend.
    fn values_of(&self, tensor: TensorNumbers<'_>) -> Result<Self::Values> {
        Ok(self.upload(tensor.on_cpu()?))
    }

    /// A copy of a tensor `(n, h, w, c)`, as feature maps without moments.
    ///
    /// # Errors
    /// As [`values_of`](Self::values_of).
    fn maps_of(
        &self,
        tensor: TensorNumbers<'_>,
        extent: Extent,
        channels: usize,
    ) -> Result<FeatureMaps<Self>> {
        Ok(self.maps(tensor.on_cpu()?, extent, channels))
    }

    /// A copy of parameters, on a device of candle that the backend holds.
    ///
    /// # Errors
    /// The first failure of any operation since the last that was taken; another device.
    fn storage_of_values(&self, values: &Self::Values, _: &Device) -> Result<Storage> {
        Ok(Storage::Cpu(CpuStorage::F32(self.download(values).map_err(Error::wrap)?)))
    }

    /// A copy of feature maps, on a device of candle that the backend holds.
    ///
    /// # Errors
    /// As [`storage_of_values`](Self::storage_of_values).
    fn storage_of_maps(&self, maps: &FeatureMaps<Self>, _: &Device) -> Result<Storage> {
        Ok(Storage::Cpu(CpuStorage::F32(self.download_maps(maps).map_err(Error::wrap)?)))
    }

    /// Group normalisation of maps without moments, then, if `silu` is set, SiLU. The parameters are weight and bias, one
    /// behind the other, each `(c)`.
    ///
    /// By default two pointwise convolutions by the identity, the first for the moments: exact for finite numbers, but
    /// one that is not finite reaches every channel of its pixel.
    fn group_norm(
        &self,
        norm: GroupNorm,
        silu: bool,
        x: &FeatureMaps<Self>,
        parameters: &Self::Values,
    ) -> FeatureMaps<Self> {
        let (conv, identity) = identity(self, x.channels());
        let x = with_moments(self, &conv, &identity, x);
        let normalised = self.normalise(&affine(norm, x.channels()), parameters, &[&x]);
        let through = Some(Through { normalised: &normalised, silu });
        let input = Input { parts: &[&x], through };
        self.convolve(&conv, &identity, &input, &Added::default(), false)
    }

    /// The gradients of [`group_norm`](Self::group_norm) by `x` and by the parameters, from the one by its result.
    fn backward_group_norm(
        &self,
        norm: GroupNorm,
        silu: bool,
        x: &FeatureMaps<Self>,
        parameters: &Self::Values,
        gradient: Self::Map,
    ) -> (Self::Map, Self::Values) {
        let (conv, identity) = identity(self, x.channels());
        let x = with_moments(self, &conv, &identity, x);
        let affine = affine(norm, x.channels());
        let normalised = self.normalise(&affine, parameters, &[&x]);
        let through = Some(Through { normalised: &normalised, silu });
        let input = Input { parts: &[&x], through };
        let found = self.backward_data_through_norm(&conv, &identity, &input, &gradient);
        let (mut by_parameters, mut by_parts) = (self.zeros(affine.bias.end), [None]);
        let to = PartGradients { addend: None, by_parts: &mut by_parts };
        self.backward_norm(&affine, parameters, &input, found, &mut by_parameters, to);
        let [by_x] = by_parts;
        (by_x.expect("a gradient for each part"), by_parameters)
    }
}

/// The normalisation whose parameters are a run of weight and bias.
fn affine(norm: GroupNorm, channels: usize) -> Affine {
    Affine { norm, weight: 0..channels, bias: channels..2 * channels }
}

/// The pointwise convolution that changes nothing, and its parameters.
fn identity<B: Backend>(backend: &B, channels: usize) -> (Conv, B::Values) {
    let area = channels * channels;
    let layer = Convolution { kind: ConvKind::Pointwise, inputs: channels, outputs: channels };
    let conv = Conv { layer, weight: 0..area, bias: area..area + channels };
    let on_diagonal = |i| i < area && i % (channels + 1) == 0;
    let values: Vec<f32> = (0..conv.bias.end).map(|i| f32::from(on_diagonal(i))).collect();
    (conv, backend.upload(&values))
}

/// The same maps with their moments.
fn with_moments<B: Backend>(
    backend: &B,
    conv: &Conv,
    identity: &B::Values,
    x: &FeatureMaps<B>,
) -> FeatureMaps<B> {
    let input = Input { parts: &[x], through: None };
    backend.convolve(conv, identity, &input, &Added::default(), true)
}

/// The numbers of a contiguous `f32` tensor, in the memory of candle's device.
#[derive(Debug, Clone, Copy)]
pub struct TensorNumbers<'a> {
    storage: On<'a>,
    start: usize,
    len: usize,
}

#[derive(Debug, Clone, Copy)]
enum On<'a> {
    Cpu(&'a [f32]),
    Cuda(&'a CudaStorage),
}

impl<'a> TensorNumbers<'a> {
    /// Those of a tensor on the CPU.
    ///
    /// # Errors
    /// Numbers that are not `f32`, and a layout that is not contiguous.
    pub fn cpu(storage: &'a CpuStorage, layout: &Layout) -> Result<Self> {
        Self::new(On::Cpu(storage.as_slice()?), layout)
    }

    /// Those of a tensor on a CUDA device.
    ///
    /// # Errors
    /// A layout that is not contiguous.
    pub fn cuda(storage: &'a CudaStorage, layout: &Layout) -> Result<Self> {
        Self::new(On::Cuda(storage), layout)
    }

    fn new(storage: On<'a>, layout: &Layout) -> Result<Self> {
        let Some((start, end)) = layout.contiguous_offsets() else {
            bail!("the tensor of shape {:?} is not contiguous", layout.dims());
        };
        Ok(Self { storage, start, len: end - start })
    }

    /// Count of the numbers.
    #[expect(clippy::len_without_is_empty, reason = "operations refuse empty tensors")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The numbers.
    ///
    /// # Errors
    /// If they are not on the CPU.
    pub fn on_cpu(&self) -> Result<&'a [f32]> {
        match self.storage {
            On::Cpu(numbers) => Ok(&numbers[self.start..self.start + self.len]),
            On::Cuda(_) => bail!("the tensor is not on the CPU"),
        }
    }

    /// The storage, of any type, and the place of the first number in it.
    ///
    /// # Errors
    /// If they are not on a CUDA device.
    pub fn on_cuda(&self) -> Result<(&'a CudaStorage, usize)> {
        match self.storage {
            On::Cuda(storage) => Ok((storage, self.start)),
            On::Cpu(_) => bail!("the tensor is not on a CUDA device"),
        }
    }
}
