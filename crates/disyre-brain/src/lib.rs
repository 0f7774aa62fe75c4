//! Brain extraction from MRI heads of any contrast by a small U-Net, trained on synthetic heads.
#![forbid(unsafe_code)]

mod clean;
mod error;
mod extractor;
mod network;
mod pairs;
mod slabs;

pub use error::BrainError;
pub use extractor::{BrainExtractor, BrainMask};
pub use network::{SLAB, SPACING_MM, model_config, train_config};
pub use pairs::{HeadPairs, read_head_maps};
