//! Scores the restorations of a model of your own: here a "model" that fades the scan into a healthy template.
//!
//! Writes scan, restoration, score and lesion side by side, and prints how well the score finds the lesion.

use std::error::Error;

use disyre_core::Key;
use disyre_core::ndarray::{Array4, ArrayView5, ArrayViewMut5, Axis};
use disyre_examples::{brain_slice, montage, output_folder, picture, write_png};
use disyre_score::{Ensemble, RestoreError, Restorer, Scores, Severity, metrics};

/// Fades every slice into the template, the more so the greater the severity.
struct Template(Array4<f32>);

impl Restorer for Template {
    fn restore(
        &self,
        batch: ArrayView5<'_, f32>,
        severities: &[Severity],
        mut restored: ArrayViewMut5<'_, f32>,
    ) -> Result<(), RestoreError> {
        for (n, severity) in severities.iter().enumerate() {
            let item = &batch.index_axis(Axis(0), n);
            let faded = item + (&self.0 - item) * severity.get();
            restored.index_axis_mut(Axis(0), n).assign(&faded);
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = output_folder("score_only")?;
    let template = brain_slice(Key::new(1), 160, 128);

    // Another brain, with a dark lesion in its white matter.
    let lesion = Array4::from_shape_fn(template.raw_dim(), |(_, _, y, x)| {
        u8::from((y as f32 - 100.0).hypot(x as f32 - 92.0) < 11.0)
    });
    let scan =
        brain_slice(Key::new(2), 160, 128) * lesion.mapv(|label| 1.0 - 0.5 * f32::from(label));

    let windows = scan.insert_axis(Axis(0)); // (n, c, z, y, x)
    let Scores { score, restored } =
        Ensemble::default().score(&Template(template), windows.view())?;

    let scores: Vec<f32> = score.iter().copied().collect();
    let labels: Vec<u8> = lesion.iter().copied().collect();
    let found = metrics(&scores, &labels)?;
    println!("average precision {:.3}", found.average_precision);
    println!("AUROC             {:.3}", found.auroc);
    println!(
        "best Dice         {:.3} at score {:.3}",
        found.best_dice.dice, found.best_dice.threshold
    );

    let brightest = scores.iter().copied().fold(0.0, f32::max);
    let truth = lesion.mapv(f32::from);
    let score = score / brightest;
    let row = vec![picture(&windows), picture(&restored), picture(&score), picture(&truth)];
    write_png(&folder.join("score.png"), &montage(&[row]))?;
    Ok(())
}
