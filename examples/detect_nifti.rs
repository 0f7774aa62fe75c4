//! Maps a NIfTI scan with a trained model: `detect_nifti [OUT [MODEL_DIR SCAN.nii.gz]]`.
//!
//! Without a model it makes an untrained one and a phantom, so that the path can be followed without data.

use std::path::{Path, PathBuf};

use disyre::core::Key;
use disyre::diffusion::{ColdRestorer, Device, ModelConfig, Parameters, Weights};
use disyre::phantom::{LesionKind, PhantomConfig};
use disyre::volume::{Scan, write_map, write_volume};
use disyre::{Detector, RunConfig};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let out = disyre_examples::output_folder("detect_nifti")?;
    let given: Vec<PathBuf> = std::env::args_os().skip(2).map(PathBuf::from).collect();
    let (config, restorer, scan) = match given.as_slice() {
        [] => without_data(&out)?,
        [model, scan] => {
            let config = RunConfig::load(&model.join("run.toml"))?;
            let restorer = ColdRestorer::load(model, Weights::default(), &Device::cpu())?;
            (config, restorer, scan.clone())
        }
        _ => return Err("usage: detect_nifti [OUT [MODEL_DIR SCAN.nii.gz]]".into()),
    };
    let read = Scan::read(&scan)?;
    let detector = Detector::new(&restorer, config.prepare, config.detect_options())?;
    let found = detector.detect(&read.volume, None, &mut |done, all| {
        if done == all {
            println!("restored {all} windows");
        }
    })?;
    for (description, map) in [("anomalyscore", &found.score), ("restored", &found.restored)] {
        let path = out.join(read.name().output(description).file("nii.gz"));
        write_map(&path, &read, map.view())?;
        println!("{}", path.display());
    }
    Ok(())
}

fn without_data(out: &Path) -> Result<(RunConfig, ColdRestorer, PathBuf), Failure> {
    let mut config = RunConfig::cpu_2mm();
    config.prepare.spacing_mm = 6.0;
    config.pairs.patch = [1, 32, 32];
    config.dag.window = [1, 16, 16];
    config.network.channels = vec![8, 16];
    config.detect.stride = [1, 16, 16];
    let network = config.network.clone();
    let parameters = Parameters::seeded(&network, Key::new(0))?;
    let model = ModelConfig { network, patch: config.pairs.patch, ..ModelConfig::default() };
    let restorer = ColdRestorer::new(model, &parameters, &Device::cpu())?;
    let scan = out.join("phantom_T1w.nii.gz");
    write_volume(
        &scan,
        &PhantomConfig::default().with_lesion(Key::new(1), LesionKind::Tumour).volume,
    )?;
    Ok((config, restorer, scan))
}
