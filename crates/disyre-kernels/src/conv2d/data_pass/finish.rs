//! Statistics of a piece of the result, and its backward pass through a normalisation, while it is in the cache.

use std::ops::Range;

use super::super::input::InputPart;
use super::task::{ChannelStats, Task, ThroughNorm};
use crate::activation::{fma, silu_slope};
use crate::lanes::{BLOCK, Lanes, VECTORS};

impl Task<'_> {
    /// The fine rows of this task's images, as image and first pixel of each, image by image.
    #[inline(always)]
    fn fine_rows(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (to, rows) = (self.pass.to, self.chunk.rows.clone());
        let fine = rows.start * to.phases..(rows.end * to.phases).min(to.height);
        self.chunk.images.clone().flat_map(move |image| {
            fine.clone().map(move |y| (image, image * to.pixels() + y * to.width))
        })
    }

    /// Channels of this task.
    #[inline(always)]
    fn channels<L: Lanes>(&self) -> Range<usize> {
        let columns = VECTORS * L::COUNT;
        self.blocks.start * columns..(self.blocks.end * columns).min(self.pass.to.channels)
    }

    /// In one pass, by sums of deviations from the first pixel: as exact as deviations from the mean, unless that pixel
    /// lies hundreds of standard deviations beside it.
    #[inline(always)]
    pub(super) fn moments<L: Lanes>(&self) -> ChannelStats {
        let channels = self.channels::<L>();
        let to = &self.pass.to;
        let fine =
            (self.chunk.rows.end * to.phases).min(to.height) - self.chunk.rows.start * to.phases;
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
        let to = &self.pass.to;
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
    pub(super) fn through_norm<L: Lanes>(&self, norm: &ThroughNorm<'_>) -> ChannelStats {
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
        let to = &self.pass.to;
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
        let to = &self.pass.to;
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
                gradient[i] *= silu_slope::<L>(z);
            }
        }
        for i in 0..n {
            sums[0][i] += gradient[i];
            sums[1][i] += gradient[i] * fma::<L>(self.rstd[i], x[i], self.offset[i]);
        }
    }
}
