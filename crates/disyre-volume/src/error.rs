//! Errors of reading, writing and transforming volumes, and of finding their files.
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use disyre_core::{Affine, ShapeError};
use serde::Serialize;

use crate::nifti_file::header_affine::PLAUSIBLE_MM;
use crate::{Background, LengthUnit, MemoryExcess, MemoryLeft, ScanContent, SidecarKind};

/// Errors of reading, writing and transforming volumes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VolumeError {
    /// The file or folder could not be opened or read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The file could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The file is no single-file NIfTI.
    #[error("{} is not a .nii or .nii.gz file: {reason}", path.display())]
    NotNifti {
        /// The file.
        path: PathBuf,
        /// The evidence.
        reason: &'static str,
    },
    /// The `dim` field makes no sense.
    #[error(
        "{} has dim {dim:?}; expected dim[0] of 1 to 7 and as many sizes of at least 1; the header is damaged",
        path.display()
    )]
    Dimensions {
        /// The file.
        path: PathBuf,
        /// The field.
        dim: Box<[i64; 8]>,
    },
    /// Voxels of this type are not read.
    #[error(
        "{} holds voxels of type {name} (code {code}); convert them to float32 or an integer type of at most 64 bits",
        path.display()
    )]
    Datatype {
        /// The file.
        path: PathBuf,
        /// NIfTI's code.
        code: i16,
        /// NIfTI's name of it.
        name: &'static str,
    },
    /// The position of the first voxel makes no sense.
    #[error("{} says that its voxels start at byte {offset}, expected {least} to {most}", path.display())]
    Offset {
        /// The file.
        path: PathBuf,
        /// Its value.
        offset: f64,
        /// The end of the header.
        least: u64,
        /// The longest header that is read.
        most: u64,
    },
    /// The file ends before its last voxel.
    #[error(
        "{} is cut short: its header announces {expected} bytes, it holds {relation}{held}; fetch it again",
        path.display()
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes of header and voxels, uncompressed.
        expected: u128,
        /// "" or "at most ".
        relation: &'static str,
        /// Bytes there are.
        held: u64,
    },
    /// The compressed stream is not what was written.
    #[error("{} is damaged: its gzip stream cannot be decompressed; fetch it again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The volume does not fit into memory.
    #[error("{} announces {voxels} voxels: reading them takes {excess}; free some or raise the bound", path.display())]
    Memory {
        /// The file.
        path: PathBuf,
        /// Voxels of one volume.
        voxels: usize,
        /// The forecast and what is left.
        excess: MemoryExcess,
    },
    /// Intensity scaling of the header that cannot be applied.
    #[error("{} has scl_slope {slope} with scl_inter {inter}; set scl_inter to a finite value", path.display())]
    Scaling {
        /// The file.
        path: PathBuf,
        /// The factor.
        slope: f64,
        /// The offset.
        inter: f64,
    },
    /// An affine of the header that is not usable.
    #[error("the {form} of {} {problem}; correct the header", path.display())]
    Affine {
        /// The file.
        path: PathBuf,
        /// The field.
        form: AffineSource,
        /// The fault.
        problem: &'static str,
    },
    /// Voxels that no scan of a head has.
    #[error(
        "{} has voxels of {} mm (x, y, z), expected sides of {} to {} mm: its header says {}, in {unit}; correct \
         xyzt_units, or pixdim and the affine",
        path.display(), sides(sides_mm), PLAUSIBLE_MM.start(), PLAUSIBLE_MM.end(), sides(stored)
    )]
    VoxelSize {
        /// The file.
        path: PathBuf,
        /// Sides in millimetres, x first.
        sides_mm: [f64; 3],
        /// The same numbers as the header has them.
        stored: [f64; 3],
        /// The header's unit.
        unit: LengthUnit,
    },
    /// A series where one volume is needed.
    #[error(
        "{} holds {count} volumes, expected one; extract one of them (of a scan, `disyre detect` and `disyre brain` take one with --volume-index 0 to {})",
        path.display(), count - 1
    )]
    SeveralVolumes {
        /// The file.
        path: PathBuf,
        /// Number of volumes.
        count: usize,
    },
    /// A volume that a series does not have.
    #[error("{} holds {count} volume(s), counted from 0; there is no --volume-index {index}", path.display())]
    VolumeIndex {
        /// The file.
        path: PathBuf,
        /// The index asked for.
        index: usize,
        /// Number of volumes.
        count: usize,
    },
    /// Voxels without a value.
    #[error(
        "{} holds {count} voxels that are NaN, infinite or beyond 32-bit floats; replace them, by 0 outside the brain, and try again",
        path.display()
    )]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// Number of such voxels.
        count: usize,
    },
    /// A name without the format's suffix.
    #[error("cannot write {}: its name must end in .nii or .nii.gz", path.display())]
    Suffix {
        /// The file.
        path: PathBuf,
    },
    /// A grid that the file format cannot hold.
    #[error("cannot write {}: a NIfTI-1 axis holds at most 32767 voxels, the shape is {shape:?}", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// `(z, y, x)`.
        shape: [usize; 3],
    },
    /// A folder without scans.
    #[error("{} holds no .nii or .nii.gz file{}", path.display(), deeper_text(deeper.as_deref()))]
    NoScans {
        /// The folder.
        path: PathBuf,
        /// A file in one of its subfolders, if there is one.
        deeper: Option<PathBuf>,
    },
    /// Scans in subfolders, which would be lost.
    #[error(
        "subfolders of {} hold scans, which are not read: {}; give each folder of scans by itself, or move them up",
        folder.display(), list(files)
    )]
    InSubfolders {
        /// The folder.
        folder: PathBuf,
        /// The scans.
        files: Vec<PathBuf>,
    },
    /// No file of this kind belongs to a scan.
    #[error(
        "no {kind} of {} in {}; expected a file named like {expected}",
        scan.display(), folder.display()
    )]
    NoSidecar {
        /// Kind of file.
        kind: SidecarKind,
        /// The scan.
        scan: PathBuf,
        /// The folder searched.
        folder: PathBuf,
        /// Names that it may have.
        expected: String,
    },
    /// Several files of this kind belong to a scan.
    #[error(
        "{} {kind}s of {} in {}, expected 1: {}; keep one of them in the folder",
        found.len(), scan.display(), folder.display(), list(found)
    )]
    SeveralSidecars {
        /// Kind of file.
        kind: SidecarKind,
        /// The scan.
        scan: PathBuf,
        /// The folder searched.
        folder: PathBuf,
        /// The files found.
        found: Vec<PathBuf>,
    },
    /// A file that a recipe was made with is not there.
    #[error("{} holds no file {name}, which the recipe was made with; give the folder that it was made from", folder.display())]
    MissingFile {
        /// Its name.
        name: String,
        /// The folder searched.
        folder: PathBuf,
    },
    /// A file that a recipe was made with has changed.
    #[error("{} is not the file that the recipe was made with: its SHA-256 is {got}, expected {expected}; restore the file", path.display())]
    ChangedFile {
        /// The file.
        path: PathBuf,
        /// SHA-256 in the recipe.
        expected: String,
        /// SHA-256 of the file.
        got: String,
    },
    /// A mask of another shape than its image.
    #[error(
        "mask {} has shape {got:?} (z, y, x), image {} has {expected:?}; resample the mask to the image's grid",
        mask.display(),
        image.display()
    )]
    MaskShape {
        /// The mask.
        mask: PathBuf,
        /// The image.
        image: PathBuf,
        /// The image's shape.
        expected: Box<[usize; 3]>,
        /// The mask's shape.
        got: Box<[usize; 3]>,
    },
    /// A mask that lies elsewhere than its image.
    #[error(
        "mask {} lies up to {distance_mm:.3} mm from image {}: affine {got:?}, expected {expected:?}; resample the mask to the image's grid",
        mask.display(),
        image.display()
    )]
    MaskAffine {
        /// The mask.
        mask: PathBuf,
        /// The image.
        image: PathBuf,
        /// The image's affine.
        expected: Box<Affine>,
        /// The mask's affine.
        got: Box<Affine>,
        /// Greatest distance between corresponding corners.
        distance_mm: f64,
    },
    /// A mask or a segmentation where a scan is expected.
    #[error(
        "{} holds {content}, and not the intensities of a scan; take it out of the folder, or give it where masks belong",
        path.display()
    )]
    NotAScan {
        /// The file.
        path: PathBuf,
        /// Its content.
        content: ScanContent,
    },
    /// One value in the whole scan.
    #[error("{} holds {value} in every voxel: a constant image has nothing to look at; give the scan itself", path.display())]
    Constant {
        /// The file.
        path: PathBuf,
        /// The value.
        value: f32,
    },
    /// A scan without mask whose background cannot be told from its brain.
    #[error(
        "{}: {}; set the background to exactly 0, or give a brain mask where the command takes one (--mask)",
        path.display(), background.in_words().unwrap_or_default()
    )]
    BackgroundNotZero {
        /// The file.
        path: PathBuf,
        /// Its background.
        background: Background,
    },
    /// Values that are those of no mask.
    #[error(
        "{} is neither a mask of one value, nor labels, nor shares from 0 to 1: {reason}; threshold it, or carry it over by the nearest neighbour",
        mask.display()
    )]
    NotAMask {
        /// The file.
        mask: PathBuf,
        /// The evidence.
        reason: String,
    },
    /// A mask without a voxel.
    #[error("the brain mask is empty: no voxel to fit the intensity scale to")]
    EmptyMask,
    /// A quantile outside its range.
    #[error("upper quantile {upper} is outside (0, 1]")]
    Quantile {
        /// The value given.
        upper: f64,
    },
    /// A scaling whose numbers do not fit.
    #[error("the intensity scaling needs {expected}")]
    Levels {
        /// Numbers that it may have.
        expected: &'static str,
    },
    /// A scaling by a cohort without that cohort.
    #[error(
        "the intensity scaling has no reference of its own: fit one on the quantiles of a cohort, with the same settings"
    )]
    Reference,
    /// A constant image.
    #[error(
        "no intensity range: the lower end is {low} and the upper quantile {high}; the image is empty or constant"
    )]
    NoContrast {
        /// Lower end.
        low: f32,
        /// Upper end.
        high: f32,
    },
    /// A spacing that is no spacing.
    #[error("spacing {spacing_mm:?} mm (z, y, x) must be positive and finite")]
    Spacing {
        /// The value given.
        spacing_mm: [f64; 3],
    },
    /// An affine without an inverse.
    #[error("the affine of the {which} grid has no inverse: {affine:?}")]
    Singular {
        /// The grid's role.
        which: &'static str,
        /// The matrix.
        affine: Box<Affine>,
    },
    /// A grid beyond memory.
    #[error(
        "a grid of {shape:?} voxels of {} mm (z, y, x) takes {excess}; choose a coarser spacing, correct the voxel sizes of \
         the input, or raise the bound",
        sides(spacing_mm)
    )]
    GridTooLarge {
        /// Its shape, saturated.
        shape: [usize; 3],
        /// Its spacing.
        spacing_mm: [f64; 3],
        /// The forecast and what is left.
        excess: MemoryExcess,
    },
    /// A forecast beyond the memory that is left.
    #[error("{purpose} takes {excess}; free some or raise the bound")]
    MemoryFor {
        /// The computation.
        purpose: &'static str,
        /// The forecast and what is left.
        excess: MemoryExcess,
    },
    /// Arrays that do not fit each other, or values that are not finite.
    #[error(transparent)]
    Shape(#[from] ShapeError),
}

