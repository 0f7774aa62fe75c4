//! [`Views`]: distances of one channel from healthy, seen at each place, around it and across the midline.

use disyre_core::ndarray::{Array3, Axis, Zip};
use serde::{Deserialize, Serialize};

use super::ChannelConfig;
use super::smoothing::Smoother;
use crate::Error;

/// Weights of a distance from healthy: below 0, a side speaks for health.
///
/// ```
/// use disyre::Sides;
///
/// let darker = Sides { less: 1.0, more: 0.5 };
/// assert_eq!((darker.weighted(-2.0), darker.weighted(2.0)), (2.0, 1.0));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sides {
    /// Weight of what is less than in healthy scans.
    pub less: f64,
    /// Weight of what is more than in healthy scans.
    pub more: f64,
}

impl Sides {
    /// `less · max(−z, 0) + more · max(z, 0)` of a distance z.
    pub fn weighted(self, z: f32) -> f32 {
        self.less as f32 * (-z).max(0.0) + self.more as f32 * z.max(0.0)
    }

    /// True if neither side counts.
    pub(super) fn are_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Distances of one channel from healthy on the grid of the template, 0 where they are not known: at each place, and, unless
/// that is all that counts, their mean around it, and that mean at the mirrored place of the other hemisphere.
pub(super) struct Views(pub(super) Vec<Array3<f32>>);

impl Views {
    /// The distances alone.
    pub(super) fn here(here: Array3<f32>) -> Self {
        Self(vec![here])
    }

    /// Looks around by this smoother's Gaussian. The grid of the template is mirrored along x, which misses the mirrored place
    /// by 1 mm.
    pub(super) fn all(here: Array3<f32>, around: &Smoother<'_>) -> Result<Self, Error> {
        let mask = around.mask();
        let around = around.smooth(here.view())?;
        let mut mirrored = around.view();
        mirrored.invert_axis(Axis(2));
        let keep = |&value: &f32, &inside: &u8| if inside != 0 { value } else { 0.0 };
        let across = Zip::from(mirrored).and(mask).map_collect(keep);
        Ok(Self(vec![here, around, across]))
    }

    /// Weighted sum of both sides of all views.
    pub(super) fn weighted(&self, channel: &ChannelConfig) -> Array3<f32> {
        let mut sum = Array3::zeros(self.0[0].dim());
        for (sides, map) in channel.sides().into_iter().zip(&self.0) {
            sum.zip_mut_with(map, |sum, &z| *sum += sides.weighted(z));
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Channel, TemplateSpace};

    #[test]
    fn a_channel_is_seen_at_a_place_around_it_and_on_the_other_side() {
        let mut mask = Array3::ones([1, 1, 9]);
        mask[[0, 0, 5]] = 0;
        let mut here = Array3::zeros([1, 1, 9]);
        here[[0, 0, 2]] = -4.0;
        let views = Views::all(here.clone(), &Smoother::new(mask.view(), 0.8).unwrap()).unwrap();
        let [at, around, across] = &views.0[..] else { panic!("three views") };
        assert_eq!(*at, here);
        assert!(around[[0, 0, 2]] < around[[0, 0, 3]] && around[[0, 0, 3]] < 0.0, "{around}");
        let mut known = (0..9).filter(|&x| x != 5);
        assert!(known.all(|x| across[[0, 0, x]] == around[[0, 0, 8 - x]]));
        assert!(around[[0, 0, 3]] != 0.0 && across[[0, 0, 5]] == 0.0, "{across}");
        let channel = ChannelConfig {
            around: Sides { less: 2.0, more: 0.0 },
            across: Sides { less: -1.0, more: 0.0 },
            ..ChannelConfig::of(Channel::Intensity)
        };
        let sum = views.weighted(&channel);
        let expected = 4.0 - 2.0 * around[[0, 0, 2]] + across[[0, 0, 2]];
        assert!((sum[[0, 0, 2]] - expected).abs() < 1e-6, "{sum}");
        assert!((sum[[0, 0, 6]] - across[[0, 0, 6]] + 2.0 * around[[0, 0, 6]]).abs() < 1e-6);
    }

    #[test]
    fn the_mirror_of_the_templates_grid_misses_a_place_by_a_millimetre_at_most() {
        let grid = TemplateSpace::mni152().unwrap().template().volume.grid;
        let [per_voxel, y, z, first] = grid.affine[0];
        let last = first + per_voxel * (grid.shape[2] - 1) as f64;
        assert_eq!((y, z), (0.0, 0.0));
        assert!((first + last).abs() <= 1.0, "{first} {last}");
    }
}
