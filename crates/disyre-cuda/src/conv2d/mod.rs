//! Convolutions and their gradients by the input: the launch code of conv2d.cu.

mod backward_filter;
pub(crate) mod lattice;
mod sum_pixels;

use crate::buffer::{Array, Element, RawBuffer};
use crate::conv2d::lattice::{Direction, Lattice, Side, Tiling};
use crate::cuda::{Cuda, Parameters, int};
use crate::device::{Device, Kernel};
use crate::group_norm::Coefficients;
use disyre_kernels::Extent;
use disyre_kernels::backend::{Added, Conv, FeatureMaps, Input, Through};

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
    level: u64,
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

/// One pass: a sum of products over the taps, and what it does beside.
struct Pass<'a, D: Device> {
    tiling: Tiling,
    source: Parts,
    transform: Transform,
    packed: &'a Packed<D>,
    bias: u64,
    by_image: (Array, [usize; 2]),
    addend: Array,
    through: ThroughNorm,
    found: Found,
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
        let tiling = Tiling::new(&conv.layer, input.extent(), Direction::Forward);
        let packed = self.pack(conv, weights, Direction::Forward);
        let len = tiling.len(1);
        let element = if moments { self.element() } else { Element::F32 };
        let out = self.take(element, len);
        let by_image = addends.by_image.map_or((Array::default(), [0; 2]), |columns| {
            assert_columns(columns.maps, columns.first, [input.extent().count, conv.layer.outputs]);
            (self.array(columns.maps), [columns.maps.channels(), columns.first])
        });
        assert_eq!(conv.bias.len(), conv.layer.outputs, "a bias for each output");
        assert!(conv.bias.end <= weights.len(), "the bias is among the parameters");
        let addend = addends.map.map_or(Array::default(), |map| {
            let map = map.on(self);
            assert_eq!(map.len(), len, "the map added has the result's shape");
            map.array()
        });
        let pass = Pass {
            tiling,
            source: self.parts(input, conv.layer.inputs),
            transform: self.transform(input),
            packed: &packed,
            bias: weights.address(conv.bias.start),
            by_image,
            addend,
            through: ThroughNorm::default(),
            found: if moments { Found::Moments } else { Found::Nothing },
        };
        let found = self.pass(&pass, &out);
        (out, found)
    }

    /// The gradient by the input.
    pub(crate) fn transposed(
        &self,
        conv: &Conv,
        weights: &RawBuffer<D>,
        extent: Extent,
        gradient: &RawBuffer<D>,
        onto: Option<RawBuffer<D>>,
    ) -> RawBuffer<D> {
        let packed = self.pack(conv, weights, Direction::Transposed);
        let mut pass = self.transposed_pass(conv, extent, gradient, &packed);
        let len = extent.count * extent.height * extent.width * conv.layer.inputs;
        let out = match onto {
            Some(sum) => {
                assert_eq!(sum.len(), len, "what is added to has the input's shape");
                pass.addend = sum.array();
                sum
            }
            None => self.take(self.element(), len),
        };
        self.pass(&pass, &out);
        out
    }

    /// The gradient by what SiLU was taken of, and its sums.
    pub(crate) fn transposed_through_norm(
        &self,
        conv: &Conv,
        weights: &RawBuffer<D>,
        input: &Input<'_, Self>,
        gradient: &RawBuffer<D>,
    ) -> (RawBuffer<D>, RawBuffer<D>) {
        let through = input.through.as_ref().expect("the input is transformed");
        let normalised = through.normalised.on(self);
        let packed = self.pack(conv, weights, Direction::Transposed);
        let mut pass = self.transposed_pass(conv, input.extent(), gradient, &packed);
        pass.through = ThroughNorm {
            x: self.parts(input, conv.layer.inputs),
            transform: self.transform(input),
            rstd: normalised.rstd,
            level: normalised.level,
        };
        pass.found = Found::Sums;
        let out = self.take(self.element(), pass.tiling.len(1));
        let sums = self.pass(&pass, &out).expect("sums were asked for");
        (out, sums)
    }

    fn transposed_pass<'a>(
        &self,
        conv: &Conv,
        extent: Extent,
        gradient: &RawBuffer<D>,
        packed: &'a Packed<D>,
    ) -> Pass<'a, D> {
        let tiling = Tiling::new(&conv.layer, extent, Direction::Transposed);
        let len = tiling.len(0);
        assert_eq!(gradient.len(), len, "the gradient has the result's shape");
        let source = Parts {
            arrays: [gradient.array(), Array::default()],
            channels: [int(conv.layer.outputs), 0],
        };
        Pass {
            tiling,
            source,
            transform: Transform::default(),
            packed,
            bias: 0,
            by_image: (Array::default(), [0; 2]),
            addend: Array::default(),
            through: ThroughNorm::default(),
            found: Found::Nothing,
        }
    }

    fn pass(&self, pass: &Pass<'_, D>, out: &RawBuffer<D>) -> Option<RawBuffer<D>> {
        let Pass { tiling, packed, .. } = pass;
        let images = tiling.images();
        let channels = tiling.sides[1].channels as usize;
        let parts = tiling.grids() * tiling.tiles_of_image();
        let partials = (pass.found != Found::Nothing)
            .then(|| self.take(Element::F32, 3 * images * parts * channels));
        let parameters = Convolve {
            lattice: tiling.lattice,
            from: tiling.sides[0],
            to: tiling.sides[1],
            source: pass.source,
            transform: pass.transform,
            weights: packed.weights.address(0),
            padded_depth: int(packed.depth),
            padded_columns: int(packed.columns),
            bias: pass.bias,
            by_image: pass.by_image.0,
            by_image_width: int(pass.by_image.1[0]),
            by_image_first: int(pass.by_image.1[1]),
            addend: pass.addend,
            out: out.array(),
            through: pass.through,
            partials: partials.as_ref().map_or(0, |partials| partials.address(0)),
        };
        let name = match (self.is_bf16(), packed.in_block) {
            (false, _) => "convolve_f32",
            (true, 32) => "convolve_bf16_32",
            (true, _) => "convolve_bf16_64",
        };
        let grid = [tiling.tiles(), packed.columns / packed.in_block, tiling.grids()];
        self.run(kernel(name), grid, 128, &parameters);
        partials.map(|partials| self.join(&partials, [images, parts, channels], pass.found))
    }

    fn join(
        &self,
        partials: &RawBuffer<D>,
        [images, parts, channels]: [usize; 3],
        found: Found,
    ) -> RawBuffer<D> {
        let out = self.take(Element::F64, 2 * images * channels);
        let parameters = JoinPartials {
            partials: partials.address(0),
            out: out.address(0),
            images: int(images),
            parts: int(parts),
            channels: int(channels),
            sums: i32::from(found == Found::Sums),
        };
        let grid = [(images * channels).div_ceil(256), 1, 1];
        self.run(kernel("join_partials"), grid, 256, &parameters);
        out
    }

    fn pack(&self, conv: &Conv, weights: &RawBuffer<D>, direction: Direction) -> Packed<D> {
        let layer = &conv.layer;
        assert_eq!(conv.weight.len(), layer.weight_len(), "the weight has the layer's shape");
        assert!(conv.weight.end <= weights.len(), "the weight is among the parameters");
        let (depth, columns) = match direction {
            Direction::Forward => (layer.inputs, layer.outputs),
            Direction::Transposed => (layer.outputs, layer.inputs),
        };
        let in_depth = DEPTH_BYTES / if self.is_bf16() { 2 } else { 4 };
        // The wider block unless it would multiply more zeros.
        let wide = self.is_bf16() && columns.div_ceil(32).is_multiple_of(2);
        let in_block = if wide { 64 } else { 32 };
        let depth = depth.next_multiple_of(in_depth);
        let columns = columns.next_multiple_of(in_block);
        let kernel_sums = layer.kind.sums();
        let packed = self.take(self.element(), kernel_sums.len() * depth * columns);
        let mut parameters = PackWeights {
            weights: weights.address(conv.weight.start),
            out: packed.address(0),
            inputs: int(layer.inputs),
            outputs: int(layer.outputs),
            padded_depth: int(depth),
            padded_columns: int(columns),
            matrices: int(kernel_sums.len()),
            transposed: i32::from(direction == Direction::Transposed),
            sums: [[0; 4]; MOST_TAPS],
            counts: [0; MOST_TAPS],
        };
        for (matrix, sum) in kernel_sums.iter().enumerate() {
            parameters.counts[matrix] = int(sum.len());
            sum.iter()
                .zip(&mut parameters.sums[matrix])
                .for_each(|(&(weight, _), to)| *to = int(weight));
        }
        let name = if self.is_bf16() { "pack_weights_bf16" } else { "pack_weights_f32" };
        let grid = [(depth * columns).div_ceil(256), kernel_sums.len(), 1];
        self.run(kernel(name), grid, 256, &parameters);
        Packed { weights: packed, depth, columns, in_block }
    }

    /// The parts that a convolution reads.
    ///
    /// # Panics
    /// If the parts have not its channels.
    fn parts(&self, input: &Input<'_, Self>, channels: usize) -> Parts {
        assert!((1..=2).contains(&input.parts.len()), "one or two parts");
        let all: usize = input.parts.iter().map(|part| part.channels()).sum();
        assert_eq!(all, channels, "the parts have the layer's channels");
        let mut found = Parts::default();
        for (index, part) in input.parts.iter().enumerate() {
            assert_eq!(part.extent(), input.extent(), "the parts have one extent");
            found.arrays[index] = self.array(part);
            found.channels[index] = int(part.channels());
        }
        found
    }

    /// The transformation of the parts on the way.
    fn transform(&self, input: &Input<'_, Self>) -> Transform {
        input.through.as_ref().map_or(Transform::default(), |Through { normalised, silu }| {
            let channels: usize = input.parts.iter().map(|part| part.channels()).sum();
            let Coefficients { len, scale, shift, .. } = normalised.on(self);
            let expected = input.extent().count * channels;
            assert_eq!(len, expected, "coefficients for each channel of each image");
            Transform { scale, shift, silu: i32::from(*silu), unused: 0 }
        })
    }
}

/// # Panics
/// If the maps are not one row of a pixel for each image, with so many channels from `first` on.
fn assert_columns<D: Device>(
    maps: &FeatureMaps<Cuda<D>>,
    first: usize,
    [images, channels]: [usize; 2],
) {
    let row = Extent { count: 1, height: 1, width: images };
    assert_eq!(maps.extent(), row, "a pixel for each image");
    let end = first.checked_add(channels);
    assert!(end.is_some_and(|end| end <= maps.channels()), "columns of each channel");
}
