//! The steps of preparation together: shading, turned scans, cohorts, threads, and what is kept of them.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::fs;
use std::path::Path;

use disyre::core::ndarray::{Array3, ArrayView5, ArrayViewMut5, Axis, Zip};
use disyre::core::rand::RngExt;
use disyre::core::{Affine, Grid, Key, RestoreError, Restorer, Severity, Volume};
use disyre::n4::N4Config;
use disyre::phantom::PhantomConfig;
use disyre::score::RankedScores;
use disyre::volume::affine::compose;
use disyre::volume::{
    IntensityScaling, Interpolation, find_scans, obliquity_degrees, resample_mask,
    resample_to_grid, write_volume,
};
use disyre::{
    AtlasConfig, AtlasDetector, BiasCorrection, Cohort, DetectOptions, Detector, Error, Family,
    ModelFolder, ObliqueAxes, Preparation, PrepareConfig, PreparedScans, Recipe, RunConfig,
    Synthesiser, TemplateSpace, Training, WorkingAxes,
};

/// Restores each voxel as the mean of its row within the window: what it finds depends on the axes.
struct RowMean;

impl Restorer for RowMean {
    fn restore(
        &self,
        batch: ArrayView5<'_, f32>,
        _: &[Severity],
        mut out: ArrayViewMut5<'_, f32>,
    ) -> Result<(), RestoreError> {
        let mean = batch.mean_axis(Axis(4)).unwrap().insert_axis(Axis(4));
        out.assign(&mean.broadcast(batch.dim()).unwrap());
        Ok(())
    }
}

/// Restores everything as it is.
struct Identity;

impl Restorer for Identity {
    fn restore(
        &self,
        batch: ArrayView5<'_, f32>,
        _: &[Severity],
        mut out: ArrayViewMut5<'_, f32>,
    ) -> Result<(), RestoreError> {
        out.assign(&batch);
        Ok(())
    }
}

/// A rotation by some degrees about x, then about z, through the origin of the world.
fn turn(degrees: f64) -> Affine {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let about_x = [[1.0, 0.0, 0.0, 0.0], [0.0, cos, -sin, 0.0], [0.0, sin, cos, 0.0], LAST];
    let about_z = [[cos, -sin, 0.0, 0.0], [sin, cos, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], LAST];
    compose(&about_z, &about_x)
}

const LAST: [f64; 4] = [0.0, 0.0, 0.0, 1.0];

/// The template with a dark lesion.
fn ill_template() -> Volume {
    let mut scan = TemplateSpace::mni152().unwrap().template().volume.clone();
    let (z, y, x) = (45, 60, 30);
    scan.data.indexed_iter_mut().for_each(|(at, value)| {
        let squared = at.0.abs_diff(z).pow(2) + at.1.abs_diff(y).pow(2) + at.2.abs_diff(x).pow(2);
        if squared < 30 {
            *value *= 0.4;
        }
    });
    scan
}

/// The same head turned in the scanner, whose axes stay.
fn turned(scan: &Volume, degrees: f64) -> Volume {
    let seen = Grid { affine: compose(&turn(degrees), &scan.grid.affine), ..scan.grid };
    let brain = scan.data.mapv(|value| u8::from(value != 0.0));
    let brain = resample_mask(brain.view(), &scan.grid, &seen).unwrap();
    let data = resample_to_grid(scan, &seen, Interpolation::Linear).unwrap().data;
    let inside = |&value: &f32, &inside: &u8| if inside == 0 { 0.0 } else { value.max(1.0) };
    let data = Zip::from(&data).and(&brain).map_collect(inside);
    Volume::new(data, scan.grid).unwrap()
}

fn row_map(scan: &Volume, orientation: WorkingAxes) -> Array3<f32> {
    let config = PrepareConfig { orientation, spacing_mm: 2.0, ..PrepareConfig::default() };
    let options = DetectOptions {
        window: [1, 32, 32],
        stride: [1, 16, 16],
        severities: vec![Severity::CLEAN],
        ..DetectOptions::default()
    };
    let detector = Detector::new(&RowMean, config.build().unwrap(), options).unwrap();
    let found = detector.detect(scan, None, &mut |_, _| ()).unwrap();
    let registration = found.prepared.registration;
    assert!(registration.is_none_or(|registration| registration.verdict.is_good()));
    found.score
}

