//! Fits tissue classes to a cohort, keeps them as JSON, and labels a new slice with them.
//!
//! Writes the codebook, and the slice beside its labels (dark to bright).

use std::error::Error;

use disyre_core::Key;
use disyre_core::ndarray::{Array4, ArrayView4};
use disyre_examples::{brain_slice, montage, output_folder, picture, write_png};
use disyre_tissue::{FittedTissues, KMeansConfig, TissueModel, sample_cohort};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = output_folder("tissue_codebook")?;
    let cohort: Vec<Array4<f32>> =
        (0..8u64).map(|subject| brain_slice(Key::new(1).child(subject), 160, 128)).collect();

    // 2000 voxels of each subject: the memory of the fit does not depend on the size of the scans.
    let views: Vec<ArrayView4<'_, f32>> = cohort.iter().map(|scan| scan.view()).collect();
    let samples = sample_cohort(&views, 2000, Key::new(2).child("samples"))?;
    let config = KMeansConfig { classes: 3, ..KMeansConfig::default() };
    let fit = config.fit(samples.view(), Key::new(2).child("fit"))?;
    println!("{} foreground voxels, inertia {:.4}", samples.nrows(), fit.inertia);

    let path = folder.join("tissue.json");
    FittedTissues::from(fit.codebook).save(&path)?;
    let tissues = FittedTissues::load(&path)?;

    let scan = brain_slice(Key::new(3), 160, 128);
    let voxels = scan.to_shape((scan.len(), 1))?; // (n, channels)
    let mut labels = vec![0; scan.len()];
    tissues.hard(voxels.view(), &mut labels)?;
    for (class, centre) in tissues.centres().rows().into_iter().enumerate() {
        let voxels = labels.iter().zip(&scan).filter(|(_, value)| **value > 0.0);
        let count = voxels.filter(|(label, _)| usize::from(**label) == class).count();
        println!("tissue {class}: centre {:.3}, {count} voxels of the new slice", centre[0]);
    }

    let shades = labels.iter().zip(&scan).map(|(&label, &value)| {
        if value > 0.0 { (f32::from(label) + 1.0) / 3.0 } else { 0.0 } // background stays black
    });
    let labelled = Array4::from_shape_vec(scan.raw_dim(), shades.collect())?;
    let row = vec![picture(&scan), picture(&labelled)];
    write_png(&folder.join("tissue.png"), &montage(&[row]))?;
    Ok(())
}
