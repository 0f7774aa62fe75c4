//! One case after another: its label, and its map by every method, on one grid.

use std::path::{Path, PathBuf};

use disyre::core::ndarray::{Array3, ArrayView3};
use disyre::core::{Grid, TemporaryFolder, Volume, sweep};
use disyre::volume::{Image, ImageOptions, Scan, ScanHeader, affine, write_volume};
use disyre::{AtlasDetector, CaseTruth, intensity_maps, read_scores};

use super::methods::{Method, Source};
use crate::error::CliError;
use crate::map_pairs::MapPair;

/// A case to measure.
#[derive(Debug)]
pub(super) struct CaseFiles {
    /// Place among the files of [`Source::Files`].
    pub(super) index: usize,
    pub(super) name: String,
    pub(super) pair: MapPair,
}

/// Reads cases; maps of the atlas are made once and kept in temporary files, as every case is read twice.
pub(super) struct CaseReader {
    atlas_maps: TemporaryFolder,
    /// Cases whose registration to the atlas is doubtful.
    pub(super) doubtful: Vec<String>,
}

impl CaseReader {
    pub(super) fn new() -> Result<Self, CliError> {
        let folder = std::env::temp_dir();
        sweep(&folder);
        let atlas_maps =
            TemporaryFolder::new_in(&folder).map_err(CliError::file("create", &folder))?;
        Ok(Self { atlas_maps, doubtful: Vec::new() })
    }

    /// A case, and its maps by these methods, all of which have some.
    ///
    /// # Errors
    /// Those of reading, [`CliError::OtherGrid`], and those of the atlas.
    pub(super) fn read(
        &mut self,
        methods: &[&Method],
        case: &CaseFiles,
    ) -> Result<(CaseTruth, Vec<Array3<f32>>), CliError> {
        let pair = &case.pair;
        let (truth, map) =
            CaseTruth::read(&case.name, &pair.score, &pair.label, pair.mask.as_deref())?;
        let grid = map.volume.grid;
        let uses_scan =
            |method: &&Method| !matches!(method.source, Source::Scores | Source::Files(_));
        let scan = pair.scan.as_deref().filter(|_| methods.iter().any(uses_scan));
        let scan = scan.map(|path| read_scan(path, pair, &grid)).transpose()?;
        let intensities = scan.as_ref().map(|scan| intensity_maps(&truth, scan)).transpose()?;
        let [mut bright, mut dark] = intensities.map_or([None, None], |maps| maps.map(Some));
        let mut score = Some(map.volume.data);
        let mut maps = Vec::with_capacity(methods.len());
        for method in methods {
            maps.extend(match &method.source {
                Source::Scores => score.take(),
                Source::Files(files) => Some(
                    read_like(&files[case.index], &pair.score, &grid, truth.brain.as_ref())?.data,
                ),
                Source::Brightness => bright.take(),
                Source::Darkness => dark.take(),
                Source::Atlas(atlas) => match (atlas, &scan) {
                    (Some(atlas), Some(scan)) => {
                        Some(self.atlas_map(case.index, atlas, &truth, scan)?)
                    }
                    _ => None,
                },
            });
        }
        Ok((truth, maps))
    }

    fn atlas_map(
        &mut self,
        index: usize,
        atlas: &AtlasDetector,
        truth: &CaseTruth,
        scan: &Volume,
    ) -> Result<Array3<f32>, CliError> {
        let path: PathBuf = self.atlas_maps.path().join(format!("{index}.nii"));
        if path.is_file() {
            return Ok(Scan::read(&path)?.volume.data);
        }
        let brain: Option<ArrayView3<'_, u8>> = truth.brain.as_ref().map(|brain| brain.view());
        let found =
            atlas.detect(scan, brain).map_err(|source| super::in_case(&truth.name, source))?;
        if !found.registration.verdict.is_good() {
            let (name, verdict) = (&truth.name, &found.registration.verdict);
            note!("warning: {name}: the registration to the atlas is {verdict}");
            self.doubtful.push(name.clone());
        }
        let map = Volume { data: found.absolute, grid: scan.grid };
        write_volume(&path, &map)?;
        Ok(map.data)
    }
}

/// Reads the scan of a case, which must lie on the grid of its map. Without a brain mask its background is exactly 0.
fn read_scan(path: &Path, pair: &MapPair, grid: &Grid) -> Result<Volume, CliError> {
    let options = ImageOptions { mask: pair.mask.as_deref(), ..ImageOptions::default() };
    on_grid(path, Image::read(path, &options)?.scan.volume, &pair.score, grid)
}

/// Reads a map that must lie on the grid of another.
fn read_like(
    path: &Path,
    map: &Path,
    grid: &Grid,
    brain: Option<&Array3<u8>>,
) -> Result<Volume, CliError> {
    let brain =
        brain.filter(|brain| ScanHeader::read(path).is_ok_and(|h| h.grid().shape == brain.shape()));
    on_grid(path, read_scores(path, brain)?.volume, map, grid)
}

fn on_grid(path: &Path, volume: Volume, map: &Path, grid: &Grid) -> Result<Volume, CliError> {
    match difference(grid, &volume.grid) {
        None => Ok(volume),
        Some(difference) => {
            Err(CliError::OtherGrid { file: path.to_owned(), like: map.to_owned(), difference })
        }
    }
}

/// Distance of voxels that is still the same grid, as of masks.
const TOLERANCE_VOXELS: f64 = 0.05;

fn difference(expected: &Grid, got: &Grid) -> Option<String> {
    if expected.shape != got.shape {
        return Some(format!("shape {:?} and not {:?} (z, y, x)", got.shape, expected.shape));
    }
    let corners = (0..8_usize).map(|corner| {
        let end =
            |axis: usize| if corner >> axis & 1 == 1 { got.shape[axis] as f64 - 1.0 } else { 0.0 };
        let voxel = [end(2), end(1), end(0)];
        let [a, b] = [expected, got].map(|grid| affine::transform(&grid.affine, voxel));
        (0..3).map(|axis| (a[axis] - b[axis]).powi(2)).sum::<f64>().sqrt()
    });
    let distance_mm = corners.fold(0.0, f64::max);
    let side = expected.spacing_mm().into_iter().fold(f64::INFINITY, f64::min);
    (distance_mm > TOLERANCE_VOXELS * side)
        .then(|| format!("affine, up to {distance_mm:.3} mm away"))
}
