//! Families of anomalies as plain data: a shape, and the corruptions inside it one after the other.
//!
//! [`Family::config`](crate::Family::config) makes them, [`AnomalyConfig::build`] turns them into
//! [`Anomalies`].

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    anomaly::Anomalies,
    corruptions::{
        BiasConfig, Corruption, DeformationConfig, PoissonConfig, SharpnessConfig, TextureConfig,
    },
    error::DagError,
    shapes::ShapeConfig,
    sources::Sources,
    textures::{NoiseTextureConfig, RescaledConfig, SameImage, TextureSource},
};

/// Settings of a family of anomalies: a shape, and the corruptions inside it, one after the other.
///
/// [`Family::config`](crate::Family::config) gives the known ones. A family of one's own:
///
/// ```
/// use disyre_dag::{
///     AnomalyConfig, Sources,
///     config::PartConfig,
///     corruptions::{DeformationConfig, SharpnessConfig},
///     shapes::{EllipsoidConfig, ShapeConfig},
/// };
///
/// let config = AnomalyConfig {
///     window: [24, 32, 32],
///     shape: ShapeConfig::Ellipsoid(EllipsoidConfig::default()),
///     parts: vec![
///         PartConfig::Deformation(DeformationConfig::default()),
///         PartConfig::Sharpness(SharpnessConfig::default()),
///     ],
/// };
/// assert!(!config.takes_textures() && !config.takes_tissues());
/// config.build(&Sources::new())?;
/// # Ok::<(), disyre_dag::DagError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnomalyConfig {
    /// Extents of the window that holds an anomaly, `(z, y, x)` in voxels; it has to fit into the image.
    pub window: [usize; 3],
    /// The shape, unless [`Sources::with_shapes`] gives another.
    pub shape: ShapeConfig,
    /// The corruptions inside the shape; at least one.
    pub parts: Vec<PartConfig>,
}

/// One corruption of a family, and its source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartConfig {
    /// A texture blended in linearly.
    Texture(TexturePart),
    /// A shift of intensities.
    Bias(BiasPart),
    /// A texture blended in by its gradients.
    Poisson(PoissonPart),
    /// A bulge or its opposite.
    Deformation(DeformationConfig),
    /// Detail taken away or exaggerated.
    Sharpness(SharpnessConfig),
}

/// A texture and how it is blended in.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TexturePart {
    /// The texture.
    pub from: TextureSourceConfig,
    /// The blend.
    pub blend: TextureConfig,
}

/// A texture and how its gradients are blended in.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PoissonPart {
    /// The texture.
    pub from: TextureSourceConfig,
    /// The blend.
    pub blend: PoissonConfig,
}

/// Tissues and how they are shifted.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BiasPart {
    /// The tissues.
    pub tissues: TissueOrigin,
    /// The shift.
    pub bias: BiasConfig,
}

/// A source of textures, and how they are changed first.
#[doc(alias = "TextureFrom")]
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TextureSourceConfig {
    /// The source.
    pub origin: TextureOrigin,
    /// Enlargement and brightness.
    pub change: RescaledConfig,
}

/// Origin of textures.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TextureOrigin {
    /// Those of [`Sources::with_textures`].
    #[default]
    Foreign,
    /// Patches of the same image.
    SameImage,
    /// Fractal noise.
    Noise(NoiseTextureConfig),
}

/// Origin of tissues.
#[doc(alias = "TissueFrom")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TissueOrigin {
    /// Those of [`Sources::with_tissues`].
    #[default]
    Model,
    /// Those of [`Scene::tissues`](crate::Scene::tissues): each image has a model of its own, such as its segmentation.
    Scene {
        /// Number of classes of all of these models, 1 to 256.
        classes: usize,
    },
    /// All is one tissue.
    None,
}

/// The published anomaly window, `(z, y, x)` in voxels.
const PUBLISHED_WINDOW: [usize; 3] = [1, 64, 64];

