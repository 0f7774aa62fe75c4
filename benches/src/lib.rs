//! Data and restorers common to the benchmarks.
//!
//! Benchmarks are named `stage/op/variant/size`. All data comes from [`key`], so two runs do the same work.
#![forbid(unsafe_code)]

pub mod layers;
mod server;

pub use server::{Client, report, scan_argument, serve};

use std::fmt::Debug;

use criterion::Bencher;
use disyre_core::ndarray::{Array4, ArrayView5, ArrayViewMut4, ArrayViewMut5};
use disyre_core::rand::RngExt;
use disyre_core::{Key, PairError, PairSource, RestoreError, Restorer, Severity};

/// The key of a stage's data.
pub fn key(stage: &str) -> Key {
    Key::new(2024).child("bench").child(stage)
}

/// A synthetic brain: an ellipsoid of folded, noisy tissue that fills half of the box, background exactly 0.
///
/// # Shapes and units
/// `(1, z, y, x)`, intensities in `[0, 1]`.
pub fn brain(key: Key, shape: [usize; 3]) -> Array4<f32> {
    let mut rng = key.rng();
    Array4::from_shape_fn((1, shape[0], shape[1], shape[2]), |(_, z, y, x)| {
        let place = |axis: usize, index: usize| (index as f32 + 0.5) / shape[axis] as f32 - 0.5;
        let (z, y, x) = (place(0, z), place(1, y), place(2, x));
        if z * z + y * y + x * x > 0.25 {
            return 0.0;
        }
        let folds = (40.0 * x + 9.0 * y).sin() * (35.0 * y - 12.0 * z).cos();
        0.55 + 0.25 * folds + rng.random_range(-0.1..0.1)
    })
}

/// A source of one pair, which costs nothing to make.
#[derive(Debug)]
pub struct OnePair(pub Array4<f32>);

impl PairSource for OnePair {
    fn pair(
        &self,
        _: u64,
        mut corrupted: ArrayViewMut4<'_, f32>,
        mut clean: ArrayViewMut4<'_, f32>,
    ) -> Result<Severity, PairError> {
        clean.assign(&self.0);
        corrupted.assign(&self.0.mapv(|value| 0.5 * value));
        Ok(Severity::FULL)
    }
}

/// The cheapest restorer: it copies its input.
#[derive(Debug)]
pub struct Copies;

impl Restorer for Copies {
    fn restore(
        &self,
        batch: ArrayView5<'_, f32>,
        _: &[Severity],
        mut restored: ArrayViewMut5<'_, f32>,
    ) -> Result<(), RestoreError> {
        restored.assign(&batch);
        Ok(())
    }
}

/// Times an operation that must not fail: the time of an early error would look like a gain.
///
/// # Panics
/// If the operation fails.
pub fn time<T, E: Debug>(bencher: &mut Bencher<'_>, mut operation: impl FnMut() -> Result<T, E>) {
    bencher.iter(|| operation().expect("a benchmarked operation succeeds"));
}

/// Scores and labels: a share of background with score 0, and a share of lesion in the rest.
pub fn voxels(count: usize, background: f32, lesion: f32) -> (Vec<f32>, Vec<u8>) {
    let mut rng = key("score").rng();
    (0..count)
        .map(|_| {
            let lesion = rng.random::<f32>() < lesion;
            let score =
                rng.random::<f32>() * rng.random::<f32>() + 0.3 * f32::from(u8::from(lesion));
            if rng.random::<f32>() < background { (0.0, 0) } else { (score, u8::from(lesion)) }
        })
        .unzip()
}
