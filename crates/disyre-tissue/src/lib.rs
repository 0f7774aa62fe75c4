//! Tissue classes of medical images: k-means or a Gaussian mixture over the voxels of a cohort, or a segmentation.
//!
//! Use this crate to fit classes, or to label voxels with a codebook of your own. Use `disyre` for the whole pipeline,
//! which fits classes to its training scans. Any other source of tissue classes can implement [`TissueModel`].
//!
//! ```
//! use disyre_core::{Key, TissueModel, ndarray::{Array4, array}};
//! use disyre_tissue::{Codebook, KMeansConfig, sample_cohort};
//!
//! let scan = Array4::from_shape_fn((1, 4, 8, 8), |(_, z, y, x)| [0.0, 0.2, 0.5, 0.9][(x + y + z) % 4]);
//! let samples = sample_cohort(&[scan.view()], 100, Key::new(1))?; // foreground voxels only
//! let fit = KMeansConfig { classes: 3, ..KMeansConfig::default() }.fit(samples.view(), Key::new(2))?;
//! assert_eq!(fit.codebook, Codebook::from_centres(array![[0.2_f32], [0.5], [0.9]].mapv(f64::from).view())?);
//!
//! let mut labels = [0; 3];
//! fit.codebook.hard(array![[0.8], [0.1], [0.45]].view(), &mut labels)?;
//! assert_eq!(labels, [2, 0, 1]);
//! # Ok::<(), disyre_tissue::TissueError>(())
//! ```
//!
//! Main types: [`Codebook`] (the nearest of K centres, fitted by [`KMeansConfig`]), [`GaussianMixture`] (soft memberships,
//! fitted by [`MixtureConfig`]), [`LabelMap`] (an anatomical segmentation); [`FittedTissues`] holds either of the first
//! two and its file. [`sample_cohort`] bounds the memory of a fit.
//!
//! Features: `kmeans` (default) fits several channels through the crate of that name, which needs
//! `RUSTC_BOOTSTRAP=kmeans` on a stable compiler. Without it this crate builds on plain stable and fits one channel,
//! which it solves exactly.
//!
//! No fit uses spatial context: no smoothing, no atlas, no bias field.
#![forbid(unsafe_code)]

mod codebook;
mod error;
mod fitted;
mod kmeans_1d;
mod kmeans_fit;
#[cfg(feature = "kmeans")]
mod kmeans_nd;
mod label_map;
mod mixture;
mod mixture_fit;
mod sample;

pub use codebook::{Codebook, MAX_CLASSES, PUBLISHED_CENTRES};
pub use disyre_core::TissueModel;
pub use error::TissueError;
pub use fitted::FittedTissues;
pub use kmeans_fit::{KMeansConfig, KMeansFit};
pub use label_map::{LabelMap, label_codes};
pub use mixture::GaussianMixture;
pub use mixture_fit::{MixtureConfig, MixtureFit};
pub use sample::{sample_cohort, sample_foreground};
