//! [`ScanStore`]: prepared scans in temporary files; one is in memory while it is needed. Samples are made of them.

use std::path::PathBuf;
use std::sync::Arc;

use disyre_core::Key;
use disyre_core::ndarray::{Array3, Axis};
use disyre_dag::textures::LazyBank;
use disyre_tissue::{label_codes, sample_foreground};
use rayon::prelude::*;

use crate::scan_files::ScanFiles;
use crate::segmentation::codes_in;
use crate::tissues::fit_to_samples;
use crate::{
    Error, Preparation, PreparedScans, RunConfig, SourceScan, Subject, TissueKind, Tissues,
};

/// Prepared scans, of any number: their voxels are in temporary files, and those of a scan are read when they are needed.
///
/// The files are in the system's folder of temporary files (`TMPDIR`), 4 bytes a voxel of the working grid and as much again
/// for a segmentation and for a location map; they are removed with this value.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let phantoms = disyre::phantom::PhantomConfig { shape: [4, 32, 32], ..Default::default() };
/// # for index in 0..2u64 {
/// #     let path = folder.path().join(format!("phantom-{index}.nii"));
/// #     disyre::volume::write_volume(&path, &phantoms.healthy(disyre::core::Key::new(index)).volume)?;
/// # }
/// # let healthy = folder.path();
/// use disyre::{PreparedScans, RunConfig, ScanStore, Synthesiser, core::Key, volume::find_scans};
///
/// let (config, key) = (RunConfig::cpu_2mm(), Key::new(1));
/// let scans = ScanStore::read(&find_scans(healthy)?, &config)?;
/// assert_eq!(scans.names(), ["phantom-0", "phantom-1"]);
/// let tissues = scans.tissues(&config, key)?;
/// let sample = Synthesiser::of_store(scans, &config, tissues.clone(), key)?.sample(1)?;
/// // The same as with all scans in memory.
/// let scans = PreparedScans::read(&find_scans(healthy)?, &config)?;
/// let same = Synthesiser::new(scans, &config, tissues, key)?.sample(1)?;
/// assert_eq!(sample.corrupted.data, same.corrupted.data);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ScanStore {
    /// Without voxels where these are in files.
    scans: Vec<SourceScan>,
    preparation: Preparation,
    /// `None`: all is in memory.
    files: Option<ScanFiles>,
}

impl ScanStore {
    /// Reads, hashes and prepares scans as [`PreparedScans::read`] does, and keeps none of them in memory, also while a
    /// scaling is fitted to them.
    ///
    /// # Errors
    /// Those of [`PreparedScans::read`]; [`Error::Io`] and [`Error::Volume`] for temporary files that cannot be written.
    pub fn read(paths: &[PathBuf], config: &RunConfig) -> Result<Self, Error> {
        let files = ScanFiles::new()?;
        let PreparedScans { scans, preparation } = PreparedScans::read_to(&files, paths, config)?;
        Ok(Self { scans, preparation, files: Some(files) })
    }

    /// Names of the scans, in order.
    pub fn names(&self) -> Vec<&str> {
        self.scans.iter().map(|scan| scan.name.as_str()).collect()
    }

    /// The tissues of a run that these scans train: as [`Tissues::of`].
    ///
    /// # Errors
    /// As [`Tissues::of`], and those of [`ScanStore::read`]'s files.
    pub fn tissues(&self, config: &RunConfig, key: Key) -> Result<Option<Tissues>, Error> {
        if !config.anomaly(config.dag.window, None).takes_tissues() {
            return Ok(None);
        }
        Ok(Some(match config.tissue.model {
            TissueKind::LabelMaps => Tissues::LabelMaps { codes: self.codes()? },
            _ => {
                config.tissue.ensure_fitted()?;
                let (voxels, of_scan) = (config.tissue.voxels_per_scan, key.child("sample"));
                let samples = self.each(|index, scan| {
                    let image = scan.prepared.volume.data.view().insert_axis(Axis(0));
                    Ok(sample_foreground(image, voxels, of_scan.child(index as u64))?)
                })?;
                Tissues::Fitted(fit_to_samples(samples, &config.tissue, key)?)
            }
        }))
    }

    /// All codes of the segmentations, ascending.
    fn codes(&self) -> Result<Vec<i32>, Error> {
        let codes = self.each(|_, scan| {
            let codes = label_codes([codes_in(&Subject::from(scan))?.view()])?;
            Ok(Array3::from_shape_fn((1, 1, codes.len()), |(_, _, index)| codes[index]))
        })?;
        Ok(label_codes(codes.iter().map(|codes| codes.view()))?)
    }

    /// Does some work for every scan, one in memory for each thread; the results are in order.
    fn each<T: Send>(
        &self,
        work: impl Fn(usize, SourceScan) -> Result<T, Error> + Sync,
    ) -> Result<Vec<T>, Error> {
        let scans = (0..self.scans.len()).into_par_iter();
        scans.map(|index| work(index, self.load(index)?)).collect()
    }

    pub(crate) fn preparation(&self) -> &Preparation {
        &self.preparation
    }

    /// The scans, perhaps without voxels.
    pub(crate) fn scans(&self) -> &[SourceScan] {
        &self.scans
    }

    /// A scan with its voxels.
    ///
    /// # Errors
    /// [`Error::Volume`] for a temporary file that cannot be read.
    pub(crate) fn load(&self, index: usize) -> Result<SourceScan, Error> {
        let mut scan = self.scans[index].clone();
        if let Some(files) = &self.files {
            files.get(index, &mut scan)?;
        }
        Ok(scan)
    }

    /// Textures of these scans.
    ///
    /// # Errors
    /// [`Error::Dag`] without scans.
    pub(crate) fn textures(self: &Arc<Self>) -> Result<LazyBank, Error> {
        let store = Arc::clone(self);
        let open = move |index: usize| Ok::<_, Error>(Subject::from(store.load(index)?).image);
        Ok(LazyBank::new(self.scans.len(), open)?)
    }
}

/// In memory.
impl From<PreparedScans> for ScanStore {
    fn from(PreparedScans { scans, preparation }: PreparedScans) -> Self {
        Self { scans, preparation, files: None }
    }
}
