//! Maps a NIfTI scan with a trained model: `detect_nifti [OUT [MODEL_DIR SCAN.nii.gz]]`.
//!
//! Without arguments it trains a model for a moment and writes a phantom, so that the path can be followed without data.

use std::path::{Path, PathBuf};

use disyre::core::Key;
use disyre::phantom::{LesionKind, PhantomConfig};
use disyre::volume::write_volume;
use disyre::{Cohort, Model, RunConfig, Scan, Training, train};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let out = disyre_examples::output_folder("detect_nifti")?;
    let given: Vec<PathBuf> = std::env::args_os().skip(2).map(PathBuf::from).collect();
    let (model, scan) = match given.as_slice() {
        [] => without_data(&out)?,
        [model, scan] => (model.clone(), scan.clone()),
        _ => return Err("usage: detect_nifti [OUT [MODEL_DIR SCAN.nii.gz]]".into()),
    };
    let model = Model::load(model)?;
    let found = model.detect(&Scan::read(&scan)?)?;
    for file in found.save(&out)?.files.paths() {
        println!("{}", file.display());
    }
    Ok(())
}

/// A model trained for two steps, and a phantom with a tumour: paths of both.
fn without_data(out: &Path) -> Result<(PathBuf, PathBuf), Failure> {
    let mut config = RunConfig::cpu_2mm();
    config.prepare.spacing_mm = 6.0;
    config.pairs.patch = [1, 32, 32];
    config.dag.window = [1, 16, 16];
    config.network.channels = vec![8, 16];
    config.detect.stride = [1, 16, 16];
    (config.train.steps, config.train.warmup_steps, config.train.validation_pairs) = (2, 1, 2);
    let phantoms = PhantomConfig::default();
    let scan = |index: u64| (format!("phantom-{index}"), phantoms.healthy(Key::new(index)).volume);
    let cohort = Cohort::prepare(&(0..3).map(scan).collect::<Vec<_>>(), &config, Key::new(0))?;
    let model = out.join("model");
    train(&Training::new(&cohort, &config, &model), &mut |_| ())?;
    let scan = out.join("phantom_T1w.nii.gz");
    write_volume(&scan, &phantoms.with_lesion(Key::new(9), LesionKind::Tumour).volume)?;
    Ok((model, scan))
}
