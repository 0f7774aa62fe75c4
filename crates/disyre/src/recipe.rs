use std::path::{Path, PathBuf};

use disyre_core::{Key, Severity};
use disyre_dag::{AnomalyConfig, AnomalyParams, Family};
use disyre_volume::{Scan, find_scans, find_scans_below, scan_name};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::anomaly::sources;
use crate::segmentation::label_map;
use crate::synth::corrupt;
use crate::{
    Companions, Error, Places, PrepareConfig, Prepared, RunConfig, Sample, Segmentation, Subject,
    TissueKind, Tissues,
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
    /// What each part of the family realised.
    pub parts: Vec<Severity>,
    /// The window of the anomaly `(z, y, x)` in the corrupted scan, in voxels.
    pub origin: [usize; 3],
    /// What was drawn: numbers, and the keys that shape and textures are made from.
    pub drawn: AnomalyParams,
    /// The settings of the family.
    pub anomaly: AnomalyConfig,
    /// How scans were prepared.
    pub prepare: PrepareConfig,
    /// What told the tissues of the bias, if the family has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tissues: Option<Tissues>,
    /// The segmentation of the corrupted scan, if that told tissues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segmentation: Option<SourceFolder>,
    /// The map of places of the corrupted scan, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub places: Option<SourceFolder>,
    /// The masks that shapes come from, if a folder of them was set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape_masks: Option<SourceFolder>,
    /// The scans that textures come from, in order; the corrupted one alone for a family without foreign textures.
    pub sources: Vec<Source>,
}

/// A file that a sample was made with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// File name without its extensions.
    pub name: String,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
}

/// Files of a folder other than that of the scans: masks that shapes come from, segmentations, or maps of places.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceFolder {
    /// Where it was.
    pub folder: PathBuf,
    /// The files, in order.
    pub sources: Vec<Source>,
}

/// A scan, prepared, and the file that it was read from.
#[derive(Debug, Clone)]
pub struct SourceScan {
    /// The file.
    pub source: Source,
    /// The scan.
    pub prepared: Prepared,
    /// Its segmentation, if tissues are told by one.
    pub segmentation: Option<Segmentation>,
    /// Where its anomalies may lie; `None`: anywhere in the brain.
    pub places: Option<Places>,
}

/// The files that are read with a scan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beside {
    /// Its segmentation.
    pub segmentation: Option<PathBuf>,
    /// Its map of places.
    pub places: Option<PathBuf>,
}

impl Source {
    /// Names a file and hashes it.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file.
    pub fn of(path: &Path) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        let sha256 = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { name: scan_name(path), sha256 })
    }

    /// The file of this name among some; its contents must be those of the recipe.
    fn find(&self, folder: &Path, files: &[PathBuf]) -> Result<PathBuf, Error> {
        let path = files.iter().find(|path| scan_name(path) == self.name).ok_or_else(|| {
            Error::MissingSource { name: self.name.clone(), folder: folder.to_owned() }
        })?;
        match Self::of(path)?.sha256 {
            got if got == self.sha256 => Ok(path.clone()),
            got => {
                let (path, expected) = (path.clone(), self.sha256.clone());
                Err(Error::ChangedSource { path, expected, got })
            }
        }
    }
}

impl SourceFolder {
    /// Names and hashes all NIfTI files of a folder and its subfolders; the latter stand before a name, with slashes.
    ///
    /// # Errors
    /// [`Error::Volume`] for a folder without any, [`Error::Io`] naming a file.
    pub fn of(folder: &Path) -> Result<Self, Error> {
        let source = |path: &PathBuf| {
            let source = Source::of(path)?;
            let inside = path.strip_prefix(folder).ok().and_then(Path::parent);
            let folders = inside.into_iter().flat_map(Path::components);
            let folders = folders.map(|part| format!("{}/", part.as_os_str().to_string_lossy()));
            let name = folders.collect::<String>() + &source.name;
            Ok::<_, Error>(Source { name, ..source })
        };
        let files = find_scans_below(folder)?;
        let sources = files.par_iter().map(source);
        Ok(Self { folder: folder.to_owned(), sources: sources.collect::<Result<_, _>>()? })
    }

