//! Pairs that are drawn here and finished elsewhere are the pairs that are made here.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(unreachable_pub, reason = "private to the test")]

#[path = "../../disyre-dag/tests/support/finish.rs"]
mod finish;

use disyre::augment::AugmentConfig;
use disyre::core::ndarray::{ArcArray, Array3, Array4, Ix3};
use disyre::core::{Drawing, DrawnPairs, Key, PairError, PairSource, Patch, Severity};
use disyre::dag::{DagConfig, DagError};
use disyre::phantom::PhantomConfig;
use disyre::{DagPairs, Error, Family, Places, RunConfig, Source, Subject, TissueKind, Tissues};

const DRAWABLE: [Family; 5] =
    [Family::Dag, Family::DagNoTissue, Family::TextureOnly, Family::BiasOnly, Family::Fpi];

/// Patches as large as the brain, with windows of half of it: flat ones, and boxes.
const SIZES: [([usize; 3], [usize; 3]); 3] =
    [([1, 32, 32], [1, 16, 16]), ([8, 32, 40], [6, 16, 20]), ([3, 24, 24], [1, 12, 12])];

/// The corrupted patch, the clean one, and how severe the corruption is.
type Pair = (Array4<f32>, Array4<f32>, Severity);

fn subjects(config: &RunConfig) -> Vec<Subject> {
    let phantoms = PhantomConfig { shape: [14, 44, 36], spacing_mm: 4.0, ..Default::default() };
    let prepared = (0..3u64).map(|index| {
        let scan = phantoms.healthy(Key::new(index)).volume;
        Subject::new(format!("{index}"), config.prepare.prepare(&scan, None).unwrap())
    });
    prepared.collect()
}

fn config(family: Family, [patch, window]: [[usize; 3]; 2]) -> RunConfig {
    let mut config = RunConfig::cpu_2mm();
    config.family = family;
    config.prepare.spacing_mm = 4.0;
    (config.pairs.patch, config.pairs.mirror) = (patch, [0.5; 3]);
    config.dag = DagConfig::for_window(window);
    // So that tissues are selected in small windows too.
    config.dag.bias.count_offset /= 4.0;
    config
}

fn pairs_of(config: &RunConfig, subjects: &[Subject]) -> DagPairs {
    let tissues = Tissues::of(config, subjects, &[], Key::new(1)).unwrap();
    DagPairs::new(subjects, config, tissues.as_ref(), Key::new(2)).unwrap()
}

fn pair(pairs: &DagPairs, index: u64, [z, y, x]: [usize; 3]) -> Pair {
    let (mut corrupted, mut clean) = (Array4::zeros((1, z, y, x)), Array4::zeros((1, z, y, x)));
    let severity = pairs.pair(index, corrupted.view_mut(), clean.view_mut()).unwrap();
    (corrupted, clean, severity)
}

#[test]
fn a_drawing_finished_from_the_stock_is_the_pair() {
    let plain = DRAWABLE.map(|family| (family, None));
    let augmented = (Family::Dag, Some(AugmentConfig::default()));
    for (family, augment) in plain.into_iter().chain([augmented]) {
        for (patch, window) in SIZES {
            let mut config = config(family, [patch, window]);
            config.pairs.augment = augment.clone();
            let pairs = pairs_of(&config, &subjects(&config));
            let drawn = pairs.drawn().unwrap();
            let stock = drawn.stock();
            let mut changed = 0;
            for index in 0..60 {
                let (corrupted, clean, severity) = pair(&pairs, index, patch);
                let drawing = drawn.drawing(index).unwrap();
                assert_eq!(finish::cut(&stock, &drawing.patch), clean, "{family} {index}");
                let (finished, realised) = match &drawing.anomaly {
                    Some(drawn) => {
                        finish::finish(&stock.volumes, &stock.rules, drawn, clean.view())
                    }
                    None => (clean, Severity::CLEAN),
                };
                assert_eq!(finished, corrupted, "{family} {index}");
                assert_eq!(realised, severity, "{family} {index}");
                changed += u32::from(severity > Severity::CLEAN);
            }
            assert!(changed > 50, "{family} {patch:?}: {changed} of 60 have an anomaly");
        }
    }
}

#[test]
fn the_stock_holds_the_images_in_the_order_of_the_subjects() {
    let config = config(Family::Dag, [[1, 32, 32], [1, 16, 16]]);
    let subjects = subjects(&config);
    let pairs = pairs_of(&config, &subjects);
    let stock = pairs.stock();
    assert_eq!((stock.volumes.len(), stock.patch), (3, [1, 32, 32]));
    for (volume, subject) in stock.volumes.iter().zip(&subjects) {
        assert_eq!(volume.extents, subject.image.shape()[1..]);
        assert_eq!(volume.values, subject.image.as_slice().unwrap());
    }
    // Every one of them is cut, and lends textures.
    let drawings = (0..100).map(|index| pairs.drawing(index).unwrap());
    let volumes = |drawing: Drawing| {
        let Patch::Cut(cut) = drawing.patch else { panic!("patches are cut") };
        (cut.volume, drawing.anomaly.unwrap().texture.unwrap().volume)
    };
    let used: Vec<_> = drawings.map(volumes).collect();
    for volume in 0..3 {
        assert!(used.iter().any(|(cut, _)| *cut == volume));
        assert!(used.iter().any(|(_, texture)| *texture == volume));
    }
}

