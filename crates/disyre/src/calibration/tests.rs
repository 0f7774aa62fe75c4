//! Calibrated scores of small arrays: by hand, and as NumPy and SciPy find them; save and load.

use disyre_core::Severity;
use disyre_core::ndarray::Array3;
use disyre_register::Verdict;
use serde::Deserialize;

use super::fit::{HealthyStatistics, Sums};
use super::*;
use crate::HashedFile;
use crate::stored_files::StoredFiles;

/// A calibration by evidence in memory.
fn fitted(config: &CalibrationConfig, healthy: &[Evidence]) -> Calibration {
    let mut sums = Sums::new(config.clone(), healthy[0].mask.dim().into());
    healthy.iter().for_each(|evidence| sums.add(evidence.clone()).unwrap());
    let HealthyStatistics { count, mean, maps } = sums.finish(|map| map).unwrap();
    let scan = |index: usize| HealthyScan {
        file: HashedFile { name: format!("h{index}"), sha256: "0".repeat(64) },
        registration: Verdict::Good,
    };
    Calibration {
        space: TemplateSpace::mni152().unwrap(),
        detect: DetectConfig { calibrated: Some(config.clone()), ..DetectConfig::default() },
        window: [1, 64, 64],
        weights_sha256: "a".repeat(64),
        scans: (0..healthy.len()).map(scan).collect(),
        left_out: Vec::new(),
        trained: vec!["h0".to_owned()],
        count,
        mean,
        maps,
        thresholds: None,
    }
}

/// The residual alone, and nothing is smoothed.
fn sharp() -> CalibrationConfig {
    let mut config = CalibrationConfig {
        variance_smoothing_mm: 0.0,
        smoothing_mm: 0.0,
        score_smoothing_mm: 0.0,
        erosion_mm: 0.0,
        ..CalibrationConfig::default()
    };
    for channel in
        [&mut config.intensity, &mut config.structure, &mut config.contrast, &mut config.corruption]
    {
        channel.weight = 0.0;
    }
    (config.residual.scale_mm, config.residual.deviation_floor) = (0.0, 0.1);
    config
}

fn close(got: &Array3<f32>, expected: &[f32], tolerance: f32) {
    for (place, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert!((got - expected).abs() < tolerance, "{place}: {got} is not {expected}");
    }
}

#[test]
fn darker_counts_fully_and_brighter_half_in_deviations_and_what_few_have_not_at_all() {
    let healthy = [
        Evidence::of_row(&[0.0, 0.1, 0.0, 0.0], &[0.5, 0.5, 0.5, 0.0]),
        Evidence::of_row(&[0.2, 0.1, 0.8, 0.0], &[0.5, 0.5, 0.5, 0.5]),
    ];
    let calibration = fitted(&sharp(), &healthy);
    let ill = Evidence::of_row(&[-0.3, 0.2, 0.4, 0.9], &[0.5; 4]);
    let found = calibration.scores(&ill, &sharp()).unwrap();
    // Means .1, .1, .4; deviations of two scans √.02, 0, √.32, each with .1 added; the last voxel is brain in one of two.
    let darker = 0.4 / (0.02f32.sqrt() + 0.1);
    close(&found.signed, &[-darker, 1.0, 0.0, 0.0], 1e-4);
    close(&found.score, &[darker, 0.5, 0.0, 0.0], 1e-4);
    assert_eq!(found.known.into_raw_vec_and_offset().0, [1, 1, 1, 0]);
    let mut whole = sharp();
    whole.residual.more = 1.0;
    close(&calibration.scores(&ill, &whole).unwrap().score, &[darker, 1.0, 0.0, 0.0], 1e-4);
}