fn correlation(a: &Array3<f32>, b: &Array3<f32>, inside: &Array3<u8>) -> f64 {
    let pairs = a.iter().zip(b).zip(inside).filter(|(_, inside)| **inside != 0);
    let pairs: Vec<[f64; 2]> = pairs.map(|((&a, &b), _)| [f64::from(a), f64::from(b)]).collect();
    let mean = [0, 1].map(|k| pairs.iter().map(|p| p[k]).sum::<f64>() / pairs.len() as f64);
    let moment = |i: usize, j: usize| -> f64 {
        pairs.iter().map(|p| (p[i] - mean[i]) * (p[j] - mean[j])).sum()
    };
    moment(0, 1) / (moment(0, 0) * moment(1, 1)).sqrt()
}

#[test]
fn on_axes_of_the_template_the_map_of_a_turned_scan_is_that_of_the_straight_one() {
    let straight = ill_template();
    let scan = turned(&straight, 20.0);
    let seen = Grid { affine: compose(&turn(20.0), &straight.grid.affine), ..straight.grid };
    let brain = straight.data.mapv(|value| u8::from(value != 0.0));
    let agreement = [WorkingAxes::Scan, WorkingAxes::Template].map(|orientation| {
        let expected = row_map(&straight, orientation);
        let got = Volume { data: row_map(&scan, orientation), grid: seen };
        let back = resample_to_grid(&got, &straight.grid, Interpolation::Linear).unwrap();
        correlation(&expected, &back.data, &brain)
    });
    println!("{agreement:?}");
    assert!(agreement[1] > 0.85 && agreement[0] < 0.7, "{agreement:?}");
}

/// The grid of a scan, turned with what lies on it.
fn turned_grid(scan: &Volume, degrees: f64) -> Grid {
    Grid { affine: compose(&turn(degrees), &scan.grid.affine), ..scan.grid }
}

fn axes_of(scan: &Volume) -> (Volume, Option<ObliqueAxes>) {
    let config = PrepareConfig { spacing_mm: 2.0, ..PrepareConfig::default() };
    let prepared = config.build().unwrap().prepare(scan, None).unwrap();
    (prepared.volume, prepared.oblique.map(|oblique| oblique.axes))
}

#[test]
fn on_oblique_voxels_the_map_of_a_straight_head_is_that_on_straight_voxels() {
    let straight = ill_template();
    let grid = turned_grid(&straight, 20.0);
    let oblique = Volume { data: turned(&straight, 20.0).data, grid };
    let (prepared, axes) = axes_of(&oblique);
    assert_eq!(axes, Some(ObliqueAxes::World));
    assert!(obliquity_degrees(&prepared.grid.affine) < 1e-5);
    let brain = straight.data.mapv(|value| u8::from(value != 0.0));
    let expected = row_map(&straight, WorkingAxes::Scan);
    let got = Volume { data: row_map(&oblique, WorkingAxes::Scan), grid };
    let back = resample_to_grid(&got, &straight.grid, Interpolation::Linear).unwrap();
    let agreement = correlation(&expected, &back.data, &brain);
    println!("{agreement}");
    assert!(agreement > 0.85, "{agreement}");
}

#[test]
fn a_head_that_lies_straight_on_its_oblique_voxels_keeps_them() {
    let straight = ill_template();
    let tilted = Volume { grid: turned_grid(&straight, 20.0), ..straight.clone() };
    let (on_straight, none) = axes_of(&straight);
    let (prepared, axes) = axes_of(&tilted);
    assert_eq!((none, axes), (None, Some(ObliqueAxes::Scan)));
    assert_eq!(prepared.data, on_straight.data);
}

#[test]
fn oblique_voxels_are_kept_where_the_registration_is_doubtful() {
    let mut noise = Volume::zeros(Grid::from_spacing([40, 40, 40], [3.0; 3]));
    let mut rng = Key::new(3).rng();
    noise.data.mapv_inplace(|_| 1.0 + rng.random::<f32>());
    noise.grid = turned_grid(&noise, 15.0);
    assert_eq!(axes_of(&noise).1, Some(ObliqueAxes::ScanUnregistered));
}

