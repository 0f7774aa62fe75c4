//! Settings of a run: preset < file < argument; commands that train or corrupt resolve them here.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use disyre::{BiasCorrection, RunConfig, WorkingAxes};
use toml::Table;

use crate::error::CliError;

/// Settings to start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Preset {
    /// 2 mm, patches of 64², a small network: a day or less on two CPU cores.
    #[value(name = "cpu-2mm")]
    Cpu2mm,
    /// The published setting: 1 mm, patches of 128², 26 M parameters; needs a GPU to train.
    Reference,
}

impl Preset {
    fn config(self) -> RunConfig {
        match self {
            Self::Cpu2mm => RunConfig::cpu_2mm(),
            Self::Reference => RunConfig::reference(),
        }
    }
}

/// Sources of settings: preset < file < argument.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ConfigArguments {
    /// Settings to start from [default: cpu-2mm]
    #[arg(long)]
    pub(crate) preset: Option<Preset>,
    /// A TOML file of settings that differ from the preset; see `run.toml` in a model's folder for all of them
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Root of all random numbers; the same seed gives the same files [default: 0]
    // TOML's numbers end here.
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(0..=i64::MAX as u64))]
    pub(crate) seed: Option<u64>,
    /// Correction of the scanner's shading before anything else, in place of the settings'
    #[arg(long, value_name = "STEP")]
    pub(crate) bias: Option<BiasArgument>,
    /// Axes to work along, in place of the settings': of the scan, or of the MNI152 template
    #[arg(long, value_name = "AXES")]
    pub(crate) orientation: Option<AxesArgument>,
}

/// Bias correction by name; a file of settings can say more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BiasArgument {
    /// None.
    None,
    /// N4, with the settings that served detection best.
    N4,
}

/// Axes of the working grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AxesArgument {
    /// Those of the scan.
    Scan,
    /// Those of the MNI152 template, by registration.
    Template,
}

impl ConfigArguments {
    /// True if nothing but perhaps the seed is given.
    pub(crate) fn is_default(&self) -> bool {
        self.preset.is_none() && self.config.is_none()
    }

    /// Resolves the settings.
    ///
    /// # Errors
    /// [`CliError::Settings`] naming the file and the key.
    pub(crate) fn resolve(&self) -> Result<RunConfig, CliError> {
        self.resolve_over(self.preset.unwrap_or(Preset::Cpu2mm).config())
    }

    /// Resolves the settings over some that stand in for the preset.
    pub(crate) fn resolve_over(&self, base: RunConfig) -> Result<RunConfig, CliError> {
        let mut config = match &self.config {
            Some(path) => over(&base, path)?,
            None => base,
        };
        config.seed = self.seed.unwrap_or(config.seed);
        match self.bias {
            None => {}
            Some(BiasArgument::None) => config.prepare.bias = BiasCorrection::None,
            Some(BiasArgument::N4) => config.prepare.bias = BiasCorrection::n4(),
        }
        match self.orientation {
            None => {}
            Some(AxesArgument::Scan) => config.prepare.orientation = WorkingAxes::Scan,
            Some(AxesArgument::Template) => config.prepare.orientation = WorkingAxes::Template,
        }
        Ok(config)
    }
}

/// Settings of `base` but for those that a file gives.
pub(crate) fn over(base: &RunConfig, path: &Path) -> Result<RunConfig, CliError> {
    let text = fs::read_to_string(path).map_err(CliError::file("read", path))?;
    let invalid = |source| CliError::Settings { path: path.to_owned(), source };
    let file: Table = text.parse().map_err(|source: toml::de::Error| invalid(source.into()))?;
    base.changed(file).map_err(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::with_causes;

    fn resolve(text: &str, seed: Option<u64>) -> Result<RunConfig, CliError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        fs::write(&path, text).unwrap();
        let of_file = ConfigArguments { config: Some(path), ..ConfigArguments::default() };
        ConfigArguments { seed, ..of_file }.resolve()
    }

    #[test]
    fn a_file_changes_what_it_names_and_an_argument_wins() {
        let text = "seed = 3\n[train]\nsteps = 12\n[pairs]\nshape_masks = \"masks\"";
        let config = resolve(text, None).unwrap();
        let mut expected = RunConfig::cpu_2mm();
        expected.seed = 3;
        expected.train.steps = 12;
        expected.pairs.shape_masks = Some("masks".into());
        assert_eq!(config, expected);
        assert_eq!(resolve(text, Some(9)).unwrap().seed, 9);
    }

    #[test]
    fn another_kind_of_scaling_replaces_the_presets() {
        let config = resolve("[prepare.scaling.published]\nupper = 0.9", None).unwrap();
        let expected = disyre::volume::IntensityScaling::Published { upper: 0.9 };
        assert_eq!(config.prepare.scaling, expected);
    }

    #[test]
    fn steps_of_preparation_are_chosen_by_file_and_by_argument() {
        let text = "[prepare]\nbias = \"none\"\norientation = \"template\"";
        let prepare = resolve(text, None).unwrap().prepare;
        let expected = (BiasCorrection::None, WorkingAxes::Template);
        assert_eq!((prepare.bias, prepare.orientation), expected);
        let prepare = resolve("[prepare.bias.n4]\nshrink = 2", None).unwrap().prepare;
        assert!(matches!(prepare.bias, BiasCorrection::N4(n4) if n4.shrink == 2));
        let arguments = ConfigArguments {
            preset: Some(Preset::Reference),
            bias: Some(BiasArgument::N4),
            orientation: Some(AxesArgument::Template),
            ..ConfigArguments::default()
        };
        let prepare = arguments.resolve().unwrap().prepare;
        let expected = (BiasCorrection::n4(), WorkingAxes::Template);
        assert_eq!((prepare.bias, prepare.orientation), expected);
    }

    #[test]
    fn a_misspelt_key_is_named_with_its_file_and_section() {
        let message = with_causes(&resolve("[train]\nstepz = 12", None).unwrap_err());
        for part in ["mine.toml", "stepz", "train", "steps"] {
            assert!(message.contains(part), "{part} is missing in: {message}");
        }
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_named() {
        let message = with_causes(&resolve("[train]\nsteps = \"many\"", None).unwrap_err());
        for part in ["mine.toml", "steps", "many"] {
            assert!(message.contains(part), "{part} is missing in: {message}");
        }
    }
}
