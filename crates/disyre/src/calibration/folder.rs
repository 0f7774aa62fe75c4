//! The folder of a calibration, beside the weights of its model: maps, settings and scans, each file checked by its hash.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use disyre_core::ndarray::Array3;
use disyre_core::{Grid, Volume};
use disyre_volume::{sha256_of_file, write_volume};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::map_layout::MapLayout;
use super::{
    CALIBRATION_FOLDER, Calibration, Channel, ChannelMaps, HealthyFolder, HealthyMaps, HealthyScan,
};
use crate::stored_files::StoredFiles;
use crate::write_files::{Staged, write_json};
use crate::{DetectConfig, Error, TemplateSpace, Thresholds};

/// Settings, scans, and the hashes of the other files; written last, so where it is, all is.
pub(crate) const CALIBRATION_FILE: &str = "calibration.json";
/// Number of healthy scans at each voxel of the template.
const COUNT_FILE: &str = "count.nii.gz";
/// Their mean, not smoothed.
const MEAN_FILE: &str = "mean.nii.gz";
const FOLDER: HealthyFolder = HealthyFolder::Calibration;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CalibrationRecord {
    generated_by: String,
    version: String,
    /// SHA-256 of the model's weights.
    weights_sha256: String,
    /// Settings of the restorations, `calibrated` those of the score.
    detect: DetectConfig,
    /// Windows in voxels.
    window: [usize; 3],
    channels: Vec<Channel>,
    /// Number of healthy scans that count.
    count: usize,
    /// SHA-256 of each other file.
    sha256: BTreeMap<String, String>,
    scans: Vec<HealthyScan>,
    /// Scans that were given but do not count, as their registration is doubtful.
    left_out: Vec<HealthyScan>,
    /// Names of scans that trained the network.
    trained: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    thresholds: Option<Thresholds>,
}

impl Calibration {
    /// Writes it into the folder `calibration` of a model's folder, in place of an earlier one: the same bytes for the
    /// same scans, model and settings.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Volume`] naming the file.
    pub fn save_in(&self, model: &Path) -> Result<(), Error> {
        self.save(&model.join(CALIBRATION_FOLDER))
    }

    /// Writes a folder that [`load`](Self::load) reads to the same bits: `calibration.json`, `count.nii.gz`, and mean and
    /// deviation of each channel; `mean.nii.gz` is that of the scans themselves. An earlier calibration stays as it was until
    /// all files are whole.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Volume`] naming the file.
    pub fn save(&self, folder: &Path) -> Result<(), Error> {
        fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        let mut staged = Staged::default();
        let grid = self.space().template().volume.grid;
        let mut sha256 = BTreeMap::new();
        let mut write = |file: String, map: Array3<f32>, grid: Grid| -> Result<(), Error> {
            let path = staged.at(&folder.join(&file))?;
            write_volume(&path, &Volume::new(map, grid)?)?;
            sha256.insert(file, sha256_of_file(&path)?);
            Ok(())
        };
        // Counts of scans are far below 2^24, where f32 is exact.
        write(COUNT_FILE.to_owned(), self.count.mapv(|count| count as f32), grid)?;
        write(MEAN_FILE.to_owned(), self.mean.clone(), grid)?;
        for maps in &self.maps {
            let [mean, deviation] = map_files(maps.channel);
            write(mean, maps.stored.mean.clone(), maps.layout.mean.grid(&grid))?;
            write(deviation, maps.stored.deviation.clone(), maps.layout.deviation.grid(&grid))?;
        }
        write_json(&staged.at(&folder.join(CALIBRATION_FILE))?, &self.record(sha256))?;
        staged.commit(&[])
    }

    fn record(&self, sha256: BTreeMap<String, String>) -> CalibrationRecord {
        CalibrationRecord {
            generated_by: FOLDER.program().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            weights_sha256: self.weights_sha256.clone(),
            detect: self.detect.clone(),
            window: self.window,
            channels: self.channels(),
            count: self.scans.len(),
            sha256,
            scans: self.scans.clone(),
            left_out: self.left_out.clone(),
            trained: self.trained.clone(),
            thresholds: self.thresholds.clone(),
        }
    }

    /// The calibration in a model's folder; `None`: it has none.
    ///
    /// # Errors
    /// Those of [`load`](Self::load), and [`Error::CalibrationOfOtherWeights`].
    pub(crate) fn find_in(
        model: &StoredFiles,
        weights_sha256: &str,
    ) -> Result<Option<Self>, Error> {
        let files = model.subfolder(CALIBRATION_FOLDER);
        if !files.has(CALIBRATION_FILE) {
            return Ok(None);
        }
        let found = Self::of_files(&files)?;
        found.ensure_of(weights_sha256, files.folder())?;
        Ok(Some(found))
    }

