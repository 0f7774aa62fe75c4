//! Convolutions and their gradients by the input: the launch code of conv2d.cu.

mod backward_filter;
pub(crate) mod lattice;
mod sum_pixels;

use crate::buffer::{Array, Element, RawBuffer};
use crate::conv2d::lattice::{GpuTiling, Lattice, Side};
use crate::cuda::{Cuda, Parameters, assert_countable, int};
use crate::device::{Device, Kernel};
use disyre_kernels::backend::{Added, BackendError, Columns, Conv, FeatureMaps, Input};
use disyre_kernels::{Direction, Extent};

const MOST_TAPS: usize = 16;
/// Bytes of channels that are multiplied at a time.
const DEPTH_BYTES: usize = 64;

/// Two images at most, side by side in channels.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Parts {
    arrays: [Array; 2],
    channels: [i32; 2],
}

#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Transform {
    scale: u64,
    shift: u64,
    silu: i32,
    unused: i32,
}

#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
struct ThroughNorm {
    x: Parts,
    transform: Transform,
    rstd: u64,
    offset: u64,
}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Convolve {
    lattice: Lattice,
    from: Side,
    to: Side,
    source: Parts,
    transform: Transform,
    weights: u64,
    padded_depth: i32,
    padded_columns: i32,
    bias: u64,
    by_image: Array,
    by_image_width: i32,
    by_image_first: i32,
    addend: Array,
    out: Array,
    through: ThroughNorm,
    partials: u64,
}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct PackWeights {
    weights: u64,
    out: u64,
    inputs: i32,
    outputs: i32,
    padded_depth: i32,
    padded_columns: i32,
    matrices: i32,
    transposed: i32,
    sums: [[i32; 4]; MOST_TAPS],
    counts: [i32; MOST_TAPS],
}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct JoinPartials {
    partials: u64,
    out: u64,
    images: i32,
    parts: i32,
    channels: i32,
    sums: i32,
}

// SAFETY: these structures have the layouts of those of the same names in conv2d.cu, array.cuh and lattice.cuh, of
// `Convolution` for `Convolve`.
unsafe impl Parameters for Convolve {}
// SAFETY: as above.
unsafe impl Parameters for PackWeights {}
// SAFETY: as above.
unsafe impl Parameters for JoinPartials {}

const fn kernel(name: &'static str) -> Kernel {
    Kernel { module: "conv2d", name }
}

/// Weights as a product reads them.
struct Packed<D: Device> {
    weights: RawBuffer<D>,
    depth: usize,
    columns: usize,
    /// Columns of one block.
    in_block: usize,
}

/// Sums that are found beside the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Nothing,
    Moments,
    Sums,
}

/// Inputs and addends of a pass beside its packed weights.
#[derive(Debug, Clone, Copy, Default)]
struct Operands {
    source: Parts,
    transform: Transform,
    bias: u64,
    /// Array, width and first column.
    by_image: (Array, i32, i32),
    addend: Array,
    through: ThroughNorm,
}

impl<D: Device> Cuda<D> {
    /// The result and, if asked for, its moments.
    pub(crate) fn forward(
        &self,
        conv: &Conv,
        weights: &RawBuffer<D>,
        input: &Input<'_, Self>,
        addends: &Added<'_, Self>,
        moments: bool,
    ) -> (RawBuffer<D>, Option<RawBuffer<D>>) {
        let (layer, extent) = (&conv.layer, input.extent());
        let tiling = GpuTiling::new(layer, extent, Direction::Forward);
        conv.assert_fits(weights.len());
        self.assert_input(input, layer.inputs);
        if let Some(columns) = &addends.by_image {
            columns.assert_fit(extent.count, layer.outputs);
        }
        let len = tiling.len(1);
        let addend = addends.map.map(|map| map.on(self));
        let has_shape = addend.is_none_or(|map| map.len() == len);
        assert!(has_shape, "the map added has the result's shape");
        let packed = self.pack(conv, weights, Direction::Forward);
        let out = self.take(if moments { self.element() } else { Element::F32 }, len);
        let operands = || {
            Ok(Operands {
                source: self.parts(input.parts)?,
                transform: self.transform(input)?,
                bias: weights.address(conv.bias.start)?,
                by_image: self.columns(addends.by_image)?,
                addend: addend.map_or(Ok(Array::default()), RawBuffer::array)?,
                through: ThroughNorm::default(),
            })
        };
        let found = if moments { Found::Moments } else { Found::Nothing };
        let found = self.pass(&tiling, &packed, found, operands, &out);
        (out, found)
    }