#[test]
fn a_scan_that_is_no_brain_keeps_its_axes_and_says_so() {
    let mut noise = Volume::zeros(Grid::from_spacing([40, 40, 40], [3.0; 3]));
    let mut rng = Key::new(3).rng();
    noise.data.mapv_inplace(|_| 1.0 + rng.random::<f32>());
    let config = PrepareConfig { spacing_mm: 3.0, ..PrepareConfig::default() };
    let template = PrepareConfig { orientation: WorkingAxes::Template, ..config.clone() };
    let plain = config.build().unwrap().prepare(&noise, None).unwrap();
    let asked = template.build().unwrap().prepare(&noise, None).unwrap();
    assert!(!asked.registration.unwrap().verdict.is_good());
    assert_eq!((asked.volume.grid, asked.volume.data), (plain.volume.grid, plain.volume.data));
}

/// A scan whose right side is half as bright again as its left.
fn shaded(scan: &Volume) -> Volume {
    let width = scan.grid.shape[2] as f32;
    let shade = |x: usize| 0.8 + 0.4 * x as f32 / width;
    let data = Array3::from_shape_fn(scan.grid.shape, |at| scan.data[at] * shade(at.2));
    Volume::new(data, scan.grid).unwrap()
}

fn n4() -> BiasCorrection {
    BiasCorrection::N4(N4Config { iterations: vec![50; 2], ..N4Config::default() })
}

#[test]
fn the_field_is_taken_out_of_what_the_network_sees_and_put_back_into_the_restoration() {
    let scan = TemplateSpace::mni152().unwrap().template().volume.clone();
    let dark = shaded(&scan);
    let difference = |bias: BiasCorrection| {
        let scaling = IntensityScaling::Brain { upper: 1.0 };
        let config = PrepareConfig { bias, scaling, spacing_mm: 2.0, ..PrepareConfig::default() };
        let preparation = config.build().unwrap();
        let [plain, shaded] = [&scan, &dark].map(|scan| preparation.prepare(scan, None).unwrap());
        1.0 - correlation(&plain.volume.data, &shaded.volume.data, &plain.mask)
    };
    let (none, corrected) = (difference(BiasCorrection::None), difference(n4()));
    assert!(corrected < none / 10.0, "{corrected} of {none}");

    let scaling = IntensityScaling::Brain { upper: 1.0 };
    let config = PrepareConfig { bias: n4(), scaling, spacing_mm: 2.0, ..PrepareConfig::default() };
    let options = DetectOptions { severities: vec![Severity::CLEAN], ..DetectOptions::default() };
    let detector = Detector::new(&Identity, config.build().unwrap(), options).unwrap();
    let found = detector.detect(&dark, None, &mut |_, _| ()).unwrap();
    let field = found.prepared.field.as_ref().unwrap();
    let mut flat = dark.data.clone();
    field.divide(&mut flat);
    assert!(1.0 - correlation(&flat, &scan.data, &scan.data.mapv(|v| u8::from(v != 0.0))) < 0.01);
    for (got, expected) in found.restored.iter().zip(&dark.data) {
        assert!((got - expected).abs() < 1e-3 * expected.max(1.0), "{got} is not {expected}");
    }
}

#[test]
fn a_preparation_gives_the_same_bytes_on_any_number_of_threads() {
    let scan = shaded(&ill_template());
    let config = PrepareConfig {
        bias: n4(),
        orientation: WorkingAxes::Template,
        spacing_mm: 2.0,
        scaling: IntensityScaling::landmarks(),
        ..PrepareConfig::default()
    };
    let prepare = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let fitted = Preparation::fit_to(&config, &[scan.clone(), ill_template()]).unwrap();
            fitted.prepare(&scan, None).unwrap()
        })
    };
    let one = prepare(1);
    for threads in [2, 5] {
        let other = prepare(threads);
        assert_eq!(other.volume.grid, one.volume.grid);
        assert_eq!(other.volume.data, one.volume.data);
        assert_eq!(other.field, one.field);
    }
}

#[test]
fn settings_from_before_there_were_steps_prepare_as_before() {
    let older = "spacing_mm = 2.0\n\n[scaling.brain]\nupper = 0.98\n";
    let config: PrepareConfig = toml::from_str(older).unwrap();
    let expected = PrepareConfig { spacing_mm: 2.0, ..PrepareConfig::default() };
    assert_eq!(config, expected);
    assert_eq!((config.bias, config.orientation), (BiasCorrection::None, WorkingAxes::Scan));
    let newer =
        "bias = \"none\"\norientation = \"template\"\nspacing_mm = 2.0\n[scaling.landmarks]\n";
    let config: PrepareConfig = toml::from_str(newer).unwrap();
    assert_eq!(config.scaling, IntensityScaling::landmarks());
    assert!(toml::from_str::<PrepareConfig>(&newer.replace("none", "nine")).is_err());
}

