//! The loss: the launch code of loss.cu.

use crate::buffer::{Array, Element, RawBuffer};
use crate::cuda::{Cuda, Parameters, int};
use crate::device::{Device, Kernel};
use disyre_kernels::backend::FeatureMaps;

/// Numbers of one partial sum.
const PIECE: usize = 1 << 14;

#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct SquaredError {
    y: Array,
    target: Array,
    slope: Array,
    partials: u64,
    len: i64,
    factor: f32,
    unused: i32,
}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Total {
    partials: u64,
    out: u64,
    divisor: f64,
    count: i32,
    root: i32,
}

// SAFETY: these structures have the layouts of those of the same names in loss.cu.
unsafe impl Parameters for SquaredError {}
// SAFETY: as above.
unsafe impl Parameters for Total {}

impl<D: Device> Cuda<D> {
    /// The mean squared error, and its gradient in 32 bits.
    pub(crate) fn loss(
        &self,
        y: &FeatureMaps<Self>,
        target: &FeatureMaps<Self>,
    ) -> (RawBuffer<D>, RawBuffer<D>) {
        let len = y.values().on(self).len();
        assert_eq!(len, target.values().on(self).len(), "lengths belong together");
        let slope = self.take(Element::F32, len);
        let partials = self.take(Element::F64, len.div_ceil(PIECE));
        let parameters = || {
            Ok(SquaredError {
                y: self.array(y)?,
                target: self.array(target)?,
                slope: slope.array()?,
                partials: partials.address(0)?,
                len: len as i64,
                factor: (2.0 / len as f64) as f32,
                unused: 0,
            })
        };
        let kernel = Kernel { module: "loss", name: "squared_error" };
        self.run(kernel, [partials.len(), 1, 1], 256, parameters);
        (self.total(&partials, len as f64, false), slope)
    }

    /// The sum of partial sums over `divisor`, or its root.
    pub(crate) fn total(&self, partials: &RawBuffer<D>, divisor: f64, root: bool) -> RawBuffer<D> {
        let out = self.take(Element::F64, 1);
        let parameters = || {
            Ok(Total {
                partials: partials.address(0)?,
                out: out.address(0)?,
                divisor,
                count: int(partials.len()),
                root: i32::from(root),
            })
        };
        self.run(Kernel { module: "loss", name: "total" }, [1, 1, 1], 256, parameters);
        out
    }
}
