use std::path::Path;
use std::sync::Arc;

use disyre_core::ndarray::{Array3, Axis, Zip};
use disyre_core::{Key, Severity, TissueModel, Volume};
use disyre_dag::{Dag, DagConfig, ShapeSource, TextureSource, VolumeBank};
use disyre_tissue::FittedTissues;

use crate::pairs::build_shapes;
use crate::{
    Error, Family, PrepareConfig, Prepared, Recipe, RunConfig, ShapeMasks, Source, SourceScan,
    Subject,
};

/// Corrupts prepared scans, one anomaly each: training data for other methods, and a look at what DAG does.
///
/// The anomaly is as deep as it is wide where the scan has slices enough; a 2D image gets a 2D anomaly.
#[derive(Debug)]
pub struct Synthesiser {
    scans: Vec<SourceScan>,
    sources: Vec<Source>,
    dags: Vec<(DagConfig, Dag)>,
    family: Family,
    prepare: PrepareConfig,
    tissues: FittedTissues,
    shape_masks: Option<ShapeMasks>,
    key: Key,
}

/// One corrupted scan on its prepared grid.
#[derive(Debug, Clone)]
pub struct Sample {
    /// What was corrupted, in `[0, 1]`.
    pub clean: Volume,
    /// The scan with its anomaly, in `[0, 1]`.
    pub corrupted: Volume,
    /// Soft mask m of the anomaly, in `[0, 1]`.
    pub mask: Array3<f32>,
    /// 1 where the mask is at least half its greatest value, which may lie below 1; 0 elsewhere.
    pub binary: Array3<u8>,
    /// Severity of each voxel: the anomaly's severity times m where the voxel changed, 0 elsewhere.
    pub severity_map: Array3<f32>,
    /// How it was made.
    pub recipe: Recipe,
}

impl Synthesiser {
    /// Takes the scans to corrupt; they are also where foreign textures come from.
    ///
    /// # Errors
    /// [`Error::CohortTooSmall`] without scans, [`Error::SameName`] for a name that comes twice, errors of reading the
    /// shape masks if a folder of them is set, and the DAG crate's errors.
    pub fn new(
        scans: Vec<SourceScan>,
        config: &RunConfig,
        family: Family,
        tissues: FittedTissues,
        key: Key,
    ) -> Result<Self, Error> {
        if scans.is_empty() {
            return Err(Error::CohortTooSmall { got: 0, needed: 1 });
        }
        let sources: Vec<Source> = scans.iter().map(|scan| scan.source.clone()).collect();
        let twice = |(index, source): &(usize, &Source)| {
            sources[..*index].iter().any(|earlier| earlier.name == source.name)
        };
        if let Some((_, source)) = sources.iter().enumerate().find(twice) {
            return Err(Error::SameName { name: source.name.clone() });
        }
        let folder = config.pairs.shape_masks.as_deref();
        let (dag, tissues) = family.settle(config.dag.clone(), tissues)?;
        let parts = Parts::new(&scans, folder, &tissues)?;
        let dag_of = |scan: &SourceScan| {
            let shape = scan.prepared.volume.grid.shape;
            let dag = rescaled(&dag, window_in(shape, dag.window));
            Ok((dag.clone(), parts.build(&dag)?))
        };
        let dags = scans.iter().map(dag_of).collect::<Result<_, Error>>()?;
        let (prepare, shape_masks) = (config.prepare, folder.map(ShapeMasks::of).transpose()?);
        Ok(Self { scans, sources, dags, family, prepare, tissues, shape_masks, key })
    }

    /// Makes one sample: sample `index` corrupts scan `index` modulo the number of scans.
    ///
    /// # Errors
    /// [`Error::Case`] naming the scan.
    pub fn sample(&self, index: u64) -> Result<Sample, Error> {
        let which = (index % self.scans.len() as u64) as usize;
        let (scan, (config, dag)) = (&self.scans[which], &self.dags[which]);
        let key = self.key.child(index);
        let recipe = Recipe {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            family: self.family,
            source: scan.source.name.clone(),
            index,
            key,
            severity: Severity::CLEAN,
            texture: Severity::CLEAN,
            bias: Severity::CLEAN,
            origin: [0; 3],
            drawn: dag.draw(key),
            dag: config.clone(),
            prepare: self.prepare,
            tissues: self.tissues.clone(),
            shape_masks: self.shape_masks.clone(),
            sources: self.sources.clone(),
        };
        corrupt(&scan.prepared, dag, recipe)
    }
}

/// What an anomaly is made of.
pub(crate) struct Parts {
    shapes: Arc<dyn ShapeSource>,
    textures: Arc<dyn TextureSource>,
    tissues: Arc<dyn TissueModel>,
}

impl Parts {
    /// Textures of some scans, shapes of noise or of a folder of masks.
    pub(crate) fn new(
        scans: &[SourceScan],
        masks: Option<&Path>,
        tissues: &FittedTissues,
    ) -> Result<Self, Error> {
        let subject = |scan: &SourceScan| Subject::new("", scan.prepared.clone()).image;
        let textures = VolumeBank::new(scans.iter().map(subject).collect())?;
        Ok(Self {
            shapes: build_shapes(masks)?,
            textures: Arc::new(textures),
            tissues: Arc::new(tissues.clone()),
        })
    }

    pub(crate) fn build(&self, config: &DagConfig) -> Result<Dag, Error> {
        let Self { shapes, textures, tissues } = self;
        Ok(config.clone().build(shapes.clone(), textures.clone(), tissues.clone())?)
    }
}

/// Puts what a recipe has drawn on a scan, and into the recipe what that realised.
pub(crate) fn corrupt(scan: &Prepared, dag: &Dag, recipe: Recipe) -> Result<Sample, Error> {
    let clean = scan.volume.data.view().insert_axis(Axis(0));
    let mut corrupted = clean.to_owned();
    let applied = dag
        .apply(&recipe.drawn, clean, corrupted.view_mut())
        .map_err(|error| Error::case(&recipe.source)(error.into()))?;
    let corrupted = Volume { data: corrupted.index_axis_move(Axis(0), 0), grid: scan.volume.grid };
    let mask = applied.mask.to_image(scan.volume.grid.shape)?;
    let half = 0.5 * mask.fold(0f32, |greatest, &m| greatest.max(m));
    let severity_map = Zip::from(&mask).and(&corrupted.data).and(&scan.volume.data).map_collect(
        |&m, &after, &before| if after == before { 0.0 } else { m * applied.severity.get() },
    );
    Ok(Sample {
        clean: scan.volume.clone(),
        corrupted,
        binary: mask.mapv(|m| u8::from(m > 0.0 && m >= half)),
        mask,
        severity_map,
        recipe: Recipe {
            severity: applied.severity,
            texture: applied.texture,
            bias: applied.bias,
            origin: applied.mask.origin,
            ..recipe
        },
    })
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
