//! An ensemble of three members, summed by a backend and by hand.

use disyre_core::Distance;
use disyre_kernels::Extent;
use disyre_kernels::backend::Backend;

use super::numbers;

pub(crate) const DISTANCES: [Distance; 2] = [Distance::Absolute, Distance::Squared];

/// Images of two channels, and what three members made of them.
fn images(extent: Extent) -> [Vec<f32>; 4] {
    let len = extent.count * extent.height * extent.width * 2;
    [1, 2, 3, 4].map(|seed| numbers(len, seed))
}

/// Both sums over the members.
pub(crate) fn summed<B: Backend>(backend: &B, extent: Extent, distance: Distance) -> [Vec<f32>; 2] {
    let [x, members @ ..] = images(extent).map(|values| backend.maps(&values, extent, 2));
    let add = |onto, y| Some(backend.add_member(distance, &x, y, onto));
    let sums = members.iter().fold(None, add).unwrap();
    [&sums.distances, &sums.members].map(|maps| backend.download_maps(maps).unwrap())
}

/// The same one number after another.
pub(crate) fn by_hand(extent: Extent, distance: Distance) -> [Vec<f32>; 2] {
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
pub(crate) fn extents() -> [Extent; 3] {
    [[1, 1, 1], [3, 5, 7], [1, 800, 700]].map(|[count, height, width]| Extent {
        count,
        height,
        width,
    })
}
