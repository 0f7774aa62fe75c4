//! [`Corruption`]: the trait of all corruptions.

use disyre_core::{
    Key, Severity,
    ndarray::{ArrayView4, ArrayViewMut4},
};

use super::params::CorruptionParams;
use crate::{
    canvas::{Canvas, Scene},
    error::DagError,
    placed_mask::PlacedMask,
};

/// A change of intensities under a mask. A family of anomalies is a list of corruptions.
///
/// Drawing needs a key alone and serves any number of channels; realising is deterministic.
///
/// ```
/// use disyre_dag::{Key, PlacedMask, corruptions::{Corruption, DeformationConfig}};
/// use disyre_dag::ndarray::{Array3, Array4};
///
/// let clean = Array4::from_shape_fn((1, 1, 24, 24), |(_, _, y, x)| ((y + x) % 5 + 1) as f32 / 6.0);
/// let mask = PlacedMask { origin: [0, 4, 4], values: Array3::ones((1, 16, 16)) };
/// let deformation = DeformationConfig::default().build()?;
/// let params = deformation.draw(Key::new(1));
/// let mut out = Array4::zeros(clean.dim());
/// let severity = deformation.apply(&params, clean.view(), &mask, out.view_mut())?;
/// assert!(severity.get() > 0.0 && out != clean);
/// # Ok::<(), disyre_dag::DagError>(())
/// ```
pub trait Corruption: Send + Sync {
    /// Its name, from which the parts of a family derive their keys.
    fn name(&self) -> &'static str;

    /// Draws the parameters.
    fn draw(&self, key: Key) -> CorruptionParams;

    /// Voxels that it reads around the mask's window, `(z, y, x)`.
    fn margin(&self) -> [usize; 3] {
        [0; 3]
    }

    /// Corrupts the window of a canvas and returns the severity that was realised: 0 exactly where nothing changed.
    ///
    /// Nothing changes where the mask is 0. Equal arguments give equal results.
    ///
    /// # Errors
    /// [`DagError`] if parameters, canvas and corruption do not fit each other.
    fn realise(
        &self,
        params: &CorruptionParams,
        canvas: &mut Canvas<'_>,
    ) -> Result<Severity, DagError>;

    /// Realises drawn parameters under a given mask and writes the image.
    ///
    /// # Shapes and units
    /// `clean` and `out` are `(c, z, y, x)`, intensities in `[0, 1]`; all of `out` is written.
    ///
    /// # Errors
    /// [`DagError`] if the arrays, the mask and the corruption do not fit each other, [`DagError::EmptyMask`] for a mask
    /// that is 0 everywhere; `out` is then untouched.
    fn apply(
        &self,
        params: &CorruptionParams,
        clean: ArrayView4<'_, f32>,
        mask: &PlacedMask,
        out: ArrayViewMut4<'_, f32>,
    ) -> Result<Severity, DagError> {
        let scene = Scene::from(clean);
        scene.check(&out)?;
        mask.check(&clean)?;
        if mask.voxels_above(0.0) == 0 {
            return Err(DagError::EmptyMask);
        }
        let mut canvas = Canvas::new(scene.reborrow(), mask, self.margin())?;
        let realised = self.realise(params, &mut canvas)?;
        canvas.finish(out);
        Ok(realised)
    }

    /// Draws parameters and realises them: [`draw`](Self::draw), then [`apply`](Self::apply).
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    fn corrupt(
        &self,
        key: Key,
        clean: ArrayView4<'_, f32>,
        mask: &PlacedMask,
        out: ArrayViewMut4<'_, f32>,
    ) -> Result<Severity, DagError> {
        self.apply(&self.draw(key), clean, mask, out)
    }
}
