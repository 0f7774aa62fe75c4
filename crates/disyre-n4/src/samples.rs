//! The voxels that the estimate uses: every n-th one of the mask, in slices.
use std::ops::Range;

use disyre_core::ndarray::ArrayView3;

/// Positions along one axis: every `factor`-th voxel, as centred as whole voxels allow.
///
/// # Source
/// ITK's `ShrinkImageFilter`: ⌊n / factor⌋ samples, at least one; the offset is rounded half up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct SampledAxis {
    factor: usize,
    offset: usize,
    /// Number of samples.
    pub(crate) count: usize,
}

impl SampledAxis {
    pub(crate) fn new(voxels: usize, factor: usize) -> Self {
        let count = (voxels / factor).max(1);
        // (n − 1)/2 − factor (count − 1)/2, half up; never below 0, for count ≤ n / factor or count = 1.
        let offset = (voxels - factor * (count - 1)) / 2;
        Self { factor, offset, count }
    }

    /// Voxel of a sample.
    pub(crate) fn voxel(&self, sample: usize) -> usize {
        self.offset + self.factor * sample
    }

    /// True if the axis is sampled once, so that the field can't vary along it.
    pub(crate) fn is_constant(&self) -> bool {
        self.count == 1
    }

    /// Position of a sample along the lattice, 0 (first sample) to 1 (last); 0 if the axis is constant.
    pub(crate) fn position(&self, sample: usize) -> f64 {
        match self.is_constant() {
            true => 0.0,
            false => sample as f64 / (self.count - 1) as f64,
        }
    }
}

/// The usable voxels of one sampled slice; `x`, `log`, `weight` and `field` have one entry a voxel.
#[derive(Debug)]
pub(crate) struct Slab {
    /// Index of the slice among the samples along z.
    pub(crate) z: usize,
    /// The rows that have voxels.
    pub(crate) rows: Vec<Row>,
    /// Index among the samples along x.
    pub(crate) x: Vec<u32>,
    /// Logarithm of the intensity.
    pub(crate) log: Vec<f32>,
    /// Weight in the fit, > 0.
    pub(crate) weight: Vec<f32>,
    /// Current log field.
    pub(crate) field: Vec<f32>,
}

/// One row of a slab.
#[derive(Debug)]
pub(crate) struct Row {
    /// Index among the samples along y.
    pub(crate) y: usize,
    /// Its voxels within the slab.
    pub(crate) voxels: Range<usize>,
}

/// All usable voxels, slice by slice.
#[derive(Debug)]
pub(crate) struct Samples {
    /// Axes `(z, y, x)`.
    pub(crate) axes: [SampledAxis; 3],
    /// Slices with at least one voxel, in order.
    pub(crate) slabs: Vec<Slab>,
}

impl Samples {
    /// Takes the sampled voxels whose weight and intensity are above 0.
    pub(crate) fn take(
        image: ArrayView3<'_, f32>,
        factor: usize,
        weight: impl Fn([usize; 3]) -> f32,
    ) -> Self {
        let (nz, ny, nx) = image.dim();
        let axes = [nz, ny, nx].map(|voxels| SampledAxis::new(voxels, factor));
        let slab = |z| Slab::take(image, &axes, z, &weight);
        let slabs = (0..axes[0].count).map(slab).filter(|slab| !slab.x.is_empty()).collect();
        Self { axes, slabs }
    }

    /// Number of voxels.
    pub(crate) fn len(&self) -> usize {
        self.slabs.iter().map(|slab| slab.x.len()).sum()
    }
}

impl Slab {
    fn take(
        image: ArrayView3<'_, f32>,
        axes: &[SampledAxis; 3],
        z: usize,
        weight: impl Fn([usize; 3]) -> f32,
    ) -> Self {
        let (rows, x, log) = (Vec::new(), Vec::new(), Vec::new());
        let mut slab = Self { z, rows, x, log, weight: Vec::new(), field: Vec::new() };
        for y in 0..axes[1].count {
            let start = slab.x.len();
            for x in 0..axes[2].count {
                let index = [axes[0].voxel(z), axes[1].voxel(y), axes[2].voxel(x)];
                let (value, weight) = (image[index], weight(index));
                if value > 0.0 && weight > 0.0 {
                    slab.x.push(x as u32);
                    slab.log.push(value.ln());
                    slab.weight.push(weight);
                }
            }
            if slab.x.len() > start {
                slab.rows.push(Row { y, voxels: start..slab.x.len() });
            }
        }
        slab.field = vec![0.0; slab.x.len()];
        slab
    }
}

#[cfg(test)]
mod tests {
    use disyre_core::ndarray::Array3;

    use super::*;

    #[test]
    fn samples_lie_where_itk_takes_them() {
        // SimpleITK: sitk.Shrink of a ramp of n voxels by 4 begins with this voxel.
        for (voxels, count, first) in
            [(143, 35, 3), (144, 36, 2), (145, 36, 2), (146, 36, 3), (147, 36, 3), (3, 1, 1)]
        {
            let axis = SampledAxis::new(voxels, 4);
            assert_eq!((axis.count, axis.voxel(0)), (count, first), "{voxels}");
            assert!(axis.voxel(count - 1) < voxels);
        }
    }

    #[test]
    fn only_positive_voxels_of_the_mask_are_taken() {
        let image = Array3::from_shape_vec((1, 2, 3), vec![1.0, 0.0, -1.0, 2.0, 3.0, 4.0]).unwrap();
        let samples = Samples::take(image.view(), 1, |[_, _, x]| [1.0, 1.0, 0.0][x]);
        let slab = &samples.slabs[0];
        assert_eq!((samples.len(), &slab.x[..]), (3, &[0, 0, 1][..]));
        assert_eq!(slab.log, [1.0_f32.ln(), 2.0_f32.ln(), 3.0_f32.ln()]);
        assert_eq!((slab.rows[1].y, slab.rows[1].voxels.clone()), (1, 1..3));
    }
}
