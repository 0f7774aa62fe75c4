//! Settings of a detection: what a [`Detector`](crate::Detector) needs beside a restorer.

use disyre_core::Severity;
use disyre_diffusion::Engine;
use disyre_score::PUBLISHED_SEVERITIES;

use crate::{CalibrationConfig, DetectConfig, Error, RunConfig};

/// Settings of a detection: windows, severities, blending.
///
/// ```
/// use disyre::DetectOptions;
///
/// let options = DetectOptions { window: [1, 64, 64], stride: [1, 16, 16], ..DetectOptions::default() };
/// options.check()?;
/// let wider = DetectOptions { stride: [1, 65, 65], ..options };
/// assert!(wider.check().unwrap_err().to_string().starts_with("setting detect.stride must be"));
/// # Ok::<(), disyre::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct DetectOptions {
    /// Size of a window in voxels `(z, y, x)`; published: 1 × 128 × 128, the size of a training patch.
    pub window: [usize; 3],
    /// Distance between neighbouring windows in voxels `(z, y, x)`, 1 to the size of a window; published: 1, 32, 32.
    pub stride: [usize; 3],
    /// Severities at which each window is restored, at least one; published: about .005, .05, .27, .73.
    pub severities: Vec<Severity>,
    /// True if the score of a window is weighted by its share of brain; published: yes.
    pub foreground_weight: bool,
    /// Windows restored at once, ≥ 1: memory and speed, not results.
    pub batch: usize,
    /// True if each slice is restored as a whole, once, in place of windows: several times faster, other scores, since
    /// normalisations then see the slice and not a window. Published: no.
    pub whole_slices: bool,
    /// Sides of whole slices are padded to multiples of this many voxels, ≥ 1, which a network that halves its images
    /// needs.
    pub size_multiple: usize,
    /// The score that compares with healthy scans, where there is a [`Calibration`](crate::Calibration); `None`: the
    /// published score.
    pub calibrated: Option<CalibrationConfig>,
    /// True to keep the spread of the restorations over the severities, which is slower on GPUs.
    pub uncertainty: bool,
}

impl Default for DetectOptions {
    fn default() -> Self {
        Self {
            window: [1, 128, 128],
            stride: [1, 32, 32],
            severities: PUBLISHED_SEVERITIES.to_vec(),
            foreground_weight: true,
            batch: 32,
            whole_slices: false,
            size_multiple: 32,
            calibrated: None,
            uncertainty: false,
        }
    }
}

impl DetectOptions {
    /// Checks every setting.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the field and what it may hold.
    pub fn check(&self) -> Result<(), Error> {
        let stride_fits = (0..3).all(|d| (1..=self.window[d]).contains(&self.stride[d]));
        let rules = [
            (!self.window.contains(&0), "detect.window", "at least 1 voxel along each axis"),
            ((1..=MOST_WINDOWS).contains(&self.batch), "detect.batch", "1 to 65536 windows"),
            (!self.severities.is_empty(), "detect.severities", "at least one severity"),
            (stride_fits, "detect.stride", "1 voxel to the size of a window along each axis"),
            (self.size_multiple > 0, "detect.size_multiple", "at least 1 voxel"),
        ];
        match rules.into_iter().find(|(holds, ..)| !holds) {
            Some((_, field, expected)) => Err(Error::Setting { field, expected }),
            None => self.calibrated.as_ref().map_or(Ok(()), CalibrationConfig::check),
        }
    }
}

/// Greatest number of windows that are restored at once: more fill any memory.
const MOST_WINDOWS: usize = 1 << 16;

impl RunConfig {
    /// The settings of detection that go with those of training: windows have the size of the training patch.
    pub fn detect_options(&self) -> DetectOptions {
        let DetectConfig {
            stride,
            severities,
            foreground_weight,
            batch,
            whole_slices,
            engine: _,
            calibrated,
        } = self.detect.clone();
        DetectOptions {
            window: self.pairs.patch,
            stride,
            severities,
            foreground_weight,
            batch,
            whole_slices,
            size_multiple: self.network.size_multiple(),
            calibrated,
            uncertainty: false,
        }
    }

    /// The same run with other settings of detection and another engine.
    pub(crate) fn with_detection(&self, options: &DetectOptions, engine: Engine) -> Self {
        let mut config = self.clone();
        config.detect = DetectConfig {
            stride: options.stride,
            severities: options.severities.clone(),
            foreground_weight: options.foreground_weight,
            batch: options.batch,
            whole_slices: options.whole_slices,
            engine,
            calibrated: options.calibrated.clone(),
        };
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_published_run() {
        assert_eq!(RunConfig::reference().detect_options(), DetectOptions::default());
    }

    #[test]
    fn settings_of_a_run_come_back_from_its_options() {
        for config in [RunConfig::reference(), RunConfig::cpu_2mm()] {
            let again = config.with_detection(&config.detect_options(), config.detect.engine);
            assert_eq!(again, config);
        }
    }

    #[test]
    fn each_setting_out_of_range_is_named() {
        let fails = |change: fn(&mut DetectOptions)| {
            let mut options = DetectOptions::default();
            change(&mut options);
            options.check().unwrap_err().to_string()
        };
        assert!(fails(|o| o.window[0] = 0).starts_with("setting detect.window"));
        assert!(fails(|o| o.stride[1] = 0).starts_with("setting detect.stride"));
        assert!(fails(|o| o.stride[2] = 129).starts_with("setting detect.stride"));
        assert!(fails(|o| o.severities.clear()).starts_with("setting detect.severities"));
        assert!(fails(|o| o.batch = 0).starts_with("setting detect.batch"));
        assert!(fails(|o| o.batch = usize::MAX).starts_with("setting detect.batch"));
        assert!(fails(|o| o.size_multiple = 0).starts_with("setting detect.size_multiple"));
    }
}
