//! [`ModelFolder::pack`]: the copy of a model that one hands on.

use std::fs;
use std::path::{Path, PathBuf};

use disyre_diffusion::CONFIG_FILE;
use disyre_volume::sha256_of_file;

use super::ModelFolder;
use crate::train::{PREPARATION_FILE, SETTINGS_FILE, TISSUE_FILE};
use crate::write_files::write_bytes;
use crate::{Error, RunConfig};

impl ModelFolder {
    /// Writes a copy of the model to hand on: weights of 16 bits, settings, preparation, classes of tissue, calibration and
    /// the record of its training; no checkpoint, no log, no path of this computer. Files of these names are replaced.
    ///
    /// The weights are rounded to 11 significant bits, so the copy has another SHA-256 and slightly other maps. The
    /// calibration is that of the weights before: rounding moves residuals by far less than healthy scans differ.
    ///
    /// ```
    #[doc = include_str!("doctest_model.txt")]
    /// use disyre::ModelFolder;
    ///
    /// ModelFolder::open("model")?.pack("packed".as_ref())?;
    /// let packed = ModelFolder::open("packed")?;
    /// assert_eq!(packed.parameter_count()?, ModelFolder::open("model")?.parameter_count()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Diffusion`] for weights of another network, [`Error::Io`] and [`Error::Config`] naming a file, and those of
    /// [`calibration`](Self::calibration).
    pub fn pack(&self, folder: &Path) -> Result<(), Error> {
        fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        let weights = folder.join(self.weights().file_name());
        self.parameters()?.save_half(&weights)?;
        if let Some(calibration) = self.calibration()? {
            calibration.with_weights(&sha256_of_file(&weights)?).save_in(folder)?;
        }
        for file in [CONFIG_FILE, PREPARATION_FILE, TISSUE_FILE] {
            if self.files.has(file) {
                write_bytes(&folder.join(file), &self.files.read(file)?)?;
            }
        }
        if let Some(report) = self.report()? {
            report.save(folder)?;
        }
        let path = folder.join(SETTINGS_FILE);
        let settings = toml::to_string(&without_folders(self.config()));
        write_bytes(&path, settings.map_err(Error::config(&path))?.as_bytes())
    }
}

/// The settings with the names of folders in place of their paths.
fn without_folders(config: &RunConfig) -> RunConfig {
    let mut config = config.clone();
    let folders =
        [&mut config.tissue.segmentations, &mut config.pairs.shape_masks, &mut config.pairs.places];
    for folder in folders {
        *folder = folder.as_deref().and_then(Path::file_name).map(PathBuf::from);
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_settings_lose_their_folders() {
        let mut config = RunConfig::cpu_2mm();
        config.pairs.shape_masks = Some("/home/somebody/shapes".into());
        config.tissue.segmentations = Some("labels/".into());
        let packed = without_folders(&config);
        assert_eq!(packed.pairs.shape_masks.as_deref(), Some(Path::new("shapes")));
        assert_eq!(packed.tissue.segmentations.as_deref(), Some(Path::new("labels")));
        assert_eq!(packed.pairs.places, None);
    }
}
