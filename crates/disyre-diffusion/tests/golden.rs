//! The network, its gradients and the samplers against the published code.
#![cfg(feature = "candle")]
#![allow(clippy::unwrap_used, reason = "a failure should stop the test")]

mod support;

use candle_core::{Device as CandleDevice, Tensor};
use disyre_core::ndarray::{Array5, ArrayD};
use disyre_core::{Key, Restorer, Severity};
use disyre_diffusion::candle::Variables;
use disyre_diffusion::{
    ColdRestorer, Conditioning, ConditioningOrder, DescentConfig, Device, ModelConfig, Parameters,
    ScheduleConfig, TrainConfig, UNetConfig,
};
use support::{Golden, assert_close, flat, formula, golden_path, small_network, small_parameters};

const TOLERANCE: f32 = 1e-4;

/// The small network's weights, read from a file.
fn reread_parameters() -> Parameters {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("diffusion_pytorch_model.safetensors");
    small_parameters().save(&path).unwrap();
    Parameters::load(&small_network(), &path).unwrap()
}

fn variables(parameters: &Parameters) -> Variables {
    Variables::new(parameters, &CandleDevice::Cpu).unwrap()
}

/// The conditioning of published time steps: each is that of the severity it stands for.
fn conditioning(times: &[i64]) -> Conditioning {
    let schedule = ScheduleConfig::default().build().unwrap();
    let all = schedule.severities(100).unwrap();
    let severities: Vec<Severity> = times.iter().map(|&t| all[99 - t as usize]).collect();
    schedule.conditioning(&severities)
}

#[test]
fn the_small_network_equals_the_published_one() {
    let golden = Golden::load("unet_small_formula.safetensors");
    let network = variables(&reread_parameters()).frozen_network().unwrap();
    let times = golden.integers("t");
    let output = network.forward(&golden.tensor("x"), &conditioning(&times)).unwrap();
    golden.assert_tensor("y", &output, TOLERANCE);
}

#[test]
fn a_wide_image_equals_that_of_the_published_network() {
    let golden = Golden::load("unet_small_formula.safetensors");
    let network = variables(&reread_parameters()).frozen_network().unwrap();
    let image = golden.tensor("x_48x40");
    let output = network.forward(&image, &conditioning(&[12])).unwrap();
    golden.assert_tensor("y_48x40", &output, TOLERANCE);
}

#[test]
fn gradients_equal_those_of_the_published_network() {
    let golden = Golden::load("unet_small_formula.safetensors");
    let variables = variables(&reread_parameters());
    let network = variables.trainable_network().unwrap();
    let times = golden.integers("t");
    let output = network.forward(&golden.tensor("x"), &conditioning(&times)).unwrap();
    let loss = (output - golden.tensor("target")).unwrap().sqr().unwrap().mean_all().unwrap();
    golden.assert_tensor("loss", &loss.reshape(1).unwrap(), TOLERANCE);
    let gradients = loss.backward().unwrap();
    let (mut squares, mut compared) = (0.0, 0);
    for (name, var) in variables.iter() {
        let gradient = gradients.get(var.as_tensor()).unwrap();
        squares += flat(gradient).iter().map(|&g| f64::from(g).powi(2)).sum::<f64>();
        let name = format!("grad.{name}");
        if name.ends_with("to_k.bias") {
            // Softmax ignores what all keys share, so this gradient is 0 up to rounding, there and here.
            assert!(flat(gradient).iter().all(|g| g.abs() < 1e-8), "{name}");
            compared += usize::from(golden.has(&name));
        } else if golden.has(&name) {
            golden.assert_tensor(&name, gradient, TOLERANCE);
            compared += 1;
        }
    }
    assert_eq!(compared, 9);
    let norm = squares.sqrt() as f32;
    assert_close("grad_norm", &[norm], &golden.floats("grad_norm").1, TOLERANCE);
}

#[test]
fn the_default_network_equals_the_published_one() {
    let golden = Golden::load("unet_default_formula.safetensors");
    let network = variables(&formula(&UNetConfig::default())).frozen_network().unwrap();
    let times = golden.integers("t");
    let output = network.forward(&golden.tensor("x"), &conditioning(&times)).unwrap();
    golden.assert_tensor("y", &output, TOLERANCE);
}

#[test]
fn the_default_network_has_the_published_names_and_shapes() {
    #[derive(serde::Deserialize)]
    struct Published {
        name: String,
        shape: Vec<usize>,
    }
    let path = golden_path("unet_default_params.json");
    let text = std::fs::read_to_string(path).unwrap();
    let published: Vec<Published> = serde_json::from_str(&text).unwrap();
    let parameters = Parameters::seeded(&UNetConfig::default(), Key::new(0)).unwrap();
    assert_eq!(published.len(), parameters.iter().len());
    for (published, (name, array)) in published.iter().zip(parameters.iter()) {
        assert_eq!((published.name.as_str(), &published.shape[..]), (name, array.shape()));
    }
}

