//! The CPU form as a candle operation.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use crate::storage::{tensor_values, values};

/// Doubling of contiguous `f32` tensors on the CPU.
pub(super) struct Doubling;

impl CustomOp1 for Doubling {
    fn name(&self) -> &'static str {
        "upsample-nearest2"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, c, height, width) = layout.shape().dims4()?;
        let x = values(x, layout)?;
        let mut y = vec![0.0; 4 * x.len()];
        let channels = x.par_chunks(height * width).zip(y.par_chunks_mut(4 * height * width));
        channels.for_each(|(x, y)| {
            for (x, y) in x.chunks(width).zip(y.chunks_mut(4 * width)) {
                let (upper, lower) = y.split_at_mut(2 * width);
                upper.chunks_mut(2).zip(x).for_each(|(pair, &x)| pair.fill(x));
                lower.copy_from_slice(upper);
            }
        });
        Ok((CpuStorage::F32(y), (n, c, 2 * height, 2 * width).into()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let (_, _, height, width) = x.dims4()?;
        let gradient = gradient.contiguous()?;
        let (storage, layout) = gradient.storage_and_layout();
        let gradient = tensor_values(&storage, layout)?;
        let mut by_x = vec![0.0; gradient.len() / 4];
        let channels =
            by_x.par_chunks_mut(height * width).zip(gradient.par_chunks(4 * height * width));
        channels.for_each(|(by_x, gradient)| {
            for (by_x, gradient) in by_x.chunks_mut(width).zip(gradient.chunks(4 * width)) {
                let (upper, lower) = gradient.split_at(2 * width);
                let copies = upper.chunks(2).zip(lower.chunks(2));
                by_x.iter_mut()
                    .zip(copies)
                    .for_each(|(sum, (a, b))| *sum = (a[0] + a[1]) + (b[0] + b[1]));
            }
        });
        Tensor::from_vec(by_x, x.shape(), x.device()).map(Some)
    }
}
