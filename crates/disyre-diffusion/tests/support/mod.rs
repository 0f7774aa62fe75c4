//! Golden values: tensors of the published code and of other people's software, read from `tests/fixtures/golden` of the
//! workspace; and the networks they were made with.
#![allow(dead_code, reason = "every test target uses a part")]
#![allow(clippy::unwrap_used, reason = "a failure should stop the test")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use disyre_core::Key;
use disyre_core::ndarray::ArrayD;
use disyre_diffusion::{Device, DeviceRequest, Parameters, UNetConfig};
use safetensors::{Dtype, SafeTensors};

/// Every device that a network can run on: the CPU, the CUDA kernels emulated on it if they were built, and CUDA. Where
/// that cannot be used, it is left out with a printed line, or fails if `DISYRE_REQUIRE_CUDA` is 1.
pub(crate) fn devices() -> Vec<Device> {
    let mut devices = vec![Device::cpu()];
    #[cfg(feature = "cuda-emulation")]
    devices.push(Device::open(DeviceRequest::Emulated).unwrap());
    match Device::open(DeviceRequest::Cuda(0)) {
        Ok(device) => devices.push(device),
        Err(error) => {
            let required =
                std::env::var_os("DISYRE_REQUIRE_CUDA").is_some_and(|value| value == "1");
            assert!(!required, "DISYRE_REQUIRE_CUDA is 1, but {error}");
            println!("no GPU is tested: {error}");
        }
    }
    devices
}

/// A file of golden values.
///
/// # Panics
/// If it is missing.
pub(crate) fn golden_path(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/golden");
    let path = folder.join(name);
    assert!(path.is_file(), "the golden values {} are missing", path.display());
    path
}

/// The arrays of one file of golden values.
pub(crate) struct Golden {
    floats: HashMap<String, ArrayD<f32>>,
    integers: HashMap<String, Vec<i64>>,
}

impl Golden {
    pub(crate) fn load(name: &str) -> Self {
        let bytes = std::fs::read(golden_path(name)).unwrap();
        let (mut floats, mut integers) = (HashMap::new(), HashMap::new());
        for (name, view) in SafeTensors::deserialize(&bytes).unwrap().iter() {
            let (name, data) = (name.to_owned(), view.data());
            match view.dtype() {
                Dtype::F32 => {
                    let values = data.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes));
                    let array = ArrayD::from_shape_vec(view.shape(), values.collect()).unwrap();
                    floats.insert(name, array);
                }
                Dtype::I64 => {
                    let values = data.as_chunks().0.iter().map(|&bytes| i64::from_le_bytes(bytes));
                    integers.insert(name, values.collect());
                }
                other => panic!("{name} holds {other:?}"),
            }
        }
        Self { floats, integers }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.floats.contains_key(name)
    }

    pub(crate) fn array(&self, name: &str) -> &ArrayD<f32> {
        self.floats.get(name).unwrap_or_else(|| panic!("no tensor {name}"))
    }

    pub(crate) fn floats(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let array = self.array(name);
        (array.shape().to_vec(), array.iter().copied().collect())
    }

    pub(crate) fn integers(&self, name: &str) -> Vec<i64> {
        self.integers.get(name).unwrap_or_else(|| panic!("no tensor {name}")).clone()
    }
}

#[cfg(feature = "candle")]
impl Golden {
    pub(crate) fn tensor(&self, name: &str) -> candle_core::Tensor {
        let (shape, values) = self.floats(name);
        candle_core::Tensor::from_vec(values, shape, &candle_core::Device::Cpu).unwrap()
    }

    pub(crate) fn assert_tensor(&self, name: &str, got: &candle_core::Tensor, tolerance: f32) {
        let (shape, expected) = self.floats(name);
        assert_eq!(got.dims(), shape, "{name}");
        assert_close(name, &flat(got), &expected, tolerance);
    }
}

/// The small network of the golden values.
pub(crate) fn small_network() -> UNetConfig {
    UNetConfig {
        channels: vec![32, 32, 64],
        resnets_per_level: 1,
        attention_levels: vec![1],
        ..UNetConfig::default()
    }
}

/// The small network's weights by formula, for candle.
#[cfg(feature = "candle")]
pub(crate) fn small_weights() -> candle_nn::VarBuilder<'static> {
    let (dtype, device) = (candle_core::DType::F32, &candle_core::Device::Cpu);
    let parameters = small_parameters();
    let weights = parameters.iter().map(|(name, array)| {
        let values = array.iter().copied().collect();
        let tensor = candle_core::Tensor::from_vec(values, array.shape(), device).unwrap();
        (name.to_owned(), tensor)
    });
    candle_nn::VarBuilder::from_tensors(weights.collect(), dtype, device)
}

/// The small network's weights by formula, as `tests/fixtures/make.py` of this crate has them. The square makes the rows of
/// a matrix differ. The embedding of the severity counts for more and the last layer for less than in a network drawn at
/// random, so that severities differ and restorations are about those of images.
pub(crate) fn small_parameters() -> Parameters {
    by_formula(&small_network(), 0.0317, |name, value| match name {
        "conv_out.weight" => 0.3 * value,
        "conv_out.bias" => value + 0.4,
        name if name.contains("time_emb") => 2.0 * value,
        _ => value,
    })
}

/// A network with weights by formula: element i of the array at position p of the sorted names.
pub(crate) fn formula(network: &UNetConfig) -> Parameters {
    by_formula(network, 0.0, |_, value| value)
}

fn by_formula(network: &UNetConfig, square: f64, scaled: impl Fn(&str, f64) -> f64) -> Parameters {
    let mut parameters = Parameters::seeded(network, Key::new(0)).unwrap();
    let names: Vec<String> = parameters.iter().map(|(name, _)| name.to_owned()).collect();
    for (position, name) in names.iter().enumerate() {
        let mut array = parameters.get_mut(name).unwrap();
        let (axes, bias) = (array.ndim(), name.ends_with(".bias"));
        let fan_in = array.shape()[1..].iter().product::<usize>() as f64;
        for (i, element) in array.iter_mut().enumerate() {
            let i = i as f64;
            let s = (0.7131 * i + square * i * i + 1.3 * position as f64).sin();
            let value = match (axes > 1, bias) {
                (true, _) => s / fan_in.sqrt(),
                (false, true) => 0.05 * s,
                (false, false) => 1.0 + 0.1 * s,
            };
            *element = scaled(name, value) as f32;
        }
    }
    parameters
}

#[cfg(feature = "candle")]
pub(crate) fn flat(tensor: &candle_core::Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Compares relative to the greatest magnitude of what is expected.
pub(crate) fn assert_close(name: &str, got: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(got.len(), expected.len(), "{name}");
    let scale = expected.iter().fold(0.0f32, |max, value| max.max(value.abs()));
    let pairs = got.iter().zip(expected);
    let worst = pairs.fold(0.0f32, |max, (a, b)| max.max((a - b).abs()));
    assert!(
        worst.is_finite() && worst <= tolerance * scale,
        "{name}: off by {worst}, greatest value {scale}"
    );
}
