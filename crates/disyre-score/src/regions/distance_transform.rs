//! Exact Euclidean distances to a sparse set of voxels.

use disyre_core::ndarray::{Array3, ArrayView3, Axis};
use rayon::iter::{IntoParallelIterator, ParallelIterator};

/// Squared distances to the nearest voxel of a set within each slice, from which a query finds the nearest in all
/// slices.
///
/// # Source
/// Felzenszwalb and Huttenlocher, "Distance transforms of sampled functions" (2012), within slices. Across slices a
/// search outwards from the query, which ends as soon as farther slices cannot hold a nearer voxel (ours): only voxels
/// of surfaces are queried, and their distances are short.
pub(super) struct SliceDistances {
    squared: Array3<f64>,
    step_mm: f64,
}

impl SliceDistances {
    /// Distances to the non-zero voxels. `spacing_mm` is along `(z, y, x)`.
    pub(super) fn new(set: ArrayView3<'_, u8>, [z_mm, y_mm, x_mm]: [f64; 3]) -> Self {
        // Rows of the standard layout are slices.
        let set = set.as_standard_layout();
        let mut squared = set.mapv(|inside| if inside != 0 { 0.0 } else { f64::INFINITY });
        squared.axis_iter_mut(Axis(0)).into_par_iter().for_each(|mut slice| {
            for mut row in slice.rows_mut() {
                if let Some(row) = row.as_slice_mut() {
                    nearest_along_row(row, x_mm);
                }
            }
            let mut envelope = Envelope::default();
            for mut column in slice.columns_mut() {
                envelope.fit(column.iter().copied(), y_mm);
                envelope.write(column.iter_mut(), y_mm);
            }
        });
        Self { squared, step_mm: z_mm }
    }

    /// Distance from a voxel `(z, y, x)` to the nearest of the set, in mm; infinite if the set is empty.
    pub(super) fn nearest_mm(&self, [z, y, x]: [usize; 3]) -> f64 {
        let column = self.squared.view().index_axis_move(Axis(1), y).index_axis_move(Axis(1), x);
        let mut nearest = column[z];
        for away in 1..column.len() {
            let across = (away as f64 * self.step_mm).powi(2);
            if across >= nearest {
                break;
            }
            for other in [z.checked_sub(away), Some(z + away)].into_iter().flatten() {
                if let Some(within) = column.get(other) {
                    nearest = nearest.min(within + across);
                }
            }
        }
        nearest.sqrt()
    }
}

/// Replaces the zeros of a row by themselves and all else by the squared distance to the nearest of them.
fn nearest_along_row(row: &mut [f64], step_mm: f64) {
    let mut last = None;
    for (at, value) in row.iter_mut().enumerate() {
        if *value == 0.0 {
            last = Some(at);
        }
        *value = last.map_or(f64::INFINITY, |last| ((at - last) as f64 * step_mm).powi(2));
    }
    let mut last = None;
    for (at, value) in row.iter_mut().enumerate().rev() {
        if *value == 0.0 {
            last = Some(at);
        }
        if let Some(last) = last {
            *value = value.min(((last - at) as f64 * step_mm).powi(2));
        }
    }
}

/// Lower envelope of parabolas `value + (step · (q − at))²`, one at each position of a finite value.
#[derive(Default)]
struct Envelope {
    /// Those on the envelope: position, value, and where it begins to be the least.
    parabolas: Vec<(f64, f64, f64)>,
}

impl Envelope {
    fn fit(&mut self, values: impl Iterator<Item = f64>, step_mm: f64) {
        self.parabolas.clear();
        for (at, value) in values.enumerate().filter(|(_, value)| value.is_finite()) {
            let at = at as f64;
            let mut from = f64::NEG_INFINITY;
            while let Some(&(last, last_value, last_from)) = self.parabolas.last() {
                let rise = (value - last_value) / (step_mm * step_mm * (at - last));
                from = 0.5 * (at + last + rise);
                if from > last_from {
                    break;
                }
                self.parabolas.pop();
            }
            self.parabolas.push((at, value, from));
        }
    }

    /// Writes the envelope; nothing where it has no parabola.
    fn write<'a>(&self, out: impl Iterator<Item = &'a mut f64>, step_mm: f64) {
        let mut rest = self.parabolas.as_slice();
        for (q, out) in out.enumerate() {
            let q = q as f64;
            while rest.get(1).is_some_and(|next| next.2 <= q) {
                rest = &rest[1..];
            }
            let Some(&(at, value, _)) = rest.first() else { return };
            *out = value + (step_mm * (q - at)).powi(2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn distances_are_those_of_all_pairs(
            shape in prop::array::uniform3(1usize..7),
            spacing_mm in prop::array::uniform3(0.3f64..4.0),
            bits in prop::collection::vec(0u8..8, 216),
        ) {
            let mut bits = bits.into_iter();
            let set = Array3::from_shape_simple_fn(shape, || u8::from(bits.next() == Some(0)));
            // The same set in another layout: x slowest.
            let turned = set.t().as_standard_layout().into_owned();
            let found = SliceDistances::new(turned.t(), spacing_mm);
            let distance = |a: [usize; 3], b: (usize, usize, usize)| {
                let b = [b.0, b.1, b.2];
                let squared = |axis: usize| (a[axis].abs_diff(b[axis]) as f64 * spacing_mm[axis]).powi(2);
                (squared(0) + squared(1) + squared(2)).sqrt()
            };
            for ((z, y, x), _) in set.indexed_iter() {
                let inside = set.indexed_iter().filter(|(_, inside)| **inside != 0);
                let nearest = inside.map(|(other, _)| distance([z, y, x], other)).fold(f64::INFINITY, f64::min);
                let got = found.nearest_mm([z, y, x]);
                prop_assert!(got == nearest || (got - nearest).abs() < 1e-12, "{got} is not {nearest}");
            }
        }
    }
}
