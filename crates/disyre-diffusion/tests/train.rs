//! Runs of training on a toy source of pairs.
#![allow(clippy::unwrap_used, reason = "a failure should stop the test")]

mod support;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use disyre_core::ndarray::{Array4, Array5, ArrayViewMut4, Axis};
use disyre_core::rand::RngExt;
use disyre_core::{Key, PairError, PairSource, Restorer, Severity};
use disyre_diffusion::{
    ColdRestorer, CorruptionMapConfig, Device, DiffusionError, EMA_FILE, LOG_FILE, MODEL_FILE,
    ModelConfig, Parameters, TRAINING_FILE, TrainConfig, TrainEvent, TrainRun, TrainSummary,
    UNetConfig, Weights, initial_parameters, train, weights_sha256,
};
use support::devices;

/// A bright square on a ramp, veiled by noise as far as the severity goes.
struct Veiled(Key);

impl PairSource for Veiled {
    fn pair(
        &self,
        index: u64,
        mut corrupted: ArrayViewMut4<'_, f32>,
        mut clean: ArrayViewMut4<'_, f32>,
    ) -> Result<Severity, PairError> {
        let mut rng = self.0.child(index).rng();
        let severity: f32 = rng.random();
        let (top, left) = (rng.random_range(0..8), rng.random_range(0..8));
        for ((_, _, y, x), value) in clean.indexed_iter_mut() {
            let inside = (top..top + 8).contains(&y) && (left..left + 8).contains(&x);
            *value = if inside { 0.9 } else { x as f32 / 32.0 };
        }
        corrupted.assign(&clean);
        corrupted.map_inplace(|value| {
            *value = *value * (1.0 - severity) + severity * rng.random::<f32>();
        });
        Ok(Severity::new(severity).expect("in range"))
    }
}

/// A ramp, and on the corrupted image a square that is brighter by the severity.
struct Spotted(Key);

impl PairSource for Spotted {
    fn pair(
        &self,
        index: u64,
        mut corrupted: ArrayViewMut4<'_, f32>,
        mut clean: ArrayViewMut4<'_, f32>,
    ) -> Result<Severity, PairError> {
        let mut rng = self.0.child(index).rng();
        let severity = 0.3 + 0.5 * rng.random::<f32>();
        let (top, left) = (rng.random_range(0..10), rng.random_range(0..10));
        for ((_, _, y, x), value) in clean.indexed_iter_mut() {
            *value = (x + y) as f32 / 96.0;
        }
        corrupted.assign(&clean);
        for ((_, _, y, x), value) in corrupted.indexed_iter_mut() {
            if (top..top + 6).contains(&y) && (left..left + 6).contains(&x) {
                *value += severity;
            }
        }
        Ok(Severity::new(severity).expect("in range"))
    }
}

/// A source whose pairs turn infinite.
struct Broken;

impl PairSource for Broken {
    fn pair(
        &self,
        index: u64,
        corrupted: ArrayViewMut4<'_, f32>,
        mut clean: ArrayViewMut4<'_, f32>,
    ) -> Result<Severity, PairError> {
        let severity = Veiled(Key::new(1)).pair(index, corrupted, clean.view_mut())?;
        if index >= 8 {
            clean.fill(f32::INFINITY);
        }
        Ok(severity)
    }
}

fn model() -> ModelConfig {
    let network = UNetConfig {
        channels: vec![8, 16],
        groups: 4,
        resnets_per_level: 1,
        attention_levels: vec![1],
        embedding_channels: 16,
        ..UNetConfig::default()
    };
    ModelConfig { network, patch: [1, 16, 16], ..ModelConfig::default() }
}

fn config() -> TrainConfig {
    TrainConfig {
        steps: 6,
        batch: 4,
        learning_rate: 3e-3,
        warmup_steps: 2,
        validation_every: 2,
        validation_pairs: 6,
        checkpoint_every: 100,
        ..TrainConfig::default()
    }
}

struct Setup<'a> {
    config: TrainConfig,
    model: ModelConfig,
    pairs: &'a dyn PairSource,
    /// None: of the veiled ones.
    validation: Option<&'a dyn PairSource>,
    dir: &'a Path,
    initial: Option<&'a Parameters>,
    resume: bool,
    stop_after: Option<u64>,
    device: Device,
}

