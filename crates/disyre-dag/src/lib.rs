//! Synthetic anomalies for medical images: DAG (disentangled anomaly generation) and twelve other families.
//!
//! Take this crate to corrupt images for a network of your own; take `disyre` for the whole pipeline.
//!
//! ```
//! use disyre_dag::{Dag, Key, Sources, ndarray::Array4, textures::VolumeBank};
//!
//! // (c, z, y, x), intensities in [0, 1], background 0; a 2D image has z = 1.
//! let healthy = Array4::from_shape_fn((1, 32, 64, 64), |(_, z, y, x)| ((z + y * x) % 97) as f32 / 96.0);
//! let clean = Array4::from_elem((1, 32, 64, 64), 0.6);
//!
//! let sources = Sources::new().with_textures(VolumeBank::new(vec![healthy])?);
//! let dag = Dag::without_tissues([24, 32, 32], &sources)?;
//! let recipe = dag.draw(Key::new(7).child("sample").child(0u64)); // serialisable
//! let mut corrupted = Array4::zeros(clean.dim());
//! let realised = dag.apply(&recipe, clean.view(), corrupted.view_mut())?;
//! assert!(realised.severity.get() > 0.0 && corrupted != clean);
//! # Ok::<(), disyre_dag::DagError>(())
//! ```
//!
//! Main types: [`Dag`] makes the anomalies of DISYRE; [`Family`] names these and twelve others, and its configuration
//! builds [`Anomalies`] from [`Sources`]. An anomaly is a shape ([`shapes`]) at a random place, and one or several
//! [`corruptions`] inside it: a foreign texture ([`textures`]), a shift of tissues, a Poisson blend, a deformation, a change
//! of sharpness, or one of your own. Drawing needs only a key; applying is deterministic. [`config`] holds families as plain
//! data.
//!
//! No features. It reads no files, fits no tissue model and resamples no images.
#![forbid(unsafe_code)]

mod anomaly;
mod blur;
mod canvas;
mod check;

pub mod config;
pub mod corruptions;
mod dag;
mod error;
mod family;
mod float_order;
mod fractal;
mod largest_component;
mod order_statistic;
mod placed_mask;
mod placement;
mod region;
mod scratch;
pub mod shapes;
mod sources;
pub mod textures;

pub use anomaly::{Anomalies, AnomalyParams, Realised};
pub use canvas::Scene;
pub use config::{AnomalyConfig, DagConfig};
pub use dag::Dag;
pub use error::DagError;
pub use family::Family;
pub use placed_mask::PlacedMask;
pub use placement::PlacementParams;
pub use sources::Sources;

// The vocabulary of signatures, so that this crate can be used alone.
pub use disyre_core::{Key, Severity, ShapeError, TissueModel, ndarray};
