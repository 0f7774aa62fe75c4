//! A trained model of disyre for T1-weighted scans of adult brains, as files in memory.
//!
//! Take this crate for the files alone, to run the network elsewhere; `disyre` with its feature `weights` uses them
//! (`Model::embedded`).
//!
//! ```
//! let file = |name| disyre_weights::file(name).expect("every model has this file");
//! let config = std::str::from_utf8(file("config.json"))?;
//! assert!(config.contains("\"patch\""));
//! assert!(file("ema.safetensors").len() > 1_000_000); // 16 bits each
//! assert!(disyre_weights::CARD.contains("CC BY-SA 3.0"));
//! # Ok::<(), std::str::Utf8Error>(())
//! ```
//!
//! [`FILES`] are those of a model's folder as `disyre pack` writes it: weights in safetensors with diffusers' names, the
//! network's description, settings, preparation and the record of the training. [`CARD`] is the model card: data,
//! licence, figures, known failures.
//!
//! No features, no dependencies. It reads no scan and runs no network; research use only, not for diagnosis.
#![forbid(unsafe_code)]

mod files;

pub use files::FILES;

/// Name of the model: its contrast and the spacing of its grid.
pub const NAME: &str = "t1-2mm";

/// Version of the model: that of this crate.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The model card, in Markdown.
pub const CARD: &str = include_str!("../model_card.md");

/// Contents of a file of [`FILES`]; none: there is no file of this name.
///
/// ```
/// assert!(disyre_weights::file("run.toml").is_some());
/// assert!(disyre_weights::file("no such file").is_none());
/// ```
pub fn file(name: &str) -> Option<&'static [u8]> {
    FILES.iter().find(|(known, _)| *known == name).map(|&(_, contents)| contents)
}
