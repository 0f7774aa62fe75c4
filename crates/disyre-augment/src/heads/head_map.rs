//! [`HeadMap`]: a label map of a whole head, made ready for synthetic images.

use disyre_core::ndarray::{Array3, ArrayView3, Zip};
use disyre_core::{ShapeError, ensure_same_shape};

use super::classes::{
    AIR, ARTERY, DURA, INNER_CSF, OUTER_CSF, VEIN, class_of, is_brain, is_extracerebral,
};
use super::distance::{close, within};
use crate::error::AugmentError;
use crate::smooth::{Continuation, convolve, gaussian};

/// A label map of a head as tissue classes, with its soft brain mask.
///
/// # Source
/// Ours. The brain mask is that of templates such as MNI152, with the CSF of sulci: brain tissue and ventricles, closed
/// by a ball of 6 mm, holes filled, without bone, skin and muscle.
#[derive(Debug, Clone)]
pub struct HeadMap {
    classes: Array3<u8>,
    brain: Array3<f32>,
    spacing_mm: f64,
    centre: [f64; 3],
    half_extent_mm: [f64; 3],
}

impl HeadMap {
    /// Radius of the closing, in millimetres.
    const CLOSING_MM: f64 = 6.0;
    /// Standard deviation of the soft mask's edge, in millimetres.
    const EDGE_MM: f64 = 1.4;

    /// Makes a map of labels.
    ///
    /// # Shapes and units
    /// `labels` is `(z, y, x)` in RAS+ order on an isotropic grid: FreeSurfer's codes for the brain (24 for the CSF
    /// around it), 500 and above for everything outside, 0 for air.
    ///
    /// # Errors
    /// [`AugmentError::Shape`] if no voxel is brain; [`AugmentError::Config`] for an impossible spacing.
    pub fn new(labels: ArrayView3<'_, u16>, spacing_mm: f64) -> Result<Self, AugmentError> {
        crate::check::in_range("spacing_mm", spacing_mm, [0.1, 20.0], "0.1 to 20 mm")?;
        let mut classes = labels.mapv(class_of);
        let mask = brain_mask(&classes, Self::CLOSING_MM / spacing_mm);
        let Some((centre, half_extent)) = place(&mask) else {
            return Err(ShapeError::Empty { array: "the brain of the label map" }.into());
        };
        split_csf(&mut classes, &mask);
        let mut brain = mask.mapv(|inside| f32::from(u8::from(inside)));
        let edge = gaussian(Self::EDGE_MM / spacing_mm);
        convolve(brain.view_mut(), [&edge, &edge, &edge], Continuation::Reflect);
        let half_extent_mm = half_extent.map(|half| half * spacing_mm);
        Ok(Self { classes, brain, spacing_mm, centre, half_extent_mm })
    }

    /// The brain mask: 1 inside, 0 outside, a smooth edge of about 3 mm between; `(z, y, x)`.
    pub fn brain(&self) -> ArrayView3<'_, f32> {
        self.brain.view()
    }

    /// Volume of the brain mask in millilitres.
    pub fn brain_ml(&self) -> f64 {
        let voxels = self.brain.iter().filter(|&&share| share >= 0.5).count();
        voxels as f64 * self.spacing_mm.powi(3) / 1000.0
    }

    /// Half the brain's extent along `(z, y, x)`, in millimetres.
    pub(crate) fn half_extent_mm(&self) -> [f64; 3] {
        self.half_extent_mm
    }

    /// Class and share of brain at a point: `(z, y, x)` millimetres from the middle of the brain.
    pub(crate) fn sample(&self, point: [f64; 3]) -> (u8, f32) {
        let at: [f64; 3] =
            std::array::from_fn(|axis| self.centre[axis] + point[axis] / self.spacing_mm);
        let shape = self.classes.shape();
        if (0..3).any(|axis| !(at[axis] >= 0.0 && at[axis] <= (shape[axis] - 1) as f64)) {
            return (AIR, 0.0);
        }
        let class = self.classes[at.map(|position| (position + 0.5) as usize)];
        (class, self.linear(at))
    }

    fn linear(&self, at: [f64; 3]) -> f32 {
        let shape = self.brain.shape();
        let low = at.map(|position| position as usize);
        let high: [usize; 3] = std::array::from_fn(|axis| (low[axis] + 1).min(shape[axis] - 1));
        let [fz, fy, fx]: [f32; 3] =
            std::array::from_fn(|axis| (at[axis] - low[axis] as f64) as f32);
        let row = |z: usize, y: usize| {
            self.brain[[z, y, low[2]]] * (1.0 - fx) + self.brain[[z, y, high[2]]] * fx
        };
        let slice = |z: usize| row(z, low[1]) * (1.0 - fy) + row(z, high[1]) * fy;
        slice(low[0]) * (1.0 - fz) + slice(high[0]) * fz
    }
}

fn brain_mask(classes: &Array3<u8>, radius: f64) -> Array3<bool> {
    let closed = close(classes.mapv(is_brain).view(), radius);
    let mut mask = closed;
    Zip::from(&mut mask).and(classes).for_each(|inside, &class| {
        let soft = !is_extracerebral(class) || class == ARTERY || class == VEIN;
        *inside = is_brain(class) || (*inside && soft && class != AIR);
    });
    mask
}

/// Middle of a mask's box and half its extent, in voxels.
fn place(mask: &Array3<bool>) -> Option<([f64; 3], [f64; 3])> {
    let (mut low, mut high) = ([usize::MAX; 3], [0; 3]);
    for ((z, y, x), _) in mask.indexed_iter().filter(|(_, inside)| **inside) {
        for (axis, at) in [z, y, x].into_iter().enumerate() {
            low[axis] = low[axis].min(at);
            high[axis] = high[axis].max(at);
        }
    }
    (low[0] != usize::MAX).then(|| {
        let of = |f: fn(f64, f64) -> f64| {
            std::array::from_fn(|axis| f(low[axis] as f64, high[axis] as f64))
        };
        (of(|low, high| (low + high) / 2.0), of(|low, high| (high - low + 1.0) / 2.0))
    })
}

/// Tells CSF outside the brain mask from that inside, and its outermost voxels from both.
fn split_csf(classes: &mut Array3<u8>, mask: &Array3<bool>) {
    let extracerebral = classes.mapv(|class| is_extracerebral(class) && class != ARTERY);
    let near = within(extracerebral.view(), 1.0);
    Zip::from(classes).and(mask).and(&near).for_each(|class, &inside, &near| {
        if *class == INNER_CSF && !inside {
            *class = if near { DURA } else { OUTER_CSF };
        }
    });
}

/// Checks that a slab's image and mask have one shape and are not empty.
pub(crate) fn ensure_slab(image: &[usize], brain: &[usize]) -> Result<(), AugmentError> {
    ensure_same_shape("the brain mask of the slab", image, brain)?;
    if image.contains(&0) {
        return Err(ShapeError::Empty { array: "the slab" }.into());
    }
    Ok(())
}
