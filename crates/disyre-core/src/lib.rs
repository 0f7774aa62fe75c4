//! The vocabulary that the disyre crates share: volumes and grids, severities, seeding keys, and the narrow traits between stages.
//!
//! Take this crate to implement one of the traits (your own [`Restorer`], [`TissueModel`] or [`PairSource`])
//! without depending on the rest; take `disyre` for the whole pipeline. Its only algorithm is [`Components`].
//!
//! ```
//! use disyre_core::{Grid, Key, Severity, Volume, rand::RngExt};
//!
//! // A 2D image is a volume with z = 1; axes are (z, y, x), x fastest.
//! let grid = Grid::from_spacing([1, 64, 48], [5.0, 1.0, 1.0]);
//! let volume = Volume::zeros(grid);
//! assert_eq!(volume.data.dim(), (1, 64, 48));
//!
//! // A random number depends on the seed and the path of the key, and on nothing else.
//! let key = Key::new(7).child("texture").child(3u64);
//! let (a, b): (f32, f32) = (key.rng().random(), key.rng().random());
//! assert_eq!(a, b);
//!
//! assert!(Severity::new(0.5)? > Severity::CLEAN);
//! # Ok::<(), disyre_core::SeverityError>(())
//! ```
//!
//! Main types: [`Volume`], [`Grid`], [`Severity`], [`Key`], [`Components`]; traits: [`Restorer`], [`TissueModel`], [`PairSource`].
//!
//! Feature `files` adds `write_whole`, which writes a file whole or not at all, `StagedFiles` for files that belong together,
//! `FolderLock`, `TemporaryFolder` and `sweep`; `hashes` adds SHA-256 of bytes and files. This crate reads no scan and holds no
//! model.
#![forbid(unsafe_code)]

mod causes;
mod components;
#[cfg(feature = "files")]
mod folder_lock;
mod grid;
mod key;
mod pair_source;
mod restorer;
mod severity;
#[cfg(feature = "hashes")]
mod sha256;
mod shape;
#[cfg(feature = "files")]
mod staged_files;
#[cfg(feature = "files")]
mod temporaries;
mod tissue_model;
#[cfg(feature = "files")]
mod write_whole;

pub use causes::causes;
pub use components::{Component, Components, Connectivity, Overlap};
#[cfg(feature = "files")]
pub use folder_lock::FolderLock;
pub use grid::{Affine, Grid, Volume};
pub use key::{Key, KeyPart, KeyRng};
pub use pair_source::{PairError, PairSource};
pub use restorer::{Distance, EnsembleSums, RestoreError, Restorer};
pub use severity::{Severity, SeverityError};
#[cfg(feature = "hashes")]
pub use sha256::{sha256_of_bytes, sha256_of_file};
pub use shape::{ShapeError, ensure_finite, ensure_same_shape, unravel};
#[cfg(feature = "files")]
pub use staged_files::StagedFiles;
#[cfg(feature = "files")]
pub use temporaries::{TemporaryFolder, is_temporary, sweep};
pub use tissue_model::TissueModel;
#[cfg(feature = "files")]
pub use write_whole::write_whole;

pub use ndarray;
pub use rand;
