//! From a scan to a map on the scan's own grid, with restorers whose answer is known.

use std::path::Path;

use disyre::core::ndarray::{Array3, ArrayView5, ArrayViewMut5, Zip};
use disyre::core::{Grid, RestoreError, Restorer, Severity, Volume};
use disyre::volume::{ReadOptions, Scan, read_mask};
use disyre::{Detector, Error, RunConfig};

/// Changes nothing.
struct Identity;

impl Restorer for Identity {
    fn restore(
        &self,
        batch: ArrayView5<'_, f32>,
        _: &[Severity],
        mut restored: ArrayViewMut5<'_, f32>,
    ) -> Result<(), RestoreError> {
        restored.assign(&batch);
        Ok(())
    }
}

/// Takes the brain to be of one intensity.
struct Constant(f32);

impl Restorer for Constant {
    fn restore(
        &self,
        _: ArrayView5<'_, f32>,
        _: &[Severity],
        mut restored: ArrayViewMut5<'_, f32>,
    ) -> Result<(), RestoreError> {
        restored.fill(self.0);
        Ok(())
    }
}

fn config() -> RunConfig {
    let mut config = RunConfig::cpu_2mm();
    config.pairs.patch = [1, 16, 16];
    config.dag.window = [1, 8, 8];
    config.detect.stride = [1, 8, 8];
    config
}

/// A ball of 100 in a grid of 1 mm whose x runs to the left and y to the back, with a cube of 40 at `spot`.
fn scan_with_spot(spot: [usize; 3]) -> Volume {
    let shape = [24, 30, 36];
    let affine = [
        [-1.0, 0.0, 0.0, 17.0],
        [0.0, -1.0, 0.0, 9.0],
        [0.0, 0.0, 1.0, -40.0],
        [0.0, 0.0, 0.0, 1.0],
    ];
    let value = |(z, y, x): (usize, usize, usize)| {
        let index = [z, y, x];
        let radius: f32 =
            (0..3).map(|d| ((index[d] as f32 + 0.5) / shape[d] as f32 * 2.0 - 1.0).powi(2)).sum();
        let in_spot = (0..3).all(|d| index[d].abs_diff(spot[d]) <= 1);
        if radius > 0.9 {
            0.0
        } else if in_spot {
            40.0
        } else {
            100.0
        }
    };
    Volume { data: Array3::from_shape_fn(shape, value), grid: Grid { shape, affine } }
}

#[test]
fn a_perfect_restorer_scores_zero_and_gives_the_scan_back() {
    let scan = scan_with_spot([12, 10, 25]);
    let mut config = config();
    config.prepare.spacing_mm = 1.0;
    let found =
        Detector::new(&config, &Identity).unwrap().detect(&scan, None, &mut |_, _| ()).unwrap();
    assert!(found.score.iter().all(|&score| score == 0.0));
    let worst =
        Zip::from(&found.restored).and(&scan.data).fold(0f32, |w, &a, &b| w.max((a - b).abs()));
    assert!(worst < 1e-3, "the restoration is off by {worst}");
}

#[test]
fn a_spot_is_found_where_it_lies_in_the_scan() {
    for (spacing_mm, spot) in [(1.0, [12, 10, 25]), (2.0, [9, 20, 12])] {
        let scan = scan_with_spot(spot);
        let mut config = config();
        config.prepare.spacing_mm = spacing_mm;
        let detector = Detector::new(&config, &Constant(1.0)).unwrap();
        let found = detector.detect(&scan, None, &mut |_, _| ()).unwrap();
        let best = found.score.indexed_iter().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
        let distance =
            [best.0, best.1, best.2].iter().zip(spot).map(|(a, b)| a.abs_diff(b)).max().unwrap();
        assert!(distance <= 1, "found at {best:?} instead of {spot:?}");
        let outside = Zip::from(&found.score)
            .and(&scan.data)
            .fold(0f32, |w, &s, &v| if v == 0.0 { w.max(s) } else { w });
        assert_eq!(outside, 0.0);
    }
}

#[test]
fn the_map_does_not_depend_on_the_batch() {
    let scan = scan_with_spot([12, 10, 25]);
    let map = |batch| {
        let mut config = config();
        config.detect.batch = batch;
        Detector::new(&config, &Constant(0.8))
            .unwrap()
            .detect(&scan, None, &mut |_, _| ())
            .unwrap()
            .score
    };
    let one = map(1);
    assert!(one.iter().any(|&score| score > 0.0));
    assert_eq!(one, map(7));
    assert_eq!(one, map(1000));
}

#[test]
fn whole_slices_are_restored_once_each_and_find_the_spot_too() {
    let mut config = config();
    config.detect.whole_slices = true;
    config.detect.severities.truncate(1);
    config.detect.foreground_weight = false;
    let scan = scan_with_spot([12, 15, 18]);
    let mut windows = 0;
    let detector = Detector::new(&config, &Constant(1.0)).unwrap();
    let found = detector.detect(&scan, None, &mut |_, total| windows = total).unwrap();
    // At 2 mm; slices without brain are left out.
    assert!((1..=12).contains(&windows), "{windows} slices");
    let greatest = found.score.iter().fold(0.0f32, |max, &score| max.max(score));
    assert_eq!(found.score[[12, 15, 18]], greatest);
    let identity = Detector::new(&config, &Identity).unwrap();
    let found = identity.detect(&scan, None, &mut |_, _| ()).unwrap();
    assert!(found.score.iter().all(|&score| score == 0.0));
}

#[test]
fn scans_that_cannot_be_scaled_are_refused() {
    let mut scan = scan_with_spot([12, 10, 25]);
    let detect = |scan: &Volume| {
        Detector::new(&config(), &Identity).unwrap().detect(scan, None, &mut |_, _| ()).unwrap_err()
    };
    scan.data.mapv_inplace(|value| if value > 0.0 { value - 99.0 } else { value });
    scan.data[[12, 15, 18]] = -3.0;
    scan.data.mapv_inplace(|value| if value == 1.0 { -0.5 } else { value });
    assert!(matches!(detect(&scan), Error::NegativeBrain { percent } if percent > 90.0));
    scan.data.fill(0.0);
    assert!(matches!(detect(&scan), Error::EmptyBrain { .. }));
}

#[test]
fn a_real_scan_is_restored_on_its_own_grid() {
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/lesion/dev/ms07");
    if !case.exists() {
        println!("skipped: {} not found", case.display());
        return;
    }
    let scan = Scan::read(&case.join("ms07_t1.nii.gz"), &ReadOptions::default()).unwrap();
    let brain = read_mask(&case.join("ms07_brain.nii.gz"), &scan).unwrap();
    let mut config = RunConfig::cpu_2mm();
    config.prepare.spacing_mm = 1.0;
    config.detect.severities.truncate(1);
    let detector = Detector::new(&config, &Identity).unwrap();
    let found = detector.detect(&scan.volume, Some(brain.view()), &mut |_, _| ()).unwrap();
    assert!(found.score.iter().all(|&score| score == 0.0));
    // Beyond the 98th percentile the restoration is cut off, below it is the scan itself.
    let high = found.prepared.range.high;
    let worst = Zip::from(&found.restored).and(&scan.volume.data).and(&brain).fold(
        0f32,
        |worst, &got, &value, &inside| {
            if inside == 0 { worst } else { worst.max((got - value.min(high)).abs() / high) }
        },
    );
    assert!(worst < 1e-4, "the restoration is off by {worst} of the scale");
}
