//! Precision and instructions that the CPU computes with.

use std::fmt;
use std::str::FromStr;

use crate::Isa;

/// Numbers that the products of convolutions are computed in. All else is `f32`.
///
/// ```
/// use disyre_kernels::Precision;
///
/// assert_eq!("bf16x3".parse(), Ok(Precision::Bf16x3));
/// assert_eq!(Precision::F32.to_string(), "f32");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Precision {
    /// 32-bit factors. Most 3×3 convolutions run by tiles, forward and backward, whose sums round more: relative
    /// errors stay below 1e-5.
    #[default]
    F32,
    /// Every factor is the sum of two bf16 and a product three products of bf16, added up in `f32`: relative errors of
    /// about 1e-5. Faster than `F32` only on AMX.
    Bf16x3,
    /// Factors rounded to bf16, products added up in `f32`: relative errors of about 4e-3 in each factor.
    Bf16,
}

impl Precision {
    /// All, most exact first.
    pub const ALL: [Self; 3] = [Self::F32, Self::Bf16x3, Self::Bf16];

    fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16x3 => "bf16x3",
            Self::Bf16 => "bf16",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Precision {
    type Err = KernelError;

    fn from_str(text: &str) -> Result<Self, KernelError> {
        let found = Self::ALL.into_iter().find(|precision| precision.name() == text);
        found.ok_or_else(|| KernelError::UnknownPrecision { name: text.to_owned() })
    }
}

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
    fn a_precision_survives_its_text_and_another_word_is_named() {
        for precision in Precision::ALL {
            assert_eq!(precision.to_string().parse::<Precision>().unwrap(), precision);
        }
        assert!("half".parse::<Precision>().unwrap_err().to_string().contains("`half`"));
    }

    #[test]
    fn instructions_of_another_precision_are_refused() {
        let error = Compute::forced(Isa::Portable, Precision::Bf16).unwrap_err().to_string();
        assert!(error.contains("portable instructions do not multiply in bf16"), "{error}");
    }
}
