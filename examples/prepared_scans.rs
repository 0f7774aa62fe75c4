//! Prepares scans as an atlas does and writes them on the grid of its template, for other programs.
//!
//! `cargo run --release -p disyre-examples --example prepared_scans -- ATLAS OUT SCAN[,BRAIN[,LABEL]] ...`
//!
//! `OUT` gets for each scan `NAME_prepared.nii.gz`, `NAME_brain.nii.gz` and, with a label, `NAME_label.nii.gz`.
use std::path::Path;

use disyre::core::ndarray::ArrayView3;
use disyre::volume::{Scan, ScanName, read_mask, resample_mask, write_labels, write_volume};
use disyre::{AtlasDetector, Error, TemplateSpace};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [atlas, out, scans @ ..] = arguments.as_slice() else {
        println!("nothing to prepare: give the arguments that the head of this example describes");
        return Ok(());
    };
    let (atlas, space) = (AtlasDetector::load(Path::new(atlas))?, TemplateSpace::mni152()?);
    std::fs::create_dir_all(out)?;
    for scan in scans {
        prepare(&atlas, &space, Path::new(out), scan)?;
    }
    Ok(())
}

fn prepare(
    atlas: &AtlasDetector,
    space: &TemplateSpace,
    out: &Path,
    files: &str,
) -> Result<(), Error> {
    let mut files = files.split(',').map(Path::new);
    let path = files.next().unwrap_or(Path::new(""));
    let scan = Scan::read(path)?;
    let brain = files.next().map(|mask| read_mask(mask, &scan)).transpose()?;
    let label = files.next().map(|label| read_mask(label, &scan)).transpose()?;
    let brain: Option<ArrayView3<'_, u8>> = brain.as_ref().map(|brain| brain.view());
    let (aligned, _) = atlas.preparation().align_to(space, &scan.volume, brain)?;
    let prepared = atlas.preparation().scale(&aligned)?;
    let name = ScanName::of(path);
    let file = |kind: &str| out.join(format!("{name}_{kind}.nii.gz"));
    // The voxels of the template; their place in the world of the scan stays in the grid.
    let grid = prepared.volume.grid;
    write_volume(&file("prepared"), &prepared.volume)?;
    write_labels(&file("brain"), prepared.mask.view(), &grid)?;
    if let Some(label) = label {
        let label = resample_mask(label.view(), &scan.volume.grid, &grid)?;
        write_labels(&file("label"), label.view(), &grid)?;
    }
    Ok(())
}
