//! Recipe of a sample: all numbers that were drawn, and the files that it was made from.

use std::path::{Path, PathBuf};

use disyre_core::{Key, Severity};
use disyre_dag::textures::LazyBank;
use disyre_dag::{AnomalyConfig, AnomalyParams, Family};
use disyre_volume::{IntensityReference, ScanName, VolumeError, find_scans};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::anomaly_sources::sources_with;
use crate::segmentation::label_map;
use crate::synth::corrupt;
use crate::{
    Error, HashedFile, HashedFolder, PrepareConfig, Sample, SidecarPaths, SourceScan, Subject,
    Tissues,
};

/// Recipe of a sample: with the files that it names, it gives the same sample again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Version of disyre.
    pub version: String,
    /// Family of the anomaly.
    pub family: Family,
    /// The corrupted scan, by name; one of the `sources`.
    pub source: String,
    /// Index of the sample in its run.
    pub index: u64,
    /// The key that the sample was drawn from.
    pub key: Key,
    /// The severity that the corruption realised: the greatest of its parts.
    pub severity: Severity,
    /// Severity that each part of the family realised.
    pub parts: Vec<Severity>,
    /// The window of the anomaly `(z, y, x)` in the corrupted scan, in voxels.
    pub origin: [usize; 3],
    /// Numbers drawn, and the keys that shape and textures are made from.
    pub drawn: AnomalyParams,
    /// The settings of the family.
    pub anomaly: AnomalyConfig,
    /// Preparation of the scans.
    pub prepare: PrepareConfig,
    /// Reference of the scaling of intensities, if it is one by a cohort.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<IntensityReference>,
    /// Model that told the tissues of the bias, if the family has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tissues: Option<Tissues>,
    /// The segmentation of the corrupted scan, if that told tissues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segmentation: Option<HashedFolder>,
    /// The location map of the corrupted scan, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub places: Option<HashedFolder>,
    /// The masks that shapes come from, if a folder of them was set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape_masks: Option<HashedFolder>,
    /// The scans that textures come from, in order; the corrupted one alone for a family without foreign textures.
    pub sources: Vec<HashedFile>,
}

