//! Sliding windows against the values of the published code: importance maps, padded sizes, window counts and blends.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use disyre_core::ndarray::{Array3, Array4, ArrayView3};
use disyre_patch::{Blender, TilePlan, WindowWeights};
use safetensors::SafeTensors;
use serde_json::Value;

const GOLDEN: &[u8] = include_bytes!("../../../tests/fixtures/golden/sliding_window.safetensors");
const WINDOW: [usize; 3] = [1, 32, 32];
const STRIDE: [usize; 3] = [1, 8, 8];

/// A tensor whose last two axes are (y, x), as `(1, y, x)`.
fn tensor(file: &SafeTensors<'_>, name: &str) -> Array3<f32> {
    let view = file.tensor(name).unwrap();
    let [.., y, x] = *view.shape() else { panic!("{name} has too few axes") };
    let values = view.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes));
    Array3::from_shape_vec((1, y, x), values.collect()).unwrap()
}

fn assert_close(what: &str, got: &ArrayView3<'_, f32>, expected: &Array3<f32>) {
    assert_eq!(got.shape(), expected.shape(), "{what}");
    let greatest = expected.iter().fold(0.0_f32, |greatest, value| greatest.max(value.abs()));
    let worst = got.iter().zip(expected).fold(0.0_f32, |worst, (a, b)| worst.max((a - b).abs()));
    assert!(worst <= 1e-5 * greatest, "{what}: off by {worst}, greatest value {greatest}");
}

#[test]
fn gaussian_weights_are_the_published_importance_maps() {
    let file = SafeTensors::deserialize(GOLDEN).unwrap();
    for (name, y, x) in [("imap_128", 128, 128), ("imap_32", 32, 32), ("imap_32x48", 32, 48)] {
        let weights = WindowWeights::gaussian([1, y, x]).unwrap();
        assert_close(name, &weights.values(), &tensor(&file, name));
    }
}

#[test]
fn plans_have_the_published_padding_and_window_counts() {
    let cases = cases();
    assert_eq!(cases.len(), 5);
    for case in cases {
        let size = pair(&case["size"]);
        let plan = TilePlan::new([1, size[0], size[1]], WINDOW, STRIDE).unwrap();
        assert_eq!(plan.padded()[1..], pair(&case["padded"]), "{case}");
        assert_eq!(plan.counts()[1..], pair(&case["windows"]), "{case}");
        assert_eq!(plan.len() as u64, case["n"].as_u64().unwrap(), "{case}");
    }
}

#[test]
fn a_window_dependent_predictor_is_blended_as_published() {
    let file = SafeTensors::deserialize(GOLDEN).unwrap();
    for case in cases() {
        let [y, x] = pair(&case["size"]);
        let image = tensor(&file, &format!("in_{y}x{x}"));
        let blended = blend_toy_predictor(image);
        let name = format!("out_{y}x{x}");
        assert_close(&name, &blended.view(), &tensor(&file, &name));
    }
}

/// Window k (row-major), pixel (i, j): `p · (1 + 0.1 k) + i / 31`.
fn blend_toy_predictor(image: Array3<f32>) -> Array3<f32> {
    let (_, y, x) = image.dim();
    let plan = TilePlan::new([1, y, x], WINDOW, STRIDE).unwrap();
    let weights = WindowWeights::gaussian(WINDOW).unwrap();
    let mut blender = Blender::new(&plan, &weights).unwrap();
    let image = image.into_shape_with_order((1, 1, y, x)).unwrap();
    for (k, window) in plan.windows().enumerate() {
        let mut patch = Array4::zeros((1, 1, 32, 32));
        plan.extract(image.view(), window, patch.view_mut()).unwrap();
        let predicted = Array3::from_shape_fn((1, 32, 32), |(_, i, j)| {
            patch[[0, 0, i, j]] * (1.0 + 0.1 * k as f32) + i as f32 / 31.0
        });
        blender.add(window, predicted.view()).unwrap();
    }
    blender.finish()
}

fn cases() -> Vec<Value> {
    let (_, metadata) = SafeTensors::read_metadata(GOLDEN).unwrap();
    let text = &metadata.metadata().as_ref().unwrap()["cases"];
    serde_json::from_str(text).unwrap()
}

fn pair(value: &Value) -> [usize; 2] {
    [0, 1].map(|axis| value[axis].as_u64().unwrap() as usize)
}
