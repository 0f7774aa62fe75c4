//! `disyre demo`: training, detection and evaluation on phantoms, without data.

mod baseline;
mod scans;

use std::path::{Path, PathBuf};

use clap::Args;
use disyre::core::ndarray::Array3;
use disyre::core::{Grid, Key};
use disyre::dag::DagConfig;
use disyre::diffusion::{Device, TrainConfig, UNetConfig};
use disyre::volume::{Scan, read_mask, resample_mask};
use disyre::{
    CaseTruth, DetectionFiles, EvaluateConfig, LoadOptions, MaskThreshold, Measure, MethodReport,
    Model, PrepareConfig, RunConfig, SkullPolicy, Training, evaluate,
};

use crate::arguments::{DeviceArguments, ThreadArguments};
use crate::commands::train::{load_cohort, train_visibly};
use crate::error::CliError;
use crate::map_pairs::{MapPair, write_pairs};
use crate::output_files::{ensure_writable, holds_files};
use crate::scan_mapper::ScanMapper;
use baseline::HealthyMean;
use scans::Patient;

/// Arguments of `disyre demo`.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Folder for scans, model, maps and pictures; must not hold files yet
    #[arg(short, long, value_name = "DIR", default_value = "disyre-demo")]
    output: PathBuf,
    /// Steps of training; fewer are quicker and find less
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    steps: u64,
    /// Root of all random numbers: other seeds, other phantoms and another model
    #[arg(long, value_name = "S", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=i64::MAX as u64))]
    seed: u64,
    #[command(flatten)]
    device: DeviceArguments,
    #[command(flatten)]
    threads: ThreadArguments,
}

/// Folders of the demo.
struct Folders {
    root: PathBuf,
    healthy: PathBuf,
    model: PathBuf,
    maps: PathBuf,
}

impl Demo {
    pub(crate) fn run(&self) -> Result<(), CliError> {
        self.threads.apply()?;
        if holds_files(&self.output) {
            let alternative = "delete this one";
            return Err(CliError::NotEmpty { folder: self.output.clone(), alternative });
        }
        ensure_writable(&self.output)?;
        let device = self.device.select()?;
        let folders = Folders::new(&self.output);
        let config = config(self.seed, self.steps);
        let patients = self.draw(&folders)?;
        train(&config, &folders, &device)?;
        let cases = detect(&folders, &device, &patients)?;
        write_list(&folders, &patients)?;
        print_line!("\n{}", compare(&cases)?);
        print_line!("{}", folders.next_commands());
        Ok(())
    }

    fn draw(&self, folders: &Folders) -> Result<Vec<Patient>, CliError> {
        let (healthy, ill) = (scans::HEALTHY, scans::PATIENTS);
        note!("drawing {healthy} healthy phantoms and {ill} with lesions");
        let key = Key::new(self.seed).child("demo");
        scans::draw_healthy(&folders.healthy, key.child("healthy"))?;
        scans::draw_patients(&folders.root, key.child("patients"))
    }
}

fn train(config: &RunConfig, folders: &Folders, device: &Device) -> Result<(), CliError> {
    let cohort = load_cohort(&folders.healthy, config)?;
    let new = Training::new(&cohort, config, &folders.model);
    train_visibly(&Training { device: device.clone(), ..new }).map(drop)
}

/// Maps every patient, by the model and by the baseline.
fn detect(
    folders: &Folders,
    device: &Device,
    patients: &[Patient],
) -> Result<Vec<ComparedCase>, CliError> {
    let options = LoadOptions { device: device.clone(), ..LoadOptions::default() };
    let model = Model::load_with(&folders.model, &options)?;
    let mapper = ScanMapper {
        model: &model,
        options: model.detect_options(),
        operating_point: MaskThreshold::default(),
        volume_index: None,
        skull: SkullPolicy::Ignore,
        output: &folders.maps,
        portable: false,
        page: true,
    };
    let healthy = HealthyMean::load(&folders.healthy, model.folder().preparation())?;
    patients.iter().map(|patient| ComparedCase::new(patient, &mapper, &healthy)).collect()
}

/// Small enough for two cores in a few minutes.
fn config(seed: u64, steps: u64) -> RunConfig {
    let mut config = RunConfig::cpu_2mm();
    config.seed = seed;
    // Phantoms come from one scanner, and have no skull and no brain that a network would know.
    let plain = PrepareConfig { spacing_mm: scans::SPACING_MM, ..PrepareConfig::default() };
    config.prepare = PrepareConfig { skull: SkullPolicy::Ignore, ..plain };
    config.pairs.patch = [1, 32, 32];
    config.pairs.hold_out = 4;
    // 72 mm: a stroke of the phantoms fits in.
    config.dag = DagConfig::for_window([1, 24, 24]);
    config.network = UNetConfig {
        channels: vec![16, 32, 32],
        resnets_per_level: 1,
        attention_levels: Vec::new(),
        middle_attention: false,
        groups: 8,
        ..UNetConfig::default()
    };
    config.train = TrainConfig {
        steps,
        batch: 16,
        learning_rate: 2e-3,
        warmup_steps: steps / 10,
        ema_decay: 0.99,
        validation_pairs: 64,
        ..TrainConfig::default()
    };
    config.detect.stride = [1, 16, 16];
    config
}

