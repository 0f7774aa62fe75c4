//! A scan read from a file, prepared, with the files beside it; cohorts and samples are made of these.

use std::path::{Path, PathBuf};

use disyre_volume::{ScanName, SidecarFiles, SidecarKind};
use rayon::prelude::*;

use crate::at_once::for_scans;
use crate::{
    Error, HashedFile, LocationMap, Preparation, Prepared, RunConfig, Segmentation, TissueKind,
    Unscaled,
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

/// Scans that were read and prepared alike, with what their preparation was fitted to.
#[derive(Debug, Clone)]
pub struct PreparedScans {
    /// The scans.
    pub scans: Vec<SourceScan>,
    /// Their preparation.
    pub preparation: Preparation,
}

impl SourceScan {
    /// Reads, hashes and prepares a scan, and the files beside it.
    ///
    /// # Errors
    /// [`Error::Case`] naming the file, those of reading, and those of [`Segmentation::read`] and
    /// [`LocationMap::read`].
    pub fn read(
        path: &Path,
        preparation: &Preparation,
        beside: &SidecarPaths,
    ) -> Result<Self, Error> {
        let scan = Self::read_unhashed(path, preparation, beside)?;
        Ok(Self { hashes: Some(ScanHashes::of(path, beside)?), ..scan })
    }

    /// Reads and prepares a scan of which no recipe will be made.
    pub(crate) fn read_unhashed(
        path: &Path,
        preparation: &Preparation,
        beside: &SidecarPaths,
    ) -> Result<Self, Error> {
        AlignedScan::read(path, preparation, beside)?.scale(preparation)
    }
}

/// A scan before its intensities are scaled.
struct AlignedScan {
    path: PathBuf,
    hashes: Option<ScanHashes>,
    unscaled: Unscaled,
    segmentation: Option<Segmentation>,
    locations: Option<LocationMap>,
}

impl AlignedScan {
    fn read(path: &Path, preparation: &Preparation, beside: &SidecarPaths) -> Result<Self, Error> {
        let scan = preparation.config().skull.read(path)?;
        let case = || Error::case(&path.display().to_string());
        let brain = preparation.brain_of(&scan.volume).map_err(case())?;
        let brain = brain.as_ref().map(|brain| brain.mask.view());
        let unscaled = preparation.align(&scan.volume, brain).map_err(case())?;
        let SidecarPaths { segmentation, locations } = beside;
        let (grid, brain) = (unscaled.grid(), unscaled.brain());
        let segmentation = segmentation.as_deref();
        let segmentation =
            segmentation.map(|path| Segmentation::read(path, &scan, &grid)).transpose()?;
        let locations = locations.as_deref();
        let locations =
            locations.map(|path| LocationMap::read(path, &scan, &grid, brain)).transpose()?;
        Ok(Self { path: path.to_owned(), hashes: None, unscaled, segmentation, locations })
    }

    fn scale(self, preparation: &Preparation) -> Result<SourceScan, Error> {
        let Self { path, hashes, unscaled, segmentation, locations } = self;
        let prepared =
            preparation.scale(&unscaled).map_err(Error::case(&path.display().to_string()))?;
        let name = ScanName::of(&path).to_string();
        Ok(SourceScan { path, hashes, name, prepared, segmentation, locations })
    }
}

impl PreparedScans {
    /// Reads and hashes some scans, several at a time, with their segmentations if the settings ask for label maps, and
    /// their location maps if there are some. What the preparation needs of a cohort is fitted to all of them.
    ///
    /// # Errors
    /// As [`SourceScan::read`], of the first scan that fails; [`Error::Volume`] for a scan without its files, before any
    /// is read.
    pub fn read(paths: &[PathBuf], config: &RunConfig) -> Result<Self, Error> {
        Self::read_fitted(paths, config, |_| true)
    }

    /// The same; what the preparation needs of a cohort is fitted to the scans that `fits` chooses by name.
    pub(crate) fn read_fitted(
        paths: &[PathBuf],
        config: &RunConfig,
        fits: impl Fn(&str) -> bool,
    ) -> Result<Self, Error> {
        Self::read_each(paths, config, |_, scan| Ok(scan), fits)
    }

    /// The same; `keep` takes every scan with its index as soon as it is prepared.
    pub(crate) fn read_to(
        paths: &[PathBuf],
        config: &RunConfig,
        keep: impl Fn(usize, SourceScan) -> Result<SourceScan, Error> + Sync,
    ) -> Result<Self, Error> {
        Self::read_each(paths, config, keep, |_| true)
    }

    fn read_each(
        paths: &[PathBuf],
        config: &RunConfig,
        keep: impl Fn(usize, SourceScan) -> Result<SourceScan, Error> + Sync,
        fits: impl Fn(&str) -> bool,
    ) -> Result<Self, Error> {
        let unfitted = Preparation::unfitted(&config.prepare)?;
        let beside = sidecars_of(paths, config)?;
        let files: Vec<(usize, (&PathBuf, &SidecarPaths))> =
            paths.iter().zip(&beside).enumerate().collect();
        let align = |(path, beside): (&PathBuf, &SidecarPaths)| {
            let scan = AlignedScan::read(path, &unfitted, beside)?;
            Ok(AlignedScan { hashes: Some(ScanHashes::of(path, beside)?), ..scan })
        };
        if unfitted.is_fitted() {
            let scans = for_scans(
                &files,
                |(_, file)| file.0,
                |&(index, file)| keep(index, align(file)?.scale(&unfitted)?),
            )?;
            return Ok(Self { scans, preparation: unfitted });
        }
        let aligned = for_scans(&files, |(_, file)| file.0, |&(_, file)| align(file))?;
        let cohort = aligned.iter().filter(|scan| fits(ScanName::of(&scan.path).as_str()));
        let named = cohort.map(|scan| (scan.path.display().to_string(), &scan.unscaled));
        let preparation = unfitted.fit_named(named)?;
        let scans = aligned.into_par_iter().enumerate();
        let scans = scans.map(|(index, scan)| keep(index, scan.scale(&preparation)?));
        Ok(Self { scans: scans.collect::<Result<_, Error>>()?, preparation })
    }
}

/// The files beside each scan that the settings ask for.
fn sidecars_of(paths: &[PathBuf], config: &RunConfig) -> Result<Vec<SidecarPaths>, Error> {
    let segmentations = config.tissue.segmentations.as_deref();
    let segmentations = segmentations.filter(|_| config.tissue.model == TissueKind::LabelMaps);
    let segmentations = sidecars(paths, segmentations, SidecarKind::Segmentation)?;
    let locations = sidecars(paths, config.pairs.places.as_deref(), SidecarKind::LocationMap)?;
    let beside = segmentations.into_iter().zip(locations);
    Ok(beside.map(|(segmentation, locations)| SidecarPaths { segmentation, locations }).collect())
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

    /// The hashes alone: of the scan, and of its segmentation and location map where there are.
    pub(crate) fn sha256(self) -> Vec<String> {
        let beside = [self.segmentation, self.locations].into_iter().flatten();
        [self.scan].into_iter().chain(beside).map(|file| file.sha256).collect()
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
