use std::{fmt, sync::Arc};

use disyre_core::{
    Key, Severity, TissueModel,
    ndarray::{ArrayView4, ArrayViewMut4},
};
use serde::{Deserialize, Serialize};

use crate::{
    BiasConfig, Corruption, CorruptionParams, DagError, DeformationConfig, NoiseTextureConfig,
    PlacedMask, PlacementParams, PoissonConfig, RescaledConfig, SameImage, Scene, ShapeConfig,
    ShapeSource, SharpnessConfig, TextureConfig, TextureSource, check, place::Place,
};

/// A family of anomalies: a shape, and what happens inside it, one part after the other.
///
/// [`Family::config`](crate::Family::config) gives the known ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnomalyConfig {
    /// Extents of the window that holds an anomaly, `(z, y, x)` in voxels; it has to fit into the image.
    pub window: [usize; 3],
    /// The shape, unless [`Sources::shapes`] gives another.
    pub shape: ShapeConfig,
    /// What happens inside; at least one part.
    pub parts: Vec<PartConfig>,
}

/// One part of a family.
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
    pub from: TextureFrom,
    /// The blend.
    pub blend: TextureConfig,
}

/// A texture and how its gradients are blended in.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PoissonPart {
    /// The texture.
    pub from: TextureFrom,
    /// The blend.
    pub blend: PoissonConfig,
}

/// Tissues and how they are shifted.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BiasPart {
    /// The tissues.
    pub tissues: TissueFrom,
    /// The shift.
    pub bias: BiasConfig,
}

/// Where textures come from.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TextureFrom {
    /// Which source.
    pub origin: TextureOrigin,
    /// What is done to it first.
    pub change: RescaledConfig,
}

/// A source of textures.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TextureOrigin {
    /// [`Sources::textures`].
    #[default]
    Foreign,
    /// Elsewhere in the same image.
    SameImage,
    /// Fractal noise.
    Noise(NoiseTextureConfig),
}

/// Where tissues come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TissueFrom {
    /// [`Sources::tissues`].
    #[default]
    Model,
    /// [`Scene::tissues`]: each image has a model of its own, such as its segmentation.
    Scene {
        /// Number of classes of all of these models, 1 to 256.
        classes: usize,
    },
    /// All is one tissue.
    None,
}

/// What families are built from; a family takes what it needs.
#[derive(Clone, Default)]
pub struct Sources {
    /// Shapes in place of the configured ones; a configured size in millimetres is theirs then.
    pub shapes: Option<Arc<dyn ShapeSource>>,
    /// Foreign textures.
    pub textures: Option<Arc<dyn TextureSource>>,
    /// Tissues.
    pub tissues: Option<Arc<dyn TissueModel>>,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources")
            .field("shapes", &self.shapes.is_some())
            .field("textures", &self.textures.is_some())
            .field("tissues", &self.tissues.is_some())
            .finish()
    }
}

impl AnomalyConfig {
    /// Whether it is built from [`Sources::textures`].
    pub fn takes_textures(&self) -> bool {
        self.parts.iter().any(|part| match part {
            PartConfig::Texture(TexturePart { from, .. })
            | PartConfig::Poisson(PoissonPart { from, .. }) => {
                from.origin == TextureOrigin::Foreign
            }
            _ => false,
        })
    }

    /// Whether it is built from [`Sources::tissues`].
    pub fn takes_tissues(&self) -> bool {
        let takes = |part: &PartConfig| matches!(part, PartConfig::Bias(part) if part.tissues == TissueFrom::Model);
        self.parts.iter().any(takes)
    }

    /// Checks the values and takes the sources.
    ///
    /// # Errors
    /// [`DagError::Config`] naming the field that is out of range; [`DagError::Missing`] naming a source that the family
    /// needs; [`DagError::NoItems`] without parts.
    pub fn build(self, sources: &Sources) -> Result<Anomalies, DagError> {
        let shapes = self.shape.build_around(sources.shapes.clone())?;
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
                TissueFrom::Model => {
                    let missing = DagError::Missing { what: "a tissue model" };
                    part.bias.build(sources.tissues.clone().ok_or(missing)?)?
                }
                TissueFrom::Scene { classes } => part.bias.build_for_scenes(classes)?,
                TissueFrom::None => part.bias.build_without_tissues()?,
            }),
            Self::Deformation(config) => Arc::new(config.build()?),
            Self::Sharpness(config) => Arc::new(config.build()?),
        })
    }
}

impl TextureFrom {
    fn build(self, sources: &Sources) -> Result<Arc<dyn TextureSource>, DagError> {
        let source: Arc<dyn TextureSource> = match self.origin {
            TextureOrigin::Foreign => {
                let missing = DagError::Missing { what: "a source of foreign textures" };
                sources.textures.clone().ok_or(missing)?
            }
            TextureOrigin::SameImage => Arc::new(SameImage),
            TextureOrigin::Noise(config) => Arc::new(config.build()?),
        };
        match self.change == RescaledConfig::default() {
            true => Ok(source),
            false => Ok(Arc::new(self.change.build(source)?)),
        }
    }
}

