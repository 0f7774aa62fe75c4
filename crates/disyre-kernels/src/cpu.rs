use crate::{Compute, Pool};

/// How the CPU computes, and the memory that it uses again.
#[derive(Debug, Clone, Default)]
pub struct Cpu {
    /// Instructions and precision.
    pub compute: Compute,
    /// Memory for results and for what operations need in passing.
    pub pool: Pool,
}

impl Cpu {
    /// With memory of its own.
    pub fn new(compute: Compute) -> Self {
        Self { compute, pool: Pool::new() }
    }
}
