use std::{fmt, sync::Arc};

use disyre_core::{
    Key, Severity, TissueModel,
    ndarray::{Array3, ArrayView4, ArrayViewMut4},
};
use serde::{Deserialize, Serialize};

use crate::{
    BiasConfig, BiasParams, Canvas, Corruption, DagError, PlacedMask, PlacementParams, Scene,
    ShapeSource, TextureBlend, TextureConfig, TextureParams, TextureSource, TissueBias, check,
};

/// The published anomaly window, `(z, y, x)` in voxels.
pub(crate) const PUBLISHED_WINDOW: [usize; 3] = [1, 64, 64];

/// A disentangled anomaly generator: window, texture and bias.
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

    /// Checks the values and takes the sources.
    ///
    /// # Errors
    /// [`DagError::Config`] naming the field that is out of range.
    pub fn build(
        self,
        shapes: Arc<dyn ShapeSource>,
        textures: Arc<dyn TextureSource>,
        tissues: Arc<dyn TissueModel>,
    ) -> Result<Dag, DagError> {
        for extent in self.window {
            let expected = "at least 1 voxel along each axis";
            check::in_range("window", extent as f64, [1.0, f64::MAX], expected)?;
        }
        let texture = self.texture.build(textures)?;
        let bias = self.bias.build(tissues)?;
        Ok(Dag { window: self.window, shapes, texture, bias })
    }
}

/// All that is drawn for one anomaly, before an image is seen: with the same sources it gives the same anomaly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DagParams {
    /// Where.
    pub placement: PlacementParams,
    /// The key that the shape source is asked with.
    pub shape: Key,
    /// The foreign texture.
    pub texture: TextureParams,
    /// The shift of tissues.
    pub bias: BiasParams,
}

/// What an anomaly became on an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// The greater of the two parts.
    pub severity: Severity,
    /// The texture's severity, or 0 if it changed no voxel.
    pub texture: Severity,
    /// The greatest change that the bias made.
    pub bias: Severity,
    /// Where, without background.
    pub mask: PlacedMask,
}

/// Makes anomalies: a place on the foreground, a shape, a foreign texture in it, then a shift of its tissues.
#[derive(Clone)]
pub struct Dag {
    window: [usize; 3],
    shapes: Arc<dyn ShapeSource>,
    texture: TextureBlend,
    bias: TissueBias,
}

impl fmt::Debug for Dag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dag")
            .field("window", &self.window)
            .field("texture", &self.texture)
            .field("bias", &self.bias)
            .finish_non_exhaustive()
    }
}

impl Dag {
    /// Draws an anomaly.
    pub fn draw(&self, key: Key) -> DagParams {
        DagParams {
            placement: PlacementParams::draw(key.child("placement")),
            shape: key.child("shape"),
            texture: self.texture.draw(key.child("texture")),
            bias: self.bias.draw(key.child("bias")),
        }
    }

    /// Puts a drawn anomaly on an image.
    ///
    /// Nothing changes outside the mask, nor in background: voxels with all channels exactly 0.
    ///
    /// # Shapes and units
    /// `clean` and `out` are `(c, z, y, x)`, intensities in `[0, 1]`; all of `out` is written. One shape, one place
    /// and one severity serve all channels.
    ///
    /// # Errors
    /// [`DagError`] if the arrays differ in shape, intensities lie outside `[0, 1]`, the window is larger than the
    /// image, or a source or the tissue model does not fit the channels; `out` is then untouched.
    pub fn apply(
        &self,
        params: &DagParams,
        clean: ArrayView4<'_, f32>,
        out: ArrayViewMut4<'_, f32>,
    ) -> Result<Applied, DagError> {
        let place =
            Place { window: self.window, placement: &params.placement, shape: params.shape };
        let margin = self.bias.margin();
        let scene = Scene::from(clean);
        let (mask, (texture, bias)) =
            place.compose(&*self.shapes, scene, margin, out, |canvas| {
                Ok((
                    self.texture.blend(&params.texture, canvas)?,
                    self.bias.shift(&params.bias, canvas)?,
                ))
            })?;
        Ok(Applied { severity: texture.max(bias), texture, bias, mask })
    }

    /// Draws an anomaly and puts it on an image: [`draw`](Self::draw), then [`apply`](Self::apply).
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn corrupt(
        &self,
        key: Key,
        clean: ArrayView4<'_, f32>,
        out: ArrayViewMut4<'_, f32>,
    ) -> Result<Applied, DagError> {
        self.apply(&self.draw(key), clean, out)
    }
}

/// Where an anomaly goes and which shape it has.
pub(crate) struct Place<'a> {
    pub(crate) window: [usize; 3],
    pub(crate) placement: &'a PlacementParams,
    pub(crate) shape: Key,
}

impl Place<'_> {
    /// Places a mask, lets `corrupt` work on a canvas around it, and writes the canvas once all has succeeded.
    pub(crate) fn compose<T>(
        &self,
        shapes: &dyn ShapeSource,
        scene: Scene<'_>,
        margin: [usize; 3],
        out: ArrayViewMut4<'_, f32>,
        corrupt: impl FnOnce(&mut Canvas<'_>) -> Result<T, DagError>,
    ) -> Result<(PlacedMask, T), DagError> {
        scene.check(&out)?;
        let origin = match scene.places {
            Some(places) => self.placement.origin_in(self.window, scene.clean, places)?,
            None => self.placement.origin(self.window, scene.clean)?,
        };
        let mut shape = Array3::zeros(self.window);
        shapes.fill(self.shape, shape.view_mut())?;
        let mask = PlacedMask::on_foreground(origin, shape, scene.clean)?;
        let mut canvas = Canvas::new(scene.reborrow(), &mask, margin)?;
        let result = corrupt(&mut canvas)?;
        canvas.finish(out);
        Ok((mask, result))
    }
}
