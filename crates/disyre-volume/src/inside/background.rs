//! [`Background`]: the voxels of a scan that are background, by its values.

use std::collections::HashMap;

use disyre_core::ndarray::{Array3, ArrayView3, Axis};

use super::share;

/// Background of a scan.
///
/// ```
/// use disyre_core::ndarray::Array3;
/// use disyre_volume::Background;
///
/// // A stripped scan whose file cannot store 0.
/// let mut scan = Array3::from_elem([8, 8, 8], 0.002);
/// scan.iter_mut().skip(200).take(100).enumerate().for_each(|(index, value)| *value = 50.0 + index as f32);
/// assert_eq!(Background::of(scan.view()), Background::NearZero { level: 0.002, voxels: 412 });
/// ```
///
/// # Source
/// Ours; the limits were set on the scans and phantoms of the tests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Background {
    /// Exactly 0, or there is none.
    Zero,
    /// One value so close to 0 that the rounding of a file explains it.
    NearZero {
        /// The value.
        level: f32,
        /// Voxels that hold it.
        voxels: usize,
    },
    /// One value that is not close to 0.
    Constant {
        /// The value.
        level: f32,
        /// Voxels that hold it.
        voxels: usize,
    },
    /// Different values close to 0, as splines leave them.
    Blurred {
        /// Greatest distance from 0 that was looked at.
        below: f32,
        /// Voxels that are nearer to 0, and not 0.
        voxels: usize,
    },
}

/// Most voxels whose values are counted; of larger scans every n-th.
const SAMPLES: usize = 1 << 18;

/// Least share of all voxels that one value fills if it is the background.
const LEAST_SHARE: f64 = 0.1;

/// Greatest share: a scan of nothing else has no background.
const GREATEST_SHARE: f64 = 0.995;

/// Share of the greatest intensities below which a background is close to 0: a byte's step is 0.004 of the range.
const NEAR: f32 = 0.02;

/// Share of the greatest intensities below which no tissue lies.
const FAINT: f32 = 1e-3;

impl Background {
    /// The background of a scan.
    pub fn of(scan: ArrayView3<'_, f32>) -> Self {
        let total = scan.len();
        let zeros = count(scan, |value| value == 0.0);
        let Some(common) = Common::of(scan) else { return Self::Zero };
        let level = common.level;
        let voxels = count(scan, |value| value == level);
        let of_all = share(voxels, total);
        let is_level = (LEAST_SHARE..GREATEST_SHARE).contains(&of_all);
        if is_level && level.abs() <= NEAR * common.scale {
            // The noise around a head in a few bits has other values beside it.
            let beside = 2.0 * level.abs();
            let is_other = |value: f32| value != 0.0 && value != level && value.abs() <= beside;
            if 10 * count(scan, is_other) < voxels {
                return Self::NearZero { level, voxels };
            }
        }
        let has_zeros = share(zeros, total) >= 0.01;
        if is_level && !has_zeros && fills_faces(scan, level) {
            return Self::Constant { level, voxels };
        }
        let below = FAINT * common.scale;
        let faint = count(scan, |value| value != 0.0 && value.abs() <= below);
        match share(faint, total) >= LEAST_SHARE {
            true => Self::Blurred { below, voxels: faint },
            false => Self::Zero,
        }
    }

    /// Whether the voxels of the background are known: it is 0, or close to it by rounding alone.
    pub fn is_certain(self) -> bool {
        matches!(self, Self::Zero | Self::NearZero { .. })
    }

    /// Makes the background of a scan exactly 0.
    pub fn clear(self, scan: &mut Array3<f32>) {
        let clear = |is_background: &(dyn Fn(f32) -> bool + Sync), scan: &mut Array3<f32>| {
            scan.par_mapv_inplace(|value| if is_background(value) { 0.0 } else { value });
        };
        match self {
            Self::Zero => {}
            Self::NearZero { level, .. } | Self::Constant { level, .. } => {
                clear(&|value| value == level, scan);
            }
            Self::Blurred { below, .. } => clear(&|value| value.abs() <= below, scan),
        }
    }

    /// The same in words, for messages; `None` where it is 0.
    pub fn in_words(self) -> Option<String> {
        match self {
            Self::Zero => None,
            Self::NearZero { level, voxels } => {
                Some(format!("{voxels} voxels hold {level}, which a file that rounds stores for 0"))
            }
            Self::Constant { level, voxels } => {
                Some(format!("its background is {level} ({voxels} voxels) and not 0"))
            }
            Self::Blurred { below, voxels } => Some(format!(
                "{voxels} voxels are within {below:.2e} of 0 without being 0, as interpolation leaves them"
            )),
        }
    }
}

fn count(scan: ArrayView3<'_, f32>, holds: impl Fn(f32) -> bool) -> usize {
    scan.iter().filter(|value| holds(**value)).count()
}

/// The value other than 0 that most voxels hold.
struct Common {
    level: f32,
    /// Intensity that one voxel in a thousand exceeds.
    scale: f32,
}

impl Common {
    /// `None` where all voxels that are looked at are 0.
    fn of(scan: ArrayView3<'_, f32>) -> Option<Self> {
        // An odd step visits all columns of arrays with even sides.
        let step = (scan.len() / SAMPLES).max(1) | 1;
        let sample = scan.iter().copied().step_by(step).filter(|value| *value != 0.0);
        let mut values: Vec<f32> = sample.collect();
        let mut counts: HashMap<u32, usize> = HashMap::new();
        values.iter().for_each(|value| *counts.entry(value.to_bits()).or_default() += 1);
        let most = counts.into_iter().max_by_key(|&(bits, count)| (count, bits))?.0;
        values.iter_mut().for_each(|value| *value = value.abs());
        values.sort_unstable_by(f32::total_cmp);
        let at = (values.len() - 1) as f64 * 0.999;
        Some(Self { level: f32::from_bits(most), scale: values[at as usize] })
    }
}

/// Whether most voxels of the outer faces hold a value.
fn fills_faces(scan: ArrayView3<'_, f32>, level: f32) -> bool {
    let (mut all, mut same) = (0, 0);
    // A side of one voxel has no outside.
    for axis in (0..3).map(Axis).filter(|axis| scan.len_of(*axis) > 1) {
        for face in [0, scan.len_of(axis) - 1] {
            let face = scan.index_axis(axis, face);
            all += face.len();
            same += face.iter().filter(|&&value| value == level).count();
        }
    }
    2 * same > all
}
