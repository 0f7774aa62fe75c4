//! NIfTI-1 and NIfTI-2 files: their headers, voxels and affines.
pub(crate) mod datatype;
pub(crate) mod gzip;
pub(crate) mod header;
pub(crate) mod header_affine;
pub(crate) mod info;
pub(crate) mod read;
pub(crate) mod stream;
pub(crate) mod warnings;
pub(crate) mod write;
