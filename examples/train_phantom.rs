//! Trains a very small restoration network on healthy phantoms: `train_phantom [OUT [STEPS]]`.

use std::path::Path;

use disyre::core::Key;
use disyre::dag::DagConfig;
use disyre::diffusion::{Device, TrainConfig, TrainEvent, UNetConfig};
use disyre::phantom::PhantomConfig;
use disyre::{Cohort, Error, PairConfig, RunConfig, Training, train};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let out = disyre_examples::output_folder("train_phantom")?;
    let steps = std::env::args().nth(2).map_or(Ok(20), |steps| steps.parse())?;
    let config = tiny(steps);
    train_on_phantoms(&config, &out.join("model"))?;
    Ok(())
}

/// Patches of 32² and 40 000 parameters.
fn tiny(steps: u64) -> RunConfig {
    let cpu = RunConfig::cpu_2mm();
    let mut prepare = cpu.prepare.clone();
    prepare.spacing_mm = 4.0;
    RunConfig {
        prepare,
        pairs: PairConfig { patch: [1, 32, 32], ..cpu.pairs.clone() },
        dag: DagConfig::for_window([1, 16, 16]),
        network: UNetConfig { channels: vec![16, 32], ..cpu.network.clone() },
        train: TrainConfig {
            steps,
            batch: 8,
            warmup_steps: steps / 10,
            validation_every: steps.div_ceil(2),
            validation_pairs: 16,
            ..cpu.train.clone()
        },
        ..cpu
    }
}

fn train_on_phantoms(config: &RunConfig, folder: &Path) -> Result<(), Error> {
    let phantoms =
        PhantomConfig { shape: [24, 48, 42], spacing_mm: 4.0, ..PhantomConfig::default() };
    let scan = |index: u64| {
        let key = Key::new(config.seed).child("phantom").child(index);
        (format!("phantom-{index:02}"), phantoms.healthy(key).volume)
    };
    let scans: Vec<_> = (0..10).map(scan).collect();
    let cohort = Cohort::prepare(&scans, config, Key::new(config.seed))?;
    if folder.exists() {
        std::fs::remove_dir_all(folder).map_err(|source| Error::Io {
            action: "remove",
            path: folder.into(),
            source,
        })?;
    }
    let (resume, stop, device) = (false, None, Device::cpu());
    let training = Training { resume, stop, device, ..Training::new(&cohort, config, folder) };
    let report = train(&training, &mut |event| match event {
        TrainEvent::Validation { step, errors } => println!("step {step}: {errors:?}"),
        TrainEvent::Step { step, loss, .. } if step % 10 == 0 => {
            println!("step {step}: loss {loss:.5}");
        }
        _ => {}
    })?;
    println!(
        "{} steps on {} phantoms in {}",
        report.steps,
        report.training.len(),
        folder.display()
    );
    Ok(())
}
