//! Reading of scans.
use std::path::{Path, PathBuf};

use disyre_core::ndarray::Array3;
use disyre_core::{Grid, Volume};

use super::datatype::{Datatype, VoxelValue};
use super::header::{
    Endian, HeaderFields, Version, foreign_format, parse, recognise, recognise_by_magic,
};
use super::header_affine::header_affine;
use super::stream::VoxelStream;
use crate::{AffineSource, ScanName, VolumeError};

/// Options of [`Scan::read_with`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Volume of a series to read, counted from 0; `None` reads a file with one volume and refuses a series.
    pub volume_index: Option<usize>,
}

/// A scan as its file holds it, with the header that its maps inherit.
///
/// ```
/// # use disyre_volume::{Grid, Volume, write_volume};
/// use disyre_volume::{Scan, write_map};
///
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// # let path = folder.join("sub-01_T1w.nii.gz");
/// # write_volume(&path, &Volume::zeros(Grid::from_spacing([2, 3, 4], [1.0; 3])))?;
/// let scan = Scan::read(&path)?;
/// let doubled = scan.volume.data.mapv(|intensity| 2.0 * intensity);
/// let map = folder.join(scan.name().output("doubled").file("nii.gz"));
/// write_map(&map, &scan, doubled.view())?;
/// assert_eq!(map, folder.join("sub-01_desc-doubled_T1w.nii.gz"));
/// assert_eq!(Scan::read(&map)?.volume.grid, scan.volume.grid);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Scan {
    /// Intensities in the file's own orientation, slope and offset applied.
    pub volume: Volume,
    pub(crate) header: ScanHeader,
}

/// Header of a scan's file, without its voxels: the grid and the bytes that maps of the scan inherit.
///
/// Kept beside a map, it lets the map be written ([`write_map`](Self::write_map)) after the scan itself is gone.
#[derive(Debug, Clone)]
pub struct ScanHeader {
    pub(crate) path: PathBuf,
    pub(crate) grid: Grid,
    pub(crate) volume_index: Option<usize>,
    pub(crate) version: Version,
    pub(crate) endian: Endian,
    /// Everything before the first voxel: header and extensions.
    pub(crate) bytes: Vec<u8>,
    pub(crate) fields: HeaderFields,
    /// x first; as many as the file has axes.
    pub(crate) sizes: Vec<usize>,
    pub(crate) datatype: Datatype,
    pub(crate) scaling: (f64, f64),
    pub(crate) affine_source: AffineSource,
}

impl Scan {
    /// Reads a `.nii` or `.nii.gz` file of one volume: [`read_with`](Self::read_with) and its defaults.
    ///
    /// # Errors
    /// Those of [`read_with`](Self::read_with).
    pub fn read(path: impl AsRef<Path>) -> Result<Self, VolumeError> {
        Self::read_with(path, &ReadOptions::default())
    }

    /// Reads a `.nii` or `.nii.gz` file, NIfTI-1 or NIfTI-2, in either byte order.
    ///
    /// # Shapes and units
    /// `volume` is `(z, y, x)` in the file's order; a 2D image has z = 1. Intensities are `scl_slope · stored +
    /// scl_inter`; a slope of 0 or one that is not finite means 1, and then the offset is 0.
    /// The affine is the sform if its code is positive, else the qform if its code is positive, else made from
    /// `pixdim`, with the centre at the origin and x running to the left, as nibabel does. It is in millimetres, even
    /// where the header's unit is not.
    ///
    /// # Errors
    /// [`VolumeError`] naming the file: what is not a NIfTI file or is cut short, voxel types that are not one real
    /// number, a series of volumes without [`ReadOptions::volume_index`], an affine without an inverse, and voxels
    /// that are not finite.
    ///
    /// # Source
    /// The format: `nifti1.h` and `nifti2.h` of the NIfTI working group.
    pub fn read_with(path: impl AsRef<Path>, options: &ReadOptions) -> Result<Self, VolumeError> {
        let path = path.as_ref();
        Self::from_stream(path, VoxelStream::open(path)?, options)
    }

    /// Reads a file of one volume whose bytes are in the program; `path` is its name in errors and outputs.
    ///
    /// # Errors
    /// Those of [`read_with`](Self::read_with).
    pub fn from_bytes(path: impl AsRef<Path>, bytes: &'static [u8]) -> Result<Self, VolumeError> {
        let path = path.as_ref();
        Self::from_stream(path, VoxelStream::of_bytes(path, bytes)?, &ReadOptions::default())
    }

