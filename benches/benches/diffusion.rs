//! The network: restoration and training. Throughput counts patches.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use disyre::tissue::Codebook;
use disyre::{DagPairs, RunConfig, Subject, Tissues};
use disyre_benches::{OnePair, brain, key, time};
use disyre_core::ndarray::{Array5, Axis, stack};
use disyre_core::{PairSource, Restorer, Severity};
use disyre_diffusion::{
    ColdRestorer, Device, ModelConfig, Parameters, TrainConfig, TrainEvent, TrainRun, train,
};

fn model(config: &RunConfig) -> ModelConfig {
    let (network, patch) = (config.network.clone(), config.pairs.patch);
    ModelConfig { network, patch, ..ModelConfig::default() }
}

/// Restorer with random weights, which take as long as trained ones.
fn restore(c: &mut Criterion) {
    let presets =
        [("cpu-2mm", RunConfig::cpu_2mm(), [1, 8]), ("published", RunConfig::reference(), [1, 2])];
    let mut group = c.benchmark_group("diffusion");
    group.sample_size(10);
    for (preset, config, batches) in presets {
        let model = model(&config);
        let parameters = Parameters::seeded(&model.network, key("weights"));
        let parameters = parameters.expect("a preset");
        let restorer = ColdRestorer::new(model, &parameters, &Device::cpu()).expect("a preset");
        let patch = brain(key("diffusion"), config.pairs.patch);
        for n in batches {
            let repeated = vec![patch.view(); n];
            let batch = stack(Axis(0), &repeated).expect("equal patches");
            let severities = vec![Severity::FULL; n];
            let mut restored = Array5::zeros(batch.raw_dim());
            group.throughput(Throughput::Elements(n as u64));
            group.bench_function(format!("forward/{preset}/b{n}"), |b| {
                time(b, || {
                    restorer.restore(black_box(batch.view()), &severities, restored.view_mut())
                });
            });
        }
    }
    group.finish();
}

/// Total time of some training steps, without validation and checkpoints.
fn steps(count: u64, config: &RunConfig, pairs: &dyn PairSource) -> Duration {
    let model = model(config);
    let dir = tempfile::tempdir().expect("a temporary folder");
    let config = TrainConfig { steps: count, validation_pairs: 1, ..config.train.clone() };
    let run = TrainRun {
        config: &config,
        model: &model,
        pairs,
        validation: pairs,
        dir: dir.path(),
        initial: None,
        resume: false,
        stop: None,
        device: Device::cpu(),
    };
    let mut seconds = 0.0;
    let mut add = |event| {
        if let TrainEvent::Step { seconds: of_step, .. } = event {
            seconds += of_step;
        }
    };
    train(&run, &mut add).expect("steps of a preset");
    Duration::from_secs_f64(seconds)
}

/// Pairs of the preset's family, from a few scans.
fn real_pairs(config: &RunConfig) -> DagPairs {
    let subject = |index: u64| Subject {
        name: format!("scan-{index}"),
        image: brain(key("pairs").child(index), [80, 96, 80]).into_shared(),
        segmentation: None,
        locations: None,
        sha256: Vec::new(),
    };
    let subjects: Vec<Subject> = (0..4).map(subject).collect();
    let tissues = Tissues::Fitted(Codebook::published().into());
    DagPairs::new(&subjects, config, Some(&tissues), key("pairs")).expect("a preset")
}

/// Training steps with pairs that cost nothing, and with pairs made meanwhile; the difference is the cost of the pairs.
fn learn(c: &mut Criterion) {
    let config = RunConfig::cpu_2mm();
    let repeated = OnePair(brain(key("diffusion"), config.pairs.patch));
    let real = real_pairs(&config);
    let sources: [(&str, &dyn PairSource); 2] = [("cpu-2mm", &repeated), ("cpu-2mm-dag", &real)];
    let batch = config.train.batch;
    let mut group = c.benchmark_group("diffusion");
    group.sample_size(10);
    group.throughput(Throughput::Elements(batch as u64));
    for (name, pairs) in sources {
        group.bench_function(format!("train_step/{name}/b{batch}"), |b| {
            b.iter_custom(|count| steps(count, &config, pairs));
        });
    }
    group.finish();
}

criterion_group!(benches, restore, learn);
criterion_main!(benches);
