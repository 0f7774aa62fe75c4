//! The learning-free baseline from scans to maps on their own grids.

use std::path::PathBuf;

use disyre_core::Volume;
use disyre_core::ndarray::{Array3, ArrayView3};
use disyre_register::Registration;
use disyre_volume::Scan;
use rayon::prelude::*;

use super::{Atlas, AtlasConfig, ZScores};
use crate::{Error, Preparation, PrepareConfig, Prepared, TemplateSpace, Unscaled};

/// Maps scans by their distance from healthy brains, voxel by voxel in the template, without a network.
///
/// ```no_run
/// use disyre::volume::find_scans;
/// use disyre::{AtlasConfig, AtlasDetector, PrepareConfig, Scan};
///
/// let healthy = find_scans("healthy/t1".as_ref())?;
/// let detector = AtlasDetector::fit(&healthy, &PrepareConfig::default(), AtlasConfig::default())?;
/// let found = detector.detect(&Scan::read("sub-01_T1w.nii.gz")?.volume, None)?;
/// println!("registration: {}", found.registration.verdict);
/// # Ok::<(), disyre::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct AtlasDetector {
    space: TemplateSpace,
    preparation: Preparation,
    atlas: Atlas,
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
    /// The spacing is the template's, 2 mm, and so are the axes, whatever the settings say.
    ///
    /// # Errors
    /// [`Error::Case`] naming the first scan that cannot be used, and those of [`Atlas::fit`].
    pub fn fit(
        healthy: &[PathBuf],
        prepare: &PrepareConfig,
        config: AtlasConfig,
    ) -> Result<Self, Error> {
        let space = TemplateSpace::mni152()?;
        let unfitted = Preparation::unfitted(prepare)?;
        let align = |path: &PathBuf| {
            let scan = Scan::read(path)?.volume;
            let case = || Error::case(&path.display().to_string());
            let brain = prepare.skull.brain_of(&scan).map_err(case())?;
            let brain = brain.as_ref().map(|brain| brain.mask.view());
            unfitted.align_to(&space, &scan, brain).map_err(case())
        };
        let aligned: Vec<Unscaled> = healthy.par_iter().map(align).collect::<Result<_, Error>>()?;
        let preparation = unfitted.clone().fit(&aligned)?;
        let scaled = aligned.par_iter().map(|scan| preparation.scale(scan));
        let atlas = Atlas::fit(config, &scaled.collect::<Result<Vec<_>, _>>()?)?;
        Ok(Self { space, preparation, atlas })
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
    /// Those of [`SkullPolicy::brain_of`](crate::SkullPolicy::brain_of) and of [`Preparation::prepare`].
    pub fn detect(
        &self,
        scan: &Volume,
        brain: Option<ArrayView3<'_, u8>>,
    ) -> Result<AtlasDetection, Error> {
        let extracted = match brain {
            Some(_) => None,
            None => self.preparation.config().skull.brain_of(scan)?,
        };
        let brain = brain.or_else(|| extracted.as_ref().map(|found| found.mask.view()));
        let aligned = self.preparation.align_to(&self.space, scan, brain)?;
        let prepared = self.preparation.scale(&aligned)?;
        let scores = self.atlas.scores(&prepared)?;
        let to_scan = |map: &Array3<f32>| {
            let known = map * &scores.known.mapv(f32::from);
            prepared.to_scan(known, scan, brain)
        };
        let (absolute, signed) = (to_scan(&scores.absolute)?, to_scan(&scores.signed)?);
        let registration = aligned.registration().cloned();
        let registration = registration.expect("the place in the template is a registration's");
        Ok(AtlasDetection { absolute, signed, scores, prepared, registration })
    }
}
