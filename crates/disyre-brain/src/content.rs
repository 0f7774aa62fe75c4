//! [`Content`]: whether a scan holds a whole head or a brain alone.

use disyre_augment::Plane;
use disyre_core::Volume;
use disyre_core::ndarray::{Array3, Axis, Zip};

use crate::extractor::{BrainExtractor, Working};
use crate::slabs::{add_plane, few_starts};
use crate::{BrainError, SLAB};

/// Evidence of what a scan holds: a whole head, or a brain that is stripped of it.
///
/// # Source
/// Ours; the limits were set on the scans that docs/BRAIN.md lists.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Content {
    /// Volume of the voxels that are not 0, in millilitres.
    pub nonzero_ml: f64,
    /// Smallest side of a voxel, in millimetres.
    pub voxel_side_mm: f64,
    /// Share of those voxels that the network calls brain, in nine slabs; `None` where the volume says it all.
    pub brain_share: Option<f64>,
}

impl Content {
    /// Less than this, in millilitres, is no human head, and the network is not asked.
    pub const SMALLEST_HEAD_ML: f64 = 400.0;
    /// More than this is no brain.
    pub const LARGEST_BRAIN_ML: f64 = 2600.0;
    /// A brain that is stripped has at least this share.
    pub const LEAST_BRAIN_SHARE: f64 = 0.65;
    /// No scanner images a head with voxels that have no side below this, in millimetres; the network is not asked.
    pub const COARSEST_MM: f64 = 5.0;

    /// Evidence by the volume alone, without a network.
    pub fn by_volume(scan: &Volume) -> Self {
        let voxels = scan.data.iter().filter(|&&value| value != 0.0).count();
        let nonzero_ml = voxels as f64 * scan.grid.voxel_mm3() / 1000.0;
        let voxel_side_mm = scan.grid.spacing_mm().into_iter().fold(f64::INFINITY, f64::min);
        Self { nonzero_ml, voxel_side_mm, brain_share: None }
    }

    fn may_be_head(&self) -> bool {
        self.nonzero_ml >= Self::SMALLEST_HEAD_ML && self.voxel_side_mm <= Self::COARSEST_MM
    }

    /// Whether the volume leaves the question open.
    pub fn is_open(&self) -> bool {
        self.may_be_head() && self.nonzero_ml <= Self::LARGEST_BRAIN_ML
    }

    /// Whether the scan is a head, with tissue around its brain.
    pub fn is_head(&self) -> bool {
        let share = self.brain_share.unwrap_or(1.0);
        let too_large = self.nonzero_ml > Self::LARGEST_BRAIN_ML;
        self.may_be_head() && (too_large || share < Self::LEAST_BRAIN_SHARE)
    }
}

impl BrainExtractor {
    /// Looks whether a scan holds a whole head: by the volume that is not 0 and, where that could be either, by the
    /// share of it that the network calls brain in nine slabs.
    ///
    /// # Errors
    /// As [`extract`](Self::extract).
    pub fn content(&self, scan: &Volume) -> Result<Content, BrainError> {
        let content = Content::by_volume(scan);
        if !content.is_open() {
            return Ok(content);
        }
        let Some(working) = Working::of(scan)? else { return Ok(content) };
        Ok(Content { brain_share: self.brain_share(&working)?, ..content })
    }

    fn brain_share(&self, working: &Working) -> Result<Option<f64>, BrainError> {
        let image = working.image.data.view();
        let multiple = self.network.config().network.size_multiple();
        let (mut seen, mut brain) = (0u64, 0u64);
        for plane in Plane::ALL {
            let axis = Axis(plane.axes()[0]);
            let starts = few_starts(image.len_of(axis));
            let mut answer = Array3::zeros(image.raw_dim());
            add_plane(&self.network, multiple, image, plane, &starts, &mut answer)?;
            for start in starts {
                let middle = (start + SLAB as isize / 2).max(0) as usize;
                let [slice, answer] =
                    [image, answer.view()].map(|a| a.index_axis_move(axis, middle));
                Zip::from(slice).and(answer).for_each(|&value, &share| {
                    seen += u64::from(value > 0.0);
                    brain += u64::from(value > 0.0 && share >= 0.5);
                });
            }
        }
        Ok((seen > 0).then(|| brain as f64 / seen as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::Grid;

    fn content(side: usize, spacing_mm: f64) -> Content {
        let grid = Grid::from_spacing([side; 3], [spacing_mm; 3]);
        Content::by_volume(&Volume { data: Array3::ones(grid.shape), grid })
    }

    #[test]
    fn the_volume_says_it_all_of_what_is_tiny_huge_or_coarse() {
        let tiny = content(7, 10.0 / 7.0 * 5.0); // 0.36 l
        assert!(!tiny.is_open() && !tiny.is_head());
        let huge = content(40, 4.0); // 4.1 l
        assert!(!huge.is_open() && huge.is_head());
        let coarse = content(20, 8.0); // 4.1 l of 8 mm voxels
        assert!(!coarse.is_open() && !coarse.is_head());
        assert!(content(28, 4.0).is_open()); // 1.4 l
    }

    #[test]
    fn a_head_has_less_brain_than_a_brain() {
        let open = content(28, 4.0);
        let with = |share| Content { brain_share: Some(share), ..open }.is_head();
        assert!(with(Content::LEAST_BRAIN_SHARE - 0.01) && !with(Content::LEAST_BRAIN_SHARE));
    }
}