    /// The only file, as it was.
    fn only(&self) -> Result<PathBuf, Error> {
        let files = find_scans(&self.folder)?;
        let missing = || Error::MissingSource {
            name: "(the file of the scan)".into(),
            folder: self.folder.clone(),
        };
        self.sources.first().ok_or_else(missing)?.find(&self.folder, &files)
    }

    /// That the folder holds these files and no others.
    fn ensure_unchanged(&self) -> Result<(), Error> {
        let now = Self::of(&self.folder)?;
        let both = self.sources.iter().zip(&now.sources);
        if let Some((then, now)) = both.clone().find(|(then, now)| then != now) {
            let path = self.folder.join(&now.name);
            let (expected, got) = (then.sha256.clone(), now.sha256.clone());
            return Err(Error::ChangedSource { path, expected, got });
        }
        match self.sources.get(both.len()).or(now.sources.get(both.len())) {
            Some(odd) => {
                Err(Error::MissingSource { name: odd.name.clone(), folder: self.folder.clone() })
            }
            None => Ok(()),
        }
    }
}

impl SourceScan {
    /// Reads and prepares a scan, and the files beside it.
    ///
    /// # Errors
    /// [`Error::Case`] naming the file, those of reading, and those of [`Segmentation::read`] and [`Places::read`].
    pub fn read(path: &Path, config: &PrepareConfig, beside: &Beside) -> Result<Self, Error> {
        let scan = Scan::read(path)?;
        let prepared =
            config.prepare(&scan.volume, None).map_err(Error::case(&path.display().to_string()))?;
        let segmentation = beside.segmentation.as_deref();
        let grid = &prepared.volume.grid;
        let segmentation =
            segmentation.map(|path| Segmentation::read(path, &scan, grid)).transpose()?;
        let places = beside.places.as_deref();
        let places = places.map(|path| Places::read(path, &scan, &prepared)).transpose()?;
        Ok(Self { source: Source::of(path)?, prepared, segmentation, places })
    }

    /// Reads some scans, several at a time, with their segmentations if the settings ask for label maps, and their maps
    /// of places if there are some.
    ///
    /// # Errors
    /// As [`read`](Self::read), of the first scan that fails; [`Error::Companion`] before any is read.
    pub fn read_all(paths: &[PathBuf], config: &RunConfig) -> Result<Vec<Self>, Error> {
        let list = |folder: Option<&Path>, what| {
            folder.map(|folder| Companions::of(folder, what)).transpose()
        };
        let segmentations = config.tissue.segmentations.as_deref();
        let segmentations = segmentations.filter(|_| config.tissue.model == TissueKind::LabelMaps);
        let segmentations = list(segmentations, "segmentations")?;
        let places = list(config.pairs.places.as_deref(), "maps of places")?;
        let find = |path: &PathBuf| {
            let of = |all: &Option<Companions>| {
                all.as_ref().map(|all| all.find(path).map(Path::to_owned)).transpose()
            };
            Ok((path.clone(), Beside { segmentation: of(&segmentations)?, places: of(&places)? }))
        };
        let files = paths.iter().map(find).collect::<Result<Vec<_>, Error>>()?;
        let read = |(path, beside): &(PathBuf, Beside)| Self::read(path, &config.prepare, beside);
        files.par_iter().map(read).collect()
    }
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
        let own = Beside { segmentation: only(&self.segmentation)?, places: only(&self.places)? };
        let read = |path: &PathBuf| match scan_name(path) == self.source {
            true => SourceScan::read(path, &self.prepare, &own),
            false => SourceScan::read(path, &self.prepare, &Beside::default()),
        };
        let scans: Vec<SourceScan> = paths.par_iter().map(read).collect::<Result<_, _>>()?;
        let which = scans.iter().position(|scan| scan.source.name == self.source);
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
