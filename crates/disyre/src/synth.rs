use std::sync::Arc;

use disyre_core::ndarray::{Array3, Axis};
use disyre_core::{Key, Severity, TissueModel, Volume};
use disyre_dag::{Dag, DagConfig, DagParams};
use serde::{Deserialize, Serialize};

use crate::pairs::build_dag;
use crate::{Error, Prepared, RunConfig, Subject};

/// Corrupts prepared scans, one anomaly each: training data for other methods, and a look at what DAG does.
///
/// The anomaly is as deep as it is wide where the scan has slices enough; a 2D image gets a 2D anomaly.
#[derive(Debug)]
pub struct Synthesiser {
    scans: Vec<(String, Prepared)>,
    dags: Vec<(DagConfig, Dag)>,
    key: Key,
}

/// One corrupted scan on its prepared grid.
#[derive(Debug, Clone)]
pub struct Sample {
    /// What was corrupted, in `[0, 1]`.
    pub clean: Volume,
    /// The scan with its anomaly, in `[0, 1]`.
    pub corrupted: Volume,
    /// Soft mask of the anomaly, in `[0, 1]`.
    pub mask: Array3<f32>,
    /// How it was made.
    pub recipe: Recipe,
}

/// How a sample was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Version of disyre.
    pub version: String,
    /// The corrupted scan.
    pub source: String,
    /// Which sample of the run.
    pub index: u64,
    /// The severity that the corruption realised: the greatest of its parts.
    pub severity: Severity,
    /// What the texture realised.
    pub texture: Severity,
    /// What the intensity bias realised.
    pub bias: Severity,
    /// The window of the anomaly `(z, y, x)` in the corrupted scan, in voxels.
    pub origin: [usize; 3],
    /// Everything drawn.
    pub drawn: DagParams,
    /// The settings.
    pub config: DagConfig,
}

impl Synthesiser {
    /// Takes the scans to corrupt; they are also where foreign textures come from.
    ///
    /// # Errors
    /// [`Error::CohortTooSmall`] without scans, and the DAG crate's errors.
    pub fn new(
        scans: Vec<(String, Prepared)>,
        config: &RunConfig,
        tissues: Arc<dyn TissueModel>,
        key: Key,
    ) -> Result<Self, Error> {
        if scans.is_empty() {
            return Err(Error::CohortTooSmall { got: 0, needed: 1 });
        }
        let subjects: Vec<Subject> =
            scans.iter().map(|(name, scan)| Subject::new(name.as_str(), scan.clone())).collect();
        let dag_of = |(_, scan): &(String, Prepared)| {
            let mut config = config.clone();
            config.dag =
                rescaled(&config.dag, window_in(scan.volume.grid.shape, config.dag.window));
            Ok((config.dag.clone(), build_dag(&subjects, &config, tissues.clone())?))
        };
        let dags = scans.iter().map(dag_of).collect::<Result<_, Error>>()?;
        Ok(Self { scans, dags, key })
    }

    /// Makes one sample: sample `index` corrupts scan `index` modulo the number of scans.
    ///
    /// # Errors
    /// [`Error::Case`] naming the scan.
    pub fn sample(&self, index: u64) -> Result<Sample, Error> {
        let which = (index % self.scans.len() as u64) as usize;
        let ((source, scan), (config, dag)) = (&self.scans[which], &self.dags[which]);
        let drawn = dag.draw(self.key.child(index));
        let clean = scan.volume.data.view().insert_axis(Axis(0));
        let mut corrupted = clean.to_owned();
        let applied = dag
            .apply(&drawn, clean, corrupted.view_mut())
            .map_err(|error| Error::case(source)(error.into()))?;
        let (origin, values) = (applied.mask.origin, &applied.mask.values);
        let mut mask = Array3::zeros(scan.volume.grid.shape);
        mask.slice_each_axis_mut(|axis| {
            let start = origin[axis.axis.index()];
            (start..start + values.len_of(axis.axis)).into()
        })
        .assign(values);
        let recipe = Recipe {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            source: source.clone(),
            index,
            severity: applied.severity,
            texture: applied.texture,
            bias: applied.bias,
            origin: applied.mask.origin,
            drawn,
            config: config.clone(),
        };
        let corrupted =
            Volume { data: corrupted.index_axis_move(Axis(0), 0), grid: scan.volume.grid };
        Ok(Sample { clean: scan.volume.clone(), corrupted, mask, recipe })
    }
}

/// The same settings on another window: the bias follows its extents, as in [`DagConfig::for_window`].
fn rescaled(dag: &DagConfig, window: [usize; 3]) -> DagConfig {
    let mut dag = dag.clone();
    let extents = window.into_iter().zip(dag.window);
    for (sigma, (new, old)) in dag.bias.blur_sigma_voxels.iter_mut().zip(extents) {
        let ratio = new as f64 / old as f64;
        dag.bias.count_offset *= ratio;
        *sigma *= ratio;
    }
    DagConfig { window, ..dag }
}

/// A window as deep as it is wide, no larger than the scan.
fn window_in(shape: [usize; 3], [_, height, width]: [usize; 3]) -> [usize; 3] {
    let wanted = if shape[0] == 1 { [1, height, width] } else { [width, height, width] };
    [0, 1, 2].map(|axis| wanted[axis].min(shape[axis]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_follow_the_window_and_nothing_else_is_lost() {
        let mut dag = DagConfig::for_window([1, 32, 32]);
        dag.texture.probability = 0.25;
        let deep = rescaled(&dag, [32, 32, 32]);
        let mut expected = DagConfig::for_window([32, 32, 32]);
        expected.texture.probability = 0.25;
        assert_eq!(deep, expected);
    }
}
