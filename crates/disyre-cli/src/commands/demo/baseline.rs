//! The baseline of the demo: distance from the mean of healthy subjects.

use std::path::Path;

use disyre::Preparation;
use disyre::core::Volume;
use disyre::core::ndarray::{Array3, Zip};
use disyre::volume::{Interpolation, Scan, find_scans, resample_to_grid};

use crate::error::CliError;

/// The plainest detector: how far a voxel is from the mean of healthy subjects at its place.
///
/// It sees the same prepared intensities as the model, and all healthy phantoms, those held out for validation too.
#[derive(Debug)]
pub(super) struct HealthyMean {
    /// Prepared scans and their brains, 1 inside.
    subjects: Vec<(Volume, Volume)>,
}

impl HealthyMean {
    pub(super) fn load(folder: &Path, preparation: &Preparation) -> Result<Self, CliError> {
        let prepare = |path| -> Result<_, CliError> {
            let scan = Scan::read(path)?;
            let prepared = preparation.prepare(&scan.volume, None)?;
            let brain = Volume { data: prepared.mask.mapv(f32::from), grid: prepared.volume.grid };
            Ok((prepared.volume, brain))
        };
        let scans = find_scans(folder)?;
        let subjects = scans.iter().map(prepare).collect::<Result<_, _>>()?;
        Ok(Self { subjects })
    }

    /// |image − mean| on the image's grid; the mean is over the subjects that have brain there, 0 where none has.
    pub(super) fn difference(&self, image: &Volume) -> Result<Array3<f32>, CliError> {
        let mut sum = Array3::<f64>::zeros(image.grid.shape);
        let mut count = Array3::<f64>::zeros(image.grid.shape);
        for (scan, brain) in &self.subjects {
            for (total, volume) in [(&mut sum, scan), (&mut count, brain)] {
                let here = resample_to_grid(volume, &image.grid, Interpolation::Linear)?;
                Zip::from(total)
                    .and(&here.data)
                    .for_each(|total, &value| *total += f64::from(value));
            }
        }
        Ok(Zip::from(&image.data).and(&sum).and(&count).map_collect(|&value, &sum, &count| {
            let mean = if count > 0.5 { sum / count } else { 0.0 };
            (f64::from(value) - mean).abs() as f32
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre::core::Grid;

    #[test]
    fn the_mean_is_over_those_who_have_brain_there() {
        let grid = Grid::from_spacing([1, 1, 3], [1.0; 3]);
        let volume = |values: [f32; 3]| Volume {
            data: Array3::from_shape_vec((1, 1, 3), values.to_vec()).unwrap(),
            grid,
        };
        let subjects = vec![
            (volume([0.2, 0.4, 0.0]), volume([1.0, 1.0, 0.0])),
            (volume([0.6, 0.0, 0.0]), volume([1.0, 0.0, 0.0])),
        ];
        let difference = HealthyMean { subjects }.difference(&volume([0.9, 0.1, 0.7])).unwrap();
        for (got, expected) in difference.iter().zip([0.5, 0.3, 0.7]) {
            assert!((got - expected).abs() < 1e-6, "{got} is not {expected}");
        }
    }
}
