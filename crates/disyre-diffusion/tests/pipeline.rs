//! Windows, ensemble and network together against the published evaluation.
#![allow(clippy::unwrap_used, reason = "a failure should stop the test")]

mod support;

use disyre_core::ndarray::{Array4, Array5, Axis};
use disyre_diffusion::{ColdRestorer, Device, ModelConfig};
use disyre_patch::{Blender, TilePlan, WindowWeights};
use disyre_score::{Ensemble, EnsembleConfig};
use support::{Golden, assert_close, small_network, small_parameters};

fn restorer() -> ColdRestorer {
    let network = small_network();
    let parameters = small_parameters();
    let config = ModelConfig { network, patch: [1, 32, 32], ..ModelConfig::default() };
    ColdRestorer::new(config, &parameters, &Device::cpu()).unwrap()
}

/// The score of one image `(c, z, y, x)`: every window scored, then blended.
fn score(restorer: &ColdRestorer, ensemble: &Ensemble, image: &Array4<f32>) -> Vec<f32> {
    let (_, z, y, x) = image.dim();
    let (window, stride) = ([1, 32, 32], [1, 8, 8]);
    let plan = TilePlan::new([z, y, x], window, stride).unwrap();
    let mut windows = Array5::zeros((plan.len(), 1, 1, 32, 32));
    for (window, out) in plan.windows().zip(windows.outer_iter_mut()) {
        plan.extract(image.view(), window, out).unwrap();
    }
    let scores = ensemble.score(restorer, windows.view()).unwrap().score;
    let weights = WindowWeights::gaussian(window).unwrap();
    let mut blender = Blender::new(&plan, &weights).unwrap();
    for (window, score) in plan.windows().zip(scores.outer_iter()) {
        blender.add(window, score.index_axis(Axis(0), 0)).unwrap();
    }
    blender.finish().into_iter().collect()
}

#[test]
fn scores_over_windows_equal_the_published_evaluation() {
    let golden = Golden::load("pipeline.safetensors");
    let restorer = restorer();
    let (shape, values) = golden.floats("image");
    let images = Array5::from_shape_vec((shape[0], 1, 1, shape[2], shape[3]), values).unwrap();
    for (n, foreground_weight) in [(1, true), (4, false), (4, true), (5, false)] {
        let severities = restorer.schedule().severities(n).unwrap();
        let config = EnsembleConfig { severities, foreground_weight };
        let ensemble = config.build().unwrap();
        let images = images.outer_iter().map(|image| image.to_owned());
        let got: Vec<f32> = images.flat_map(|image| score(&restorer, &ensemble, &image)).collect();
        let name = format!("single_n{n}_wf{}", u8::from(foreground_weight));
        assert_close(&name, &got, &golden.floats(&name).1, 1e-4);
    }
}
