//! Measures a cohort in bounded memory: pooled metrics with an interval, and each case at the threshold of the others.
//!
//! `/usr/bin/time -v cargo run --release -p disyre-examples --example score_cohort -- 60 8000000` shows the memory that 60
//! volumes of 8 million voxels take; the default is small.

use std::error::Error;
use std::time::Instant;

use disyre_core::Key;
use disyre_core::rand::RngExt;
use disyre_score::{Averaging, Bootstrap, ScoreHistogram, ScorePoolConfig};

/// A made-up map: 2 % lesion, whose contrast differs from case to case.
fn case(key: Key, voxels: usize) -> (Vec<f32>, Vec<u8>) {
    let mut rng = key.rng();
    let contrast = 0.1 + 0.4 * rng.random::<f32>();
    let voxel = |_| {
        let lesion = rng.random::<f32>() < 0.02;
        let healthy = rng.random::<f32>() * rng.random::<f32>();
        (healthy + contrast * f32::from(u8::from(lesion)), u8::from(lesion))
    };
    (0..voxels).map(voxel).unzip()
}

/// Runs a step and prints its time.
fn timed<T>(step: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    println!("{step:<40} {:>8.3} s", start.elapsed().as_secs_f64());
    result
}

fn main() -> Result<(), Box<dyn Error>> {
    // Two numbers or none; the folder that every example may be given is passed over.
    let numbers: Vec<usize> =
        std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let (cases, voxels) = match numbers[..] {
        [cases, voxels] => (cases, voxels),
        _ => (6, 50_000),
    };
    let mut pool = ScorePoolConfig { budget_bytes: 256 << 20, folder: None }.build();
    let mut histogram = ScoreHistogram::default();
    timed("make and add the cases", || {
        (0..cases).try_for_each(|index| {
            let (scores, labels) = case(Key::new(0).child(index as u64), voxels);
            pool.add(&scores, &labels)?;
            histogram.add(&scores, &labels)
        })
    })?;
    let exact = timed("rank all voxels", || pool.rank())?.metrics()?;
    let pooled = |drawn: &[usize]| Some(histogram.pooled(drawn).ok()?.average_precision()?.value);
    let interval = timed("2000 replicates of the pooled AP", || {
        Bootstrap::default().interval(Key::new(1), cases, pooled)
    })?;
    let left_out = timed("thresholds of the other cases", || {
        histogram.thresholds_of_others(Averaging::PerVolume)
    });

    let everyone: Vec<usize> = (0..cases).collect();
    let bounded = histogram.pooled(&everyone)?.average_precision().ok_or("no lesion")?;
    println!("pooled AP, exact              {:.6}", exact.average_precision);
    println!("pooled AP, from bins          {:.6}", bounded.value);
    println!("  at least and at most        {:.6} {:.6}", bounded.least, bounded.greatest);
    println!("  95 % interval over cases    {:.3} to {:.3}", interval.low, interval.high);
    let first = left_out[0].ok_or("no other case has a lesion")?;
    println!("threshold of the other cases  {:.4}", first.of_others.threshold);
    println!("Dice of the first case there  {:.4}", first.counts.dice().unwrap_or(0.0));
    Ok(())
}
