//! [`Compute`]: instructions and precision that the CPU computes with; every operation takes one.

use std::fmt;

use crate::{Isa, KernelError, Precision};

/// Instructions and precision that the CPU computes with: chosen once and given to every operation.
///
/// Results have the same bits for any number of threads. Another instruction set rounds differently in the last bits.
///
/// ```
/// use disyre_kernels::{Compute, Isa, Precision};
///
/// let fastest = Compute::new(Precision::F32);
/// assert_eq!(fastest.precision(), Precision::F32);
/// // Plain Rust is everywhere: for tests.
/// assert!(Compute::forced(Isa::Portable, Precision::F32).is_ok());
/// assert!(Compute::forced(Isa::Portable, Precision::Bf16).is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Compute {
    isa: Isa,
    precision: Precision,
}

impl Default for Compute {
    fn default() -> Self {
        Self::new(Precision::F32)
    }
}

impl Compute {
    /// The fastest instructions of this CPU, no less exact than asked for: `F32` where the CPU has no instructions for
    /// bf16, and in place of `Bf16x3` where it has no AMX, which alone makes that faster.
    pub fn new(precision: Precision) -> Self {
        let bf16 = match precision {
            Precision::F32 => None,
            Precision::Bf16x3 => Some(Isa::Amx).filter(|isa| isa.is_available()),
            Precision::Bf16 => Isa::best(true),
        };
        match bf16 {
            Some(isa) => Self { isa, precision },
            None => {
                Self { isa: Isa::best(false).unwrap_or(Isa::Portable), precision: Precision::F32 }
            }
        }
    }

    /// A given instruction set, for tests and measurements.
    ///
    /// # Errors
    /// If the CPU lacks it, or if it does not multiply in that precision.
    pub fn forced(isa: Isa, precision: Precision) -> Result<Self, KernelError> {
        if !isa.is_available() {
            return Err(KernelError::MissingInstructions { isa });
        }
        if isa.multiplies_bf16() == (precision == Precision::F32) {
            return Err(KernelError::OtherPrecision { isa, precision });
        }
        Ok(Self { isa, precision })
    }

    /// Every combination that this CPU can compute with.
    pub fn all() -> Vec<Self> {
        let pairs = Isa::ALL.into_iter().flat_map(|isa| Precision::ALL.map(|p| (isa, p)));
        pairs.filter_map(|(isa, precision)| Self::forced(isa, precision).ok()).collect()
    }

    /// The instruction set.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// The precision in effect.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Terms that each factor is a sum of.
    pub(crate) fn terms(&self) -> usize {
        if self.precision == Precision::Bf16x3 { 2 } else { 1 }
    }

    /// Pairs of terms of both factors that are multiplied: all, but of factors of two terms not both lesser ones.
    pub(crate) fn products(&self) -> &'static [(usize, usize)] {
        if self.terms() == 1 { &[(0, 0)] } else { &[(0, 0), (1, 0), (0, 1)] }
    }
}

impl fmt::Display for Compute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.precision, self.isa)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cpu_computes_in_32_bits_and_never_less_exactly_than_asked() {
        assert_eq!(Compute::default().precision(), Precision::F32);
        let rank = |p| Precision::ALL.iter().position(|&q| q == p);
        for precision in Precision::ALL {
            assert!(rank(Compute::new(precision).precision()) <= rank(precision));
        }
        assert!(Compute::all().contains(&Compute::default()));
    }

    #[test]
    fn instructions_of_another_precision_are_refused() {
        let error = Compute::forced(Isa::Portable, Precision::Bf16).unwrap_err().to_string();
        assert!(error.contains("portable instructions do not multiply in bf16"), "{error}");
    }
}
