//! Preparation: from a scan to what the network sees, and maps back to the grid of the scan.

use disyre_core::ndarray::{Array3, ArrayView3, Zip};
use disyre_core::{Grid, Volume, ensure_finite, ensure_same_shape};
use disyre_volume::{
    IntensityRange, IntensityScaling, Interpolation, VolumeError, crop, foreground_box,
    nonzero_mask, resample_to_grid, resample_to_spacing, to_ras,
};
use serde::{Deserialize, Serialize};

use crate::Error;

/// From a scan to what the network sees: RAS+, one spacing, intensities in `[0, 1]`, cropped to the brain.
///
/// ```
/// use disyre::core::{Grid, Volume, ndarray::Array3};
/// use disyre::{PrepareConfig, volume::IntensityScaling};
///
/// let mut data = Array3::zeros([4, 4, 4]);
/// data.slice_each_axis_mut(|_| (1..3).into()).fill(80.0); // a brain of 2 × 2 × 2 voxels
/// let scan = Volume::new(data, Grid::from_spacing([4, 4, 4], [1.0; 3]))?;
/// let config = PrepareConfig { spacing_mm: 1.0, scaling: IntensityScaling::Brain { upper: 0.98 } };
/// let prepared = config.prepare(&scan, None)?;
/// assert_eq!(prepared.volume.data, Array3::<f32>::ones([2, 2, 2]));
/// # Ok::<(), disyre::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrepareConfig {
    /// Isotropic spacing to work at, in millimetres; published: 1.
    pub spacing_mm: f64,
    /// Scaling of intensities to `[0, 1]`.
    pub scaling: IntensityScaling,
}

/// A scan ready for the network, and what its maps need to return to the scan's grid.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// RAS+, working spacing, cropped to the brain, intensities in `[0, 1]`, background exactly 0.
    pub volume: Volume,
    /// Brain on the grid of `volume`: 1 inside, 0 outside.
    pub mask: Array3<u8>,
    /// The intensities that became 0 and 1.
    pub range: IntensityRange,
}

impl PrepareConfig {
    /// Prepares a scan.
    ///
    /// # Shapes and units
    /// `brain` has the scan's grid, non-zero inside the brain; without it the brain is where the scan is not 0.
    ///
    /// # Errors
    /// [`Error::Shape`] for a mask of another shape or a value that is not finite, [`Error::EmptyBrain`],
    /// [`Error::NegativeBrain`] if more than a twentieth of the brain is below 0, and the volume crate's errors.
    pub fn prepare(
        &self,
        scan: &Volume,
        brain: Option<ArrayView3<'_, u8>>,
    ) -> Result<Prepared, Error> {
        ensure_finite("scan", &scan.data.view())?;
        let mask = brain_on_grid(scan, brain)?;
        ensure_magnitudes(&scan.data, &mask)?;
        let masked = Volume { data: keep_inside(&scan.data, &mask), grid: scan.grid };
        let brain = Volume { data: share(&mask), grid: scan.grid };
        let (masked, brain) = rayon::join(|| self.at_spacing(&masked), || self.at_spacing(&brain));
        let (masked, brain) = (masked?, brain?);
        let mask = Zip::from(&brain.data).par_map_collect(|&share| u8::from(share >= 0.5));
        let region = foreground_box(mask.view())
            .ok_or_else(|| Error::EmptyBrain { name: "the scan".to_owned() })?;
        let whole = Volume { data: undilute(&masked.data, &brain.data), grid: masked.grid };
        let range = self.scaling.fit(whole.data.view(), mask.view())?;
        let mask = region.view_of(mask.view()).to_owned();
        let mut volume = crop(&whole, region);
        range.apply(&mut volume.data.view_mut());
        volume.data = keep_inside(&volume.data, &mask);
        Ok(Prepared { volume, mask, range })
    }

    /// RAS+ at the working spacing.
    fn at_spacing(&self, volume: &Volume) -> Result<Volume, VolumeError> {
        resample_to_spacing(&to_ras(volume), [self.spacing_mm; 3], Interpolation::Area)
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.spacing_mm.is_finite() && self.spacing_mm > 0.0 {
            return Ok(());
        }
        Err(Error::Setting { field: "prepare.spacing_mm", expected: "a positive number" })
    }
}

/// Share of the voxels that are not 0, where it is so large (above 0.6) that the skull or the background seems to be in.
///
/// Skull-stripped scans have a share of about 0.1 to 0.4; a brain mask makes the question moot.
pub fn unstripped_share(scan: &Volume) -> Option<f64> {
    const LARGEST: f64 = 0.6;
    let filled = scan.data.iter().filter(|&&value| value != 0.0).count();
    let share = filled as f64 / scan.data.len() as f64;
    (share > LARGEST).then_some(share)
}

