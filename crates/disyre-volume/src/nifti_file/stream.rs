//! Bytes of a NIfTI file, compressed or not, with a bound on its length.
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::datatype::{Datatype, VoxelValue};
use super::gzip::GzipMembers;
use super::header::Endian;
use crate::VolumeError;
use crate::memory::vector_of;

/// A byte stream with a name and a bound on its length; gzip is recognised by content, not by name.
pub(crate) struct VoxelStream {
    path: PathBuf,
    reader: Box<dyn Read>,
    compressed: bool,
    /// No more bytes than this can come.
    bound: u64,
    position: u64,
}

impl VoxelStream {
    pub(crate) fn open(path: &Path) -> Result<Self, VolumeError> {
        let fail = |source| VolumeError::Read { path: path.to_owned(), source };
        // A pipe is waited for when it is opened, without end if nobody writes to it.
        let kind = std::fs::metadata(path).map_err(fail)?.file_type();
        if !kind.is_file() && !kind.is_dir() {
            let reason = "it is a pipe, a socket or a device; write the scan to a file first";
            return Err(VolumeError::NotNifti { path: path.to_owned(), reason });
        }
        let file = File::open(path).map_err(fail)?;
        let length = file.metadata().map_err(fail)?.len();
        Self::new(path, BufReader::with_capacity(1 << 16, file), length)
    }

    /// The stream of a file's bytes in memory.
    pub(crate) fn of_bytes(path: &Path, bytes: &'static [u8]) -> Result<Self, VolumeError> {
        Self::new(path, Cursor::new(bytes), bytes.len() as u64)
    }

    fn new(
        path: &Path,
        mut file: impl BufRead + 'static,
        length: u64,
    ) -> Result<Self, VolumeError> {
        /// DEFLATE cannot shrink data further than this (zlib's technical notes).
        const DEFLATE_LIMIT: u64 = 1032;
        let fail = |source| VolumeError::Read { path: path.to_owned(), source };
        let compressed = file.fill_buf().map_err(fail)?.starts_with(&[0x1f, 0x8b]);
        let (reader, bound): (Box<dyn Read>, u64) = if compressed {
            (Box::new(GzipMembers::new(file)), length.saturating_mul(DEFLATE_LIMIT))
        } else {
            (Box::new(file), length)
        };
        Ok(Self { path: path.to_owned(), reader, compressed, bound, position: 0 })
    }

    /// Refuses a file that cannot hold `expected` bytes, before anything is allocated for them.
    pub(crate) fn ensure_holds(&self, expected: u128) -> Result<(), VolumeError> {
        if expected <= u128::from(self.bound) {
            return Ok(());
        }
        let relation = if self.compressed { "at most " } else { "" };
        let (path, held) = (self.path.clone(), self.bound);
        Err(VolumeError::Truncated { path, expected, relation, held })
    }

    /// Fills `buffer`; `expected` is the file's announced length, for the error.
    pub(crate) fn fill(&mut self, buffer: &mut [u8], expected: u128) -> Result<(), VolumeError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.reader.read(&mut buffer[filled..]) {
                Ok(0) => return Err(self.cut_short(filled, expected)),
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    return Err(self.cut_short(filled, expected));
                }
                Err(source) => return Err(self.fail(source)),
            }
        }
        self.position += filled as u64;
        Ok(())
    }

    /// Skips voxels of no interest.
    pub(crate) fn skip(&mut self, bytes: u64, expected: u128) -> Result<(), VolumeError> {
        let copied = io::copy(&mut self.reader.by_ref().take(bytes), &mut io::sink());
        match copied {
            Ok(count) if count == bytes => {
                self.position += bytes;
                Ok(())
            }
            Ok(count) => Err(self.cut_short(count as usize, expected)),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                Err(self.cut_short(0, expected))
            }
            Err(source) => Err(self.fail(source)),
        }
    }

    /// Reads and scales `count` voxels, a piece at a time.
    pub(crate) fn voxels<T: VoxelValue>(
        &mut self,
        count: usize,
        datatype: Datatype,
        endian: Endian,
        scaling: (f64, f64),
        expected: u128,
    ) -> Result<Vec<T>, VolumeError> {
        const PIECE: usize = 1 << 15;
        let beyond =
            |excess| VolumeError::Memory { path: self.path.clone(), voxels: count, excess };
        let mut voxels = vector_of(count).map_err(beyond)?;
        let mut buffer = vec![0; PIECE.min(count) * datatype.size()];
        while voxels.len() < count {
            let bytes = PIECE.min(count - voxels.len()) * datatype.size();
            self.fill(&mut buffer[..bytes], expected)?;
            datatype.decode(endian, scaling, &buffer[..bytes], &mut voxels);
        }
        Ok(voxels)
    }

    /// Reads what is left of a gzip stream, for at its end stands the checksum of all.
    pub(crate) fn finish(&mut self, expected: u128) -> Result<(), VolumeError> {
        if !self.compressed {
            return Ok(());
        }
        match io::copy(&mut self.reader, &mut io::sink()) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                Err(self.cut_short(0, expected))
            }
            Err(source) => Err(self.fail(source)),
        }
    }

    fn cut_short(&self, more: usize, expected: u128) -> VolumeError {
        let held = self.position + more as u64;
        VolumeError::Truncated { path: self.path.clone(), expected, relation: "", held }
    }

    fn fail(&self, source: io::Error) -> VolumeError {
        let path = self.path.clone();
        match source.kind() {
            ErrorKind::InvalidData | ErrorKind::InvalidInput if self.compressed => {
                VolumeError::Damaged { path, source }
            }
            _ => VolumeError::Read { path, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, GzBuilder};
    use std::io::Write;

    fn opened(bytes: &[u8]) -> VoxelStream {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        VoxelStream::open(file.path()).unwrap()
    }

    fn compressed(bytes: &[u8]) -> Vec<u8> {
        let mut out = GzBuilder::new().write(Vec::new(), Compression::new(6));
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    }

    #[test]
    fn two_numbers_are_skipped_and_the_third_is_read() {
        for bytes in [vec![1, 2, 3], compressed(&[1, 2, 3])] {
            let mut stream = opened(&bytes);
            stream.skip(2, 3).unwrap();
            let voxels: Vec<f32> =
                stream.voxels(1, Datatype::Uint8, Endian::Little, (2.0, 1.0), 3).unwrap();
            assert_eq!(voxels, [7.0]);
            stream.finish(3).unwrap();
        }
    }

    #[test]
    fn a_file_that_ends_early_says_how_much_it_holds() {
        let error = opened(&[1, 2, 3]).fill(&mut [0; 5], 5).unwrap_err();
        let held = matches!(error, VolumeError::Truncated { expected: 5, held: 3, .. });
        assert!(held, "{error}");
        let error = opened(&[1, 2, 3]).ensure_holds(4).unwrap_err();
        assert!(matches!(error, VolumeError::Truncated { expected: 4, held: 3, .. }), "{error}");
    }

    #[test]
    fn a_compressed_file_may_hold_1032_times_its_bytes() {
        let bytes = compressed(&[0; 100]);
        let most = bytes.len() as u128 * 1032;
        let stream = opened(&bytes);
        stream.ensure_holds(most).unwrap();
        assert!(stream.ensure_holds(most + 1).unwrap_err().to_string().contains("at most"));
    }
}
