//! [`Anomalies`]: draws anomalies of one family and applies them to images.

use std::{fmt, sync::Arc};

use disyre_core::{
    Key, Severity,
    ndarray::{Array3, ArrayViewMut4},
};
use serde::{Deserialize, Serialize};

use crate::{
    canvas::{Canvas, Scene},
    check,
    corruptions::{Corruption, CorruptionParams},
    error::DagError,
    placed_mask::PlacedMask,
    placement::PlacementParams,
    shapes::ShapeSource,
};

/// One drawn anomaly, before an image is seen: with the same sources and image it gives the same anomaly.
///
/// It is plain data: kept in a file as a recipe, it replays the anomaly.
///
/// ```
/// use disyre_dag::{AnomalyParams, Family, Key, Severity, Sources};
///
/// let drawn = Family::Sharpen.config([1, 32, 32]).build(&Sources::new())?.draw(Key::new(1));
/// let full: AnomalyParams = drawn.clone().at(Severity::FULL);
/// assert_eq!((full.placement, full.parts[0].severity()), (drawn.placement, Severity::FULL));
/// # Ok::<(), disyre_dag::DagError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnomalyParams {
    /// Place of the window in the image.
    pub placement: PlacementParams,
    /// The key that the shape source is asked with.
    pub shape: Key,
    /// The drawn corruption of each part.
    pub parts: Vec<CorruptionParams>,
}

impl AnomalyParams {
    /// The same draw with all parts at another severity: how an anomaly is shown from mild to severe.
    #[must_use]
    pub fn at(mut self, severity: Severity) -> Self {
        self.parts = self.parts.into_iter().map(|part| part.at(severity)).collect();
        self
    }
}

/// An anomaly as it was realised on an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Realised {
    /// The greatest severity of the parts.
    pub severity: Severity,
    /// The severity of each part, as its corruption defines it.
    pub parts: Vec<Severity>,
    /// The mask in the image, 0 in the background.
    pub mask: PlacedMask,
}

/// A generator of anomalies of one family: [`draw`](Self::draw) needs a key alone, [`apply`](Self::apply) is deterministic.
///
/// ```
/// use disyre_dag::{Family, Key, Sources, ndarray::Array4};
///
/// let anomalies = Family::Deformation.config([1, 24, 24]).build(&Sources::new())?;
/// let clean = Array4::from_shape_fn((1, 1, 40, 40), |(_, _, y, x)| (1 + y * x % 7) as f32 / 8.0);
/// let recipe = anomalies.draw(Key::new(3)); // serialisable
/// let [mut first, mut again] = [0, 1].map(|_| Array4::zeros(clean.dim()));
/// let realised = anomalies.apply(&recipe, clean.view(), first.view_mut())?;
/// anomalies.apply(&recipe, clean.view(), again.view_mut())?;
/// assert!(realised.severity.get() > 0.0 && first != clean && first == again);
/// # Ok::<(), disyre_dag::DagError>(())
/// ```
#[derive(Clone)]
pub struct Anomalies {
    window: [usize; 3],
    shapes: Arc<dyn ShapeSource>,
    parts: Vec<Arc<dyn Corruption>>,
}

impl fmt::Debug for Anomalies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Anomalies")
            .field("window", &self.window)
            .field("parts", &self.parts.len())
            .finish_non_exhaustive()
    }
}

impl Anomalies {
    /// A family of one's own: shapes, and corruptions one after the other, on a window of these extents, `(z, y, x)` in voxels.
    ///
    /// # Errors
    /// [`DagError::Config`] for a window without voxels; [`DagError::NoItems`] without parts.
    pub fn new(
        window: [usize; 3],
        shapes: impl ShapeSource + 'static,
        parts: Vec<Arc<dyn Corruption>>,
    ) -> Result<Self, DagError> {
        for extent in window {
            let expected = "at least 1 voxel along each axis";
            check::in_range("window", extent as f64, [1.0, f64::MAX], expected)?;
        }
        if parts.is_empty() {
            let source_name = "the family of anomalies";
            return Err(DagError::NoItems { source_name, items: "parts" });
        }
        Ok(Self { window, shapes: Arc::new(shapes), parts })
    }

