//! [`Family`]: the names of the known families and their published settings.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    config::{
        AnomalyConfig, BiasPart, DagConfig, PartConfig, PoissonPart, TextureOrigin, TexturePart,
        TextureSourceConfig, TissueOrigin,
    },
    corruptions::{
        DeformationConfig, Guidance, Normalisation, PoissonConfig, SharpnessConfig, TextureConfig,
    },
    error::DagError,
    shapes::{PatchConfig, ShapeConfig},
    textures::RescaledConfig,
};

/// The families of synthetic anomalies by name; each is a configuration of the same parts.
///
/// ```
/// use disyre_dag::Family;
///
/// let family: Family = "dag-no-tissue".parse()?;
/// assert_eq!(family.to_string(), "dag-no-tissue");
/// assert_eq!(Family::ALL.len(), 13);
/// # Ok::<(), disyre_dag::DagError>(())
/// ```
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Disentangled anomalies: shape, foreign texture, bias of single tissues (DISYRE v2, arXiv 2407.06635).
    #[default]
    Dag,
    /// The same with a bias of all that the shape covers.
    DagNoTissue,
    /// The same without bias.
    TextureOnly,
    /// The same without texture.
    BiasOnly,
    /// Foreign patch interpolation: linear, intensities as they are (Tan et al. 2020, arXiv 2011.04197).
    Fpi,
    /// Poisson image interpolation with mixed gradients (Tan et al. 2021, arXiv 2107.02622).
    Pii,
    /// A rectangle of the same image, pasted at another place (Li et al. 2021, arXiv 2104.04015).
    CutPaste,
    /// A thin, turned rectangle of the same image (the same paper).
    CutPasteScar,
    /// A rescaled foreign patch, clipped to both objects, Poisson blended (Schlüter et al. 2022, arXiv 2109.15222).
    Nsa,
    /// Tissue pushed outwards or inwards (Baugh et al. 2023, arXiv 2307.00899).
    Deformation,
    /// Fractal noise in place of a foreign patch (after Zavrtanik et al., "DRAEM", 2021, arXiv 2108.07610).
    NoiseTexture,
    /// Detail taken away (ours).
    Blur,
    /// Detail exaggerated (ours).
    Sharpen,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Dag,
        Self::DagNoTissue,
        Self::TextureOnly,
        Self::BiasOnly,
        Self::Fpi,
        Self::Pii,
        Self::CutPaste,
        Self::CutPasteScar,
        Self::Nsa,
        Self::Deformation,
        Self::NoiseTexture,
        Self::Blur,
        Self::Sharpen,
    ];

    /// The name that [`FromStr`] and serde know.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dag => "dag",
            Self::DagNoTissue => "dag-no-tissue",
            Self::TextureOnly => "texture-only",
            Self::BiasOnly => "bias-only",
            Self::Fpi => "fpi",
            Self::Pii => "pii",
            Self::CutPaste => "cut-paste",
            Self::CutPasteScar => "cut-paste-scar",
            Self::Nsa => "nsa",
            Self::Deformation => "deformation",
            Self::NoiseTexture => "noise-texture",
            Self::Blur => "blur",
            Self::Sharpen => "sharpen",
        }
    }

    /// The family with its published values, on a window of these extents, `(z, y, x)` in voxels.
    ///
    /// Where a paper gives lengths as parts of an image, the window stands for half of it.
    pub fn config(self, window: [usize; 3]) -> AnomalyConfig {
        self.config_with(DagConfig::for_window(window))
    }

    /// The family with the window of these settings; DAG, its ablations and the noise texture follow their texture and
    /// bias too, all others have none of these.
    pub fn config_with(self, settings: DagConfig) -> AnomalyConfig {
        let DagConfig { window, texture, bias } = settings;
        let dag_texture = PartConfig::Texture(TexturePart {
            from: TextureSourceConfig::default(),
            blend: texture.clone(),
        });
        let dag_bias = |tissues| PartConfig::Bias(BiasPart { tissues, bias: bias.clone() });
        let published = ShapeConfig::Published;
        let (shape, parts) = match self {
            Self::Dag => (published, vec![dag_texture, dag_bias(TissueOrigin::Model)]),
            Self::DagNoTissue => (published, vec![dag_texture, dag_bias(TissueOrigin::None)]),
            Self::TextureOnly => (published, vec![dag_texture]),
            Self::BiasOnly => (published, vec![dag_bias(TissueOrigin::Model)]),
            Self::Fpi => (patch(PatchConfig::fpi()), vec![fpi()]),
            Self::Pii => (patch(PatchConfig::fpi()), vec![pii()]),
            Self::CutPaste => (patch(PatchConfig::cut_paste()), vec![cut_paste()]),
            Self::CutPasteScar => (patch(PatchConfig::cut_paste_scar()), vec![cut_paste()]),
            Self::Nsa => (patch(PatchConfig::nsa()), vec![nsa()]),
            Self::Deformation => {
                (published, vec![PartConfig::Deformation(DeformationConfig::default())])
            }
            Self::NoiseTexture => {
                let from =
                    TextureSourceConfig { origin: noise(), ..TextureSourceConfig::default() };
                (published, vec![PartConfig::Texture(TexturePart { from, blend: texture })])
            }
            Self::Blur => (published, vec![sharpness(0.0)]),
            Self::Sharpen => (published, vec![sharpness(1.0)]),
        };
        AnomalyConfig { window, shape, parts }
    }
}