    /// The same calibration for weights that were rounded.
    pub(crate) fn with_weights(self, weights_sha256: &str) -> Self {
        Self { weights_sha256: weights_sha256.to_owned(), ..self }
    }

    /// Reads a folder that [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// [`Error::NotHealthyMaps`] naming a missing file, [`Error::DamagedMaps`] naming one that has changed,
    /// [`Error::MapsGrid`] for maps of another shape than the template's, [`Error::MapsContradiction`] for another affine
    /// and where maps and record do not fit each other, and those of reading.
    pub fn load(folder: &Path) -> Result<Self, Error> {
        Self::of_files(&StoredFiles::of_folder(folder))
    }

    fn of_files(files: &StoredFiles) -> Result<Self, Error> {
        let record = read_record(files)?;
        let config = record.detect.calibrated.clone().unwrap_or_default();
        let space = TemplateSpace::mni152()?;
        let grid = space.template().volume.grid;
        let read = |file: &str, grid: &Grid| {
            FOLDER.ensure_whole(files, file, record.sha256.get(file))?;
            FOLDER.read_map(files, file, grid)
        };
        let count = read(COUNT_FILE, &grid)?;
        let mean = read(MEAN_FILE, &grid)?;
        let maps = record.channels.iter().map(|&channel| {
            let scale_mm = config.channel(channel).scale_mm;
            let layout = MapLayout::of(channel, &config);
            let [mean_file, deviation_file] = map_files(channel);
            let mean = read(&mean_file, &layout.mean.grid(&grid))?;
            let deviation = read(&deviation_file, &layout.deviation.grid(&grid))?;
            let holds = deviation.iter().all(|&value| value >= 0.0);
            let (path, reason) = (files.path(&deviation_file), "a deviation is below 0");
            FOLDER.contradiction_unless(holds, &path, reason)?;
            let stored = HealthyMaps { mean, deviation };
            Ok(ChannelMaps::of_stored(channel, scale_mm, stored, layout, grid.shape))
        });
        let maps = maps.collect::<Result<_, Error>>()?;
        ensure_consistent(files.folder(), &record, &count)?;
        let count = count.mapv(|count| count as u32);
        let CalibrationRecord { detect, window, weights_sha256, scans, left_out, .. } = record;
        let (trained, thresholds) = (record.trained, record.thresholds);
        Ok(Self {
            space,
            detect,
            window,
            weights_sha256,
            scans,
            left_out,
            trained,
            count,
            mean,
            maps,
            thresholds,
        })
    }
}

fn read_record(files: &StoredFiles) -> Result<CalibrationRecord, Error> {
    if !files.has(CALIBRATION_FILE) {
        return Err(FOLDER.not_there(files.folder(), CALIBRATION_FILE));
    }
    let path = files.path(CALIBRATION_FILE);
    let text = files.read_text(CALIBRATION_FILE)?;
    let mut record: Value = serde_json::from_str(&text).map_err(Error::config(&path))?;
    let settings = record.pointer_mut("/detect/calibrated").and_then(Value::as_object_mut);
    if let Some(settings) = settings {
        // The thresholds of earlier versions are those of a score that is not smoothed.
        settings.entry("score_smoothing_mm").or_insert(Value::from(0.0));
    }
    let record: CalibrationRecord = serde_json::from_value(record).map_err(Error::config(&path))?;
    if let Some(config) = &record.detect.calibrated {
        config.check().map_err(Error::case(&path.display().to_string()))?;
    }
    if let Some(thresholds) = &record.thresholds {
        thresholds.check().map_err(Error::case(&path.display().to_string()))?;
    }
    Ok(record)
}

fn ensure_consistent(
    folder: &Path,
    record: &CalibrationRecord,
    count: &Array3<f32>,
) -> Result<(), Error> {
    let is_count = |n: &f32| n.fract() == 0.0 && (0.0..=record.count as f32).contains(n);
    let path = folder.join(CALIBRATION_FILE);
    let same = record.count == record.scans.len();
    FOLDER.contradiction_unless(same, &path, "`count` is not the number of its scans")?;
    let reason = "a voxel has more brains than there are scans";
    FOLDER.contradiction_unless(count.iter().all(is_count), &folder.join(COUNT_FILE), reason)
}

/// Files of mean and deviation.
fn map_files(channel: Channel) -> [String; 2] {
    ["mean", "deviation"].map(|map| format!("{}_{map}.nii.gz", channel.name()))
}
