//! Writing of maps, masks, labels and volumes.
use std::io::{self, BufWriter, Write};
use std::path::Path;

use byteorder::{BigEndian, ByteOrder, LittleEndian};
use disyre_core::ndarray::{ArrayView3, Axis};
use disyre_core::{Grid, Volume, ensure_finite, ensure_same_shape, write_whole};
use flate2::{Compression, GzBuilder};

use super::datatype::Datatype;
use super::header::{Endian, Version};
use super::read::{Scan, ScanHeader};
use crate::VolumeError;

/// Writes a map on the grid of `like`, with its header.
///
/// All header bytes stay as they are, extensions and byte order included, but for the voxel type (float32), the
/// scaling (slope 1, offset 0), the display range and the intent but for its name (both unset): they describe the scan's values. A map of one volume of a series gets `dim` of a single
/// volume. The file appears under its name only when it is whole; equal maps give equal bytes.
///
/// # Shapes and units
/// `map` is `(z, y, x)`, the shape of `like.volume`. `path` ends in `.nii` or `.nii.gz`.
///
/// # Errors
/// [`VolumeError::Shape`] for another shape or a value that is not finite; [`VolumeError::Suffix`];
/// [`VolumeError::Write`].
pub fn write_map(path: &Path, like: &Scan, map: ArrayView3<'_, f32>) -> Result<(), VolumeError> {
    like.header.write_map(path, map)
}

impl ScanHeader {
    /// Writes a map on the grid of the scan, with its header, as [`write_map`] does.
    ///
    /// # Errors
    /// Those of [`write_map`].
    pub fn write_map(&self, path: &Path, map: ArrayView3<'_, f32>) -> Result<(), VolumeError> {
        ensure_same_shape("map", &self.grid.shape, map.shape())?;
        ensure_finite("map", &map)?;
        let head = inherit(self, Datatype::Float32);
        write_file(path, &head, |out| write_floats(out, map, self.endian))
    }

    /// Writes a mask or labels on the grid of the scan, with its header, as [`write_mask`] does.
    ///
    /// # Errors
    /// Those of [`write_mask`].
    pub fn write_mask(&self, path: &Path, mask: ArrayView3<'_, u8>) -> Result<(), VolumeError> {
        ensure_same_shape("mask", &self.grid.shape, mask.shape())?;
        let head = inherit(self, Datatype::Uint8);
        write_file(path, &head, |out| write_bytes(out, mask))
    }
}

/// Writes a mask or labels on the grid of `like`, with its header: as [`write_map`], but as uint8.
///
/// # Shapes and units
/// `mask` is `(z, y, x)`, the shape of `like.volume`.
///
/// # Errors
/// As [`write_map`].
pub fn write_mask(path: &Path, like: &Scan, mask: ArrayView3<'_, u8>) -> Result<(), VolumeError> {
    like.header.write_mask(path, mask)
}

/// Writes intensities as the file of `like` stores them: its header, its voxel type and its scaling.
///
/// A voxel that equals the scan's intensity is stored as the scan stored it, up to the precision of `f32`; integers are rounded,
/// and stay in the range of their type.
///
/// # Shapes and units
/// `data` is `(z, y, x)`, the shape of `like.volume`, in its unit. `path` ends in `.nii` or `.nii.gz`.
///
/// # Errors
/// As [`write_map`].
///
/// ```
/// use disyre_volume::{Grid, Scan, Volume, write_scan, write_labels};
/// # let folder = tempfile::tempdir()?;
/// # let [path, changed] = ["a.nii", "b.nii"].map(|name| folder.path().join(name));
/// let grid = Grid::from_spacing([1, 1, 3], [1.0; 3]);
/// write_labels(&path, disyre_core::ndarray::array![[[1, 2, 3]]].view(), &grid)?; // uint8
/// let scan = Scan::read(&path)?;
/// write_scan(&changed, &scan, (&scan.volume.data * 1.3).view())?;
/// assert_eq!(Scan::read(&changed)?.volume.data.as_slice(), Some(&[1.0, 3.0, 4.0][..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_scan(path: &Path, like: &Scan, data: ArrayView3<'_, f32>) -> Result<(), VolumeError> {
    ensure_same_shape("data", like.volume.data.shape(), data.shape())?;
    ensure_finite("data", &data)?;
    let header = &like.header;
    let mut head = header.bytes.clone();
    single_volume(&mut head, header);
    write_file(path, &head, |out| {
        let mut bytes = Vec::new();
        for plane in data.axis_iter(Axis(0)) {
            bytes.clear();
            let voxels = plane.iter().copied();
            header.datatype.encode(header.endian, header.scaling, voxels, &mut bytes);
            out.write_all(&bytes)?;
        }
        Ok(())
    })
}

