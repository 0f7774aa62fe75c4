//! Runs a patch-wise predictor over an image of any size, with and without overlap.
//!
//! The toy predictor is the distance from the mean of the window, so its output depends on the position of the window:
//! tiles without overlap show seams, blended windows do not. Writes image, tiles and blend side by side.

use std::error::Error;

use disyre_core::Key;
use disyre_core::ndarray::{Array3, Array4, Axis};
use disyre_examples::{brain_slice, montage, output_folder, picture, write_png};
use disyre_patch::{Blender, TilePlan, WindowWeights};

const WINDOW: [usize; 3] = [1, 64, 64];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = output_folder("tile_and_blend")?;
    let image = brain_slice(Key::new(4), 190, 150);

    let tiles = predict(&image, WINDOW, &WindowWeights::uniform(WINDOW)?)?;
    let blend = predict(&image, [1, 16, 16], &WindowWeights::gaussian(WINDOW)?)?;
    println!(
        "step at seams: tiles {:.3}, blend {:.3}",
        seam(&image, &tiles)?,
        seam(&image, &blend)?
    );

    let row = vec![picture(&image), picture(&tiles), picture(&blend)];
    write_png(&folder.join("blend.png"), &montage(&[row]))?;
    Ok(())
}

/// The predictor over all windows: the caller owns the loop, so any model and any batching fits in.
fn predict(
    image: &Array4<f32>,
    stride: [usize; 3],
    weights: &WindowWeights,
) -> Result<Array3<f32>, Box<dyn Error>> {
    let (_, z, y, x) = image.dim();
    let plan = TilePlan::new([z, y, x], WINDOW, stride)?;
    let mut blender = Blender::new(&plan, weights)?;
    let mut patch = Array4::zeros((1, WINDOW[0], WINDOW[1], WINDOW[2]));
    for window in plan.windows() {
        plan.extract(image.view(), window, patch.view_mut())?;
        blender.add(window, toy_predictor(&patch).view())?;
    }
    println!("{} windows of {WINDOW:?} at stride {stride:?}", plan.len());
    Ok(blender.finish())
}

/// Distance of every voxel from the mean of its window's foreground; 0 in the background.
fn toy_predictor(patch: &Array4<f32>) -> Array3<f32> {
    let voxels = patch.index_axis(Axis(0), 0);
    let foreground = voxels.iter().filter(|&&value| value > 0.0).count().max(1);
    let mean = voxels.sum() / foreground as f32;
    voxels.mapv(|value| if value > 0.0 { (value - mean).abs() } else { 0.0 })
}

/// Mean step of the result across borders of the tiles, beyond that of the image, over the brain.
fn seam(image: &Array4<f32>, result: &Array3<f32>) -> Result<f32, Box<dyn Error>> {
    let (_, z, y, x) = image.dim();
    let borders = TilePlan::new([z, y, x], WINDOW, WINDOW)?;
    let (mut excess, mut count) = (0.0, 0);
    for window in borders.windows().filter(|window| window.start()[2] > 0) {
        let [_, rows, columns] = window.region();
        let (left, right) = (columns.start - 1, columns.start);
        for row in rows.filter(|&row| image[[0, 0, row, left]] * image[[0, 0, row, right]] > 0.0) {
            let in_image = (image[[0, 0, row, right]] - image[[0, 0, row, left]]).abs();
            let in_result = (result[[0, row, right]] - result[[0, row, left]]).abs();
            excess += (in_result - in_image).max(0.0);
            count += 1;
        }
    }
    Ok(excess / count as f32)
}
