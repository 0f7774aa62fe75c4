//! [`PoissonBlend`]: a foreign texture blended in by its gradients.

mod bordered_grid;
mod multigrid;
mod solver;

use std::{fmt, sync::Arc};

use disyre_core::{
    Key, Severity,
    ndarray::{Array4, ArrayView3, ArrayView4},
};
use serde::{Deserialize, Serialize};

use super::{
    corruption::Corruption,
    foreign::{draw_texture, fill_foreign},
    params::{CorruptionParams, POISSON, TextureParams},
    strength::check_strength,
};
use crate::{
    canvas::{Canvas, severity_of},
    error::DagError,
    textures::TextureSource,
};

/// The guidance field of a Poisson blend; x: image, f: foreign texture, α: severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[doc(alias = "Gradients")]
pub enum Guidance {
    /// `(1 − α)·∇x + α·∇f`: at severity 1 the foreign ones alone.
    #[default]
    Interpolated,
    /// Between any two neighbours the greater of `(1 − α)·∇x` and `α·∇f`.
    Mixed,
}

/// Settings of [`PoissonBlend`].
///
/// # Source
/// Pérez et al., "Poisson image editing" (SIGGRAPH 2003); as an anomaly, Tan et al., "Detecting outliers with Poisson
/// image interpolation" (MICCAI 2021, arXiv 2107.02622), which mixes gradients.
///
/// ```
/// use disyre_dag::{Key, PlacedMask, corruptions::{Corruption, PoissonConfig}, textures::NoiseTexture};
/// use disyre_dag::ndarray::{Array3, Array4};
///
/// let clean = Array4::from_shape_fn((1, 1, 24, 24), |(_, _, y, x)| ((y + x) % 5 + 1) as f32 / 6.0);
/// let mask = PlacedMask { origin: [0, 4, 4], values: Array3::ones((1, 16, 16)) };
/// let mut out = Array4::zeros(clean.dim());
/// let blend = PoissonConfig::default().build(NoiseTexture::default())?;
/// let severity = blend.corrupt(Key::new(1), clean.view(), &mask, out.view_mut())?;
/// assert_eq!(out[[0, 0, 0, 0]], clean[[0, 0, 0, 0]]); // outside the mask
/// # Ok::<(), disyre_dag::DagError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PoissonConfig {
    /// Probability that an anomaly has this blend, in `[0, 1]`.
    pub probability: f64,
    /// Least and greatest severity, in `[0, 1]`.
    pub severity: [f32; 2],
    /// The guidance field.
    pub gradients: Guidance,
    /// Whether voxels at which the texture is background (0 in all channels) keep the image.
    pub clip_to_foreign: bool,
}

impl Default for PoissonConfig {
    fn default() -> Self {
        Self {
            probability: 1.0,
            severity: [0.0, 1.0],
            gradients: Guidance::Interpolated,
            clip_to_foreign: false,
        }
    }
}

impl PoissonConfig {
    /// Checks the values.
    ///
    /// # Errors
    /// [`DagError::Config`] naming the field that is out of range.
    pub fn build(self, textures: impl TextureSource + 'static) -> Result<PoissonBlend, DagError> {
        check_strength(self.probability, self.severity)?;
        Ok(PoissonBlend { config: self, textures: Arc::new(textures) })
    }
}

/// Replaces an image under a mask by the one whose gradients are nearest to given ones and that meets the image at the
/// mask's border: no edge shows, a constant added to the texture changes nothing.
///
/// One equation for every voxel Ω with mask > 0: the sum of differences to its neighbours (sharing a face) equals that
/// of the guiding ones. Neighbours outside Ω keep the image's values; neighbours in the background, and beyond the
/// image, do not count. A soft mask fades the result. Solved in `f64` by conjugate gradients, preconditioned by a
/// multigrid cycle, until the norm of the residual is below 1e-6 of the first one's. Along an axis on which the window
/// has one voxel there are no neighbours.
///
/// The severity it reports is the greatest change of any voxel.
///
/// # Source
/// Pérez et al. 2003, equation 7; conjugate gradients: Hestenes and Stiefel 1952; multigrid: Braess 1995.
#[derive(Clone)]
pub struct PoissonBlend {
    config: PoissonConfig,
    textures: Arc<dyn TextureSource>,
}

