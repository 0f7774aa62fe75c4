//! [`DetectionArguments`]: the model and the settings of a detection; `detect` and `bids` take them.

use std::ffi::OsString;
use std::path::absolute;

use clap::{Args, ValueEnum};
use disyre::core::Severity;
use disyre::volume::{MemoryBound, MemoryLeft};
use disyre::{DetectOptions, LoadOptions, MaskThreshold, Model, ModelFolder, SkullPolicy};

use crate::arguments::{DeviceArguments, ModelArguments, PrecisionArguments, SkullArguments};
use crate::error::CliError;

/// Model and settings of a detection.
#[derive(Debug, Clone, Args)]
pub(crate) struct DetectionArguments {
    #[command(flatten)]
    model: ModelArguments,
    /// Score: published, or calibrated by healthy scans (`disyre calibrate`) [default: calibrated if the model is]
    #[arg(long, value_name = "SCORE")]
    score: Option<ScoreArgument>,
    /// Threshold that marks findings: healthy keeps the rates of false voxels and findings on healthy scans, lesions is the
    /// best on scans with synthetic anomalies
    #[arg(long, value_name = "POINT", default_value = "healthy")]
    operating_point: OperatingPointArgument,
    /// Severities to restore at, each in [0, 1] [default: the model's]
    #[arg(long, value_name = "A,B,…", value_delimiter = ',', value_parser = parse_severity)]
    severities: Option<Vec<Severity>>,
    /// Distance between neighbouring windows in voxels of the working grid [default: the model's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    stride: Option<u32>,
    /// Restore each slice as a whole, once, in place of overlapping windows: several times faster, other scores
    #[arg(long, conflicts_with = "stride")]
    whole_slices: bool,
    /// Write the spread of the restorations over the severities too
    #[arg(long)]
    uncertainty: bool,
    #[command(flatten)]
    skull: SkullArguments,
    #[command(flatten)]
    precision: PrecisionArguments,
    #[command(flatten)]
    device: DeviceArguments,
}

/// Score of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ScoreArgument {
    /// Mean distance of scan and restorations.
    Published,
    /// Weighted distance from healthy scans at the same place of the template.
    Calibrated,
}

/// Threshold that marks findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OperatingPointArgument {
    /// Few false findings in healthy scans, and perhaps no true ones.
    Healthy,
    /// The best Dice on synthetic anomalies.
    Lesions,
}

impl From<OperatingPointArgument> for MaskThreshold {
    fn from(argument: OperatingPointArgument) -> Self {
        match argument {
            OperatingPointArgument::Healthy => Self::Healthy,
            OperatingPointArgument::Lesions => Self::Lesions,
        }
    }
}

impl DetectionArguments {
    /// Reads the settings of the model, and those of the detection, which are checked.
    ///
    /// # Errors
    /// Those of [`ModelArguments::open`] and [`DetectOptions::check`]; [`disyre::Error::NotCalibrated`] where the calibrated
    /// score is asked for.
    pub(crate) fn open(&self) -> Result<(ModelFolder, DetectOptions), CliError> {
        let folder = self.model.open()?;
        let options = self.options(&folder)?;
        options.check()?;
        Ok((folder, options))
    }

    /// Loads the model, and says why no findings will be marked.
    ///
    /// # Errors
    /// Those of the device and of [`ModelFolder::load`].
    pub(crate) fn load(
        &self,
        folder: ModelFolder,
        options: &DetectOptions,
    ) -> Result<Model, CliError> {
        let device = self.device.select()?;
        let model = folder.load(&LoadOptions {
            device,
            engine: self.precision.engine(),
            // A stale one does not stop the published score.
            uncalibrated: self.score == Some(ScoreArgument::Published),
        })?;
        note_without_thresholds(&model, options);
        Ok(model)
    }

    /// Whether another model than the one within the program was given.
    pub(crate) fn has_model_folder(&self) -> bool {
        self.model.path().is_some()
    }

