//! Sliding windows over images and volumes, and the weighted blend of a model's output for each window.
//!
//! Take this crate to run any patch-wise model over images of any size, 2D (z = 1) or 3D. Take `disyre` for the whole
//! detector. The caller drives: it iterates over the windows, runs its model, and adds each output to the blend.
//!
//! ```
//! use disyre_core::ndarray::{Array4, Axis};
//! use disyre_patch::{Blender, TilePlan, WindowWeights};
//!
//! let image = Array4::from_shape_fn((1, 1, 50, 61), |(_, _, y, x)| (y * 61 + x) as f32 / 3050.0);
//! let plan = TilePlan::new([1, 50, 61], [1, 32, 32], [1, 8, 8])?;
//! let mut blender = Blender::new(&plan, &WindowWeights::gaussian([1, 32, 32])?)?;
//! let mut patch = Array4::zeros((1, 1, 32, 32));
//! for window in plan.windows() {
//!     plan.extract(image.view(), window, patch.view_mut())?;
//!     blender.add(window, patch.index_axis(Axis(0), 0))?; // a model's output would go here
//! }
//! assert_eq!((plan.padded(), plan.len()), ([1, 56, 64], 20));
//! assert_eq!(blender.finish(), image.index_axis(Axis(0), 0));
//! # Ok::<(), disyre_patch::PatchError>(())
//! ```
//!
//! Main types: [`TilePlan`], [`Window`], [`WindowWeights`], [`Blender`].
//!
//! No features. This crate calls no model and reads no files.
#![forbid(unsafe_code)]

mod blender;
mod error;
mod plan;
mod window_weights;

pub use blender::Blender;
pub use error::PatchError;
pub use plan::{PUBLISHED_STRIDE, PUBLISHED_WINDOW, TilePlan, Window};
pub use window_weights::WindowWeights;
