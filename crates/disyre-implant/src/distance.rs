//! Exact Euclidean distances in millimetres.

use disyre_core::ndarray::{Array3, ArrayView3, ArrayViewMut1, Axis, Zip};

/// Squared distance of a voxel from a mask that has none.
const FAR: f64 = 1e12;

/// Distance of each voxel's centre from that of the nearest voxel where the mask is not 0, in millimetres; beyond 10⁵
/// where there is none.
///
/// # Source
/// Felzenszwalb and Huttenlocher, "Distance transforms of sampled functions" (2012): lower envelopes of parabolas, axis
/// by axis.
pub(crate) fn distance_mm(mask: ArrayView3<'_, u8>, spacing_mm: [f64; 3]) -> Array3<f32> {
    let mut squared = mask.mapv(|inside| if inside != 0 { 0.0 } else { FAR });
    for (axis, spacing) in spacing_mm.into_iter().enumerate() {
        Zip::from(squared.lanes_mut(Axis(axis))).par_for_each(|lane| envelope(lane, spacing));
    }
    squared.mapv(|square| square.sqrt() as f32)
}

/// Distance from the border of a mask in millimetres: above 0 inside, below 0 outside. The border runs half a voxel (of
/// the least side) from the centres.
pub(crate) fn signed_distance_mm(mask: ArrayView3<'_, u8>, spacing_mm: [f64; 3]) -> Array3<f32> {
    let half = (spacing_mm.into_iter().fold(f64::INFINITY, f64::min) / 2.0) as f32;
    let outside = mask.mapv(|inside| u8::from(inside == 0));
    let mut signed = distance_mm(outside.view(), spacing_mm);
    let to_mask = distance_mm(mask, spacing_mm);
    Zip::from(&mut signed).and(&to_mask).and(mask).for_each(|signed, &to_mask, &inside| {
        *signed = if inside != 0 { *signed - half } else { half - to_mask };
    });
    signed
}

/// Replaces f(q) along a line by min over p of f(p) + ((q − p)·spacing)².
fn envelope(mut line: ArrayViewMut1<'_, f64>, spacing: f64) {
    let values = line.to_vec();
    let at = |index: usize| index as f64 * spacing;
    let crossing = |p: usize, q: usize| {
        let (p_mm, q_mm) = (at(p), at(q));
        (values[q] - values[p] + q_mm * q_mm - p_mm * p_mm) / (2.0 * (q_mm - p_mm))
    };
    // Parabolas of the envelope, and where each begins.
    let mut parabolas: Vec<(usize, f64)> = vec![(0, f64::NEG_INFINITY)];
    for q in 1..values.len() {
        let mut start = crossing(parabolas[parabolas.len() - 1].0, q);
        while start <= parabolas[parabolas.len() - 1].1 {
            parabolas.pop();
            start = crossing(parabolas[parabolas.len() - 1].0, q);
        }
        parabolas.push((q, start));
    }
    let mut current = 0;
    for (index, value) in line.iter_mut().enumerate() {
        while parabolas.get(current + 1).is_some_and(|next| next.1 < at(index)) {
            current += 1;
        }
        let p = parabolas[current].0;
        *value = values[p] + (at(index) - at(p)).powi(2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_the_nearest_voxel() {
        let spacing = [3.0, 1.5, 0.7];
        let mask = Array3::from_shape_fn((5, 7, 9), |(z, y, x)| {
            u8::from((z * 31 + y * 17 + x * 7) % 23 == 0)
        });
        let found = distance_mm(mask.view(), spacing);
        for ((z, y, x), &distance) in found.indexed_iter() {
            let nearest = mask.indexed_iter().filter(|(_, inside)| **inside != 0).map(|(at, _)| {
                let d = [at.0.abs_diff(z), at.1.abs_diff(y), at.2.abs_diff(x)];
                (0..3).map(|axis| (d[axis] as f64 * spacing[axis]).powi(2)).sum::<f64>()
            });
            let nearest = nearest.fold(f64::INFINITY, f64::min).sqrt();
            assert!((f64::from(distance) - nearest).abs() < 1e-5);
        }
    }

    #[test]
    fn the_border_lies_between_the_voxels() {
        let mask = Array3::from_shape_fn((1, 1, 6), |(_, _, x)| u8::from(x >= 3));
        let signed = signed_distance_mm(mask.view(), [1.0, 1.0, 2.0]);
        // Half of the least side, 1 mm, before the first centre on either side.
        let expected = [-5.5, -3.5, -1.5, 1.5, 3.5, 5.5];
        assert_eq!(signed.as_slice(), Some(&expected[..]));
    }

    #[test]
    fn a_mask_of_nothing_is_far_away() {
        let far = distance_mm(Array3::zeros((2, 2, 2)).view(), [1.0; 3]);
        assert!(far.iter().all(|&distance| distance > 1e5));
    }
}