impl<'a> Setup<'a> {
    fn new(dir: &'a Path, pairs: &'a dyn PairSource) -> Self {
        let (config, model, device) = (config(), model(), Device::cpu());
        let (validation, initial, stop_after) = (None, None, None);
        Self { config, model, pairs, validation, dir, initial, resume: false, stop_after, device }
    }

    fn train(&self) -> Result<(TrainSummary, Vec<TrainEvent>), DiffusionError> {
        let stop = AtomicBool::new(false);
        let mut events = Vec::new();
        let veiled = Veiled(Key::new(2));
        let run = TrainRun {
            config: &self.config,
            model: &self.model,
            pairs: self.pairs,
            validation: self.validation.unwrap_or(&veiled),
            dir: self.dir,
            initial: self.initial,
            resume: self.resume,
            stop: Some(&stop),
            device: self.device.clone(),
        };
        let summary = train(&run, &mut |event| {
            if let TrainEvent::Step { step, .. } = event {
                stop.store(Some(step) == self.stop_after, Ordering::Relaxed);
            }
            events.push(event);
        })?;
        Ok((summary, events))
    }
}

fn mapping_model() -> ModelConfig {
    model().with_corruption_map(CorruptionMapConfig::default())
}

fn bytes(dir: &Path) -> [Vec<u8>; 3] {
    [MODEL_FILE, EMA_FILE, TRAINING_FILE].map(|name| fs::read(dir.join(name)).unwrap())
}

#[test]
fn three_steps_and_three_resumed_are_six_steps_to_the_byte() {
    let pairs = Veiled(Key::new(1));
    let models = [model(), mapping_model()];
    for (device, model) in
        devices().into_iter().flat_map(|on| models.clone().map(|m| (on.clone(), m)))
    {
        let [whole, halves] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let setup = Setup { device: device.clone(), model, ..Setup::new(whole.path(), &pairs) };
        assert!(setup.train().unwrap().0.finished);
        let mut setup = Setup { dir: halves.path(), stop_after: Some(3), ..setup };
        let (summary, _) = setup.train().unwrap();
        assert!(!summary.finished && summary.step == 3);
        setup = Setup { resume: true, stop_after: None, ..setup };
        let (summary, events) = setup.train().unwrap();
        assert!(summary.finished && summary.step == 6);
        assert_eq!(events[0], TrainEvent::Started { step: 3, steps: 6 });
        assert!(bytes(whole.path()) == bytes(halves.path()), "the files differ on {device}");
    }
}

#[test]
fn one_thread_and_two_give_the_same_bytes() {
    let pairs = Veiled(Key::new(1));
    for device in devices() {
        let files = [1, 2].map(|threads| {
            let dir = tempfile::tempdir().unwrap();
            let (device, model) = (device.clone(), mapping_model());
            let setup = Setup { device, model, ..Setup::new(dir.path(), &pairs) };
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| setup.train().map(|_| ())).unwrap();
            bytes(dir.path())
        });
        assert!(files[0] == files[1], "the files differ on {device}");
    }
}

#[test]
fn training_beats_doing_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let pairs = Veiled(Key::new(1));
    let long = TrainConfig { steps: 150, batch: 8, validation_every: 50, ..config() };
    let setup = Setup { config: long, ..Setup::new(dir.path(), &pairs) };
    let (summary, events) = setup.train().unwrap();
    let errors = summary.validation.unwrap();
    let ema = errors.ema.unwrap();
    assert!(errors.raw < 0.5 * errors.unrestored, "{errors:?}");
    assert!(ema < 0.7 * errors.unrestored && ema != errors.raw, "{errors:?}");
    let validations = events.iter().filter(|event| matches!(event, TrainEvent::Validation { .. }));
    assert_eq!(validations.count(), 3);
}

#[test]
fn the_trained_weights_load_and_have_a_name() {
    let dir = tempfile::tempdir().unwrap();
    Setup::new(dir.path(), &Veiled(Key::new(1))).train().unwrap();
    for weights in [Weights::Raw, Weights::Ema] {
        ColdRestorer::load(dir.path(), weights, &Device::cpu()).unwrap();
        let hash = weights_sha256(&dir.path().join(weights.file_name())).unwrap();
        assert_eq!(hash.len(), 64);
    }
}

