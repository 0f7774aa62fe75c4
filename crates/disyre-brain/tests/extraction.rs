//! The shipped network on synthetic heads of several contrasts, and the recognition of stripped ones.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::path::Path;

use disyre_augment::{HeadConfig, Plane};
use disyre_brain::{
    BrainExtractor, Device, Grid, HeadMap, HeadPairs, Key, Volume, ndarray::Array3, ndarray::Zip,
    read_head_maps,
};
use disyre_core::{PairSource, Severity};
use disyre_diffusion::Batches;

const SPACING_MM: f64 = 4.0;

fn maps() -> Vec<HeadMap> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../disyre-augment/tests/fixtures");
    read_head_maps(&path, SPACING_MM).unwrap()
}

fn still(realistic: [f64; 3]) -> HeadConfig {
    HeadConfig {
        spacing_mm: SPACING_MM,
        realistic,
        stripped: 0.0,
        partly_stripped: 0.0,
        lesion: 0.0,
        cut: 0.0,
        thick: 0.0,
        shift_mm: 0.0,
        ..HeadConfig::default()
    }
}

/// A whole head as one slab of many slices, with its brain.
fn head(config: HeadConfig) -> (Volume, Array3<u8>) {
    let grid = Grid::from_spacing([60, 64, 52], [SPACING_MM; 3]);
    let mut drawn = config.build().unwrap().draw(Key::new(5).child("head"));
    drawn.geometry.plane = Plane::Axial;
    drawn.geometry.place = -0.2;
    let [mut image, mut brain] = [(); 2].map(|()| Array3::zeros(grid.shape));
    drawn.apply(&maps()[0], image.view_mut(), brain.view_mut()).unwrap();
    (Volume::new(image, grid).unwrap(), brain.mapv(|share| u8::from(share >= 0.5)))
}

fn extractor() -> BrainExtractor {
    BrainExtractor::embedded(&Device::cpu()).unwrap()
}

fn dice(a: &Array3<u8>, b: &Array3<u8>) -> f64 {
    let both = Zip::from(a).and(b).fold(0usize, |n, &a, &b| n + usize::from(a * b));
    let sum: usize = a.iter().chain(b).map(|&inside| usize::from(inside)).sum();
    2.0 * both as f64 / sum as f64
}

#[test]
fn brains_of_two_contrasts_are_found_at_4_mm() {
    for (name, realistic) in [("T2", [0.0, 1.0, 0.0]), ("FLAIR", [0.0, 0.0, 1.0])] {
        let (scan, brain) = head(still(realistic));
        let found = extractor().extract(&scan).unwrap();
        let dice = dice(&found.mask, &brain);
        assert!(dice > 0.9, "{name}: {dice}");
        let voxels: usize = found.mask.iter().map(|&inside| usize::from(inside)).sum();
        assert!((found.volume_ml - voxels as f64 * 0.064).abs() < 1e-6);
    }
}

#[test]
fn a_head_is_told_from_its_stripped_brain() {
    let (scan, brain) = head(still([1.0, 0.0, 0.0]));
    let stripped = Zip::from(&scan.data).and(&brain).map_collect(|&v, &b| v * f32::from(b));
    let stripped = Volume::new(stripped, scan.grid).unwrap();
    let extractor = extractor();
    let content = [&scan, &stripped].map(|scan| extractor.content(scan).unwrap());
    assert!(content[0].is_head() && !content[1].is_head(), "{content:?}");
}

#[test]
fn a_mask_is_the_same_on_any_number_of_threads_and_any_orientation() {
    let (scan, _) = head(still([1.0, 0.0, 0.0]));
    let with = |threads: usize, scan: &Volume| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| extractor().extract(scan).unwrap())
    };
    let one = with(1, &scan);
    let mut turned = scan.clone();
    turned.data.invert_axis(disyre_core::ndarray::Axis(2));
    turned.data = turned.data.as_standard_layout().into_owned();
    (turned.grid.affine[0][0], turned.grid.affine[0][3]) = (-SPACING_MM, 51.0 * SPACING_MM);
    let mut other = with(3, &turned);
    other.mask.invert_axis(disyre_core::ndarray::Axis(2));
    other.probability.invert_axis(disyre_core::ndarray::Axis(2));
    assert_eq!(other, one);
}

#[test]
fn nothing_has_no_brain_and_what_is_not_finite_is_an_error() {
    let grid = Grid::from_spacing([20; 3], [8.0; 3]);
    let mut scan = Volume::zeros(grid);
    let found = extractor().extract(&scan).unwrap();
    assert_eq!((found.volume_ml, found.mask.iter().max()), (0.0, Some(&0)));
    scan.data[[3, 3, 3]] = f32::NAN;
    assert!(extractor().extract(&scan).is_err());
}

#[test]
fn pairs_depend_on_their_index_alone() {
    let synthesiser =
        HeadConfig { spacing_mm: SPACING_MM, ..HeadConfig::default() }.build().unwrap();
    let pairs = HeadPairs::new(maps(), synthesiser, Key::new(8));
    let batches = Batches::new(&pairs, [3, 1, 48, 48], 6);
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| batches.of_step(2).unwrap())
    };
    let one = with(1);
    assert_eq!(with(4), one);
    assert!(one.severities.iter().all(|&severity| severity == Severity::FULL));
    let [mut image, mut brain] =
        [(); 2].map(|()| disyre_core::ndarray::Array4::zeros((3, 1, 48, 48)));
    pairs.pair(12, image.view_mut(), brain.view_mut()).unwrap();
    let first = disyre_core::ndarray::Axis(0);
    assert_eq!(image, one.corrupted.index_axis(first, 0));
    assert_eq!(brain, one.clean.index_axis(first, 0));
}
