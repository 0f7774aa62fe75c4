//! N4 bias field correction: estimates the smooth shading of a magnetic resonance image and divides by it.
//!
//! Use this crate to correct an image that is already an array with a brain mask. Use `disyre` for the whole pipeline,
//! which reads scans and corrects them while it prepares them.
//!
//! ```
//! use disyre_core::ndarray::Array3;
//! use disyre_n4::N4Config;
//!
//! // Two tissues in cubes, under a shading from e^−0.3 to e^0.3 along x.
//! let tissue = |z, y, x| if (z / 4 + y / 4 + x / 4) % 2 == 0 { 0.9 } else { 0.4 };
//! let shading = |x| (0.6 * (x as f32 / 31.0 - 0.5)).exp();
//! let image = Array3::from_shape_fn((32, 32, 32), |(z, y, x)| tissue(z, y, x) * shading(x));
//!
//! let n4 = N4Config { shrink: 2, ..N4Config::default() }.build()?;
//! let correction = n4.correct(image.view(), Array3::ones(image.dim()).view())?;
//! let (left, right) = (correction.corrected[[16, 16, 1]], correction.corrected[[16, 20, 30]]);
//! assert_eq!((tissue(16, 16, 1), tissue(16, 20, 30)), (0.9, 0.9));
//! assert!((right / left - 1.0).abs() < 0.02);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Main types: [`N4Config`] (settings), [`N4`] (the checked settings, which correct images), [`N4Correction`] (corrected
//! image, field, iterations), [`BiasField`] (a lattice of B-spline control points over the image).
//!
//! The results are the same bits for any number of threads. There are no features.
//!
//! This crate finds no brain (give it a mask), reads no files, and does not know which tissue is which. It does not fix
//! the level of the image: the field's mean is whatever the estimate leaves, and scaling intensities is another step.
#![forbid(unsafe_code)]

mod basis;
mod config;
mod error;
mod field;
mod fit;
mod n4;
mod samples;
mod sharpen;

pub use config::N4Config;
pub use error::N4Error;
pub use field::BiasField;
pub use n4::{N4, N4Correction};