#[test]
fn other_families_are_made_here_alone() {
    for family in Family::ALL {
        let config = config(family, [[1, 32, 32], [1, 16, 16]]);
        let pairs = pairs_of(&config, &subjects(&config));
        assert_eq!(pairs.drawn().is_some(), DRAWABLE.contains(&family), "{family}");
        assert_eq!(pairs.rules().is_ok(), DRAWABLE.contains(&family), "{family}");
        assert_eq!(pairs.drawing(0).is_ok(), DRAWABLE.contains(&family), "{family}");
    }
}

#[test]
fn pairs_that_need_the_processor_say_why() {
    let plain = config(Family::Dag, [[1, 32, 32], [1, 16, 16]]);
    let why = |config: &RunConfig, subjects: &[Subject]| {
        let pairs = pairs_of(config, subjects);
        assert!(pairs.drawn().is_none());
        assert!(matches!(pairs.drawing(0), Err(PairError::Source { index: 0, .. })));
        pairs.rules().unwrap_err()
    };

    let mut placed = subjects(&plain);
    let weights: ArcArray<f32, Ix3> =
        Array3::ones(<[usize; 3]>::try_from(&placed[1].image.shape()[1..]).unwrap()).into_shared();
    let source = Source { name: "map".into(), sha256: String::new() };
    placed[1].places = Some(Places { source, weights });
    let error = why(&plain, &placed).to_string();
    assert_eq!(error, "only the processor can make these pairs: maps say where anomalies may lie");

    let mut mixture = plain.clone();
    mixture.tissue.model = TissueKind::GaussianMixture;
    let error = why(&mixture, &subjects(&plain));
    assert!(matches!(error, Error::Dag(DagError::Undrawable { .. })), "{error}");

    let mut transposed = subjects(&plain);
    let image = transposed[2].image.view().to_owned();
    let image = image.permuted_axes([0, 1, 3, 2]).into_shared();
    transposed[2].image = image;
    assert!(why(&plain, &transposed).to_string().contains("order"));

    let large = config(Family::Dag, [[1, 32, 32], [1, 40, 16]]);
    let error = why(&large, &subjects(&plain));
    assert!(matches!(error, Error::Dag(DagError::WindowTooLarge { .. })), "{error}");
}

#[cfg(feature = "cuda-emulation")]
#[test]
fn pairs_finished_by_the_kernel_are_those_of_the_processor() {
    use disyre_kernels::Precision;
    use disyre_kernels::backend::{Backend, Conditions};
    use disyre_kernels::cuda::{Cuda, Emulated};

    const BATCH: u64 = 12;
    let device = Cuda::new(Emulated::default(), Precision::F32);
    let conditions = Conditions { severities: &[0.0, 0.5, 1.0], rows: &[0.0, 0.5, 1.0] };
    let close = |what: &str, family: Family, found: &[f32], expected: &[f32]| {
        assert_eq!(found.len(), expected.len());
        for (index, (a, b)) in found.iter().zip(expected).enumerate() {
            assert!((a - b).abs() < 1e-5, "{what} of {family} at {index}: {a}, here {b}");
        }
    };
    let plain = DRAWABLE.map(|family| (family, None));
    let augmented = (Family::Dag, Some(AugmentConfig::default()));
    for (family, augment) in plain.into_iter().chain([augmented]) {
        for (patch, window) in SIZES {
            let mut config = config(family, [patch, window]);
            config.pairs.augment = augment.clone();
            let pairs = pairs_of(&config, &subjects(&config));
            let drawn = pairs.drawn().unwrap();
            let mut synthesis =
                device.synthesis(&drawn.stock(), &conditions, BATCH as usize).unwrap();
            let drawings: Vec<_> = (0..BATCH).map(|index| drawn.drawing(index).unwrap()).collect();
            device.draw(&drawings, &mut synthesis);
            let finished = device.synthesise(&synthesis);
            let here: Vec<_> = (0..BATCH).map(|index| pair(&pairs, index, patch)).collect();
            let all = |of: fn(&Pair) -> &Array4<f32>| {
                here.iter().flat_map(|pair| of(pair).iter().copied()).collect::<Vec<f32>>()
            };
            let maps = |maps| device.download_maps(maps).unwrap();
            close("clean images", family, &maps(&finished.clean), &all(|pair| &pair.1));
            close("corrupted images", family, &maps(&finished.corrupted), &all(|pair| &pair.0));
            let severities: Vec<f32> = here.iter().map(|pair| pair.2.get()).collect();
            let found = device.download(&finished.severities).unwrap();
            close("severities", family, &found, &severities);
            assert!(severities.iter().filter(|&&severity| severity > 0.0).count() > 8);
        }
    }
}
