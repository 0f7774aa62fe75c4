//! Fields of NIfTI-1 and NIfTI-2 headers, in either byte order.
use std::path::Path;

use byteorder::{BigEndian, ByteOrder, LittleEndian};
use nifti::NiftiHeader;
use serde::Serialize;

use crate::VolumeError;

/// Byte order of a file's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Endian {
    Little,
    Big,
}

/// Edition of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    One,
    Two,
}

impl Version {
    pub(crate) fn header_bytes(self) -> usize {
        match self {
            Self::One => 348,
            Self::Two => 540,
        }
    }

    /// First byte at which voxels may start: the header and the four bytes that announce extensions.
    pub(crate) fn least_offset(self) -> u64 {
        self.header_bytes() as u64 + 4
    }
}

/// Header fields that both editions have, in the wider types of NIfTI-2.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HeaderFields {
    pub(crate) dim: [i64; 8],
    pub(crate) datatype: i16,
    pub(crate) pixdim: [f64; 8],
    pub(crate) vox_offset: f64,
    pub(crate) scl_slope: f64,
    pub(crate) scl_inter: f64,
    pub(crate) xyzt_units: i32,
    pub(crate) intent_code: i32,
    pub(crate) qform_code: i32,
    pub(crate) sform_code: i32,
    /// b, c, d.
    pub(crate) quaternion: [f64; 3],
    pub(crate) offsets: [f64; 3],
    pub(crate) rows: [[f64; 4]; 3],
    pub(crate) descrip: Vec<u8>,
}

/// Edition and byte order from the first four bytes: the header's length, 348 or 540.
pub(crate) fn recognise(start: [u8; 4]) -> Option<(Version, Endian)> {
    let read = |endian| match endian {
        Endian::Little => i32::from_le_bytes(start),
        Endian::Big => i32::from_be_bytes(start),
    };
    [Endian::Little, Endian::Big].into_iter().find_map(|endian| match read(endian) {
        348 => Some((Version::One, endian)),
        540 => Some((Version::Two, endian)),
        _ => None,
    })
}

/// Byte order of a NIfTI-1 header whose first four bytes are not its length: it has NIfTI's magic bytes, and a `dim[0]` of
/// 1 to 7 in one byte order only.
///
/// # Source
/// nifti1_io, which decides by `dim[0]` and leaves `sizeof_hdr` alone.
pub(crate) fn recognise_by_magic(bytes: &[u8]) -> Option<Endian> {
    if !matches!(&bytes[344..348], b"n+1\0" | b"ni1\0") {
        return None;
    }
    let rank = [bytes[40], bytes[41]];
    match (i16::from_le_bytes(rank), i16::from_be_bytes(rank)) {
        (1..=7, _) => Some(Endian::Little),
        (_, 1..=7) => Some(Endian::Big),
        _ => None,
    }
}

/// The format of a file that is no NIfTI file, from its first four bytes.
pub(crate) fn foreign_format(start: [u8; 4]) -> Option<&'static str> {
    Some(match &start {
        [0x1f, 0x8b, ..] => "it is compressed twice; decompress it once with gunzip",
        b"BZh1" | b"BZh2" | b"BZh3" | b"BZh4" | b"BZh5" | b"BZh6" | b"BZh7" | b"BZh8" | b"BZh9" => {
            "it is compressed with bzip2; compress it with gzip"
        }
        b"\xfd7zX" => "it is compressed with xz; compress it with gzip",
        b"\x28\xb5\x2f\xfd" => "it is compressed with zstd; compress it with gzip",
        b"PK\x03\x04" => "it is a zip archive; unpack it",
        b"NRRD" => "it is an NRRD file; convert it to NIfTI",
        b"MINC" | b"\x89HDF" | b"CDF\x01" => "it is a MINC or HDF5 file; convert it to NIfTI",
        b"\x89PNG" | b"\xff\xd8\xff\xe0" => "it is a picture",
        b"vers" => "it is the pointer of Git LFS and not the data; fetch those with `git lfs pull`",
        b"/ann" | b"../." => {
            "it is the pointer of git-annex and not the data; fetch those with `datalad get`"
        }
        b"<!DO" | b"<htm" => "it is a web page, as a failed download leaves it",
        _ => return None,
    })
}

