//! The learning-free baseline from scans to maps on their own grids.

use std::path::{Path, PathBuf};

use disyre_core::Volume;
use disyre_core::ndarray::{Array3, ArrayView3};
use disyre_register::Registration;
use rayon::prelude::*;

use super::{Atlas, AtlasConfig, ZScores};
use crate::at_once::for_scans;
use crate::calibration::{HealthyFolder, HealthyScan};
use crate::{Error, HashedFile, Preparation, Prepared, TemplateSpace, Unscaled};

/// Maps scans by their distance from healthy brains, voxel by voxel in the template, without a network.
///
/// ```no_run
/// use disyre::volume::find_scans;
/// use disyre::{AtlasConfig, AtlasDetector, Preparation, PrepareConfig, Scan};
///
/// let healthy = find_scans("healthy/t1".as_ref())?;
/// let preparation = Preparation::unfitted(&PrepareConfig::default())?;
/// let detector = AtlasDetector::fit(&healthy, preparation, AtlasConfig::default())?;
/// detector.save("atlas".as_ref())?; // AtlasDetector::load reads it again
/// let found = detector.detect(&Scan::read("sub-01_T1w.nii.gz")?.volume, None)?;
/// println!("registration: {}", found.registration.verdict);
/// # Ok::<(), disyre::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct AtlasDetector {
    pub(super) space: TemplateSpace,
    pub(super) preparation: Preparation,
    pub(super) atlas: Atlas,
    pub(super) scans: Vec<HealthyScan>,
    pub(super) left_out: Vec<HealthyScan>,
}

/// Maps of one scan by an [`AtlasDetector`].
#[derive(Debug, Clone)]
pub struct AtlasDetection {
    /// Distance from the healthy mean in standard deviations on the grid of the scan, ≥ 0; 0 outside the brain and where
    /// the atlas knows too few brains.
    pub absolute: Array3<f32>,
    /// The same with its sign: below 0 is darker than healthy.
    pub signed: Array3<f32>,
    /// Both on the grid of the template.
    pub scores: ZScores,
    /// The scan on the grid of the template.
    pub prepared: Prepared,
    /// The registration; where its verdict is doubtful the maps mean little.
    pub registration: Registration,
}

impl AtlasDetector {
    /// Reads, prepares and registers healthy scans, several at a time, and takes mean and deviation.
    ///
    /// The spacing is the template's, 2 mm, and so are the axes, whatever the settings say. Scans whose registration is
    /// doubtful are left out: see [`left_out`](Self::left_out). What the preparation needs of a cohort is fitted to the
    /// others, unless it is fitted already.
    ///
    /// # Errors
    /// [`Error::Case`] naming the first scan that cannot be used, [`Error::TooFewHealthy`] if fewer than two register well,
    /// and those of [`Atlas::fit`].
    pub fn fit(
        healthy: &[PathBuf],
        preparation: Preparation,
        config: AtlasConfig,
    ) -> Result<Self, Error> {
        let space = TemplateSpace::mni152()?;
        let align = |path: &PathBuf| align(path, &preparation, &space);
        let aligned = for_scans(healthy, |path| path, align)?;
        let (good, doubtful): (Vec<_>, Vec<_>) =
            aligned.into_iter().partition(|(scan, _)| scan.registration.is_good());
        let left_out: Vec<HealthyScan> = doubtful.into_iter().map(|(scan, _)| scan).collect();
        if good.len() < 2 && !left_out.is_empty() {
            return Err(HealthyFolder::Atlas.too_few(good.len(), &left_out));
        }
        let (scans, aligned): (Vec<HealthyScan>, Vec<Unscaled>) = good.into_iter().unzip();
        let preparation = match preparation.is_fitted() {
            true => preparation,
            false => preparation.fit(&aligned)?,
        };
        let scaled = aligned.par_iter().map(|scan| preparation.scale(scan));
        let atlas = Atlas::fit(config, &scaled.collect::<Result<Vec<_>, _>>()?)?;
        Ok(Self { space, preparation, atlas, scans, left_out })
    }

    /// The healthy scans.
    pub fn scans(&self) -> &[HealthyScan] {
        &self.scans
    }

    /// Scans that were given but do not count, as their registration is doubtful.
    pub fn left_out(&self) -> &[HealthyScan] {
        &self.left_out
    }

    /// The preparation of scans, fitted.
    pub fn preparation(&self) -> &Preparation {
        &self.preparation
    }

    /// Mean and deviation.
    pub fn atlas(&self) -> &Atlas {
        &self.atlas
    }

    /// Maps a scan.
    ///
    /// # Shapes and units
    /// `brain` has the scan's shape, non-zero inside the brain. Without it a head is refused or stripped, as the settings
    /// of preparation say, and the brain of any other scan is where it is not 0.
    ///
    /// # Errors
    /// Those of [`BrainFinder::brain_of`](crate::BrainFinder::brain_of) and of [`Preparation::prepare`].
    pub fn detect(
        &self,
        scan: &Volume,
        brain: Option<ArrayView3<'_, u8>>,
    ) -> Result<AtlasDetection, Error> {
        let extracted = match brain {
            Some(_) => None,
            None => self.preparation.brain_of(scan)?,
        };
        let brain = brain.or_else(|| extracted.as_ref().map(|found| found.mask.view()));
        let (aligned, registration) = self.preparation.align_to(&self.space, scan, brain)?;
        let prepared = self.preparation.scale(&aligned)?;
        let scores = self.atlas.scores(&prepared)?;
        let to_scan = |map: &Array3<f32>| {
            let known = map * &scores.known.mapv(f32::from);
            prepared.to_scan(known, scan, brain)
        };
        let (absolute, signed) = (to_scan(&scores.absolute)?, to_scan(&scores.signed)?);
        Ok(AtlasDetection { absolute, signed, scores, prepared, registration })
    }
}

/// Reads a healthy scan and lays it on the grid of the template.
fn align(
    path: &Path,
    preparation: &Preparation,
    space: &TemplateSpace,
) -> Result<(HealthyScan, Unscaled), Error> {
    let scan = preparation.config().skull.read(path)?.volume;
    let case = || Error::case(&path.display().to_string());
    let brain = preparation.brain_of(&scan).map_err(case())?;
    let brain = brain.as_ref().map(|brain| brain.mask.view());
    let (aligned, found) = preparation.align_to(space, &scan, brain).map_err(case())?;
    Ok((HealthyScan { file: HashedFile::of(path)?, registration: found.verdict }, aligned))
}