/// Settings of [`Dag`](crate::Dag), the disentangled anomaly generator: window, texture and bias.
///
/// # Source
/// DISYRE v2 (arXiv 2407.06635), disentangled anomaly generation; the default is its published code.
///
/// ```
/// use disyre_dag::{DagConfig, Sources, textures::NoiseTexture};
///
/// let mut config = DagConfig::for_window([24, 32, 32]);
/// config.texture.severity = [0.2, 0.8];
/// let dag = config.build_without_tissues(&Sources::new().with_textures(NoiseTexture::default()))?;
/// # Ok::<(), disyre_dag::DagError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DagConfig {
    /// Extents of the window that holds an anomaly, `(z, y, x)` in voxels; it has to fit into the image.
    pub window: [usize; 3],
    /// The foreign texture.
    pub texture: TextureConfig,
    /// The shift of tissues.
    pub bias: BiasConfig,
}

impl Default for DagConfig {
    fn default() -> Self {
        let (texture, bias) = (TextureConfig::default(), BiasConfig::default());
        Self { window: PUBLISHED_WINDOW, texture, bias }
    }
}

impl DagConfig {
    /// The published generator on a window of other extents, `(z, y, x)` in voxels.
    ///
    /// Shapes are relative to the window anyway; here the bias follows: its count offset in proportion to the
    /// window's voxels, its blur to the extent along each axis (along one of a single voxel there is none).
    ///
    /// # Source
    /// Ours: the published code knows one window.
    pub fn for_window(window: [usize; 3]) -> Self {
        let mut config = Self { window, ..Self::default() };
        let voxels =
            |window: [usize; 3]| window.map(|extent| extent as f64).iter().product::<f64>();
        config.bias.count_offset *= voxels(window) / voxels(PUBLISHED_WINDOW);
        config.bias.blur_sigma_voxels = window.map(|extent| extent as f64 / 64.0);
        config
    }
}

impl AnomalyConfig {
    /// Whether [`build`](Self::build) needs [`Sources::with_textures`].
    pub fn takes_textures(&self) -> bool {
        self.parts.iter().any(|part| match part {
            PartConfig::Texture(TexturePart { from, .. })
            | PartConfig::Poisson(PoissonPart { from, .. }) => {
                from.origin == TextureOrigin::Foreign
            }
            _ => false,
        })
    }

    /// Whether [`build`](Self::build) needs [`Sources::with_tissues`].
    pub fn takes_tissues(&self) -> bool {
        let takes = |part: &PartConfig| matches!(part, PartConfig::Bias(part) if part.tissues == TissueOrigin::Model);
        self.parts.iter().any(takes)
    }

    /// Checks the values and builds the generator.
    ///
    /// # Errors
    /// [`DagError::Config`] naming the field that is out of range; [`DagError::Missing`] naming a source that the family
    /// needs; [`DagError::NoItems`] without parts.
    pub fn build(self, sources: &Sources) -> Result<Anomalies, DagError> {
        let shapes = self.shape.build_around(sources.shapes())?;
        let parts = self.parts.into_iter().map(|part| part.build(sources));
        Anomalies::new(self.window, shapes, parts.collect::<Result<_, _>>()?)
    }
}

impl PartConfig {
    fn build(self, sources: &Sources) -> Result<Arc<dyn Corruption>, DagError> {
        Ok(match self {
            Self::Texture(part) => Arc::new(part.blend.build(part.from.build(sources)?)?),
            Self::Poisson(part) => Arc::new(part.blend.build(part.from.build(sources)?)?),
            Self::Bias(part) => Arc::new(match part.tissues {
                TissueOrigin::Model => part.bias.build_shared(sources.tissues()?)?,
                TissueOrigin::Scene { classes } => part.bias.build_for_scenes(classes)?,
                TissueOrigin::None => part.bias.build_without_tissues()?,
            }),
            Self::Deformation(config) => Arc::new(config.build()?),
            Self::Sharpness(config) => Arc::new(config.build()?),
        })
    }
}

impl TextureSourceConfig {
    fn build(self, sources: &Sources) -> Result<Arc<dyn TextureSource>, DagError> {
        let source: Arc<dyn TextureSource> = match self.origin {
            TextureOrigin::Foreign => sources.textures()?,
            TextureOrigin::SameImage => Arc::new(SameImage),
            TextureOrigin::Noise(config) => Arc::new(config.build()?),
        };
        match self.change == RescaledConfig::default() {
            true => Ok(source),
            false => Ok(Arc::new(self.change.build(source)?)),
        }
    }
}