impl Prepared {
    /// Carries a map on the working grid back to the grid of the scan, 0 outside the brain.
    ///
    /// # Shapes and units
    /// `map` has the shape of `self.volume`; the result has the shape of `scan`.
    ///
    /// # Errors
    /// [`Error::Shape`] for a map or mask of another shape.
    pub fn to_scan(
        &self,
        map: Array3<f32>,
        scan: &Volume,
        brain: Option<ArrayView3<'_, u8>>,
    ) -> Result<Array3<f32>, Error> {
        let working = Volume::new(map, self.volume.grid)?;
        self.to_scan_grid(scan, brain)?.resample(&working)
    }

    /// The resampling of maps from the working grid to the grid of the scan.
    pub(crate) fn to_scan_grid<'a>(
        &self,
        scan: &'a Volume,
        brain: Option<ArrayView3<'_, u8>>,
    ) -> Result<ToScan<'a>, Error> {
        let inside = brain_on_grid(scan, brain)?;
        let working = Volume { data: share(&self.mask), grid: self.volume.grid };
        let shares = resample_to_grid(&working, &scan.grid, Interpolation::Area)?.data;
        Ok(ToScan { grid: &scan.grid, inside, shares })
    }
}

/// From a working grid to the grid of a scan.
pub(crate) struct ToScan<'a> {
    grid: &'a Grid,
    /// Brain on the grid of the scan.
    inside: Array3<u8>,
    /// Share of each voxel of the scan that comes from brain of the working grid, in `[0, 1]`.
    shares: Array3<f32>,
}

impl ToScan<'_> {
    /// A map on the working grid, 0 outside the brain, on the grid of the scan.
    pub(crate) fn resample(&self, map: &Volume) -> Result<Array3<f32>, Error> {
        let values = resample_to_grid(map, self.grid, Interpolation::Area)?.data;
        Ok(keep_inside(&undilute(&values, &self.shares), &self.inside))
    }
}

fn brain_on_grid(scan: &Volume, brain: Option<ArrayView3<'_, u8>>) -> Result<Array3<u8>, Error> {
    match brain {
        None => Ok(nonzero_mask(scan.data.view())),
        Some(brain) => {
            ensure_same_shape("brain mask", scan.data.shape(), brain.shape())?;
            Ok(Zip::from(brain).par_map_collect(|&inside| u8::from(inside != 0)))
        }
    }
}

fn ensure_magnitudes(data: &Array3<f32>, mask: &Array3<u8>) -> Result<(), Error> {
    let (mut brain, mut negative) = (0u64, 0u64);
    Zip::from(data).and(mask).for_each(|&value, &inside| {
        brain += u64::from(inside != 0);
        negative += u64::from(inside != 0 && value < 0.0);
    });
    let percent = 100.0 * negative as f64 / brain.max(1) as f64;
    if percent > 5.0 { Err(Error::NegativeBrain { percent }) } else { Ok(()) }
}

/// A mask as the share of brain in each voxel: 0 or 1.
fn share(mask: &Array3<u8>) -> Array3<f32> {
    Zip::from(mask).par_map_collect(|&inside| f32::from(inside))
}

fn keep_inside(data: &Array3<f32>, mask: &Array3<u8>) -> Array3<f32> {
    let keep = |&value: &f32, &inside: &u8| if inside == 0 { 0.0 } else { value };
    Zip::from(data).and(mask).par_map_collect(keep)
}

