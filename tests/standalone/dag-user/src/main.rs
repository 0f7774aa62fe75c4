//! Corrupts a volume with disyre-dag alone: the lines of that crate's front page.

use disyre_dag::{Dag, DagError, Key, Sources, ndarray::Array4, textures::VolumeBank};

fn main() -> Result<(), DagError> {
    // (c, z, y, x), intensities in [0, 1], background 0: any arrays will do.
    let healthy = Array4::from_shape_fn((1, 32, 64, 64), |(_, z, y, x)| {
        0.4 + 0.1 * ((z + y) as f32 / 3.0).sin() + 0.1 * (x as f32 / 5.0).cos()
    });
    let clean = Array4::from_elem((1, 32, 64, 64), 0.6);

    let sources = Sources::new().with_textures(VolumeBank::new(vec![healthy])?);
    let dag = Dag::without_tissues([24, 32, 32], &sources)?;
    let recipe = dag.draw(Key::new(7).child("sample").child(0u64));
    let mut corrupted = Array4::zeros(clean.dim());
    let realised = dag.apply(&recipe, clean.view(), corrupted.view_mut())?;
    println!("severity {}, {} voxels", realised.severity, realised.mask.voxels_above(0.5));
    assert!(realised.severity.get() > 0.0 && corrupted != clean);
    Ok(())
}
