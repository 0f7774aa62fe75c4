//! A model calibrated on healthy scans, from files to maps: lesions, threads, and what stands in for the score.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::path::{Path, PathBuf};

use disyre::core::ndarray::{Array3, Zip};
use disyre::core::{Grid, Key, Volume};
use disyre::phantom::PhantomConfig;
use disyre::volume::write_volume;
use disyre::{
    Calibration, CalibrationConfig, CalibrationRequest, Cohort, DetectOptions, DetectRequest,
    Error, LoadOptions, Model, PrepareConfig, RunConfig, Scan, ScoreKind, SkullPolicy, Subject,
    TemplateSpace, ThresholdConfig, ThresholdRequest, Thresholds, Training,
};
use tempfile::TempDir;

/// A folder with `model`, hardly trained, and the template three times as healthy scans.
fn world() -> (TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = RunConfig::cpu_2mm();
    config.prepare = PrepareConfig { spacing_mm: 4.0, ..PrepareConfig::default() };
    (config.pairs.patch, config.dag.window) = ([1, 16, 16], [1, 8, 8]);
    (config.network.channels, config.network.groups) = (vec![8, 16], 4);
    (config.train.steps, config.train.batch, config.train.warmup_steps) = (2, 2, 1);
    config.train.validation_pairs = 2;
    config.detect.stride = [1, 8, 8];
    let phantoms = PhantomConfig { shape: [10, 24, 20], spacing_mm: 8.0, ..Default::default() };
    let subject = |index: u64| {
        let phantom = phantoms.healthy(Key::new(index)).volume;
        let prepared = config.prepare.build().unwrap().prepare(&phantom, None).unwrap();
        Subject::new(if index == 0 { "h0".to_owned() } else { format!("p{index}") }, prepared)
    };
    let cohort = Cohort {
        training: vec![subject(0), subject(1)],
        validation: vec![subject(2)],
        reference: None,
    };
    disyre::train(&Training::new(&cohort, &config, &folder.path().join("model")), &mut |_| ())
        .unwrap();
    let template = TemplateSpace::mni152().unwrap().template().volume.clone();
    let healthy = (0..3).map(|index| {
        let path = folder.path().join(format!("h{index}.nii.gz"));
        let wave = |(z, y, x): (usize, usize, usize)| {
            1.0 + 0.1 * ((z + 2 * y + 3 * x + 9 * index) as f32 / 7.0).sin()
        };
        let mut scan = template.clone();
        scan.data.indexed_iter_mut().for_each(|(at, value)| *value *= wave(at));
        write_volume(&path, &scan).unwrap();
        path
    });
    let healthy = healthy.collect();
    (folder, healthy)
}

fn options(model: &Model) -> DetectOptions {
    let calibrated = Some(CalibrationConfig { erosion_mm: 2.0, ..CalibrationConfig::default() });
    DetectOptions { whole_slices: true, calibrated, ..model.detect_options() }
}

fn fit(model: &Model, healthy: &[PathBuf]) -> Result<Calibration, Error> {
    let (options, skull) = (options(model), SkullPolicy::Ignore);
    Calibration::fit(model, &CalibrationRequest { healthy, options, skull }, &mut |_| ())
}

/// A healthy scan with a dark ball, moved in its world, and the ball.
fn ill(path: &Path, healthy: &Path) -> Array3<u8> {
    let mut scan = Scan::read(healthy).unwrap().volume;
    let ball = Array3::from_shape_fn(scan.data.dim(), |(z, y, x)| {
        let squares = [z.abs_diff(45), y.abs_diff(60), x.abs_diff(30)].map(|d| d * d);
        u8::from(squares.iter().sum::<usize>() < 40)
    });
    Zip::from(&mut scan.data).and(&ball).for_each(|value, &inside| {
        if inside != 0 {
            *value *= 0.4;
        }
    });
    scan.grid.affine[1][3] += 7.0;
    write_volume(path, &scan).unwrap();
    ball
}

/// Contents of the files of a folder, by name.
fn bytes(folder: &TempDir) -> Vec<Vec<u8>> {
    let mut files: Vec<_> = folder.path().read_dir().unwrap().flatten().collect();
    files.sort_by_key(std::fs::DirEntry::file_name);
    files.iter().map(|file| std::fs::read(file.path()).unwrap()).collect()
}

