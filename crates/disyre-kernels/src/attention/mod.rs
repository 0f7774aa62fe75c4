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
///
/// ```
/// use disyre_kernels::{Attention, Cpu, Extent};
///
/// // Two pixels of one channel; equal keys, so that both values weigh the same.
/// let attention = Attention { channels: 1, head_channels: 1 };
/// let extent = Extent { count: 1, height: 1, width: 2 };
/// let qkv = [1.0, 0.0, 10.0, 2.0, 0.0, 20.0]; // (pixel; query, key, value)
/// let out = attention.forward(&Cpu::default(), extent, &qkv);
/// assert_eq!(out[..], [15.0, 15.0]);
/// ```
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
    /// If `qkv` has another length, if heads do not divide the channels, or if there is no image or no channel.
    pub fn forward(&self, cpu: &Cpu, extent: Extent, qkv: &[f32]) -> Buffer {
        self.check(extent, qkv);
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
    /// As [`forward`](Self::forward), and if `gradient` has not the result's shape.
    pub fn backward(&self, cpu: &Cpu, extent: Extent, qkv: &[f32], gradient: &[f32]) -> Buffer {
        self.check(extent, qkv);
        assert_eq!(
            gradient.len(),
            extent.len(self.channels),
            "the gradient has the result's shape"
        );
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

    fn check(&self, extent: Extent, qkv: &[f32]) {
        let heads = self.head_channels > 0 && self.channels.is_multiple_of(self.head_channels);
        assert!(heads && self.channels > 0, "heads divide the channels");
        assert!(extent.pixels() > 0, "there are images");
        let len = extent.len(self.channels).checked_mul(3);
        assert_eq!(Some(qkv.len()), len, "queries, keys and values have the images' size");
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

#[cfg(test)]
mod tests {
    use super::*;

    const ATTENTION: Attention = Attention { channels: 2, head_channels: 1 };
    const EXTENT: Extent = Extent { count: 1, height: 1, width: 2 };

    // Longer slices left the end of the result as some earlier use of its memory had it.

    #[test]
    #[should_panic(expected = "queries, keys and values have the images' size")]
    fn more_queries_keys_and_values_than_pixels_are_refused() {
        ATTENTION.forward(&Cpu::default(), EXTENT, &[0.0; 18]);
    }

    #[test]
    #[should_panic(expected = "the gradient has the result's shape")]
    fn a_longer_gradient_is_refused() {
        ATTENTION.backward(&Cpu::default(), EXTENT, &[0.0; 12], &[0.0; 6]);
    }

    #[test]
    #[should_panic(expected = "heads divide the channels")]
    fn heads_that_leave_a_channel_are_refused() {
        let attention = Attention { channels: 3, head_channels: 2 };
        attention.forward(&Cpu::default(), EXTENT, &[0.0; 18]);
    }

    #[test]
    fn the_gradient_of_uniform_attention_by_hand() {
        // Equal keys: both weights are ½. By the values ½ Σ g; by the affinities ¼ g (v₀ − v₁) and its negative, which
        // queries of 0 and equal keys of 0 turn into no gradient by keys and by queries.
        let attention = Attention { channels: 1, head_channels: 1 };
        let qkv = [0.0, 0.0, 10.0, 0.0, 0.0, 20.0];
        let found = attention.backward(&Cpu::default(), EXTENT, &qkv, &[2.0, 6.0]);
        assert_eq!(found[..], [0.0, 0.0, 4.0, 0.0, 0.0, 4.0]);
    }
}
