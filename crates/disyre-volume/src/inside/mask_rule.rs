//! [`MaskRule`]: the voxels of a mask that are inside, by its values.

use std::fmt;

use disyre_core::ndarray::{Array3, ArrayView3, Zip};

use super::labels::{is_code, tolerance};
use super::share;

/// Rule by which voxels of a mask are inside.
///
/// ```
/// use disyre_core::ndarray::array;
/// use disyre_volume::MaskRule;
///
/// let rule = MaskRule::of(array![[[0.0, 255.0, 255.0]]].view(), 0.0)?;
/// assert_eq!(rule, MaskRule::NotZero);
/// let soft = array![[[0.0, 0.2, 0.5, 1.0]]];
/// let rule = MaskRule::of(soft.view(), 0.0)?;
/// assert_eq!(rule.inside(soft.view()), array![[[0, 0, 1, 1]]]);
/// # Ok::<(), String>(())
/// ```
///
/// # Source
/// Ours. Half of a voxel is the usual limit of partial volumes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MaskRule {
    /// One value or whole codes: inside where a voxel is not 0.
    NotZero,
    /// The same, where a file rounded 0: inside where a voxel is further from 0 than this.
    Beyond(f32),
    /// Shares of a voxel, with values between 0 and 1: inside from one half on.
    Half,
}

/// Greatest and least value of a mask of shares: a spline may have passed 0 and 1.
const SHARES: [f32; 2] = [-0.5, 1.5];

impl MaskRule {
    /// The rule for the values of a mask; `rounding` as for [`codes`](super::codes).
    ///
    /// # Errors
    /// The reason in words, for a message, where the values are those of no mask.
    pub fn of(values: ArrayView3<'_, f32>, rounding: f32) -> Result<Self, String> {
        let facts = Facts::of(values, rounding);
        if facts.has_two_values && facts.zeros > 0 && facts.least >= -rounding {
            // 0 and another value, whatever it is.
            let moved = facts.least != 0.0 && rounding > 0.0;
            return Ok(if moved { Self::Beyond(1.01 * rounding) } else { Self::NotZero });
        }
        match facts.fractional {
            None if facts.least < -0.5 => Err(format!("it holds {}", facts.least)),
            None if is_interpolated(values, facts.greatest) => Err(format!(
                "around voxels of {} it holds others down to 0, as interpolation leaves them",
                facts.greatest
            )),
            None if facts.has_faint => Ok(Self::Beyond(0.5)),
            None => Ok(Self::NotZero),
            Some(_) if facts.is_shares() && facts.greatest >= 0.5 => Ok(Self::Half),
            Some(_) if facts.is_shares() => {
                Err(format!("its greatest value is {}, less than half of a voxel", facts.greatest))
            }
            Some(value) => Err(format!("it holds {value}, with values up to {}", facts.greatest)),
        }
    }

    /// 1 inside, 0 outside.
    pub fn inside(self, values: ArrayView3<'_, f32>) -> Array3<u8> {
        Zip::from(values).par_map_collect(|&value| u8::from(self.is_inside(value)))
    }

    fn is_inside(self, value: f32) -> bool {
        match self {
            Self::NotZero => value != 0.0,
            Self::Beyond(distance) => value.abs() > distance,
            Self::Half => value >= 0.5,
        }
    }
}

impl fmt::Display for MaskRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotZero => f.write_str("inside where it is not 0"),
            Self::Beyond(distance) => write!(f, "inside where it is more than {distance} from 0"),
            Self::Half => f.write_str("holds shares of voxels: inside from 0.5 on"),
        }
    }
}

/// The voxels of a mask that are inside, and the rule.
pub(crate) fn inside_of(
    values: ArrayView3<'_, f32>,
    rounding: f32,
) -> Result<(Array3<u8>, MaskRule), String> {
    let rule = MaskRule::of(values, rounding)?;
    Ok((rule.inside(values), rule))
}

/// Facts about the values of a mask.
struct Facts {
    least: f32,
    greatest: f32,
    zeros: usize,
    /// The first value that is no whole number.
    fractional: Option<f32>,
    /// No value but the least and the greatest.
    has_two_values: bool,
    /// A value nearer to 0 than to 1, and not 0.
    has_faint: bool,
}

impl Facts {
    fn of(values: ArrayView3<'_, f32>, rounding: f32) -> Self {
        let tolerance = tolerance(rounding);
        let (mut least, mut greatest, mut zeros) = (f32::INFINITY, f32::NEG_INFINITY, 0);
        for &value in values {
            least = least.min(value);
            greatest = greatest.max(value);
            zeros += usize::from(value.abs() <= rounding);
        }
        let fractional = values.iter().copied().find(|&value| !is_code(value, tolerance));
        let has_two_values = values.iter().all(|&value| value == least || value == greatest);
        let has_faint = values.iter().any(|&value| value != 0.0 && value.abs() < 0.5);
        Self { least, greatest, zeros, fractional, has_two_values, has_faint }
    }

    fn is_shares(&self) -> bool {
        self.least >= SHARES[0] && self.greatest <= SHARES[1]
    }
}

