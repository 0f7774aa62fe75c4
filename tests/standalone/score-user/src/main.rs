//! Scores the restorations of a model with disyre-score alone, and measures how well they find a lesion.

use disyre_score::ndarray::{Array3, ArrayView5, ArrayViewMut5};
use disyre_score::{Ensemble, RestoreError, Restorer, ScoreError, Severity, metrics};

/// A model of healthy tissue: everything is of one intensity.
struct Uniform;

impl Restorer for Uniform {
    fn restore(
        &self,
        _: ArrayView5<'_, f32>,
        _: &[Severity],
        mut restored: ArrayViewMut5<'_, f32>,
    ) -> Result<(), RestoreError> {
        restored.fill(0.6);
        Ok(())
    }
}

fn main() -> Result<(), ScoreError> {
    // (z, y, x), intensities in [0, 1], background 0; the lesion is dark.
    let lesion = |(z, y, x)| z < 4 && y < 4 && (4..8).contains(&x);
    let image = Array3::from_shape_fn((8, 16, 16), |at| if lesion(at) { 0.2 } else { 0.6 });
    let score = Ensemble::default().score_volume(&Uniform, image.view())?;
    let labels = Array3::from_shape_fn(image.dim(), |at| u8::from(lesion(at)));
    let scores: Vec<f32> = score.into_iter().collect();
    let found = metrics(&scores, labels.as_slice().unwrap_or_default())?;
    println!("{found:?}");
    assert_eq!((found.average_precision, found.best_dice.dice, found.auroc), (1.0, 1.0, 1.0));
    Ok(())
}
