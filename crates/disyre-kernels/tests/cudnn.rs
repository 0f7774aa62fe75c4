//! Our convolutions beside cuDNN's, on a device where there is one.
#![cfg(feature = "cudnn")]
#![allow(clippy::unwrap_used, reason = "a failure should stop the test")]

mod common;
mod devices;

use disyre_kernels::{Convolution, Extent, Kind, Precision};

/// Eighths are multiplied exactly by both: in bf16 only results are rounded, in f32 only sums, of which some algorithms
/// make others on the way.
#[test]
fn convolutions_agree_with_cudnns() {
    for (precision, allowed) in [(Precision::F32, 1e-4), (Precision::Bf16, 8e-3)] {
        let Some(device) = devices::device(precision) else { return };
        for kind in [Kind::Pointwise, Kind::Same, Kind::Halving] {
            for [inputs, outputs] in [[32, 64], [64, 32]] {
                let layer = Convolution { kind, inputs, outputs };
                let extent = Extent { count: 2, height: 32, width: 24 };
                for compared in device.beside_cudnn(layer, extent, 1).unwrap() {
                    let compared = compared.unwrap();
                    let name = format!("{layer:?} in {precision}: {compared:?}");
                    assert!(compared.difference <= allowed, "{name}");
                }
            }
        }
        let doubling = Convolution { kind: Kind::Doubling, inputs: 8, outputs: 8 };
        let extent = Extent { count: 1, height: 4, width: 4 };
        let message = device.beside_cudnn(doubling, extent, 1).unwrap_err().to_string();
        assert!(message.contains("doubles"), "{message}");
    }
}
