//! Sums over the members of an ensemble, on the processor and by the CUDA kernels.
#![allow(clippy::unwrap_used, reason = "a failure should stop the test")]

mod common;
#[cfg(any(feature = "cuda", feature = "cuda-emulation"))]
mod devices;

use common::numbers;
use disyre_core::Distance;
use disyre_kernels::backend::Backend;
use disyre_kernels::{Cpu, Extent};

const DISTANCES: [Distance; 2] = [Distance::Absolute, Distance::Squared];

/// Images of two channels, and what three members made of them.
fn images(extent: Extent) -> [Vec<f32>; 4] {
    let len = extent.count * extent.height * extent.width * 2;
    [1, 2, 3, 4].map(|seed| numbers(len, seed))
}

/// Both sums over the members.
fn summed<B: Backend>(backend: &B, extent: Extent, distance: Distance) -> [Vec<f32>; 2] {
    let [x, members @ ..] = images(extent).map(|values| backend.maps(&values, extent, 2));
    let add = |onto, y| Some(backend.add_member(distance, &x, y, onto));
    let sums = members.iter().fold(None, add).unwrap();
    [&sums.distances, &sums.members].map(|maps| backend.download_maps(maps).unwrap())
}

/// The same one number after another.
fn by_hand(extent: Extent, distance: Distance) -> [Vec<f32>; 2] {
    let [x, members @ ..] = images(extent);
    let mut sums = [vec![0.0; x.len()], vec![0.0; x.len()]];
    for (at, &x) in x.iter().enumerate() {
        for y in members.each_ref().map(|member| member[at]) {
            sums[0][at] += match distance {
                Distance::Absolute => (x - y).abs(),
                Distance::Squared => (x - y) * (x - y),
            };
            sums[1][at] += y;
        }
    }
    sums
}

/// From one pixel to more than the greatest number of threads of a launch.
fn extents() -> [Extent; 3] {
    [[1, 1, 1], [3, 5, 7], [1, 800, 700]].map(|[count, height, width]| Extent {
        count,
        height,
        width,
    })
}

#[test]
fn the_sums_on_the_processor_are_those_of_one_number_after_another() {
    for extent in extents() {
        for distance in DISTANCES {
            assert!(summed(&Cpu::default(), extent, distance) == by_hand(extent, distance));
        }
    }
}

#[test]
fn the_sums_are_the_same_for_any_number_of_threads() {
    for distance in DISTANCES {
        common::on_pools(|| summed(&Cpu::default(), extents()[2], distance));
    }
}

#[cfg(feature = "cuda-emulation")]
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
