//! [`Geometry`]: where a synthetic slab lies in a head.

use serde::{Deserialize, Serialize};

use super::head_map::HeadMap;
use crate::waves::{Wave, sum};

/// Orientation of a slab's slices. Rows and columns run along RAS+ axes, the smaller coordinate first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Plane {
    /// Rows along y, columns along x.
    Axial,
    /// Rows along z, columns along x.
    Coronal,
    /// Rows along z, columns along y.
    Sagittal,
}

impl Plane {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Axial, Self::Coronal, Self::Sagittal];

    /// Axes of a `(z, y, x)` array that are the slab's `(slice, row, column)`.
    pub fn axes(self) -> [usize; 3] {
        match self {
            Self::Axial => [0, 1, 2],
            Self::Coronal => [1, 0, 2],
            Self::Sagittal => [2, 0, 1],
        }
    }
}

/// A ball within the brain whose brightness is another.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lesion {
    /// Middle along `(z, y, x)`, in half extents of the brain from its middle.
    pub place: [f64; 3],
    /// Radius, before the head is deformed.
    pub radius_mm: f64,
}

/// Where a slab lies in a head, and how the head is deformed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Geometry {
    /// Distance of pixels and slices.
    pub spacing_mm: f64,
    /// Orientation.
    pub plane: Plane,
    /// Place of the middle slice along its normal, in half extents of the brain from its middle.
    pub place: f64,
    /// Shift in the slice, along rows' and columns' numbers.
    pub shift_mm: [f64; 2],
    /// Angles about the axes `(z, y, x)`.
    pub rotation_degrees: [f64; 3],
    /// Scales along `(z, y, x)`: above 1 shrinks the head.
    pub scale: [f64; 3],
    /// Shears of the axes pairs `(z, y)`, `(y, x)`, `(x, z)`.
    pub shear: [f64; 3],
    /// Whether left and right are exchanged.
    pub mirror: bool,
    /// Waves of displacement.
    pub displacement: Vec<Wave>,
    /// A lesion.
    pub lesion: Option<Lesion>,
}

/// Pixels between the points at which displacements are evaluated.
pub(crate) const STEP: usize = 4;

impl Geometry {
    /// Point of the head, `(z, y, x)` in millimetres from the middle of its brain, at a position of a slab.
    ///
    /// `at` is `(slice, row, column)` in pixels from the middle of the slab.
    pub(crate) fn point(&self, at: [f64; 3], matrix: &[[f64; 3]; 3], head: &HeadMap) -> [f64; 3] {
        let axes = self.plane.axes();
        let normal = self.place * head.half_extent_mm()[axes[0]] / self.scale[axes[0]];
        let offsets = [normal, self.shift_mm[0], self.shift_mm[1]];
        let mut point = [0.0; 3];
        for (index, axis) in axes.into_iter().enumerate() {
            point[axis] = at[index] * self.spacing_mm + offsets[index];
        }
        let turned: [f64; 3] = std::array::from_fn(|row| {
            (0..3).map(|column| matrix[row][column] * point[column]).sum()
        });
        let displaced = sum(&self.displacement, turned);
        std::array::from_fn(|axis| turned[axis] + displaced[axis])
    }

    /// Rotation, scale, shear and mirror of points `(z, y, x)`.
    pub(crate) fn matrix(&self) -> [[f64; 3]; 3] {
        let mut matrix = [[0.0; 3]; 3];
        for (axis, scale) in self.scale.into_iter().enumerate() {
            matrix[axis][axis] = scale;
        }
        for (axis, shear) in self.shear.into_iter().enumerate() {
            matrix[axis][(axis + 1) % 3] = shear;
        }
        for ((a, b), angle) in [(1, 2), (0, 2), (0, 1)].into_iter().zip(self.rotation_degrees) {
            let (sine, cosine) = angle.to_radians().sin_cos();
            for row in &mut matrix {
                (row[a], row[b]) =
                    (row[a] * cosine - row[b] * sine, row[a] * sine + row[b] * cosine);
            }
        }
        if self.mirror {
            matrix[2].iter_mut().for_each(|value| *value = -*value);
        }
        matrix
    }
}
