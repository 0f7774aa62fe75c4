use std::path::Path;
use std::sync::Arc;

use disyre_core::ndarray::{ArcArray, Array3, Ix4};
use disyre_dag::{
    AnomalyConfig, DagConfig, DiscShapes, MaskConfig, MaskFrame, Memberships, PartConfig,
    PublishedShapes, PublishedShapesConfig, RectangleShapes, ShapeConfig, ShapeSource, SizeConfig,
    Sources, TissueFrom, VolumeBank,
};
use disyre_tissue::FittedTissues;
use disyre_volume::{ReadOptions, Scan, find_scans};

use crate::{Error, RunConfig, Tissues};

impl RunConfig {
    /// The family's anomalies on a window `(z, y, x)`; `dag` gives texture and bias where the family has them.
    ///
    /// A Gaussian mixture counts by its soft memberships, label maps are those of each scan.
    pub fn anomaly(&self, window: [usize; 3], tissues: Option<&Tissues>) -> AnomalyConfig {
        let mut anomaly = self.family.config_with(on_window(&self.dag, window));
        if let Some(size_mm) = self.pairs.shape_size_mm {
            let size = SizeConfig { size_mm, spacing_mm: [self.prepare.spacing_mm; 3] };
            anomaly.shape = ShapeConfig::Sized(size, Box::new(anomaly.shape));
        }
        for part in &mut anomaly.parts {
            let PartConfig::Bias(part) = part else { continue };
            match tissues {
                Some(Tissues::Fitted(FittedTissues::GaussianMixture(_))) => {
                    part.bias.memberships = Memberships::Soft;
                }
                Some(Tissues::LabelMaps { codes }) if part.tissues == TissueFrom::Model => {
                    part.tissues = TissueFrom::Scene { classes: codes.len() };
                }
                _ => {}
            }
        }
        anomaly
    }
}

/// The same settings on another window: the bias follows its extents, as in [`DagConfig::for_window`].
fn on_window(dag: &DagConfig, window: [usize; 3]) -> DagConfig {
    let mut dag = dag.clone();
    let extents = window.into_iter().zip(dag.window);
    for (sigma, (new, old)) in dag.bias.blur_sigma_voxels.iter_mut().zip(extents) {
        let ratio = new as f64 / old as f64;
        dag.bias.count_offset *= ratio;
        *sigma *= ratio;
    }
    DagConfig { window, ..dag }
}

/// What anomalies are built from: textures of some images, shapes of a folder of masks if there is one, fitted tissues.
pub(crate) fn sources(
    images: Vec<ArcArray<f32, Ix4>>,
    masks: Option<&Path>,
    tissues: Option<&Tissues>,
) -> Result<Sources, Error> {
    let mut sources = Sources {
        textures: Some(Arc::new(VolumeBank::new(images)?)),
        shapes: masks.map(shapes_of).transpose()?,
        ..Sources::default()
    };
    if let Some(Tissues::Fitted(tissues)) = tissues {
        sources.tissues = Some(Arc::new(tissues.clone()));
    }
    Ok(sources)
}

/// The published mixture with the masks of a folder, filling half to all of the window, in place of its noise blobs.
fn shapes_of(folder: &Path) -> Result<Arc<dyn ShapeSource>, Error> {
    let frame = MaskFrame::BoundingBox;
    let masks = MaskConfig { frame, span: [[1.0, 2.0]; 2], ..MaskConfig::default() }
        .build(load_masks(folder)?)?;
    let kinds: Vec<Arc<dyn ShapeSource>> = vec![
        Arc::new(RectangleShapes::default()),
        Arc::new(DiscShapes::default()),
        Arc::new(masks),
    ];
    let mixture: PublishedShapes = PublishedShapesConfig::default().build(kinds)?;
    Ok(Arc::new(mixture))
}

fn load_masks(folder: &Path) -> Result<Vec<Array3<u8>>, Error> {
    let read = |path| -> Result<_, Error> {
        let scan = Scan::read(path, &ReadOptions::default())?;
        Ok(disyre_volume::to_ras(&scan.volume).data.mapv(|value| u8::from(value > 0.5)))
    };
    find_scans(folder)?.iter().map(|path| read(path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_follow_the_window_and_nothing_else_is_lost() {
        let mut dag = DagConfig::for_window([1, 32, 32]);
        dag.texture.probability = 0.25;
        let deep = on_window(&dag, [32, 32, 32]);
        let mut expected = DagConfig::for_window([32, 32, 32]);
        expected.texture.probability = 0.25;
        assert_eq!(deep, expected);
    }

    #[test]
    fn a_bias_takes_the_tissues_that_there_are() {
        let config = RunConfig::cpu_2mm();
        let tissues_in = |tissues: Option<&Tissues>| {
            let parts = config.anomaly([1, 32, 32], tissues).parts;
            parts.iter().find_map(|part| match part {
                PartConfig::Bias(part) => Some((part.tissues, part.bias.memberships)),
                _ => None,
            })
        };
        let maps = Tissues::LabelMaps { codes: vec![0, 2, 41] };
        let expected = Some((TissueFrom::Scene { classes: 3 }, Memberships::Hard));
        assert_eq!(tissues_in(Some(&maps)), expected);
        assert_eq!(tissues_in(None), Some((TissueFrom::Model, Memberships::Hard)));
    }
}
