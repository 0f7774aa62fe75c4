//! What is found in a part of the result, or made of it, while it is in the cache.

use std::ops::Range;

use super::apply::Task;
use super::product::{BLOCK, VECTORS};
use super::source::{ConvInput, InputPart, InputTransform};
use crate::lanes::Lanes;
use crate::sigmoid::{fma, sigmoid};

/// What is done with each part of the result while it is in the cache.
#[derive(Clone, Copy)]
pub(crate) enum Finish<'a> {
    Nothing,
    /// Mean and sum of squared deviations of each channel of each image.
    Moments,
    /// The result is the gradient by a transformed source: it becomes the gradient before SiLU, and summed up.
    ThroughNorm(ThroughNorm<'a>),
}

/// A normalised source `z = scale · x + shift`, `ẋ = rstd · x + offset`, all `(n, c)`.
#[derive(Clone, Copy)]
pub(crate) struct ThroughNorm<'a> {
    pub(crate) source: ConvInput<'a>,
    pub(crate) transform: InputTransform<'a>,
    pub(crate) rstd: &'a [f32],
    pub(crate) offset: &'a [f32],
}

/// What [`Finish`] found: for each channel of each image, two numbers.
pub(crate) type Pairs = Vec<[f64; 2]>;

/// Joins mean and sum of squared deviations of two sets.
///
/// # Source
/// Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances" (1979).
pub(super) fn merge_moments(
    all: &mut [f64; 2],
    all_count: &mut f64,
    [mean, squares]: [f64; 2],
    count: f64,
) {
    let total = *all_count + count;
    let difference = mean - all[0];
    all[0] += difference * count / total;
    all[1] += squares + difference * difference * *all_count * count / total;
    *all_count = total;
}