impl VolumeError {
    /// Compares the forecast of a computation, in bytes, with the memory that is left.
    ///
    /// # Errors
    /// [`VolumeError::MemoryFor`].
    pub fn ensure_memory(purpose: &'static str, bytes: u64) -> Result<(), Self> {
        MemoryLeft::ensure(bytes).map_err(|excess| Self::MemoryFor { purpose, excess })
    }
}

/// Header field that an affine comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AffineSource {
    /// Rows of the general affine; `sform_code` > 0.
    Sform,
    /// Quaternion, offsets and `pixdim`; `sform_code` ≤ 0, `qform_code` > 0.
    Qform,
    /// Sizes alone: neither code is set, so left and right are a guess.
    Pixdim,
}

impl fmt::Display for AffineSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sform => "sform",
            Self::Qform => "qform",
            Self::Pixdim => "pixdim",
        })
    }
}

/// Three lengths with four digits each.
fn sides(lengths: &[f64; 3]) -> String {
    let short = |length: &f64| format!("{}", format!("{length:.3e}").parse().unwrap_or(*length));
    lengths.iter().map(short).collect::<Vec<_>>().join(" × ")
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn deeper_text(deeper: Option<&Path>) -> String {
    deeper.map_or_else(String::new, |file| {
        format!(" of its own; there is one in a subfolder, {}: give that folder", file.display())
    })
}