    /// The gradient by the input.
    pub(crate) fn backward_by_data(
        &self,
        conv: &Conv,
        weights: &RawBuffer<D>,
        extent: Extent,
        gradient: &RawBuffer<D>,
        onto: Option<RawBuffer<D>>,
    ) -> RawBuffer<D> {
        let tiling = backward_tiling(conv, weights, extent, gradient);
        let packed = self.pack(conv, weights, Direction::BackwardData);
        let (len, adds) = (tiling.len(1), onto.is_some());
        let out = onto.unwrap_or_else(|| self.take(self.element(), len));
        assert_eq!(out.len(), len, "what is added to has the input's shape");
        let operands = || {
            let addend = if adds { out.array()? } else { Array::default() };
            Ok(Operands { addend, ..gradient_operands(conv, gradient)? })
        };
        self.pass(&tiling, &packed, Found::Nothing, operands, &out);
        out
    }

    /// The gradient by what SiLU was taken of, and its sums.
    pub(crate) fn backward_by_norm(
        &self,
        conv: &Conv,
        weights: &RawBuffer<D>,
        input: &Input<'_, Self>,
        gradient: &RawBuffer<D>,
    ) -> (RawBuffer<D>, RawBuffer<D>) {
        let through = input.through.as_ref().expect("the input is transformed");
        let tiling = backward_tiling(conv, weights, input.extent(), gradient);
        self.assert_input(input, conv.layer.inputs);
        let packed = self.pack(conv, weights, Direction::BackwardData);
        let out = self.take(self.element(), tiling.len(1));
        let operands = || {
            let coefficients = through.normalised.addresses()?;
            let through = ThroughNorm {
                x: self.parts(input.parts)?,
                transform: self.transform(input)?,
                rstd: coefficients.rstd,
                offset: coefficients.offset,
            };
            Ok(Operands { through, ..gradient_operands(conv, gradient)? })
        };
        let sums = self.pass(&tiling, &packed, Found::Sums, operands, &out);
        (out, sums.expect("sums were asked for"))
    }

    /// A sum of products over the taps, and what is found beside it.
    fn pass(
        &self,
        tiling: &GpuTiling,
        packed: &Packed<D>,
        found: Found,
        operands: impl FnOnce() -> Result<Operands, BackendError>,
        out: &RawBuffer<D>,
    ) -> Option<RawBuffer<D>> {
        let images = tiling.images();
        let channels = tiling.sides[1].channels as usize;
        let parts = tiling.grids() * tiling.tiles_of_image();
        let partials = (found != Found::Nothing)
            .then(|| self.take(Element::F32, 3 * images * parts * channels));
        let parameters = || {
            let operands = operands()?;
            Ok(Convolve {
                lattice: tiling.lattice,
                from: tiling.sides[0],
                to: tiling.sides[1],
                source: operands.source,
                transform: operands.transform,
                weights: packed.weights.address(0)?,
                padded_depth: int(packed.depth),
                padded_columns: int(packed.columns),
                bias: operands.bias,
                by_image: operands.by_image.0,
                by_image_width: operands.by_image.1,
                by_image_first: operands.by_image.2,
                addend: operands.addend,
                out: out.array()?,
                through: operands.through,
                partials: partials.as_ref().map_or(Ok(0), |partials| partials.address(0))?,
            })
        };
        let name = match (self.is_bf16(), packed.in_block) {
            (false, _) => "convolve_f32",
            (true, 32) => "convolve_bf16_32",
            (true, _) => "convolve_bf16_64",
        };
        let grid = [tiling.tiles(), packed.columns / packed.in_block, tiling.grids()];
        self.run(kernel(name), grid, 128, parameters);
        partials.map(|partials| self.join(&partials, [images, parts, channels], found))
    }

    fn join(
        &self,
        partials: &RawBuffer<D>,
        [images, parts, channels]: [usize; 3],
        found: Found,
    ) -> RawBuffer<D> {
        let out = self.take(Element::F64, 2 * images * channels);
        let parameters = || {
            Ok(JoinPartials {
                partials: partials.address(0)?,
                out: out.address(0)?,
                images: int(images),
                parts: int(parts),
                channels: int(channels),
                sums: i32::from(found == Found::Sums),
            })
        };
        let grid = [(images * channels).div_ceil(256), 1, 1];
        self.run(kernel("join_partials"), grid, 256, parameters);
        out
    }