const PHANTOMS: PhantomConfig =
    PhantomConfig { shape: [10, 24, 20], spacing_mm: 8.0, noise: 0.02, bias_field: 0.1 };

fn scans(count: u64) -> Vec<(String, Volume)> {
    (0..count).map(|i| (format!("h{i}"), PHANTOMS.healthy(Key::new(i)).volume)).collect()
}

/// A tiny run whose intensities are scaled by its cohort.
fn cohort_config() -> RunConfig {
    let mut config = RunConfig::cpu_2mm();
    config.prepare = PrepareConfig {
        bias: n4(),
        spacing_mm: 8.0,
        scaling: IntensityScaling::quantile_map(),
        ..PrepareConfig::default()
    };
    (config.pairs.patch, config.dag.window) = ([1, 16, 16], [1, 8, 8]);
    (config.network.channels, config.network.groups) = (vec![8, 16], 4);
    (config.train.steps, config.train.batch, config.train.warmup_steps) = (2, 2, 1);
    config.train.validation_pairs = 2;
    config.detect.stride = [1, 8, 8];
    config
}

#[test]
fn a_model_keeps_what_was_fitted_to_the_subjects_that_train() {
    let config = cohort_config();
    let all = scans(4);
    let cohort = Cohort::prepare(&all, &config, Key::new(0)).unwrap();
    let reference = cohort.reference.clone().unwrap();
    assert_eq!((cohort.training.len(), reference.scans()), (3, 3));

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    let unfitted = Cohort { reference: None, ..cohort.clone() };
    let refused = disyre::train(&Training::new(&unfitted, &config, &path), &mut |_| ());
    assert!(matches!(refused, Err(Error::Volume(_))), "{refused:?}");
    disyre::train(&Training::new(&cohort, &config, &path), &mut |_| ()).unwrap();
    let model = ModelFolder::open(&path).unwrap();
    assert_eq!(model.preparation().reference(), Some(&reference));
    // A subject looks the same to the model as it did in training.
    let subject = &cohort.training[0];
    let scan = &all.iter().find(|(name, _)| *name == subject.name).unwrap().1;
    let again = model.preparation().prepare(scan, None).unwrap();
    assert_eq!(again.volume.data, subject.image.index_axis(Axis(0), 0));

    let file = path.join("preparation.json");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replacen("\"quantiles\": 128", "\"quantiles\": 64", 1)).unwrap();
    let damaged = ModelFolder::open(&path).unwrap_err();
    assert!(damaged.to_string().contains("preparation.json"), "{damaged}");
    fs::write(&file, text.replacen("\"spacing_mm\": 8.0", "\"spacing_mm\": 7.0", 1)).unwrap();
    assert!(matches!(ModelFolder::open(&path), Err(Error::Preparation { .. })));
    fs::write(&file, text.replacen("\"levels\": [", "\"levels\": [ 7.0,", 1)).unwrap();
    let damaged = ModelFolder::open(&path).unwrap_err();
    assert!(matches!(&damaged, Error::Config { path, .. } if *path == file), "{damaged}");
    fs::write(&file, &text).unwrap();
    continues_with_the_same_reference_alone(&config, &path);
    fs::remove_file(&file).unwrap();
    let error = ModelFolder::open(&path).unwrap_err();
    assert!(matches!(error, Error::NotAModel { missing: "preparation.json", .. }), "{error}");
}

fn continues_with_the_same_reference_alone(config: &RunConfig, model: &Path) {
    let mut all = scans(4);
    let resume = |all: &[(String, Volume)]| {
        let cohort = Cohort::prepare(all, config, Key::new(0)).unwrap();
        let training = Training::new(&cohort, config, model);
        disyre::train(&Training { resume: true, ..training }, &mut |_| ())
    };
    resume(&all).unwrap();
    all.iter_mut().for_each(|(_, scan)| scan.data.mapv_inplace(|value| value * value));
    let error = resume(&all).unwrap_err();
    assert!(matches!(&error, Error::Resume { path, .. } if path.ends_with("preparation.json")));
}

