//! Anomalies of a run: the configuration of its family, and the sources that it draws from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use disyre_core::Volume;
use disyre_core::ndarray::{ArcArray, Array3, Ix4};
use disyre_dag::{
    AnomalyConfig, DagConfig, Sources,
    config::{PartConfig, TissueOrigin},
    corruptions::Memberships,
    shapes::{
        DiscShapes, MaskConfig, MaskFrame, PublishedShapes, PublishedShapesConfig, RectangleShapes,
        ShapeConfig, ShapeSource, SizeConfig,
    },
    textures::{TextureSource, VolumeBank},
};
use disyre_tissue::FittedTissues;
use disyre_volume::{Scan, crop, find_scans_below, foreground_box, nonzero_mask, to_ras};
use rayon::prelude::*;

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
                Some(Tissues::LabelMaps { codes }) if part.tissues == TissueOrigin::Model => {
                    part.tissues = TissueOrigin::Scene { classes: codes.len() };
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

/// Sources of anomalies: textures of some images, shapes of a folder of masks if there is one, fitted tissues.
pub(crate) fn sources(
    images: Vec<ArcArray<f32, Ix4>>,
    masks: Option<&Path>,
    tissues: Option<&Tissues>,
) -> Result<Sources, Error> {
    sources_with(VolumeBank::new(images)?, masks, tissues)
}

/// The same with textures from elsewhere.
pub(crate) fn sources_with(
    textures: impl TextureSource + 'static,
    masks: Option<&Path>,
    tissues: Option<&Tissues>,
) -> Result<Sources, Error> {
    let mut sources = Sources::new().with_textures(textures);
    if let Some(folder) = masks {
        sources = sources.with_shapes(shapes_of(folder)?);
    }
    if let Some(Tissues::Fitted(tissues)) = tissues {
        sources = sources.with_tissues(tissues.clone());
    }
    Ok(sources)
}

/// Masks that fill half to all of the window.
const MASKS: MaskConfig =
    MaskConfig { frame: MaskFrame::BoundingBox, span: [[1.0, 2.0]; 2], rotation_degrees: 15.0 };

/// The published mixture with the masks of a folder, filling half to all of the window, in place of its noise blobs.
fn shapes_of(folder: &Path) -> Result<PublishedShapes, Error> {
    let masks = MASKS.build(load_masks(&find_scans_below(folder)?)?)?;
    let kinds: Vec<Arc<dyn ShapeSource>> = vec![
        Arc::new(RectangleShapes::default()),
        Arc::new(DiscShapes::default()),
        Arc::new(masks),
    ];
    Ok(PublishedShapesConfig::default().build(kinds)?)
}

/// Reads masks as RAS+, each cut to the box around it: of a lesion in a brain little more remains.
fn load_masks(files: &[PathBuf]) -> Result<Vec<Array3<u8>>, Error> {
    let read = |path: &PathBuf| -> Result<_, Error> {
        let file = Scan::read(path)?;
        let mask = Volume { data: file.inside()?.mapv(f32::from), grid: file.volume.grid };
        let boxed = match foreground_box(nonzero_mask(mask.data.view()).view()) {
            Some(around) => crop(&mask, around),
            None => mask,
        };
        Ok(to_ras(&boxed).data.mapv(|value| value as u8))
    };
    files.par_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phantom::{LesionKind, PhantomConfig};
    use disyre_core::Key;
    use disyre_core::ndarray::Axis;
    use disyre_volume::write_volume;

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
    fn lesions_in_files_are_shapes_in_two_and_three_dimensions() {
        let folder = tempfile::tempdir().unwrap();
        let size = PhantomConfig::default();
        for (index, kind) in LesionKind::ALL.into_iter().cycle().take(12).enumerate() {
            let phantom = size.with_lesion(Key::new(index as u64), kind);
            let mut mask = Volume { data: phantom.lesion.mapv(f32::from), ..phantom.volume };
            // Stored with x to the left, in a folder for each kind.
            mask.grid.affine[0][0] *= -1.0;
            let kind = folder.path().join(format!("{kind:?}"));
            std::fs::create_dir_all(&kind).unwrap();
            write_volume(&kind.join(format!("{index}_mask.nii.gz")), &mask).unwrap();
        }
        let files = find_scans_below(folder.path()).unwrap();
        assert_eq!(files.len(), 12);
        let masks = load_masks(&files).unwrap();
        for mask in &masks {
            let shape: [usize; 3] = mask.dim().into();
            let around = foreground_box(mask.view()).unwrap();
            assert_eq!((around.start, around.end), ([0; 3], shape), "cut to its box");
        }
        let stored = Scan::read(&files[0]).unwrap().volume.data.mapv(|value| value as u8);
        let around = foreground_box(stored.view()).unwrap();
        let mut mirrored = around.view_of(stored.view());
        mirrored.invert_axis(Axis(2));
        assert_eq!(masks[0], mirrored, "turned to RAS+");
        let shapes = MASKS.build(masks).unwrap();
        for window in [[1, 32, 32], [24, 32, 32]] {
            let mut shape = Array3::zeros(window);
            let areas = (0..24u64).map(|key| {
                shapes.fill(Key::new(key), shape.view_mut()).unwrap();
                assert!(shape.iter().all(|&value| value == 0.0 || value == 1.0));
                shape.sum() as u32
            });
            let areas: std::collections::BTreeSet<u32> = areas.collect();
            // Lesions of many sizes, none of which is the whole window.
            assert!(areas.len() > 12, "{areas:?}");
            assert!(*areas.last().unwrap() < window.iter().product::<usize>() as u32);
            assert!(*areas.last().unwrap() > 60);
        }
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
        let expected = Some((TissueOrigin::Scene { classes: 3 }, Memberships::Hard));
        assert_eq!(tissues_in(Some(&maps)), expected);
        assert_eq!(tissues_in(None), Some((TissueOrigin::Model, Memberships::Hard)));
    }
}
