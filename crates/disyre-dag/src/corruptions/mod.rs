//! Corruptions inside a mask: textures, shifts of tissues, Poisson blends, deformations, changes of sharpness.

mod bias;
mod corruption;
mod deformation;
mod foreign;
mod normalisation;
mod params;
mod poisson;
mod sharpness;
mod strength;
mod texture;
mod tissue_field;

pub use bias::{BiasConfig, TissueBias};
pub use corruption::Corruption;
pub use deformation::{Deformation, DeformationConfig};
pub use normalisation::Normalisation;
pub use params::{
    BiasDirection, BiasParams, CorruptionParams, DeformationDirection, DeformationParams,
    SharpnessDirection, SharpnessParams, TextureParams,
};
pub use poisson::{Guidance, PoissonBlend, PoissonConfig};
pub use sharpness::{Sharpness, SharpnessConfig};
pub use texture::{TextureBlend, TextureConfig};
pub use tissue_field::Memberships;

pub use crate::canvas::Canvas;