fn patch(config: PatchConfig) -> ShapeConfig {
    ShapeConfig::Patch(config)
}

fn noise() -> TextureOrigin {
    TextureOrigin::Noise(crate::textures::NoiseTextureConfig::default())
}

/// Published: interpolation factor from 0.05 to 0.95, no normalisation.
fn fpi() -> PartConfig {
    let blend = TextureConfig {
        severity: [0.05, 0.95],
        normalisation: Normalisation::None,
        ..TextureConfig::default()
    };
    PartConfig::Texture(TexturePart { from: TextureSourceConfig::default(), blend })
}

/// Published: as FPI, of two gradients the greater.
fn pii() -> PartConfig {
    let blend = PoissonConfig {
        severity: [0.05, 0.95],
        gradients: Guidance::Mixed,
        ..PoissonConfig::default()
    };
    PartConfig::Poisson(PoissonPart { from: TextureSourceConfig::default(), blend })
}

/// Published: the whole patch, its brightness changed by up to a tenth.
fn cut_paste() -> PartConfig {
    let change = RescaledConfig { gain: [0.9, 1.1], ..RescaledConfig::default() };
    let from = TextureSourceConfig { origin: TextureOrigin::SameImage, change };
    let blend = TextureConfig {
        severity: [1.0, 1.0],
        normalisation: Normalisation::None,
        ..TextureConfig::default()
    };
    PartConfig::Texture(TexturePart { from, blend })
}

/// Published: enlarged by N(1, 0.5) clipped to 0.7 to 1.3, all of the foreign gradients.
fn nsa() -> PartConfig {
    let change =
        RescaledConfig { zoom: [0.7, 1.3], zoom_sd: Some(0.5), ..RescaledConfig::default() };
    let from = TextureSourceConfig { change, ..TextureSourceConfig::default() };
    let blend =
        PoissonConfig { severity: [1.0, 1.0], clip_to_foreign: true, ..PoissonConfig::default() };
    PartConfig::Poisson(PoissonPart { from, blend })
}

fn sharpness(sharpen_probability: f64) -> PartConfig {
    PartConfig::Sharpness(SharpnessConfig { sharpen_probability, ..SharpnessConfig::default() })
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Family {
    type Err = DagError;

    fn from_str(name: &str) -> Result<Self, DagError> {
        let found = Self::ALL.into_iter().find(|family| family.name() == name);
        found.ok_or_else(|| DagError::UnknownFamily {
            name: name.to_owned(),
            known: Self::ALL.map(Self::name).join(", "),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_serde_and_parse_back() {
        for family in Family::ALL {
            assert_eq!(serde_json::to_string(&family).unwrap(), format!("\"{family}\""));
            assert_eq!(family.name().parse(), Ok(family));
            let config = family.config([1, 64, 64]);
            let text = serde_json::to_string(&config).unwrap();
            assert_eq!(serde_json::from_str::<AnomalyConfig>(&text).unwrap(), config);
        }
        let error = "cutpaste".parse::<Family>().unwrap_err().to_string();
        assert!(error.contains("cut-paste, cut-paste-scar"), "{error}");
    }
}
