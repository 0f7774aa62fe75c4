//! Corrupts a volume with disyre-dag alone: the lines of that crate's front page.

use std::sync::Arc;

use disyre_dag::{DagError, Family, Key, Sources, VolumeBank, ndarray::Array4};

fn main() -> Result<(), DagError> {
    // (c, z, y, x), intensities in [0, 1], background 0: any arrays will do.
    let healthy = Array4::from_shape_fn((1, 32, 64, 64), |(_, z, y, x)| {
        0.4 + 0.1 * ((z + y) as f32 / 3.0).sin() + 0.1 * (x as f32 / 5.0).cos()
    });
    let clean = Array4::from_elem((1, 32, 64, 64), 0.6);
    let bank = VolumeBank::new(vec![healthy])?;
    let sources = Sources { textures: Some(Arc::new(bank)), ..Sources::default() };
    let anomalies = Family::DagNoTissue.config([24, 32, 32]).build(&sources)?;
    let recipe = anomalies.draw(Key::new(7).child("sample").child(0u64));
    let mut corrupted = Array4::zeros(clean.dim());
    let realised = anomalies.apply(&recipe, clean.view().into(), corrupted.view_mut())?;
    println!("severity {}, {} voxels", realised.severity, realised.mask.voxels_above(0.5));
    assert!(realised.severity.get() > 0.0 && corrupted != clean);
    Ok(())
}
