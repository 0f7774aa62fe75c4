//! Synthetic anomalies for medical images: where, which shape, what happens inside, and how severe.
//!
//! Take this crate to corrupt images for a network of your own; take `disyre` for the whole pipeline.
//!
//! ```
//! use std::sync::Arc;
//! use disyre_dag::{Family, Key, Sources, VolumeBank, ndarray::Array4};
//!
//! // (c, z, y, x), intensities in [0, 1], background 0; a 2D image has z = 1.
//! let healthy = Array4::from_shape_fn((1, 32, 64, 64), |(_, z, y, x)| ((z + y * x) % 97) as f32 / 96.0);
//! let clean = Array4::from_elem((1, 32, 64, 64), 0.6);
//! let sources = Sources { textures: Some(Arc::new(VolumeBank::new(vec![healthy])?)), ..Sources::default() };
//! let anomalies = Family::DagNoTissue.config([24, 32, 32]).build(&sources)?;
//! let recipe = anomalies.draw(Key::new(7).child("sample").child(0u64)); // serialisable
//! let mut corrupted = Array4::zeros(clean.dim());
//! let realised = anomalies.apply(&recipe, clean.view().into(), corrupted.view_mut())?;
//! assert!(realised.severity.get() > 0.0 && corrupted != clean);
//! # Ok::<(), disyre_dag::DagError>(())
//! ```
//!
//! Main types: [`Family`] names the known families; its configuration builds [`Anomalies`] from [`Sources`]: shapes
//! ([`ShapeSource`]), foreign textures ([`TextureSource`]) and tissues ([`TissueModel`]). What happens inside a shape is
//! a list of [`Corruption`]s: [`TextureBlend`], [`TissueBias`], [`PoissonBlend`], [`Deformation`], [`Sharpness`], or one's
//! own. Drawing needs only a key; applying is deterministic. No features.
//!
//! It reads no files, fits no tissue model and resamples no images.
#![forbid(unsafe_code)]

mod anomaly;
mod blur;
mod canvas;
mod check;
mod component;
mod corruptions;
mod dag;
mod error;
mod family;
mod fractal;
mod mask;
mod order;
mod place;
mod placement;
mod rank;
mod region;
mod scratch;
mod shapes;
mod textures;

pub use anomaly::{
    Anomalies, AnomalyConfig, AnomalyParams, BiasPart, PartConfig, PoissonPart, Realised, Sources,
    TextureFrom, TextureOrigin, TexturePart, TissueFrom,
};
pub use blur::gaussian_blur;
pub use canvas::{Canvas, Scene};
pub use corruptions::{
    BiasConfig, BiasDirection, BiasParams, Corruption, CorruptionParams, Deformation,
    DeformationConfig, DeformationDirection, DeformationParams, Gradients, Memberships,
    Normalisation, PoissonBlend, PoissonConfig, Sharpness, SharpnessConfig, SharpnessDirection,
    SharpnessParams, TextureBlend, TextureConfig, TextureParams, TissueBias,
};
pub use dag::DagConfig;
pub use error::DagError;
pub use family::Family;
pub use mask::PlacedMask;
pub use placement::PlacementParams;
pub use shapes::{
    BlobConfig, BlobShapes, CombinedShapes, DiscConfig, DiscShapes, EllipsoidConfig,
    EllipsoidShapes, MaskConfig, MaskFrame, MaskShapes, PUBLISHED_BLOB_AREA, PatchConfig,
    PatchShapes, PatchSides, PublishedShapes, PublishedShapesConfig, RectangleConfig,
    RectangleShapes, ShapeConfig, ShapeSource, SizeConfig, SizedShapes,
};
pub use textures::{
    LazyBank, NoiseTexture, NoiseTextureConfig, Rescaled, RescaledConfig, SameImage, TextureSource,
    VolumeBank,
};

// What a user needs of the vocabulary, so that this crate can be used alone.
pub use disyre_core::{Key, Severity, TissueModel, ndarray};
