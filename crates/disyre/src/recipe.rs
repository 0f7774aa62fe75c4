use std::path::{Path, PathBuf};

use disyre_core::{Key, Severity};
use disyre_dag::{DagConfig, DagParams};
use disyre_tissue::FittedTissues;
use disyre_volume::{ReadOptions, Scan, find_scans, scan_name};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::synth::{Parts, corrupt};
use crate::{Error, Family, PrepareConfig, Prepared, Sample};

/// How a sample was made: with the files that it names, it gives the same sample again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Version of disyre.
    pub version: String,
    /// Which parts the anomaly has.
    pub family: Family,
    /// The corrupted scan, by name; one of the `sources`.
    pub source: String,
    /// Which sample of the run.
    pub index: u64,
    /// The key that the sample was drawn from.
    pub key: Key,
    /// The severity that the corruption realised: the greatest of its parts.
    pub severity: Severity,
    /// What the texture realised.
    pub texture: Severity,
    /// What the intensity bias realised.
    pub bias: Severity,
    /// The window of the anomaly `(z, y, x)` in the corrupted scan, in voxels.
    pub origin: [usize; 3],
    /// Everything drawn.
    pub drawn: DagParams,
    /// The settings of the corruption.
    pub dag: DagConfig,
    /// How scans were prepared.
    pub prepare: PrepareConfig,
    /// Tissue classes of the bias.
    pub tissues: FittedTissues,
    /// The masks that shapes come from, if not from noise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape_masks: Option<ShapeMasks>,
    /// The scans that textures come from, in order.
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

/// A folder of masks that shapes come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShapeMasks {
    /// Where it was.
    pub folder: PathBuf,
    /// Its masks, in order.
    pub sources: Vec<Source>,
}

/// A scan, prepared, and the file that it was read from.
#[derive(Debug, Clone)]
pub struct SourceScan {
    /// The file.
    pub source: Source,
    /// The scan.
    pub prepared: Prepared,
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

impl ShapeMasks {
    /// Names and hashes the masks of a folder.
    ///
    /// # Errors
    /// [`Error::Volume`] for a folder without masks, [`Error::Io`] naming a mask.
    pub fn of(folder: &Path) -> Result<Self, Error> {
        let sources = find_scans(folder)?.into_iter().map(|path| Source::of(&path));
        Ok(Self { folder: folder.to_owned(), sources: sources.collect::<Result<_, _>>()? })
    }

    /// That the folder holds these masks and no others.
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
    /// Reads and prepares a scan.
    ///
    /// # Errors
    /// [`Error::Case`] naming the file, or those of reading.
    pub fn read(path: &Path, config: &PrepareConfig) -> Result<Self, Error> {
        let scan = Scan::read(path, &ReadOptions::default())?;
        let prepared =
            config.prepare(&scan.volume, None).map_err(Error::case(&path.display().to_string()))?;
        Ok(Self { source: Source::of(path)?, prepared })
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
        let scans: Vec<SourceScan> = paths
            .par_iter()
            .map(|path| SourceScan::read(path, &self.prepare))
            .collect::<Result<_, _>>()?;
        let which = scans.iter().position(|scan| scan.source.name == self.source);
        let which = which.ok_or_else(|| Error::MissingSource {
            name: self.source.clone(),
            folder: folder.to_owned(),
        })?;
        let masks = self.shape_masks.as_ref().map(|masks| masks.folder.as_path());
        let parts = Parts::new(&scans, masks, &self.tissues)?;
        let dag = parts.build(&self.dag)?;
        let sample = corrupt(&scans[which].prepared, &dag, self.clone())?;
        self.ensure_same(&sample.recipe)?;
        Ok(sample)
    }

    fn ensure_same(&self, again: &Self) -> Result<(), Error> {
        let pairs = [
            (self.severity == again.severity, "severity"),
            (self.texture == again.texture, "texture"),
            (self.bias == again.bias, "bias"),
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
