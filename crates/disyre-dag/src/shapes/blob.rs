//! [`BlobShapes`]: connected blobs of fractal noise.

use std::{cmp::Reverse, collections::BinaryHeap};

use disyre_core::{Key, ndarray::ArrayViewMut3, rand::RngExt};
use serde::{Deserialize, Serialize};

use super::source::ShapeSource;
use crate::{
    check, error::DagError, float_order::to_ordered, fractal::Fractal,
    largest_component::keep_largest_component, order_statistic::order_statistic,
    scratch::ScratchBuffer,
};

/// Fraction of the window that a published stored shape covers: `[probability, fraction]`, linear in between.
///
/// # Source
/// Measured: the sum of 300 masks that the published code drew from its stored shapes (the blur keeps the sum).
pub const PUBLISHED_BLOB_AREA: [[f64; 2]; 11] = [
    [0.00, 0.1167],
    [0.01, 0.1225],
    [0.05, 0.1752],
    [0.10, 0.2203],
    [0.25, 0.3500],
    [0.50, 0.5381],
    [0.75, 0.7867],
    [0.90, 0.9226],
    [0.95, 0.9612],
    [0.99, 0.9976],
    [1.00, 1.0000],
];

/// Settings of [`BlobShapes`].
///
/// # Source
/// Ours, in place of the published code's 300 stored masks; only the distribution of areas is theirs.
///
/// ```
/// use disyre_dag::{Key, ndarray::Array3, shapes::{ShapeSource, BlobConfig}};
///
/// let shapes = BlobConfig::default().build()?;
/// let mut mask = Array3::zeros((1, 64, 64));
/// shapes.fill(Key::new(2), mask.view_mut())?;
/// assert!(mask.sum() > 400.0); // at least 11.67 % of the window
/// # Ok::<(), disyre_dag::DagError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BlobConfig {
    /// Quantiles of the covered fraction of the window: `[probability, fraction]`, ascending in both, from
    /// probability 0 to 1; linear in between.
    pub area: Vec<[f64; 2]>,
    /// Height of the noise against the distance from the centre in half windows, in `[0, 4]`: 0 gives discs.
    pub roughness: f64,
    /// Cycles of the coarsest noise along the window, in `(0, 32]`.
    pub cycles: f64,
    /// Layers of noise, each finer and weaker than the one before, 1 to 8.
    pub octaves: usize,
    /// Greatest distance of the centre from the window's, along each axis in half windows, in `[0, 1]`.
    pub off_centre: f64,
}

impl Default for BlobConfig {
    fn default() -> Self {
        Self {
            area: PUBLISHED_BLOB_AREA.to_vec(),
            roughness: 1.1,
            cycles: 2.0,
            octaves: 3,
            off_centre: 0.3,
        }
    }
}

impl BlobConfig {
    /// Checks the values.
    ///
    /// # Errors
    /// [`DagError::Config`] naming the field that is out of range.
    pub fn build(self) -> Result<BlobShapes, DagError> {
        check_quantiles(&self.area)?;
        check::in_range("roughness", self.roughness, [0.0, 4.0], "a height in [0, 4]")?;
        check::in_range("cycles", self.cycles, [1e-3, 32.0], "cycles in [0.001, 32]")?;
        check::in_range("octaves", self.octaves as f64, [1.0, 8.0], "1 to 8 layers")?;
        check::in_range("off_centre", self.off_centre, [0.0, 1.0], "a fraction in [0, 1]")?;
        Ok(BlobShapes { config: self })
    }
}

fn check_quantiles(area: &[[f64; 2]]) -> Result<(), DagError> {
    let expected = "at least two pairs, ascending, from probability 0 to 1, fractions in [0, 1]";
    let unit = |value: f64| (0.0..=1.0).contains(&value);
    let complete = area.len() > 1 && area[0][0] == 0.0 && area[area.len() - 1][0] == 1.0;
    let ascending = area.windows(2).all(|two| two[0][0] < two[1][0] && two[0][1] <= two[1][1]);
    if complete && ascending && area.iter().flatten().copied().all(unit) {
        return Ok(());
    }
    Err(DagError::Config { parameter: "area", expected, got: area.len() as f64 })
}

/// Random blobs, each connected and of the drawn area, to the voxel: fractal noise around a centre.
///
/// The noise is cut at the level that gives the area; what is not connected to the largest part is made up for by the
/// lowest voxels around that part. No level alone would do: where two parts meet, the area leaps. Values are 0 or 1.
#[derive(Debug, Clone, Default)]
pub struct BlobShapes {
    config: BlobConfig,
}

impl BlobShapes {
    /// The covered fraction at a probability.
    fn area(&self, probability: f64) -> f64 {
        let area = &self.config.area;
        let next = area.partition_point(|[p, _]| *p <= probability).clamp(1, area.len() - 1);
        let ([p0, a0], [p1, a1]) = (area[next - 1], area[next]);
        a0 + (a1 - a0) * (probability - p0) / (p1 - p0)
    }

    /// Distance from the blob's centre, disturbed by noise: low inside, high outside.
    fn fill_field(&self, key: Key, extents: [usize; 3], field: &mut [f32]) {
        let mut rng = key.rng();
        let off = self.config.off_centre;
        let centre: [f64; 3] = std::array::from_fn(|_| off * (2.0 * rng.random::<f64>() - 1.0));
        let squares: [Vec<f32>; 3] = std::array::from_fn(|axis| {
            let distance = |index: usize| match extents[axis] {
                1 => 0.0,
                extent => (2.0 * index as f64 + 1.0) / extent as f64 - 1.0 - centre[axis],
            };
            (0..extents[axis]).map(|index| distance(index).powi(2) as f32).collect()
        });
        let step = extents.map(|extent| self.config.cycles / extent as f64);
        let noise = Fractal { octaves: self.config.octaves, extents, step };
        let roughness = self.config.roughness as f32;
        let mut rows = field.chunks_exact_mut(extents[2]);
        noise.for_each_row(key.child("noise"), |z, y, noise| {
            let rest = squares[0][z] + squares[1][y];
            let voxels = squares[2].iter().zip(noise);
            for (value, (square, noise)) in rows.next().into_iter().flatten().zip(voxels) {
                *value = (rest + square).sqrt() + roughness * noise;
            }
        });
    }
}

