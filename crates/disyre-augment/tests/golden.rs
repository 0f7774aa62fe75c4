//! Interpolation and smoothing against SciPy.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::path::Path;

use disyre_augment::{Border, CubicSpline};
use disyre_core::ndarray::Array4;
use safetensors::SafeTensors;

const FILE: &str = "resample.safetensors";

fn golden() -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/golden");
    std::fs::read(folder.join(FILE)).unwrap()
}

fn numbers<const N: usize, T>(
    file: &SafeTensors<'_>,
    name: &str,
    read: fn([u8; N]) -> T,
) -> Vec<T> {
    file.tensor(name).unwrap().data().as_chunks().0.iter().map(|&bytes| read(bytes)).collect()
}

#[test]
fn splines_agree_with_scipy_inside_and_outside_the_image() {
    let bytes = golden();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let source = numbers(&file, "src", f32::from_le_bytes);
    let image = Array4::from_shape_vec((1, 1, 50, 44), source).unwrap();
    for (coordinates, name, border) in [
        ("coords", "order3_constant", Border::Zero),
        ("coords", "order3_nearest", Border::Nearest),
        ("coords_far", "far_order3_constant", Border::Zero),
        ("coords_far", "far_order3_nearest", Border::Nearest),
    ] {
        let spline = CubicSpline::new(image.view(), border).unwrap();
        let coordinates = numbers(&file, coordinates, f64::from_le_bytes);
        let (rows, columns) = coordinates.split_at(32 * 32);
        let expected = numbers(&file, name, f32::from_le_bytes);
        let mut value = [0.0];
        for ((&y, &x), expected) in rows.iter().zip(columns).zip(expected) {
            spline.sample([0.0, y, x], &mut value);
            let apart = (value[0] - expected).abs();
            assert!(apart < 1e-5, "{name} at ({y}, {x}): {} expected {expected}", value[0]);
        }
    }
}
