//! [`ShapeConfig`]: any source of shapes that needs no data, as plain data.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    blob::BlobConfig, combined::CombinedShapes, disc::DiscConfig, ellipsoid::EllipsoidConfig,
    patch::PatchConfig, published::PublishedShapes, rectangle::RectangleConfig, sized::SizeConfig,
    source::ShapeSource,
};
use crate::error::DagError;

/// A source of shapes that needs no data, as a value.
///
/// Shapes from given masks are built by [`MaskConfig`](crate::shapes::MaskConfig).
///
/// ```
/// use disyre_dag::shapes::{DiscConfig, ShapeConfig};
///
/// let [large, small] = [[40, 44], [10, 20]].map(|diameter| {
///     ShapeConfig::Disc(DiscConfig { diameter, ..DiscConfig::default() })
/// });
/// ShapeConfig::Difference(Box::new([large, small])).build()?;
/// # Ok::<(), disyre_dag::DagError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShapeConfig {
    /// The published mixture, [`PublishedShapes::default`].
    Published,
    /// Boxes, [`RectangleShapes`](crate::shapes::RectangleShapes).
    Rectangle(RectangleConfig),
    /// Discs, [`DiscShapes`](crate::shapes::DiscShapes).
    Disc(DiscConfig),
    /// Ellipsoids, [`EllipsoidShapes`](crate::shapes::EllipsoidShapes).
    Ellipsoid(EllipsoidConfig),
    /// Noise blobs, [`BlobShapes`](crate::shapes::BlobShapes).
    Blob(BlobConfig),
    /// Patches and scars, [`PatchShapes`](crate::shapes::PatchShapes).
    Patch(PatchConfig),
    /// Two at once.
    Union(Box<[ShapeConfig; 2]>),
    /// The first without the second.
    Difference(Box<[ShapeConfig; 2]>),
    /// One of a size in millimetres.
    Sized(SizeConfig, Box<ShapeConfig>),
}

impl ShapeConfig {
    /// Checks the values.
    ///
    /// # Errors
    /// [`DagError::Config`] naming the field that is out of range.
    pub fn build(self) -> Result<Arc<dyn ShapeSource>, DagError> {
        self.build_around(None)
    }

    /// The same with `given` shapes in place of the configured ones; a size in millimetres is theirs then.
    pub(crate) fn build_around(
        self,
        given: Option<Arc<dyn ShapeSource>>,
    ) -> Result<Arc<dyn ShapeSource>, DagError> {
        match (self, given) {
            (Self::Sized(size, shape), given) => {
                Ok(Arc::new(size.build(shape.build_around(given)?)?))
            }
            (_, Some(given)) => Ok(given),
            (shape, None) => shape.build_configured(),
        }
    }

    fn build_configured(self) -> Result<Arc<dyn ShapeSource>, DagError> {
        Ok(match self {
            Self::Published => Arc::new(PublishedShapes::default()),
            Self::Rectangle(config) => Arc::new(config.build()?),
            Self::Disc(config) => Arc::new(config.build()?),
            Self::Ellipsoid(config) => Arc::new(config.build()?),
            Self::Blob(config) => Arc::new(config.build()?),
            Self::Patch(config) => Arc::new(config.build()?),
            Self::Union(both) => {
                let [first, second] = *both;
                Arc::new(CombinedShapes::union(first.build()?, second.build()?))
            }
            Self::Difference(both) => {
                let [first, second] = *both;
                Arc::new(CombinedShapes::difference(first.build()?, second.build()?))
            }
            Self::Sized(size, shape) => Arc::new(size.build(shape.build()?)?),
        })
    }
}
