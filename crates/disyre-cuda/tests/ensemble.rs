//! Sums over the members of an ensemble by the CUDA kernels.
#![cfg(any(feature = "cuda", feature = "emulation"))]

#[path = "../../disyre-kernels/tests/common/mod.rs"]
mod common;
mod devices;

use common::ensemble::{DISTANCES, by_hand, extents, summed};

#[cfg(feature = "emulation")]
#[test]
fn the_kernel_gives_the_same_bits_in_any_order_of_its_lanes() {
    for device in devices::PRECISIONS.into_iter().flat_map(devices::emulators) {
        for (extent, distance) in extents().into_iter().flat_map(|e| DISTANCES.map(|d| (e, d))) {
            let expected = by_hand(extent, distance);
            assert!(summed(&device, extent, distance) == expected, "{distance:?}");
        }
    }
}

#[cfg(feature = "cuda")]
#[test]
fn the_kernel_gives_the_same_sums_on_a_device() {
    let Some(device) = devices::device(disyre_kernels::Precision::F32) else { return };
    for (extent, distance) in extents().into_iter().flat_map(|e| DISTANCES.map(|d| (e, d))) {
        let [distances, members] = by_hand(extent, distance);
        let found = summed(&device, extent, distance);
        // The compiler may join a product and a sum into one rounding.
        common::assert_close("distances", &found[0], &distances, 1e-6);
        assert!(found[1] == members);
    }
}
