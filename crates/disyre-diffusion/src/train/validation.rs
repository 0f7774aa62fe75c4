//! Errors on the fixed validation pairs, for the log of a run.

use serde::{Deserialize, Serialize};

use super::trainer::{SquaredErrors, Trainer};
use super::{Batch, Batches};
use crate::corruption_map::CorruptionMap;
use crate::slices::{some_channels, to_images};
use crate::{DiffusionError, Schedule};

/// Mean squared errors over the fixed validation pairs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ValidationErrors {
    /// Of the restorations by the weights as trained.
    pub raw: f64,
    /// Of those by the moving average of the weights, if one is kept.
    pub ema: Option<f64>,
    /// Of doing nothing: corrupted against clean. A network that does not beat this has learned nothing of use.
    pub unrestored: f64,
    /// Of the corruption maps, where the network predicts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map: Option<MapErrors>,
}

/// Mean squared errors of the predicted corruption maps, whose values are in `[0, 1]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MapErrors {
    /// Of the weights as trained.
    pub raw: f64,
    /// Of their moving average, if one is kept.
    pub ema: Option<f64>,
    /// Of the best constant, the variance of the maps. A network that does not beat this has learned nothing of use.
    pub constant: f64,
}

/// The fixed validation pairs, kept in memory.
#[derive(Debug)]
pub(crate) struct Validation {
    batches: Vec<Batch>,
    voxels: f64,
    unrestored: f64,
    map: Option<MapMoments>,
}

/// Number of voxels of the corruption maps, and their variance.
#[derive(Debug, Clone, Copy)]
struct MapMoments {
    voxels: f64,
    variance: f64,
}

impl Validation {
    /// Makes pairs 0 to `count` of a source, in batches of at most `batch`.
    pub(crate) fn new(
        pairs: Batches<'_>,
        count: u64,
        batch: usize,
        map: Option<CorruptionMap>,
    ) -> Result<Self, DiffusionError> {
        let mut batches = Vec::new();
        for first in (0..count).step_by(batch) {
            let n = (count - first).min(batch as u64) as usize;
            batches.push(pairs.make(first, n)?);
        }
        let voxels = batches.iter().map(|batch| batch.clean.len()).sum::<usize>() as f64;
        let unrestored = batches.iter().map(unrestored).sum::<f64>() / voxels;
        let map = map.map(|map| MapMoments::of(map, &batches));
        Ok(Self { batches, voxels, unrestored, map })
    }

    pub(crate) fn errors(
        &self,
        trainer: &Trainer,
        schedule: &Schedule,
    ) -> Result<ValidationErrors, DiffusionError> {
        let (mut raw, mut ema) = (SquaredErrors::default(), Some(SquaredErrors::default()));
        for batch in &self.batches {
            let (of_weights, of_average) = trainer.squared_errors(batch, schedule)?;
            raw = raw.plus(of_weights);
            ema = ema.zip(of_average).map(|(sum, errors)| sum.plus(errors));
        }
        let ema = ema.filter(|_| !self.batches.is_empty());
        let map = self.map.map(|MapMoments { voxels, variance }| MapErrors {
            raw: raw.map / voxels,
            ema: ema.map(|sum| sum.map / voxels),
            constant: variance,
        });
        Ok(ValidationErrors {
            raw: raw.restoration / self.voxels,
            ema: ema.map(|sum| sum.restoration / self.voxels),
            unrestored: self.unrestored,
            map,
        })
    }
}

impl MapMoments {
    fn of(map: CorruptionMap, batches: &[Batch]) -> Self {
        let (mut voxels, mut sum, mut squares) = (0.0, 0.0, 0.0);
        for batch in batches {
            let [corrupted, clean] =
                [&batch.corrupted, &batch.clean].map(|all| to_images(&all.view()));
            let target = map.target(&corrupted, &clean);
            let [_, channels, y, x] = target.shape;
            let of_map = some_channels(&target.values, [channels, y * x], channels - 1..channels);
            for value in of_map.iter().map(|&value| f64::from(value / map.scale())) {
                voxels += 1.0;
                sum += value;
                squares += value * value;
            }
        }
        Self { voxels, variance: squares / voxels - (sum / voxels).powi(2) }
    }
}

fn unrestored(batch: &Batch) -> f64 {
    let pairs = batch.corrupted.iter().zip(&batch.clean);
    pairs.map(|(corrupted, clean)| f64::from(corrupted - clean).powi(2)).sum()
}
