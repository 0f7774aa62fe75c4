//! Shapes of anomalies: sources of random soft masks, each built from a configuration.

mod blob;
mod combined;
mod config;
mod disc;
mod ellipsoid;
mod masks;
mod patch;
mod published;
mod rectangle;
mod rotation;
mod sized;
mod source;
mod unit_frame;
mod voxels;

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
pub use source::ShapeSource;

pub use crate::blur::gaussian_blur;
