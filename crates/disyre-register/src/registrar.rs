//! The registrar: scans and masks in, maps and verdicts out.

use disyre_core::ndarray::ArrayView3;
use disyre_core::{Key, Volume};

use crate::quality::{Fit, Quality};
use crate::stages::Stages;
use crate::start::Found;
use crate::subject::Subject;
use crate::{RegisterConfig, RegisterError, Registration, Template, Verdict};

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
    /// Of scan or template: [`RegisterError::Shape`] for a mask of another shape or intensities that are not finite,
    /// [`RegisterError::Thin`] for a slice, [`RegisterError::NoForeground`] for an empty volume,
    /// [`RegisterError::Singular`] for an affine without an inverse. A bad fit is no error: it is in the [`Verdict`](crate::Verdict).
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
        let target = Subject::new("template", &template.brain()?, None, &self.config.levels)?;
        let key = Key::new(self.config.seed).child("register");
        let mask = template.mask_volume();
        let stages = Stages { config: &self.config, mask: &mask, target: &target, scan, key };
        let Found { pose, runner_up } = stages.start()?;
        let (pose, metric) = stages.climb(pose)?;
        let scan_from_template = pose.affine();
        let fit = Fit { mask: &mask, image: target.finest(), scan, map: &scan_from_template };
        let quality = Quality { runner_up, ..fit.quality(key.child("quality"))? };
        let verdict = Verdict::of(&quality);
        Ok(Registration { scan_from_template, metric, quality, verdict })
    }
}

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