#[test]
fn a_scan_of_a_cohort_without_contrast_is_named() {
    let mut config = cohort_config();
    config.prepare.bias = BiasCorrection::None;
    config.prepare.scaling = IntensityScaling::landmarks();
    let mut all = scans(4);
    for (_, scan) in &mut all[1..] {
        scan.data.mapv_inplace(|value| if value > 0.0 { 5.0 } else { 0.0 });
    }
    let error = Cohort::prepare(&all, &config, Key::new(0)).unwrap_err();
    assert!(matches!(&error, Error::Case { case, .. } if case.starts_with('h')), "{error}");
}

#[test]
fn scans_with_next_to_nothing_in_them_are_refused_and_do_not_end_the_program() {
    let one = |shape: [usize; 3], spacing_mm: f64, value: f32| {
        let mut data = Array3::zeros(shape);
        data[shape.map(|size| size / 2)] = value;
        Volume::new(data, Grid::from_spacing(shape, [spacing_mm; 3])).unwrap()
    };
    let flat = Volume::new(Array3::ones([1, 40, 40]), Grid::from_spacing([1, 40, 40], [2.0; 3]));
    let odd =
        [one([1; 3], 2.0, 3.0), one([9, 8, 7], 2.0, 3.0), one([40; 3], 1.0, 3.0), flat.unwrap()];
    let scalings = [
        IntensityScaling::default(),
        IntensityScaling::white_matter_peak(),
        IntensityScaling::landmarks(),
        IntensityScaling::quantile_map(),
    ];
    let other = PHANTOMS.healthy(Key::new(0)).volume;
    let steps = scalings.into_iter().flat_map(|scaling| {
        let biases = [BiasCorrection::None, BiasCorrection::n4()];
        biases.into_iter().flat_map(move |bias| {
            let axes = [WorkingAxes::Scan, WorkingAxes::Template];
            axes.map(|orientation| (scaling, bias.clone(), orientation))
        })
    });
    for (scaling, bias, orientation) in steps {
        let plain = PrepareConfig { spacing_mm: 2.0, scaling, ..PrepareConfig::default() };
        let reference = Preparation::fit_to(&plain, std::slice::from_ref(&other)).unwrap();
        let config = PrepareConfig { bias, orientation, ..plain };
        let preparation = config.with_reference(reference.reference().cloned()).unwrap();
        for scan in &odd {
            // Some have a scaling; what counts is that nothing panics and that what is prepared is in range.
            if let Ok(prepared) = preparation.prepare(scan, None) {
                let values = prepared.volume.data.iter();
                assert!(values.copied().all(|value| (0.0..=1.0).contains(&value)), "{config:?}");
            }
        }
    }
}

#[test]
fn a_cohort_read_from_files_is_prepared_as_one_in_memory() {
    let config = cohort_config();
    let folder = tempfile::tempdir().unwrap();
    for (name, scan) in scans(4) {
        write_volume(&folder.path().join(name + ".nii"), &scan).unwrap();
    }
    let read = Cohort::load(folder.path(), &config, Key::new(0)).unwrap();
    let made = Cohort::prepare(&scans(4), &config, Key::new(0)).unwrap();
    assert_eq!(read.reference, made.reference);
    for (read, made) in read.training.iter().zip(&made.training) {
        assert_eq!((&read.name, &read.image), (&made.name, &made.image));
    }
}

#[test]
fn a_recipe_holds_the_reference_and_gives_the_sample_again() {
    let mut config = cohort_config();
    config.family = Family::Fpi;
    let folder = tempfile::tempdir().unwrap();
    for (name, scan) in scans(3) {
        write_volume(&folder.path().join(name + ".nii"), &scan).unwrap();
    }
    let paths = find_scans(folder.path()).unwrap();
    let scans = PreparedScans::read(&paths, &config).unwrap();
    let sample = Synthesiser::new(scans, &config, None, Key::new(3)).unwrap().sample(1).unwrap();
    assert!(sample.recipe.reference.is_some());
    let text = serde_json::to_string(&sample.recipe).unwrap();
    let recipe: Recipe = serde_json::from_str(&text).unwrap();
    assert_eq!(recipe.replay(folder.path()).unwrap().corrupted.data, sample.corrupted.data);
}