/// Writes a volume to a new NIfTI-1 file of float32: little-endian, in millimetres, its affine as the sform.
///
/// # Shapes and units
/// Any volume of at most 32767 voxels along an axis. NIfTI-1 keeps the affine in 32-bit floats.
///
/// # Errors
/// [`VolumeError::TooLong`]; otherwise as [`write_map`].
pub fn write_volume(path: &Path, volume: &Volume) -> Result<(), VolumeError> {
    ensure_same_shape("volume data", &volume.grid.shape, volume.data.shape())?;
    ensure_finite("volume data", &volume.data.view())?;
    let head = new_header(path, &volume.grid, Datatype::Float32)?;
    write_file(path, &head, |out| write_floats(out, volume.data.view(), Endian::Little))
}

/// Writes labels to a new NIfTI-1 file of uint8, as [`write_volume`] does.
///
/// # Shapes and units
/// `labels` is `(z, y, x)`, the shape of `grid`.
///
/// # Errors
/// As [`write_volume`].
pub fn write_labels(
    path: &Path,
    labels: ArrayView3<'_, u8>,
    grid: &Grid,
) -> Result<(), VolumeError> {
    ensure_same_shape("labels", &grid.shape, labels.shape())?;
    let head = new_header(path, grid, Datatype::Uint8)?;
    write_file(path, &head, |out| write_bytes(out, labels))
}

/// The input's bytes before the first voxel, changed only where the output differs.
fn inherit(header: &ScanHeader, datatype: Datatype) -> Vec<u8> {
    let mut bytes = header.bytes.clone();
    match header.endian {
        Endian::Little => describe_voxels::<LittleEndian>(&mut bytes, header.version, datatype),
        Endian::Big => describe_voxels::<BigEndian>(&mut bytes, header.version, datatype),
    }
    single_volume(&mut bytes, header);
    bytes
}

/// Describes one volume where the input is a series, or has a size below 1 after the third.
fn single_volume(bytes: &mut [u8], header: &ScanHeader) {
    if header.volumes() > 1 || header.fields.dim[1..].iter().zip(&header.sizes).any(|(n, _)| *n < 1)
    {
        match header.endian {
            Endian::Little => keep_one_volume::<LittleEndian>(bytes, header.version),
            Endian::Big => keep_one_volume::<BigEndian>(bytes, header.version),
        }
    }
}

/// Voxel type and start, slope 1, offset 0, display range and intent unset, and the header's own length.
fn describe_voxels<B: ByteOrder>(bytes: &mut [u8], version: Version, datatype: Datatype) {
    let (start, bits) = (bytes.len(), datatype.size() as i16 * 8);
    match version {
        Version::One => {
            B::write_i32(bytes, 348);
            bytes[56..70].fill(0); // intent_p1, p2, p3 and code
            B::write_i16(&mut bytes[70..], datatype.code());
            B::write_i16(&mut bytes[72..], bits);
            B::write_f32(&mut bytes[108..], start as f32);
            B::write_f32_into(&[1.0, 0.0], &mut bytes[112..120]);
            bytes[124..132].fill(0);
        }
        Version::Two => {
            bytes[80..104].fill(0); // intent_p1, p2, p3
            bytes[504..508].fill(0); // intent_code
            B::write_i16(&mut bytes[12..], datatype.code());
            B::write_i16(&mut bytes[14..], bits);
            B::write_i64(&mut bytes[168..], start as i64);
            B::write_f64_into(&[1.0, 0.0], &mut bytes[176..192]);
            bytes[192..208].fill(0);
        }
    }
}

fn keep_one_volume<B: ByteOrder>(bytes: &mut [u8], version: Version) {
    match version {
        Version::One => {
            B::write_i16(&mut bytes[40..], 3);
            B::write_i16_into(&[1; 4], &mut bytes[48..56]);
        }
        Version::Two => {
            B::write_i64(&mut bytes[16..], 3);
            B::write_i64_into(&[1; 4], &mut bytes[48..80]);
        }
    }
}