    fn from_stream(
        path: &Path,
        stream: VoxelStream,
        options: &ReadOptions,
    ) -> Result<Self, VolumeError> {
        let (header, data) = values_of(path, stream, options)?;
        Self::new(header, data)
    }

    /// Joins a header and the voxels that [`read_values`] read with it.
    ///
    /// # Errors
    /// [`VolumeError::NotFinite`]; [`VolumeError::Shape`] for voxels of another shape.
    pub fn new(header: ScanHeader, data: Array3<f32>) -> Result<Self, VolumeError> {
        let bad = data.iter().filter(|value| !value.is_finite()).count();
        if bad > 0 {
            return Err(VolumeError::NotFinite { path: header.path, count: bad });
        }
        Ok(Self { volume: Volume::new(data, header.grid)?, header })
    }

    /// The file that was read.
    pub fn path(&self) -> &Path {
        &self.header.path
    }

    /// The file's name, from which those of outputs are made.
    pub fn name(&self) -> ScanName {
        ScanName::of(self.path())
    }

    /// Its header, which its maps inherit.
    pub fn header(&self) -> &ScanHeader {
        &self.header
    }
}

/// Reads the header and the voxels of a file as [`Scan::read_with`] does, in `f32` or `f64`, and keeps voxels that are not
/// finite: the caller decides about those.
///
/// ```
/// use disyre_volume::{Grid, ReadOptions, Volume, read_values, write_volume};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("map.nii");
/// write_volume(&path, &Volume::zeros(Grid::from_spacing([2, 3, 4], [1.0; 3])))?;
/// let (header, scores) = read_values::<f64>(&path, &ReadOptions::default())?;
/// assert_eq!((header.grid().shape, scores[[1, 2, 3]]), ([2, 3, 4], 0.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Shapes and units
/// `(z, y, x)` in the file's own orientation. `f64` holds every stored number but integers beyond 2⁵³ exactly.
///
/// # Errors
/// Those of [`Scan::read_with`], but for voxels that are not finite.
pub fn read_values<T: VoxelValue>(
    path: impl AsRef<Path>,
    options: &ReadOptions,
) -> Result<(ScanHeader, Array3<T>), VolumeError> {
    let path = path.as_ref();
    values_of(path, VoxelStream::open(path)?, options)
}

fn values_of<T: VoxelValue>(
    path: &Path,
    mut stream: VoxelStream,
    options: &ReadOptions,
) -> Result<(ScanHeader, Array3<T>), VolumeError> {
    let mut header = read_header(path, &mut stream)?;
    header.volume_index = options.volume_index;
    let count = header.grid.len();
    let (index, volumes) = choose(&header, options.volume_index)?;
    let bytes = count as u64 * header.datatype.size() as u64;
    let expected = header.bytes.len() as u128 + u128::from(bytes) * volumes as u128;
    stream.skip(bytes * index as u64, expected)?;
    let voxels = stream.voxels(count, header.datatype, header.endian, header.scaling, expected)?;
    stream.finish(expected)?;
    let data = Array3::from_shape_vec(header.grid.shape, voxels).map_err(|_| {
        VolumeError::Dimensions { path: path.to_owned(), dim: Box::new(header.fields.dim) }
    })?;
    Ok((header, data))
}

/// Reads all that comes before the voxels; afterwards the file is known to be long enough.
fn read_header(path: &Path, stream: &mut VoxelStream) -> Result<ScanHeader, VolumeError> {
    let (mut bytes, version, endian) = read_fixed_part(path, stream)?;
    let fields = parse(path, &bytes, version, endian)?;
    let sizes = fields.sizes(path)?;
    let datatype = Datatype::from_code(path, fields.datatype)?;
    let scaling = fields.scaling(path)?;
    let (affine, affine_source) = header_affine(path, &fields, &sizes)?;
    let first_voxel = fields.first_voxel(path, version)?;
    let voxels = sizes.iter().fold(1u128, |product, &n| product.saturating_mul(n as u128));
    let voxel_bytes = voxels.saturating_mul(datatype.size() as u128);
    let expected = voxel_bytes.saturating_add(u128::from(first_voxel));
    stream.ensure_holds(expected)?;
    let fixed = bytes.len();
    bytes.resize(first_voxel as usize, 0);
    stream.fill(&mut bytes[fixed..], expected)?;
    let axis = |axis: usize| sizes.get(axis).copied().unwrap_or(1);
    let grid = Grid { shape: [axis(2), axis(1), axis(0)], affine };
    let path = path.to_owned();
    Ok(ScanHeader {
        path,
        grid,
        volume_index: None,
        version,
        endian,
        bytes,
        fields,
        sizes,
        datatype,
        scaling,
        affine_source,
    })
}

