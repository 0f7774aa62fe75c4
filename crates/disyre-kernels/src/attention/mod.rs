//! Self-attention over the pixels of small images.

mod head;

use rayon::prelude::*;

use crate::{Buffer, Cpu, Extent};

/// Scaled dot-product attention between the pixels of one image, head by head:
/// `out[i] = Σ_j softmax_j(q[i] · k[j] / √d) v[j]`.
///
/// # Shapes and units
/// Queries, keys and values come side by side, `(n, h, w, 3·c)`; heads are runs of `head_channels` of the c channels.
///
/// # Source
/// Vaswani et al., "Attention Is All You Need" (arXiv 1706.03762), equation 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attention {
    /// c.
    pub channels: usize,
    /// d; it divides c.
    pub head_channels: usize,
}

impl Attention {
    /// The result, `(n, h, w, c)`.
    ///
    /// # Panics
    /// If lengths do not belong together: callers check shapes.
    pub fn forward(&self, cpu: &Cpu, extent: Extent, qkv: &[f32]) -> Buffer {
        let found = self.heads(extent, |image, head| {
            let mut out = vec![0.0; extent.height * extent.width * self.head_channels];
            let head = self.head(extent, qkv, image, head);
            cpu.compute.isa().elementwise().run(head::Forward { head: &head, out: &mut out });
            out
        });
        let mut out = cpu.pool.take(qkv.len() / 3);
        self.assemble(extent, &found, 1, &mut out);
        out
    }

    /// The gradient by queries, keys and values, `(n, h, w, 3·c)`, from the one by the result.
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    pub fn backward(&self, cpu: &Cpu, extent: Extent, qkv: &[f32], gradient: &[f32]) -> Buffer {
        let found = self.heads(extent, |image, head| {
            let (first, width) = (head * self.head_channels, self.channels);
            let pixels = extent.height * extent.width;
            let gradient = &gradient[image * pixels * width..][..pixels * width];
            let gradient = head::columns(gradient, width, first, self.head_channels);
            let mut out = vec![0.0; 3 * gradient.len()];
            let head = self.head(extent, qkv, image, head);
            let work = head::Backward { head: &head, gradient: &gradient, out: &mut out };
            cpu.compute.isa().elementwise().run(work);
            out
        });
        let mut out = cpu.pool.take(qkv.len());
        self.assemble(extent, &found, 3, &mut out);
        out
    }

    /// Runs `of` for every head of every image.
    fn heads(&self, extent: Extent, of: impl Fn(usize, usize) -> Vec<f32> + Sync) -> Vec<Vec<f32>> {
        let heads = self.channels / self.head_channels;
        let all = (0..extent.count * heads).into_par_iter();
        all.map(|index| of(index / heads, index % heads)).collect()
    }

    fn head(&self, extent: Extent, qkv: &[f32], image: usize, head: usize) -> head::Head {
        let (pixels, width) = (extent.height * extent.width, 3 * self.channels);
        let image = &qkv[image * pixels * width..][..pixels * width];
        let of = |which: usize| {
            let first = which * self.channels + head * self.head_channels;
            head::columns(image, width, first, self.head_channels)
        };
        head::Head { queries: of(0), keys: of(1), values: of(2), channels: self.head_channels }
    }

    /// Puts what heads found, (which of `parts`, channel, pixel), side by side.
    fn assemble(&self, extent: Extent, found: &[Vec<f32>], parts: usize, out: &mut [f32]) {
        let (pixels, width) = (extent.height * extent.width, parts * self.channels);
        let heads = self.channels / self.head_channels;
        let images = out.par_chunks_mut(pixels * width).zip(found.par_chunks(heads));
        images.for_each(|(out, heads)| {
            for (head, values) in heads.iter().enumerate() {
                for (index, values) in values.chunks_exact(pixels).enumerate() {
                    let part = index / self.head_channels * self.channels;
                    let channel = part + head * self.head_channels + index % self.head_channels;
                    let out = out.iter_mut().skip(channel).step_by(width);
                    out.zip(values).for_each(|(out, &value)| *out = value);
                }
            }
        });
    }
}
