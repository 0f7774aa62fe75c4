//! Healthy scans that lesions are implanted into.

use std::path::Path;

use disyre_core::ndarray::Array3;
use disyre_n4::N4Config;
use disyre_register::{RegisterConfig, Registration, Template, Verdict};
use disyre_volume::{HashedFile, Image, ImageOptions, Scan, nonzero_mask};

use crate::brain::{Brain, Ground};
use crate::{ImplantError, TissueLevels};

/// A healthy, skull-stripped, T1-weighted scan with its shading, its tissues and its place in MNI space.
#[derive(Debug, Clone)]
pub struct Host {
    pub(crate) scan: Scan,
    pub(crate) file: HashedFile,
    pub(crate) brain: Brain,
    /// Share of each voxel that most lesions may change, and that tumours may.
    pub(crate) tissue: Array3<f32>,
    pub(crate) tissue_and_sulci: Array3<f32>,
    registration: Registration,
}

impl Host {
    /// Reads a scan, estimates its shading and registers it. The brain is where the scan is not 0.
    ///
    /// # Errors
    /// [`ImplantError::NotStripped`] for a whole head; those of reading, bias correction and registration. A doubtful
    /// registration is no error: it is in the [`verdict`](Self::verdict).
    pub fn read(path: &Path, n4: &N4Config) -> Result<Self, ImplantError> {
        let scan = Image::read(path, &ImageOptions::default())?.scan;
        let file = HashedFile::of(path)?;
        let mask = nonzero_mask(scan.volume.data.view());
        let registrar = RegisterConfig::default().build()?;
        let registration =
            registrar.register(&Template::mni152()?, &scan.volume, Some(mask.view()))?;
        if registration.quality.dice.is_none() {
            return Err(ImplantError::NotStripped { path: path.to_owned() });
        }
        let brain = Brain::new(scan.name().as_str(), &scan.volume, mask, None, n4)?;
        let tissue = brain.ground(Ground::Tissue);
        let tissue_and_sulci = brain.ground(Ground::TissueAndSulci);
        Ok(Self { scan, file, brain, tissue, tissue_and_sulci, registration })
    }

    /// The scan as its file holds it.
    pub fn scan(&self) -> &Scan {
        &self.scan
    }

    /// The map from MNI space to the scan.
    pub fn registration(&self) -> &Registration {
        &self.registration
    }

    /// Whether the registration can be trusted: without it, lesions do not come to their places.
    pub fn verdict(&self) -> &Verdict {
        &self.registration.verdict
    }

    /// Levels of the tissues without the shading.
    pub fn levels(&self) -> TissueLevels {
        self.brain.levels
    }
}
