//! Group normalisation and its gradients: the launch code of group_norm.cu.

use crate::buffer::{Array, DeviceBuffer, Element, RawBuffer};
use crate::conv2d::assert_parts;
use crate::cuda::{Cuda, Parameters, f32_bytes, int};
use crate::device::{Device, Kernel};
use disyre_kernels::backend::{Affine, BackendError, FeatureMaps, Input, PartGradients};

/// Blocks that keep a large device busy.
const MOST_BLOCKS: usize = 4096;

/// Coefficients of a normalisation: scale, shift, rstd and offset, each `(n, c)`, one behind another.
#[derive(Debug)]
pub struct DeviceNormalised<D: Device> {
    numbers: RawBuffer<D>,
    len: usize,
}

/// Addresses of the coefficients of a normalisation.
pub(crate) struct CoefficientAddresses {
    pub(crate) scale: u64,
    pub(crate) shift: u64,
    pub(crate) rstd: u64,
    pub(crate) offset: u64,
}

impl<D: Device> DeviceNormalised<D> {
    /// # Panics
    /// If they lie in the memory of another backend, or are not so many of each.
    pub(crate) fn assert_fits(&self, cuda: &Cuda<D>, len: usize) {
        cuda.assert_owns(&self.numbers);
        assert_eq!(self.len, len, "coefficients for each channel of each image");
    }

    /// # Errors
    /// If they have no memory.
    pub(crate) fn addresses(&self) -> Result<CoefficientAddresses, BackendError> {
        let address = |which| self.numbers.address(which * self.len);
        let (scale, shift, rstd, offset) = (address(0)?, address(1)?, address(2)?, address(3)?);
        Ok(CoefficientAddresses { scale, shift, rstd, offset })
    }
}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Normalise {
    moments: [u64; 2],
    weight: u64,
    bias: u64,
    out: [u64; 4],
    epsilon: f64,
    part_channels: [i32; 2],
    images: i32,
    groups: i32,
    pixels: i32,
    unused: i32,
}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct NormGradients {
    sums: u64,
    weight: u64,
    rstd: u64,
    offset: u64,
    by_weight: u64,
    by_bias: u64,
    out: u64,
    images: i32,
    channels: i32,
    groups: i32,
    pixels: i32,
}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct ApplyGradient {
    x: Array,
    out: Array,
    by_z: Array,
    addend: Array,
    coefficients: u64,
    pixels: i64,
    image_pixels: i32,
    channels: i32,
    all_channels: i32,
    first: i32,
    add: i32,
    unused: i32,
}

// SAFETY: these structures have the layouts of those of the same names in group_norm.cu.
unsafe impl Parameters for Normalise {}
// SAFETY: as above.
unsafe impl Parameters for NormGradients {}
// SAFETY: as above.
unsafe impl Parameters for ApplyGradient {}

const fn kernel(name: &'static str) -> Kernel {
    Kernel { module: "group_norm", name }
}

impl<D: Device> Cuda<D> {
    /// The normalisation of one image that changes nothing.
    pub(crate) fn no_normalisation(&self, channels: usize) -> DeviceNormalised<D> {
        let values: Vec<f32> = (0..4 * channels).map(|i| f32::from(i < channels)).collect();
        let numbers = self.put(Element::F32, values.len(), || f32_bytes(&values));
        DeviceNormalised { numbers, len: channels }
    }

    /// The coefficients from the moments of maps side by side.
    ///
    /// # Panics
    /// If maps have no moments.
    pub(crate) fn coefficients(
        &self,
        affine: &Affine,
        weights: &RawBuffer<D>,
        parts: &[&FeatureMaps<Self>],
    ) -> DeviceNormalised<D> {
        let channels = affine.weight.len();
        assert_parts(parts, channels);
        affine.assert_fits(weights.len());
        let extent = parts[0].extent();
        for part in parts {
            let moments = part.moments().expect("maps that are normalised have moments").on(self);
            let len = 2 * extent.count * part.channels();
            assert_eq!(moments.len(), len, "moments of each channel");
        }
        let len = extent.count * channels;
        let numbers = self.take(Element::F32, 4 * len);
        let parameters = || {
            let (mut moments, mut part_channels) = ([0; 2], [0; 2]);
            for (index, part) in parts.iter().enumerate() {
                let of_part = part.moments().map(|moments| moments.on(self).address(0));
                moments[index] = of_part.unwrap_or(Ok(0))?;
                part_channels[index] = int(part.channels());
            }
            let address = |which| numbers.address(which * len);
            Ok(Normalise {
                moments,
                weight: weights.address(affine.weight.start)?,
                bias: weights.address(affine.bias.start)?,
                out: [address(0)?, address(1)?, address(2)?, address(3)?],
                epsilon: affine.norm.epsilon,
                part_channels,
                images: int(extent.count),
                groups: int(affine.norm.groups),
                pixels: int(extent.image_pixels()),
                unused: 0,
            })
        };
        let grid = [(extent.count * affine.norm.groups).div_ceil(128), 1, 1];
        self.run(kernel("normalise"), grid, 128, parameters);
        DeviceNormalised { numbers, len }
    }