#[test]
fn the_log_has_a_line_per_event_and_none_twice_after_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let pairs = Veiled(Key::new(1));
    let setup = Setup { stop_after: Some(3), ..Setup::new(dir.path(), &pairs) };
    setup.train().unwrap();
    let path = dir.path().join(LOG_FILE);
    let mut text = fs::read_to_string(&path).unwrap();
    // As if two more steps had gone before a crash.
    for step in [4, 5] {
        text += &format!("{}\n", serde_json::to_string(&TrainEvent::Checkpoint { step }).unwrap());
    }
    fs::write(&path, text).unwrap();
    Setup { resume: true, stop_after: None, ..setup }.train().unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let mut steps = Vec::new();
    for line in text.lines() {
        if let TrainEvent::Step { step, .. } = serde_json::from_str(line).unwrap() {
            steps.push(step);
        }
    }
    assert_eq!(steps, [1, 2, 3, 4, 5, 6]);
    assert_eq!(text.matches("\"checkpoint\"").count(), 2);
}

#[test]
fn other_settings_cannot_be_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let pairs = Veiled(Key::new(1));
    let mut setup = Setup { stop_after: Some(2), ..Setup::new(dir.path(), &pairs) };
    setup.train().unwrap();
    assert!(matches!(setup.train(), Err(DiffusionError::AlreadyTrained { .. })));
    let before = bytes(dir.path());
    setup = Setup { resume: true, config: TrainConfig { batch: 5, ..config() }, ..setup };
    let message = setup.train().unwrap_err().to_string();
    assert!(message.contains("train.batch was 4 and is now 5"), "{message}");
    assert!(before == bytes(dir.path()), "the checkpoint was touched");
}

#[test]
fn a_loss_that_is_not_finite_names_its_step_and_keeps_the_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let often = TrainConfig { checkpoint_every: 1, ..config() };
    let setup = Setup { config: often, ..Setup::new(dir.path(), &Broken) };
    let message = setup.train().unwrap_err().to_string();
    assert!(message.starts_with("the loss is not finite at step 3"), "{message}");
    let resumed = Setup { resume: true, ..setup };
    assert!(resumed.train().unwrap_err().to_string().contains("step 3"));
    ColdRestorer::load(dir.path(), Weights::Raw, &Device::cpu()).unwrap();
}

#[test]
fn without_an_average_there_is_no_file_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let pairs = Veiled(Key::new(1));
    let plain = TrainConfig { ema_decay: 0.0, ..config() };
    let setup = Setup { config: plain, ..Setup::new(dir.path(), &pairs) };
    let (summary, _) = setup.train().unwrap();
    assert_eq!(summary.validation.unwrap().ema, None);
    assert!(!dir.path().join(EMA_FILE).exists());
    assert!(ColdRestorer::load(dir.path(), Weights::Ema, &Device::cpu()).is_err());
}

