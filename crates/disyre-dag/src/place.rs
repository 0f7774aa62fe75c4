use disyre_core::{
    Key,
    ndarray::{Array3, ArrayViewMut4},
};

use crate::{Canvas, DagError, PlacedMask, PlacementParams, Scene, ShapeSource};

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
