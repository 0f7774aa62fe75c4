//! Drawn parameters of all corruptions, as recipes record them.

use disyre_core::{Key, Severity, rand::RngExt};
use serde::{Deserialize, Serialize};

use crate::error::DagError;

pub(super) const TEXTURE: &str = "texture";
pub(super) const BIAS: &str = "bias";
pub(super) const POISSON: &str = "poisson";
pub(super) const DEFORMATION: &str = "deformation";
pub(super) const SHARPNESS: &str = "sharpness";

/// Parameters that a [`Corruption`](super::Corruption) has drawn, as recipes record them.
///
/// ```
/// use disyre_dag::{Key, Severity, corruptions::{Corruption, SharpnessConfig}};
///
/// let mild = SharpnessConfig::default().build()?.draw(Key::new(1)).at(Severity::new(0.2)?);
/// assert_eq!(mild.severity(), Severity::new(0.2)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CorruptionParams {
    /// Those of a [`TextureBlend`](super::TextureBlend).
    Texture(TextureParams),
    /// Those of a [`TissueBias`](super::TissueBias).
    Bias(BiasParams),
    /// Those of a [`PoissonBlend`](super::PoissonBlend).
    Poisson(TextureParams),
    /// Those of a [`Deformation`](super::Deformation).
    Deformation(DeformationParams),
    /// Those of a [`Sharpness`](super::Sharpness).
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
    pub(super) fn unlike(&self, expected: &'static str) -> DagError {
        DagError::Params { expected, got: self.name() }
    }
}

/// Parameters of a [`TextureBlend`](super::TextureBlend) and of a [`PoissonBlend`](super::PoissonBlend).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextureParams {
    /// The papers' alpha: the weight of the texture's voxels, or of their gradients.
    pub severity: Severity,
    /// The key of the texture.
    pub source: Key,
}

/// The sign of a bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BiasDirection {
    /// Intensities grow.
    Brighten,
    /// Intensities shrink.
    Darken,
}

impl BiasDirection {
    pub(super) fn of(brighten: bool) -> Self {
        if brighten { Self::Brighten } else { Self::Darken }
    }
}

/// Parameters of a [`TissueBias`](super::TissueBias).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BiasParams {
    /// The drawn shift of the first channel, and the most that another may draw. Mask, tissue and clipping may lessen
    /// it.
    pub severity: Severity,
    /// The sign of the first channel's shift.
    pub direction: BiasDirection,
    /// The key that the shifts of further channels are drawn with.
    pub channels: Key,
    /// For each tissue a number in `[0, 1)`: the tissue is selected if it lies below `n / (N + offset)`.
    pub selection: Vec<f64>,
}

impl BiasParams {
    /// The signed shift of a fully selected voxel of a channel: of the first one the severity, of others a uniform
    /// part of it.
    pub(super) fn shift_of(&self, channel: usize) -> f32 {
        let (amount, direction) = match channel {
            0 => (self.severity.get(), self.direction),
            _ => {
                let mut rng = self.channels.child(channel).rng();
                let amount = self.severity.get() * rng.random::<f32>();
                (amount, BiasDirection::of(rng.random_bool(0.5)))
            }
        };
        match direction {
            BiasDirection::Brighten => amount,
            BiasDirection::Darken => -amount,
        }
    }
}

/// Outwards or inwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeformationDirection {
    /// The middle grows.
    Bulge,
    /// The middle shrinks.
    Shrink,
}

/// Parameters of a [`Deformation`](super::Deformation).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeformationParams {
    /// The strength.
    pub severity: Severity,
    /// Outwards or inwards.
    pub direction: DeformationDirection,
}

/// Blur or sharpening.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SharpnessDirection {
    /// Detail is taken away.
    Blur,
    /// Detail is exaggerated.
    Sharpen,
}

/// Parameters of a [`Sharpness`](super::Sharpness).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharpnessParams {
    /// The strength.
    pub severity: Severity,
    /// Blur or sharpening.
    pub direction: SharpnessDirection,
    /// Standard deviation of the detail, in voxels.
    pub sigma_voxels: f64,
}
