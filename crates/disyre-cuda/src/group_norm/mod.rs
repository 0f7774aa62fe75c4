//! Group normalisation and its gradients: the launch code of group_norm.cu.

use crate::buffer::{Array, DeviceBuffer, Element, RawBuffer};
use crate::cuda::{Cuda, Parameters, f32_bytes, int};
use crate::device::{Device, Kernel};
use disyre_kernels::Extent;
use disyre_kernels::backend::{Affine, FeatureMaps, Input, PartGradients};

/// Blocks that keep a large device busy.
const MOST_BLOCKS: usize = 4096;

/// Coefficients of a normalisation: scale, shift, rstd and level, each `(n, c)`, one behind another.
#[derive(Debug)]
pub struct DeviceNormalised<D: Device> {
    numbers: RawBuffer<D>,
    len: usize,
}

/// Addresses of the coefficients of a normalisation, `len` of each.
pub(crate) struct Coefficients {
    pub(crate) len: usize,
    pub(crate) scale: u64,
    pub(crate) shift: u64,
    pub(crate) rstd: u64,
    pub(crate) level: u64,
}

impl<D: Device> DeviceNormalised<D> {
    /// # Panics
    /// If they lie in the memory of another backend.
    pub(crate) fn on(&self, cuda: &Cuda<D>) -> Coefficients {
        cuda.assert_owns(&self.numbers);
        let [scale, shift, rstd, level] =
            [0, 1, 2, 3].map(|which| self.numbers.address(which * self.len));
        Coefficients { len: self.len, scale, shift, rstd, level }
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
    level: u64,
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

fn pixels(extent: Extent) -> usize {
    extent.height * extent.width
}

/// # Panics
/// If the normalisation has not its parameters among the numbers, or its groups are not of one size.
fn assert_fits<D: Device>(affine: &Affine, numbers: &RawBuffer<D>) {
    let Affine { norm, weight, bias } = affine;
    assert_eq!(weight.len(), bias.len(), "a weight and a bias for each channel");
    assert!(weight.end.max(bias.end) <= numbers.len(), "weight and bias are among the parameters");
    let whole = norm.groups > 0 && weight.len().is_multiple_of(norm.groups);
    assert!(whole, "{} channels are {} equal groups", weight.len(), norm.groups);
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
        assert!((1..=2).contains(&parts.len()), "one or two parts");
        let extent = parts[0].extent();
        let channels = affine.weight.len();
        let (mut moments, mut part_channels) = ([0; 2], [0; 2]);
        for (index, part) in parts.iter().enumerate() {
            let of_part = part.moments().expect("maps that are normalised have moments").on(self);
            assert_eq!(part.extent(), extent, "the parts have one extent");
            assert_eq!(
                of_part.len(),
                2 * extent.count * part.channels(),
                "moments of each channel"
            );
            moments[index] = of_part.address(0);
            part_channels[index] = int(part.channels());
        }
        assert_eq!(part_channels.iter().sum::<i32>(), int(channels), "weights of each channel");
        assert_fits(affine, weights);
        let len = extent.count * channels;
        let numbers = self.take(Element::F32, 4 * len);
        let parameters = Normalise {
            moments,
            weight: weights.address(affine.weight.start),
            bias: weights.address(affine.bias.start),
            out: [0, 1, 2, 3].map(|which| numbers.address(which * len)),
            epsilon: affine.norm.epsilon,
            part_channels,
            images: int(extent.count),
            groups: int(affine.norm.groups),
            pixels: int(pixels(extent)),
            unused: 0,
        };
        let grid = [(extent.count * affine.norm.groups).div_ceil(128), 1, 1];
        self.run(kernel("normalise"), grid, 128, &parameters);
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
        let extent = input.extent();
        let coefficients = self.input_coefficients(affine, weights, input, &sums, out);
        let len = extent.count * pixels(extent) * affine.weight.len();
        assert_eq!(by_z.len(), len, "the gradient has the input's shape");
        assert_eq!(to.by_parts.len(), input.parts.len(), "a gradient for each part");
        let base = ApplyGradient {
            x: Array::default(),
            out: Array::default(),
            by_z: by_z.array(),
            addend: to.addend.map_or(Array::default(), |addend| {
                let addend = addend.on(self);
                assert_eq!(addend.len(), by_z.len(), "the map added has the input's shape");
                addend.array()
            }),
            coefficients: coefficients.address(0),
            pixels: (extent.count * pixels(extent)) as i64,
            image_pixels: int(pixels(extent)),
            channels: 0,
            all_channels: int(affine.weight.len()),
            first: 0,
            add: 0,
            unused: 0,
        };
        if let ([x], [none @ None]) = (input.parts, &mut *to.by_parts) {
            // In its place.
            self.apply(&base, x, &by_z);
            *none = Some(DeviceBuffer::new(by_z));
            return;
        }
        let mut first = 0;
        for (&x, by_part) in input.parts.iter().zip(to.by_parts) {
            let add = i32::from(by_part.is_some());
            let len = x.values().on(self).len();
            let out =
                by_part.get_or_insert_with(|| DeviceBuffer::new(self.take(self.element(), len)));
            self.apply(&ApplyGradient { first: int(first), add, ..base }, x, out.on(self));
            first += x.channels();
        }
    }

    fn apply(&self, base: &ApplyGradient, x: &FeatureMaps<Self>, out: &RawBuffer<D>) {
        assert_eq!(out.len(), x.values().on(self).len(), "the gradient has the part's shape");
        let parameters = ApplyGradient {
            x: self.array(x),
            out: out.array(),
            channels: int(x.channels()),
            ..*base
        };
        let blocks = out.len().div_ceil(256).min(MOST_BLOCKS);
        self.run(kernel("apply_input_gradient"), [blocks, 1, 1], 256, &parameters);
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
        let normalised = through.normalised.on(self);
        assert_eq!(normalised.len, extent.count * channels, "coefficients of each channel");
        assert_eq!(sums.len(), 2 * extent.count * channels, "sums of each channel");
        assert_fits(affine, weights);
        assert_fits(affine, out);
        let found = self.take(Element::F32, 3 * extent.count * channels);
        let parameters = NormGradients {
            sums: sums.address(0),
            weight: weights.address(affine.weight.start),
            rstd: normalised.rstd,
            level: normalised.level,
            by_weight: out.address(affine.weight.start),
            by_bias: out.address(affine.bias.start),
            out: found.address(0),
            images: int(extent.count),
            channels: int(channels),
            groups: int(affine.norm.groups),
            pixels: int(pixels(extent)),
        };
        self.run(kernel("sum_images"), [channels.div_ceil(128), 1, 1], 128, &parameters);
        let groups = extent.count * affine.norm.groups;
        self.run(kernel("input_gradient"), [groups.div_ceil(128), 1, 1], 128, &parameters);
        found
    }
}
