//! The iterations of N4: sharpen the histogram, fit the residual by B-splines, add it to the field.
use disyre_core::ndarray::{Array3, ArrayView3};
use disyre_core::{ShapeError, ensure_finite, ensure_same_shape};
use rayon::prelude::*;

use crate::basis::refine;
use crate::config::N4Config;
use crate::error::N4Error;
use crate::field::BiasField;
use crate::fit::LatticeFit;
use crate::samples::{Samples, Slab};
use crate::sharpen::{Bins, Extent, SharpenedMap, Sharpener};

/// N4 bias field correction with checked settings: [`N4Config::build`] makes one.
///
/// The image is modelled as true image × smooth field. In logarithms: each iteration takes the current estimate of the
/// true image u, sharpens its histogram, and fits what sharpening changed, u − E(u), by a lattice of cubic B-splines.
/// The fit is added to the log field. Levels follow each other, each with half the distance between control points.
///
/// # Source
/// Tustison et al. (2010), as ITK implements it and SimpleITK evaluates it. Two differences, each ours:
/// - Voxels that are not above 0 have no logarithm and are left out; ITK takes such a value as its own logarithm, and
///   its result then depends on the scale of intensities.
/// - Sums are in `f64`; ITK's are in `f32`.
#[derive(Debug, Clone)]
pub struct N4 {
    config: N4Config,
    sharpener: Sharpener,
}

/// Corrected image, field, and how the estimate went.
#[derive(Debug, Clone, PartialEq)]
pub struct N4Correction {
    /// The image divided by the field, on every voxel: outside the mask too, as SimpleITK does.
    pub corrected: Array3<f32>,
    /// The estimated field.
    pub field: BiasField,
    /// Iterations of each fitting level.
    pub iterations: Vec<usize>,
    /// Coefficient of variation of the field's last change in each level.
    pub convergence: Vec<f64>,
}

impl N4 {
    pub(crate) fn new(config: N4Config) -> Self {
        let sharpener = Sharpener::new(config.bins, config.fwhm, config.noise);
        Self { config, sharpener }
    }

    /// The settings.
    pub fn config(&self) -> &N4Config {
        &self.config
    }

    /// Corrects an image by what its voxels in a mask show.
    ///
    /// # Shapes and units
    /// `image` is `(z, y, x)`, in any unit: the field does not depend on its scale, nor on the spacing of voxels. `mask`
    /// has its shape; non-zero is inside.
    ///
    /// # Errors
    /// [`N4Error`] if shapes differ, a voxel is not finite, or fewer than two sampled voxels are inside and above 0.
    pub fn correct(
        &self,
        image: ArrayView3<'_, f32>,
        mask: ArrayView3<'_, u8>,
    ) -> Result<N4Correction, N4Error> {
        ensure_same_shape("mask", image.shape(), mask.shape())?;
        self.correct_by(image, |index| if mask[index] == 0 { 0.0 } else { 1.0 })
    }

    /// Corrects an image by its voxels of positive weight; each counts in the fit as its weight, compared with the others.
    ///
    /// The histogram counts every voxel of positive weight as one, as ITK does with its confidence image.
    ///
    /// # Shapes and units
    /// `image` as for [`correct`](Self::correct). `weights` has its shape, ≥ 0; the field does not depend on their scale.
    ///
    /// # Errors
    /// As [`correct`](Self::correct), and if a weight is negative or not finite.
    pub fn correct_weighted(
        &self,
        image: ArrayView3<'_, f32>,
        weights: ArrayView3<'_, f32>,
    ) -> Result<N4Correction, N4Error> {
        ensure_same_shape("weights", image.shape(), weights.shape())?;
        ensure_finite("weights", &weights)?;
        if let Some(((z, y, x), &weight)) = weights.indexed_iter().find(|(_, w)| **w < 0.0) {
            return Err(N4Error::NegativeWeight { weight, voxel: [z, y, x] });
        }
        let greatest = weights.iter().copied().fold(0.0, f32::max);
        self.correct_by(image, |index| weights[index] / greatest)
    }

