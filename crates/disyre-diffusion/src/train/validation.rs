//! Errors on the fixed validation pairs, for the log of a run.

use serde::{Deserialize, Serialize};

use super::trainer::Trainer;
use super::{Batch, Batches};
use crate::{DiffusionError, Schedule};

/// Mean squared errors over the fixed validation pairs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ValidationErrors {
    /// Of the weights as trained.
    pub raw: f64,
    /// Of their moving average, if one is kept.
    pub ema: Option<f64>,
    /// Of doing nothing: corrupted against clean. A network that does not beat this has learned nothing of use.
    pub unrestored: f64,
}

/// The fixed validation pairs, kept in memory.
#[derive(Debug)]
pub(crate) struct Validation {
    batches: Vec<Batch>,
    voxels: f64,
    unrestored: f64,
}

impl Validation {
    /// Makes pairs 0 to `count` of a source, in batches of at most `batch`.
    pub(crate) fn new(
        pairs: Batches<'_>,
        count: u64,
        batch: usize,
    ) -> Result<Self, DiffusionError> {
        let mut batches = Vec::new();
        for first in (0..count).step_by(batch) {
            let n = (count - first).min(batch as u64) as usize;
            batches.push(pairs.make(first, n)?);
        }
        let voxels = batches.iter().map(|batch| batch.clean.len()).sum::<usize>() as f64;
        let unrestored = batches.iter().map(unrestored).sum::<f64>() / voxels;
        Ok(Self { batches, voxels, unrestored })
    }

    pub(crate) fn errors(
        &self,
        trainer: &Trainer,
        schedule: &Schedule,
    ) -> Result<ValidationErrors, DiffusionError> {
        let (mut raw, mut ema) = (0.0, Some(0.0));
        for batch in &self.batches {
            raw += trainer.squared_error(batch, schedule)?;
            let average = trainer.squared_error_of_average(batch, schedule)?;
            ema = ema.zip(average).map(|(sum, error)| sum + error);
        }
        let ema = ema.filter(|_| !self.batches.is_empty()).map(|sum| sum / self.voxels);
        Ok(ValidationErrors { raw: raw / self.voxels, ema, unrestored: self.unrestored })
    }
}

fn unrestored(batch: &Batch) -> f64 {
    let pairs = batch.corrupted.iter().zip(&batch.clean);
    pairs.map(|(corrupted, clean)| f64::from(corrupted - clean).powi(2)).sum()
}