#[test]
fn with_the_intensity_alone_it_is_an_atlas_and_weights_are_shares() {
    let healthy =
        [Evidence::of_row(&[0.0; 2], &[0.4, 0.5]), Evidence::of_row(&[0.2; 2], &[0.6, 0.5])];
    let ill = Evidence::of_row(&[0.3; 2], &[0.2, 0.5]);
    let mut config = sharp();
    config.intensity.weight = 3.0;
    (config.intensity.scale_mm, config.intensity.deviation_floor) = (0.0, 0.1);
    let calibration = fitted(&config, &healthy);
    let mut atlas = config.clone();
    atlas.residual.weight = 0.0;
    // The deviation of two scans and the floor.
    let deviation = 0.02f32.sqrt() + 0.1;
    let of_intensity = -0.3 / deviation;
    close(&calibration.scores(&ill, &atlas).unwrap().signed, &[of_intensity, 0.0], 1e-4);
    let of_residual = 0.2 / deviation;
    let both = [(of_residual + 3.0 * of_intensity) / 4.0, of_residual / 4.0];
    close(&calibration.scores(&ill, &config).unwrap().signed, &both, 1e-4);
}

#[test]
fn a_map_of_the_corruption_counts_where_it_is_more_than_healthy_and_has_no_sign() {
    let with = |corruption: [f32; 2]| Evidence {
        corruption: Some(Array3::from_shape_vec([1, 1, 2], corruption.to_vec()).unwrap()),
        ..Evidence::of_row(&[0.0; 2], &[0.5; 2])
    };
    let healthy = [with([0.1, 0.1]), with([0.3, 0.3])];
    let mut config = sharp();
    (config.corruption.weight, config.residual.weight) = (1.0, 0.0);
    (config.corruption.scale_mm, config.corruption.deviation_floor) = (0.0, 0.1);
    let calibration = fitted(&config, &healthy);
    let found = calibration.scores(&with([0.0, 0.6]), &config).unwrap();
    close(&found.score, &[0.0, 0.4 / (0.02f32.sqrt() + 0.1)], 1e-4);
    close(&found.signed, &[0.0, 0.0], 1e-9);
    // A model without that output cannot be scored by it alone.
    let without = fitted(&config, &[Evidence::of_row(&[0.0; 2], &[0.5; 2])]);
    let options = DetectOptions { window: [1, 64, 64], ..DetectOptions::default() };
    assert!(matches!(without.ensure_fits(&options, &config), Err(Error::Setting { .. })));
    calibration.ensure_fits(&options, &config).unwrap();
}

#[test]
fn restorations_of_another_kind_are_not_compared() {
    let calibration = fitted(&sharp(), &[Evidence::of_row(&[0.0; 2], &[0.5; 2])]);
    let options = DetectOptions { window: [1, 64, 64], ..DetectOptions::default() };
    calibration.ensure_fits(&options, &sharp()).unwrap();
    let other = |options: DetectOptions, config: CalibrationConfig| match calibration
        .ensure_fits(&options, &config)
    {
        Err(Error::OtherCalibration { field }) => field,
        other => panic!("{other:?}"),
    };
    let severities = vec![Severity::FULL];
    let with = DetectOptions { severities, ..options.clone() };
    assert_eq!(other(with, sharp()), "detect.severities");
    let with = DetectOptions { stride: [1, 8, 8], ..options.clone() };
    assert_eq!(other(with, sharp()), "detect.stride");
    let with = DetectOptions { whole_slices: true, ..options.clone() };
    assert_eq!(other(with, sharp()), "detect.whole_slices");
    let mut wider = sharp();
    wider.residual.scale_mm = 9.0;
    assert_eq!(other(options.clone(), wider), "scale_mm");
    // Weights and floors are those of the score alone.
    let mut otherwise = sharp();
    (otherwise.residual.more, otherwise.residual.deviation_floor) = (0.0, 1.0);
    calibration.ensure_fits(&options, &otherwise).unwrap();
}

#[derive(Deserialize)]
struct Golden {
    shape: [usize; 3],
    config: CalibrationConfig,
    healthy: Vec<GoldenScan>,
    ill: GoldenScan,
    score: Vec<f32>,
    signed: Vec<f32>,
}

#[derive(Deserialize)]
struct GoldenScan {
    mask: Vec<u8>,
    residual: Vec<f32>,
    intensity: Vec<f32>,
}

impl GoldenScan {
    fn evidence(self, shape: [usize; 3]) -> Evidence {
        let of = |values| Array3::from_shape_vec(shape, values).unwrap();
        Evidence {
            mask: Array3::from_shape_vec(shape, self.mask).unwrap(),
            residual: of(self.residual),
            intensity: of(self.intensity),
            corruption: None,
        }
    }
}

