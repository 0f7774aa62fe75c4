//! Voxel types of NIfTI, and decoding of stored numbers.
use std::path::Path;

use super::header::Endian;
use crate::VolumeError;

/// Voxel types that are read: one real number per voxel, at most 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Datatype {
    Uint8,
    Int8,
    Uint16,
    Int16,
    Uint32,
    Int32,
    Uint64,
    Int64,
    Float32,
    Float64,
}

/// Precision that voxels are read in: `f32` or `f64`.
pub trait VoxelValue: sealed::Sealed + Copy + Send + Sync + 'static {
    /// The nearest value of this precision.
    fn from_f64(value: f64) -> Self;
    /// False for NaN and infinities.
    fn is_finite(self) -> bool;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

impl VoxelValue for f32 {
    fn from_f64(value: f64) -> Self {
        value as f32
    }

    fn is_finite(self) -> bool {
        self.is_finite()
    }
}

impl VoxelValue for f64 {
    fn from_f64(value: f64) -> Self {
        value
    }

    fn is_finite(self) -> bool {
        self.is_finite()
    }
}

impl Datatype {
    /// Type with this code of `nifti1.h`.
    pub(crate) fn from_code(path: &Path, code: i16) -> Result<Self, VolumeError> {
        let name = match code {
            2 => return Ok(Self::Uint8),
            4 => return Ok(Self::Int16),
            8 => return Ok(Self::Int32),
            16 => return Ok(Self::Float32),
            64 => return Ok(Self::Float64),
            256 => return Ok(Self::Int8),
            512 => return Ok(Self::Uint16),
            768 => return Ok(Self::Uint32),
            1024 => return Ok(Self::Int64),
            1280 => return Ok(Self::Uint64),
            1 => "BINARY",
            32 => "COMPLEX64",
            128 => "RGB24",
            1536 => "FLOAT128",
            1792 => "COMPLEX128",
            2048 => "COMPLEX256",
            2304 => "RGBA32",
            _ => "unknown",
        };
        Err(VolumeError::Datatype { path: path.to_owned(), code, name })
    }

    pub(crate) fn code(self) -> i16 {
        match self {
            Self::Uint8 => 2,
            Self::Int16 => 4,
            Self::Int32 => 8,
            Self::Float32 => 16,
            Self::Float64 => 64,
            Self::Int8 => 256,
            Self::Uint16 => 512,
            Self::Uint32 => 768,
            Self::Int64 => 1024,
            Self::Uint64 => 1280,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Uint8 => "uint8",
            Self::Int8 => "int8",
            Self::Uint16 => "uint16",
            Self::Int16 => "int16",
            Self::Uint32 => "uint32",
            Self::Int32 => "int32",
            Self::Uint64 => "uint64",
            Self::Int64 => "int64",
            Self::Float32 => "float32",
            Self::Float64 => "float64",
        }
    }

