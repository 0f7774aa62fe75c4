//! [`Precision`]: numbers that convolutions multiply; settings and arguments name one.

use std::fmt;
use std::str::FromStr;

use crate::KernelError;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_precision_survives_its_text_and_another_word_is_named() {
        for precision in Precision::ALL {
            assert_eq!(precision.to_string().parse::<Precision>().unwrap(), precision);
        }
        assert!("half".parse::<Precision>().unwrap_err().to_string().contains("`half`"));
    }
}