/// One patient on the working grid, scored in two ways.
struct ComparedCase {
    truth: CaseTruth,
    model: Array3<f32>,
    baseline: Array3<f32>,
}

impl ComparedCase {
    fn new(
        patient: &Patient,
        mapper: &ScanMapper<'_>,
        healthy: &HealthyMean,
    ) -> Result<Self, CliError> {
        let scan = Scan::read(&patient.scan)?;
        let lesion = read_mask(&patient.lesion, &scan)?;
        let found = mapper.run(&patient.scan, None, Some(lesion.view()))?;
        mapper.write_page(&patient.scan)?;
        let working: &Grid = &found.prepared.volume.grid;
        let label = resample_mask(lesion.view(), &scan.volume.grid, working)?;
        let baseline = healthy.difference(&found.prepared.volume)?;
        let truth = CaseTruth {
            name: patient.name.clone(),
            label,
            brain: Some(found.prepared.mask),
            spacing_mm: found.prepared.volume.grid.spacing_mm(),
        };
        Ok(Self { truth, model: found.working_score, baseline })
    }
}

/// Measures of model and baseline side by side.
fn compare(cases: &[ComparedCase]) -> Result<String, CliError> {
    let evaluator = EvaluateConfig::default().build()?;
    let report = |of: fn(&ComparedCase) -> &Array3<f32>| -> Result<MethodReport, CliError> {
        let cases: Vec<_> =
            cases.iter().map(|case| (case.truth.clone(), of(case).clone())).collect();
        Ok(evaluate("demo", &cases, &evaluator)?)
    };
    let (model, baseline) = (report(|case| &case.model)?, report(|case| &case.baseline)?);
    let mut text = String::from(
        "                        model            |x - mean of healthy|\n\
         case         share      AP  best Dice       AP  best Dice\n",
    );
    for (name, model, baseline) in rows(&model, &baseline) {
        let [share, ap, dice] = model;
        let [_, baseline_ap, baseline_dice] = baseline;
        text += &format!(
            "{name:<11}  {share}   {ap}      {dice}    {baseline_ap}      {baseline_dice}\n"
        );
    }
    text += "share = lesion voxels of the brain, which is the AP of guessing; best Dice over all thresholds";
    Ok(text)
}

type Cells = [String; 3];

/// Name, measures of the model and of the baseline: for each case and pooled.
fn rows(model: &MethodReport, baseline: &MethodReport) -> Vec<(String, Cells, Cells)> {
    const SHOWN: [Measure; 3] = [Measure::Prevalence, Measure::Ap, Measure::BestDice];
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.3}"));
    let cases = model.cases.iter().zip(&baseline.cases).map(|(model, baseline)| {
        let [a, b] = [model, baseline].map(|case| SHOWN.map(|shown| number(case.get(shown))));
        (model.name.clone(), a, b)
    });
    let pooled = |report: &MethodReport| {
        SHOWN.map(|shown| number(report.pooled.get(&shown).map(|estimate| estimate.value)))
    };
    cases.chain([("pooled".to_owned(), pooled(model), pooled(baseline))]).collect()
}

/// Writes `pairs.csv` for `disyre evaluate`.
fn write_list(folders: &Folders, patients: &[Patient]) -> Result<(), CliError> {
    let relative = |path: &Path| path.strip_prefix(&folders.root).unwrap_or(path).to_owned();
    let pair = |patient: &Patient| MapPair {
        score: relative(&DetectionFiles::of(&patient.scan, &folders.maps).score),
        label: relative(&patient.lesion),
        mask: Some(relative(&patient.brain)),
        scan: Some(relative(&patient.scan)),
        subject: None,
    };
    write_pairs(&folders.root.join("pairs.csv"), &patients.iter().map(pair).collect::<Vec<_>>())
}

impl Folders {
    fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            healthy: root.join("healthy"),
            model: root.join("model"),
            maps: root.join("maps"),
        }
    }

    fn next_commands(&self) -> String {
        let root = self.root.display();
        format!(
            "pages to read: {root}/maps/*_page.html\n\
             pictures: {root}/maps/*_overlay.png\n\
             next, try:\n  \
             disyre info {root}/model\n  \
             disyre evaluate --pairs {root}/pairs.csv\n  \
             disyre detect -i {root}/patients -o {root}/again -m {root}/model --severities 0.3,0.6\n  \
             disyre synth -i {root}/healthy -o {root}/synthetic -n 8\n  \
             disyre train --healthy {root}/healthy -o {root}/longer --config {root}/model/run.toml --steps 3000"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demos_settings_are_valid() {
        config(0, 500).check().unwrap();
        config(0, 1).check().unwrap();
    }
}
