//! Backward pass by the filter: the gradient by the weights. Outer products of panels, chunk by chunk, merged in order.
//!
//! Used by [`Convolution`](super::Convolution). `task` holds the data of the pass and of its tasks; `taps`, `tiles` and
//! `bf16_pairs` are the three ways to multiply: of `f32`, of tiles, and of pairs of bf16.

mod bf16_pairs;
mod products;
mod taps;
mod task;
mod tiles;

use rayon::prelude::*;

pub(super) use self::task::BackwardFilter;
use self::task::{COLUMNS, Found, Scratch, Task, padded};
use super::chunk::Chunk;
use super::kind::Direction;
use super::winograd::WinogradTiling;
use crate::lanes::{BLOCK, Lanes, Work};

/// Runs of chunks that are added up on their own at most: fixed, since the order of a sum decides its last bits.
const MOST_RUNS: usize = 16;
/// Pieces of work for each thread that there should be at least; results do not depend on it.
const TASKS_A_THREAD: usize = 2;
/// Words that the sums of all pieces may have together, unless there is one piece of images only.
const MOST_SUMS: usize = 2 << 20;
/// Numbers of one piece of work where sums are added up.
const PIECE: usize = 1 << 12;

impl BackwardFilter<'_> {
    /// Writes the gradient (kernel, input, output); returns the sums of `gradient` over pixels, `(n, output)`.
    pub(crate) fn run(&self, out: &mut [f32]) -> Vec<f64> {
        let words = self.input.grids() * self.input.channels.next_multiple_of(BLOCK)
            + self.output.grids() * self.output.channels.next_multiple_of(BLOCK);
        let chunks = Chunk::cut(self.images, self.output.coarse(), words);
        let taps = self.kind.taps();
        let tiling = self.tiling();
        let matrices = tiling.map_or(taps.len(), WinogradTiling::matrices);
        let matrix = padded(self.input.channels) * padded(self.output.channels);
        let most = (MOST_SUMS / (matrices * matrix)).clamp(1, MOST_RUNS);
        let runs = chunks.len().min(most);
        let blocks = self.output.channels.div_ceil(COLUMNS);
        let least = TASKS_A_THREAD * rayon::current_num_threads();
        let groups = least.div_ceil(runs).min(blocks);
        let mut found: Vec<Found> = (0..groups * runs)
            .into_par_iter()
            .map_init(
                || Scratch::new(self.pool),
                |scratch, index| {
                    let (group, run) = (index / runs, index % runs);
                    let chunks =
                        &chunks[run * chunks.len() / runs..(run + 1) * chunks.len() / runs];
                    let columns = group * blocks / groups * COLUMNS
                        ..((group + 1) * blocks / groups * COLUMNS).min(self.output.channels);
                    let taps = &taps;
                    self.compute.isa().run(Task {
                        pass: self,
                        tiling,
                        taps,
                        chunks,
                        columns,
                        scratch,
                    })
                },
            )
            .collect();
        let sums =
            tiling.map_or_else(|| self.kind.sums(), |tiling| tiling.sums(Direction::Forward));
        merge_runs(&mut found, runs);
        self.merge(&found[..], runs, &sums, out);
        self.sums_by_image(&found)
    }

    /// The fastest tiling, by sizes alone; none where taps are faster.
    fn tiling(&self) -> Option<WinogradTiling> {
        let channels = [self.input.channels, self.output.channels];
        let best = WinogradTiling::best_backward_filter(
            self.kind,
            [self.input.height, self.input.width],
            channels,
        );
        best.filter(|_| !self.compute.isa().multiplies_bf16())
    }

    /// Brings the sums of the first run of each group of columns to the weights that their matrices are sums of.
    fn merge(&self, found: &[Found], runs: usize, sums: &[Vec<(usize, f32)>], out: &mut [f32]) {
        let (inputs, outputs) = (self.input.channels, self.output.channels);
        let mut matrices = vec![Vec::new(); self.kind.weights()];
        for (matrix, sum) in sums.iter().enumerate() {
            sum.iter().for_each(|&(weight, factor)| matrices[weight].push((matrix, factor)));
        }
        let height = padded(inputs);
        out.par_chunks_mut(outputs).enumerate().for_each(|(index, out)| {
            out.fill(0.0);
            for found in found.iter().step_by(runs) {
                let width = padded(found.columns.len());
                for &(matrix, factor) in &matrices[index / inputs] {
                    let row = (matrix * height + index % inputs) * width;
                    let sums = &found.sums[row..][..found.columns.len()];
                    let out = &mut out[found.columns.clone()];
                    out.iter_mut().zip(sums).for_each(|(out, sum)| *out += factor * sum);
                }
            }
        });
    }

    fn sums_by_image(&self, found: &[Found]) -> Vec<f64> {
        let mut sums = vec![0.0; self.images * self.output.channels];
        for found in found {
            for (image, of_image) in &found.by_image {
                let of_image_sums =
                    &mut sums[image * self.output.channels..][found.columns.clone()];
                of_image_sums.iter_mut().zip(of_image).for_each(|(sum, more)| *sum += more);
            }
        }
        sums
    }
}

/// Adds the sums of all runs of each group to those of its first, in order.
fn merge_runs(found: &mut [Found], runs: usize) {
    for group in found.chunks_mut(runs) {
        let Some((first, rest)) = group.split_first_mut() else { continue };
        first.sums.par_chunks_mut(PIECE).enumerate().for_each(|(index, sums)| {
            for found in &*rest {
                let more = &found.sums[index * PIECE..][..sums.len()];
                sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
            }
        });
    }
}

