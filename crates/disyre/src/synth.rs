//! Samples: prepared scans with one synthetic anomaly each, for other methods and for a look at a family.

use std::path::PathBuf;
use std::sync::Arc;

use disyre_core::ndarray::{Array3, Axis, Zip};
use disyre_core::{Key, Severity, TissueModel, Volume};
use disyre_dag::{Anomalies, AnomalyConfig, Scene, config::PartConfig};
use disyre_tissue::LabelMap;
use rayon::prelude::*;

use crate::anomaly_sources::sources_with;
use crate::distinct_names::sorted_distinct;
use crate::segmentation::label_map;
use crate::source_scan::ScanHashes;
use crate::{
    Error, HashedFile, HashedFolder, PreparedScans, Recipe, RunConfig, ScanStore, SidecarPaths,
    SourceScan, Subject, Tissues,
};

/// Corrupts prepared scans, one anomaly each: training data for other methods, and a look at what a family does.
///
/// The anomaly is as deep as it is wide where the scan has slices enough; a 2D image gets a 2D anomaly.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let phantoms = disyre::phantom::PhantomConfig { shape: [4, 32, 32], ..Default::default() };
/// # for index in 0..2u64 {
/// #     let path = folder.path().join(format!("phantom-{index}.nii"));
/// #     disyre::volume::write_volume(&path, &phantoms.healthy(disyre::core::Key::new(index)).volume)?;
/// # }
/// # let healthy = folder.path();
/// use disyre::core::Key;
/// use disyre::{Family, PreparedScans, RunConfig, Synthesiser, volume::find_scans};
///
/// let mut config = RunConfig::cpu_2mm();
/// config.family = Family::Fpi; // it needs no tissues
/// let scans = PreparedScans::read(&find_scans(healthy)?, &config)?;
/// let sample = Synthesiser::new(scans, &config, None, Key::new(1))?.sample(0)?;
/// let again = sample.recipe.replay(healthy)?;
/// assert_eq!(again.corrupted.data, sample.corrupted.data);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Synthesiser {
    scans: Arc<ScanStore>,
    files: Vec<ScanHashes>,
    anomalies: Vec<ScanAnomalies>,
    config: RunConfig,
    tissues: Option<Tissues>,
    shape_masks: Option<HashedFolder>,
    key: Key,
}

/// The anomalies of one scan: in a window that fits.
#[derive(Debug)]
struct ScanAnomalies {
    config: AnomalyConfig,
    anomalies: Anomalies,
}

/// One corrupted scan on its prepared grid.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The scan before the corruption, in `[0, 1]`.
    pub clean: Volume,
    /// The scan with its anomaly, in `[0, 1]`.
    pub corrupted: Volume,
    /// Soft mask m of the anomaly, in `[0, 1]`.
    pub mask: Array3<f32>,
    /// 1 where the mask is at least half its greatest value, which may lie below 1; 0 elsewhere.
    pub binary: Array3<u8>,
    /// Severity of each voxel, in `[0, 1]`; 0 where nothing changed.
    ///
    /// Families that blend a texture in linearly (dag, dag-no-tissue, texture-only, fpi, cut-paste, cut-paste-scar,
    /// noise-texture): m times the severity of the sample, how far the blend went there. All others: how much the voxel
    /// changed, so that the greatest value is the severity of the sample.
    pub severity_map: Array3<f32>,
    /// Recipe that makes the sample again.
    pub recipe: Recipe,
}

impl Synthesiser {
    /// Takes the scans to corrupt; they are also where foreign textures come from.
    ///
    /// # Errors
    /// [`Error::CohortTooSmall`] without scans, [`Error::SameName`] for a name that comes twice, errors of reading the
    /// shape masks if a folder of them is set, [`Error::Unsegmented`] for a scan without segmentation where those tell
    /// tissues, and the DAG crate's errors.
    pub fn new(
        scans: PreparedScans,
        config: &RunConfig,
        tissues: Option<Tissues>,
        key: Key,
    ) -> Result<Self, Error> {
        Self::of_store(scans.into(), config, tissues, key)
    }

