//! The folder of an atlas: its maps, settings, preparation and scans, each checked by its hash when it is read again.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use disyre_core::Volume;
use disyre_core::ndarray::Array3;
use disyre_volume::{Grid, sha256_of_file, write_volume};
use serde::{Deserialize, Serialize};

use super::{Atlas, AtlasConfig, AtlasDetector};
use crate::calibration::{HealthyFolder, HealthyMaps, HealthyScan};
use crate::stored_files::StoredFiles;
use crate::write_files::{Staged, write_json};
use crate::{Error, Preparation, TemplateSpace};

/// Settings, scans, and the hashes of the other files; written last, so where it is, all is.
const RECORD_FILE: &str = "atlas.json";
const PREPARATION_FILE: &str = "preparation.json";
const FOLDER: HealthyFolder = HealthyFolder::Atlas;
/// Mean, deviation and count on the grid of the template.
const MAP_FILES: [&str; 3] = ["mean.nii.gz", "deviation.nii.gz", "count.nii.gz"];

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AtlasRecord {
    generated_by: String,
    version: String,
    settings: AtlasConfig,
    /// Number of healthy scans that count.
    count: usize,
    /// SHA-256 of each other file.
    sha256: BTreeMap<String, String>,
    scans: Vec<HealthyScan>,
    /// Scans that were given but do not count, as their registration is doubtful.
    #[serde(default)]
    left_out: Vec<HealthyScan>,
}

impl AtlasDetector {
    /// Writes a folder that [`load`](Self::load) reads to the same bits: `atlas.json`, `preparation.json`, and the maps
    /// `mean.nii.gz`, `deviation.nii.gz` and `count.nii.gz` on the grid of the template.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Volume`] naming the file.
    pub fn save(&self, folder: &Path) -> Result<(), Error> {
        fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        let mut staged = Staged::default();
        let mut sha256 = BTreeMap::new();
        let mut write = |file: &str, write: &dyn Fn(&Path) -> Result<(), Error>| {
            let path = staged.at(&folder.join(file))?;
            write(&path)?;
            sha256.insert(file.to_owned(), sha256_of_file(&path)?);
            Ok::<(), Error>(())
        };
        write(PREPARATION_FILE, &|path| self.preparation.save(path))?;
        let grid = self.space.template().volume.grid;
        for (file, map) in MAP_FILES.into_iter().zip(self.atlas.map_volumes(grid)?) {
            write(file, &|path| Ok(write_volume(path, &map)?))?;
        }
        let contents = AtlasRecord {
            generated_by: "disyre atlas".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            settings: self.atlas.config,
            count: self.atlas.scans,
            sha256,
            scans: self.scans.clone(),
            left_out: self.left_out.clone(),
        };
        write_json(&staged.at(&folder.join(RECORD_FILE))?, &contents)?;
        staged.commit(&[])
    }

    /// Reads a folder that [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// [`Error::NotHealthyMaps`] naming a missing file, [`Error::DamagedMaps`] naming one that has changed,
    /// [`Error::MapsGrid`] for maps of another shape than the template's, [`Error::MapsContradiction`] for another affine
    /// and where maps and record do not fit each other, and those of reading.
    pub fn load(folder: &Path) -> Result<Self, Error> {
        let record = read_record(folder)?;
        let files = StoredFiles::of_folder(folder);
        for file in MAP_FILES.into_iter().chain([PREPARATION_FILE]) {
            FOLDER.ensure_whole(&files, file, record.sha256.get(file))?;
        }
        let space = TemplateSpace::mni152()?;
        let grid = space.template().volume.grid;
        let [mean, deviation, count] = MAP_FILES.map(|file| FOLDER.read_map(&files, file, &grid));
        let (mean, deviation, count) = (mean?, deviation?, count?);
        ensure_consistent(folder, &record, &deviation, &count)?;
        let count = count.mapv(|count| count as u32);
        let (config, scans) = (record.settings, record.count);
        let atlas = Atlas { config, scans, maps: HealthyMaps { mean, deviation }, count };
        let preparation = Preparation::load(&folder.join(PREPARATION_FILE))?;
        let AtlasRecord { scans, left_out, .. } = record;
        Ok(Self { space, preparation, atlas, scans, left_out })
    }
}

impl Atlas {
    /// Mean, deviation and count, as [`MAP_FILES`] has them.
    fn map_volumes(&self, grid: Grid) -> Result<[Volume; 3], Error> {
        // Counts of scans are far below 2^24, where f32 is exact.
        let count = self.count.mapv(|count| count as f32);
        let volume = |map: &Array3<f32>| Volume::new(map.clone(), grid);
        Ok([volume(&self.maps.mean)?, volume(&self.maps.deviation)?, volume(&count)?])
    }
}

fn read_record(folder: &Path) -> Result<AtlasRecord, Error> {
    let path = folder.join(RECORD_FILE);
    if !path.is_file() {
        return Err(FOLDER.not_there(folder, RECORD_FILE));
    }
    let text = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
    let record: AtlasRecord = serde_json::from_str(&text).map_err(Error::config(&path))?;
    let checked = record.settings.check();
    checked.map_err(Error::case(&path.display().to_string()))?;
    Ok(record)
}

fn ensure_consistent(
    folder: &Path,
    record: &AtlasRecord,
    deviation: &Array3<f32>,
    count: &Array3<f32>,
) -> Result<(), Error> {
    let [_, deviation_file, count_file] = MAP_FILES.map(|file| folder.join(file));
    let is_count = |n: &f32| n.fract() == 0.0 && (0.0..=record.count as f32).contains(n);
    let rules = [
        (
            record.count == record.scans.len(),
            folder.join(RECORD_FILE),
            "`count` is not the number of its scans",
        ),
        (count.iter().all(is_count), count_file, "a voxel has more brains than there are scans"),
        (deviation.iter().all(|&value| value > 0.0), deviation_file, "a deviation is not above 0"),
    ];
    rules
        .into_iter()
        .try_for_each(|(holds, path, reason)| FOLDER.contradiction_unless(holds, &path, reason))
}
