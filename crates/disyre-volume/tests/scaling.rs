//! Scalings by a cohort against the values of intensity-normalization and scikit-image: `fixtures/make_scaling.py`.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use disyre_core::ndarray::Array3;
use disyre_volume::{IntensityReference, IntensityScaling};
use safetensors::SafeTensors;

const FIXTURE: &[u8] = include_bytes!("fixtures/scaling.safetensors");

fn floats(file: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let bytes = file.tensor(name).unwrap().data();
    bytes.as_chunks().0.iter().map(|&four| f32::from_le_bytes(four)).collect()
}

fn volume(file: &SafeTensors<'_>, name: &str) -> Array3<f32> {
    Array3::from_shape_vec((8, 16, 16), floats(file, name)).unwrap()
}

fn brain(file: &SafeTensors<'_>) -> Array3<u8> {
    Array3::from_shape_vec((8, 16, 16), file.tensor("brain").unwrap().data().to_vec()).unwrap()
}

/// The reference of the first scans.
fn reference(
    file: &SafeTensors<'_>,
    scaling: IntensityScaling,
    scans: usize,
) -> IntensityReference {
    let quantiles = (0..scans).map(|index| {
        let scan = volume(file, &format!("scan{index}"));
        scaling.quantiles(scan.view(), brain(file).view()).unwrap()
    });
    IntensityReference::of(scaling, &quantiles.collect::<Vec<_>>()).unwrap()
}

#[test]
fn landmarks_agree_with_intensity_normalization() {
    let file = SafeTensors::deserialize(FIXTURE).unwrap();
    let (scaling, brain) = (IntensityScaling::landmarks(), brain(&file));
    let reference = reference(&file, scaling, 3);
    for (got, expected) in reference.levels().iter().zip(floats(&file, "levels")) {
        assert!((got - expected).abs() < 1e-6, "{got} is not {expected}");
    }
    let mut data = volume(&file, "scan3");
    let map = scaling.fit(data.view(), brain.view(), Some(&reference)).unwrap();
    map.apply(&mut data.view_mut());
    // Below the 1st percentile ours runs to 0, and beyond 1 it is cut off.
    let pairs = data.iter().zip(volume(&file, "landmarks")).zip(&brain);
    let inside = pairs.filter(|((_, expected), inside)| **inside != 0 && *expected > 0.05);
    let mut voxels = 0;
    for ((got, expected), _) in inside {
        assert!((got - expected.min(1.0)).abs() < 1e-5, "{got} is not {expected}");
        voxels += 1;
    }
    assert!(voxels > 500, "{voxels}");
}

#[test]
fn a_quantile_map_to_one_scan_is_histogram_matching() {
    let file = SafeTensors::deserialize(FIXTURE).unwrap();
    let scaling = IntensityScaling::QuantileMap { quantiles: 512, upper: 0.98 };
    let brain = brain(&file);
    let reference = reference(&file, scaling, 1);
    let mut data = volume(&file, "scan3");
    let map = scaling.fit(data.view(), brain.view(), Some(&reference)).unwrap();
    map.apply(&mut data.view_mut());
    // The 98th percentile of the reference scan became 1.
    let scan = volume(&file, "scan0");
    let unit = IntensityScaling::default().fit(scan.view(), brain.view(), None).unwrap().high();
    let pairs = data.iter().zip(volume(&file, "matched")).zip(&brain);
    let inside = pairs.filter(|(_, inside)| **inside != 0);
    let errors: Vec<f32> =
        inside.map(|((got, expected), _)| (got - (expected / unit).min(1.0)).abs()).collect();
    let mean = errors.iter().sum::<f32>() / errors.len() as f32;
    let greatest = errors.iter().copied().fold(0.0, f32::max);
    println!("mean {mean}, greatest {greatest}");
    // Ranks of n voxels are i/n there and i/(n − 1) here.
    assert!(mean < 1e-3 && greatest < 2e-2, "{mean} {greatest}");
}