    fn pack(&self, conv: &Conv, weights: &RawBuffer<D>, direction: Direction) -> Packed<D> {
        let layer = &conv.layer;
        let (depth, columns) = match direction {
            Direction::Forward => (layer.inputs, layer.outputs),
            Direction::BackwardData => (layer.outputs, layer.inputs),
        };
        let in_depth = DEPTH_BYTES / if self.is_bf16() { 2 } else { 4 };
        // The wider block unless it would multiply more zeros.
        let wide = self.is_bf16() && columns.div_ceil(32).is_multiple_of(2);
        let in_block = if wide { 64 } else { 32 };
        let depth = depth.next_multiple_of(in_depth);
        let columns = columns.next_multiple_of(in_block);
        let kernel_sums = layer.kind.sums();
        let packed = self.take(self.element(), kernel_sums.len() * depth * columns);
        let (mut sums, mut counts) = ([[0; 4]; MOST_TAPS], [0; MOST_TAPS]);
        for (matrix, sum) in kernel_sums.iter().enumerate() {
            counts[matrix] = int(sum.len());
            let places = sum.iter().zip(&mut sums[matrix]);
            places.for_each(|(&(weight, _), to)| *to = int(weight));
        }
        let parameters = || {
            Ok(PackWeights {
                weights: weights.address(conv.weight.start)?,
                out: packed.address(0)?,
                inputs: int(layer.inputs),
                outputs: int(layer.outputs),
                padded_depth: int(depth),
                padded_columns: int(columns),
                matrices: int(kernel_sums.len()),
                transposed: i32::from(direction == Direction::BackwardData),
                sums,
                counts,
            })
        };
        let name = if self.is_bf16() { "pack_weights_bf16" } else { "pack_weights_f32" };
        let grid = [(depth * columns).div_ceil(256), kernel_sums.len(), 1];
        self.run(kernel(name), grid, 256, parameters);
        Packed { weights: packed, depth, columns, in_block }
    }

    /// The parts as kernels take them.
    ///
    /// # Errors
    /// If one has no memory.
    fn parts(&self, parts: &[&FeatureMaps<Self>]) -> Result<Parts, BackendError> {
        let mut found = Parts::default();
        for (index, part) in parts.iter().enumerate() {
            found.arrays[index] = self.array(part)?;
            found.channels[index] = int(part.channels());
        }
        Ok(found)
    }

    /// The transformation of the parts on the way.
    fn transform(&self, input: &Input<'_, Self>) -> Result<Transform, BackendError> {
        let Some(through) = &input.through else { return Ok(Transform::default()) };
        let coefficients = through.normalised.addresses()?;
        let (scale, shift) = (coefficients.scale, coefficients.shift);
        Ok(Transform { scale, shift, silu: i32::from(through.silu), unused: 0 })
    }

    /// Array, width and first column of columns; of address 0 where there are none.
    fn columns(
        &self,
        columns: Option<Columns<&FeatureMaps<Self>>>,
    ) -> Result<(Array, i32, i32), BackendError> {
        let Some(Columns { maps, first }) = columns else { return Ok((Array::default(), 0, 0)) };
        Ok((self.array(maps)?, int(maps.channels()), int(first)))
    }

    /// # Panics
    /// If the parts do not fit each other, `channels`, or the coefficients of their normalisation.
    pub(crate) fn assert_input(&self, input: &Input<'_, Self>, channels: usize) {
        assert_parts(input.parts, channels);
        if let Some(through) = &input.through {
            through.normalised.assert_fits(self, input.extent().count * channels);
        }
    }
}

/// # Panics
/// If there are not one or two parts of one extent that have so many channels together.
pub(crate) fn assert_parts<D: Device>(parts: &[&FeatureMaps<Cuda<D>>], channels: usize) {
    assert!((1..=2).contains(&parts.len()), "one or two parts");
    let extent = parts[0].extent();
    assert!(parts.iter().all(|part| part.extent() == extent), "the parts have one extent");
    assert!(parts.iter().all(|part| part.channels() > 0), "each part has channels");
    let all = parts.iter().try_fold(0usize, |all, part| all.checked_add(part.channels()));
    assert_eq!(all, Some(channels), "the parts have the layer's channels");
    assert_countable(extent, channels);
}

/// The tiles of a pass from the gradient by the result to that by the input of size `extent`.
///
/// # Panics
/// If the shapes do not belong together.
fn backward_tiling<D: Device>(
    conv: &Conv,
    weights: &RawBuffer<D>,
    extent: Extent,
    gradient: &RawBuffer<D>,
) -> GpuTiling {
    let tiling = GpuTiling::new(&conv.layer, extent, Direction::BackwardData);
    conv.assert_fits(weights.len());
    assert_eq!(gradient.len(), tiling.len(0), "the gradient has the result's shape");
    tiling
}

fn gradient_operands<D: Device>(
    conv: &Conv,
    gradient: &RawBuffer<D>,
) -> Result<Operands, BackendError> {
    let arrays = [gradient.array()?, Array::default()];
    let source = Parts { arrays, channels: [int(conv.layer.outputs), 0] };
    Ok(Operands { source, ..Operands::default() })
}
