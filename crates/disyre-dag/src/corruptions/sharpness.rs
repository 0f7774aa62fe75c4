//! [`Sharpness`]: detail taken away or exaggerated.

use disyre_core::{Key, Severity, ndarray::Array3, rand::RngExt};
use serde::{Deserialize, Serialize};

use super::{
    corruption::Corruption,
    params::{CorruptionParams, SHARPNESS, SharpnessDirection, SharpnessParams},
    strength::{check_strength, draw_present},
};
use crate::{
    blur::{blur, check_sigma, radius},
    canvas::{Canvas, severity_of},
    check,
    error::DagError,
};

/// Settings of [`Sharpness`].
///
/// # Source
/// Ours; unsharp masking (Schreiber, "Wirephoto quality improvement by unsharp masking", 1970), in both directions.
///
/// ```
/// use disyre_dag::{Key, PlacedMask, corruptions::{Corruption, SharpnessConfig}};
/// use disyre_dag::ndarray::{Array3, Array4};
///
/// let clean = Array4::from_shape_fn((1, 1, 24, 24), |(_, _, y, x)| ((y + x) % 5 + 1) as f32 / 6.0);
/// let mask = PlacedMask { origin: [0, 4, 4], values: Array3::ones((1, 16, 16)) };
/// let mut out = Array4::zeros(clean.dim());
/// let sharpness = SharpnessConfig::default().build()?;
/// let severity = sharpness.corrupt(Key::new(1), clean.view(), &mask, out.view_mut())?;
/// assert!(severity.get() > 0.0 && out != clean);
/// # Ok::<(), disyre_dag::DagError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SharpnessConfig {
    /// Probability that an anomaly has this change, in `[0, 1]`.
    pub probability: f64,
    /// Least and greatest severity, in `[0, 1]`.
    pub severity: [f32; 2],
    /// Least and greatest standard deviation of the detail, in voxels, in `[0, 1000]`.
    pub sigma_voxels: [f64; 2],
    /// Probability that detail is exaggerated and not taken away, in `[0, 1]`.
    pub sharpen_probability: f64,
    /// Factor of the added detail at severity 1 when it is exaggerated, in `[0, 100]`.
    pub gain: f32,
}

impl Default for SharpnessConfig {
    fn default() -> Self {
        Self {
            probability: 1.0,
            severity: [0.0, 1.0],
            sigma_voxels: [1.0, 3.0],
            sharpen_probability: 0.5,
            gain: 1.5,
        }
    }
}

impl SharpnessConfig {
    /// Checks the values.
    ///
    /// # Errors
    /// [`DagError::Config`] naming the field that is out of range.
    pub fn build(self) -> Result<Sharpness, DagError> {
        check::probability("sharpen_probability", self.sharpen_probability)?;
        check_strength(self.probability, self.severity)?;
        let expected = "0 ≤ least ≤ greatest ≤ 1000 voxels";
        check::interval("sigma_voxels", self.sigma_voxels, [0.0, 1000.0], expected)?;
        check::in_range("gain", self.gain.into(), [0.0, 100.0], "a factor in [0, 100]")?;
        Ok(Sharpness { config: self })
    }
}

/// Moves the voxels under a mask towards a blurred copy of the image, or away from it: `x + s·m·(blur x − x)`, or
/// `x − s·gain·m·(blur x − x)`.
///
/// The blur is a mean over foreground, so that the rim of a brain does not darken; along an axis on which the window has
/// one voxel there is none. The severity it reports is the greatest change of any voxel.
#[derive(Debug, Clone)]
pub struct Sharpness {
    config: SharpnessConfig,
}

impl Sharpness {
    fn change(
        &self,
        params: &SharpnessParams,
        canvas: &mut Canvas<'_>,
    ) -> Result<Severity, DagError> {
        check_sigma("sigma_voxels", [params.sigma_voxels; 3])?;
        let inner = canvas.inner();
        let sigma =
            inner.extents().map(|extent| if extent > 1 { params.sigma_voxels } else { 0.0 });
        let amount = match params.direction {
            SharpnessDirection::Blur => params.severity.get(),
            SharpnessDirection::Sharpen => -params.severity.get() * self.config.gain,
        };
        let mut target = canvas.window().to_owned();
        for (image, mut target) in canvas.neighbourhood().outer_iter().zip(target.outer_iter_mut())
        {
            let (mut smooth, mut share): (Array3<f32>, Array3<f32>) =
                (image.to_owned(), image.mapv(|value| f32::from(u8::from(value > 0.0))));
            blur(smooth.view_mut(), sigma);
            blur(share.view_mut(), sigma);
            smooth.zip_mut_with(&share, |value, share| *value /= share.max(f32::MIN_POSITIVE));
            target.zip_mut_with(&inner.of(smooth.view()), |value, smooth| {
                *value += amount * (smooth - *value);
            });
        }
        Ok(severity_of(canvas.blend_towards(target.view(), 1.0)))
    }
}

impl Corruption for Sharpness {
    fn name(&self) -> &'static str {
        SHARPNESS
    }

    /// Draws a severity, a direction and a scale.
    fn draw(&self, key: Key) -> CorruptionParams {
        let mut rng = key.rng();
        let severity = draw_present(&mut rng, self.config.probability, self.config.severity);
        let sharpen = rng.random_bool(self.config.sharpen_probability);
        let [least, greatest] = self.config.sigma_voxels;
        let sigma_voxels = least + (greatest - least) * rng.random::<f64>();
        let direction =
            if sharpen { SharpnessDirection::Sharpen } else { SharpnessDirection::Blur };
        CorruptionParams::Sharpness(SharpnessParams { severity, direction, sigma_voxels })
    }

    fn margin(&self) -> [usize; 3] {
        [radius(self.config.sigma_voxels[1]); 3]
    }

    fn realise(
        &self,
        params: &CorruptionParams,
        canvas: &mut Canvas<'_>,
    ) -> Result<Severity, DagError> {
        match params {
            CorruptionParams::Sharpness(params) => self.change(params, canvas),
            other => Err(other.unlike(self.name())),
        }
    }
}