impl fmt::Debug for PoissonBlend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoissonBlend").field("config", &self.config).finish_non_exhaustive()
    }
}

impl PoissonBlend {
    fn blend(&self, params: &TextureParams, canvas: &mut Canvas<'_>) -> Result<Severity, DagError> {
        if params.severity == Severity::CLEAN {
            return Ok(Severity::CLEAN);
        }
        // The texture covers the margin too: gradients across the window's border are its own.
        let mut foreign = Array4::zeros(canvas.neighbourhood().dim());
        fill_foreign(&*self.textures, params.source, canvas, foreign.view_mut())?;
        let domain = self.domain(canvas, foreign.view());
        let (neighbourhood, inner) = (canvas.neighbourhood(), canvas.inner());
        let mut target = canvas.window().to_owned();
        let channels = neighbourhood.outer_iter().zip(foreign.outer_iter());
        for ((image, foreign), mut target) in channels.zip(target.outer_iter_mut()) {
            let change = self.change(&domain, image, foreign, params.severity.get());
            let change = ArrayView3::from_shape(image.dim(), &change)
                .expect("a change for every voxel of the canvas");
            target.zip_mut_with(&inner.of(change), |value, change| *value += *change as f32);
        }
        Ok(severity_of(canvas.blend_towards(target.view(), 1.0)))
    }

    /// The voxels of the canvas to be solved for.
    fn domain(&self, canvas: &Canvas<'_>, foreign: ArrayView4<'_, f32>) -> solver::Domain {
        let (neighbourhood, inner, mask) =
            (canvas.neighbourhood(), canvas.inner(), &canvas.mask().values);
        let (_, depth, height, width) = neighbourhood.dim();
        let size = depth * height * width;
        let (neighbourhood, foreign) =
            (neighbourhood.to_slice().unwrap_or(&[]), foreign.to_slice().unwrap_or(&[]));
        let dark =
            |image: &[f32], at: usize| image.iter().skip(at).step_by(size).all(|v| *v == 0.0);
        let clip = self.config.clip_to_foreign;
        let mut voxels = Vec::new();
        for ((z, y, x), &m) in mask.indexed_iter() {
            let at = [z + inner.start[0], y + inner.start[1], x + inner.start[2]];
            let index = (at[0] * height + at[1]) * width + at[2];
            if m > 0.0 && !(clip && dark(foreign, index)) {
                voxels.push(at);
            }
        }
        let axes = inner.extents().map(|extent| extent > 1);
        solver::Domain::new([depth, height, width], axes, &voxels, |at| !dark(neighbourhood, at))
    }

    /// The change of one channel: 0 outside the domain.
    fn change(
        &self,
        domain: &solver::Domain,
        image: ArrayView3<'_, f32>,
        foreign: ArrayView3<'_, f32>,
        alpha: f32,
    ) -> Vec<f64> {
        let alpha = f64::from(alpha);
        let (image, foreign) = (image.to_slice().unwrap_or(&[]), foreign.to_slice().unwrap_or(&[]));
        domain.solve(|from, to| {
            let own = f64::from(image[from]) - f64::from(image[to]);
            let other = f64::from(foreign[from]) - f64::from(foreign[to]);
            let guide = match self.config.gradients {
                Guidance::Interpolated => (1.0 - alpha) * own + alpha * other,
                Guidance::Mixed => {
                    let (own, other) = ((1.0 - alpha) * own, alpha * other);
                    if own.abs() > other.abs() { own } else { other }
                }
            };
            guide - own
        })
    }
}

impl Corruption for PoissonBlend {
    fn name(&self) -> &'static str {
        POISSON
    }

    /// Draws a severity and the key of a texture.
    fn draw(&self, key: Key) -> CorruptionParams {
        let PoissonConfig { probability, severity, .. } = self.config;
        CorruptionParams::Poisson(draw_texture(key, probability, severity))
    }

    fn margin(&self) -> [usize; 3] {
        [1; 3]
    }

    fn realise(
        &self,
        params: &CorruptionParams,
        canvas: &mut Canvas<'_>,
    ) -> Result<Severity, DagError> {
        match params {
            CorruptionParams::Poisson(params) => self.blend(params, canvas),
            other => Err(other.unlike(self.name())),
        }
    }
}
