//! Maps that need no learning: how bright, or how dark, a voxel of the scan is.

use disyre_core::Volume;
use disyre_core::ndarray::{Array3, Zip};

use super::CaseTruth;
use crate::Error;

/// Percentiles of the brain that become 0 and 1.
const ENDS: [f64; 2] = [0.02, 0.98];

/// Brightness and darkness of a scan on its own grid: `(x − p₂) / (p₉₈ − p₂)` with the percentiles 2 and 98 of the brain,
/// not clipped, and its negative.
///
/// The scale is the scan's own, so that pooled voxels of several scans compare; it changes no order within a scan.
/// Outside the brain both hold the least score of the brain.
///
/// # Errors
/// [`Error::Shape`] for a scan of another shape than the case, [`Error::EmptyBrain`], and [`Error::Volume`] for a brain
/// without contrast.
///
/// # Source
/// The baseline of Meissen, Kaissis and Rueckert (2021): "Challenging Current Semi-Supervised Anomaly Segmentation Methods
/// for Brain MRI"; the scale is ours.
pub fn intensity_maps(truth: &CaseTruth, scan: &Volume) -> Result<[Array3<f32>; 2], Error> {
    disyre_core::ensure_same_shape("scan", truth.label.shape(), scan.data.shape())?;
    let brain = truth.brain_or_nonzero(scan);
    let inside = scan.data.iter().zip(&brain).filter(|(_, inside)| **inside != 0);
    let mut values: Vec<f32> = inside.map(|(&value, _)| value).collect();
    if values.is_empty() {
        return Err(Error::EmptyBrain { name: truth.name.clone() });
    }
    values.sort_unstable_by(f32::total_cmp);
    let [low, high] = ENDS.map(|end| values[(end * (values.len() - 1) as f64) as usize]);
    let range = if high > low { high - low } else { 1.0 };
    let [least, greatest] = [values[0], values[values.len() - 1]];
    let scaled = |outside: f32, sign: f32| {
        Zip::from(&scan.data).and(&brain).map_collect(|&value, &inside| {
            let value = if inside == 0 { outside } else { value };
            sign * (value - low) / range
        })
    };
    Ok([scaled(least, 1.0), scaled(greatest, -1.0)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::Grid;

    #[test]
    fn brightness_and_darkness_are_scaled_by_the_brain_and_lowest_outside() {
        let data = Array3::from_shape_vec([1, 1, 4], vec![0.0, 10.0, 30.0, 20.0]).unwrap();
        let scan = Volume::new(data, Grid::from_spacing([1, 1, 4], [1.0; 3])).unwrap();
        let label = Array3::zeros([1, 1, 4]);
        let truth = CaseTruth { name: "a".into(), label, brain: None, spacing_mm: [1.0; 3] };
        let [bright, dark] = intensity_maps(&truth, &scan).unwrap();
        // The percentiles of three voxels are the first and the second.
        assert_eq!(bright.as_slice().unwrap(), [0.0, 0.0, 2.0, 1.0]);
        assert_eq!(dark.as_slice().unwrap(), [-2.0, 0.0, -2.0, -1.0]);
    }
}