/// Parses the fixed part of a header; `bytes` has the length of its edition.
pub(crate) fn parse(
    path: &Path,
    bytes: &[u8],
    version: Version,
    endian: Endian,
) -> Result<HeaderFields, VolumeError> {
    check_magic(path, bytes, version)?;
    let fields = match version {
        Version::One => parse_1(path, bytes, endian)?,
        Version::Two if endian == Endian::Little => parse_2::<LittleEndian>(bytes),
        Version::Two => parse_2::<BigEndian>(bytes),
    };
    Ok(fields)
}

fn check_magic(path: &Path, bytes: &[u8], version: Version) -> Result<(), VolumeError> {
    let (magic, single, pair): (&[u8], &[u8], &[u8]) = match version {
        Version::One => (&bytes[344..348], b"n+1\0", b"ni1\0"),
        Version::Two => (&bytes[4..12], b"n+2\0\r\n\x1a\n", b"ni2\0\r\n\x1a\n"),
    };
    let reason = if magic == single {
        return Ok(());
    } else if magic == pair {
        "it is half of a .hdr/.img pair; convert the pair to one .nii file"
    } else if magic.starts_with(b"n+2") || magic.starts_with(b"ni2") {
        "its magic bytes are changed, as by a transfer as text; fetch it again in binary mode"
    } else {
        "its magic bytes are missing (perhaps an ANALYZE file)"
    };
    Err(VolumeError::NotNifti { path: path.to_owned(), reason })
}

/// NIfTI-1, through the `nifti` crate.
///
/// That crate infers the byte order from `dim[0]`, so a `dim[0]` out of range is refused first.
fn parse_1(path: &Path, bytes: &[u8], endian: Endian) -> Result<HeaderFields, VolumeError> {
    let rank = match endian {
        Endian::Little => LittleEndian::read_i16(&bytes[40..]),
        Endian::Big => BigEndian::read_i16(&bytes[40..]),
    };
    if !(1..=7).contains(&rank) {
        let dim = [i64::from(rank), 0, 0, 0, 0, 0, 0, 0];
        return Err(VolumeError::Dimensions { path: path.to_owned(), dim: Box::new(dim) });
    }
    let header = NiftiHeader::from_reader(bytes).map_err(|_| VolumeError::NotNifti {
        path: path.to_owned(),
        reason: "its header cannot be parsed",
    })?;
    Ok(HeaderFields::from(header))
}

impl From<NiftiHeader> for HeaderFields {
    fn from(h: NiftiHeader) -> Self {
        Self {
            // The crate reads the standard's signed sizes as unsigned.
            dim: h.dim.map(|size| i64::from(size.cast_signed())),
            datatype: h.datatype,
            pixdim: h.pixdim.map(f64::from),
            vox_offset: h.vox_offset.into(),
            scl_slope: h.scl_slope.into(),
            scl_inter: h.scl_inter.into(),
            xyzt_units: h.xyzt_units.into(),
            intent_code: h.intent_code.into(),
            qform_code: h.qform_code.into(),
            sform_code: h.sform_code.into(),
            quaternion: [h.quatern_b, h.quatern_c, h.quatern_d].map(f64::from),
            offsets: [h.quatern_x, h.quatern_y, h.quatern_z].map(f64::from),
            rows: [h.srow_x, h.srow_y, h.srow_z].map(|row| row.map(f64::from)),
            descrip: h.descrip,
        }
    }
}

/// NIfTI-2; positions from the standard's `nifti2.h`.
fn parse_2<B: ByteOrder>(bytes: &[u8]) -> HeaderFields {
    let float = |at: usize| B::read_f64(&bytes[at..]);
    let floats = |at: usize| std::array::from_fn(|index| float(at + 8 * index));
    HeaderFields {
        dim: std::array::from_fn(|index| B::read_i64(&bytes[16 + 8 * index..])),
        datatype: B::read_i16(&bytes[12..]),
        pixdim: std::array::from_fn(|index| float(104 + 8 * index)),
        vox_offset: B::read_i64(&bytes[168..]) as f64,
        scl_slope: float(176),
        scl_inter: float(184),
        xyzt_units: B::read_i32(&bytes[500..]),
        intent_code: B::read_i32(&bytes[504..]),
        qform_code: B::read_i32(&bytes[344..]),
        sform_code: B::read_i32(&bytes[348..]),
        quaternion: std::array::from_fn(|index| float(352 + 8 * index)),
        offsets: std::array::from_fn(|index| float(376 + 8 * index)),
        rows: [400, 432, 464].map(floats),
        descrip: bytes[240..320].to_vec(),
    }
}