/// Mean over the brain's share of a voxel alone: the background that was averaged in is taken out again.
fn undilute(values: &Array3<f32>, shares: &Array3<f32>) -> Array3<f32> {
    let undiluted = |&value: &f32, &share: &f32| if share > 1e-3 { value / share } else { 0.0 };
    Zip::from(values).and(shares).par_map_collect(undiluted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_volume::Grid;

    /// Rows of 1 mm along x, the same in `count` rows of `count` slices.
    fn scan(count: usize, row: &[f32]) -> Volume {
        let shape = [count, count, row.len()];
        let data = Array3::from_shape_fn(shape, |(_, _, x)| row[x]);
        Volume::new(data, Grid::from_spacing(shape, [1.0; 3])).unwrap()
    }

    fn config(spacing_mm: f64) -> PrepareConfig {
        PrepareConfig { spacing_mm, scaling: IntensityScaling::Brain { upper: 1.0 } }
    }

    fn values(data: &Array3<f32>) -> Vec<f32> {
        data.iter().copied().collect()
    }

    #[test]
    fn a_voxel_at_the_border_is_the_mean_of_its_brain_alone() {
        // Voxels of 2 mm: half background and 40, then 100 and 60, then 80 and half background.
        let prepared = config(2.0).prepare(&scan(2, &[0.0, 40.0, 100.0, 60.0, 80.0, 0.0]), None);
        let prepared = prepared.unwrap();
        assert_eq!(prepared.range, IntensityRange { low: 0.0, high: 80.0 });
        assert_eq!(values(&prepared.volume.data), [0.5, 1.0, 1.0]);
        assert_eq!(prepared.mask, Array3::<u8>::ones([1, 1, 3]));
    }

    #[test]
    fn a_voxel_of_less_than_half_brain_is_outside() {
        let mut scan = scan(2, &[0.0, 0.0, 50.0, 50.0, 0.0, 0.0]);
        // 3 of the 8 voxels that make one, and 4 of the others.
        for at in [[0, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 4], [0, 1, 4], [1, 0, 5], [1, 1, 5]] {
            scan.data[at] = 25.0;
        }
        let prepared = config(2.0).prepare(&scan, None).unwrap();
        assert_eq!(values(&prepared.volume.data), [1.0, 0.5]);
    }

    #[test]
    fn the_background_around_the_brain_is_cut_off_and_places_stay() {
        let scan = scan(2, &[0.0, 0.0, 50.0, 50.0, 0.0, 0.0]);
        let prepared = config(2.0).prepare(&scan, None).unwrap();
        let (before, after) = (scan.grid.affine, prepared.volume.grid.affine);
        assert_eq!(prepared.volume.grid.shape, [1, 1, 1]);
        // The second voxel of 2 mm is centred between the third and the fourth of 1 mm.
        assert_eq!(after[0][3], before[0][3] + 2.5);
        assert_eq!([after[0][0], after[1][3]], [2.0, before[1][3] + 0.5]);
    }

    #[test]
    fn a_scan_whose_x_runs_to_the_left_is_turned() {
        let mut scan = scan(1, &[10.0, 20.0, 40.0]);
        scan.grid.affine[0][0] = -1.0;
        let prepared = config(1.0).prepare(&scan, None).unwrap();
        assert_eq!(values(&prepared.volume.data), [1.0, 0.5, 0.25]);
    }

    #[test]
    fn a_mask_says_where_the_brain_is() {
        let scan = scan(1, &[10.0, 20.0, 40.0, 80.0]);
        let brain = Array3::from_shape_fn([1, 1, 4], |(_, _, x)| u8::from(x == 1 || x == 2) * 7);
        let prepared = config(1.0).prepare(&scan, Some(brain.view())).unwrap();
        assert_eq!(values(&prepared.volume.data), [0.5, 1.0]);
        let other = Array3::<u8>::ones([1, 4, 1]);
        assert!(matches!(config(1.0).prepare(&scan, Some(other.view())), Err(Error::Shape(_))));
    }

    #[test]
    fn a_map_is_carried_to_the_grid_of_the_scan_and_is_0_outside_its_brain() {
        let scan = scan(2, &[0.0, 40.0, 100.0, 60.0, 80.0, 0.0]);
        let prepared = config(2.0).prepare(&scan, None).unwrap();
        let map = Array3::from_shape_vec([1, 1, 3], vec![0.25, 0.5, 1.0]).unwrap();
        let on_scan = prepared.to_scan(map, &scan, None).unwrap();
        // Centres of 2 mm voxels lie at x = 0.5, 2.5 and 4.5; linear between them.
        let expected = [0.0, 0.3125, 0.4375, 0.625, 0.875, 0.0];
        for (&got, expected) in on_scan.iter().zip(expected.into_iter().cycle()) {
            assert!((got - expected).abs() < 1e-6, "{got} is not {expected}");
        }
        assert_eq!(on_scan.dim(), (2, 2, 6));
        let wrong = Array3::zeros([1, 1, 4]);
        assert!(matches!(prepared.to_scan(wrong, &scan, None), Err(Error::Shape(_))));
    }

    #[test]
    fn a_brain_below_0_and_values_that_are_not_finite_are_refused() {
        let mut row = [10.0; 20];
        row[3] = -1.0;
        assert!(config(1.0).prepare(&scan(1, &row), None).is_ok(), "a twentieth is allowed");
        row[4] = -1.0;
        let error = config(1.0).prepare(&scan(1, &row), None).unwrap_err();
        assert!(matches!(error, Error::NegativeBrain { percent } if percent == 10.0));
        row[3..5].copy_from_slice(&[f32::NAN, 1.0]);
        assert!(matches!(config(1.0).prepare(&scan(1, &row), None), Err(Error::Shape(_))));
        let error = config(1.0).prepare(&scan(1, &[0.0; 4]), None).unwrap_err();
        assert!(matches!(error, Error::EmptyBrain { .. }));
    }

    #[test]
    fn a_scan_that_is_mostly_not_0_seems_to_have_its_skull() {
        let row = |filled: usize| (0..10).map(move |x| if x < filled { 5.0 } else { 0.0 });
        let share = |filled| unstripped_share(&scan(1, &row(filled).collect::<Vec<_>>()));
        assert_eq!((share(6), share(7)), (None, Some(0.7)));
    }

    #[test]
    fn a_spacing_of_nothing_is_refused() {
        for spacing_mm in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(config(spacing_mm).check(), Err(Error::Setting { .. })));
        }
    }
}