/// The part of a header whose length its edition fixes, the edition and the byte order.
fn read_fixed_part(
    path: &Path,
    stream: &mut VoxelStream,
) -> Result<(Vec<u8>, Version, Endian), VolumeError> {
    let mut bytes = vec![0; 4];
    stream.fill(&mut bytes, 352)?;
    let start = [bytes[0], bytes[1], bytes[2], bytes[3]];
    let known = recognise(start);
    let foreign = |reason| VolumeError::NotNifti { path: path.to_owned(), reason };
    // A file of another format may be shorter than a header.
    if let Some(format) = foreign_format(start).filter(|_| known.is_none()) {
        return Err(foreign(format));
    }
    let version = known.map_or(Version::One, |(version, _)| version);
    bytes.resize(version.header_bytes(), 0);
    let unknown = "its first four bytes are neither 348 nor 540 in any byte order";
    match stream.fill(&mut bytes[4..], u128::from(version.least_offset())) {
        // So is a text file.
        Err(VolumeError::Truncated { .. }) if known.is_none() => return Err(foreign(unknown)),
        filled => filled?,
    }
    let endian = known.map(|(_, endian)| endian).or_else(|| recognise_by_magic(&bytes));
    let endian = endian.ok_or_else(|| foreign(unknown))?;
    Ok((bytes, version, endian))
}

/// Index of the volume to read, and the number of volumes.
fn choose(header: &ScanHeader, requested: Option<usize>) -> Result<(usize, usize), VolumeError> {
    let count = header.volumes();
    let path = || header.path.clone();
    match requested {
        None if count == 1 => Ok((0, 1)),
        None => Err(VolumeError::SeveralVolumes { path: path(), count }),
        Some(index) if index < count => Ok((index, count)),
        Some(index) => Err(VolumeError::VolumeIndex { path: path(), index, count }),
    }
}

impl ScanHeader {
    /// Reads the header of a file alone, in a fraction of the time of its voxels.
    ///
    /// # Errors
    /// Those of [`Scan::read_with`] that a header shows.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, VolumeError> {
        let path = path.as_ref();
        read_header(path, &mut VoxelStream::open(path)?)
    }

    /// File of the scan.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Grid of the scan, in the file's own orientation.
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// Which volume of a series was asked for, counted from 0.
    pub fn volume_index(&self) -> Option<usize> {
        self.volume_index
    }

    /// Greatest distance of a voxel from the value that was meant, where the file stores integers with a slope: half of the
    /// slope. 0 where it stores values as they are.
    pub fn rounding(&self) -> f32 {
        match (self.datatype, self.scaling) {
            (Datatype::Float32 | Datatype::Float64, _) | (_, (1.0, 0.0)) => 0.0,
            (_, (slope, _)) => (slope.abs() / 2.0) as f32,
        }
    }

    /// Whether 32-bit floats hold the values of the file in their order: it stores 32-bit floats as they are, or integers of at
    /// most 16 bits without an offset that swamps them.
    pub fn fits_32_bits(&self) -> bool {
        let (slope, inter) = self.scaling;
        match self.datatype {
            Datatype::Float32 => inter == 0.0,
            Datatype::Uint8 | Datatype::Int8 | Datatype::Uint16 | Datatype::Int16 => {
                inter.abs() < 64.0 * 65536.0 * slope.abs()
            }
            _ => false,
        }
    }

    /// Refuses a series, which is read with [`ReadOptions::volume_index`] alone.
    ///
    /// # Errors
    /// [`VolumeError::SeveralVolumes`].
    pub fn ensure_one_volume(&self) -> Result<(), VolumeError> {
        choose(self, None).map(|_| ())
    }

    /// Volumes of the series: the product of all sizes after the third.
    pub(crate) fn volumes(&self) -> usize {
        self.sizes.iter().skip(3).product()
    }
}
