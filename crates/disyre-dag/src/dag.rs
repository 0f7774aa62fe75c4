use serde::{Deserialize, Serialize};

use crate::{BiasConfig, TextureConfig};

/// The published anomaly window, `(z, y, x)` in voxels.
const PUBLISHED_WINDOW: [usize; 3] = [1, 64, 64];

/// Settings of the disentangled anomaly generator, [`Family::Dag`](crate::Family::Dag): window, texture and bias.
///
/// # Source
/// DISYRE v2 (arXiv 2407.06635), disentangled anomaly generation; the default is its published code.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DagConfig {
    /// Extents of the window that holds an anomaly, `(z, y, x)` in voxels; it has to fit into the image.
    pub window: [usize; 3],
    /// The foreign texture.
    pub texture: TextureConfig,
    /// The shift of tissues.
    pub bias: BiasConfig,
}

impl Default for DagConfig {
    fn default() -> Self {
        let (texture, bias) = (TextureConfig::default(), BiasConfig::default());
        Self { window: PUBLISHED_WINDOW, texture, bias }
    }
}

impl DagConfig {
    /// The published generator on a window of other extents, `(z, y, x)` in voxels.
    ///
    /// Shapes are relative to the window anyway; here the bias follows: its count offset in proportion to the
    /// window's voxels, its blur to the extent along each axis (along one of a single voxel there is none).
    ///
    /// # Source
    /// Ours: the published code knows one window.
    pub fn for_window(window: [usize; 3]) -> Self {
        let mut config = Self { window, ..Self::default() };
        let voxels =
            |window: [usize; 3]| window.map(|extent| extent as f64).iter().product::<f64>();
        config.bias.count_offset *= voxels(window) / voxels(PUBLISHED_WINDOW);
        config.bias.blur_sigma_voxels = window.map(|extent| extent as f64 / 64.0);
        config
    }
}
