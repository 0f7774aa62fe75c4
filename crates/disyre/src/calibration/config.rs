//! [`CalibrationConfig`]: settings of the calibrated score, `[detect.calibrated]` in `run.toml`.

use serde::{Deserialize, Serialize};

use super::Channel;
use super::channel_config::{self, ChannelConfig};
use crate::Error;

/// Settings of the calibrated score.
///
/// Healthy maps are kept of all channels, whatever their weights: those, floors, sides, views and smoothing of the
/// score are free after a calibration.
///
/// ```
/// use disyre::CalibrationConfig;
///
/// let config: CalibrationConfig = toml::from_str("residual.more = 1.0\nintensity.weight = 0.0")?;
/// assert_eq!((config.residual.less, config.residual.more), (1.0, 1.0));
/// config.check()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Source
/// Ours: chosen on healthy scans of one site and nine scans with lesions of others; the views and the smoothing of the score
/// on these nine and 22 scans with implanted lesions (`docs/DESIGN.md`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CalibrationConfig {
    /// Scan − mean restoration: weight 1 at 6 mm, floor 0.003; darker than healthy counts 1, brighter 0.5.
    #[serde(deserialize_with = "channel_config::residual")]
    pub residual: ChannelConfig,
    /// The scan itself: weight 1 at 4 mm, floor 0.05; darker counts 1, brighter 0.5.
    #[serde(deserialize_with = "channel_config::intensity")]
    pub intensity: ChannelConfig,
    /// 1 − local correlation of the scan and the healthy mean: weight 1 at 2 mm, floor 0.01; more counts, less does not.
    #[serde(deserialize_with = "channel_config::structure")]
    pub structure: ChannelConfig,
    /// Local standard deviation of the scan: weight 1 at 2 mm, floor 0.005; less counts, more does not.
    #[serde(deserialize_with = "channel_config::contrast")]
    pub contrast: ChannelConfig,
    /// 1 − local correlation of the scan and its restoration: weight 0, else as `structure`.
    #[serde(deserialize_with = "channel_config::restored_structure")]
    pub restored_structure: ChannelConfig,
    /// The network's map of the corruption, where it predicts one: weight 1 at 4 mm, floor 0.02; more counts, less does
    /// not.
    #[serde(deserialize_with = "channel_config::corruption")]
    pub corruption: ChannelConfig,
    /// Residual at 2 mm: weight 0, else as `residual` with floor 0.005.
    #[serde(deserialize_with = "channel_config::fine_residual")]
    pub fine_residual: ChannelConfig,
    /// Intensity at 1.4 mm: weight 0, else as `intensity`.
    #[serde(deserialize_with = "channel_config::fine_intensity")]
    pub fine_intensity: ChannelConfig,
    /// Structure in fine windows: weight 0, else as `structure`.
    #[serde(deserialize_with = "channel_config::fine_structure")]
    pub fine_structure: ChannelConfig,
    /// Contrast in fine windows: weight 0, else as `contrast`.
    #[serde(deserialize_with = "channel_config::fine_contrast")]
    pub fine_contrast: ChannelConfig,
    /// Restored structure in fine windows: weight 0, else as `restored_structure`.
    #[serde(deserialize_with = "channel_config::fine_restored_structure")]
    pub fine_restored_structure: ChannelConfig,
    /// Standard deviation of the Gaussian windows of both structures, in millimetres, in (0, 50]; 6.
    pub structure_window_mm: f64,
    /// Standard deviation of the Gaussian windows of the contrast, in millimetres, in (0, 50]; 4.
    pub contrast_window_mm: f64,
    /// The same for both fine structures; 4.
    pub fine_structure_window_mm: f64,
    /// The same for the fine contrast; 2.
    pub fine_contrast_window_mm: f64,
    /// Standard deviation of the Gaussian that pools the variance of neighbouring voxels, in millimetres, 0 to 50; 4.
    pub variance_smoothing_mm: f64,
    /// Standard deviation of the Gaussian that smooths distances inside the brain before anything else, in millimetres, 0 to
    /// 50; 2.
    pub smoothing_mm: f64,
    /// Standard deviation of the Gaussian by which a channel is seen around a place and across the midline, in millimetres, 0
    /// to 50; 5.
    pub around_mm: f64,
    /// Standard deviation of the Gaussian that smooths half of the score inside the brain, in millimetres, 0 to 50; 10. A lesion
    /// stands out by its extent, too; 0: the score of a place is its own alone.
    pub score_smoothing_mm: f64,
    /// Depth from the surface of the brain in which the score is 0, in millimetres, 0 to 50; 0.
    pub erosion_mm: f64,
}