impl Recipe {
    /// Reads a recipe.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Recipe`], naming the file.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        serde_json::from_str(&text).map_err(|source| Error::Recipe { path: path.into(), source })
    }

    /// Makes the sample again from the files of a folder, which may hold others too. Its recipe is this one.
    ///
    /// # Errors
    /// [`VolumeError::MissingFile`] or [`VolumeError::ChangedFile`] for a file that is not as it was; [`Error::NotReplayed`] if
    /// the sample comes out otherwise than recorded; errors of reading and of the corruption.
    pub fn replay(&self, folder: &Path) -> Result<Sample, Error> {
        let files = find_scans(folder)?;
        let paths: Vec<PathBuf> = self
            .sources
            .par_iter()
            .map(|source| source.find(folder, &files))
            .collect::<Result<_, _>>()?;
        if let Some(masks) = &self.shape_masks {
            masks.ensure_unchanged()?;
        }
        let only =
            |folder: &Option<HashedFolder>| folder.as_ref().map(HashedFolder::only).transpose();
        let own = SidecarPaths {
            segmentation: only(&self.segmentation)?,
            locations: only(&self.places)?,
        };
        let preparation = self.prepare.with_reference(self.reference.clone())?;
        let which = paths.iter().position(|path| ScanName::of(path).as_str() == self.source);
        let which = which.ok_or_else(|| VolumeError::MissingFile {
            name: self.source.clone(),
            folder: folder.to_owned(),
        })?;
        let scan = SourceScan::read_unhashed(&paths[which], &preparation, &own)?;
        let tissues = match &self.tissues {
            Some(Tissues::LabelMaps { codes }) => Some(label_map(&Subject::from(&scan), codes)?),
            _ => None,
        };
        let masks = self.shape_masks.as_ref().map(|masks| masks.folder.as_path());
        // Of the others only those are prepared that a texture is drawn from.
        let textures = LazyBank::new(paths.len(), move |index| {
            let alone = SidecarPaths::default();
            SourceScan::read_unhashed(&paths[index], &preparation, &alone)
                .map(|scan| Subject::from(scan).image)
        });
        let sources = sources_with(textures?, masks, self.tissues.as_ref())?;
        let anomalies = self.anomaly.clone().build(&sources)?;
        let sample = corrupt(&scan, &anomalies, tissues.as_ref(), self.clone())?;
        self.ensure_same(&sample.recipe)?;
        Ok(sample)
    }

    fn ensure_same(&self, again: &Self) -> Result<(), Error> {
        let pairs = [
            (self.severity == again.severity, "severity"),
            (self.parts == again.parts, "severity of a part"),
            (self.origin == again.origin, "origin"),
        ];
        match pairs.into_iter().find(|(same, _)| !same) {
            None => Ok(()),
            Some((_, field)) => Err(Error::NotReplayed {
                name: self.source.clone(),
                index: self.index,
                version: self.version.clone(),
                field,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phantom::PhantomConfig;
    use crate::{PreparedScans, RunConfig, Synthesiser};
    use disyre_volume::write_volume;
    use tempfile::TempDir;

    /// A folder of two scans, and a sample of the first with a texture of both.
    fn sample() -> (TempDir, Sample) {
        let folder = tempfile::tempdir().unwrap();
        let phantoms =
            PhantomConfig { shape: [10, 24, 20], spacing_mm: 8.0, ..PhantomConfig::default() };
        for index in 0..2u64 {
            let path = folder.path().join(format!("h{index}.nii"));
            write_volume(&path, &phantoms.healthy(Key::new(index)).volume).unwrap();
        }
        let mut config = RunConfig::cpu_2mm();
        (config.family, config.prepare.spacing_mm) = (Family::Fpi, 8.0);
        config.dag.window = [1, 8, 8];
        let scans = PreparedScans::read(&find_scans(folder.path()).unwrap(), &config).unwrap();
        let synthesiser = Synthesiser::new(scans, &config, None, Key::new(3)).unwrap();
        (folder, synthesiser.sample(0).unwrap())
    }

    #[test]
    fn a_recipe_gives_its_sample_again_after_a_file() {
        let (folder, sample) = sample();
        let path = folder.path().join("recipe.json");
        std::fs::write(&path, serde_json::to_string(&sample.recipe).unwrap()).unwrap();
        let recipe = Recipe::load(&path).unwrap();
        assert_eq!(recipe, sample.recipe);
        let names: Vec<&str> = recipe.sources.iter().map(|source| source.name.as_str()).collect();
        assert_eq!((recipe.source.as_str(), names), ("h0", vec!["h0", "h1"]));
        assert!(recipe.severity > Severity::CLEAN);
        let again = recipe.replay(folder.path()).unwrap();
        assert_eq!(again.corrupted.data, sample.corrupted.data);
        assert_eq!((again.mask, again.recipe), (sample.mask, sample.recipe));
    }

    #[test]
    fn a_recipe_records_the_files_as_they_were_when_they_were_read() {
        let (folder, before) = sample();
        let paths = find_scans(folder.path()).unwrap();
        let mut config = RunConfig::cpu_2mm();
        (config.family, config.prepare.spacing_mm) = (Family::Fpi, 8.0);
        config.dag.window = [1, 8, 8];
        let scans = PreparedScans::read(&paths, &config).unwrap();
        std::fs::copy(&paths[0], &paths[1]).unwrap();
        let sample =
            Synthesiser::new(scans, &config, None, Key::new(3)).unwrap().sample(0).unwrap();
        assert_eq!(sample.recipe, before.recipe);
        let error = sample.recipe.replay(folder.path()).unwrap_err();
        assert!(
            matches!(error, Error::Volume(VolumeError::ChangedFile { path, .. }) if path == paths[1])
        );
    }

    #[test]
    fn what_a_replay_gives_otherwise_is_named() {
        let (folder, sample) = sample();
        let fails = |change: fn(&mut Recipe)| {
            let mut recipe = sample.recipe.clone();
            change(&mut recipe);
            match recipe.replay(folder.path()) {
                Err(Error::NotReplayed { field, .. }) => field,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(fails(|recipe| recipe.severity = Severity::CLEAN), "severity");
        assert_eq!(fails(|recipe| recipe.parts.clear()), "severity of a part");
        assert_eq!(fails(|recipe| recipe.origin[1] += 1), "origin");
    }

    #[test]
    fn a_recipe_whose_scan_is_not_among_its_sources_is_refused() {
        let (folder, sample) = sample();
        let recipe = Recipe { source: "h7".into(), ..sample.recipe };
        let error = recipe.replay(folder.path()).unwrap_err();
        assert!(
            matches!(error, Error::Volume(VolumeError::MissingFile { name, .. }) if name == "h7")
        );
    }

    #[test]
    fn a_file_that_is_no_recipe_is_named() {
        let (folder, _) = sample();
        let path = folder.path().join("recipe.json");
        std::fs::write(&path, r#"{"familie": "dag"}"#).unwrap();
        let error = Recipe::load(&path).unwrap_err().to_string();
        assert!(error.contains("recipe.json is not a recipe"), "{error}");
        assert!(matches!(Recipe::load(folder.path()), Err(Error::Io { .. })));
    }
}
