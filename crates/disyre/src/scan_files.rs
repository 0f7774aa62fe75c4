//! [`ScanFiles`]: voxels of scans in temporary files.

use std::mem::take;
use std::path::PathBuf;

use disyre_core::ndarray::Array3;
use disyre_core::{Grid, TemporaryFolder, Volume, sweep};
use disyre_volume::{Scan, write_volume};

use crate::source_scan::AlignedScan;
use crate::{Error, LocationMap, Segmentation, SourceScan};

/// Voxels of scans in temporary files, by the index of the scan; they are removed with this value.
///
/// The files are in the system's folder of temporary files (`TMPDIR`), 4 bytes a voxel of the working grid and as much again
/// for a brain, a segmentation and a location map.
#[derive(Debug)]
pub(crate) struct ScanFiles(TemporaryFolder);

/// A part of a scan that has a file.
#[derive(Debug, Clone, Copy)]
enum Part {
    Volume,
    Brain,
    Segmentation,
    Locations,
}

impl ScanFiles {
    /// # Errors
    /// [`Error::Io`] for a folder that cannot be made.
    pub(crate) fn new() -> Result<Self, Error> {
        let folder = std::env::temp_dir();
        sweep(&folder);
        Ok(Self(TemporaryFolder::new_in(&folder).map_err(Error::io("create", &folder))?))
    }

    /// Moves the voxels of a prepared scan to files. Mask and field are dropped: samples need neither.
    ///
    /// # Errors
    /// [`Error::Volume`] for a file that cannot be written.
    pub(crate) fn put(&self, index: usize, scan: &mut SourceScan) -> Result<(), Error> {
        let grid = scan.prepared.volume.grid;
        let prepared = &mut scan.prepared;
        self.write(index, Part::Volume, take(&mut prepared.volume.data), grid)?;
        (prepared.mask, prepared.field) = (Array3::default([0; 3]), None);
        self.put_beside(index, grid, &mut scan.segmentation, &mut scan.locations)
    }

    /// Reads the voxels again that [`put`](Self::put) wrote.
    ///
    /// # Errors
    /// [`Error::Volume`] for a file that cannot be read.
    pub(crate) fn get(&self, index: usize, scan: &mut SourceScan) -> Result<(), Error> {
        scan.prepared.volume.data = self.read(index, Part::Volume)?;
        self.get_beside(index, &mut scan.segmentation, &mut scan.locations)
    }

    /// Moves the voxels of a scan that is not scaled yet to files.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub(crate) fn put_aligned(&self, index: usize, scan: &mut AlignedScan) -> Result<(), Error> {
        let (kept, grid) = (scan.unscaled.kept_grid(), scan.unscaled.grid());
        let (data, mask) = scan.unscaled.voxels_mut();
        self.write(index, Part::Volume, take(data), kept)?;
        self.write(index, Part::Brain, take(mask).mapv(f32::from), kept)?;
        self.put_beside(index, grid, &mut scan.segmentation, &mut scan.locations)
    }

    /// Reads the voxels again that [`put_aligned`](Self::put_aligned) wrote.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub(crate) fn get_aligned(&self, index: usize, scan: &mut AlignedScan) -> Result<(), Error> {
        let (data, mask) = scan.unscaled.voxels_mut();
        *data = self.read(index, Part::Volume)?;
        *mask = self.read(index, Part::Brain)?.mapv(|inside| u8::from(inside != 0.0));
        self.get_beside(index, &mut scan.segmentation, &mut scan.locations)
    }

    fn put_beside(
        &self,
        index: usize,
        grid: Grid,
        segmentation: &mut Option<Segmentation>,
        locations: &mut Option<LocationMap>,
    ) -> Result<(), Error> {
        if let Some(Segmentation { codes, .. }) = segmentation {
            // They were read as such numbers.
            self.write(index, Part::Segmentation, take(codes).mapv(|code| code as f32), grid)?;
        }
        if let Some(LocationMap { weights, .. }) = locations {
            self.write(index, Part::Locations, take(weights).into_owned(), grid)?;
        }
        Ok(())
    }

    fn get_beside(
        &self,
        index: usize,
        segmentation: &mut Option<Segmentation>,
        locations: &mut Option<LocationMap>,
    ) -> Result<(), Error> {
        if let Some(Segmentation { codes, .. }) = segmentation {
            *codes = self.read(index, Part::Segmentation)?.mapv(|code| code as i32).into_shared();
        }
        if let Some(LocationMap { weights, .. }) = locations {
            *weights = self.read(index, Part::Locations)?.into_shared();
        }
        Ok(())
    }

    fn write(&self, index: usize, part: Part, data: Array3<f32>, grid: Grid) -> Result<(), Error> {
        Ok(write_volume(&self.file(index, part), &Volume { data, grid })?)
    }

    fn read(&self, index: usize, part: Part) -> Result<Array3<f32>, Error> {
        Ok(Scan::read(self.file(index, part))?.volume.data)
    }

    fn file(&self, index: usize, part: Part) -> PathBuf {
        let part = match part {
            Part::Volume => "volume",
            Part::Brain => "brain",
            Part::Segmentation => "segmentation",
            Part::Locations => "locations",
        };
        self.0.path().join(format!("{index}-{part}.nii"))
    }
}
