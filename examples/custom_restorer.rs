//! A restorer of your own in the whole pipeline: every brain voxel is "restored" to the mean of healthy brains, so the
//! map is the intensity baseline |x − mean|.
//!
//! `custom_restorer [OUT [HEALTHY_DIR SCAN.nii.gz…]]`; without scans it makes phantoms.

use std::path::{Path, PathBuf};

use disyre::core::ndarray::{ArrayView5, ArrayViewMut5, Zip};
use disyre::core::{Key, RestoreError, Restorer, Severity};
use disyre::phantom::{LesionKind, PhantomConfig};
use disyre::volume::{Scan, write_map, write_volume};
use disyre::{Cohort, Detector, RunConfig, SkullPolicy, Subject};

struct HealthyMean(f32);

impl Restorer for HealthyMean {
    fn restore(
        &self,
        batch: ArrayView5<'_, f32>,
        _: &[Severity],
        mut restored: ArrayViewMut5<'_, f32>,
    ) -> Result<(), RestoreError> {
        Zip::from(&mut restored)
            .and(&batch)
            .for_each(|out, &value| *out = if value > 0.0 { self.0 } else { 0.0 });
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let out = disyre_examples::output_folder("custom_restorer")?;
    let mut arguments = std::env::args_os().skip(2).map(PathBuf::from);
    let config = RunConfig::cpu_2mm();
    let healthy = arguments.next();
    let cohort = match &healthy {
        Some(folder) => Cohort::load(folder, &config, Key::new(0))?,
        None => phantom_cohort(&config)?,
    };
    let restorer = HealthyMean(mean_of_brains(&cohort.training));
    println!("mean of {} healthy brains: {:.3}", cohort.training.len(), restorer.0);
    let preparation = config.prepare.with_reference(cohort.reference.clone())?;
    let detector = Detector::new(&restorer, preparation, config.detect_options())?;
    if healthy.is_none() {
        let phantom = PhantomConfig::default().with_lesion(Key::new(99), LesionKind::Stroke);
        let path = out.join("phantom.nii.gz");
        write_volume(&path, &phantom.volume)?;
        map(&detector, &path, &out)?;
    }
    arguments.try_for_each(|scan| map(&detector, &scan, &out))
}

fn map(detector: &Detector<'_>, path: &Path, out: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let scan = Scan::read(path)?;
    SkullPolicy::Refuse.brain_of(&scan.volume)?;
    let found = detector.detect(&scan.volume, None, &mut |_, _| ())?;
    let target = out.join(scan.name().output("anomalyscore").file("nii.gz"));
    write_map(&target, &scan, found.score.view())?;
    println!("{}", target.display());
    Ok(())
}

fn phantom_cohort(config: &RunConfig) -> Result<Cohort, disyre::Error> {
    let scan = |index: u64| {
        (format!("phantom-{index}"), PhantomConfig::default().healthy(Key::new(index)).volume)
    };
    Cohort::prepare(&(0..4).map(scan).collect::<Vec<_>>(), config, Key::new(0))
}

fn mean_of_brains(subjects: &[Subject]) -> f32 {
    let voxels = subjects.iter().flat_map(|subject| subject.image.iter());
    let (sum, count) = voxels
        .filter(|&&value| value > 0.0)
        .fold((0.0, 0.0), |(sum, count), &value| (sum + f64::from(value), count + 1.0));
    (sum / count) as f32
}
