//! Intensity scaling, crop and interpolation against values made by the published code and SciPy.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::path::Path;

use disyre_core::ndarray::Array3;
use disyre_volume::{
    Grid, IntensityScaling, Interpolation, Volume, crop, foreground_box, nonzero_mask,
    resample_to_grid,
};
use safetensors::SafeTensors;

/// A golden file, which is part of the repository.
fn golden(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/golden");
    let path = folder.join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn floats(file: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let bytes = file.tensor(name).unwrap().data();
    bytes.as_chunks().0.iter().map(|&four| f32::from_le_bytes(four)).collect()
}

fn doubles(file: &SafeTensors<'_>, name: &str) -> Vec<f64> {
    let bytes = file.tensor(name).unwrap().data();
    bytes.as_chunks().0.iter().map(|&eight| f64::from_le_bytes(eight)).collect()
}

fn array(file: &SafeTensors<'_>, name: &str) -> Array3<f32> {
    let mut shape = file.tensor(name).unwrap().shape().to_vec();
    if shape.len() == 4 {
        shape.remove(0);
    }
    Array3::from_shape_vec([shape[0], shape[1], shape[2]], floats(file, name)).unwrap()
}

fn greatest_difference(a: &Array3<f32>, b: &Array3<f32>) -> f32 {
    assert_eq!(a.shape(), b.shape());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn the_published_scaling_and_crop_are_reproduced() {
    let bytes = golden("normalise_crop.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut data = array(&file, "raw");
    let mask = nonzero_mask(data.view());
    let published = IntensityScaling::Published { upper: 0.98 };
    let range = published.fit(data.view(), mask.view(), None).unwrap();
    assert!((range.high() / floats(&file, "q98")[0] - 1.0).abs() < 1e-6);
    range.apply(&mut data.view_mut());
    assert!(greatest_difference(&data, &array(&file, "scaled")) < 1e-6);
    let shape = [data.shape()[0], data.shape()[1], data.shape()[2]];
    let region = foreground_box(nonzero_mask(data.view()).view()).unwrap();
    let volume = Volume::new(data, Grid::from_spacing(shape, [1.0; 3])).unwrap();
    let cropped = crop(&volume, region).data;
    assert!(greatest_difference(&cropped, &array(&file, "cropped")) < 1e-6);
}

/// The golden coordinates are an affine of the sample's indices; it is recovered from three of them.
fn sampled_grid(coordinates: &[f64], side: usize) -> Grid {
    let at = |axis: usize, row: usize, column: usize| {
        coordinates[axis * side * side + row * side + column]
    };
    let line = |axis: usize| {
        let start = at(axis, 0, 0);
        let last = (side - 1) as f64;
        let step_x = (at(axis, 0, side - 1) - start) / last;
        [step_x, (at(axis, side - 1, 0) - start) / last, 0.0, start]
    };
    let affine = [line(1), line(0), [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]];
    Grid { shape: [1, side, side], affine }
}

#[test]
fn nearest_and_linear_agree_with_scipy_inside_the_image() {
    let bytes = golden("resample.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let image = Array3::from_shape_vec((1, 50, 44), floats(&file, "src")).unwrap();
    let volume = Volume::new(image, Grid::from_spacing([1, 50, 44], [1.0; 3])).unwrap();
    let coordinates = doubles(&file, "coords");
    let grid = sampled_grid(&coordinates, 32);
    for (interpolation, name) in
        [(Interpolation::Linear, "order1_constant"), (Interpolation::Nearest, "order0_constant")]
    {
        let expected = floats(&file, name);
        let got = resample_to_grid(&volume, &grid, interpolation).unwrap();
        let (mut inside, mut worst) = (0, 0.0f32);
        for (index, (got, expected)) in got.data.iter().zip(&expected).enumerate() {
            let (y, x) = (coordinates[index], coordinates[index + 1024]);
            if (0.0..=49.0).contains(&y) && (0.0..=43.0).contains(&x) {
                inside += 1;
                worst = worst.max((got - expected).abs());
            }
        }
        assert!(inside > 900, "{inside}");
        assert!(worst < 1e-5, "{interpolation:?}: {worst}");
    }
}