impl Task<'_> {
    /// The fine rows of this task's images, as image and first pixel of each, image by image.
    #[inline(always)]
    fn fine_rows(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (to, rows) = (self.apply.to, self.chunk.rows.clone());
        let fine = rows.start * to.fineness..(rows.end * to.fineness).min(to.height);
        self.chunk.images.clone().flat_map(move |image| {
            fine.clone().map(move |y| (image, image * to.pixels() + y * to.width))
        })
    }

    /// Channels of this task.
    #[inline(always)]
    fn channels<L: Lanes>(&self) -> Range<usize> {
        let columns = VECTORS * L::COUNT;
        self.blocks.start * columns..(self.blocks.end * columns).min(self.apply.to.channels)
    }

    /// In one pass, by sums of deviations from the first pixel: as exact as deviations from the mean, unless that pixel
    /// lies hundreds of standard deviations beside it.
    #[inline(always)]
    pub(super) fn moments<L: Lanes>(&self) -> Pairs {
        let channels = self.channels::<L>();
        let to = &self.apply.to;
        let fine = (self.chunk.rows.end * to.fineness).min(to.height)
            - self.chunk.rows.start * to.fineness;
        let count = (fine * to.width) as f64;
        let mut found = vec![[0.0; 2]; self.chunk.images.len() * channels.len()];
        for (index, found) in found.chunks_mut(channels.len()).enumerate() {
            let mut origin = Vec::new();
            for (_, pixel) in self.fine_rows().skip(index * fine).take(fine) {
                if origin.is_empty() {
                    let first = pixel * to.channels + channels.start;
                    // SAFETY: this task wrote the part, and no other task uses it.
                    origin.extend_from_slice(unsafe { self.out.part(first, channels.len()) });
                }
                for (block, found) in found.chunks_mut(BLOCK).enumerate() {
                    let (origin, first) =
                        (&origin[block * BLOCK..], channels.start + block * BLOCK);
                    let sums = match origin.first_chunk::<BLOCK>() {
                        Some(origin) => self.row_sums::<BLOCK>(pixel, first, origin),
                        None => self.row_sums_of_few(pixel, first, origin),
                    };
                    for (i, found) in found.iter_mut().enumerate() {
                        *found = [0, 1].map(|which| found[which] + f64::from(sums[which][i]));
                    }
                }
            }
            for (found, origin) in found.iter_mut().zip(origin) {
                let [sum, squares] = *found;
                *found = [f64::from(origin) + sum / count, squares - sum * sum / count];
            }
        }
        found
    }

    /// Sums over one row of the deviations of `N` channels from `origin`, and of their squares. With a length that the
    /// compiler knows, sums stay in registers.
    #[inline(always)]
    fn row_sums<const N: usize>(
        &self,
        pixel: usize,
        channel: usize,
        origin: &[f32; N],
    ) -> [[f32; N]; 2] {
        let to = &self.apply.to;
        let mut sums = [[0.0f32; N]; 2];
        for x in pixel..pixel + to.width {
            // SAFETY: this task wrote the part, and no other task uses it.
            let values = unsafe { self.out.part(x * to.channels + channel, N) };
            for i in 0..N {
                let deviation = values[i] - origin[i];
                sums[0][i] += deviation;
                sums[1][i] += deviation * deviation;
            }
        }
        sums
    }

    /// The same of less than a block.
    #[inline(always)]
    fn row_sums_of_few(&self, pixel: usize, channel: usize, origin: &[f32]) -> [[f32; BLOCK]; 2] {
        let mut sums = [[0.0; BLOCK]; 2];
        for (i, origin) in origin.iter().enumerate() {
            let [[sum], [squares]] = self.row_sums(pixel, channel + i, &[*origin]);
            (sums[0][i], sums[1][i]) = (sum, squares);
        }
        sums
    }

    #[inline(always)]
    pub(super) fn through_norm<L: Lanes>(&self, norm: &ThroughNorm<'_>) -> Pairs {
        let channels = self.channels::<L>();
        let mut found = vec![[0.0; 2]; self.chunk.images.len() * channels.len()];
        for (image, pixel) in self.fine_rows() {
            let found = &mut found[(image - self.chunk.images.start) * channels.len()..];
            let mut overall = 0;
            for part in norm.source.parts {
                let own = overall..overall + part.channels;
                overall = own.end;
                let shared = channels.start.max(own.start)..channels.end.min(own.end);
                for first in shared.clone().step_by(BLOCK) {
                    let run = NormRun {
                        norm,
                        part,
                        within: part.first + first - own.start,
                        first,
                        n: BLOCK.min(shared.end - first),
                    };
                    let sums = self.norm_row::<L>(&run, image, pixel);
                    let found = &mut found[first - channels.start..][..run.n];
                    for (i, found) in found.iter_mut().enumerate() {
                        *found = [0, 1].map(|which| found[which] + f64::from(sums[which][i]));
                    }
                }
            }
        }
        found
    }

    /// Turns the gradient by SiLU(z) over one row into the one by z; its sums, and those of it times ẋ.
    #[inline(always)]
    fn norm_row<L: Lanes>(
        &self,
        run: &NormRun<'_>,
        image: usize,
        pixel: usize,
    ) -> [[f32; BLOCK]; 2] {
        let to = &self.apply.to;
        let at = image * to.channels + run.first;
        let block = |values: &[f32]| {
            let mut block = [0.0; BLOCK];
            block[..run.n].copy_from_slice(&values[at..at + run.n]);
            block
        };
        let transform = &run.norm.transform;
        let norm = NormBlock {
            silu: transform.silu,
            scale: block(transform.scale),
            shift: block(transform.shift),
            rstd: block(run.norm.rstd),
            offset: block(run.norm.offset),
        };
        // Whole blocks with a length that the compiler knows: sums then stay in registers.
        match run.n {
            BLOCK => self.norm_pixels::<L, true>(run, &norm, pixel),
            _ => self.norm_pixels::<L, false>(run, &norm, pixel),
        }
    }

    #[inline(always)]
    fn norm_pixels<L: Lanes, const WHOLE: bool>(
        &self,
        run: &NormRun<'_>,
        norm: &NormBlock,
        pixel: usize,
    ) -> [[f32; BLOCK]; 2] {
        let to = &self.apply.to;
        let n = if WHOLE { BLOCK } else { run.n };
        let mut sums = [[0.0; BLOCK]; 2];
        for x in pixel..pixel + to.width {
            // SAFETY: this task wrote the part, and no other task uses it.
            let gradient = unsafe { self.out.part(x * to.channels + run.first, n) };
            let values = &run.part.values[x * run.part.stride + run.within..][..n];
            norm.pixel::<L>(values, gradient, &mut sums);
        }
        sums
    }
}

/// Up to 16 channels of one part of a normalised source.
struct NormRun<'a> {
    norm: &'a ThroughNorm<'a>,
    part: &'a InputPart<'a>,
    /// First channel among those of the part's images, and over all parts.
    within: usize,
    first: usize,
    n: usize,
}

/// Coefficients of up to 16 channels.
struct NormBlock {
    silu: bool,
    scale: [f32; BLOCK],
    shift: [f32; BLOCK],
    rstd: [f32; BLOCK],
    offset: [f32; BLOCK],
}

impl NormBlock {
    #[inline(always)]
    fn pixel<L: Lanes>(&self, x: &[f32], gradient: &mut [f32], sums: &mut [[f32; BLOCK]; 2]) {
        let n = x.len();
        let gradient = &mut gradient[..n];
        if self.silu {
            for i in 0..n {
                let z = fma::<L>(self.scale[i], x[i], self.shift[i]);
                let s = sigmoid::<L>(z);
                gradient[i] *= s * fma::<L>(z, 1.0 - s, 1.0);
            }
        }
        for i in 0..n {
            sums[0][i] += gradient[i];
            sums[1][i] += gradient[i] * fma::<L>(self.rstd[i], x[i], self.offset[i]);
        }
    }
}
