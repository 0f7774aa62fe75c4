//! A scan read from a file, prepared, with the files beside it; cohorts and samples are made of these.

use std::path::{Path, PathBuf};

use disyre_volume::{ScanName, SidecarFiles, SidecarKind};
use rayon::prelude::*;

use crate::at_once::for_scans;
use crate::scan_files::ScanFiles;
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
pub(crate) struct AlignedScan {
    path: PathBuf,
    hashes: Option<ScanHashes>,
    pub(crate) unscaled: Unscaled,
    pub(crate) segmentation: Option<Segmentation>,
    pub(crate) locations: Option<LocationMap>,
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

    /// The same with the hashes of its files.
    fn read_hashed(
        (path, beside): (&PathBuf, &SidecarPaths),
        preparation: &Preparation,
    ) -> Result<Self, Error> {
        let scan = Self::read(path, preparation, beside)?;
        Ok(Self { hashes: Some(ScanHashes::of(path, beside)?), ..scan })
    }

    /// Scales it, and moves its voxels to files, if there are any.
    fn scale_to(
        self,
        files: Option<&ScanFiles>,
        index: usize,
        preparation: &Preparation,
    ) -> Result<SourceScan, Error> {
        let mut scan = self.scale(preparation)?;
        if let Some(files) = files {
            files.put(index, &mut scan)?;
        }
        Ok(scan)
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
        fits: impl Fn(&str) -> bool + Sync,
    ) -> Result<Self, Error> {
        Self::read_each(None, paths, config, fits)
    }

    /// The same; voxels are moved to files as soon as a scan is prepared.
    pub(crate) fn read_to(
        files: &ScanFiles,
        paths: &[PathBuf],
        config: &RunConfig,
    ) -> Result<Self, Error> {
        Self::read_each(Some(files), paths, config, |_| true)
    }

    fn read_each(
        files: Option<&ScanFiles>,
        paths: &[PathBuf],
        config: &RunConfig,
        fits: impl Fn(&str) -> bool + Sync,
    ) -> Result<Self, Error> {
        let unfitted = Preparation::unfitted(&config.prepare)?;
        let beside = sidecars_of(paths, config)?;
        let scans: Vec<Listed> = paths.iter().zip(&beside).enumerate().collect();
        if unfitted.is_fitted() {
            let read = |&(index, file): &Listed| {
                AlignedScan::read_hashed(file, &unfitted)?.scale_to(files, index, &unfitted)
            };
            let scans = for_scans(&scans, |(_, file)| file.0, read)?;
            return Ok(Self { scans, preparation: unfitted });
        }
        Self::read_and_fit(files, &scans, unfitted, fits)
    }

    /// Scales the scans when all have been read.
    fn read_and_fit(
        files: Option<&ScanFiles>,
        scans: &[Listed],
        unfitted: Preparation,
        fits: impl Fn(&str) -> bool + Sync,
    ) -> Result<Self, Error> {
        let read = |&(index, file): &Listed| {
            let mut scan = AlignedScan::read_hashed(file, &unfitted)?;
            let name = scan.path.display().to_string();
            let fits = fits(ScanName::of(&scan.path).as_str());
            let quantiles = fits.then(|| unfitted.quantiles(&scan.unscaled)).transpose();
            let quantiles = quantiles.map_err(Error::case(&name))?;
            if let Some(files) = files {
                files.put_aligned(index, &mut scan)?;
            }
            Ok((scan, quantiles.map(|quantiles| (name, quantiles))))
        };
        let aligned = for_scans(scans, |(_, file)| file.0, read)?;
        let (aligned, quantiles): (Vec<_>, Vec<_>) = aligned.into_iter().unzip();
        let preparation = unfitted.fit_named(quantiles.into_iter().flatten())?;
        let scans = aligned.into_par_iter().enumerate().map(|(index, mut scan)| {
            if let Some(files) = files {
                files.get_aligned(index, &mut scan)?;
            }
            scan.scale_to(files, index, &preparation)
        });
        Ok(Self { scans: scans.collect::<Result<_, Error>>()?, preparation })
    }
}

/// A scan's index, and its files.
type Listed<'a> = (usize, (&'a PathBuf, &'a SidecarPaths));

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
