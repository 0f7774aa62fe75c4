//! Damaged files for every reader of the workspace: [`targets`] are the entry points, [`mutate`] makes the files, and [`run`]
//! reports what panics or takes long.
//!
//! For those who change a reader. Everything depends on (seed, target, index) alone, so that a finding can be made again:
//!
//! ```
//! use disyre_fuzz::{mutate, targets};
//!
//! let folder = tempfile::tempdir()?;
//! let targets = targets(folder.path())?;
//! let header = &targets[0];
//! assert_eq!((header.name, mutate(header, 0, 7)), ("header", mutate(header, 0, 7)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The suite runs some hundred states of each target. More: `cargo run --release -p disyre-fuzz -- SECONDS [SEED]`.
//!
//! It has no coverage to guide it: damage concentrates on headers, lengths and numbers by construction.
#![forbid(unsafe_code)]

mod mutate;
mod run;
mod targets;

pub use mutate::mutate;
pub use run::{Finding, Report, run};
pub use targets::{Reader, Target, targets};
