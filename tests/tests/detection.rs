//! From a scan to a map on the scan's own grid, with restorers whose answer is known.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, ThreadId};

use disyre::core::ndarray::{Array2, Array3, Array5, ArrayView5, ArrayViewMut5, Axis, Zip};
use disyre::core::{Grid, Key, RestoreError, Restorer, Severity, Volume};
use disyre::diffusion::{ColdRestorer, Device, Engine, ModelConfig, Parameters};
use disyre::patch::{TilePlan, WindowWeights};
use disyre::phantom::PhantomConfig;
use disyre::score::ScoreError;
use disyre::volume::{Scan, read_mask, write_volume};
use disyre::{Detector, Error, PrepareConfig, RunConfig};

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

/// Squares intensities on the thread that it was made on; fails at the call of that number.
struct Squares {
    thread: ThreadId,
    calls: AtomicUsize,
    fails_at: usize,
}

impl Squares {
    fn failing_at(fails_at: usize) -> Self {
        Self { thread: thread::current().id(), calls: AtomicUsize::new(0), fails_at }
    }
}

impl Restorer for Squares {
    fn restore(
        &self,
        batch: ArrayView5<'_, f32>,
        _: &[Severity],
        mut restored: ArrayViewMut5<'_, f32>,
    ) -> Result<(), RestoreError> {
        assert_eq!(thread::current().id(), self.thread);
        if self.calls.fetch_add(1, Ordering::Relaxed) == self.fails_at {
            return Err(RestoreError::Backend("no more".into()));
        }
        Zip::from(&mut restored).and(&batch).for_each(|restored, value| *restored = value * value);
        Ok(())
    }
}

fn config() -> RunConfig {
    let mut config = RunConfig::cpu_2mm();
    config.prepare = PrepareConfig { spacing_mm: 2.0, ..PrepareConfig::default() };
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
    let found = Detector::new(&Identity, config.prepare.build().unwrap(), config.detect_options())
        .unwrap()
        .detect(&scan, None, &mut |_, _| ())
        .unwrap();
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
        let detector =
            Detector::new(&Constant(1.0), config.prepare.build().unwrap(), config.detect_options())
                .unwrap();
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
        Detector::new(&Constant(0.8), config.prepare.build().unwrap(), config.detect_options())
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
fn maps_are_the_same_for_any_threads_and_batches_and_the_restorer_stays_on_its_thread() {
    let scan = scan_with_spot([12, 10, 25]);
    let maps = |threads, batch| {
        let mut config = config();
        config.detect.batch = batch;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let restorer = Squares::failing_at(usize::MAX);
            let mut heard = Vec::new();
            let detector =
                Detector::new(&restorer, config.prepare.build().unwrap(), config.detect_options())
                    .unwrap();
            let found =
                detector.detect(&scan, None, &mut |done, all| heard.push((done, all))).unwrap();
            let all = heard[0].1;
            let expected = (1..=all.div_ceil(batch)).map(|k| ((k * batch).min(all), all));
            assert_eq!(heard, expected.collect::<Vec<_>>());
            [found.score, found.restored, found.working_score, found.working_restored]
        })
    };
    let one = maps(1, 1);
    assert!(one.iter().all(|map| map.iter().any(|&value| value > 0.0)));
    for (threads, batch) in [(1, 7), (2, 7), (5, 7), (2, 1), (3, 1000)] {
        assert_eq!(one, maps(threads, batch), "{threads} threads, batches of {batch}");
    }
}

