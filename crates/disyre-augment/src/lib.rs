//! Augmentation of medical images: random patches with elastic deformation, rotation, scale, mirroring, brightness, gamma,
//! noise and blur, and the differences between scanners.
//!
//! Take this crate to feed a network of your own; take `disyre` for the whole pipeline.
//!
//! ```
//! use disyre_augment::{AugmentConfig, Key, ndarray::Array4};
//!
//! let image = Array4::from_shape_fn((1, 1, 150, 140), |(_, _, y, x)| (y * x) as f32 / 21_000.0);
//! let augmenter = AugmentConfig::default().build()?; // the published probabilities
//! let drawn = augmenter.draw(Key::new(7).child("sample").child(0u64)); // serialisable
//! let mut patch = Array4::zeros((1, 1, 128, 128)); // (c, z, y, x); a 2D patch has z = 1
//! drawn.apply(image.view(), patch.view_mut())?;
//! assert!(patch.iter().all(|value| (0.0..=1.0).contains(value)));
//! # Ok::<(), disyre_augment::AugmentError>(())
//! ```
//!
//! [`ScannerConfig`] draws changes of appearance that another scanner would make, for a patch that is cut already.
//!
//! [`HeadConfig`] draws synthetic slabs of whole heads, of any contrast, out of label maps ([`HeadMap`]): training data
//! for networks that must not depend on a scanner.
//!
//! Main types: [`Augmenter`] draws [`AugmentParams`], which join [`SpatialParams`], mirroring and [`IntensityParams`];
//! each part can be used alone. [`CubicSpline`] interpolates. 2D and 3D are the same code. No features.
//!
//! Background stays exactly 0 in every step. A segmentation follows by [`AugmentParams::apply_to_labels`]. The crate reads
//! no files and makes no anomalies.
#![forbid(unsafe_code)]

mod augment;
mod background;
mod check;
mod elastic;
mod error;
mod heads;
mod intensity;
mod scanner;
mod smooth;
mod spatial;
mod spatial_config;
mod spline;
mod waves;

pub use augment::{AugmentConfig, AugmentParams, Augmenter};
pub use elastic::ElasticParams;
pub use error::AugmentError;
pub use heads::{
    Acquisition, Appearance, Geometry, HeadConfig, HeadMap, HeadParams, HeadSynthesiser, Lesion,
    Plane, Stripping,
};
pub use intensity::{IntensityConfig, IntensityParams, NoiseParams};
pub use scanner::{CropParams, Scanner, ScannerConfig, ScannerParams};
pub use spatial::SpatialParams;
pub use spatial_config::SpatialConfig;
pub use spline::{Border, CubicSpline};
pub use waves::Wave;

// The vocabulary of signatures, so that this crate can be used alone.
pub use disyre_core::{Key, ndarray};
