//! The norm of the gradient, and AdamW: the launch code of adamw.cu.

use crate::buffer::{Element, RawBuffer};
use crate::cuda::{Cuda, Parameters};
use crate::device::{Device, Kernel};
use disyre_kernels::AdamW;
use disyre_kernels::backend::State;

/// Numbers of one partial sum.
const PIECE: usize = 1 << 14;
/// Blocks that keep a large device busy.
const MOST_BLOCKS: usize = 4096;
/// Of `Coefficients` in adamw.cu.
const COEFFICIENT_BYTES: usize = 40;

#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Squares {
    values: u64,
    partials: u64,
    len: i64,
}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Update {
    coefficients: u64,
    norm: u64,
    loss: u64,
    gradient: u64,
    weights: u64,
    first: u64,
    second: u64,
    average: u64,
    len: i64,
}

// SAFETY: these structures have the layouts of those of the same names in adamw.cu.
unsafe impl Parameters for Squares {}
// SAFETY: as above.
unsafe impl Parameters for Update {}

const fn kernel(name: &'static str) -> Kernel {
    Kernel { module: "adamw", name }
}

impl<D: Device> Cuda<D> {
    /// Memory for the coefficients of an update.
    pub(crate) fn take_coefficients(&self) -> RawBuffer<D> {
        self.take(Element::F32, COEFFICIENT_BYTES / 4)
    }

    /// Writes the coefficients of an update where kernels read them.
    pub(crate) fn write_coefficients(&self, update: &AdamW, into: &RawBuffer<D>) {
        // 1 − β from the exact β: that of a rounded one is off by 1e-5.
        let shares = update.betas.map(|beta| (1.0 - beta) as f32);
        let singles = [
            update.keep,
            shares[0],
            update.betas[1] as f32,
            shares[1],
            update.step_size,
            update.correction.recip(),
            update.epsilon,
            update.average,
        ];
        let mut bytes = update.clip_norm.to_ne_bytes().to_vec();
        bytes.extend(singles.iter().flat_map(|value| value.to_ne_bytes()));
        self.write(&bytes, into);
    }

    /// One step of the optimiser; returns the gradient's norm.
    pub(crate) fn step(
        &self,
        coefficients: &RawBuffer<D>,
        loss: &RawBuffer<D>,
        gradient: &RawBuffer<D>,
        state: State<'_, Self>,
    ) -> RawBuffer<D> {
        let norm = self.norm(gradient);
        let State { weights, first, second, average } = state;
        let [weights, first, second] = [weights.on(self), first.on(self), second.on(self)];
        let (average, len) = (average.map(|average| average.on(self)), gradient.len());
        assert!([weights, first, second].iter().all(|v| v.len() == len), "lengths belong together");
        assert!(average.is_none_or(|v| v.len() == len), "an average of all weights");
        let parameters = || {
            Ok(Update {
                coefficients: coefficients.address(0)?,
                norm: norm.address(0)?,
                loss: loss.address(0)?,
                gradient: gradient.address(0)?,
                weights: weights.address(0)?,
                first: first.address(0)?,
                second: second.address(0)?,
                average: average.map_or(Ok(0), |average| average.address(0))?,
                len: len as i64,
            })
        };
        let blocks = len.div_ceil(256).min(MOST_BLOCKS);
        self.run(kernel("update"), [blocks, 1, 1], 256, parameters);
        norm
    }

    fn norm(&self, values: &RawBuffer<D>) -> RawBuffer<D> {
        let partials = self.take(Element::F64, values.len().div_ceil(PIECE));
        let parameters = || {
            let len = values.len() as i64;
            Ok(Squares { values: values.address(0)?, partials: partials.address(0)?, len })
        };
        self.run(kernel("squares"), [partials.len(), 1, 1], 256, parameters);
        self.total(&partials, 1.0, true)
    }
}