/// A NIfTI-1 header of 352 bytes for a grid: sform code 2 ("aligned"), qform unset, millimetres.
fn new_header(path: &Path, grid: &Grid, datatype: Datatype) -> Result<Vec<u8>, VolumeError> {
    let mut dim = [3, 1, 1, 1, 1, 1, 1, 1];
    for (size, &voxels) in dim[1..4].iter_mut().zip(grid.shape.iter().rev()) {
        *size = i16::try_from(voxels)
            .map_err(|_| VolumeError::TooLong { path: path.to_owned(), shape: grid.shape })?;
    }
    let [dz, dy, dx] = grid.spacing_mm().map(|spacing| spacing as f32);
    let mut bytes = vec![0; Version::One.least_offset() as usize];
    LittleEndian::write_i32(&mut bytes, 348);
    bytes[38] = b'r'; // `regular`: what ANALYZE readers look for
    LittleEndian::write_i16_into(&dim, &mut bytes[40..56]);
    LittleEndian::write_f32_into(&[1.0, dx, dy, dz, 1.0, 1.0, 1.0, 1.0], &mut bytes[76..108]);
    describe_voxels::<LittleEndian>(&mut bytes, Version::One, datatype);
    bytes[123] = 2; // millimetres
    LittleEndian::write_i16(&mut bytes[254..], 2);
    for (row, at) in grid.affine[..3].iter().zip([280, 296, 312]) {
        LittleEndian::write_f32_into(&row.map(|value| value as f32), &mut bytes[at..at + 16]);
    }
    bytes[344..348].copy_from_slice(b"n+1\0");
    Ok(bytes)
}

fn write_floats(out: &mut dyn Write, map: ArrayView3<'_, f32>, endian: Endian) -> io::Result<()> {
    let mut bytes = Vec::new();
    for plane in map.axis_iter(Axis(0)) {
        bytes.clear();
        match endian {
            Endian::Little => bytes.extend(plane.iter().flat_map(|value| value.to_le_bytes())),
            Endian::Big => bytes.extend(plane.iter().flat_map(|value| value.to_be_bytes())),
        }
        out.write_all(&bytes)?;
    }
    Ok(())
}

fn write_bytes(out: &mut dyn Write, mask: ArrayView3<'_, u8>) -> io::Result<()> {
    let mut bytes = Vec::new();
    for plane in mask.axis_iter(Axis(0)) {
        bytes.clear();
        bytes.extend(plane.iter());
        out.write_all(&bytes)?;
    }
    Ok(())
}

/// Writes head and voxels, all of them or nothing.
fn write_file(
    path: &Path,
    head: &[u8],
    voxels: impl Fn(&mut dyn Write) -> io::Result<()>,
) -> Result<(), VolumeError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let compress = name.ends_with(".nii.gz");
    if !compress && !name.ends_with(".nii") {
        return Err(VolumeError::Suffix { path: path.to_owned() });
    }
    let written = write_whole(path, |file| {
        let buffered = BufWriter::with_capacity(1 << 16, file);
        if compress {
            // Level 3: maps are mostly background, and a higher level gains little. No time stamp: equal bytes.
            let mut out = GzBuilder::new().mtime(0).write(buffered, Compression::new(3));
            out.write_all(head)?;
            voxels(&mut out)?;
            out.finish()?.flush()
        } else {
            let mut out = buffered;
            out.write_all(head)?;
            voxels(&mut out)?;
            out.flush()
        }
    });
    written.map_err(|source| VolumeError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_header_holds_sizes_spacing_and_affine_x_first() {
        let grid = Grid::from_spacing([2, 3, 4], [5.0, 6.0, 7.0]);
        let bytes = new_header(Path::new("a.nii"), &grid, Datatype::Uint8).unwrap();
        assert_eq!(bytes.len(), 352);
        let mut dim = [0; 4];
        LittleEndian::read_i16_into(&bytes[40..48], &mut dim);
        assert_eq!(dim, [3, 4, 3, 2]);
        let floats = |at: usize| {
            let mut values = [0.0; 4];
            LittleEndian::read_f32_into(&bytes[at..at + 16], &mut values);
            values
        };
        assert_eq!(floats(76), [1.0, 7.0, 6.0, 5.0]); // pixdim
        assert_eq!(floats(280), [7.0, 0.0, 0.0, 0.0]); // srow_x
        assert_eq!((bytes[70], bytes[72], bytes[123]), (2, 8, 2)); // uint8 of 8 bits, millimetres
        assert_eq!((bytes[252], bytes[254]), (0, 2)); // qform unset, sform aligned
    }

    #[test]
    fn a_series_becomes_one_volume() {
        let mut bytes = vec![9; 348];
        keep_one_volume::<BigEndian>(&mut bytes, Version::One);
        assert_eq!(BigEndian::read_i16(&bytes[40..]), 3);
        assert_eq!(bytes[42..48], [9; 6]); // x, y and z stay
        assert_eq!(bytes[48..56], [0, 1, 0, 1, 0, 1, 0, 1]);
    }
}