/// All that is drawn for one anomaly, before an image is seen: with the same sources it gives the same anomaly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnomalyParams {
    /// Where.
    pub placement: PlacementParams,
    /// The key that the shape source is asked with.
    pub shape: Key,
    /// What happens inside, part by part.
    pub parts: Vec<CorruptionParams>,
}

impl AnomalyParams {
    /// The same draw with all parts at another severity: how an anomaly is shown from mild to severe.
    #[must_use]
    pub fn at(mut self, severity: Severity) -> Self {
        self.parts = self.parts.into_iter().map(|part| part.at(severity)).collect();
        self
    }
}

/// What an anomaly became on an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Realised {
    /// The greatest of the parts.
    pub severity: Severity,
    /// What each part realised, as its corruption defines it.
    pub parts: Vec<Severity>,
    /// Where, without background.
    pub mask: PlacedMask,
}

/// Makes anomalies of one family.
#[derive(Clone)]
pub struct Anomalies {
    window: [usize; 3],
    shapes: Arc<dyn ShapeSource>,
    parts: Vec<Arc<dyn Corruption>>,
}

impl fmt::Debug for Anomalies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Anomalies")
            .field("window", &self.window)
            .field("parts", &self.parts.len())
            .finish_non_exhaustive()
    }
}

impl Anomalies {
    /// Makes a family of corruptions of one's own, on a window of these extents, `(z, y, x)` in voxels.
    ///
    /// # Errors
    /// [`DagError::Config`] for a window without voxels; [`DagError::NoItems`] without parts.
    pub fn new(
        window: [usize; 3],
        shapes: Arc<dyn ShapeSource>,
        parts: Vec<Arc<dyn Corruption>>,
    ) -> Result<Self, DagError> {
        for extent in window {
            let expected = "at least 1 voxel along each axis";
            check::in_range("window", extent as f64, [1.0, f64::MAX], expected)?;
        }
        if parts.is_empty() {
            let source_name = "the family of anomalies";
            return Err(DagError::NoItems { source_name, items: "parts" });
        }
        Ok(Self { window, shapes, parts })
    }

    /// Draws an anomaly.
    pub fn draw(&self, key: Key) -> AnomalyParams {
        let parts = self.parts.iter().enumerate();
        AnomalyParams {
            placement: PlacementParams::draw(key.child("placement")),
            shape: key.child("shape"),
            parts: parts.map(|(index, part)| part.sample(self.key_of(index, key))).collect(),
        }
    }

    /// The key of a part: its name, and for a second part of that name which one it is.
    ///
    /// So a part draws the same whatever stands before it: an ablation is the anomaly without a part.
    fn key_of(&self, index: usize, key: Key) -> Key {
        let name = self.parts[index].name();
        match self.parts[..index].iter().filter(|part| part.name() == name).count() {
            0 => key.child(name),
            earlier => key.child(name).child(earlier),
        }
    }

    /// Puts a drawn anomaly on an image.
    ///
    /// Nothing changes outside the mask, nor in background: voxels with all channels exactly 0. One shape, one place and
    /// one draw serve all channels.
    ///
    /// # Shapes and units
    /// `out` is `(c, z, y, x)` like the scene's image; all of it is written, with intensities in `[0, 1]`.
    ///
    /// # Errors
    /// [`DagError`] if the arrays differ in shape, intensities lie outside `[0, 1]`, the window is larger than the image,
    /// the map of places leaves no place, a source does not fit the channels, or the parameters are another family's;
    /// `out` is then untouched.
    pub fn apply(
        &self,
        params: &AnomalyParams,
        scene: Scene<'_>,
        out: ArrayViewMut4<'_, f32>,
    ) -> Result<Realised, DagError> {
        self.ensure_own(params)?;
        let place =
            Place { window: self.window, placement: &params.placement, shape: params.shape };
        let margin = self
            .parts
            .iter()
            .map(|part| part.margin())
            .fold([0; 3], |a, b| std::array::from_fn(|axis| a[axis].max(b[axis])));
        let (mask, parts) = place.compose(&*self.shapes, scene, margin, out, |canvas| {
            let parts = self.parts.iter().zip(&params.parts);
            parts.map(|(part, params)| part.realise(params, canvas)).collect::<Result<Vec<_>, _>>()
        })?;
        let severity = parts.iter().copied().fold(Severity::CLEAN, Severity::max);
        Ok(Realised { severity, parts, mask })
    }

    /// Checks that parameters have as many parts as the family.
    fn ensure_own(&self, params: &AnomalyParams) -> Result<(), DagError> {
        let (expected, got) = (self.parts.len(), params.parts.len());
        if expected == got { Ok(()) } else { Err(DagError::Parts { expected, got }) }
    }

    /// Draws an anomaly and puts it on an image: [`draw`](Self::draw), then [`apply`](Self::apply).
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn corrupt(
        &self,
        key: Key,
        clean: ArrayView4<'_, f32>,
        out: ArrayViewMut4<'_, f32>,
    ) -> Result<Realised, DagError> {
        self.apply(&self.draw(key), clean.into(), out)
    }
}
