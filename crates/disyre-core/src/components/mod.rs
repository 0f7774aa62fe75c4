//! Connected components of a mask; `disyre-score` counts lesions and findings with it.

mod runs;

use std::ops::Range;

use ndarray::{Array3, ArrayView3};

use self::runs::{Run, connect_rows, find_runs};
use crate::{ShapeError, ensure_same_shape};

/// Which voxels are neighbours.
///
/// ```
/// use disyre_core::{Components, Connectivity, ndarray::array};
/// let diagonal = array![[[1, 0], [0, 1]]];
/// assert_eq!(Components::new(diagonal.view(), Connectivity::Faces).len(), 2);
/// assert_eq!(Components::new(diagonal.view(), Connectivity::Corners).len(), 1);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connectivity {
    /// Voxels that share a face: 6 neighbours.
    Faces,
    /// Voxels that share a face, an edge or a corner: 26 neighbours.
    Corners,
}

/// A component: size, place and box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Component {
    /// Number of voxels, at least 1.
    pub voxels: u64,
    /// Least index along `(z, y, x)`.
    pub lower: [usize; 3],
    /// Greatest index along `(z, y, x)`, plus 1.
    pub upper: [usize; 3],
    /// Sum of the indices of the voxels, along `(z, y, x)`.
    sums: [u64; 3],
}

impl Component {
    /// Mean index of the voxels along `(z, y, x)`.
    pub fn centroid(&self) -> [f64; 3] {
        self.sums.map(|sum| sum as f64 / self.voxels as f64)
    }

    fn of_run([z, y]: [usize; 2], columns: Range<usize>) -> Self {
        let voxels = columns.len() as u64;
        // Twice the sum of an arithmetic series is even.
        let sum_x = (columns.start as u64 + columns.end as u64 - 1) * voxels / 2;
        Self {
            voxels,
            lower: [z, y, columns.start],
            upper: [z + 1, y + 1, columns.end],
            sums: [z as u64 * voxels, y as u64 * voxels, sum_x],
        }
    }

    fn join(&mut self, other: &Self) {
        self.voxels += other.voxels;
        for axis in 0..3 {
            self.lower[axis] = self.lower[axis].min(other.lower[axis]);
            self.upper[axis] = self.upper[axis].max(other.upper[axis]);
            self.sums[axis] += other.sums[axis];
        }
    }
}

/// Voxels that a component of one mask shares with a component of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overlap {
    /// Index of the component of the first mask.
    pub first: usize,
    /// Index of the component of the second mask.
    pub second: usize,
    /// Number of voxels in both, at least 1.
    pub voxels: u64,
}

/// Connected components of a mask, numbered from 0 in the order of their first voxels.
///
/// Memory is proportional to the runs of voxels along x, not to the volume.
///
/// ```
/// use disyre_core::{Components, Connectivity, ndarray::array};
/// let mask = array![[[1, 1, 0, 0], [0, 0, 0, 1]]]; // (z, y, x)
/// let found = Components::new(mask.view(), Connectivity::Corners);
/// assert_eq!(found.sizes(), [2, 1]);
/// assert_eq!(found.labels(), array![[[1, 1, 0, 0], [0, 0, 0, 2]]]);
/// assert_eq!(found[0].centroid(), [0.0, 0.0, 0.5]);
/// assert_eq!((found[1].lower, found[1].upper), ([0, 1, 3], [1, 2, 4]));
/// ```
///
/// # Source
/// Union-find over runs: Rosenfeld and Pfaltz, "Sequential operations in digital picture processing" (1966).
#[derive(Debug, Clone)]
pub struct Components {
    shape: [usize; 3],
    /// Runs in the order of memory; `Run::component` is the index of the component.
    runs: Vec<Run>,
    /// Row `r` (`z · height + y`) has the runs from `rows[r]` to `rows[r + 1]`.
    rows: Vec<usize>,
    components: Vec<Component>,
}

impl Components {
    /// Finds the components of the non-zero voxels.
    ///
    /// # Shapes and units
    /// `mask` is `(z, y, x)`.
    pub fn new(mask: ArrayView3<'_, u8>, connectivity: Connectivity) -> Self {
        let shape: [usize; 3] = mask.dim().into();
        let (mut runs, rows) = find_runs(mask);
        connect_rows(&mut runs, &rows, shape[1], connectivity);
        let mut found = Self { shape, runs, rows, components: Vec::new() };
        found.number();
        found
    }

