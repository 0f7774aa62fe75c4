//! [`Sources`]: shapes, textures and tissues from which [`AnomalyConfig::build`](crate::AnomalyConfig::build) builds.

use std::{fmt, sync::Arc};

use disyre_core::TissueModel;

use crate::{error::DagError, shapes::ShapeSource, textures::TextureSource};

/// Shapes, foreign textures and tissues from which a family is built; a family takes what it needs.
///
/// ```
/// use disyre_dag::{Family, Sources, shapes::EllipsoidShapes, textures::NoiseTexture};
///
/// let sources = Sources::new().with_shapes(EllipsoidShapes::default());
/// let config = Family::Fpi.config([1, 32, 32]);
/// let error = config.clone().build(&sources).unwrap_err();
/// assert!(error.to_string().contains("a source of foreign textures"));
/// config.build(&sources.with_textures(NoiseTexture::default()))?;
/// # Ok::<(), disyre_dag::DagError>(())
/// ```
#[derive(Clone, Default)]
pub struct Sources {
    shapes: Option<Arc<dyn ShapeSource>>,
    textures: Option<Arc<dyn TextureSource>>,
    tissues: Option<Arc<dyn TissueModel>>,
}

impl Sources {
    /// No source: enough for a family of shifts without tissues, deformation, blur, noise or patches of the same image.
    pub fn new() -> Self {
        Self::default()
    }

    /// Shapes in place of the configured ones; a configured size in millimetres is applied to them.
    #[must_use]
    pub fn with_shapes(mut self, shapes: impl ShapeSource + 'static) -> Self {
        self.shapes = Some(Arc::new(shapes));
        self
    }

    /// Foreign textures.
    #[must_use]
    pub fn with_textures(mut self, textures: impl TextureSource + 'static) -> Self {
        self.textures = Some(Arc::new(textures));
        self
    }

    /// Tissues for a bias of single tissues.
    #[must_use]
    pub fn with_tissues(mut self, tissues: impl TissueModel + 'static) -> Self {
        self.tissues = Some(Arc::new(tissues));
        self
    }

    pub(crate) fn shapes(&self) -> Option<Arc<dyn ShapeSource>> {
        self.shapes.clone()
    }

    pub(crate) fn textures(&self) -> Result<Arc<dyn TextureSource>, DagError> {
        let missing = DagError::Missing { what: "a source of foreign textures" };
        self.textures.clone().ok_or(missing)
    }

    pub(crate) fn tissues(&self) -> Result<Arc<dyn TissueModel>, DagError> {
        self.tissues.clone().ok_or(DagError::Missing { what: "a tissue model" })
    }
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
