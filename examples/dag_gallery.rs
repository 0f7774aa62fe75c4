//! A gallery of synthetic anomalies. One row a family; columns: the clean slice, then for the family's own shapes, for
//! ellipses and for blobs the severities ¼, ½ and 1 of the same draw, then what has changed in the last one. The first
//! four of each row are also pictures of their own.
//!
//! Shows a T1 scan out of the folder `DISYRE_GALLERY_SCANS` with textures of others there, else drawn slices. The same
//! seed draws the same gallery.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use disyre::volume::{IntensityScaling, ReadOptions, Scan, find_scans, nonzero_mask, to_ras};
use disyre_core::ndarray::{Array3, Array4};
use disyre_core::{Key, Severity};
use disyre_dag::{BlobConfig, EllipsoidConfig, Family, Scene, ShapeConfig, Sources, VolumeBank};
use disyre_examples::{brain_slice, montage, output_folder, picture, write_png};
use disyre_tissue::Codebook;

fn main() -> Result<(), Box<dyn Error>> {
    let (folder, slices) = (output_folder("dag_gallery")?, slices()?);
    let clean = &slices[0];
    let base = Sources {
        shapes: None,
        textures: Some(Arc::new(VolumeBank::new(slices[1..].to_vec())?)),
        tissues: Some(Arc::new(Codebook::published())),
    };
    let blobs = BlobConfig { area: vec![[0.0, 0.1], [1.0, 0.35]], ..BlobConfig::default() };
    let ellipses = EllipsoidConfig { diameter: [14.0, 44.0], ..EllipsoidConfig::default() };
    let shapes = [None, Some(ShapeConfig::Ellipsoid(ellipses)), Some(ShapeConfig::Blob(blobs))];
    // Near the middle: an anomaly on the rim shows little.
    let places = Array3::from_shape_fn((1, 104, 88), |(_, y, x)| {
        f32::from(u8::from((38..66).contains(&y) && (32..56).contains(&x)))
    });
    let scene = Scene { places: Some(places.view()), ..clean.view().into() };
    let mut rows = Vec::new();
    for family in Family::ALL {
        let mut row = vec![picture(clean)];
        let mut corrupted = clean.clone();
        for (index, shape) in shapes.iter().enumerate() {
            let shapes = shape.clone().map(ShapeConfig::build).transpose()?;
            let sources = Sources { shapes, ..base.clone() };
            let anomalies = family.config([1, 44, 44]).build(&sources)?;
            let recipe = anomalies.draw(Key::new(8).child("gallery").child(index));
            for severity in [0.25, 0.5, 1.0] {
                let recipe = recipe.clone().at(Severity::new(severity)?);
                let realised = anomalies.apply(&recipe, scene, corrupted.view_mut())?;
                row.push(picture(&corrupted));
                println!("{family} {index} at {severity}: realised {:.2}", realised.severity);
            }
        }
        row.push(picture(&(&corrupted - clean).mapv(f32::abs)));
        write_png(&folder.join(format!("{family}.png")), &montage(&[row[..4].to_vec()]))?;
        rows.push(row);
    }
    Ok(write_png(&folder.join("gallery.png"), &montage(&rows))?)
}

/// Slices of 104 × 88 voxels, `(1, 1, y, x)`.
fn slices() -> Result<Vec<Array4<f32>>, Box<dyn Error>> {
    let Some(folder) = std::env::var_os("DISYRE_GALLERY_SCANS") else {
        return Ok((0..8u64).map(|index| brain_slice(Key::new(1).child(index), 104, 88)).collect());
    };
    let paths = find_scans(Path::new(&folder))?;
    paths.iter().take(8).map(|path| slice_of(path)).collect()
}

/// The axial slice a little above the middle of a scan, with y downwards, in the middle of the picture.
fn slice_of(path: &Path) -> Result<Array4<f32>, Box<dyn Error>> {
    let mut volume = to_ras(&Scan::read(path, &ReadOptions::default())?.volume).data;
    let mask = nonzero_mask(volume.view());
    let range = IntensityScaling::Brain { upper: 0.995 }.fit(volume.view(), mask.view())?;
    range.apply(&mut volume.view_mut());
    let (depth, height, width) = volume.dim();
    Ok(Array4::from_shape_fn((1, 1, 104, 88), |(_, _, y, x)| {
        // What lies before the first voxel wraps to where there is none.
        let (y, x) = ((height / 2 + 51).wrapping_sub(y), (width / 2 + x).wrapping_sub(44));
        let at = [depth * 11 / 20, y, x];
        volume.get(at).copied().unwrap_or(0.0)
    }))
}
