//! Where anomalies get their form.

mod blob;
mod combined;
mod config;
mod disc;
mod ellipsoid;
mod frame;
mod masks;
mod patch;
mod published;
mod rectangle;
mod rotation;
mod sized;
mod solid;

pub use blob::{BlobConfig, BlobShapes, PUBLISHED_BLOB_AREA};
pub use combined::CombinedShapes;
pub use config::ShapeConfig;
pub use disc::{DiscConfig, DiscShapes};
pub use ellipsoid::{EllipsoidConfig, EllipsoidShapes};
pub use masks::{MaskConfig, MaskFrame, MaskShapes};
pub use patch::{PatchConfig, PatchShapes, PatchSides};
pub use published::{PublishedShapes, PublishedShapesConfig};
pub use rectangle::{RectangleConfig, RectangleShapes};
pub use sized::{SizeConfig, SizedShapes};

use disyre_core::{Key, ndarray::ArrayViewMut3};

use crate::DagError;

/// A family of random masks.
pub trait ShapeSource: Send + Sync {
    /// Fills a window with the mask of this key; equal keys and windows give equal masks.
    ///
    /// The mask may be empty. Sizes are relative to the window, so any window will do.
    ///
    /// # Shapes and units
    /// `shape` is `(z, y, x)`, of any extents; all of it is written, with values in `[0, 1]`.
    ///
    /// # Errors
    /// [`DagError`] if the source cannot fill this window; `shape` then holds nothing of meaning.
    fn fill(&self, key: Key, shape: ArrayViewMut3<'_, f32>) -> Result<(), DagError>;
}

/// The units of shape sizes: 64ths of the window along each axis, voxels of the published window.
pub(crate) const UNITS: f64 = 64.0;
