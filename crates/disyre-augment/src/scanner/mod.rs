//! Differences between scanners: contrast, shading, resolution, noise and field of view.

mod changes;
mod config;
mod params;

pub use config::{Scanner, ScannerConfig};
pub use params::{CropParams, ScannerParams};