#[test]
fn learning_rates_equal_the_published_ones() {
    let path = golden_path("lr_cosine.npy");
    let rows: Vec<Vec<f64>> = Tensor::read_npy(path)
        .unwrap()
        .to_dtype(candle_core::DType::F64)
        .unwrap()
        .to_vec2()
        .unwrap();
    let config = TrainConfig::default();
    let got: Vec<f32> =
        rows[0].iter().map(|&step| config.learning_rate_at(step as u64) as f32).collect();
    let expected: Vec<f32> = rows[1].iter().map(|&rate| rate as f32).collect();
    assert_close("learning rate", &got, &expected, 1e-5);
}

fn small_restorer() -> ColdRestorer {
    let config =
        ModelConfig { network: small_network(), patch: [1, 32, 32], ..ModelConfig::default() };
    ColdRestorer::new(config, &reread_parameters(), &Device::cpu()).unwrap()
}

/// Images `(n, c, y, x)` as volumes of one slice.
fn volumes(golden: &Golden, name: &str) -> Array5<f32> {
    let (shape, values) = golden.floats(name);
    let [n, c, y, x] = shape[..] else { panic!("{name} has four axes") };
    let array = ArrayD::from_shape_vec(vec![n, c, 1, y, x], values).unwrap();
    array.into_dimensionality().unwrap()
}

/// Image and score of the published multi-step sampler.
fn descend(
    restorer: &ColdRestorer,
    batch: &Array5<f32>,
    config: &DescentConfig,
) -> [Array5<f32>; 2] {
    let (mut restored, mut change) = (batch.clone(), batch.clone());
    let views = (restored.view_mut(), change.view_mut());
    restorer.restore_in_steps(batch.view(), config, views.0, views.1).unwrap();
    // The published score is masked by the restored image, not by the input.
    change.zip_mut_with(&restored, |change, &value| *change *= f32::from(value > 0.0));
    [restored, change]
}

fn worst(a: &Array5<f32>, b: &Array5<f32>) -> f32 {
    a.iter().zip(b).fold(0.0, |max, (a, b)| max.max((a - b).abs()))
}

/// The untrained network of the golden values amplifies rounding from step to step. So the comparison allows four
/// times the effect of an input shifted by 1e-6, and checks that the other order would not pass.
#[test]
fn restoration_in_steps_equals_the_published_sampler() {
    let golden = Golden::load("pipeline.safetensors");
    let (restorer, batch) = (small_restorer(), volumes(&golden, "image32"));
    let config = |steps, order| DescentConfig { steps, order, ..DescentConfig::default() };
    for steps in [1, 4, 5] {
        let published = config(steps, ConditioningOrder::Published);
        let [image, score] = descend(&restorer, &batch, &published);
        let shifted = [-1e-6, 1e-6].map(|shift| descend(&restorer, &(&batch + shift), &published));
        let moved = shifted.iter().fold(0.0f32, |max, [moved, _]| max.max(worst(moved, &image)));
        let expected =
            ["image", "score"].map(|name| volumes(&golden, &format!("multi32_n{steps}_{name}")));
        let errors = [worst(&image, &expected[0]), worst(&score, &expected[1])];
        let allowed = TOLERANCE.max(4.0 * moved).min(4e-3);
        assert!(errors[0] <= allowed, "{steps}: {errors:?}, moved {moved}");
        // Where the restored image is 0 here and a rounding above it there, the mask decides.
        assert!(masked_error(&image, &score, &expected) <= allowed, "{steps}: {errors:?}");
        let ours = descend(&restorer, &batch, &config(steps, ConditioningOrder::Severity));
        assert!(worst(&ours[0], &expected[0]) > 0.1);
    }
}

/// Greatest difference of the scores where both masks agree.
fn masked_error(image: &Array5<f32>, score: &Array5<f32>, expected: &[Array5<f32>; 2]) -> f32 {
    let images = image.iter().zip(&expected[0]);
    let scores = score.iter().zip(&expected[1]);
    let agree = images.zip(scores).filter(|((a, b), _)| (**a > 0.0) == (**b > 0.0));
    agree.fold(0.0, |max, (_, (a, b))| max.max((a - b).abs()))
}

#[test]
fn the_ensemble_without_windows_equals_the_published_one() {
    let golden = Golden::load("pipeline.safetensors");
    let (restorer, batch) = (small_restorer(), volumes(&golden, "image32"));
    for n in [1, 4, 5] {
        let mut score = Array5::<f32>::zeros(batch.dim());
        let mut restored = batch.clone();
        for severity in restorer.schedule().severities(n).unwrap() {
            let severities = vec![severity; batch.dim().0];
            restorer.restore(batch.view(), &severities, restored.view_mut()).unwrap();
            score += &((&batch - &restored).mapv(f32::abs) / n as f32);
        }
        score.zip_mut_with(&batch, |score, &value| *score *= f32::from(value > 0.0));
        let name = format!("single32_n{n}_wf0");
        let expected = volumes(&golden, &name);
        assert_close(&name, score.as_slice().unwrap(), expected.as_slice().unwrap(), TOLERANCE);
    }
}
