//! Slices and textures for the galleries of anomalies, `dag_gallery` and `dag_shapes`.

use std::error::Error;
use std::path::Path;

use disyre::volume::{IntensityScaling, Scan, find_scans, nonzero_mask, to_ras};
use disyre_core::ndarray::{Array2, Array3, Array4};
use disyre_core::{Key, Volume};
use disyre_dag::{Sources, textures::VolumeBank};
use disyre_tissue::Codebook;

use crate::{brain_slice, picture};

/// Voxels of the image around a window of 44² in a picture.
const MARGIN: usize = 6;

/// At most eight volumes, as stored, of the folder that an environment variable names; none if it is not set.
///
/// # Errors
/// If the folder or a file cannot be read.
pub fn volumes(variable: &str) -> Result<Vec<Volume>, Box<dyn Error>> {
    let Some(folder) = std::env::var_os(variable) else { return Ok(Vec::new()) };
    let paths = find_scans(Path::new(&folder))?;
    paths.iter().take(8).map(|path| Ok(Scan::read(path)?.volume)).collect()
}

/// Eight slices of 104 × 88 voxels, `(1, 1, y, x)`: of T1 scans in the folder `DISYRE_GALLERY_SCANS`, else synthetic.
///
/// # Errors
/// If the folder or a scan cannot be read.
pub fn slices() -> Result<Vec<Array4<f32>>, Box<dyn Error>> {
    let scans = volumes("DISYRE_GALLERY_SCANS")?;
    if scans.is_empty() {
        return Ok((0..8u64).map(|index| brain_slice(Key::new(1).child(index), 104, 88)).collect());
    }
    scans.iter().map(slice_of).collect()
}

/// The axial slice a little above the middle of a scan, centred, with y downwards.
fn slice_of(scan: &Volume) -> Result<Array4<f32>, Box<dyn Error>> {
    let mut volume = to_ras(scan).data;
    let mask = nonzero_mask(volume.view());
    let range = IntensityScaling::Brain { upper: 0.995 }.fit(volume.view(), mask.view(), None)?;
    range.apply(&mut volume.view_mut());
    let (depth, height, width) = volume.dim();
    Ok(Array4::from_shape_fn((1, 1, 104, 88), |(_, _, y, x)| {
        // An index below 0 wraps to one beyond the last voxel.
        let (y, x) = ((height / 2 + 51).wrapping_sub(y), (width / 2 + x).wrapping_sub(44));
        volume.get([depth * 11 / 20, y, x]).copied().unwrap_or(0.0)
    }))
}

/// Textures from all slices but the first, and the published tissues.
///
/// # Errors
/// If there are no such slices, or one is empty.
pub fn sources(slices: &[Array4<f32>]) -> Result<Sources, Box<dyn Error>> {
    let foreign = slices.get(1..).unwrap_or_default().to_vec();
    Ok(Sources::new().with_textures(VolumeBank::new(foreign)?).with_tissues(Codebook::published()))
}

/// Weights of the centres of anomalies: 1 near the middle of a slice, as an anomaly on the rim shows little.
pub fn middle() -> Array3<f32> {
    Array3::from_shape_fn((1, 104, 88), |(_, y, x)| {
        f32::from(u8::from((38..66).contains(&y) && (32..56).contains(&x)))
    })
}

/// True if two images differ visibly: in at least 30 voxels by at least 0.06, 15 of 255 grey levels.
pub fn visible(a: &Array4<f32>, b: &Array4<f32>) -> bool {
    a.iter().zip(b).filter(|(a, b)| (*a - *b).abs() >= 0.06).count() >= 30
}

/// A window of 44² at an origin, with a margin; 0 outside the image.
pub fn close_up(image: &Array4<f32>, [_, y, x]: [usize; 3]) -> Array2<f32> {
    let whole = picture(image);
    Array2::from_shape_fn((44 + 2 * MARGIN, 44 + 2 * MARGIN), |(row, column)| {
        // An index below 0 wraps to one beyond the last voxel.
        let at = [(y + row).wrapping_sub(MARGIN), (x + column).wrapping_sub(MARGIN)];
        whole.get(at).copied().unwrap_or(0.0)
    })
}
