//! The network as a server that runs one iteration per request, so that it can be timed in turn with PyTorch's.
//! `benches/peers/unet.py` states the protocol; `cargo xtask bench-peers` is the client.
#![forbid(unsafe_code)]

use std::error::Error;
use std::process::{ExitCode, exit};
use std::time::Instant;

use disyre::RunConfig;
use disyre_benches::{Client, OnePair, brain, key, report};
use disyre_core::ndarray::{Array4, Array5, Axis, stack};
use disyre_core::{Restorer, Severity};
use disyre_diffusion::{
    ColdRestorer, Device, Engine, ModelConfig, Parameters, TrainConfig, TrainEvent, TrainRun, train,
};

/// Allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A number of steps that is never reached, so that training neither validates nor saves.
const ENDLESS: u64 = 1 << 40;

fn main() -> ExitCode {
    report(run())
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    rayon::ThreadPoolBuilder::new().num_threads(arguments.threads).build_global()?;
    if arguments.learns { learn(&arguments) } else { restore(&arguments) }
}

struct Arguments {
    preset: RunConfig,
    learns: bool,
    batch: usize,
    engine: Engine,
    threads: usize,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let preset = RunConfig::reference();
        let mut arguments =
            Self { preset, learns: false, batch: 8, engine: Engine::default(), threads: 2 };
        while let Some(name) = words.next() {
            let value = words.next().ok_or_else(|| format!("{name} needs a value"))?;
            match (name.as_str(), value.as_str()) {
                ("--network", "published") => arguments.preset = RunConfig::reference(),
                ("--network", "cpu-2mm") => arguments.preset = RunConfig::cpu_2mm(),
                ("--what", "forward") => arguments.learns = false,
                ("--what", "train") => arguments.learns = true,
                ("--batch", number) => arguments.batch = number.parse()?,
                ("--precision", name) => arguments.engine = name.parse()?,
                ("--threads", number) => arguments.threads = number.parse()?,
                _ => return Err(format!("cannot use `{name} {value}`").into()),
            }
        }
        Ok(arguments)
    }

    fn model(&self) -> ModelConfig {
        let (network, patch) = (self.preset.network.clone(), self.preset.pairs.patch);
        ModelConfig { network, patch, ..ModelConfig::default() }
    }

    fn patch(&self) -> Array4<f32> {
        brain(key("network"), self.preset.pairs.patch)
    }
}

/// Serves restorations of a batch, with random weights, which take as long as trained ones.
fn restore(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let (model, device) = (arguments.model(), Device::cpu());
    let parameters = Parameters::seeded(&model.network, key("weights"))?;
    let restorer = ColdRestorer::with(model, &parameters, &device, arguments.engine)?;
    let patch = arguments.patch();
    let batch = stack(Axis(0), &vec![patch.view(); arguments.batch])?;
    let severities = vec![Severity::FULL; arguments.batch];
    let mut restored = Array5::zeros(batch.raw_dim());
    restorer.restore(batch.view(), &severities, restored.view_mut())?;
    let mut client = Client::greet();
    while client.asks_for_more()? {
        let start = Instant::now();
        restorer.restore(batch.view(), &severities, restored.view_mut())?;
        Client::answer(start.elapsed().as_secs_f64());
    }
    Ok(())
}

/// Serves training steps, without a moving average, which the peers lack too.
fn learn(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let (model, pairs) = (arguments.model(), OnePair(arguments.patch()));
    let config = TrainConfig {
        steps: ENDLESS,
        batch: arguments.batch,
        warmup_steps: 0,
        ema_decay: 0.0,
        validation_every: ENDLESS,
        validation_pairs: 1,
        checkpoint_every: ENDLESS,
        engine: arguments.engine,
        ..TrainConfig::default()
    };
    let dir = tempfile::tempdir()?;
    let path = dir.path().to_owned();
    let run = TrainRun {
        config: &config,
        model: &model,
        pairs: &pairs,
        validation: &pairs,
        dir: &path,
        initial: None,
        resume: false,
        stop: None,
        device: Device::cpu(),
    };
    let mut pauses = Pauses { client: None, dir: Some(dir) };
    train(&run, &mut |event| pauses.after(&event))?;
    Ok(())
}

/// Pauses training after every step until the next request.
struct Pauses {
    /// None before the first step, which warms up.
    client: Option<Client>,
    dir: Option<tempfile::TempDir>,
}

impl Pauses {
    fn after(&mut self, event: &TrainEvent) {
        let TrainEvent::Step { seconds, .. } = event else { return };
        if self.client.is_some() {
            Client::answer(*seconds);
        }
        match self.client.get_or_insert_with(Client::greet).asks_for_more() {
            Ok(true) => {}
            Ok(false) => self.end(0),
            Err(error) => {
                eprintln!("error: {error}");
                self.end(1);
            }
        }
    }

    /// Ends the process at once: a regular stop would write a checkpoint first.
    fn end(&mut self, code: i32) {
        drop(self.dir.take());
        exit(code);
    }
}
