//! Recipe of a sample: all numbers that were drawn, and the files that it was made from.

use std::path::{Path, PathBuf};

use disyre_core::{Key, Severity};
use disyre_dag::{AnomalyConfig, AnomalyParams, Family};
use disyre_volume::{find_scans, scan_name};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::anomaly::sources;
use crate::segmentation::label_map;
use crate::synth::corrupt;
use crate::{
    Error, PrepareConfig, Sample, SidecarPaths, Source, SourceFolder, SourceScan, Subject, Tissues,
};

/// How a sample was made: with the files that it names, it gives the same sample again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Version of disyre.
    pub version: String,
    /// Which family the anomaly is of.
    pub family: Family,
    /// The corrupted scan, by name; one of the `sources`.
    pub source: String,
    /// Which sample of the run.
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
    /// How scans were prepared.
    pub prepare: PrepareConfig,
    /// Model that told the tissues of the bias, if the family has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tissues: Option<Tissues>,
    /// The segmentation of the corrupted scan, if that told tissues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segmentation: Option<SourceFolder>,
    /// The location map of the corrupted scan, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub places: Option<SourceFolder>,
    /// The masks that shapes come from, if a folder of them was set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape_masks: Option<SourceFolder>,
    /// The scans that textures come from, in order; the corrupted one alone for a family without foreign textures.
    pub sources: Vec<Source>,
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
    /// [`Error::MissingSource`] or [`Error::ChangedSource`] for a file that is not as it was; [`Error::NotReplayed`] if
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
            |folder: &Option<SourceFolder>| folder.as_ref().map(SourceFolder::only).transpose();
        let own = SidecarPaths {
            segmentation: only(&self.segmentation)?,
            locations: only(&self.places)?,
        };
        let read = |path: &PathBuf| match scan_name(path) == self.source {
            true => SourceScan::read(path, &self.prepare, &own),
            false => SourceScan::read(path, &self.prepare, &SidecarPaths::default()),
        };
        let scans: Vec<SourceScan> = paths.par_iter().map(read).collect::<Result<_, _>>()?;
        let which = scans.iter().position(|scan| scan.name == self.source);
        let which = which.ok_or_else(|| Error::MissingSource {
            name: self.source.clone(),
            folder: folder.to_owned(),
        })?;
        let subjects: Vec<Subject> = scans.iter().map(Subject::from).collect();
        let tissues = match &self.tissues {
            Some(Tissues::LabelMaps { codes }) => Some(label_map(&subjects[which], codes)?),
            _ => None,
        };
        let masks = self.shape_masks.as_ref().map(|masks| masks.folder.as_path());
        let images = subjects.into_iter().map(|subject| subject.image).collect();
        let sources = sources(images, masks, self.tissues.as_ref())?;
        let anomalies = self.anomaly.clone().build(&sources)?;
        let sample = corrupt(&scans[which], &anomalies, tissues.as_ref(), self.clone())?;
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
