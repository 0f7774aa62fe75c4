//! The CPU as operations see it.

use crate::{Compute, Pool};

/// The CPU: instructions and precision to compute with, and memory to use again.
///
/// Clones share their memory.
///
/// ```
/// use disyre_kernels::{Compute, Cpu, Precision};
///
/// let cpu = Cpu::new(Compute::new(Precision::Bf16));
/// assert!(cpu.compute.isa().is_available());
/// ```
#[derive(Debug, Clone, Default)]
pub struct Cpu {
    /// Instructions and precision.
    pub compute: Compute,
    /// Memory for results and for intermediate values of operations.
    pub pool: Pool,
}

impl Cpu {
    /// A CPU with memory of its own.
    pub fn new(compute: Compute) -> Self {
        Self { compute, pool: Pool::new() }
    }
}
