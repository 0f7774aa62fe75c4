//! A gallery of synthetic anomalies: one row per family, with its own shapes, with ellipses and with blobs. Each has five
//! columns: the clean window, the same draw at severities ¼, ½ and 1, and the difference. A family's own shapes are also
//! written as a picture by themselves. The key of a row is the first whose anomaly is visible at severity ¼. The example
//! fails if there is none, or if two families look the same.
//!
//! Takes T1 scans from the folder `DISYRE_GALLERY_SCANS` if it is set, else synthetic slices.

use std::error::Error;

use disyre_core::ndarray::{Array2, Array4};
use disyre_core::{Key, Severity};
use disyre_dag::{
    AnomalyConfig, Family, Scene, Sources,
    config::{PartConfig, TissueOrigin},
    shapes::{BlobConfig, EllipsoidConfig, ShapeConfig},
};
use disyre_examples::gallery::{close_up, middle, slices, sources, visible};
use disyre_examples::{enlarged, montage, output_folder, write_png};

fn main() -> Result<(), Box<dyn Error>> {
    let (folder, slices) = (output_folder("dag_gallery")?, slices()?);
    let (places, base) = (middle(), sources(&slices)?);
    let scene = Scene { places: Some(places.view()), ..slices[0].view().into() };
    let blobs = BlobConfig { area: vec![[0.0, 0.1], [1.0, 0.35]], ..BlobConfig::default() };
    let ellipses = EllipsoidConfig { diameter: [14.0, 44.0], ..EllipsoidConfig::default() };
    let shapes = [None, Some(ShapeConfig::Ellipsoid(ellipses)), Some(ShapeConfig::Blob(blobs))];
    let mut rows: Vec<Vec<Array2<f32>>> = Vec::new();
    for family in Family::ALL {
        let mut row = Vec::new();
        for shape in &shapes {
            let mut sources = base.clone();
            if let Some(shape) = shape {
                sources = sources.with_shapes(shape.clone().build()?);
            }
            let (key, panels) = (0..1000u64)
                .find_map(|key| Some((key, draw(family, key, &sources, scene).transpose()?)))
                .ok_or_else(|| format!("{family}: no key shows anything"))?;
            println!("{family}: key {key}");
            row.extend(panels?);
        }
        if let Some(same) = rows.iter().position(|other| other[..5] == row[..5]) {
            return Err(format!("{family} looks like {}", Family::ALL[same]).into());
        }
        let picture = montage(&[row[..5].to_vec()]);
        write_png(&folder.join(format!("{family}.png")), &enlarged(&picture))?;
        rows.push(row);
    }
    Ok(write_png(&folder.join("gallery.png"), &montage(&rows))?)
}

type Drawn = Result<Option<Vec<Array2<f32>>>, Box<dyn Error>>;

/// The five columns of one draw; `None` if its anomaly is hardly visible.
fn draw(family: Family, key: u64, sources: &Sources, scene: Scene<'_>) -> Drawn {
    let key = Key::new(8).child("gallery").child(key);
    let (config, clean) = (family.config([1, 44, 44]), scene.clean.to_owned());
    let at = |config: AnomalyConfig, severity| -> Result<_, Box<dyn Error>> {
        let (anomalies, mut out) = (config.build(sources)?, Array4::zeros(clean.dim()));
        let recipe = anomalies.draw(key).at(Severity::new(severity)?);
        let origin = anomalies.apply(&recipe, scene, out.view_mut())?.mask.origin;
        Ok((out, origin))
    };
    let (mild, origin) = at(config.clone(), 0.25)?;
    let mut images = vec![clean.clone(), mild];
    // Where a bias selects tissues, the anomaly must differ visibly from one that affects all tissues.
    let mut plain = config.clone();
    for part in &mut plain.parts {
        if let PartConfig::Bias(part) = part {
            part.tissues = TissueOrigin::None;
        }
    }
    let hidden = config.takes_tissues() && !visible(&at(plain, 0.25)?.0, &images[1]);
    if hidden || !visible(&clean, &images[1]) {
        return Ok(None);
    }
    images.extend([at(config.clone(), 0.5)?.0, at(config, 1.0)?.0]);
    images.push((&images[3] - &clean).mapv(f32::abs));
    Ok(Some(images.iter().map(|image| close_up(image, origin)).collect()))
}