#[test]
fn an_atlas_of_healthy_scans_finds_a_lesion_where_it_lies_in_a_turned_scan() {
    let folder = tempfile::tempdir().unwrap();
    let healthy = TemplateSpace::mni152().unwrap().template().volume.clone();
    for gain in [1.0, 2.0, 5.0] {
        let scan = Volume { data: &healthy.data * gain, grid: healthy.grid };
        write_volume(&folder.path().join(format!("h{gain}.nii")), &scan).unwrap();
    }
    let paths = find_scans(folder.path()).unwrap();
    let config = PrepareConfig { scaling: IntensityScaling::landmarks(), ..Default::default() };
    let detector =
        AtlasDetector::fit(&paths, Preparation::unfitted(&config).unwrap(), AtlasConfig::default())
            .unwrap();
    assert_eq!(detector.atlas().scans(), 3);
    let detector = saved_and_loaded(&detector);
    // 4.1 litres: no brain is that large.
    let head = Volume::new(Array3::ones([40; 3]), Grid::from_spacing([40; 3], [4.0; 3])).unwrap();
    assert!(matches!(detector.detect(&head, None), Err(Error::Head { .. })));
    let straight = ill_template();
    let lesion = Zip::from(&straight.data).and(&healthy.data).map_collect(|a, b| u8::from(a != b));
    let seen = Grid { affine: compose(&turn(12.0), &straight.grid.affine), ..straight.grid };
    let lesion = resample_mask(lesion.view(), &straight.grid, &seen).unwrap();
    let found = detector.detect(&turned(&straight, 12.0), None).unwrap();
    assert!(found.registration.verdict.is_good());
    assert_eq!(found.absolute.dim(), straight.data.dim());
    let voxels = found.absolute.iter().zip(&lesion).filter(|(score, _)| **score > 0.0);
    let (scores, labels): (Vec<f32>, Vec<u8>) = voxels.map(|(s, l)| (*s, *l)).unzip();
    let precision = RankedScores::new(&scores, &labels).unwrap().average_precision().unwrap();
    println!("{precision}");
    assert!(precision > 0.7, "{precision}");
    let inside = found.signed.iter().zip(&lesion).filter(|(_, lesion)| **lesion != 0);
    assert!(inside.map(|(z, _)| z).sum::<f32>() < 0.0, "the lesion is dark");
}

/// The detector as its folder holds it; damage to any file of the folder is found.
fn saved_and_loaded(detector: &AtlasDetector) -> AtlasDetector {
    let folder = tempfile::tempdir().unwrap();
    detector.save(folder.path()).unwrap();
    let loaded = AtlasDetector::load(folder.path()).unwrap();
    assert_eq!(loaded.atlas(), detector.atlas());
    assert_eq!(loaded.scans(), detector.scans());
    assert_eq!(loaded.preparation().reference(), detector.preparation().reference());
    for file in ["mean.nii.gz", "deviation.nii.gz", "count.nii.gz", "preparation.json"] {
        let path = folder.path().join(file);
        let whole = std::fs::read(&path).unwrap();
        let mut damaged = whole.clone();
        *damaged.last_mut().unwrap() ^= 1;
        std::fs::write(&path, damaged).unwrap();
        let error = AtlasDetector::load(folder.path()).unwrap_err();
        assert!(matches!(&error, Error::DamagedMaps { path: named, .. } if *named == path));
        std::fs::remove_file(&path).unwrap();
        let error = AtlasDetector::load(folder.path()).unwrap_err();
        assert!(matches!(error, Error::NotHealthyMaps { missing, .. } if missing == file));
        std::fs::write(&path, whole).unwrap();
    }
    let record = folder.path().join("atlas.json");
    let text = std::fs::read_to_string(&record).unwrap();
    assert!(text.contains("\"count\": 3,"));
    std::fs::write(&record, text.replace("\"count\": 3,", "\"count\": 4,")).unwrap();
    let error = AtlasDetector::load(folder.path()).unwrap_err();
    assert!(matches!(error, Error::MapsContradiction { path, .. } if path == record));
    std::fs::write(&record, "{").unwrap();
    assert!(matches!(AtlasDetector::load(folder.path()), Err(Error::Config { .. })));
    loaded
}
