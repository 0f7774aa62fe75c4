//! [`KernelError`]: instructions or precision that the CPU does not have.

use crate::{Isa, Precision};

/// Reasons why the CPU cannot compute as it was asked to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// This CPU lacks the instructions.
    #[error("this CPU has no {isa} instructions; `Compute::all` lists what it has")]
    MissingInstructions {
        /// The instructions that were asked for.
        isa: Isa,
    },
    /// The instructions multiply other numbers.
    #[error("{isa} instructions do not multiply in {precision}; choose another precision")]
    OtherPrecision {
        /// The instructions that were asked for.
        isa: Isa,
        /// The precision that was asked for.
        precision: Precision,
    },
    /// No precision has that name.
    #[error("`{name}` is no precision; expected f32, bf16x3 or bf16")]
    UnknownPrecision {
        /// The name that was given.
        name: String,
    },
}
