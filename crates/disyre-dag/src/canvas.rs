//! [`Scene`], the image that a user hands in, and [`Canvas`], the part of it on which corruptions work.

use disyre_core::{
    Severity, TissueModel, ensure_same_shape,
    ndarray::{ArrayView1, ArrayView3, ArrayView4, ArrayViewMut3, ArrayViewMut4, Axis},
};
use std::{borrow::Cow, fmt};

use crate::{
    check,
    error::DagError,
    float_order::{from_ordered, to_ordered},
    placed_mask::PlacedMask,
    region::Region,
    scratch::ScratchBuffer,
};

/// An image to corrupt, with its map of places and its tissues if there are some.
///
/// # Shapes and units
/// `clean` is `(c, z, y, x)`, intensities in `[0, 1]`; `places` is `(z, y, x)` of the same extents.
///
/// ```
/// use disyre_dag::{Family, Key, Scene, Sources, ndarray::{Array3, Array4}};
///
/// let clean = Array4::from_shape_fn((1, 1, 40, 40), |(_, _, y, x)| (1 + y * x % 7) as f32 / 8.0);
/// let mut places = Array3::zeros((1, 40, 40));
/// places[[0, 12, 20]] = 1.0; // the one voxel at which an anomaly may be centred
/// let scene = Scene { places: Some(places.view()), ..clean.view().into() };
/// let mut out = Array4::zeros(clean.dim());
/// let blur = Family::Blur.config([1, 16, 16]).build(&Sources::new())?;
/// assert_eq!(blur.corrupt(Key::new(1), scene, out.view_mut())?.mask.origin, [0, 4, 12]);
/// # Ok::<(), disyre_dag::DagError>(())
/// ```
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// The image to corrupt.
    pub clean: ArrayView4<'a, f32>,
    /// Map of places: the weight of each voxel as the centre of an anomaly, ≥ 0, of any sum; a mask is such a map.
    /// `None`: the foreground, all voxels alike.
    pub places: Option<ArrayView3<'a, f32>>,
    /// The tissues of this image, for biases that take them from the scene: its segmentation, say.
    pub tissues: Option<&'a dyn TissueModel>,
}

impl fmt::Debug for Scene<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scene")
            .field("clean", &self.clean.shape())
            .field("places", &self.places.is_some())
            .field("tissues", &self.tissues.is_some())
            .finish()
    }
}

impl<'a> From<ArrayView4<'a, f32>> for Scene<'a> {
    fn from(clean: ArrayView4<'a, f32>) -> Self {
        Self { clean, places: None, tissues: None }
    }
}

impl<'a> Scene<'a> {
    /// The same scene for a shorter time: array views do not shorten by themselves.
    pub(crate) fn reborrow<'b>(self) -> Scene<'b>
    where
        'a: 'b,
    {
        Scene {
            clean: self.clean.reborrow(),
            places: self.places.map(ArrayView3::reborrow),
            tissues: self.tissues,
        }
    }

    /// That intensities and weights are in range and all arrays fit each other.
    pub(crate) fn check(&self, out: &ArrayViewMut4<'_, f32>) -> Result<(), DagError> {
        ensure_same_shape("the corrupted image", self.clean.shape(), out.shape())?;
        check::unit_interval("the clean image", &self.clean)?;
        let extents = &self.clean.shape()[1..];
        if let Some(places) = self.places {
            ensure_same_shape("the map of places", extents, places.shape())?;
        }
        Ok(())
    }
}

/// The neighbourhood of a mask in an image, on which corruptions work one after the other.
///
/// The output is written when all of them have succeeded.
///
/// Only a [`Corruption`](crate::corruptions::Corruption) of one's own needs it:
///
/// ```
/// use disyre_dag::corruptions::{Canvas, Corruption, CorruptionParams, SharpnessConfig};
/// use disyre_dag::{DagError, Key, PlacedMask, Severity, ndarray::{Array3, Array4}};
///
/// /// Removes all tissue.
/// struct Hole;
/// impl Corruption for Hole {
///     fn name(&self) -> &'static str {
///         "hole"
///     }
///     fn draw(&self, key: Key) -> CorruptionParams {
///         SharpnessConfig::default().build().expect("defaults").draw(key) // nothing of one's own to draw
///     }
///     fn realise(
///         &self,
///         _: &CorruptionParams,
///         canvas: &mut Canvas<'_>,
///     ) -> Result<Severity, DagError> {
///         canvas.window_mut().fill(0.0);
///         Ok(Severity::FULL)
///     }
/// }
///
/// let clean = Array4::from_elem((1, 1, 8, 8), 0.5);
/// let mask = PlacedMask { origin: [0, 2, 2], values: Array3::ones((1, 4, 4)) };
/// let mut out = Array4::zeros(clean.dim());
/// Hole.corrupt(Key::new(1), clean.view(), &mask, out.view_mut())?;
/// assert_eq!(out.sum(), 24.0);
/// # Ok::<(), disyre_dag::DagError>(())
/// ```
#[derive(Debug)]
pub struct Canvas<'a> {
    scene: Scene<'a>,
    mask: &'a PlacedMask,
    /// The mask's window and a margin, in the image.
    region: Region,
    values: ScratchBuffer,
}