impl ShapeSource for BlobShapes {
    fn fill(&self, key: Key, mut shape: ArrayViewMut3<'_, f32>) -> Result<(), DagError> {
        if shape.is_empty() {
            return Ok(());
        }
        let fraction = self.area(key.child("area").rng().random());
        let mut field = ScratchBuffer::zeros(shape.len());
        self.fill_field(key.child("field"), shape.dim().into(), &mut field);
        let voxels = (fraction * field.len() as f64).round() as usize;
        let level = voxels.checked_sub(1).and_then(|last| order_statistic(&field, last));
        let level = level.unwrap_or(f32::NEG_INFINITY);
        shape.iter_mut().zip(field.iter()).for_each(|(to, value)| {
            *to = if *value <= level { 1.0 } else { 0.0 };
        });
        keep_largest_component(shape.view_mut());
        grow(shape, &field, voxels);
        Ok(())
    }
}

/// Adds the lowest of the neighbouring voxels, one after the other, until a part has so many; an empty one stays empty.
///
/// # Source
/// Barnes, Lehman and Mulla, "Priority-flood" (2014), ended by volume.
fn grow(mut part: ArrayViewMut3<'_, f32>, field: &[f32], voxels: usize) {
    let covered = part.iter().filter(|&&value| value > 0.0).count();
    let missing = voxels.saturating_sub(covered);
    if missing == 0 {
        return;
    }
    let extents: [usize; 3] = part.dim().into();
    let mut seen: Vec<bool> = part.iter().map(|&value| value > 0.0).collect();
    let mut rim = BinaryHeap::new();
    let visit = |at: [usize; 3], seen: &mut [bool], rim: &mut BinaryHeap<_>| {
        for (axis, step) in
            [(0, 1), (0, usize::MAX), (1, 1), (1, usize::MAX), (2, 1), (2, usize::MAX)]
        {
            let mut next = at;
            // Before the first voxel it wraps to beyond the last.
            next[axis] = at[axis].wrapping_add(step);
            if next[axis] >= extents[axis] {
                continue;
            }
            let index = (next[0] * extents[1] + next[1]) * extents[2] + next[2];
            if !std::mem::replace(&mut seen[index], true) {
                rim.push(Reverse((to_ordered(field[index]), next)));
            }
        }
    };
    for ((z, y, x), _) in part.indexed_iter().filter(|(_, value)| **value > 0.0) {
        visit([z, y, x], &mut seen, &mut rim);
    }
    for _ in 0..missing {
        let Some(Reverse((_, at))) = rim.pop() else { return };
        part[at] = 1.0;
        visit(at, &mut seen, &mut rim);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::Array3;

    #[test]
    fn a_blob_is_one_part_of_the_drawn_area_however_rough() {
        for (extents, roughness) in
            [([1, 64, 64], 1.1), ([1, 64, 64], 4.0), ([16, 20, 18], 1.1), ([16, 20, 18], 4.0)]
        {
            let blobs = BlobConfig { roughness, ..Default::default() }.build().unwrap();
            let mut mask = Array3::zeros(extents);
            for index in 0..40u64 {
                let key = Key::new(5).child(index);
                blobs.fill(key, mask.view_mut()).unwrap();
                let drawn = blobs.area(key.child("area").rng().random()) * mask.len() as f64;
                assert_eq!(mask.sum(), drawn.round() as f32);
                let mut largest = mask.clone();
                keep_largest_component(largest.view_mut());
                assert_eq!(largest, mask, "{roughness} {index}");
            }
        }
    }

    #[test]
    fn areas_between_two_quantiles_are_interpolated() {
        let area = vec![[0.0, 0.1], [0.5, 0.3], [1.0, 0.4]];
        let blobs = BlobConfig { area, ..Default::default() }.build().unwrap();
        for (probability, expected) in [(0.0, 0.1), (0.25, 0.2), (0.5, 0.3), (1.0, 0.4)] {
            assert!((blobs.area(probability) - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn without_noise_a_blob_is_a_disc_of_the_drawn_area() {
        let area = vec![[0.0, 0.25], [1.0, 0.25]];
        let config = BlobConfig { area, roughness: 0.0, off_centre: 0.0, ..Default::default() };
        let mut mask = Array3::zeros((1, 64, 64));
        config.build().unwrap().fill(Key::new(0), mask.view_mut()).unwrap();
        let radius = (1024.0 / std::f32::consts::PI).sqrt();
        for ((_, y, x), &value) in mask.indexed_iter() {
            let distance = (y as f32 - 31.5).hypot(x as f32 - 31.5);
            assert!((distance - radius).abs() < 1.0 || (value == 1.0) == (distance < radius));
        }
    }

    #[test]
    fn quantiles_out_of_order_are_refused() {
        for area in [
            vec![],
            vec![[0.0, 0.5]],
            vec![[0.0, 0.5], [1.0, 0.2]],
            vec![[0.0, 0.1], [0.9, 0.2]],
            vec![[0.0, 0.1], [1.0, f64::NAN]],
        ] {
            assert!(BlobConfig { area, ..Default::default() }.build().is_err());
        }
    }
}
