//! The gradient by the filter of a convolution: the launch code of backward_filter.cu.

use super::{Parts, Transform};
use crate::buffer::{Array, Element, RawBuffer};
use crate::conv2d::lattice::{GpuTiling, Lattice, Side};
use crate::cuda::{Cuda, Parameters, int};
use crate::device::{Device, Kernel};
use disyre_kernels::Direction;
use disyre_kernels::backend::{BackendError, Conv, Input};

/// Blocks that keep a large device busy; no more than that share the positions of one layer. Fixed, so that the sum has
/// the same parts on every device.
const BLOCKS: usize = 512;
/// Output channels of a block.
const OUTPUTS: usize = 32;

#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct BackwardFilter {
    lattice: Lattice,
    from: Side,
    to: Side,
    source: Parts,
    transform: Transform,
    gradient: Array,
    out: u64,
    tiles: i32,
    shares: i32,
    matrices: i32,
    tap_groups: i32,
}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct JoinShares {
    shares: u64,
    out: u64,
    count: i32,
    matrices: i32,
    area: i32,
    sums: [[i32; 4]; 9],
    counts: [i32; 9],
}

// SAFETY: these structures have the layouts of those of the same names in backward_filter.cu.
unsafe impl Parameters for BackwardFilter {}
// SAFETY: as above.
unsafe impl Parameters for JoinShares {}

/// Division of the taps among the warps of a block.
struct Warps {
    threads: u32,
    tap_groups: usize,
    taps_of_warp: usize,
}

impl Warps {
    fn of(taps: usize) -> Self {
        let (warps, tap_groups) = match taps {
            1 => (4, 1),
            9 => (3, 3),
            _ => (4, 4),
        };
        Self { threads: 32 * warps, tap_groups, taps_of_warp: taps.div_ceil(tap_groups) }
    }

    /// Warps that take turns with positions, and so find sums of their own.
    fn row_groups(&self) -> usize {
        self.threads as usize / 32 / self.tap_groups
    }
}

impl<D: Device> Cuda<D> {
    /// Writes the gradient by the weight to its place in `out`.
    pub(crate) fn filter_gradient(
        &self,
        conv: &Conv,
        input: &Input<'_, Self>,
        gradient: &RawBuffer<D>,
        out: &RawBuffer<D>,
    ) {
        let layer = &conv.layer;
        let tiling = GpuTiling::new(layer, input.extent(), Direction::Forward);
        assert_eq!(gradient.len(), tiling.len(1), "the gradient has the result's shape");
        conv.assert_fits(out.len());
        let (area, matrices) = (layer.inputs * layer.outputs, layer.kind.taps().len());
        let warps = Warps::of(matrices);
        let in_block = if self.is_bf16() { 32 } else { 16 };
        let blocks = [layer.inputs.div_ceil(in_block), layer.outputs.div_ceil(OUTPUTS)];
        let shares = (BLOCKS / (blocks[0] * blocks[1])).clamp(1, tiling.tiles());
        let found = shares * warps.row_groups();
        let sums = self.take(Element::F32, found * matrices * area);
        self.assert_input(input, layer.inputs);
        let parameters = || {
            Ok(BackwardFilter {
                lattice: tiling.lattice,
                from: tiling.sides[0],
                to: tiling.sides[1],
                source: self.parts(input.parts)?,
                transform: self.transform(input)?,
                gradient: gradient.array()?,
                out: sums.address(0)?,
                tiles: int(tiling.tiles()),
                shares: int(shares),
                matrices: int(matrices),
                tap_groups: int(warps.tap_groups),
            })
        };
        let name = match (self.is_bf16(), warps.taps_of_warp) {
            (false, 1) => "backward_filter_f32_1",
            (false, 3) => "backward_filter_f32_3",
            (false, _) => "backward_filter_f32_4",
            (true, 1) => "backward_filter_bf16_1",
            (true, 3) => "backward_filter_bf16_3",
            (true, _) => "backward_filter_bf16_4",
        };
        let kernel = |name| Kernel { module: "backward_filter", name };
        self.run(kernel(name), [blocks[0], blocks[1], shares], warps.threads, parameters);
        let join = || join(conv, &sums, found, out);
        let grid = [area.div_ceil(256), layer.kind.weights(), 1];
        self.run(kernel("join_shares"), grid, 256, join);
    }
}

fn join<D: Device>(
    conv: &Conv,
    sums: &RawBuffer<D>,
    count: usize,
    out: &RawBuffer<D>,
) -> Result<JoinShares, BackendError> {
    let matrices = conv.layer.kind.sums();
    let mut join = JoinShares {
        shares: sums.address(0)?,
        out: out.address(conv.weight.start)?,
        count: int(count),
        matrices: int(matrices.len()),
        area: int(conv.layer.inputs * conv.layer.outputs),
        sums: [[0; 4]; 9],
        counts: [0; 9],
    };
    for (matrix, weights) in matrices.iter().enumerate() {
        for &(weight, _) in weights {
            join.sums[weight][join.counts[weight] as usize] = int(matrix);
            join.counts[weight] += 1;
        }
    }
    Ok(join)
}
