//! A gallery of synthetic anomalies: one row each, from left to right the clean slice, the mask, the foreign texture
//! blended in, the tissue bias on top of it, and what has changed in all.
//!
//! Prints the realised severities. The same seed draws the same gallery.

use std::error::Error;
use std::sync::Arc;

use disyre_core::ndarray::{Array4, ArrayView2, ArrayViewMut2};
use disyre_core::{Key, Severity, ShapeError, TissueModel};
use disyre_dag::{Applied, Dag, DagConfig, DagError, DagParams, PublishedShapes, VolumeBank};
use disyre_examples::{brain_slice, montage, output_folder, picture, write_png};

/// Three tissues by intensity, from dark to bright; `disyre-tissue` would fit them.
struct Thirds;

impl TissueModel for Thirds {
    fn classes(&self) -> usize {
        3
    }

    fn soft(
        &self,
        intensities: ArrayView2<'_, f32>,
        mut memberships: ArrayViewMut2<'_, f32>,
    ) -> Result<(), ShapeError> {
        memberships.fill(0.0);
        for (voxel, mut classes) in intensities.rows().into_iter().zip(memberships.rows_mut()) {
            classes[((voxel[0] * 3.0) as usize).min(2)] = 1.0;
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = output_folder("dag_gallery")?;
    let brain = |index: u64| brain_slice(Key::new(1).child(index), 128, 128);
    let foreign = VolumeBank::new((1..9).map(brain).collect())?;
    let shapes = Arc::new(PublishedShapes::default());
    let dag = DagConfig::default().build(shapes, Arc::new(foreign), Arc::new(Thirds))?;

    let clean = brain(0);
    let mut rows = Vec::new();
    for index in 0..6u64 {
        let recipe = dag.draw(Key::new(2).child("gallery").child(index));
        let (applied, corrupted) = apply(&dag, &recipe, &clean)?;
        let Applied { severity, texture, bias, mask } = applied;
        println!("{index}: severity {severity:.2} (texture {texture:.2}, bias {bias:.2})");

        // A recipe can be edited and replayed: the same anomaly without its bias.
        let mut without_bias = recipe;
        without_bias.bias.severity = Severity::CLEAN;
        let (_, textured) = apply(&dag, &without_bias, &clean)?;
        let change = (&corrupted - &clean).mapv(f32::abs);
        let mask = mask.to_image([1, 128, 128])?;
        let pictures = [&clean, &textured, &corrupted, &change].map(picture);
        let [clean, textured, corrupted, change] = pictures;
        rows.push(vec![clean, picture(&mask), textured, corrupted, change]);
    }
    write_png(&folder.join("gallery.png"), &montage(&rows))?;
    Ok(())
}

fn apply(
    dag: &Dag,
    recipe: &DagParams,
    clean: &Array4<f32>,
) -> Result<(Applied, Array4<f32>), DagError> {
    let mut corrupted = Array4::zeros(clean.raw_dim());
    let applied = dag.apply(recipe, clean.view(), corrupted.view_mut())?;
    Ok((applied, corrupted))
}
