//! Registrations: from a start, over the levels, to a map and its verdict.

use disyre_core::ndarray::ArrayView3;
use disyre_core::{Key, Volume};

use crate::local_correlation::LocalCorrelation;
use crate::mattes::Mattes;
use crate::maximise::Limits;
use crate::objective::{Agreement, Objective};
use crate::quality::{Fit, Quality};
use crate::samples::{Region, Samples};
use crate::start::{Found, StartSearch};
use crate::subject::Subject;
use crate::{Freedom, Metric, RegisterConfig, RegisterError, Registration, Template, Verdict};

/// Registers scans to templates: a checked [`RegisterConfig`].
///
/// ```
/// # #[cfg(feature = "template")] {
/// use disyre_register::{RegisterConfig, Template, Verdict};
///
/// let template = Template::mni152()?;
/// // The template itself, shifted by 12 mm to the right.
/// let mut scan = template.volume.clone();
/// scan.grid.affine[0][3] += 12.0;
/// let registration = RegisterConfig::default().build()?.register(&template, &scan, None)?;
/// let [x, y, z] = registration.position([22.0, 20.0, 30.0]);
/// assert!((x - 10.0).abs() < 0.2 && (y - 20.0).abs() < 0.2 && (z - 30.0).abs() < 0.2);
/// assert_eq!(registration.verdict, Verdict::Good);
/// # }
/// # Ok::<(), disyre_register::RegisterError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Registrar {
    config: RegisterConfig,
}

impl Registrar {
    pub(crate) fn new(config: RegisterConfig) -> Self {
        Self { config }
    }

    /// The settings.
    pub fn config(&self) -> &RegisterConfig {
        &self.config
    }

    /// The affine from a template to a scan.
    ///
    /// # Shapes and units
    /// `mask` is `(z, y, x)` of the scan, not 0 in the brain: outside of it the scan counts as background. Without it
    /// the brain is where the scan is not 0; if that is more than a brain (2.3 l), the scan is taken for a whole head,
    /// and only what lies in the template's brain is compared.
    ///
    /// # Errors
    /// [`RegisterError::Shape`] for a mask of another shape or intensities that are not finite, [`RegisterError::Thin`]
    /// for a slice, [`RegisterError::NoForeground`] for an empty scan, [`RegisterError::Singular`] for an affine
    /// without an inverse. A bad fit is no error: it is in the [`Verdict`](crate::Verdict).
    pub fn register(
        &self,
        template: &Template,
        scan: &Volume,
        mask: Option<ArrayView3<'_, u8>>,
    ) -> Result<Registration, RegisterError> {
        ensure_thick(scan)?;
        let subject = Subject::new("scan", scan, mask, &self.config.levels)?;
        self.fit(template, &subject)
    }

    /// As [`register`](Self::register), but voxels where `excluded` is not 0, a lesion for instance, do not count.
    ///
    /// # Errors
    /// As [`register`](Self::register).
    ///
    /// # Source
    /// Cost-function masking: Brett, Leff, Rorden & Ashburner, NeuroImage 14 (2001) 486.
    pub fn register_excluding(
        &self,
        template: &Template,
        scan: &Volume,
        mask: Option<ArrayView3<'_, u8>>,
        excluded: ArrayView3<'_, u8>,
    ) -> Result<Registration, RegisterError> {
        ensure_thick(scan)?;
        let subject = Subject::new("scan", scan, mask, &self.config.levels)?;
        self.fit(template, &subject.without(scan, excluded)?)
    }