#[test]
fn scores_of_six_channels_agree_with_scipy() {
    let text = include_str!("../../tests/fixtures/calibration.json");
    let Golden { shape, config, healthy, ill, score, signed } = serde_json::from_str(text).unwrap();
    let healthy: Vec<Evidence> = healthy.into_iter().map(|scan| scan.evidence(shape)).collect();
    let ill = ill.evidence(shape);
    let found = fitted(&config, &healthy).scores(&ill, &config).unwrap();
    close(&found.score, &score, 1e-4);
    close(&found.signed, &signed, 1e-4);
    assert!(score.iter().any(|&value| value > 0.5), "the example has something to find");
    // The number of threads does not matter.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    let again = pool.install(|| fitted(&config, &healthy).scores(&ill, &config).unwrap());
    assert_eq!(found, again);
}

/// A calibration on the template's grid, of healthy scans that vary.
fn on_template() -> Calibration {
    let template = TemplateSpace::mni152().unwrap().template().volume.clone();
    let mask = template.data.mapv(|value| u8::from(value > 0.0));
    let healthy = [0.9f32, 1.0, 1.2].map(|gain| Evidence {
        mask: mask.clone(),
        residual: &template.data * (0.01 * gain * gain),
        intensity: &template.data * gain,
        corruption: None,
    });
    let mut config = CalibrationConfig::default();
    config.intensity.scale_mm = 2.0;
    fitted(&config, &healthy)
}

fn same(a: &Calibration, b: &Calibration) {
    assert_eq!((&a.detect, a.window, &a.scans), (&b.detect, b.window, &b.scans));
    assert_eq!((&a.left_out, &a.trained, &a.count), (&b.left_out, &b.trained, &b.count));
    assert_eq!(a.mean, b.mean);
    assert_eq!((a.weights_sha256(), a.channels()), (b.weights_sha256(), b.channels()));
    for (a, b) in a.maps.iter().zip(&b.maps) {
        assert_eq!((a.channel, a.scale_mm, &a.maps), (b.channel, b.scale_mm, &b.maps));
    }
}

#[test]
fn a_folder_is_read_to_the_bit_and_written_to_the_same_bytes_and_damage_is_found() {
    let calibration = on_template();
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    folders.iter().for_each(|folder| calibration.save(folder.path()).unwrap());
    let loaded = Calibration::load(folders[0].path()).unwrap();
    same(&calibration, &loaded);
    let mut files: Vec<_> = std::fs::read_dir(folders[0].path()).unwrap().flatten().collect();
    files.sort_by_key(std::fs::DirEntry::file_name);
    assert_eq!(files.len(), 3 + 2 * 10, "record, count, mean, and a pair for each channel");
    for file in files {
        let (path, name) = (file.path(), file.file_name());
        let whole = std::fs::read(&path).unwrap();
        assert_eq!(whole, std::fs::read(folders[1].path().join(&name)).unwrap());
        std::fs::remove_file(&path).unwrap();
        let missing = Calibration::load(folders[0].path()).unwrap_err();
        assert!(matches!(missing, Error::NotHealthyMaps { missing, .. } if *missing == *name));
        let mut damaged = whole.clone();
        *damaged.last_mut().unwrap() ^= 0x55;
        std::fs::write(&path, damaged).unwrap();
        let error = Calibration::load(folders[0].path()).unwrap_err();
        assert!(matches!(error, Error::DamagedMaps { .. } | Error::Config { .. }), "{error}");
        std::fs::write(&path, whole).unwrap();
    }
    let record = folders[0].path().join("calibration.json");
    let text = std::fs::read_to_string(&record).unwrap();
    std::fs::write(&record, text.replace("\"count\": 3,", "\"count\": 2,")).unwrap();
    let error = Calibration::load(folders[0].path()).unwrap_err();
    assert!(matches!(error, Error::MapsContradiction { .. }), "{error}");
}

