//! [`ScanCheck`]: the findings of one scan, and the facts by which it is compared with the others.

use std::path::{Path, PathBuf};

use disyre_brain::Content;
use disyre_volume::{Image, ImageOptions, ScanHeader, ScanName, VolumeError};

use super::geometry::{Geometry, of_header};
use super::intensity::{VoxelFacts, of_image};
use super::masks::MaskOfScan;
use super::{CheckConfig, CheckFinding, CheckLevel, CheckTopic, CheckedFile, masks};
use crate::distinct_names::sorted_distinct;
use crate::{BrainFinder, Error, SkullPolicy};

/// Fix of a file that can't be read.
const REPLACE: &str = "replace the file, or take it out of the folder";

/// The findings of one scan.
#[derive(Debug)]
pub(super) struct ScanCheck {
    pub(super) path: PathBuf,
    pub(super) findings: Vec<CheckFinding>,
    /// `None` where the header can't be read.
    pub(super) geometry: Option<Geometry>,
    /// `None` where voxels can't be, or are not, read.
    pub(super) voxels: Option<VoxelFacts>,
}

impl ScanCheck {
    /// Checks a scan by itself.
    pub(super) fn read(
        path: &Path,
        mask: MaskOfScan<'_>,
        config: &CheckConfig,
        brains: &BrainFinder,
    ) -> Self {
        let empty =
            Self { path: path.to_owned(), findings: Vec::new(), geometry: None, voxels: None };
        let header = match ScanHeader::read(path) {
            Ok(header) => header,
            Err(error) => return empty.with(failure(path, &error)),
        };
        let mut check = Self {
            findings: of_header(&header),
            geometry: Some(Geometry::of(header.grid())),
            ..empty
        };
        let mask = match masks::of_header(mask, &header) {
            Ok(mask) => mask,
            Err(finding) => return check.with(finding),
        };
        if let Err(error) = header.ensure_one_volume() {
            return check.with(failure(path, &error));
        }
        if !config.headers_only {
            check.read_voxels(mask, config.skull, brains);
        }
        check
    }

    fn read_voxels(&mut self, mask: Option<&Path>, skull: SkullPolicy, brains: &BrainFinder) {
        let may_be_head = skull == SkullPolicy::Strip;
        let options = ImageOptions { mask, may_be_head, ..ImageOptions::default() };
        let image = match Image::read(&self.path, &options) {
            Ok(image) => image,
            Err(error) => {
                let finding = self.stripped_badly(&error).unwrap_or(failure(&self.path, &error));
                return self.findings.push(finding);
            }
        };
        self.findings.extend(of_image(&image));
        self.findings.extend(masks::of_image(&image));
        self.findings.extend(head(&image, skull, brains));
        self.voxels = Some(VoxelFacts::of(&image));
    }

    /// The finding of a background that is not 0, where the scan seems to be a head.
    fn stripped_badly(&self, error: &VolumeError) -> Option<CheckFinding> {
        let VolumeError::BackgroundNotZero { .. } = error else { return None };
        let options = ImageOptions { may_be_head: true, ..ImageOptions::default() };
        let image = Image::read(&self.path, &options).ok()?;
        Content::by_volume(&image.scan.volume).is_head().then(|| {
            let fix = "give --strip here and to train and detect, or a brain mask (--mask)";
            let problem = format!("{error}").split("; ").next().unwrap_or_default().to_owned();
            let problem = problem + ": it seems to hold a whole head";
            CheckFinding::fail(CheckTopic::Intensity, problem, fix)
        })
    }

    fn with(mut self, finding: CheckFinding) -> Self {
        self.findings.push(finding);
        self
    }

    /// The file with its findings, and a pass for each subject without any.
    pub(super) fn into_file(self, topics: &[CheckTopic]) -> CheckedFile {
        let Self { path, mut findings, .. } = self;
        // What can't be read was not checked for the rest.
        let unread = |finding: &CheckFinding| {
            finding.topic == CheckTopic::File && finding.level == CheckLevel::Fail
        };
        if !findings.iter().any(unread) {
            let topics = topics.iter().copied();
            let missing: Vec<CheckTopic> =
                topics.filter(|topic| findings.iter().all(|f| f.topic != *topic)).collect();
            findings.extend(missing.into_iter().map(CheckFinding::pass));
        }
        CheckedFile::new(&path, findings)
    }
}

/// The finding of an error of reading a scan.
fn failure(path: &Path, error: &VolumeError) -> CheckFinding {
    let topic = match error {
        VolumeError::Affine { .. } | VolumeError::VoxelSize { .. } => CheckTopic::Geometry,
        VolumeError::NotFinite { .. }
        | VolumeError::Constant { .. }
        | VolumeError::BackgroundNotZero { .. } => CheckTopic::Intensity,
        VolumeError::NotAMask { .. }
        | VolumeError::MaskShape { .. }
        | VolumeError::MaskAffine { .. } => CheckTopic::Mask,
        _ => CheckTopic::File,
    };
    let fix = match error {
        VolumeError::Read { .. } if path.is_dir() => "it is a folder: rename it, or move it away",
        VolumeError::Read { .. } if path.is_symlink() && !path.exists() => {
            "it is a link to nothing: fetch the data (`datalad get`), or remove the link"
        }
        _ => REPLACE,
    };
    CheckFinding::error(topic, error, fix)
}

/// The finding of a head, where the policy refuses it.
fn head(image: &Image, skull: SkullPolicy, brains: &BrainFinder) -> Option<CheckFinding> {
    if image.mask.is_some() || skull == SkullPolicy::Strip {
        return None;
    }
    let error = brains.brain_of(skull, &image.scan.volume).err()?;
    let fix = "give --strip here and to train and detect, or a brain mask (--mask)";
    Some(CheckFinding::error(CheckTopic::Intensity, &error, fix))
}

/// Checks scans by their headers and names, before any voxel is read; doubts are logged as warnings.
///
/// # Errors
/// [`Error::Scans`] naming all that can't be used; its own error where it is only one.
pub(crate) fn ensure_headers(paths: &[PathBuf]) -> Result<(), Error> {
    let mut failed = Vec::new();
    for path in paths {
        match ScanHeader::read(path).and_then(|header| {
            header.ensure_one_volume()?;
            Ok(header)
        }) {
            Ok(header) => {
                for warning in header.warnings() {
                    log::warn!("{}: {warning}", path.display());
                }
            }
            Err(error) => failed.push(error.into()),
        }
    }
    let names = paths.iter().map(|path| ScanName::of(path).to_string()).collect();
    failed.extend(sorted_distinct(names).err());
    Error::all_of(failed, paths.len())
}
