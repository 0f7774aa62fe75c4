//! The calibrated score: how far the evidence of a scan is from that of healthy scans at its place in the template.
//!
//! [`CalibrationConfig`] has the settings, `evidence` carries a scan's maps to the template, `healthy_maps` takes mean and
//! deviation over healthy scans, `score` compares, `views` looks around and across the midline,
//! `lesion_weights` finds the weights of the channels, and `folder` keeps all that beside the model's weights.

mod channel_config;
mod config;
mod evidence;
mod fit;
mod folder;
mod healthy_folder;
mod healthy_maps;
mod lesion_weights;
mod local;
mod logistic;
mod map_layout;
mod score;
mod smoothing;
#[cfg(test)]
mod tests;
mod views;

use std::path::Path;

use disyre_core::ndarray::Array3;

pub use channel_config::ChannelConfig;
pub use config::CalibrationConfig;
pub use evidence::Channel;
pub use fit::CalibrationRequest;
pub use healthy_folder::{HealthyFolder, HealthyScan};
pub use lesion_weights::{LesionCase, WeightRequest, WeightScans};
pub use views::Sides;

use map_layout::MapLayout;

pub(crate) use evidence::Evidence;
pub(crate) use folder::CALIBRATION_FILE;
pub(crate) use healthy_folder::ensure_other;
pub(crate) use healthy_maps::{HealthyMaps, HealthySums, known};
pub(crate) use score::CalibratedScores;

use crate::{DetectConfig, DetectOptions, Error, RunConfig, TemplateSpace, Thresholds};

/// Name of the calibration's folder in a model's folder.
pub(crate) const CALIBRATION_FOLDER: &str = "calibration";

/// Healthy maps of a model: where healthy brains are restored badly, and how much that varies.
///
/// [`Calibration::fit`] makes it of healthy scans, [`Model`](crate::Model) finds it in its folder, and a detection whose
/// settings say `calibrated` scores by it.
///
/// # Source
/// Ours: voxelwise z-scores of registered evidence, with a sign.
#[derive(Debug, Clone)]
pub struct Calibration {
    space: TemplateSpace,
    /// Settings of the restorations, with those of the score.
    detect: DetectConfig,
    /// Windows of the restorations.
    window: [usize; 3],
    /// The model's weights.
    weights_sha256: String,
    scans: Vec<HealthyScan>,
    left_out: Vec<HealthyScan>,
    /// Names of scans that trained the network.
    trained: Vec<String>,
    /// Healthy scans that have brain at each voxel of the template.
    count: Array3<u32>,
    /// Mean of the healthy scans themselves, not smoothed.
    mean: Array3<f32>,
    maps: Vec<ChannelMaps>,
    thresholds: Option<Thresholds>,
}

/// Healthy maps of one channel.
#[derive(Debug, Clone)]
struct ChannelMaps {
    channel: Channel,
    scale_mm: f64,
    layout: MapLayout,
    /// As they are kept in files: on every second voxel of the template where that is enough.
    stored: HealthyMaps,
    /// On every voxel of the template.
    maps: HealthyMaps,
}

impl Calibration {
    /// The healthy scans.
    pub fn scans(&self) -> &[HealthyScan] {
        &self.scans
    }

    /// Scans that were given but do not count, as their registration is doubtful.
    pub fn left_out(&self) -> &[HealthyScan] {
        &self.left_out
    }

    /// Names of those scans that trained the network too: it restores them better than new ones.
    pub fn trained(&self) -> &[String] {
        &self.trained
    }

    /// Thresholds of its score, if it has some.
    pub fn thresholds(&self) -> Option<&Thresholds> {
        self.thresholds.as_ref()
    }

    /// Thresholds of its score with these settings: none for settings of another score than that of the thresholds.
    pub fn thresholds_for(&self, config: &CalibrationConfig) -> Option<&Thresholds> {
        self.thresholds.as_ref().filter(|_| *config == self.config())
    }

    /// The same with thresholds, or without.
    #[must_use]
    pub fn with_thresholds(self, thresholds: Option<Thresholds>) -> Self {
        Self { thresholds, ..self }
    }

    /// SHA-256 of the weights that it was fitted with.
    pub fn weights_sha256(&self) -> &str {
        &self.weights_sha256
    }

    /// The settings of detection that it was fitted with.
    pub fn detect_config(&self) -> &DetectConfig {
        &self.detect
    }

    /// Channels of evidence that it knows.
    pub fn channels(&self) -> Vec<Channel> {
        self.maps.iter().map(|maps| maps.channel).collect()
    }

    /// The settings of detection that it was fitted with, of a model with these settings.
    pub fn detect_options(&self, config: &RunConfig) -> DetectOptions {
        let options = RunConfig { detect: self.detect.clone(), ..config.clone() }.detect_options();
        DetectOptions { window: self.window, ..options }
    }

    /// The template, and how scans get there.
    pub(crate) fn space(&self) -> &TemplateSpace {
        &self.space
    }

    /// Settings of the score that it was fitted with.
    fn config(&self) -> CalibrationConfig {
        self.detect.calibrated.clone().unwrap_or_default()
    }

    /// Checks that restorations with these settings may be compared with its healthy ones.
    ///
    /// # Errors
    /// [`Error::OtherCalibration`] naming the first setting that differs; [`Error::Setting`] where only channels count
    /// that it does not have.
    pub(crate) fn ensure_fits(
        &self,
        options: &DetectOptions,
        config: &CalibrationConfig,
    ) -> Result<(), Error> {
        let (detect, windows) = (&self.detect, !options.whole_slices);
        let rules = [
            (options.severities != detect.severities, "detect.severities"),
            (options.whole_slices != detect.whole_slices, "detect.whole_slices"),
            (windows && options.window != self.window, "window"),
            (windows && options.stride != detect.stride, "detect.stride"),
        ];
        let other = rules.into_iter().find(|(differs, _)| *differs).map(|(_, field)| field);
        // A calibration of an earlier version may know fewer channels; the corruption is known where it is predicted.
        let missing = |channel: &Channel| {
            let known = self.channels().contains(channel) || *channel == Channel::Corruption;
            !known && config.counts(*channel)
        };
        let missing = Channel::ALL.iter().any(missing).then_some("set of channels");
        if let Some(field) = other.or(missing).or_else(|| config.other_maps(&self.config())) {
            return Err(Error::OtherCalibration { field });
        }
        match self.channels().iter().any(|&channel| config.counts(channel)) {
            true => Ok(()),
            false => Err(Error::Setting {
                field: "detect.calibrated: weights",
                expected: "above 0 for a channel that the model has",
            }),
        }
    }

    /// Checks that it belongs to a model's weights.
    pub(crate) fn ensure_of(&self, weights_sha256: &str, folder: &Path) -> Result<(), Error> {
        match self.weights_sha256 == weights_sha256 {
            true => Ok(()),
            false => Err(Error::CalibrationOfOtherWeights {
                folder: folder.to_owned(),
                expected: self.weights_sha256.clone(),
                got: weights_sha256.to_owned(),
            }),
        }
    }
}
