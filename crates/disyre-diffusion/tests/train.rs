//! Runs of training on a toy source of pairs.
#![allow(clippy::unwrap_used, reason = "a failure should stop the test")]

mod support;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use disyre_core::ndarray::ArrayViewMut4;
use disyre_core::rand::RngExt;
use disyre_core::{Key, PairError, PairSource, Severity};
use disyre_diffusion::{
    ColdRestorer, Device, DiffusionError, EMA_FILE, LOG_FILE, MODEL_FILE, ModelConfig,
    TRAINING_FILE, TrainConfig, TrainEvent, TrainRun, TrainSummary, UNetConfig, Weights, train,
    weights_sha256,
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
    dir: &'a Path,
    resume: bool,
    stop_after: Option<u64>,
    device: Device,
}

impl<'a> Setup<'a> {
    fn new(dir: &'a Path, pairs: &'a dyn PairSource) -> Self {
        let (config, model, device) = (config(), model(), Device::cpu());
        Self { config, model, pairs, dir, resume: false, stop_after: None, device }
    }

    fn train(&self) -> Result<(TrainSummary, Vec<TrainEvent>), DiffusionError> {
        let stop = AtomicBool::new(false);
        let mut events = Vec::new();
        let run = TrainRun {
            config: &self.config,
            model: &self.model,
            pairs: self.pairs,
            validation: &Veiled(Key::new(2)),
            dir: self.dir,
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

fn bytes(dir: &Path) -> [Vec<u8>; 3] {
    [MODEL_FILE, EMA_FILE, TRAINING_FILE].map(|name| fs::read(dir.join(name)).unwrap())
}

#[test]
fn three_steps_and_three_resumed_are_six_steps_to_the_byte() {
    let pairs = Veiled(Key::new(1));
    for device in devices() {
        let [whole, halves] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let setup = Setup { device: device.clone(), ..Setup::new(whole.path(), &pairs) };
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
            let setup = Setup { device: device.clone(), ..Setup::new(dir.path(), &pairs) };
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
