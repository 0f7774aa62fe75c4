//! [`ChannelConfig`]: settings of one channel of evidence; a file may give a part of them.

use serde::{Deserialize, Deserializer, Serialize};

use super::{Channel, Sides};
use crate::Error;

/// Settings of one channel of evidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ChannelConfig {
    /// Weight in the score, ≥ 0; 0: it does not count.
    pub weight: f64,
    /// Standard deviation of the Gaussian that smooths it inside the brain, in millimetres, 0 to 50. From 4 mm on, and
    /// where it is made of windows, healthy maps are kept on every second voxel.
    pub scale_mm: f64,
    /// Added to the standard deviation of healthy scans, > 0, in the channel's units.
    pub deviation_floor: f64,
    /// Weight of what is less than in healthy scans; below 0, it speaks for health.
    pub less: f64,
    /// Weight of what is more than in healthy scans; below 0, it speaks for health.
    pub more: f64,
    /// Weights of the mean distance around a place, see [`CalibrationConfig::around_mm`](super::CalibrationConfig); none by
    /// default.
    #[serde(skip_serializing_if = "Sides::are_none")]
    pub around: Sides,
    /// Weights of that mean at the mirrored place of the other hemisphere; none by default.
    #[serde(skip_serializing_if = "Sides::are_none")]
    pub across: Sides,
}

impl ChannelConfig {
    /// Defaults of a channel.
    pub fn of(channel: Channel) -> Self {
        let (weight, scale_mm, deviation_floor, less, more) = match channel {
            Channel::Residual => (1.0, 6.0, 0.003, 1.0, 0.5),
            Channel::Intensity => (1.0, 4.0, 0.05, 1.0, 0.5),
            Channel::Structure => (1.0, 2.0, 0.01, 0.0, 1.0),
            Channel::Contrast => (1.0, 2.0, 0.005, 1.0, 0.0),
            Channel::RestoredStructure => (0.0, 2.0, 0.01, 0.0, 1.0),
            Channel::Corruption => (1.0, 4.0, 0.02, 0.0, 1.0),
            Channel::FineResidual => (0.0, 2.0, 0.005, 1.0, 0.5),
            Channel::FineIntensity => (0.0, 1.4, 0.05, 1.0, 0.5),
            Channel::FineStructure | Channel::FineRestoredStructure => (0.0, 2.0, 0.01, 0.0, 1.0),
            Channel::FineContrast => (0.0, 2.0, 0.005, 1.0, 0.0),
        };
        let (around, across) = (Sides::default(), Sides::default());
        Self { weight, scale_mm, deviation_floor, less, more, around, across }
    }

    /// True if more than the place itself counts.
    pub(super) fn looks_around(&self) -> bool {
        !(self.around.are_none() && self.across.are_none())
    }

    /// Weights of the distance at a place, around it and across the midline.
    pub(super) fn sides(&self) -> [Sides; 3] {
        [Sides { less: self.less, more: self.more }, self.around, self.across]
    }

    /// The scale, on which healthy maps depend, and the same for all else.
    pub(super) fn for_maps(self) -> Self {
        Self { scale_mm: self.scale_mm, ..Self::of(Channel::Residual) }
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let Self { weight, scale_mm, deviation_floor, .. } = *self;
        let weights = self.sides().into_iter().flat_map(|sides| [sides.less, sides.more]);
        let rules = [
            ((0.0..=1e6).contains(&weight), "detect.calibrated: weight of a channel", "0 to 1e6"),
            (
                weights.into_iter().all(|side| (-1e6..=1e6).contains(&side)),
                "detect.calibrated: less and more of a channel",
                "-1e6 to 1e6",
            ),
            (
                (0.0..=50.0).contains(&scale_mm),
                "detect.calibrated: scale_mm of a channel",
                "0 to 50 mm",
            ),
            (
                deviation_floor > 0.0 && deviation_floor.is_finite(),
                "detect.calibrated: deviation_floor of a channel",
                "above 0",
            ),
        ];
        match rules.into_iter().find(|(holds, ..)| !holds) {
            Some((_, field, expected)) => Err(Error::Setting { field, expected }),
            None => Ok(()),
        }
    }
}

/// The settings of a channel that a file gives.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    weight: Option<f64>,
    scale_mm: Option<f64>,
    deviation_floor: Option<f64>,
    less: Option<f64>,
    more: Option<f64>,
    around: Option<Sides>,
    across: Option<Sides>,
}

impl Given {
    fn over(self, base: ChannelConfig) -> ChannelConfig {
        ChannelConfig {
            weight: self.weight.unwrap_or(base.weight),
            scale_mm: self.scale_mm.unwrap_or(base.scale_mm),
            deviation_floor: self.deviation_floor.unwrap_or(base.deviation_floor),
            less: self.less.unwrap_or(base.less),
            more: self.more.unwrap_or(base.more),
            around: self.around.unwrap_or(base.around),
            across: self.across.unwrap_or(base.across),
        }
    }
}

fn read<'de, D: Deserializer<'de>>(from: D, channel: Channel) -> Result<ChannelConfig, D::Error> {
    Ok(Given::deserialize(from)?.over(ChannelConfig::of(channel)))
}

/// Reads a part of the settings of a channel, over its defaults; serde needs a function for each.
macro_rules! reader {
    ($($name:ident $channel:ident),*) => {$(
        pub(super) fn $name<'de, D: Deserializer<'de>>(from: D) -> Result<ChannelConfig, D::Error> {
            read(from, Channel::$channel)
        }
    )*};
}

reader!(
    residual Residual,
    intensity Intensity,
    structure Structure,
    contrast Contrast,
    restored_structure RestoredStructure,
    corruption Corruption,
    fine_residual FineResidual,
    fine_intensity FineIntensity,
    fine_structure FineStructure,
    fine_contrast FineContrast,
    fine_restored_structure FineRestoredStructure
);
