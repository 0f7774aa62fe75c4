//! Textures of anomalies: sources of foreign intensities, from given volumes, the same image or noise.

mod bank;
mod lazy;
mod noise;
mod rescaled;
mod same_image;
mod source;

pub use bank::VolumeBank;
pub use lazy::LazyBank;
pub use noise::{NoiseTexture, NoiseTextureConfig};
pub use rescaled::{Rescaled, RescaledConfig};
pub use same_image::SameImage;
pub use source::TextureSource;