    /// Bytes of one voxel.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::Uint8 | Self::Int8 => 1,
            Self::Uint16 | Self::Int16 => 2,
            Self::Uint32 | Self::Int32 | Self::Float32 => 4,
            Self::Uint64 | Self::Int64 | Self::Float64 => 8,
        }
    }

    /// Appends the voxels in `bytes` to `voxels`: `slope · stored + inter`, computed in `f64` and rounded to `T`.
    #[expect(
        clippy::cast_lossless,
        reason = "one macro for all types; 64-bit integers have no `From`"
    )]
    pub(crate) fn decode<T: VoxelValue>(
        self,
        endian: Endian,
        (slope, inter): (f64, f64),
        bytes: &[u8],
        voxels: &mut Vec<T>,
    ) {
        macro_rules! extend {
            ($type:ty) => {{
                const SIZE: usize = size_of::<$type>();
                let (stored, _) = bytes.as_chunks::<SIZE>();
                let scale = |value: $type| T::from_f64(slope * value as f64 + inter);
                match endian {
                    Endian::Little => {
                        voxels.extend(stored.iter().map(|&b| scale(<$type>::from_le_bytes(b))));
                    }
                    Endian::Big => {
                        voxels.extend(stored.iter().map(|&b| scale(<$type>::from_be_bytes(b))));
                    }
                }
            }};
        }
        match self {
            Self::Uint8 => extend!(u8),
            Self::Int8 => extend!(i8),
            Self::Uint16 => extend!(u16),
            Self::Int16 => extend!(i16),
            Self::Uint32 => extend!(u32),
            Self::Int32 => extend!(i32),
            Self::Uint64 => extend!(u64),
            Self::Int64 => extend!(i64),
            Self::Float32 => extend!(f32),
            Self::Float64 => extend!(f64),
        }
    }

    /// Appends voxels to `bytes` as they are stored: the number nearest to `(voxel − inter) / slope`, computed in `f64`;
    /// beyond the range of the type, its end.
    pub(crate) fn encode(
        self,
        endian: Endian,
        (slope, inter): (f64, f64),
        voxels: impl Iterator<Item = f32>,
        bytes: &mut Vec<u8>,
    ) {
        let stored = voxels.map(|voxel| (f64::from(voxel) - inter) / slope);
        macro_rules! extend {
            ($type:ty, $number:expr) => {{
                let numbers = stored.map(|value: f64| $number(value) as $type);
                match endian {
                    Endian::Little => bytes.extend(numbers.flat_map(<$type>::to_le_bytes)),
                    Endian::Big => bytes.extend(numbers.flat_map(<$type>::to_be_bytes)),
                }
            }};
        }
        match self {
            Self::Uint8 => extend!(u8, f64::round),
            Self::Int8 => extend!(i8, f64::round),
            Self::Uint16 => extend!(u16, f64::round),
            Self::Int16 => extend!(i16, f64::round),
            Self::Uint32 => extend!(u32, f64::round),
            Self::Int32 => extend!(i32, f64::round),
            Self::Uint64 => extend!(u64, f64::round),
            Self::Int64 => extend!(i64, f64::round),
            Self::Float32 => extend!(f32, std::convert::identity),
            Self::Float64 => extend!(f64, std::convert::identity),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_numbers_are_scaled_in_either_byte_order() {
        let mut voxels = Vec::<f32>::new();
        Datatype::Int16.decode(Endian::Little, (0.5, 1.0), &[0xfe, 0xff, 4, 0], &mut voxels);
        Datatype::Int16.decode(Endian::Big, (0.5, 1.0), &[0xff, 0xfe, 0, 4], &mut voxels);
        assert_eq!(voxels, [0.0, 3.0, 0.0, 3.0]);
    }

    #[test]
    fn voxels_are_stored_as_they_were_read_and_nothing_leaves_the_range() {
        let bytes = [0xfe, 0xff, 4, 0, 0x34, 0x12, 0, 0x80];
        for endian in [Endian::Little, Endian::Big] {
            let (mut voxels, mut again) = (Vec::<f32>::new(), Vec::new());
            Datatype::Int16.decode(endian, (0.37, 1.5), &bytes, &mut voxels);
            Datatype::Int16.encode(endian, (0.37, 1.5), voxels.into_iter(), &mut again);
            assert_eq!(again, bytes);
        }
        let mut stored = Vec::new();
        let voxels = [-3.0, 1.4, 254.6, 400.0].into_iter();
        Datatype::Uint8.encode(Endian::Little, (1.0, 0.0), voxels, &mut stored);
        assert_eq!(stored, [0, 1, 255, 255]);
    }

    #[test]
    fn a_code_names_its_type_and_gives_itself_back() {
        for code in [2, 4, 8, 16, 64, 256, 512, 768, 1024, 1280] {
            assert_eq!(Datatype::from_code(Path::new("a"), code).unwrap().code(), code);
        }
        let error = Datatype::from_code(Path::new("a.nii"), 128).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a.nii holds voxels of type RGB24 (code 128); convert them to float32 or an integer type of at most 64 bits"
        );
    }
}
