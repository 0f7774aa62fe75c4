//! A scan read from a file, prepared, with the files beside it; cohorts and samples are made of these.

use std::path::{Path, PathBuf};

use disyre_volume::{Scan, ScanName, SidecarFiles, SidecarKind};
use rayon::prelude::*;

use crate::{
    Error, HashedFile, LocationMap, PrepareConfig, Prepared, RunConfig, Segmentation, TissueKind,
};

/// A scan, prepared, and the file that it was read from.
#[derive(Debug, Clone)]
pub struct SourceScan {
    /// Its file.
    pub path: PathBuf,
    /// Hashes of its files, from when they were read; `None` where no recipe records them.
    pub(crate) hashes: Option<ScanHashes>,
    /// Name of the file without its extensions.
    pub name: String,
    /// The scan.
    pub prepared: Prepared,
    /// Its segmentation, if that tells its tissues.
    pub segmentation: Option<Segmentation>,
    /// Locations that its anomalies may have; `None`: anywhere in the brain.
    pub locations: Option<LocationMap>,
}

/// Files that are read with a scan.
#[doc(alias = "Beside")]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SidecarPaths {
    /// Its segmentation.
    pub segmentation: Option<PathBuf>,
    /// Its location map.
    pub locations: Option<PathBuf>,
}

/// Hashes of a scan's files, for recipes.
#[derive(Debug, Clone)]
pub(crate) struct ScanHashes {
    pub(crate) scan: HashedFile,
    pub(crate) segmentation: Option<HashedFile>,
    pub(crate) locations: Option<HashedFile>,
}

impl SourceScan {
    /// Reads, hashes and prepares a scan, and the files beside it.
    ///
    /// # Errors
    /// [`Error::Case`] naming the file, those of reading, and those of [`Segmentation::read`] and
    /// [`LocationMap::read`].
    pub fn read(path: &Path, config: &PrepareConfig, beside: &SidecarPaths) -> Result<Self, Error> {
        let scan = Self::read_unhashed(path, config, beside)?;
        Ok(Self { hashes: Some(ScanHashes::of(path, beside)?), ..scan })
    }

    /// Reads and prepares a scan of which no recipe will be made.
    pub(crate) fn read_unhashed(
        path: &Path,
        config: &PrepareConfig,
        beside: &SidecarPaths,
    ) -> Result<Self, Error> {
        let scan = Scan::read(path)?;
        let prepared =
            config.prepare(&scan.volume, None).map_err(Error::case(&path.display().to_string()))?;
        let SidecarPaths { segmentation, locations } = beside;
        let grid = &prepared.volume.grid;
        let segmentation = segmentation.as_deref();
        let segmentation =
            segmentation.map(|path| Segmentation::read(path, &scan, grid)).transpose()?;
        let locations = locations.as_deref();
        let locations =
            locations.map(|path| LocationMap::read(path, &scan, &prepared)).transpose()?;
        Ok(Self {
            path: path.to_owned(),
            hashes: None,
            name: ScanName::of(path).to_string(),
            prepared,
            segmentation,
            locations,
        })
    }

    /// Reads and hashes some scans, several at a time, with their segmentations if the settings ask for label maps, and
    /// their location maps if there are some.
    ///
    /// # Errors
    /// As [`read`](Self::read), of the first scan that fails; [`Error::Volume`] for a scan without its files, before any
    /// is read.
    pub fn read_all(paths: &[PathBuf], config: &RunConfig) -> Result<Vec<Self>, Error> {
        Self::read_each(paths, config, Self::read)
    }

    /// Reads some scans of which no recipes will be made.
    pub(crate) fn read_all_unhashed(
        paths: &[PathBuf],
        config: &RunConfig,
    ) -> Result<Vec<Self>, Error> {
        Self::read_each(paths, config, Self::read_unhashed)
    }

    fn read_each(
        paths: &[PathBuf],
        config: &RunConfig,
        read: fn(&Path, &PrepareConfig, &SidecarPaths) -> Result<Self, Error>,
    ) -> Result<Vec<Self>, Error> {
        let segmentations = config.tissue.segmentations.as_deref();
        let segmentations = segmentations.filter(|_| config.tissue.model == TissueKind::LabelMaps);
        let segmentations = sidecars(paths, segmentations, SidecarKind::Segmentation)?;
        let locations = sidecars(paths, config.pairs.places.as_deref(), SidecarKind::LocationMap)?;
        let beside = segmentations.into_iter().zip(locations);
        let beside: Vec<SidecarPaths> = beside
            .map(|(segmentation, locations)| SidecarPaths { segmentation, locations })
            .collect();
        let read = |(path, beside): (&PathBuf, &_)| read(path, &config.prepare, beside);
        paths.par_iter().zip(&beside).map(read).collect()
    }
}

impl ScanHashes {
    /// Names and hashes the files of a scan.
    pub(crate) fn of(scan: &Path, beside: &SidecarPaths) -> Result<Self, Error> {
        let source = |path: &Option<PathBuf>| path.as_deref().map(HashedFile::of).transpose();
        let segmentation = source(&beside.segmentation)?;
        Ok(Self {
            scan: HashedFile::of(scan)?,
            segmentation,
            locations: source(&beside.locations)?,
        })
    }
}

/// The file of each scan in a folder; none without a folder.
fn sidecars(
    scans: &[PathBuf],
    folder: Option<&Path>,
    kind: SidecarKind,
) -> Result<Vec<Option<PathBuf>>, Error> {
    let Some(folder) = folder else { return Ok(vec![None; scans.len()]) };
    let files = SidecarFiles::list(folder, kind)?;
    let assigned = files.assign(scans).files.into_iter();
    assigned.map(|file| Ok(Some(file?.to_owned()))).collect()
}