    /// Draws an anomaly.
    pub fn draw(&self, key: Key) -> AnomalyParams {
        let parts = self.parts.iter().enumerate();
        AnomalyParams {
            placement: PlacementParams::draw(key.child("placement")),
            shape: key.child("shape"),
            parts: parts.map(|(index, part)| part.draw(self.key_of(index, key))).collect(),
        }
    }

    /// The key of a part: its name, and for a second part of that name which one it is.
    ///
    /// So a part draws the same whatever stands before it: an ablation is the anomaly without a part.
    fn key_of(&self, index: usize, key: Key) -> Key {
        let name = self.parts[index].name();
        match self.parts[..index].iter().filter(|part| part.name() == name).count() {
            0 => key.child(name),
            earlier => key.child(name).child(earlier),
        }
    }

    /// Applies a drawn anomaly to an image: an [`ndarray`](disyre_core::ndarray) view, or a [`Scene`] with more of it.
    ///
    /// Nothing changes outside the mask, nor in background: voxels with all channels exactly 0. One shape, one
    /// placement and one draw serve all channels.
    ///
    /// # Shapes and units
    /// `out` is `(c, z, y, x)` like the scene's image; all of it is written, with intensities in `[0, 1]`.
    ///
    /// # Errors
    /// [`DagError`] if the arrays differ in shape, intensities lie outside `[0, 1]`, the window is larger than the image,
    /// the map of places leaves no place, a source does not fit the channels, or the parameters are another family's;
    /// `out` is then untouched.
    pub fn apply<'a>(
        &self,
        params: &AnomalyParams,
        scene: impl Into<Scene<'a>>,
        out: ArrayViewMut4<'_, f32>,
    ) -> Result<Realised, DagError> {
        self.ensure_own(params)?;
        let scene = scene.into();
        scene.check(&out)?;
        let mask = self.place(params, scene.reborrow())?;
        let mut canvas = Canvas::new(scene.reborrow(), &mask, self.margin())?;
        let realised = self.parts.iter().zip(&params.parts);
        let parts = realised
            .map(|(part, params)| part.realise(params, &mut canvas))
            .collect::<Result<Vec<_>, _>>()?;
        canvas.finish(out);
        let severity = parts.iter().copied().fold(Severity::CLEAN, Severity::max);
        Ok(Realised { severity, parts, mask })
    }

    /// The drawn mask on the foreground of an image.
    fn place(&self, params: &AnomalyParams, scene: Scene<'_>) -> Result<PlacedMask, DagError> {
        let origin = match scene.places {
            Some(places) => params.placement.origin_in(self.window, scene.clean, places)?,
            None => params.placement.origin(self.window, scene.clean)?,
        };
        let mut shape = Array3::zeros(self.window);
        self.shapes.fill(params.shape, shape.view_mut())?;
        PlacedMask::on_foreground(origin, shape, scene.clean)
    }

    /// The greatest margin of all parts, `(z, y, x)` in voxels.
    fn margin(&self) -> [usize; 3] {
        let margins = self.parts.iter().map(|part| part.margin());
        margins.fold([0; 3], |a, b| std::array::from_fn(|axis| a[axis].max(b[axis])))
    }

    /// That parameters have as many parts as the family.
    fn ensure_own(&self, params: &AnomalyParams) -> Result<(), DagError> {
        let (expected, got) = (self.parts.len(), params.parts.len());
        if expected == got { Ok(()) } else { Err(DagError::Parts { expected, got }) }
    }

    /// Draws an anomaly and applies it: [`draw`](Self::draw), then [`apply`](Self::apply).
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn corrupt<'a>(
        &self,
        key: Key,
        scene: impl Into<Scene<'a>>,
        out: ArrayViewMut4<'_, f32>,
    ) -> Result<Realised, DagError> {
        self.apply(&self.draw(key), scene, out)
    }
}
