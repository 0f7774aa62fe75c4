//! Synthetic images of whole heads, of any contrast, out of label maps.

mod acquisition;
mod appearance;
mod classes;
mod config;
mod distance;
mod geometry;
mod head_map;
mod params;

pub use acquisition::Acquisition;
pub use appearance::Appearance;
pub use config::{HeadConfig, HeadSynthesiser};
pub use geometry::{Geometry, Lesion, Plane};
pub use head_map::HeadMap;
pub use params::{HeadParams, Stripping};