#[test]
fn the_score_of_an_earlier_calibration_is_not_smoothed_and_other_json_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    on_template().save(folder.path()).unwrap();
    let record = folder.path().join("calibration.json");
    let text = std::fs::read_to_string(&record).unwrap();
    let smoothing_mm = || Calibration::load(folder.path()).unwrap().config().score_smoothing_mm;
    assert_eq!(smoothing_mm(), 10.0);
    let earlier = text.replace("\"score_smoothing_mm\": 10.0,", "");
    assert_ne!(earlier, text);
    std::fs::write(&record, earlier).unwrap();
    assert_eq!(smoothing_mm(), 0.0);
    for other in ["[]", "3", r#"{"detect": 5}"#] {
        std::fs::write(&record, other).unwrap();
        let error = Calibration::load(folder.path()).unwrap_err();
        assert!(matches!(error, Error::Config { .. }), "{other}: {error}");
    }
}

#[test]
fn half_of_a_score_is_smoothed_inside_the_brain() {
    let healthy = [0.0, 0.2].map(|residual| Evidence::of_row(&[residual; 3], &[0.5, 0.5, 0.0]));
    let calibration = fitted(&sharp(), &healthy);
    let ill = Evidence::of_row(&[-0.3, 0.1, 0.0], &[0.5, 0.5, 0.0]);
    let plain = calibration.scores(&ill, &sharp()).unwrap().score[[0, 0, 0]];
    let smooth = CalibrationConfig { score_smoothing_mm: 50.0, ..sharp() };
    let found = calibration.scores(&ill, &smooth).unwrap();
    // So wide that both voxels of the brain have the same mean.
    close(&found.score, &[0.75 * plain, 0.25 * plain, 0.0], 1e-3 * plain);
}

#[test]
fn a_calibration_of_other_weights_is_refused_and_a_model_without_one_has_none() {
    let calibration = on_template();
    let model = tempfile::tempdir().unwrap();
    let files = StoredFiles::of_folder(model.path());
    assert!(Calibration::find_in(&files, calibration.weights_sha256()).unwrap().is_none());
    calibration.save_in(model.path()).unwrap();
    let found = Calibration::find_in(&files, calibration.weights_sha256()).unwrap();
    same(&found.unwrap(), &calibration);
    let error = Calibration::find_in(&files, &"b".repeat(64)).unwrap_err();
    assert!(error.to_string().contains("disyre calibrate"), "{error}");
    assert!(matches!(error, Error::CalibrationOfOtherWeights { .. }));
}

#[test]
fn a_healthy_scan_is_compared_with_the_mean_of_the_others() {
    // Two scans that have nothing in common: of the mean of both, each is a half.
    let stripes = |phase: usize| -> Vec<f32> {
        (0..40).map(|x| 0.5 + 0.2 * (((x + phase) % 4) as f32 - 1.5)).collect()
    };
    let scans = [stripes(0), stripes(2)].map(|row| Evidence::of_row(&[0.0; 40], &row));
    let mut config = sharp();
    (config.structure.weight, config.structure.scale_mm) = (1.0, 0.0);
    let calibration = fitted(&config, &scans);
    let structure = calibration.maps.iter().find(|maps| maps.channel == Channel::Structure);
    let mean = structure.unwrap().maps.mean[[0, 0, 20]];
    assert!(
        (mean - 1.6).abs() < 0.1,
        "stripes half a period apart have a correlation of −0.6: {mean}"
    );
}

#[test]
fn variances_of_few_scans_are_pooled_by_their_degrees_of_freedom() {
    let variance = row(&[1.0f64, 4.0, 0.0, 0.0]);
    let count = row(&[2u32, 3, 1, 0]);
    let alone = super::fit::pooled_deviation(&variance, &count, 0.0).unwrap();
    // Squares 2 over 1, 12 over 2; of a single scan nothing is known.
    close(&alone, &[2f32.sqrt(), 6f32.sqrt(), 0.0, 0.0], 1e-6);
    let wide = super::fit::pooled_deviation(&variance, &count, 100.0).unwrap();
    close(&wide, &[(14f32 / 3.0).sqrt(), (14f32 / 3.0).sqrt(), (14f32 / 3.0).sqrt(), 0.0], 1e-2);
}

fn row<T: Clone>(values: &[T]) -> Array3<T> {
    Array3::from_shape_vec([1, 1, values.len()], values.to_vec()).unwrap()
}
