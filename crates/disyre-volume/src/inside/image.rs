//! [`Image`]: a scan that is read to be worked on, checked at the door.

use std::path::Path;

use disyre_core::ndarray::{Array3, Zip};

use super::{Background, ScanContent};
use crate::brain_mask::read_mask_of;
use crate::{ReadOptions, Scan, VolumeError, read_values};

/// A scan that is read to be worked on, with its brain mask if it has one.
///
/// Its background is exactly 0 where there is no mask, and every voxel is finite.
///
/// ```
/// use disyre_core::ndarray::Array3;
/// use disyre_volume::{Background, Grid, Image, ImageOptions, Volume, write_volume};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("scan.nii");
/// let grid = Grid::from_spacing([8; 3], [1.0; 3]);
/// let scan = Array3::from_shape_fn(grid.shape, |(z, y, x)| if z < 4 { 0.002 } else { (64 * z + 8 * y + x) as f32 });
/// write_volume(&path, &Volume::new(scan, grid)?)?;
/// let image = Image::read(&path, &ImageOptions::default())?;
/// assert_eq!(image.background, Background::NearZero { level: 0.002, voxels: 256 });
/// assert_eq!(image.scan.volume.data[[0, 0, 0]], 0.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Image {
    /// The scan.
    pub scan: Scan,
    /// Brain on its grid, 1 inside; `None`: no mask was given.
    pub mask: Option<Array3<u8>>,
    /// The background that the file had; not looked at where there is a mask.
    pub background: Background,
}

/// Options of [`Image::read`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImageOptions<'a> {
    /// Volume of a series to read, counted from 0; `None` reads a file with one volume and refuses a series.
    pub volume_index: Option<usize>,
    /// Brain mask on the grid of the scan: voxels outside may hold anything.
    pub mask: Option<&'a Path>,
    /// True where a head may come: its background may hold anything.
    pub may_be_head: bool,
}

impl Image {
    /// Reads a scan, and its mask.
    ///
    /// Logs a warning where a background is close to 0 and counts as 0.
    ///
    /// # Errors
    /// Those of [`Scan::read_with`] and of [`read_mask`](crate::read_mask); [`VolumeError::NotAScan`] for a mask or a
    /// segmentation, [`VolumeError::Constant`] for one value; [`VolumeError::BackgroundNotZero`] for a scan without mask whose background is another value, or
    /// several close to 0, unless a head may come; [`VolumeError::NotFinite`] for voxels without a value inside the mask.
    pub fn read(path: impl AsRef<Path>, options: &ImageOptions<'_>) -> Result<Self, VolumeError> {
        let read = ReadOptions { volume_index: options.volume_index };
        let (header, mut data) = read_values::<f32>(path, &read)?;
        let mask = options.mask.map(|mask| read_mask_of(mask, &header)).transpose()?;
        if let Some(mask) = &mask {
            Zip::from(&mut data).and(mask).par_for_each(|value, &inside| {
                if inside == 0 && !value.is_finite() {
                    *value = 0.0;
                }
            });
        }
        let mut scan = Scan::new(header, data)?;
        ensure_scan(&scan)?;
        let background = match mask {
            Some(_) => Background::Zero,
            None => Background::of(scan.volume.data.view()),
        };
        if !(background.is_certain() || options.may_be_head) {
            let path = scan.path().to_owned();
            return Err(VolumeError::BackgroundNotZero { path, background });
        }
        if let (true, Some(words)) = (background.is_certain(), background.in_words()) {
            background.clear(&mut scan.volume.data);
            log::warn!("{}: {words}; they count as background", scan.path().display());
        }
        Ok(Self { scan, mask, background })
    }
}

/// Refuses masks and segmentations where a scan is expected.
fn ensure_scan(scan: &Scan) -> Result<(), VolumeError> {
    let value = scan.volume.data[[0, 0, 0]];
    // Zeros alone have no brain, and say so later.
    if value != 0.0 && scan.volume.data.iter().all(|other| *other == value) {
        return Err(VolumeError::Constant { path: scan.path().to_owned(), value });
    }
    match ScanContent::of(scan.volume.data.view()) {
        ScanContent::Intensities => Ok(()),
        content => Err(VolumeError::NotAScan { path: scan.path().to_owned(), content }),
    }
}