    fn fit(&self, template: &Template, scan: &Subject) -> Result<Registration, RegisterError> {
        let levels = &self.config.levels;
        let target = Subject::new("template", &template.brain(), None, levels)?;
        let [margin_mm, coarse_margin_mm] =
            if scan.is_stripped() { [self.config.margin_mm, COARSE_MARGIN_MM] } else { [0.0; 2] };
        let mask = template.mask_volume();
        let region = Region::new(&mask, margin_mm)?;
        let key = Key::new(self.config.seed).child("register");
        let coarse_region = Region::new(&mask, coarse_margin_mm)?;
        let mut samples = self.samples(0, &target, &coarse_region, key.child(0usize))?;
        let coarse = self.objective(0, scan, &samples);
        let Found { mut pose, runner_up } = StartSearch {
            start: self.config.start,
            freedom: self.coarse_freedom(),
            template: &target.foreground,
            scan,
            objective: &coarse,
        }
        .run();
        let mut metric = 0.0;
        for (index, level) in levels.iter().enumerate() {
            let freedom = if index == 0 { self.coarse_freedom() } else { self.config.freedom };
            if index > 0 {
                samples = self.samples(index, &target, &region, key.child(index))?;
            }
            let limits = Limits {
                longest_step: 2.0 * level.spacing_mm,
                shortest_step: 0.01 * level.spacing_mm,
                steps: 60,
            };
            (pose, metric) = self.objective(index, scan, &samples).fit(&pose, freedom, limits);
        }
        let scan_from_template = pose.affine();
        let fit =
            Fit { template, image: target.finest(), scan, scan_from_template: &scan_from_template };
        let quality = Quality { runner_up, ..fit.quality(key.child("quality"))? };
        let verdict = Verdict::of(&quality);
        Ok(Registration { scan_from_template, metric, quality, verdict })
    }

    fn objective<'a>(
        &self,
        level: usize,
        scan: &'a Subject,
        samples: &'a Samples,
    ) -> Objective<'a> {
        let excluded = scan.excluded.as_ref();
        Objective { scan: &scan.images[level], excluded, samples, agreement: self.agreement(level) }
    }

    /// At most 7 degrees of freedom.
    fn coarse_freedom(&self) -> Freedom {
        match self.config.freedom {
            Freedom::Rigid => Freedom::Rigid,
            _ => Freedom::Similarity,
        }
    }

    /// True where local correlation measures.
    fn is_local(&self, level: usize) -> Option<(usize, f64)> {
        const LEAST_SPACING_MM: f64 = 4.0;
        match self.config.metric {
            Metric::LocalCorrelation { radius } if level > 0 => {
                let spacing_mm = self.config.levels[level].spacing_mm.max(LEAST_SPACING_MM);
                Some((2 * radius + 1, spacing_mm))
            }
            _ => None,
        }
    }

    fn agreement(&self, level: usize) -> Agreement {
        match (self.is_local(level), self.config.metric) {
            (Some((side, _)), _) => {
                Agreement::LocalCorrelation(LocalCorrelation { block: side.pow(3) })
            }
            (None, Metric::MattesMutualInformation { bins }) => Agreement::Mattes(Mattes { bins }),
            (None, Metric::LocalCorrelation { .. }) => Agreement::Mattes(Mattes { bins: 32 }),
        }
    }

    fn samples(
        &self,
        level: usize,
        template: &Subject,
        region: &Region,
        key: Key,
    ) -> Result<Samples, RegisterError> {
        let image = &template.images[level];
        match self.is_local(level) {
            Some((side, spacing_mm)) => Samples::in_blocks(image, region, side, spacing_mm, key),
            None => Ok(Samples::scattered(image, region, self.config.levels[level].samples, key)),
        }
    }
}

/// Margin at the coarsest level: the agreement there is compared with constants.
const COARSE_MARGIN_MM: f64 = 16.0;

/// Refuses what is no volume.
fn ensure_thick(scan: &Volume) -> Result<(), RegisterError> {
    const LEAST_MM: f64 = 30.0;
    let spacing = scan.grid.spacing_mm();
    let extents = [0, 1, 2].map(|axis| spacing[axis] * scan.grid.shape[axis] as f64);
    let extent_mm = extents.into_iter().fold(f64::INFINITY, f64::min);
    if extent_mm < LEAST_MM {
        return Err(RegisterError::Thin { extent_mm, least_mm: LEAST_MM });
    }
    Ok(())
}