#[test]
fn a_calibrated_model_finds_a_lesion_that_its_network_leaves_alone() {
    let (folder, healthy) = world();
    let path = folder.path().join("model");
    let model = Model::load(&path).unwrap();
    let calibration = fit(&model, &healthy).unwrap();
    assert_eq!((calibration.scans().len(), calibration.trained()), (3, &["h0".to_owned()][..]));
    // Neither the number of threads nor the batch counts.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    let again = pool.install(|| fit(&model, &healthy).unwrap());
    let folders = [&calibration, &again].map(|calibration| {
        let folder = tempfile::tempdir().unwrap();
        calibration.save(folder.path()).unwrap();
        folder
    });
    assert_eq!(bytes(&folders[0]), bytes(&folders[1]));
    calibration.save_in(&path).unwrap();
    let model = Model::load(&path).unwrap();
    assert!(model.detect_options().calibrated.is_some() && model.detect_options().whole_slices);
    let scan = folder.path().join("ill.nii.gz");
    let ball = ill(&scan, &healthy[1]);
    let scan = Scan::read(&scan).unwrap();
    let options = DetectOptions { uncertainty: true, ..model.detect_options() };
    let request = DetectRequest {
        options: Some(options),
        skull: SkullPolicy::Ignore,
        ..DetectRequest::default()
    };
    let found = model.detect_with(&scan, &request, &mut |_, _| ()).unwrap();
    let detection = &found.detection;
    assert_eq!(detection.kind, ScoreKind::Calibrated);
    let mean = |map: &Array3<f32>, lesion: u8| {
        let voxels = map.iter().zip(&ball).zip(&scan.volume.data);
        let of = voxels.filter(|((_, inside), value)| **inside == lesion && **value > 0.0);
        let values: Vec<f32> = of.map(|((score, _), _)| *score).collect();
        values.iter().sum::<f32>() / values.len() as f32
    };
    let (inside, outside) = (mean(&detection.score, 1), mean(&detection.score, 0));
    assert!(inside > 5.0 * outside, "{inside} in the lesion, {outside} elsewhere");
    let signed = detection.signed.as_ref().unwrap();
    assert!(mean(signed, 1) < -1.0, "the lesion is dark");
    assert!(detection.uncertainty.as_ref().unwrap().iter().all(|value| value.is_finite()));
    let saved = found.save(folder.path().join("out")).unwrap();
    assert!(saved.files.signed.is_some() && saved.files.paths().all(Path::is_file));
    let sidecar = std::fs::read_to_string(&saved.files.sidecar).unwrap();
    assert!(sidecar.contains("\"score\": \"calibrated\""), "{sidecar}");
    // The published score into the same folder leaves no signed map of the other.
    let published = model.folder().detect_options();
    let request = DetectRequest { options: Some(published), ..request };
    let found = model.detect_with(&scan, &request, &mut |_, _| ()).unwrap();
    assert_eq!((found.detection.kind, &found.detection.signed), (ScoreKind::Published, &None));
    let signed = saved.files.signed.unwrap();
    found.save(folder.path().join("out")).unwrap();
    assert!(!signed.exists());
    // Other severities than those of the calibration cannot be compared.
    let mut options = model.detect_options();
    options.severities.pop();
    assert!(matches!(model.detector(options), Err(Error::OtherCalibration { .. })));
}

#[test]
fn a_scan_counts_once_and_only_new_ones_set_thresholds() {
    let (folder, healthy) = world();
    let model = Model::load(folder.path().join("model")).unwrap();
    let copy = folder.path().join("copy.nii.gz");
    std::fs::copy(&healthy[1], &copy).unwrap();
    let names = |error: Error| match error {
        Error::SameScan { first, second } => [first, second],
        other => panic!("{other}"),
    };
    let twice = fit(&model, &[healthy[1].clone(), copy.clone()]).unwrap_err();
    assert_eq!(names(twice), ["h1", "copy"]);
    let calibration = fit(&model, &healthy[1..]).unwrap();
    let thresholds = |scan: &PathBuf| {
        let scans = std::slice::from_ref(scan);
        let (config, skull) = (ThresholdConfig::default(), SkullPolicy::Ignore);
        let request = ThresholdRequest { scans, config, skull };
        match Thresholds::fit(&model, &calibration, &request, &mut |_| ()).unwrap_err() {
            Error::Case { source, .. } => *source,
            other => panic!("{other}"),
        }
    };
    assert_eq!(names(thresholds(&copy)), ["h1", "copy"]);
    let trained = thresholds(&healthy[0]);
    assert!(matches!(trained, Error::TrainedScan { name } if name == "h0"));
}

#[test]
fn without_a_calibration_or_a_good_registration_the_score_is_the_published_one() {
    let (folder, healthy) = world();
    let model = Model::load(folder.path().join("model")).unwrap();
    let block = Array3::from_shape_fn([40; 3], |(z, y, x)| 1.0 + (z + y + x) as f32 * 0.01);
    let foot = Volume::new(block, Grid::from_spacing([40; 3], [3.0; 3])).unwrap();
    let path = folder.path().join("foot.nii.gz");
    write_volume(&path, &foot).unwrap();
    let detect = |model: &Model, options: DetectOptions| {
        let skull = SkullPolicy::Ignore;
        let request = DetectRequest { options: Some(options), skull, ..DetectRequest::default() };
        model.detect_with(&Scan::read(&path).unwrap(), &request, &mut |_, _| ()).unwrap().detection
    };
    let published = DetectOptions { calibrated: None, ..options(&model) };
    let expected = detect(&model, published);
    let found = detect(&model, options(&model));
    assert_eq!((found.kind, &found.score), (ScoreKind::PublishedUncalibrated, &expected.score));
    let calibration = fit(&model, &[&healthy[..2], std::slice::from_ref(&path)].concat()).unwrap();
    assert_eq!((calibration.scans().len(), calibration.left_out().len()), (2, 1));
    let few = fit(&model, &[healthy[0].clone(), path.clone()]).unwrap_err();
    assert!(few.to_string().contains("foot"), "{few}");
    calibration.save_in(&folder.path().join("model")).unwrap();
    let model = model.with_calibration(Some(calibration)).unwrap();
    let found = detect(&model, options(&model));
    assert_eq!(found.kind, ScoreKind::PublishedDoubtfulRegistration);
    assert_eq!(found.score, expected.score);
    // Training that goes on changes the weights.
    let weights = |name: &str| folder.path().join("model").join(name);
    std::fs::copy(weights("model.safetensors"), weights("ema.safetensors")).unwrap();
    let stale = Model::load(folder.path().join("model")).unwrap_err();
    assert!(matches!(stale, Error::CalibrationOfOtherWeights { .. }), "{stale}");
    let options = LoadOptions { uncalibrated: true, ..LoadOptions::default() };
    assert!(
        Model::load_with(folder.path().join("model"), &options).unwrap().calibration().is_none()
    );
}
