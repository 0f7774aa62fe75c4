//! Tiling and blending. Throughput counts voxels.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use disyre_benches::{brain, key, time};
use disyre_core::ndarray::{Array4, Axis};
use disyre_patch::{Blender, PUBLISHED_STRIDE, PUBLISHED_WINDOW, TilePlan, Window, WindowWeights};

/// Image, window and stride: a typical slice in published windows, and a volume in cubes.
const CASES: [(&str, [[usize; 3]; 3]); 2] = [
    ("140x175", [[1, 140, 175], PUBLISHED_WINDOW, PUBLISHED_STRIDE]),
    ("96x96x96", [[96; 3], [48; 3], [24; 3]]),
];

fn patch(c: &mut Criterion) {
    let mut group = c.benchmark_group("patch");
    for (size, [image, window, stride]) in CASES {
        let plan = TilePlan::new(image, window, stride).expect("a plan");
        let windows: Vec<Window> = plan.windows().collect();
        let mut patch = Array4::zeros((1, window[0], window[1], window[2]));
        group.throughput(Throughput::Elements((patch.len() * windows.len()) as u64));

        let brain = brain(key("patch"), image);
        group.bench_function(format!("extract/padded/{size}"), |b| {
            time(b, || {
                windows.iter().try_for_each(|&w| plan.extract(brain.view(), w, patch.view_mut()))
            });
        });
        let weightings = [
            ("gaussian", WindowWeights::gaussian(window)),
            ("uniform", WindowWeights::uniform(window)),
        ];
        for (variant, weights) in weightings {
            let weights = weights.expect("weights of a window");
            let values = patch.index_axis(Axis(0), 0);
            group.bench_function(format!("blend/{variant}/{size}"), |b| {
                time(b, || {
                    let mut blender = Blender::new(&plan, &weights)?;
                    windows.iter().try_for_each(|&w| blender.add(w, values))?;
                    Ok::<_, disyre_patch::PatchError>(blender.finish())
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, patch);
criterion_main!(benches);