    fn correct_by(
        &self,
        image: ArrayView3<'_, f32>,
        weight: impl Fn([usize; 3]) -> f32,
    ) -> Result<N4Correction, N4Error> {
        if image.is_empty() {
            return Err(ShapeError::Empty { array: "image" }.into());
        }
        ensure_finite("image", &image)?;
        let shrink = self.config.shrink;
        let mut samples = Samples::take(image, shrink, weight);
        if samples.len() < 2 {
            return Err(N4Error::NoVoxels { got: samples.len(), shrink });
        }
        let mut lattice = Array3::zeros(self.config.control_points);
        let (mut iterations, mut convergence) = (Vec::new(), Vec::new());
        for (level, &most) in self.config.iterations.iter().enumerate() {
            if level > 0 {
                lattice = refine(&lattice);
            }
            let (used, change) = self.run_level(&mut samples, &mut lattice, most);
            iterations.push(used);
            convergence.push(change);
        }
        let constant = samples.axes.map(|axis| axis.is_constant());
        let field = BiasField::new(lattice, image.dim().into(), constant);
        let corrected = field.correct(image)?;
        Ok(N4Correction { corrected, field, iterations, convergence })
    }

    /// Iterates on one level; returns the number of iterations and the last change.
    fn run_level(
        &self,
        samples: &mut Samples,
        lattice: &mut Array3<f64>,
        most: usize,
    ) -> (usize, f64) {
        let fit = LatticeFit::new(samples, lattice.dim().into());
        let mut change = 0.0;
        for iteration in 1..=most {
            let Some(map) = self.sharpen(&samples.slabs) else { return (iteration, 0.0) };
            *lattice += &fit.fit(&samples.slabs, |slab, i| {
                let value = slab.log[i] - slab.field[i];
                f64::from(value) - map.at(value)
            });
            change = update_field(&mut samples.slabs, &fit, lattice);
            if change <= self.config.convergence {
                return (iteration, change);
            }
        }
        (most, change)
    }

    /// Map that sharpens the histogram of the corrected logarithms; `None` if they are all equal.
    fn sharpen(&self, slabs: &[Slab]) -> Option<SharpenedMap> {
        let values = |slab: &Slab, visit: &mut dyn FnMut(f32)| {
            slab.log.iter().zip(&slab.field).for_each(|(log, field)| visit(log - field));
        };
        let extent = |slab: &Slab| {
            let mut extent = Extent::EMPTY;
            values(slab, &mut |value| extent = extent.with(value));
            extent
        };
        let extent = slabs.par_iter().map(extent).reduce(|| Extent::EMPTY, Extent::union);
        let bins = Bins::new(extent, self.sharpener.bins())?;
        let count = |slab: &Slab| {
            let mut histogram = vec![0.0; bins.count];
            values(slab, &mut |value| bins.count(value, &mut histogram));
            histogram
        };
        let parts: Vec<Vec<f64>> = slabs.par_iter().map(count).collect();
        let mut histogram = vec![0.0; bins.count];
        for part in parts {
            histogram.iter_mut().zip(part).for_each(|(sum, count)| *sum += count);
        }
        Some(self.sharpener.map(bins, &histogram))
    }
}

/// Evaluates the lattice on the samples; returns the coefficient of variation of e^(old − new).
fn update_field(slabs: &mut [Slab], fit: &LatticeFit, lattice: &Array3<f64>) -> f64 {
    let update = |slab: &mut Slab| {
        let mut field = std::mem::take(&mut slab.field);
        let (mut sum, mut squares) = (0.0, 0.0);
        fit.evaluate(lattice, slab, |i, value| {
            let value = value as f32;
            let ratio = f64::from((field[i] - value).exp()) - 1.0;
            sum += ratio;
            squares += ratio * ratio;
            field[i] = value;
        });
        slab.field = field;
        (slab.x.len() as f64, sum, squares)
    };
    let parts: Vec<(f64, f64, f64)> = slabs.par_iter_mut().map(update).collect();
    let add = |a: (f64, f64, f64), b: &(f64, f64, f64)| (a.0 + b.0, a.1 + b.1, a.2 + b.2);
    let (count, sum, squares) = parts.iter().fold((0.0, 0.0, 0.0), add);
    let variance = (squares - sum * sum / count) / (count - 1.0);
    variance.max(0.0).sqrt() / (1.0 + sum / count)
}