#[test]
fn a_restorer_that_fails_ends_the_scan_with_its_error() {
    let scan = scan_with_spot([12, 10, 25]);
    let mut config = config();
    config.detect.batch = 2;
    let detect = |call| {
        let restorer = Squares::failing_at(call);
        let detector =
            Detector::new(&restorer, config.prepare.build().unwrap(), config.detect_options())
                .unwrap();
        detector.detect(&scan, None, &mut |_, _| ()).unwrap_err()
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    // At once, within an ensemble and once there are batches to be blended.
    for call in [0, 1, 20] {
        for error in [detect(call), pool.install(|| detect(call))] {
            assert!(matches!(error, Error::Score(ScoreError::Restore(RestoreError::Backend(_)))));
        }
    }
}

/// The score of one slice by the formula: every window by itself, each severity by itself, no window left out.
#[expect(clippy::unwrap_used, reason = "a failure should stop the test")]
fn score_by_formula(
    config: &RunConfig,
    restorer: &dyn Restorer,
    image: &Array3<f32>,
    slice: usize,
) -> Array2<f64> {
    let (depth, height, width) = image.dim();
    let [_, y, x] = config.pairs.patch;
    let shape = [depth, height, width];
    let plan = TilePlan::new(shape, config.pairs.patch, config.detect.stride).unwrap();
    let weights = WindowWeights::gaussian(config.pairs.patch).unwrap();
    let mut sums = Array2::<f64>::zeros((height, width));
    let mut weight_sums = sums.clone();
    for window in plan.windows().filter(|window| window.start()[0] == slice as isize) {
        let mut patch = Array5::zeros((1, 1, 1, y, x));
        let of_image = image.view().insert_axis(Axis(0));
        plan.extract(of_image, window, patch.index_axis_mut(Axis(0), 0)).unwrap();
        let brain = patch.iter().filter(|&&value| value > 0.0).count() as f64 / (y * x) as f64;
        for &severity in &config.detect.severities {
            let mut restored = Array5::zeros(patch.dim());
            restorer.restore(patch.view(), &[severity], restored.view_mut()).unwrap();
            let [_, rows, columns] = window.region();
            let [_, top, left] = window.region_in_window().map(|range| range.start);
            for (i, row) in rows.enumerate() {
                for (j, column) in columns.clone().enumerate() {
                    let at = [0, 0, 0, top + i, left + j];
                    let weight = f64::from(weights.values()[[0, top + i, left + j]]);
                    let residual = f64::from((patch[at] - restored[at]).abs());
                    let inside = f64::from(u8::from(patch[at] > 0.0));
                    sums[[row, column]] += weight * residual * brain * inside;
                    weight_sums[[row, column]] += weight;
                }
            }
        }
    }
    sums / weight_sums
}

#[test]
fn the_map_of_a_network_is_that_of_every_window_restored_alone_and_plainly() {
    let mut config = config();
    config.prepare.spacing_mm = 1.0;
    config.pairs.patch = [1, 32, 32];
    config.detect.stride = [1, 16, 16];
    config.detect.batch = 7;
    config.network.channels = vec![16, 32];
    config.network.attention_levels = vec![1];
    let (network, patch) = (config.network.clone(), config.pairs.patch);
    let parameters = Parameters::seeded(&network, Key::new(5)).unwrap();
    let model = ModelConfig { network, patch, ..ModelConfig::default() };
    let [fused, plain] = [Engine::default(), Engine::Plain].map(|engine| {
        ColdRestorer::with(model.clone(), &parameters, &Device::cpu(), engine).unwrap()
    });
    let scan = scan_with_spot([12, 10, 25]);
    let found = Detector::new(&fused, config.prepare.build().unwrap(), config.detect_options())
        .unwrap()
        .detect(&scan, None, &mut |_, _| ())
        .unwrap();
    let slice = 12;
    let expected = score_by_formula(&config, &plain, &found.prepared.volume.data, slice);
    let got = found.working_score.index_axis(Axis(0), slice);
    assert_eq!(got.dim(), expected.dim());
    let greatest = expected.iter().fold(0.0f64, |max, &score| max.max(score));
    let worst = Zip::from(&got)
        .and(&expected)
        .fold(0.0f64, |worst, &got, &expected| worst.max((f64::from(got) - expected).abs()));
    assert!(greatest > 0.1 && worst < 1e-4 * greatest, "off by {worst} of {greatest}");
}

#[test]
fn whole_slices_are_restored_once_each_and_find_the_spot_too() {
    let mut config = config();
    config.detect.whole_slices = true;
    config.detect.severities.truncate(1);
    config.detect.foreground_weight = false;
    let scan = scan_with_spot([12, 15, 18]);
    let mut windows = 0;
    let detector =
        Detector::new(&Constant(1.0), config.prepare.build().unwrap(), config.detect_options())
            .unwrap();
    let found = detector.detect(&scan, None, &mut |_, total| windows = total).unwrap();
    // At 2 mm; slices without brain are left out.
    assert!((1..=12).contains(&windows), "{windows} slices");
    let greatest = found.score.iter().fold(0.0f32, |max, &score| max.max(score));
    assert_eq!(found.score[[12, 15, 18]], greatest);
    let identity =
        Detector::new(&Identity, config.prepare.build().unwrap(), config.detect_options()).unwrap();
    let found = identity.detect(&scan, None, &mut |_, _| ()).unwrap();
    assert!(found.score.iter().all(|&score| score == 0.0));
}

#[test]
fn scans_that_cannot_be_scaled_are_refused() {
    let mut scan = scan_with_spot([12, 10, 25]);
    let detect = |scan: &Volume| {
        Detector::new(&Identity, config().prepare.build().unwrap(), config().detect_options())
            .unwrap()
            .detect(scan, None, &mut |_, _| ())
            .unwrap_err()
    };
    scan.data.mapv_inplace(|value| if value > 0.0 { value - 99.0 } else { value });
    scan.data[[12, 15, 18]] = -3.0;
    scan.data.mapv_inplace(|value| if value == 1.0 { -0.5 } else { value });
    assert!(matches!(detect(&scan), Error::NegativeBrain { percent } if percent > 90.0));
    scan.data.fill(0.0);
    assert!(matches!(detect(&scan), Error::EmptyBrain { .. }));
}

#[test]
fn a_scan_on_disk_is_restored_within_the_mask_of_its_brain() {
    let folder = tempfile::tempdir().unwrap();
    let [scan_path, mask_path] =
        ["head_T1w.nii.gz", "head_mask.nii.gz"].map(|name| folder.path().join(name));
    let size = PhantomConfig { shape: [30, 40, 36], spacing_mm: 1.0, ..PhantomConfig::default() };
    let mut head = size.healthy(Key::new(3)).volume;
    // x runs to the left and y to the back.
    (head.grid.affine[0][0], head.grid.affine[1][1]) = (-1.0, -1.0);
    let inside = head.data.mapv(|value| f32::from(u8::from(value > 0.0)));
    // Outside the brain everything is brighter than it: without the mask the scale would be another one.
    let brightest = head.data.fold(0.0, |max: f32, &value| max.max(value));
    head.data.mapv_inplace(|value| if value > 0.0 { value } else { 3.0 * brightest });
    write_volume(&scan_path, &head).unwrap();
    write_volume(&mask_path, &Volume { data: inside, grid: head.grid }).unwrap();

    let scan = Scan::read(&scan_path).unwrap();
    let brain = read_mask(&mask_path, &scan).unwrap();
    let mut config = RunConfig::cpu_2mm();
    config.prepare = PrepareConfig { spacing_mm: 1.0, ..PrepareConfig::default() };
    config.detect.severities.truncate(1);
    let detector =
        Detector::new(&Identity, config.prepare.build().unwrap(), config.detect_options()).unwrap();
    let found = detector.detect(&scan.volume, Some(brain.view()), &mut |_, _| ()).unwrap();
    assert!(found.score.iter().all(|&score| score == 0.0));
    // Beyond the 98th percentile the restoration is cut off, below it is the scan itself.
    let high = found.prepared.intensities.high();
    assert!(high < brightest, "{high} of {brightest}");
    let mut voxels = 0;
    Zip::from(&found.restored).and(&scan.volume.data).and(&brain).for_each(
        |&got, &value, &inside| {
            if inside != 0 {
                let error = (got - value.min(high)).abs() / high;
                assert!(error < 1e-4, "the restoration is off by {error} of the scale");
                voxels += 1;
            }
        },
    );
    assert!(voxels > 5000, "{voxels} voxels of brain");
}
