//! [`MapLayout`]: which voxels of the template the healthy maps of a channel are kept on.

use disyre_core::Grid;
use disyre_core::ndarray::Array3;

use super::smoothing::halved;
use super::{CalibrationConfig, Channel};

/// Twice the spacing of the template.
const COARSE_SCALE_MM: f64 = 4.0;

/// Voxels of the template that a map is kept on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Density {
    Every,
    /// Along each axis, from the first.
    EverySecond,
}

/// Voxels that mean and deviation of a channel are kept on: what is averaged over some millimetres has little in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MapLayout {
    pub(super) mean: Density,
    /// No denser than the mean.
    pub(super) deviation: Density,
}

impl MapLayout {
    pub(super) fn of(channel: Channel, config: &CalibrationConfig) -> Self {
        let coarse = |coarse| if coarse { Density::EverySecond } else { Density::Every };
        let mean = channel.is_of_windows() || config.channel(channel).scale_mm >= COARSE_SCALE_MM;
        let deviation = mean || config.variance_smoothing_mm >= COARSE_SCALE_MM;
        Self { mean: coarse(mean), deviation: coarse(deviation) }
    }
}

impl Density {
    /// The voxels of a map that are kept.
    pub(super) fn stored(self, map: Array3<f32>) -> Array3<f32> {
        match self {
            Self::Every => map,
            Self::EverySecond => halved(&map),
        }
    }

    /// Grid of the voxels that are kept of a grid.
    pub(super) fn grid(self, template: &Grid) -> Grid {
        if self == Self::Every {
            return *template;
        }
        let shape = template.shape.map(|extent| extent.div_ceil(2));
        let mut affine = template.affine;
        affine.iter_mut().take(3).for_each(|row| row[..3].iter_mut().for_each(|v| *v *= 2.0));
        Grid { shape, affine }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_second_voxel_lies_where_it_lay() {
        let grid = Grid::from_spacing([5, 3, 7], [2.0; 3]);
        let coarse = Density::EverySecond.grid(&grid);
        let kept = Density::EverySecond.stored(Array3::zeros(grid.shape));
        assert_eq!(kept.dim(), coarse.shape.into());
        let place = |grid: &Grid, x: f64| grid.affine[0][0] * x + grid.affine[0][3];
        assert_eq!(place(&coarse, 2.0), place(&grid, 4.0));
        assert_eq!(Density::Every.grid(&grid), grid);
    }

    #[test]
    fn small_scales_keep_every_voxel_of_the_mean_alone() {
        let mut config = CalibrationConfig::default();
        let of = |channel, config: &CalibrationConfig| {
            let MapLayout { mean, deviation } = MapLayout::of(channel, config);
            [mean, deviation]
        };
        let [every, second] = [Density::Every, Density::EverySecond];
        assert_eq!(of(Channel::FineIntensity, &config), [every, second]);
        assert_eq!(of(Channel::Intensity, &config), [second, second]);
        assert_eq!(of(Channel::FineStructure, &config), [second, second]);
        config.variance_smoothing_mm = 0.0;
        assert_eq!(of(Channel::FineIntensity, &config), [every, every]);
    }
}