    /// The gradients by weight and bias to their places in `out`, and the one by the input to `to`.
    pub(crate) fn norm_gradients(
        &self,
        affine: &Affine,
        weights: &RawBuffer<D>,
        input: &Input<'_, Self>,
        (by_z, sums): (RawBuffer<D>, RawBuffer<D>),
        out: &RawBuffer<D>,
        to: PartGradients<'_, Self>,
    ) {
        let (extent, channels) = (input.extent(), affine.weight.len());
        self.assert_input(input, channels);
        affine.assert_fits(weights.len());
        affine.assert_fits(out.len());
        assert_eq!(by_z.len(), extent.len(channels), "the gradient has the input's shape");
        assert_eq!(sums.len(), 2 * extent.count * channels, "sums of each channel");
        assert_eq!(to.by_parts.len(), input.parts.len(), "a gradient for each part");
        let addend = to.addend.map(|addend| addend.on(self));
        let has_shape = addend.is_none_or(|addend| addend.len() == by_z.len());
        assert!(has_shape, "the map added has the input's shape");
        let coefficients = self.input_coefficients(affine, weights, input, &sums, out);
        let apply = |x: &FeatureMaps<Self>, (first, add), out: &RawBuffer<D>| {
            assert_eq!(out.len(), x.values().on(self).len(), "the gradient has the part's shape");
            let parameters = || {
                Ok(ApplyGradient {
                    x: self.array(x)?,
                    out: out.array()?,
                    by_z: by_z.array()?,
                    addend: addend.map_or(Ok(Array::default()), RawBuffer::array)?,
                    coefficients: coefficients.address(0)?,
                    pixels: extent.pixels() as i64,
                    image_pixels: int(extent.image_pixels()),
                    channels: int(x.channels()),
                    all_channels: int(channels),
                    first: int(first),
                    add: i32::from(add),
                    unused: 0,
                })
            };
            let blocks = out.len().div_ceil(256).min(MOST_BLOCKS);
            self.run(kernel("apply_input_gradient"), [blocks, 1, 1], 256, parameters);
        };
        if let ([x], [none @ None]) = (input.parts, &mut *to.by_parts) {
            // In its place.
            apply(x, (0, false), &by_z);
            *none = Some(DeviceBuffer::new(by_z));
            return;
        }
        let mut first = 0;
        for (&x, by_part) in input.parts.iter().zip(to.by_parts) {
            let (add, len) = (by_part.is_some(), x.values().on(self).len());
            let out =
                by_part.get_or_insert_with(|| DeviceBuffer::new(self.take(self.element(), len)));
            apply(x, (first, add), out.on(self));
            first += x.channels();
        }
    }

    /// Factors of the gradient by z and of x, and a constant, `(n, c, 3)`.
    fn input_coefficients(
        &self,
        affine: &Affine,
        weights: &RawBuffer<D>,
        input: &Input<'_, Self>,
        sums: &RawBuffer<D>,
        out: &RawBuffer<D>,
    ) -> RawBuffer<D> {
        let (extent, channels) = (input.extent(), affine.weight.len());
        let through = input.through.as_ref().expect("the input is normalised");
        let found = self.take(Element::F32, 3 * extent.count * channels);
        let parameters = || {
            let normalised = through.normalised.addresses()?;
            Ok(NormGradients {
                sums: sums.address(0)?,
                weight: weights.address(affine.weight.start)?,
                rstd: normalised.rstd,
                offset: normalised.offset,
                by_weight: out.address(affine.weight.start)?,
                by_bias: out.address(affine.bias.start)?,
                out: found.address(0)?,
                images: int(extent.count),
                channels: int(channels),
                groups: int(affine.norm.groups),
                pixels: int(extent.image_pixels()),
            })
        };
        self.run(kernel("sum_images"), [channels.div_ceil(128), 1, 1], 128, parameters);
        let groups = extent.count * affine.norm.groups;
        self.run(kernel("input_gradient"), [groups.div_ceil(128), 1, 1], 128, parameters);
        found
    }
}
