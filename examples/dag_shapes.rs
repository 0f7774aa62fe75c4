//! One family of anomalies in all shapes, with the mask below each: rectangle, disc, ellipsoid, blob, a stored mask, union,
//! difference, and an ellipsoid of a size in millimetres.
//!
//! Takes scans as `dag_gallery` does, and stored masks from the folder `DISYRE_GALLERY_MASKS` if it is set.

use std::error::Error;
use std::sync::Arc;

use disyre_core::ndarray::{Array3, Array4, Axis};
use disyre_core::{Key, Severity};
use disyre_dag::{
    Family, Scene,
    shapes::{
        BlobConfig, DiscConfig, EllipsoidConfig, MaskConfig, MaskFrame, RectangleConfig,
        ShapeConfig, ShapeSource, SizeConfig,
    },
};
use disyre_examples::gallery::{close_up, slices, sources, volumes};
use disyre_examples::{enlarged, montage, output_folder, write_png};

fn main() -> Result<(), Box<dyn Error>> {
    let (folder, slices) = (output_folder("dag_shapes")?, slices()?);
    let (base, clean) = (sources(&slices)?, &slices[0]);
    let mut places = Array3::zeros((1, 104, 88));
    places[[0, 50, 58]] = 1.0;
    let scene = Scene { places: Some(places.view()), ..clean.view().into() };
    let mut rows = [Vec::new(), Vec::new()];
    for (name, shapes) in shapes()? {
        let sources = base.clone().with_shapes(shapes);
        let anomalies = Family::NoiseTexture.config([1, 44, 44]).build(&sources)?;
        let recipe = anomalies.draw(Key::new(3).child("shapes")).at(Severity::FULL);
        let mut corrupted = Array4::zeros(clean.dim());
        let mask = anomalies.apply(&recipe, scene, corrupted.view_mut())?.mask;
        println!("{name}: {} voxels", mask.voxels_above(0.5));
        let shown = close_up(&mask.to_image([1, 104, 88])?.insert_axis(Axis(0)), mask.origin);
        if mask.voxels_above(0.5) < 30 || rows[1].contains(&shown) {
            return Err(format!("{name} shows nothing of its own").into());
        }
        rows[0].push(close_up(&corrupted, mask.origin));
        rows[1].push(shown);
    }
    Ok(write_png(&folder.join("shapes.png"), &enlarged(&montage(&rows)))?)
}

type Named = (&'static str, Arc<dyn ShapeSource>);

fn shapes() -> Result<Vec<Named>, Box<dyn Error>> {
    let (rectangle, disc) = (RectangleConfig::default(), DiscConfig::default());
    let (rectangle, disc) = (ShapeConfig::Rectangle(rectangle), ShapeConfig::Disc(disc));
    let ellipsoid = ShapeConfig::Ellipsoid(EllipsoidConfig {
        diameter: [14.0, 50.0],
        ..EllipsoidConfig::default()
    });
    let blob = ShapeConfig::Blob(BlobConfig {
        area: vec![[0.0, 0.2], [1.0, 0.3]],
        ..BlobConfig::default()
    });
    let whole = EllipsoidConfig { diameter: [64.0; 2], ..EllipsoidConfig::default() };
    let size = SizeConfig { size_mm: [30.0; 2], spacing_mm: [2.0; 3] };
    let mut shapes: Vec<Named> = vec![
        ("rectangle", rectangle.clone().build()?),
        ("disc", disc.clone().build()?),
        ("ellipsoid", ellipsoid.clone().build()?),
        ("blob", blob.clone().build()?),
        ("union", ShapeConfig::Union(Box::new([rectangle.clone(), ellipsoid])).build()?),
        ("difference", ShapeConfig::Difference(Box::new([blob, disc])).build()?),
        ("30 mm", ShapeConfig::Sized(size, Box::new(ShapeConfig::Ellipsoid(whole))).build()?),
    ];
    let masks = volumes("DISYRE_GALLERY_MASKS")?;
    if !masks.is_empty() {
        let masks = masks.iter().map(|mask| mask.data.mapv(|value| u8::from(value > 0.5)));
        let (frame, span) = (MaskFrame::BoundingBox, [[1.0, 1.3]; 2]);
        let config = MaskConfig { frame, span, rotation_degrees: 90.0 };
        shapes.insert(4, ("stored mask", Arc::new(config.build(masks.collect())?)));
    }
    Ok(shapes)
}
