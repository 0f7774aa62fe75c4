//! [`Masks`]: the brain masks of scans, and their findings.

use std::path::{Path, PathBuf};

use disyre_core::ndarray::Zip;
use disyre_volume::{Image, ScanHeader, SidecarFiles, SidecarKind, VolumeError, ensure_mask_fits};

use super::{CheckFinding, CheckTopic, CheckedFile};
use crate::Error;

/// Share of the volume that no brain fills.
const WHOLE: f64 = 0.9;

/// Share of the mask where a scan may be 0.
const MOST_EMPTY: f64 = 0.3;

/// The brain mask of a scan: none was asked for, one, or an error.
pub(super) type MaskOfScan<'a> = Result<Option<&'a Path>, &'a VolumeError>;

/// The brain masks of some scans.
#[derive(Debug)]
pub(super) struct Masks {
    /// One for each scan; empty without masks.
    of_scans: Vec<Result<PathBuf, VolumeError>>,
    unused: Vec<PathBuf>,
}

impl Masks {
    /// Finds the masks of scans in a folder; a file is the mask of all.
    pub(super) fn list(masks: Option<&Path>, scans: &[PathBuf]) -> Result<Self, Error> {
        let Some(path) = masks else {
            return Ok(Self { of_scans: Vec::new(), unused: Vec::new() });
        };
        if !path.is_dir() {
            let of_scans = scans.iter().map(|_| Ok(path.to_owned())).collect();
            return Ok(Self { of_scans, unused: Vec::new() });
        }
        let files = SidecarFiles::list(path, SidecarKind::BrainMask)?;
        let assigned = files.assign(scans);
        // Scans may lie beside their masks.
        let unused = assigned.unused.into_iter().map(Path::to_owned);
        let unused = unused.filter(|file| !scans.contains(file)).collect();
        let of_scans = assigned.files.into_iter().map(|file| file.map(Path::to_owned)).collect();
        Ok(Self { of_scans, unused })
    }

    /// The mask of a scan, by its position.
    pub(super) fn of_scan(&self, index: usize) -> MaskOfScan<'_> {
        self.of_scans.get(index).map(|mask| mask.as_deref()).transpose()
    }

    /// Findings of masks that belong to no scan.
    pub(super) fn unused(&self) -> Vec<CheckedFile> {
        let finding = || {
            let problem = "it is in the folder of masks, and belongs to no scan";
            CheckFinding::warn(CheckTopic::Mask, problem, "name it after its scan, or take it out")
        };
        self.unused.iter().map(|path| CheckedFile::new(path, vec![finding()])).collect()
    }
}

/// The mask of a scan, compared with it by headers; the finding where it can't be used.
pub(super) fn of_header<'a>(
    mask: MaskOfScan<'a>,
    scan: &ScanHeader,
) -> Result<Option<&'a Path>, CheckFinding> {
    let fix = "make a mask of this scan (`disyre brain`), or replace it";
    let failure = |error: &VolumeError| CheckFinding::error(CheckTopic::Mask, error, fix);
    let Some(path) = mask.map_err(failure)? else { return Ok(None) };
    let fits = ScanHeader::read(path).and_then(|mask| ensure_mask_fits(&mask, scan));
    fits.map(|()| Some(path)).map_err(|error| failure(&error))
}

/// Findings of a mask against the voxels of its scan.
pub(super) fn of_image(image: &Image) -> Option<CheckFinding> {
    let mask = image.mask.as_ref()?;
    let (mut inside, mut empty) = (0usize, 0usize);
    Zip::from(mask).and(&image.scan.volume.data).for_each(|&mask, &value| {
        inside += usize::from(mask != 0);
        empty += usize::from(mask != 0 && value == 0.0);
    });
    let share = inside as f64 / mask.len() as f64;
    let (problem, fix) = if inside == 0 {
        let problem = "its brain mask is empty".to_owned();
        return Some(CheckFinding::fail(
            CheckTopic::Mask,
            problem,
            "make it anew (`disyre brain`)",
        ));
    } else if share > WHOLE {
        let problem = format!("its brain mask fills {:.0} % of the volume", 100.0 * share);
        (problem, "look whether it marks the brain, and not the whole image")
    } else if empty as f64 > MOST_EMPTY * inside as f64 {
        let percent = 100.0 * empty as f64 / inside as f64;
        let problem = format!("the scan is 0 in {percent:.0} % of its brain mask");
        (problem, "look whether the mask is that of another scan")
    } else {
        return None;
    };
    Some(CheckFinding::warn(CheckTopic::Mask, problem, fix))
}