impl<'a> Canvas<'a> {
    /// Copies the mask's window and a margin, `(z, y, x)` in voxels, as far as the image reaches; along an axis on which the
    /// window has one voxel there is no margin.
    ///
    /// # Errors
    /// [`DagError::MaskOutside`] or [`DagError::OutOfRange`] for a mask that does not fit.
    pub fn new(
        scene: Scene<'a>,
        mask: &'a PlacedMask,
        margin: [usize; 3],
    ) -> Result<Self, DagError> {
        mask.check(&scene.clean)?;
        let (channels, z, y, x) = scene.clean.dim();
        let window: [usize; 3] = mask.values.dim().into();
        // A flat anomaly in a volume is that of its slice alone.
        let margin = std::array::from_fn(|axis| if window[axis] > 1 { margin[axis] } else { 0 });
        let region = mask.region().widened(margin, [z, y, x]);
        let part = region.of(scene.clean);
        let mut values = ScratchBuffer::zeros(channels * region.voxels());
        let width = part.len_of(Axis(3)).max(1);
        for (to, from) in values.chunks_exact_mut(width).zip(part.rows()) {
            to.copy_from_slice(&contiguous(from));
        }
        Ok(Self { scene, mask, region, values })
    }

    /// The whole image before any change.
    pub fn clean(&self) -> ArrayView4<'a, f32> {
        self.scene.clean
    }

    /// The mask, in voxels of the image.
    pub fn mask(&self) -> &'a PlacedMask {
        self.mask
    }

    /// The mask's window and its margin as they are now, `(c, z, y, x)`.
    #[doc(alias = "around")]
    pub fn neighbourhood(&self) -> ArrayView4<'_, f32> {
        ArrayView4::from_shape(self.dim(), &self.values).expect("a canvas has its region's voxels")
    }

    /// The mask's window as it is now, `(c, z, y, x)`.
    pub fn window(&self) -> ArrayView4<'_, f32> {
        self.inner().of(self.neighbourhood())
    }

    /// The mask's window, to be changed: only where the mask is above 0.
    pub fn window_mut(&mut self) -> ArrayViewMut4<'_, f32> {
        let (inner, dim) = (self.inner(), self.dim());
        let all = ArrayViewMut4::from_shape(dim, &mut self.values);
        inner.of(all.expect("a canvas has its region's voxels"))
    }

    /// First voxel of the mask's window in [`neighbourhood`](Self::neighbourhood), `(z, y, x)`.
    pub fn window_origin(&self) -> [usize; 3] {
        self.inner().start
    }

    /// The first voxel of [`neighbourhood`](Self::neighbourhood) in the image, `(z, y, x)`.
    #[doc(alias = "around_origin")]
    pub fn neighbourhood_origin(&self) -> [usize; 3] {
        self.region.start
    }

    pub(crate) fn inner(&self) -> Region {
        self.mask.region().inside(&self.region)
    }

    fn dim(&self) -> (usize, usize, usize, usize) {
        let [z, y, x] = self.region.extents();
        (self.scene.clean.len_of(Axis(0)), z, y, x)
    }

    /// The tissues of the image, if they are given with it.
    pub fn tissues(&self) -> Option<&'a dyn TissueModel> {
        self.scene.tissues
    }

    /// Moves the window's voxels towards `target` in proportion to the mask: `x + m · (target − x)`, clipped.
    ///
    /// `target` is `(c, z, y, x)` over the window. Returns the greatest change of any voxel.
    pub(crate) fn blend_towards(&mut self, target: ArrayView4<'_, f32>, strength: f32) -> f32 {
        let mask = self.mask.values.view();
        let mut greatest = 0;
        for (channel, target) in self.window_mut().outer_iter_mut().zip(target.outer_iter()) {
            let mut others = mask.rows().into_iter().zip(target.rows());
            for_each_row(channel, |row| {
                let Some((mask, target)) = others.next() else { return };
                let (mask, target) = (contiguous(mask), contiguous(target));
                for ((value, m), target) in row.iter_mut().zip(mask.iter()).zip(target.iter()) {
                    let blended = (*value + strength * m * (target - *value)).clamp(0.0, 1.0);
                    greatest = to_ordered((blended - *value).abs()).max(greatest);
                    *value = blended;
                }
            });
        }
        from_ordered(greatest)
    }

    /// Writes the clean image with the canvas's window in it.
    pub(crate) fn finish(self, mut out: ArrayViewMut4<'_, f32>) {
        out.assign(&self.scene.clean);
        self.mask.region().of(out).assign(&self.window());
    }
}

/// The greatest change of intensities as a severity.
pub(crate) fn severity_of(change: f32) -> Severity {
    Severity::new(change.min(1.0)).unwrap_or(Severity::FULL)
}

/// The values of a row as a slice; a row that is spread over memory is copied.
pub(crate) fn contiguous(row: ArrayView1<'_, f32>) -> Cow<'_, [f32]> {
    match row.to_slice() {
        Some(values) => Cow::Borrowed(values),
        None => Cow::Owned(row.to_vec()),
    }
}

/// Calls `visit` for the rows of a view whose rows are contiguous, as all that this crate allocates.
pub(crate) fn for_each_row(mut view: ArrayViewMut3<'_, f32>, mut visit: impl FnMut(&mut [f32])) {
    for row in view.rows_mut() {
        if let Some(row) = row.into_slice() {
            visit(row);
        }
    }
}