    /// The same with scans whose voxels are in files: memory does not grow with their number.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn of_store(
        store: ScanStore,
        config: &RunConfig,
        tissues: Option<Tissues>,
        key: Key,
    ) -> Result<Self, Error> {
        let store = Arc::new(store);
        let scans = store.scans();
        if scans.is_empty() {
            return Err(Error::CohortTooSmall { got: 0, needed: 1 });
        }
        sorted_distinct(scans.iter().map(|scan| scan.name.clone()).collect())?;
        let folder = config.pairs.shape_masks.as_deref();
        let sources = sources_with(store.textures()?, folder, tissues.as_ref())?;
        let anomalies = |scan: &SourceScan| {
            let unsegmented = matches!(tissues, Some(Tissues::LabelMaps { .. }));
            if unsegmented && scan.segmentation.is_none() {
                return Err(Error::Unsegmented { name: scan.name.clone() });
            }
            let window = window_in(scan.prepared.volume.grid.shape, config.dag.window);
            let anomaly = config.anomaly(window, tissues.as_ref());
            let anomalies = anomaly.clone().build(&sources)?;
            Ok(ScanAnomalies { config: anomaly, anomalies })
        };
        let anomalies = scans.iter().map(anomalies).collect::<Result<_, Error>>()?;
        let shape_masks = folder.map(HashedFolder::of).transpose()?;
        let files = scans.par_iter().map(hashes).collect::<Result<_, _>>()?;
        let config = config.clone();
        Ok(Self { scans: store, files, anomalies, config, tissues, shape_masks, key })
    }

    /// Makes one sample: sample `index` corrupts scan `index` modulo the number of scans.
    ///
    /// # Errors
    /// [`Error::Case`] naming the scan.
    pub fn sample(&self, index: u64) -> Result<Sample, Error> {
        let which = (index % self.files.len() as u64) as usize;
        let (scan, of_scan) = (self.scans.load(which)?, &self.anomalies[which]);
        let files = &self.files[which];
        let key = self.key.child(index);
        // Where no texture comes from other scans, they do not matter.
        let sources = match of_scan.config.takes_textures() {
            true => &self.files[..],
            false => &self.files[which..=which],
        };
        let tissues = match &self.tissues {
            Some(Tissues::LabelMaps { codes }) => Some(label_map(&Subject::from(&scan), codes)?),
            _ => None,
        };
        let segmentation = tissues.as_ref().and(files.segmentation.as_ref());
        let preparation = self.scans.preparation();
        let recipe = Recipe {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            family: self.config.family,
            source: scan.name.clone(),
            index,
            key,
            severity: Severity::CLEAN,
            parts: Vec::new(),
            origin: [0; 3],
            drawn: of_scan.anomalies.draw(key),
            anomaly: of_scan.config.clone(),
            prepare: preparation.config().clone(),
            reference: preparation.reference().cloned(),
            tissues: self.tissues.clone(),
            segmentation: only(self.config.tissue.segmentations.as_ref(), segmentation),
            places: only(self.config.pairs.places.as_ref(), files.locations.as_ref()),
            shape_masks: self.shape_masks.clone(),
            sources: sources.iter().map(|files| files.scan.clone()).collect(),
        };
        corrupt(&scan, &of_scan.anomalies, tissues.as_ref(), recipe)
    }
}

/// Hashes of a scan's files: those of when it was read.
fn hashes(scan: &SourceScan) -> Result<ScanHashes, Error> {
    let segmentation = scan.segmentation.as_ref().map(|segmentation| segmentation.path.clone());
    let locations = scan.locations.as_ref().map(|map| map.path.clone());
    let now = || ScanHashes::of(&scan.path, &SidecarPaths { segmentation, locations });
    scan.hashes.clone().map_or_else(now, Ok)
}

/// One file of a folder, for a recipe.
fn only(folder: Option<&PathBuf>, source: Option<&HashedFile>) -> Option<HashedFolder> {
    let (folder, source) = folder.zip(source)?;
    Some(HashedFolder { folder: folder.clone(), sources: vec![source.clone()] })
}

/// Applies the drawn anomaly of a recipe to a scan, and records in the recipe what it realised.
pub(crate) fn corrupt(
    scan: &SourceScan,
    anomalies: &Anomalies,
    tissues: Option<&LabelMap>,
    recipe: Recipe,
) -> Result<Sample, Error> {
    let volume = &scan.prepared.volume;
    let clean = volume.data.view().insert_axis(Axis(0));
    let mut corrupted = clean.to_owned();
    let places = scan.locations.as_ref().map(|map| map.weights.view());
    let tissues = tissues.map(|map| map as &dyn TissueModel);
    let scene = Scene { clean, places, tissues };
    let realised = anomalies
        .apply(&recipe.drawn, scene, corrupted.view_mut())
        .map_err(|error| Error::case(&recipe.source)(error.into()))?;
    let corrupted = Volume { data: corrupted.index_axis_move(Axis(0), 0), grid: volume.grid };
    let mask = realised.mask.to_image(volume.grid.shape)?;
    let half = 0.5 * mask.fold(0f32, |greatest, &m| greatest.max(m));
    let blends = recipe.anomaly.parts.iter().any(|part| matches!(part, PartConfig::Texture(_)));
    let severity_map = Zip::from(&mask).and(&corrupted.data).and(&volume.data).map_collect(
        |&m, &after, &before| match blends && after != before {
            true => m * realised.severity.get(),
            false => (after - before).abs(),
        },
    );
    Ok(Sample {
        clean: volume.clone(),
        corrupted,
        binary: mask.mapv(|m| u8::from(m > 0.0 && m >= half)),
        mask,
        severity_map,
        recipe: Recipe {
            severity: realised.severity,
            parts: realised.parts,
            origin: realised.mask.origin,
            ..recipe
        },
    })
}

/// A window as deep as it is wide, no larger than the scan.
pub(crate) fn window_in(shape: [usize; 3], [_, height, width]: [usize; 3]) -> [usize; 3] {
    let wanted = if shape[0] == 1 { [1, height, width] } else { [width, height, width] };
    [0, 1, 2].map(|axis| wanted[axis].min(shape[axis]))
}