impl Work for Task<'_> {
    type Output = Found;

    #[inline(always)]
    fn run<L: Lanes>(mut self, lanes: L) -> Found {
        let (height, width) = (padded(self.pass.input.channels), padded(self.columns.len()));
        let matrices = self.tiling.map_or(self.taps.len(), WinogradTiling::matrices);
        let mut sums = self.pass.pool.zeros(matrices * height * width);
        let mut by_image = Vec::new();
        for chunk in self.chunks {
            self.fill::<L>(chunk);
            self.sum_images(chunk, &mut by_image);
            match self.tiling {
                Some(tiling) => self.multiply_tiles(lanes, tiling, chunk, &mut sums),
                None if L::PAIRS => {
                    self.pair_positions(chunk);
                    self.multiply_pairs(lanes, chunk, &mut sums);
                }
                None => self.multiply(lanes, chunk, &mut sums),
            }
        }
        Found { columns: self.columns, sums, by_image }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Compute, ConvInput, ConvKind, Convolution, Cpu, Extent, InputPart};

    /// Gradient by the weights, and sums of the gradient by the result, of images without transformation.
    fn found(
        cpu: &Cpu,
        layer: Convolution,
        extent: Extent,
        x: &[f32],
        gradient: &[f32],
    ) -> (Vec<f32>, Vec<f64>) {
        let mut out = vec![f32::NAN; layer.weight_len()];
        let source = ConvInput { parts: &[InputPart::new(x, layer.inputs)], transform: None };
        let sums = layer.backward_filter(cpu, extent, &source, gradient, &mut out);
        (out, sums)
    }

    /// All values are exact in bf16, so every precision gives these bits.
    fn assert_found(
        layer: Convolution,
        [height, width]: [usize; 2],
        x: &[f32],
        gradient: &[f32],
        expected: (&[f32], &[f64]),
    ) {
        let extent = Extent { count: x.len() / height / width / layer.inputs, height, width };
        for compute in Compute::all() {
            let (weights, sums) = found(&Cpu::new(compute), layer, extent, x, gradient);
            assert_eq!((&weights[..], &sums[..]), expected, "{layer:?} in {compute}");
        }
    }

    fn single(kind: ConvKind) -> Convolution {
        Convolution { kind, inputs: 1, outputs: 1 }
    }

    #[test]
    fn a_weight_of_3x3_sums_the_shifted_image_times_the_gradient() {
        let expected = [1000.0, 2100.0, 200.0, 3010.0, 4321.0, 402.0, 30.0, 43.0, 4.0];
        let (x, gradient) = ([1.0, 2.0, 3.0, 4.0], [1.0, 10.0, 100.0, 1000.0]);
        let layer = single(ConvKind::Conv3x3);
        assert_found(layer, [2, 2], &x, &gradient, (&expected, &[1111.0]));
    }

    #[test]
    fn a_strided_weight_meets_every_second_pixel() {
        // The one result sees the image through the lower right of the kernel.
        let expected = [0.0, 0.0, 0.0, 0.0, 10.0, 20.0, 0.0, 30.0, 40.0];
        let layer = single(ConvKind::Strided);
        assert_found(layer, [2, 2], &[1.0, 2.0, 3.0, 4.0], &[10.0], (&expected, &[10.0]));
    }

    #[test]
    fn a_weight_behind_upsampling_meets_the_copies_of_a_pixel() {
        // A pixel of 1 becomes 2×2; each weight sums the gradients of results whose shifted pixel is inside.
        let expected = [1000.0, 1100.0, 100.0, 1010.0, 1111.0, 101.0, 10.0, 11.0, 1.0];
        let layer = single(ConvKind::Upsampled);
        assert_found(layer, [1, 1], &[1.0], &[1.0, 10.0, 100.0, 1000.0], (&expected, &[1111.0]));
    }

    #[test]
    fn images_add_up_in_the_weights_and_not_in_the_sums() {
        // Two images of one pixel, of two channels in and three out.
        let layer = Convolution { kind: ConvKind::Pointwise, inputs: 2, outputs: 3 };
        let (x, gradient) = ([1.0, 2.0, 3.0, 4.0], [1.0, 10.0, 100.0, 2.0, 20.0, 200.0]);
        let expected = [7.0, 70.0, 700.0, 10.0, 100.0, 1000.0];
        let sums = [1.0, 10.0, 100.0, 2.0, 20.0, 200.0];
        assert_found(layer, [1, 1], &x, &gradient, (&expected, &sums));
    }

    #[test]
    fn tiles_count_the_pixels_that_a_shift_leaves_inside() {
        // Images of ones, large enough for tiles of 2×2 in f32: all 8·8 pixels, 8·7 without a column, 7·7 in a corner.
        let layer = Convolution { kind: ConvKind::Conv3x3, inputs: 16, outputs: 16 };
        let ones = vec![1.0; 2 * 64 * 16];
        let pairs = |pixels: f32| vec![2.0 * pixels; 16 * 16];
        let rows = [[49.0, 56.0, 49.0], [56.0, 64.0, 56.0], [49.0, 56.0, 49.0]];
        let expected: Vec<f32> = rows.iter().flatten().flat_map(|&pixels| pairs(pixels)).collect();
        assert_found(layer, [8, 8], &ones, &ones, (&expected, &[64.0; 32]));
    }

    #[test]
    #[should_panic(expected = "the gradient has the weight's shape")]
    fn a_longer_gradient_by_the_weights_is_refused() {
        let extent = Extent { count: 1, height: 1, width: 1 };
        let source = ConvInput { parts: &[InputPart::new(&[1.0], 1)], transform: None };
        let layer = single(ConvKind::Pointwise);
        layer.backward_filter(&Cpu::default(), extent, &source, &[1.0], &mut [0.0; 2]);
    }
}
