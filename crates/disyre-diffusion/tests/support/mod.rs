//! Golden values: tensors written by the published code, read from the fixtures or from beside the workspace.
#![allow(dead_code, reason = "every test target uses a part")]
#![allow(clippy::unwrap_used, reason = "a failure should stop the test")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Tensor};
use candle_nn::VarBuilder;
use disyre_diffusion::{Device, DeviceRequest, select_device};

/// Every device that a network can run on: the processor, the kernels for CUDA on it if they were built, and CUDA. Where
/// that cannot be used, it is left out with a printed line, or fails if `DISYRE_REQUIRE_CUDA` is 1.
pub(crate) fn devices() -> Vec<Device> {
    let mut devices = vec![Device::Cpu];
    #[cfg(feature = "cuda-emulation")]
    devices.push(Device::Emulated);
    match select_device(DeviceRequest::Cuda(0)) {
        Ok(selected) => devices.push(selected.device),
        Err(error) => {
            let required =
                std::env::var_os("DISYRE_REQUIRE_CUDA").is_some_and(|value| value == "1");
            assert!(!required, "DISYRE_REQUIRE_CUDA is 1, but {error}");
            println!("skipped on CUDA: {error}");
        }
    }
    devices
}

pub(crate) fn golden_path(name: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let places = ["tests/fixtures/golden", "../shared/golden"];
    let found = places.iter().map(|place| root.join(place).join(name)).find(|path| path.exists());
    if found.is_none() {
        println!("skipped: {name} not found");
    }
    found
}

pub(crate) struct Golden {
    tensors: HashMap<String, Tensor>,
}

impl Golden {
    pub(crate) fn load(name: &str) -> Option<Self> {
        let path = golden_path(name)?;
        Some(Self {
            tensors: candle_core::safetensors::load(path, &candle_core::Device::Cpu).unwrap(),
        })
    }

    pub(crate) fn tensor(&self, name: &str) -> Tensor {
        self.tensors.get(name).unwrap_or_else(|| panic!("no tensor {name}")).clone()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    pub(crate) fn floats(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let tensor = self.tensor(name);
        (tensor.dims().to_vec(), flat(&tensor))
    }

    pub(crate) fn integers(&self, name: &str) -> Vec<i64> {
        self.tensor(name).flatten_all().unwrap().to_vec1().unwrap()
    }

    /// The tensors named `w.*`, without the prefix.
    pub(crate) fn weight_tensors(&self) -> HashMap<String, Tensor> {
        let strip = |(name, tensor): (&String, &Tensor)| {
            name.strip_prefix("w.").map(|name| (name.to_owned(), tensor.clone()))
        };
        self.tensors.iter().filter_map(strip).collect()
    }

    pub(crate) fn weights(&self) -> VarBuilder<'static> {
        VarBuilder::from_tensors(self.weight_tensors(), DType::F32, &candle_core::Device::Cpu)
    }

    pub(crate) fn assert_tensor(&self, name: &str, got: &Tensor, tolerance: f32) {
        let (shape, expected) = self.floats(name);
        assert_eq!(got.dims(), shape, "{name}");
        assert_close(name, &flat(got), &expected, tolerance);
    }
}

/// Weights by formula: element i of the tensor at position p of the sorted names.
pub(crate) fn formula(name: &str, position: usize, shape: &[usize]) -> Vec<f32> {
    let fan_in = shape[1..].iter().product::<usize>() as f64;
    let value = |i: usize| {
        let s = (0.7131 * i as f64 + 1.3 * position as f64).sin();
        match (shape.len() > 1, name.ends_with(".bias")) {
            (true, _) => s / fan_in.sqrt(),
            (false, true) => 0.05 * s,
            (false, false) => 1.0 + 0.1 * s,
        }
    };
    (0..shape.iter().product()).map(|i| value(i) as f32).collect()
}

pub(crate) fn flat(tensor: &Tensor) -> Vec<f32> {
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