#[test]
fn a_failing_source_ends_the_run() {
    struct Refuses;
    impl PairSource for Refuses {
        fn pair(
            &self,
            index: u64,
            _: ArrayViewMut4<'_, f32>,
            _: ArrayViewMut4<'_, f32>,
        ) -> Result<Severity, PairError> {
            Err(PairError::Source { index, source: "no more images".into() })
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let error = Setup::new(dir.path(), &Refuses).train().unwrap_err();
    assert_eq!(error.to_string(), "pair 0 could not be made");
}

#[test]
fn a_second_output_learns_where_its_input_is_corrupted() {
    let dir = tempfile::tempdir().unwrap();
    let pairs = Spotted(Key::new(1));
    let long = TrainConfig { steps: 200, batch: 8, ema_decay: 0.9, ..config() };
    let setup = Setup { config: long, model: mapping_model(), ..Setup::new(dir.path(), &pairs) };
    let validation = Spotted(Key::new(2));
    let run = Setup { validation: Some(&validation), ..setup };
    let errors = run.train().unwrap().0.validation.unwrap();
    let map = errors.map.unwrap();
    assert!(map.raw < 0.3 * map.constant && map.ema.unwrap() < 0.3 * map.constant, "{map:?}");
    assert!(errors.raw < 0.5 * errors.unrestored, "{errors:?}");

    let restorer = ColdRestorer::load(dir.path(), Weights::Ema, &Device::cpu()).unwrap();
    let mut images = [(); 2].map(|()| Array4::zeros((1, 1, 16, 16)));
    let [corrupted, clean] = &mut images;
    let severity = pairs.pair(1 << 40, corrupted.view_mut(), clean.view_mut()).unwrap();
    let changed = (&*corrupted - &*clean).mapv(|change| change > 0.0);
    let batch = corrupted.view().insert_axis(Axis(0));
    let [mut restored, mut map, mut alone] = [(); 3].map(|()| Array5::zeros(batch.dim()));
    let severities = [severity];
    let (a, b) = (restored.view_mut(), map.view_mut());
    assert!(restorer.restore_and_map(batch, &severities, a, b).unwrap());
    restorer.restore(batch, &severities, alone.view_mut()).unwrap();
    assert_eq!(restored, alone);
    let mean = |inside: bool| {
        let voxels = map.iter().zip(&changed).filter(|(_, changed)| **changed == inside);
        voxels.clone().map(|(value, _)| value).sum::<f32>() / voxels.count() as f32
    };
    assert!(mean(true) > 0.7 && mean(false) < 0.15, "{} {}", mean(true), mean(false));
}

#[test]
fn a_training_starts_from_the_weights_of_another_model() {
    let [first, second, third] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let pairs = Spotted(Key::new(1));
    let setup = Setup::new(first.path(), &pairs);
    setup.train().unwrap();
    let start =
        |model: &ModelConfig, from: &Path| initial_parameters(model, from, Weights::Ema).unwrap();
    // A learning rate of 0 leaves the weights as they were.
    let still = TrainConfig { learning_rate: 0.0, ..config() };
    let initial = start(&model(), first.path());
    let (dir, initial) = (second.path(), Some(&initial));
    let setup = Setup { config: still, dir, initial, ..setup };
    setup.train().unwrap();
    let same = Parameters::load(&model().network, &second.path().join(MODEL_FILE)).unwrap();
    assert_eq!(Some(&same), initial);

    let grown = start(&mapping_model(), first.path());
    let setup = Setup { dir: third.path(), model: mapping_model(), initial: Some(&grown), ..setup };
    setup.train().unwrap();
    let restorers = [second.path(), third.path()]
        .map(|dir| ColdRestorer::load(dir, Weights::Raw, &Device::cpu()).unwrap());
    let batch = Array5::from_shape_fn((2, 1, 1, 16, 16), |(n, .., x)| (n + x) as f32 / 20.0);
    let severities = [Severity::FULL; 2];
    let mut map = Array5::from_elem(batch.dim(), 1.0);
    let restored = restorers.each_ref().map(|restorer| {
        let mut restored = Array5::zeros(batch.dim());
        let out = restored.view_mut();
        restorer.restore_and_map(batch.view(), &severities, out, map.view_mut()).unwrap();
        restored
    });
    assert_eq!(restored[0], restored[1]);
    assert!(map.iter().all(|&value| value == 0.0));
}

#[test]
fn weights_of_another_network_cannot_be_the_first_ones() {
    let dir = tempfile::tempdir().unwrap();
    let pairs = Spotted(Key::new(1));
    let setup = Setup { model: mapping_model(), ..Setup::new(dir.path(), &pairs) };
    setup.train().unwrap();
    let message = |model: &ModelConfig| {
        initial_parameters(model, dir.path(), Weights::Ema).unwrap_err().to_string()
    };
    let mut other = mapping_model();
    other.network.channels = vec![8, 24];
    let found = message(&other);
    for part in ["config.json cannot start", "network.channels is [8,16], and [8,24] here"] {
        assert!(found.contains(part), "{found}");
    }
    let found = message(&model());
    assert!(
        found.contains("its corruption_map is {") && found.contains("and null here"),
        "{found}"
    );

    let initial = Parameters::seeded(&model().network, Key::new(1)).unwrap();
    let fresh = tempfile::tempdir().unwrap();
    let wrong = Setup { dir: fresh.path(), initial: Some(&initial), ..setup };
    let found = wrong.train().unwrap_err().to_string();
    assert!(found.starts_with("the network of the initial weights is"), "{found}");
}