impl HeaderFields {
    /// Sizes of the axes in use: `dim[1..=dim[0]]`, NIfTI's order (x first). Sizes below 1 of axes after the third are 1.
    ///
    /// # Source
    /// nifti1_io, which does so for all axes after the first; an image without slices is refused here.
    pub(crate) fn sizes(&self, path: &Path) -> Result<Vec<usize>, VolumeError> {
        let bad = || VolumeError::Dimensions { path: path.to_owned(), dim: Box::new(self.dim) };
        if !(1..=7).contains(&self.dim[0]) {
            return Err(bad());
        }
        let size = |(axis, &n): (usize, &i64)| match usize::try_from(n) {
            Ok(size) if size >= 1 => Ok(size),
            _ if axis >= 3 => Ok(1),
            _ => Err(bad()),
        };
        self.dim[1..=self.dim[0] as usize].iter().enumerate().map(size).collect()
    }

    /// Factor and offset that turn stored numbers into intensities.
    ///
    /// A slope of 0, or one that is not finite, means "not scaled": factor 1 and offset 0, whatever `scl_inter` says.
    ///
    /// # Source
    /// `nifti1.h`, "DATA SCALING", for 0; nibabel for slopes that are not finite.
    pub(crate) fn scaling(&self, path: &Path) -> Result<(f64, f64), VolumeError> {
        let (slope, inter) = (self.scl_slope, self.scl_inter);
        if slope == 0.0 || !slope.is_finite() {
            return Ok((1.0, 0.0));
        }
        if !inter.is_finite() {
            return Err(VolumeError::Scaling { path: path.to_owned(), slope, inter });
        }
        Ok((slope, inter))
    }

    /// `vox_offset`; 0 stands for "right after the header".
    pub(crate) fn first_voxel(&self, path: &Path, version: Version) -> Result<u64, VolumeError> {
        /// Longest header with extensions that is read, in bytes.
        const MOST: u64 = 64 << 20;
        let least = version.least_offset();
        let offset = self.vox_offset;
        if offset == 0.0 {
            return Ok(least);
        }
        if !(offset >= least as f64 && offset <= MOST as f64 && offset.fract() == 0.0) {
            return Err(VolumeError::Offset { path: path.to_owned(), offset, least, most: MOST });
        }
        Ok(offset as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> HeaderFields {
        HeaderFields::from(NiftiHeader::default())
    }

    #[test]
    fn both_editions_are_recognised_in_both_byte_orders() {
        assert_eq!(recognise(348i32.to_le_bytes()), Some((Version::One, Endian::Little)));
        assert_eq!(recognise(348i32.to_be_bytes()), Some((Version::One, Endian::Big)));
        assert_eq!(recognise(540i32.to_le_bytes()), Some((Version::Two, Endian::Little)));
        assert_eq!(recognise(540i32.to_be_bytes()), Some((Version::Two, Endian::Big)));
        assert_eq!(recognise(*b"\x1f\x8b\x08\x00"), None);
    }

    #[test]
    fn a_slope_of_zero_or_nan_means_unscaled_whatever_the_offset() {
        let path = Path::new("a.nii");
        for slope in [0.0, f64::NAN, f64::INFINITY] {
            let fields = HeaderFields { scl_slope: slope, scl_inter: 7.0, ..fields() };
            assert_eq!(fields.scaling(path).unwrap(), (1.0, 0.0));
        }
        let good = HeaderFields { scl_slope: 2.0, scl_inter: -1.0, ..fields() };
        assert_eq!(good.scaling(path).unwrap(), (2.0, -1.0));
        let bad = HeaderFields { scl_slope: 2.0, scl_inter: f64::NAN, ..fields() };
        assert!(bad.scaling(path).unwrap_err().to_string().contains("scl_inter"));
    }

    #[test]
    fn voxels_may_not_start_inside_the_header() {
        let at = |offset| HeaderFields { vox_offset: offset, ..fields() };
        let first = |offset| at(offset).first_voxel(Path::new("a.nii"), Version::One);
        assert_eq!(first(0.0).unwrap(), 352);
        assert_eq!(first(352.0).unwrap(), 352);
        for offset in [348.0, 352.5, -1.0, 1e12, f64::NAN] {
            assert!(matches!(first(offset), Err(VolumeError::Offset { .. })));
        }
    }
}
