//! Brain extraction: which voxels of an MRI head of any contrast are brain, by a small U-Net trained on synthetic heads.
//!
//! Take this crate to strip skulls; take `disyre` for whole pipelines, which call it where a scan has its skull.
//!
#![cfg_attr(feature = "weights", doc = "```")]
#![cfg_attr(not(feature = "weights"), doc = "```ignore")]
//! use disyre_brain::{BrainExtractor, Device, Grid, Volume, ndarray::Array3};
//!
//! let extractor = BrainExtractor::embedded(&Device::cpu())?;
//! let grid = Grid::from_spacing([40, 40, 40], [4.0; 3]);
//! let scan = Volume::new(Array3::zeros(grid.shape), grid)?; // in practice: a head
//! let found = extractor.extract(&scan)?;
//! assert_eq!((found.mask.dim(), found.volume_ml), ((40, 40, 40), 0.0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - [`BrainExtractor`]: a scan in, a [`BrainMask`] on its grid out;
//! - [`Content`]: whether a scan holds a whole head, or a brain that is already stripped;
//! - [`HeadPairs`], [`read_head_maps`], [`model_config`], [`train_config`]: what the network is trained with.
//!
//! Feature `weights` (default) holds the trained network, 2 MB. docs/BRAIN.md is its model card.
//!
//! It finds no tissues within the brain, corrects no bias field and registers nothing.
#![forbid(unsafe_code)]

mod clean;
mod content;
mod error;
mod extractor;
mod network;
mod pairs;
mod slabs;

pub use content::Content;
pub use error::BrainError;
pub use extractor::{BrainExtractor, BrainMask};
pub use network::{SLAB, SPACING_MM, model_config, train_config};
pub use pairs::{HeadPairs, read_head_maps};

// The vocabulary of signatures, so that this crate can be used alone.
pub use disyre_augment::HeadMap;
pub use disyre_core::{Grid, Key, Volume, ndarray};
pub use disyre_diffusion::Device;

/// The trained weights, as a safetensors file of 16-bit numbers.
#[cfg(feature = "weights")]
pub const WEIGHTS: &[u8] = include_bytes!("../weights/brain.safetensors");

/// SHA-256 of [`WEIGHTS`], in hexadecimal.
#[cfg(feature = "weights")]
pub fn embedded_sha256() -> String {
    disyre_core::sha256_of_bytes(WEIGHTS)
}