impl Default for CalibrationConfig {
    fn default() -> Self {
        let of = ChannelConfig::of;
        Self {
            residual: of(Channel::Residual),
            intensity: of(Channel::Intensity),
            structure: of(Channel::Structure),
            contrast: of(Channel::Contrast),
            restored_structure: of(Channel::RestoredStructure),
            corruption: of(Channel::Corruption),
            fine_residual: of(Channel::FineResidual),
            fine_intensity: of(Channel::FineIntensity),
            fine_structure: of(Channel::FineStructure),
            fine_contrast: of(Channel::FineContrast),
            fine_restored_structure: of(Channel::FineRestoredStructure),
            structure_window_mm: 6.0,
            contrast_window_mm: 4.0,
            fine_structure_window_mm: 4.0,
            fine_contrast_window_mm: 2.0,
            variance_smoothing_mm: 4.0,
            smoothing_mm: 2.0,
            around_mm: 5.0,
            score_smoothing_mm: 10.0,
            erosion_mm: 0.0,
        }
    }
}

impl CalibrationConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the field and what it may hold.
    pub fn check(&self) -> Result<(), Error> {
        Channel::ALL.into_iter().try_for_each(|channel| self.channel(channel).check())?;
        let length = |mm: f64| (0.0..=50.0).contains(&mm);
        let windows = Channel::ALL.map(|channel| self.window_mm(channel));
        let smoothings = [
            self.variance_smoothing_mm,
            self.smoothing_mm,
            self.around_mm,
            self.score_smoothing_mm,
        ];
        let mut others = smoothings.into_iter().chain([self.erosion_mm]);
        let rules = [
            (
                windows.into_iter().all(|mm| mm > 0.0 && length(mm)),
                "detect.calibrated: a window",
                "above 0 and up to 50 mm",
            ),
            (others.all(length), "detect.calibrated: a smoothing or the erosion", "0 to 50 mm"),
            (
                Channel::ALL.into_iter().any(|channel| self.counts(channel)),
                "detect.calibrated: weights",
                "above 0 for at least one channel",
            ),
        ];
        match rules.into_iter().find(|(holds, ..)| !holds) {
            Some((_, field, expected)) => Err(Error::Setting { field, expected }),
            None => Ok(()),
        }
    }

    /// The same where healthy maps depend on it, and the defaults elsewhere: settings of which this is equal share a
    /// calibration.
    #[must_use]
    pub fn for_maps(&self) -> Self {
        let mut config = Self {
            structure_window_mm: self.structure_window_mm,
            contrast_window_mm: self.contrast_window_mm,
            fine_structure_window_mm: self.fine_structure_window_mm,
            fine_contrast_window_mm: self.fine_contrast_window_mm,
            variance_smoothing_mm: self.variance_smoothing_mm,
            ..Self::default()
        };
        for channel in Channel::ALL {
            *config.channel_mut(channel) = self.channel(channel).for_maps();
        }
        config
    }

    /// Settings of a channel.
    pub fn channel(&self, channel: Channel) -> &ChannelConfig {
        match channel {
            Channel::Residual => &self.residual,
            Channel::Intensity => &self.intensity,
            Channel::Structure => &self.structure,
            Channel::Contrast => &self.contrast,
            Channel::RestoredStructure => &self.restored_structure,
            Channel::Corruption => &self.corruption,
            Channel::FineResidual => &self.fine_residual,
            Channel::FineIntensity => &self.fine_intensity,
            Channel::FineStructure => &self.fine_structure,
            Channel::FineContrast => &self.fine_contrast,
            Channel::FineRestoredStructure => &self.fine_restored_structure,
        }
    }

    /// The same, to be changed.
    pub(super) fn channel_mut(&mut self, channel: Channel) -> &mut ChannelConfig {
        match channel {
            Channel::Residual => &mut self.residual,
            Channel::Intensity => &mut self.intensity,
            Channel::Structure => &mut self.structure,
            Channel::Contrast => &mut self.contrast,
            Channel::RestoredStructure => &mut self.restored_structure,
            Channel::Corruption => &mut self.corruption,
            Channel::FineResidual => &mut self.fine_residual,
            Channel::FineIntensity => &mut self.fine_intensity,
            Channel::FineStructure => &mut self.fine_structure,
            Channel::FineContrast => &mut self.fine_contrast,
            Channel::FineRestoredStructure => &mut self.fine_restored_structure,
        }
    }

    /// Standard deviation of a channel's windows in millimetres; those of structures for channels without windows.
    pub(super) fn window_mm(&self, channel: Channel) -> f64 {
        match channel {
            Channel::Contrast => self.contrast_window_mm,
            Channel::FineContrast => self.fine_contrast_window_mm,
            Channel::FineStructure | Channel::FineRestoredStructure => {
                self.fine_structure_window_mm
            }
            _ => self.structure_window_mm,
        }
    }

    /// True if a channel adds to the score.
    pub(super) fn counts(&self, channel: Channel) -> bool {
        self.channel(channel).weight > 0.0
    }

    /// True if a channel that counts is seen around a place or across the midline.
    pub(super) fn looks_around(&self) -> bool {
        let looks = |channel| self.counts(channel) && self.channel(channel).looks_around();
        Channel::ALL.into_iter().any(looks)
    }

    /// Name of the first setting on which the healthy maps of channels that count depend, and that differs.
    pub(super) fn other_maps(&self, fitted: &Self) -> Option<&'static str> {
        let of_all = [
            (self.structure_window_mm != fitted.structure_window_mm, "structure_window_mm"),
            (self.contrast_window_mm != fitted.contrast_window_mm, "contrast_window_mm"),
            (
                self.fine_structure_window_mm != fitted.fine_structure_window_mm,
                "fine_structure_window_mm",
            ),
            (
                self.fine_contrast_window_mm != fitted.fine_contrast_window_mm,
                "fine_contrast_window_mm",
            ),
            (self.variance_smoothing_mm != fitted.variance_smoothing_mm, "variance_smoothing_mm"),
        ];
        let counting = Channel::ALL.into_iter().filter(|&channel| self.counts(channel));
        let of_channels = counting.map(|channel| {
            let scale_mm = |config: &Self| config.channel(channel).scale_mm;
            (scale_mm(self) != scale_mm(fitted), "scale_mm")
        });
        let mut all = of_all.into_iter().chain(of_channels);
        all.find(|(differs, _)| *differs).map(|(_, name)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sides;

    #[test]
    fn each_setting_out_of_range_is_named() {
        let fails = |change: fn(&mut CalibrationConfig)| {
            let mut config = CalibrationConfig::default();
            config.check().unwrap();
            change(&mut config);
            config.check().unwrap_err().to_string()
        };
        assert!(fails(|c| c.contrast_window_mm = 0.0).contains("window"));
        assert!(fails(|c| c.score_smoothing_mm = 51.0).contains("smoothing"));
        assert!(fails(|c| c.intensity.across.less = 2e6).contains("less"));
        assert!(fails(|c| c.erosion_mm = f64::NAN).contains("erosion"));
        assert!(fails(|c| c.residual.weight = -1.0).contains("weight"));
        assert!(fails(|c| c.residual.more = f64::NAN).contains("more"));
        assert!(fails(|c| c.intensity.deviation_floor = 0.0).contains("floor"));
        assert!(fails(|c| c.structure.scale_mm = 51.0).contains("scale_mm"));
        let none = fails(|c| {
            for channel in [&mut c.residual, &mut c.intensity, &mut c.structure, &mut c.contrast] {
                channel.weight = 0.0;
            }
            c.corruption.weight = 0.0;
        });
        assert!(none.contains("at least one"), "{none}");
    }

    #[test]
    fn a_misspelt_key_is_refused_and_others_keep_the_defaults_of_their_channel() {
        assert!(toml::from_str::<CalibrationConfig>("residual.wieght = 1.0").is_err());
        let config: CalibrationConfig = toml::from_str("contrast.scale_mm = 3.0").unwrap();
        let contrast = ChannelConfig { scale_mm: 3.0, ..ChannelConfig::of(Channel::Contrast) };
        assert_eq!(config, CalibrationConfig { contrast, ..CalibrationConfig::default() });
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<CalibrationConfig>(&text).unwrap(), config);
    }

    #[test]
    fn views_are_written_and_read_and_a_part_of_one_leaves_the_rest_at_0() {
        let config: CalibrationConfig =
            toml::from_str("residual.around.less = 1.5\nresidual.across.more = -2.0").unwrap();
        assert_eq!(config.residual.around, Sides { less: 1.5, more: 0.0 });
        assert_eq!(config.residual.across, Sides { less: 0.0, more: -2.0 });
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<CalibrationConfig>(&text).unwrap(), config);
        assert!(toml::from_str::<CalibrationConfig>("residual.around.les = 1.0").is_err());
    }

    #[test]
    fn maps_depend_on_scales_and_windows_alone() {
        let config = CalibrationConfig::default();
        let other = |change: fn(&mut CalibrationConfig)| {
            let mut other = config.clone();
            change(&mut other);
            (other.other_maps(&config), other.for_maps() == config.for_maps())
        };
        let free = other(|c| (c.residual.weight, c.residual.more, c.erosion_mm) = (0.2, 1.0, 4.0));
        assert_eq!(free, (None, true));
        let others = other(|c| (c.contrast.weight, c.restored_structure.weight) = (0.0, 1.0));
        assert_eq!(others, (None, true));
        assert_eq!(other(|c| c.residual.scale_mm = 8.0), (Some("scale_mm"), false));
        assert_eq!(other(|c| c.contrast_window_mm = 8.0), (Some("contrast_window_mm"), false));
    }
}
