//! Synthetic anomalies for medical images: where, which shape, which texture, which shift of tissues, and how severe.
//!
//! Take this crate to corrupt images for a network of your own; take `disyre` for the whole pipeline.
//!
//! ```
//! use std::sync::Arc;
//! use disyre_core::{Key, ndarray::Array4};
//! # use disyre_core::{ShapeError, TissueModel, ndarray::{ArrayView2, ArrayViewMut2}};
//! use disyre_dag::{DagConfig, NoiseTexture, PublishedShapes};
//! # struct TwoTissues;
//! # impl TissueModel for TwoTissues {
//! #     fn classes(&self) -> usize { 2 }
//! #     fn soft(&self, x: ArrayView2<f32>, mut m: ArrayViewMut2<f32>) -> Result<(), ShapeError> {
//! #         m.column_mut(0).assign(&x.column(0).mapv(|x| 1.0 - x));
//! #         m.column_mut(1).assign(&x.column(0));
//! #         Ok(())
//! #     }
//! # }
//!
//! let (shapes, textures) = (Arc::new(PublishedShapes::default()), Arc::new(NoiseTexture::default()));
//! let dag = DagConfig::default().build(shapes, textures, Arc::new(TwoTissues))?;
//! let clean = Array4::from_elem((1, 1, 128, 128), 0.6); // (c, z, y, x); a 2D image has z = 1
//! let mut corrupted = Array4::zeros(clean.dim());
//! let recipe = dag.draw(Key::new(7).child("sample").child(0u64)); // serialisable
//! let applied = dag.apply(&recipe, clean.view(), corrupted.view_mut())?;
//! assert_eq!(applied.severity, applied.texture.max(applied.bias));
//! assert!(applied.severity.get() > 0.0 && corrupted != clean);
//! # Ok::<(), disyre_dag::DagError>(())
//! ```
//!
//! Main types: [`Dag`] composes a [`ShapeSource`] with two [`Corruption`]s, [`TextureBlend`] over a [`TextureSource`]
//! and [`TissueBias`] over a [`TissueModel`](disyre_core::TissueModel). Each part can be used alone. Drawing
//! ([`Dag::draw`]) needs only a key; applying is deterministic. No features.
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
    Normalisation, PoissonBlend, PoissonConfig, PoissonParams, Sharpness, SharpnessConfig,
    SharpnessDirection, SharpnessParams, TextureBlend, TextureConfig, TextureParams, TissueBias,
};
pub use dag::{Applied, Dag, DagConfig, DagParams};
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