    /// Number of components.
    pub fn len(&self) -> usize {
        self.components.len()
    }

    /// Whether the mask has no voxel.
    pub fn is_empty(&self) -> bool {
        self.components.is_empty()
    }

    /// Shape of the mask, `(z, y, x)`.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// The components in the order of their first voxels.
    pub fn iter(&self) -> std::slice::Iter<'_, Component> {
        self.components.iter()
    }

    /// Number of voxels of each component.
    pub fn sizes(&self) -> Vec<u64> {
        self.iter().map(|component| component.voxels).collect()
    }

    /// Index of the component with the most voxels, the first among equals.
    pub fn largest(&self) -> Option<usize> {
        (0..self.len()).rev().max_by_key(|&index| self.components[index].voxels)
    }

    /// Number of each voxel's component, counted from 1, and 0 outside; shape `(z, y, x)`.
    pub fn labels(&self) -> Array3<u32> {
        let mut labels = Array3::zeros(self.shape);
        self.paint(&mut labels, |component| component as u32 + 1);
        labels
    }

    /// Mask of the components for which `keep` of their index holds; shape `(z, y, x)`.
    pub fn mask(&self, keep: impl Fn(usize) -> bool) -> Array3<u8> {
        let mut mask = Array3::zeros(self.shape);
        self.paint(&mut mask, |component| u8::from(keep(component)));
        mask
    }

    /// Runs of voxels along x in the order of memory: their row `z · height + y`, columns, and component.
    pub fn runs(&self) -> impl Iterator<Item = (usize, Range<usize>, usize)> {
        self.rows.windows(2).enumerate().flat_map(move |(row, ends)| {
            self.runs[ends[0]..ends[1]].iter().map(move |run| (row, run.columns(), run.component))
        })
    }

    /// Pairs of components of two masks that share voxels, ordered by the first and then the second.
    ///
    /// # Errors
    /// [`ShapeError`] if the masks have different shapes.
    pub fn overlaps(&self, other: &Self) -> Result<Vec<Overlap>, ShapeError> {
        ensure_same_shape("the other mask", &self.shape, &other.shape)?;
        let mut shared = Vec::new();
        for (own, others) in self.rows.windows(2).zip(other.rows.windows(2)) {
            let (own, others) = (&self.runs[own[0]..own[1]], &other.runs[others[0]..others[1]]);
            runs::for_each_overlap(own, others, |first, second, voxels| {
                shared.push(Overlap { first, second, voxels });
            });
        }
        shared.sort_unstable_by_key(|pair| (pair.first, pair.second));
        shared.dedup_by(|next, pair| {
            let same = (next.first, next.second) == (pair.first, pair.second);
            if same {
                pair.voxels += next.voxels;
            }
            same
        });
        Ok(shared)
    }

    fn paint<T: Copy>(&self, out: &mut Array3<T>, value: impl Fn(usize) -> T) {
        let width = self.shape[2];
        let Some(out) = out.as_slice_mut() else { return };
        for (row, columns, component) in self.runs() {
            out[row * width + columns.start..row * width + columns.end].fill(value(component));
        }
    }

    /// Replaces the parents of runs by the indices of components, and collects the components.
    fn number(&mut self) {
        let height = self.shape[1];
        for (row, ends) in self.rows.windows(2).enumerate() {
            for index in ends[0]..ends[1] {
                let columns = self.runs[index].columns();
                let part = Component::of_run([row / height, row % height], columns);
                // A parent comes before its runs, so that it has its number already.
                let parent = self.runs[index].component;
                if parent == index {
                    self.runs[index].component = self.components.len();
                    self.components.push(part);
                } else {
                    let component = self.runs[parent].component;
                    self.runs[index].component = component;
                    self.components[component].join(&part);
                }
            }
        }
    }
}

impl std::ops::Index<usize> for Components {
    type Output = Component;

    fn index(&self, index: usize) -> &Component {
        &self.components[index]
    }
}
