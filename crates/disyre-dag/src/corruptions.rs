//! What happens inside a mask.

mod bias;
mod deformation;
mod lattice;
mod multigrid;
mod normalisation;
mod poisson;
mod sharpness;
mod solver;
mod texture;

pub use crate::canvas::Canvas;
pub use bias::{BiasConfig, BiasDirection, BiasParams, Memberships, TissueBias};
pub use deformation::{Deformation, DeformationConfig, DeformationDirection, DeformationParams};
pub use normalisation::Normalisation;
pub use poisson::{Gradients, PoissonBlend, PoissonConfig};
pub use sharpness::{Sharpness, SharpnessConfig, SharpnessDirection, SharpnessParams};
pub use texture::{TextureBlend, TextureConfig, TextureParams};

use disyre_core::{
    Key, Severity,
    ndarray::{ArrayView4, ArrayViewMut4},
    rand::RngExt,
};
use serde::{Deserialize, Serialize};

use crate::{canvas::Scene, check, error::DagError, mask::PlacedMask, textures::TextureSource};

/// A change of intensities under a mask: what the families of anomalies are made of.
///
/// Drawing needs a key alone and serves any number of channels; realising is deterministic.
pub trait Corruption: Send + Sync {
    /// What it is called: parts of a family draw from keys of their names.
    fn name(&self) -> &'static str;

    /// Draws what this corruption leaves to chance.
    fn sample(&self, key: Key) -> CorruptionParams;

    /// Voxels around the mask's window that it looks at, `(z, y, x)`.
    fn margin(&self) -> [usize; 3] {
        [0; 3]
    }

    /// Corrupts the window of a canvas and returns the severity that was realised: 0 exactly where nothing changed.
    ///
    /// Nothing changes where the mask is 0. Equal arguments give equal results.
    ///
    /// # Errors
    /// [`DagError`] if parameters, canvas and corruption do not fit each other.
    fn realise(
        &self,
        params: &CorruptionParams,
        canvas: &mut Canvas<'_>,
    ) -> Result<Severity, DagError>;

    /// Draws, realises and writes.
    ///
    /// # Shapes and units
    /// `clean` and `out` are `(c, z, y, x)`, intensities in `[0, 1]`; all of `out` is written.
    ///
    /// # Errors
    /// [`DagError`] if the arrays, the mask and the corruption do not fit each other, [`DagError::EmptyMask`] for a mask
    /// that is 0 everywhere; `out` is then untouched.
    fn corrupt(
        &self,
        key: Key,
        clean: ArrayView4<'_, f32>,
        mask: &PlacedMask,
        out: ArrayViewMut4<'_, f32>,
    ) -> Result<Severity, DagError> {
        write(clean, mask, out, self.margin(), |canvas| self.realise(&self.sample(key), canvas))
    }
}

const TEXTURE: &str = "texture";
const BIAS: &str = "bias";
const POISSON: &str = "poisson";
const DEFORMATION: &str = "deformation";
const SHARPNESS: &str = "sharpness";

/// What a [`Corruption`] draws, as recipes record it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CorruptionParams {
    /// Of a [`TextureBlend`].
    Texture(TextureParams),
    /// Of a [`TissueBias`].
    Bias(BiasParams),
    /// Of a [`PoissonBlend`].
    Poisson(TextureParams),
    /// Of a [`Deformation`].
    Deformation(DeformationParams),
    /// Of a [`Sharpness`].
    Sharpness(SharpnessParams),
}

impl CorruptionParams {
    /// The drawn severity: what is realised may be less.
    pub fn severity(&self) -> Severity {
        match self {
            Self::Texture(params) => params.severity,
            Self::Bias(params) => params.severity,
            Self::Poisson(params) => params.severity,
            Self::Deformation(params) => params.severity,
            Self::Sharpness(params) => params.severity,
        }
    }

    /// The same draw at another severity: how an anomaly is shown from mild to severe.
    #[must_use]
    pub fn at(mut self, severity: Severity) -> Self {
        match &mut self {
            Self::Texture(params) => params.severity = severity,
            Self::Bias(params) => params.severity = severity,
            Self::Poisson(params) => params.severity = severity,
            Self::Deformation(params) => params.severity = severity,
            Self::Sharpness(params) => params.severity = severity,
        }
        self
    }

    /// The name of what drew them.
    const fn name(&self) -> &'static str {
        match self {
            Self::Texture(_) => TEXTURE,
            Self::Bias(_) => BIAS,
            Self::Poisson(_) => POISSON,
            Self::Deformation(_) => DEFORMATION,
            Self::Sharpness(_) => SHARPNESS,
        }
    }

    /// The error of a corruption that was handed another's parameters.
    fn unlike(&self, expected: &'static str) -> DagError {
        DagError::Params { expected, got: self.name() }
    }
}

/// Corrupts under a given mask and writes, if all goes well.
fn write<T>(
    clean: ArrayView4<'_, f32>,
    mask: &PlacedMask,
    out: ArrayViewMut4<'_, f32>,
    margin: [usize; 3],
    corrupt: impl FnOnce(&mut Canvas<'_>) -> Result<T, DagError>,
) -> Result<T, DagError> {
    let scene = Scene::from(clean);
    scene.check(&out)?;
    mask.check(&clean)?;
    if mask.voxels_above(0.0) == 0 {
        return Err(DagError::EmptyMask);
    }
    let mut canvas = Canvas::new(scene.reborrow(), mask, margin)?;
    let result = corrupt(&mut canvas)?;
    canvas.finish(out);
    Ok(result)
}

/// Fills a texture and checks that it holds numbers.
fn fill(
    textures: &dyn TextureSource,
    key: Key,
    canvas: &Canvas<'_>,
    mut texture: ArrayViewMut4<'_, f32>,
) -> Result<(), DagError> {
    textures.fill(key, canvas.clean(), texture.view_mut())?;
    // Without early exit, the sum vectorises; it is finite for all that a texture may hold.
    if texture.iter().fold(0.0, |sum: f32, value| sum + value * 0.0) == 0.0 {
        return Ok(());
    }
    let wrong = texture.indexed_iter().find(|(_, value)| !value.is_finite());
    let ((c, z, y, x), &value) = wrong.unwrap_or(((0, 0, 0, 0), &f32::NAN));
    Err(DagError::Texture { index: vec![c, z, y, x], value })
}

/// A severity that is present with a probability, from a configured interval.
fn draw_present(rng: &mut disyre_core::KeyRng, probability: f64, severity: [f32; 2]) -> Severity {
    let present = rng.random_bool(probability);
    let severity = draw_severity(severity, rng.random());
    if present { severity } else { Severity::CLEAN }
}

/// A severity from a configured interval.
fn draw_severity([least, greatest]: [f32; 2], fraction: f32) -> Severity {
    let value = (least + (greatest - least) * fraction).clamp(0.0, 1.0);
    Severity::new(value).unwrap_or(Severity::CLEAN)
}

/// Checks how often and how strongly a corruption is configured to be there.
fn check_strength(probability: f64, severity: [f32; 2]) -> Result<(), DagError> {
    check::probability("probability", probability)?;
    check::interval("severity", severity.map(f64::from), [0.0, 1.0], "0 ≤ least ≤ greatest ≤ 1")
}