    /// Threshold that marks findings.
    pub(crate) fn operating_point(&self) -> MaskThreshold {
        self.operating_point.into()
    }

    /// Treatment of skulls, where one was asked for.
    pub(crate) fn skull(&self) -> Option<SkullPolicy> {
        self.skull.policy()
    }

    /// The settings of the model, or of its calibration, as the score needs them.
    fn model_options(&self, model: &ModelFolder) -> Result<DetectOptions, CliError> {
        if self.score == Some(ScoreArgument::Published) {
            return Ok(DetectOptions { calibrated: None, ..model.detect_options() });
        }
        match model.calibration()? {
            Some(calibration) => Ok(calibration.detect_options(model.config())),
            None if self.score.is_none() => Ok(model.detect_options()),
            None => {
                let model = model.path().to_owned();
                Err(disyre::Error::NotCalibrated { model }.into())
            }
        }
    }

    /// The model's settings but for what the arguments say.
    fn options(&self, model: &ModelFolder) -> Result<DetectOptions, CliError> {
        let mut options = self.model_options(model)?;
        if let Some(severities) = &self.severities {
            options.severities.clone_from(severities);
        }
        options.whole_slices |= self.whole_slices;
        options.uncertainty = self.uncertainty;
        if let Some(stride) = self.stride {
            options.whole_slices = false;
            options.stride = options.window.map(|size| if size == 1 { 1 } else { stride as usize });
        }
        Ok(options)
    }

    /// The same, and the bound of memory, as words of a command line that is run in any folder.
    ///
    /// # Errors
    /// [`CliError::File`] where a relative path can't be resolved.
    pub(crate) fn words(&self) -> Result<Vec<OsString>, CliError> {
        let mut words: Vec<OsString> = Vec::new();
        let mut option = |name: &str, value: OsString| words.extend([name.into(), value]);
        if let Some(model) = self.model.path() {
            let path = absolute(model).map_err(CliError::file("find", model))?;
            option("--model", path.into());
        }
        if let Some(score) = self.score {
            option("--score", name_of(score));
        }
        option("--operating-point", name_of(self.operating_point));
        if let Some(severities) = &self.severities {
            let values: Vec<String> = severities.iter().map(|s| s.get().to_string()).collect();
            option("--severities", values.join(",").into());
        }
        if let Some(stride) = self.stride {
            option("--stride", stride.to_string().into());
        }
        if let Some(precision) = self.precision.name() {
            option("--precision", precision.into());
        }
        option("--device", self.device.name().into());
        if let Some(MemoryLeft { bound: MemoryBound::Allowed(bytes), .. }) = MemoryLeft::now() {
            option("--max-memory", bytes.to_string().into());
        }
        let flags = [("--whole-slices", self.whole_slices), ("--uncertainty", self.uncertainty)];
        let flags = flags.into_iter().filter(|(_, given)| *given).map(|(flag, _)| flag);
        words.extend(flags.chain(self.skull.flag()).map(OsString::from));
        Ok(words)
    }
}

/// The value of an argument as it is written.
fn name_of(value: impl ValueEnum) -> OsString {
    value.to_possible_value().map(|value| value.get_name().into()).unwrap_or_default()
}

/// Says once why no findings will be marked.
fn note_without_thresholds(model: &Model, options: &DetectOptions) {
    let reason = match (&options.calibrated, model.calibration()) {
        (None, _) | (_, None) => "the score is not calibrated",
        (_, Some(calibration)) if calibration.thresholds().is_none() => {
            "the calibration has no thresholds"
        }
        _ if model.thresholds_for(options).is_none() => {
            "the thresholds are those of other settings of the score"
        }
        _ => return,
    };
    note!("no findings are marked: {reason} (see `disyre calibrate`)");
}

fn parse_severity(text: &str) -> Result<Severity, String> {
    let value: f32 = text.trim().parse().map_err(|_| "not a number".to_owned())?;
    Severity::new(value).map_err(|error| error.to_string())
}
