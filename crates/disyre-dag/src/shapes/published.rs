//! [`PublishedShapes`]: the published mixture of shapes, with its blur.

use std::{fmt, sync::Arc};

use disyre_core::{Key, ndarray::ArrayViewMut3, rand::RngExt};
use serde::{Deserialize, Serialize};

use super::{
    blob::BlobShapes,
    disc::DiscShapes,
    rectangle::RectangleShapes,
    source::{ShapeSource, UNITS},
};
use crate::{
    blur::{blur, check_sigma},
    check,
    error::DagError,
};

/// Settings of [`PublishedShapes`]: a mixture of kinds and its blur.
///
/// # Source
/// DISYRE v2 (arXiv 2407.06635) and its published code.
///
/// ```
/// use std::sync::Arc;
/// use disyre_dag::shapes::{DiscShapes, EllipsoidShapes, PublishedShapesConfig};
///
/// let config = PublishedShapesConfig { blur_probability: 1.0, ..PublishedShapesConfig::default() };
/// config.build(vec![Arc::new(DiscShapes::default()), Arc::new(EllipsoidShapes::default())])?;
/// # Ok::<(), disyre_dag::DagError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PublishedShapesConfig {
    /// Probability that a mask is blurred, in `[0, 1]`.
    pub blur_probability: f64,
    /// Least and greatest standard deviation of the blur in 64ths of the window, in `[0, 64]`.
    pub blur_sigma: [f64; 2],
}

impl Default for PublishedShapesConfig {
    fn default() -> Self {
        Self { blur_probability: 0.7, blur_sigma: [0.0, 5.0] }
    }
}

impl PublishedShapesConfig {
    /// Checks the values; each mask will be of one of the `kinds`, all equally probable.
    ///
    /// # Errors
    /// [`DagError::Config`] naming the field that is out of range; [`DagError::NoItems`] without kinds.
    pub fn build(self, kinds: Vec<Arc<dyn ShapeSource>>) -> Result<PublishedShapes, DagError> {
        check::probability("blur_probability", self.blur_probability)?;
        let expected = "0 ≤ least ≤ greatest ≤ 64";
        check::interval("blur_sigma", self.blur_sigma, [0.0, UNITS], expected)?;
        if kinds.is_empty() {
            return Err(DagError::NoItems { source_name: "the mixture of shapes", items: "kinds" });
        }
        Ok(PublishedShapes { config: self, kinds })
    }
}

/// The published mixture: rectangles, discs and blobs, a third each, most of them blurred inside their window.
///
/// A blurred mask is cut at the window's border and not rescaled: its maximum may be below 1. The stored shape files of
/// the published code are replaced by [`BlobShapes`]; put [`MaskShapes`](crate::shapes::MaskShapes) in their place through
/// [`PublishedShapesConfig::build`].
#[derive(Clone)]
pub struct PublishedShapes {
    config: PublishedShapesConfig,
    kinds: Vec<Arc<dyn ShapeSource>>,
}

impl Default for PublishedShapes {
    fn default() -> Self {
        let kinds: Vec<Arc<dyn ShapeSource>> = vec![
            Arc::new(RectangleShapes::default()),
            Arc::new(DiscShapes::default()),
            Arc::new(BlobShapes::default()),
        ];
        Self { config: PublishedShapesConfig::default(), kinds }
    }
}

impl fmt::Debug for PublishedShapes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublishedShapes")
            .field("config", &self.config)
            .field("kinds", &self.kinds.len())
            .finish()
    }
}

impl ShapeSource for PublishedShapes {
    fn fill(&self, key: Key, mut shape: ArrayViewMut3<'_, f32>) -> Result<(), DagError> {
        let mut rng = key.rng();
        let kind = rng.random_range(0..self.kinds.len());
        let blurred = rng.random_bool(self.config.blur_probability);
        let [least, greatest] = self.config.blur_sigma;
        let sigma = least + (greatest - least) * rng.random::<f64>();
        self.kinds[kind].fill(key.child("kind"), shape.view_mut())?;
        if !blurred {
            return Ok(());
        }
        let window: [usize; 3] = shape.dim().into();
        let along = |extent| if extent > 1 { sigma * extent as f64 / UNITS } else { 0.0 };
        let sigma_voxels = window.map(along);
        check_sigma("blur_sigma on this window", sigma_voxels)?;
        blur(shape.view_mut(), sigma_voxels);
        // The kernel's weights add up to 1 but for rounding.
        shape.mapv_inplace(|value| value.min(1.0));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::Array3;

    /// Fills with a constant that names the kind.
    struct Constant(f32);

    impl ShapeSource for Constant {
        fn fill(&self, _: Key, mut shape: ArrayViewMut3<'_, f32>) -> Result<(), DagError> {
            shape.fill(self.0);
            Ok(())
        }
    }

    #[test]
    fn every_kind_is_as_probable_as_the_others() {
        let kinds = [0.25, 0.5, 0.75].map(|value| Arc::new(Constant(value)) as Arc<_>);
        let shapes = PublishedShapesConfig::default().build(kinds.to_vec()).unwrap();
        let mut counts = [0; 3];
        let mut mask = Array3::zeros((1, 3, 3));
        for index in 0..900u64 {
            shapes.fill(Key::new(0).child(index), mask.view_mut()).unwrap();
            counts[(mask[[0, 1, 1]] * 4.0).round() as usize - 1] += 1;
        }
        // Binomial(900, 1/3): standard deviation 14.
        assert!(counts.iter().all(|count| (258..=342).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_mixture_of_nothing_is_refused() {
        assert!(PublishedShapesConfig::default().build(Vec::new()).is_err());
    }
}