/// Whether whole numbers look like a mask of one value that was interpolated: its greatest value fills much of it, and
/// voxels between touch that or lie beside unlike ones, where regions of a label have an interior.
fn is_interpolated(values: ArrayView3<'_, f32>, greatest: f32) -> bool {
    let greatest = greatest.round();
    let whole = |at: [usize; 3]| values[at].round();
    let is_between = |value: f32| value > 0.0 && value < greatest;
    let shape: [usize; 3] = values.dim().into();
    let (mut full, mut between, mut interior, mut touching) = (0, 0, 0, 0);
    for ((z, y, x), value) in values.indexed_iter() {
        let value = value.round();
        full += usize::from(value == greatest);
        if !is_between(value) {
            continue;
        }
        between += 1;
        let mut around = neighbours([z, y, x], shape).map(whole);
        let beside_full = neighbours([z, y, x], shape).map(whole).any(|other| other == greatest);
        touching += usize::from(beside_full);
        interior += usize::from(around.all(|other| other == value));
    }
    between > 0
        && share(full, full + between) >= 0.3
        && share(interior, between) < 0.05
        && share(touching, between) >= 0.3
}

/// The up to six neighbours of a voxel.
fn neighbours(at: [usize; 3], shape: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
    (0..6).filter_map(move |side| {
        let (axis, mut other) = (side / 2, at);
        other[axis] = match side % 2 {
            0 => at[axis].checked_sub(1)?,
            _ => at[axis] + 1,
        };
        (other[axis] < shape[axis]).then_some(other)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::array;

    /// A ball of radius 6 in a volume of 20, by the share of each voxel within it.
    fn ball() -> Array3<f32> {
        let depth = |at: usize, sub: usize| at as f32 + sub as f32 / 4.0 - 9.6;
        Array3::from_shape_fn([20; 3], |(z, y, x)| {
            let inside = (0..64).filter(|sub| {
                let d = [depth(z, sub / 16), depth(y, sub / 4 % 4), depth(x, sub % 4)];
                d.iter().map(|d| d * d).sum::<f32>() < 36.0
            });
            inside.count() as f32 / 64.0
        })
    }

    fn rule(values: &Array3<f32>) -> Result<MaskRule, String> {
        MaskRule::of(values.view(), 0.0)
    }

    #[test]
    fn a_mask_of_one_value_is_inside_where_it_is_not_0() {
        for values in [array![[[0.0, 1.0]]], array![[[0.0, 255.0]]], array![[[0.0, 0.3]]]] {
            assert_eq!(rule(&values), Ok(MaskRule::NotZero));
        }
        assert_eq!(rule(&array![[[1.0, 1.0]]]), Ok(MaskRule::NotZero));
        assert_eq!(rule(&array![[[0.0, 0.0]]]), Ok(MaskRule::NotZero));
    }

    #[test]
    fn shares_are_inside_from_one_half_on() {
        let soft = ball();
        assert_eq!(rule(&soft), Ok(MaskRule::Half));
        let inside = MaskRule::Half.inside(soft.view());
        let voxels = inside.iter().filter(|&&inside| inside != 0).count() as f64;
        // 4/3 π 6³ is 905; every voxel above 0 would be 1286.
        assert!((voxels - 905.0).abs() < 15.0, "{voxels}");
        let with_ringing = soft.mapv(|share| 1.1 * share - 0.05);
        assert_eq!(rule(&with_ringing), Ok(MaskRule::Half));
        assert!(rule(&soft.mapv(|share| 0.4 * share)).unwrap_err().contains("less than half"));
    }

    #[test]
    fn a_background_that_a_slope_moved_is_outside() {
        // 0 and 1 as integers with a step of 1/255: 0 is stored as 0.002.
        let mask = array![[[0.0017, 0.0017, 0.9997]]];
        let rule = MaskRule::of(mask.view(), 0.5 / 255.0).unwrap();
        assert_eq!(rule.inside(mask.view()), array![[[0, 0, 1]]]);
        // The same saved as floats, and a mask of 0 and 255.
        assert_eq!(rule_inside(&mask), array![[[0, 0, 1]]]);
        let wide = array![[[0.0017, 0.0017, 254.9]]];
        let rule = MaskRule::of(wide.view(), 0.1).unwrap();
        assert_eq!(rule.inside(wide.view()), array![[[0, 0, 1]]]);
    }

    fn rule_inside(values: &Array3<f32>) -> Array3<u8> {
        rule(values).unwrap().inside(values.view())
    }

    #[test]
    fn labels_are_inside_and_interpolated_masks_are_told_from_them() {
        let soft = ball();
        // Tumour labels 2 and 4, which have an interior.
        let labels = Array3::from_shape_fn(soft.dim(), |(z, y, x)| match soft[[z, y, x]] < 0.5 {
            true => 0.0,
            false => [2.0, 4.0][usize::from(x >= 10)],
        });
        assert_eq!(rule(&labels), Ok(MaskRule::NotZero));
        let bytes = soft.mapv(|share| (255.0 * share).round());
        assert!(rule(&bytes).unwrap_err().contains("interpolation"));
        // Two small lesions that are numbered.
        assert_eq!(rule(&array![[[1.0, 1.0, 0.0, 2.0, 2.0]]]), Ok(MaskRule::NotZero));
        let mixed = array![[[0.0, 1.0, 2.0, 1.37]]];
        assert!(rule(&mixed).unwrap_err().contains("1.37"));
        assert!(rule(&array![[[-1.0, 0.0, 1.0]]]).is_err());
    }
}
