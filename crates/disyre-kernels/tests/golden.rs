//! The operations against PyTorch's.
#![allow(clippy::unwrap_used, reason = "a failure should stop the test")]

mod common;

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Result, Tensor, safetensors};
use common::assert_close;
use disyre_kernels::{conv2d, group_norm, group_norm_silu, upsample_nearest2};

/// Relative to the tensor's largest value.
const TOLERANCE: f64 = 1e-5;

/// The golden layers, or nothing where the file is in neither place.
fn layers() -> Option<HashMap<String, Tensor>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folders = [root.join("tests/fixtures/golden"), root.join("../shared/golden")];
    let found = folders.iter().map(|folder| folder.join("layers.safetensors")).find(|p| p.exists());
    if found.is_none() {
        println!("skipped: layers.safetensors not found");
    }
    found.map(|path| safetensors::load(path, &Device::Cpu).unwrap())
}

#[test]
fn normalisation_equals_pytorch_for_any_number_of_groups() -> Result<()> {
    let Some(layers) = layers() else { return Ok(()) };
    for groups in [1, 8, 32, 64] {
        let [weight, bias, y] =
            ["weight", "bias", "y"].map(|name| &layers[&format!("g{groups}.{name}")]);
        assert_close(&group_norm(&layers["x"], weight, bias, groups, 1e-5)?, y, TOLERANCE)?;
        let activated = group_norm_silu(&layers["x"], weight, bias, groups, 1e-5)?;
        assert_close(&activated, &y.silu()?, TOLERANCE)?;
    }
    Ok(())
}

#[test]
fn doubling_equals_pytorch() -> Result<()> {
    let Some(layers) = layers() else { return Ok(()) };
    assert_close(&upsample_nearest2(&layers["x"])?, &layers["upsample_nearest2"], 0.0)
}

#[test]
fn a_convolution_of_stride_two_equals_pytorch() -> Result<()> {
    let Some(layers) = layers() else { return Ok(()) };
    let [weight, bias, y] =
        ["weight", "bias", "y"].map(|name| &layers[&format!("down_conv.{name}")]);
    assert_close(&conv2d(&layers["x"], weight, Some(bias), 2)?, y, TOLERANCE)
}
