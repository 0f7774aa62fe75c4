//! The phantoms of the demo and their files.

use std::path::{Path, PathBuf};

use disyre::core::Key;
use disyre::phantom::{LesionKind, PhantomConfig};
use disyre::volume::{nonzero_mask, write_labels, write_volume};

use crate::error::CliError;
use crate::output_files::create_folder;

/// Healthy phantoms: those that train and those that validate.
pub(super) const HEALTHY: usize = 24;
/// Phantoms of each kind of lesion.
const OF_EACH_KIND: usize = 2;
/// Phantoms with lesions.
pub(super) const PATIENTS: usize = OF_EACH_KIND * LesionKind::ALL.len();
/// Spacing of the phantoms and of the work on them: nothing needs resampling.
pub(super) const SPACING_MM: f64 = 3.0;

/// A phantom with a lesion, and its files.
#[derive(Debug)]
pub(super) struct Patient {
    pub(super) name: String,
    pub(super) scan: PathBuf,
    pub(super) lesion: PathBuf,
    pub(super) brain: PathBuf,
}

fn phantoms() -> PhantomConfig {
    PhantomConfig { spacing_mm: SPACING_MM, ..PhantomConfig::default() }
}

/// Writes healthy phantoms.
pub(super) fn draw_healthy(folder: &Path, key: Key) -> Result<(), CliError> {
    create_folder(folder)?;
    for index in 1..=HEALTHY {
        let phantom = phantoms().healthy(key.child(index));
        write_volume(&folder.join(format!("healthy-{index:02}.nii.gz")), &phantom.volume)?;
    }
    Ok(())
}

/// Writes phantoms with lesions, the lesions, and the brains.
pub(super) fn draw_patients(root: &Path, key: Key) -> Result<Vec<Patient>, CliError> {
    let [scans, lesions, brains] = ["patients", "lesions", "brains"].map(|name| root.join(name));
    [&scans, &lesions, &brains].into_iter().try_for_each(|folder| create_folder(folder))?;
    let mut patients = Vec::with_capacity(PATIENTS);
    for (kind, word) in LesionKind::ALL.into_iter().zip(["tumour", "stroke", "sclerosis"]) {
        for index in 1..=OF_EACH_KIND {
            let name = format!("{word}-{index}");
            let phantom = phantoms().with_lesion(key.child(name.as_str()), kind);
            let patient = Patient {
                scan: scans.join(format!("{name}.nii.gz")),
                lesion: lesions.join(format!("{name}_lesion.nii.gz")),
                brain: brains.join(format!("{name}_brain.nii.gz")),
                name,
            };
            let grid = &phantom.volume.grid;
            write_volume(&patient.scan, &phantom.volume)?;
            write_labels(&patient.lesion, phantom.lesion.view(), grid)?;
            write_labels(&patient.brain, nonzero_mask(phantom.volume.data.view()).view(), grid)?;
            patients.push(patient);
        }
    }
    Ok(patients)
}
