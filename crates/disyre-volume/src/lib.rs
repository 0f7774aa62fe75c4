//! NIfTI files in and out, their names, and operations on their grids: orientation, resampling, boxes, brain masks and
//! intensity scaling.
//!
//! Use this crate to read scans into [`Volume`]s and to write maps back on their own grids. Use `disyre` for the whole
//! pipeline.
//!
//! ```
//! use disyre_volume::{Interpolation, resample_to_spacing, to_ras};
//! use disyre_core::{Grid, Volume, ndarray::Array3};
//!
//! // A left-handed (LAS) volume of 2 mm voxels, brighter from right to left.
//! let mut grid = Grid::from_spacing([2, 2, 4], [2.0; 3]);
//! grid.affine[0][0] = -2.0;
//! let data = Array3::from_shape_fn(grid.shape, |(_, _, x)| x as f32);
//! let ras = to_ras(&Volume::new(data, grid)?);
//! assert_eq!(ras.data[[0, 0, 0]], 3.0);
//!
//! // 4 mm voxels are the means of 2×2×2 voxels.
//! let coarse = resample_to_spacing(&ras, [4.0; 3], Interpolation::Area)?;
//! assert_eq!(coarse.data.as_slice(), Some(&[2.5, 0.5][..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Main types: [`Scan`] (a file's volume and the header that its maps inherit), [`ScanName`] and [`SidecarFiles`] (which
//! file belongs to which scan), [`Interpolation`], [`IntensityScaling`] and its [`IntensityMap`], [`VoxelBox`], [`Orientation`].
//!
//! Feature `hashes`: `HashedFile`, files by name and SHA-256, which recipes record and find again. It does not strip skulls, register, or read DICOM, and it writes one volume to a file.
#![forbid(unsafe_code)]

pub mod affine;
mod brain_mask;
mod error;
#[cfg(feature = "hashes")]
mod hashed_file;
#[cfg(feature = "hashes")]
mod hashed_folder;
mod inside;
mod intensity;
mod memory;
mod names;
mod nifti_file;
mod orientation;
mod resample;
mod voxel_box;

pub use brain_mask::{
    ensure_mask_fits, nonzero_mask, read_mask, read_mask_of, read_on_grid, read_scan_on_grid,
};
pub use error::{AffineSource, VolumeError};
#[cfg(feature = "hashes")]
pub use hashed_file::{HashedFile, sha256_of_bytes, sha256_of_file};
#[cfg(feature = "hashes")]
pub use hashed_folder::HashedFolder;
pub use inside::{Background, Image, ImageOptions, MaskRule, NotCodes, ScanContent, codes};
pub use intensity::{IntensityMap, IntensityReference, IntensityScaling};
pub use memory::{MemoryBound, MemoryExcess, MemoryLeft};
pub use names::{
    Assigned, PassedOver, PassedOverReason, ScanList, ScanName, SidecarFiles, SidecarKind,
    find_scans, find_scans_below, in_subfolders, list_scans, path_text, subject_of,
};
pub use nifti_file::datatype::VoxelValue;
pub use nifti_file::header_affine::LengthUnit;
pub use nifti_file::info::ScanInfo;
pub use nifti_file::read::{ReadOptions, Scan, ScanHeader, read_values};
pub use nifti_file::warnings::HeaderWarning;
pub use nifti_file::write::{write_labels, write_map, write_mask, write_scan, write_volume};
pub use orientation::{Orientation, obliquity_degrees, to_ras};
pub use resample::{
    Interpolation, Resampler, grid_at_spacing, resample_mask, resample_to_grid, resample_to_spacing,
};
pub use voxel_box::{VoxelBox, crop, foreground_box};

pub use disyre_core::{Grid, Volume};
