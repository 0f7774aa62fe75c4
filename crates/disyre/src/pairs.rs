use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use disyre_augment::{AugmentConfig, AugmentError, Augmenter};
use disyre_core::ndarray::{Array3, ArrayView4, ArrayViewMut4, Axis, AxisDescription};
use disyre_core::rand::RngExt;
use disyre_core::{Key, KeyRng, PairError, PairSource, Severity, TissueModel, ensure_same_shape};
use disyre_dag::{
    Dag, DiscShapes, MaskConfig, MaskFrame, PublishedShapes, PublishedShapesConfig,
    RectangleShapes, ShapeSource, VolumeBank,
};
use disyre_volume::{ReadOptions, Scan, find_scans};

use crate::{Error, PairConfig, RunConfig, Subject};

/// Training pairs: random patches of healthy scans, and the same patches corrupted by DAG.
///
/// Pair `i` depends on the key and `i` alone: any order, any thread.
///
/// # Source
/// DISYRE v2 (arXiv 2407.06635): patch extraction and DAG. Differences, ours: the last slice is drawn too, and the
/// foreign textures come from a bank of all subjects, not from a pool that remembers earlier batches.
#[derive(Debug)]
pub struct DagPairs {
    subjects: Vec<Subject>,
    config: PairConfig,
    augmenter: Option<Augmenter>,
    dag: Dag,
    key: Key,
}

impl DagPairs {
    /// Makes the source over some subjects, whose scans are also where foreign textures come from.
    ///
    /// # Errors
    /// [`Error::CohortTooSmall`] without subjects; the DAG and augmentation crates' errors for settings they cannot
    /// serve; errors of reading the shape masks, if a folder of them is set.
    pub fn new(
        subjects: &[Subject],
        config: &RunConfig,
        tissues: Arc<dyn TissueModel>,
        key: Key,
    ) -> Result<Self, Error> {
        if subjects.is_empty() {
            return Err(Error::CohortTooSmall { got: 0, needed: 1 });
        }
        let images = subjects.iter().map(|subject| subject.image.clone()).collect();
        let (shapes, textures) =
            (build_shapes(config.pairs.shape_masks.as_deref())?, VolumeBank::new(images)?);
        let dag = config.dag.clone().build(shapes, Arc::new(textures), tissues)?;
        let (subjects, config) = (subjects.to_vec(), config.pairs.clone());
        let augmenter = config.augment.clone().map(AugmentConfig::build).transpose()?;
        Ok(Self { subjects, config, augmenter, dag, key })
    }

    /// Cuts patch `key` out of one of the subjects, background where the patch exceeds the brain.
    fn cut(&self, key: Key, patch: ArrayViewMut4<'_, f32>) -> Result<(), AugmentError> {
        let mut rng = key.rng();
        let image = self.subjects[rng.random_range(0..self.subjects.len())].image.view();
        match &self.augmenter {
            None => self.crop(image, rng, patch),
            Some(augmenter) => {
                let slices = image.len_of(Axis(1));
                // A patch of one slice is cut inside the box of that slice.
                let z = if self.config.patch[0] == 1 {
                    let z = rng.random_range(0..slices);
                    z..z + 1
                } else {
                    0..slices
                };
                let mut part = image;
                part.slice_axis_inplace(Axis(1), z.into());
                for axis in [Axis(2), Axis(3)] {
                    let extent = extent(&part, axis);
                    part.slice_axis_inplace(axis, extent.into());
                }
                augmenter.draw(key.child("augment")).apply(part, patch)?;
            }
        }
        Ok(())
    }

    /// Cuts and mirrors.
    fn crop(&self, image: ArrayView4<'_, f32>, mut rng: KeyRng, mut patch: ArrayViewMut4<'_, f32>) {
        let size = self.config.patch;
        let channels = Cut { from: 0..image.len_of(Axis(0)), to: 0..image.len_of(Axis(0)) };
        let z = Cut::draw(0..image.len_of(Axis(1)), size[0], &mut rng);
        let slab = image.slice_axis(Axis(1), z.from.clone().into());
        let y = Cut::draw(extent(&slab, Axis(2)), size[1], &mut rng);
        let x = Cut::draw(extent(&slab, Axis(3)), size[2], &mut rng);
        let cuts = [channels, z, y, x];
        let cut_of = |axis: AxisDescription| &cuts[axis.axis.index()];
        patch.fill(0.0);
        patch
            .slice_each_axis_mut(|axis| cut_of(axis).to.clone().into())
            .assign(&image.slice_each_axis(|axis| cut_of(axis).from.clone().into()));
        for (axis, &probability) in self.config.mirror.iter().enumerate() {
            if rng.random_bool(probability) {
                let original = patch.to_owned();
                let mut mirrored = original.view();
                mirrored.invert_axis(Axis(axis + 1));
                patch.assign(&mirrored);
            }
        }
    }
}

impl PairSource for DagPairs {
    fn pair(
        &self,
        index: u64,
        corrupted: ArrayViewMut4<'_, f32>,
        mut clean: ArrayViewMut4<'_, f32>,
    ) -> Result<Severity, PairError> {
        let [z, y, x] = self.config.patch;
        ensure_same_shape("clean patch", &[1, z, y, x], clean.shape())?;
        let key = self.key.child(index);
        self.cut(key.child("patch"), clean.view_mut())
            .map_err(|source| PairError::Source { index, source: Box::new(source) })?;
        let applied = self
            .dag
            .corrupt(key.child("dag"), clean.view(), corrupted)
            .map_err(|source| PairError::Source { index, source: Box::new(source) })?;
        Ok(applied.severity)
    }
}

/// The configured shapes: the published mixture, with the masks of a folder in place of noise blobs if there is one.
pub(crate) fn build_shapes(masks: Option<&Path>) -> Result<Arc<dyn ShapeSource>, Error> {
    Ok(match masks {
        Some(folder) => Arc::new(shapes_with(load_masks(folder)?)?),
        None => Arc::new(PublishedShapes::default()),
    })
}

/// The published mixture with given masks, filling half to all of the window, in place of its noise blobs.
fn shapes_with(masks: Vec<Array3<u8>>) -> Result<PublishedShapes, Error> {
    let frame = MaskFrame::BoundingBox;
    let masks =
        MaskConfig { frame, span: [[1.0, 2.0]; 2], ..MaskConfig::default() }.build(masks)?;
    let kinds: Vec<Arc<dyn ShapeSource>> = vec![
        Arc::new(RectangleShapes::default()),
        Arc::new(DiscShapes::default()),
        Arc::new(masks),
    ];
    Ok(PublishedShapesConfig::default().build(kinds)?)
}

fn load_masks(folder: &Path) -> Result<Vec<Array3<u8>>, Error> {
    let read = |path| -> Result<_, Error> {
        let scan = Scan::read(path, &ReadOptions::default())?;
        Ok(disyre_volume::to_ras(&scan.volume).data.mapv(|value| u8::from(value > 0.5)))
    };
    find_scans(folder)?.iter().map(|path| read(path)).collect()
}

/// Along one axis, which voxels of an image go where in a patch.
struct Cut {
    from: Range<usize>,
    to: Range<usize>,
}

impl Cut {
    /// A foreground longer than the patch is cut at random, a shorter one centred.
    fn draw(foreground: Range<usize>, size: usize, rng: &mut KeyRng) -> Self {
        let length = foreground.len();
        if length > size {
            let start = foreground.start + rng.random_range(0..=length - size);
            return Self { from: start..start + size, to: 0..size };
        }
        let before = (size - length) / 2;
        Self { from: foreground, to: before..before + length }
    }
}

/// Smallest range of an axis that holds all voxels above 0.
fn extent(slab: &ArrayView4<'_, f32>, axis: Axis) -> Range<usize> {
    let lit = |index: &usize| slab.index_axis(axis, *index).iter().any(|&value| value > 0.0);
    let mut indices = (0..slab.len_of(axis)).filter(lit);
    let first = indices.next().unwrap_or(0);
    first..indices.next_back().map_or(first + 1, |last| last + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::Array4;
    use disyre_tissue::Codebook;
    use rayon::prelude::*;

    fn source(shape: [usize; 3], patch: [usize; 3]) -> DagPairs {
        source_with(shape, patch, None)
    }

    fn source_with(
        shape: [usize; 3],
        patch: [usize; 3],
        augment: Option<AugmentConfig>,
    ) -> DagPairs {
        let image = Array4::from_shape_fn((1, shape[0], shape[1], shape[2]), |(_, z, y, x)| {
            0.2 + ((z * 31 + y * 7 + x * 3) % 80) as f32 / 100.0
        });
        let subject = Subject { name: "a".into(), image: image.into_shared() };
        let mut config = RunConfig::cpu_2mm();
        config.pairs.patch = patch;
        config.pairs.augment = augment;
        config.dag = disyre_dag::DagConfig::for_window([1, 8, 8]);
        DagPairs::new(&[subject], &config, Arc::new(Codebook::published()), Key::new(3)).unwrap()
    }

    fn pair(source: &DagPairs, index: u64) -> (Array4<f32>, Array4<f32>, Severity) {
        let [z, y, x] = source.config.patch;
        let (mut corrupted, mut clean) = (Array4::zeros((1, z, y, x)), Array4::zeros((1, z, y, x)));
        let severity = source.pair(index, corrupted.view_mut(), clean.view_mut()).unwrap();
        (corrupted, clean, severity)
    }

    #[test]
    fn a_pair_depends_on_its_index_alone() {
        let source = source([3, 20, 24], [1, 16, 16]);
        let first = pair(&source, 5);
        pair(&source, 6);
        assert_eq!(pair(&source, 5), first);
        assert_ne!(pair(&source, 6).1, first.1);
    }

    #[test]
    fn cuts_without_augmentation_are_those_of_earlier_models() {
        // A run resumed with a newer program must go on with the same patches.
        let clean = pair(&source([3, 20, 24], [1, 16, 16]), 5).1;
        let sum: f64 = clean.iter().map(|&value| f64::from(value)).sum();
        // Printed by the program before it could augment.
        assert!((sum - 156.799_998_894).abs() < 1e-6, "{sum}");
        assert_eq!(clean[[0, 0, 3, 4]], 0.290_000_02);
    }

    #[test]
    fn augmented_pairs_are_replayed_on_any_number_of_threads() {
        let mut augment = AugmentConfig::default();
        augment.spatial.elastic_probability = 0.5;
        augment.intensity.noise_probability = 0.5;
        for patch in [[1, 16, 16], [4, 16, 16]] {
            let source = source_with([6, 20, 24], patch, Some(augment.clone()));
            let runs = [1, 3].map(|threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| {
                    (0..24u64).into_par_iter().map(|index| pair(&source, index)).collect::<Vec<_>>()
                })
            });
            assert_eq!(runs[0], runs[1]);
            // In the reverse order, one by one: what came before does not matter.
            assert!((0..24).rev().all(|index| pair(&source, index) == runs[0][index as usize]));
            let plain = source_with([6, 20, 24], patch, None);
            assert!((0..24).all(|index| pair(&plain, index).1 != runs[0][index as usize].1));
        }
    }

    #[test]
    fn the_severity_is_what_was_realised() {
        let source = source([3, 20, 24], [1, 16, 16]);
        for index in 0..50 {
            let (corrupted, clean, severity) = pair(&source, index);
            assert_eq!(severity == Severity::CLEAN, corrupted == clean);
        }
    }

    #[test]
    fn a_brain_smaller_than_the_patch_is_centred() {
        let source = source([1, 10, 12], [1, 16, 16]);
        let clean = pair(&source, 0).1;
        let lit = |y: usize, x: usize| clean[[0, 0, y, x]] > 0.0;
        assert!(
            (0..16)
                .all(|y| (0..16)
                    .all(|x| lit(y, x) == ((3..13).contains(&y) && (2..14).contains(&x))))
        );
    }

    #[test]
    fn another_shape_is_refused() {
        let source = source([1, 20, 20], [1, 16, 16]);
        let (mut a, mut b) = (Array4::zeros((1, 1, 16, 8)), Array4::zeros((1, 1, 16, 8)));
        assert!(matches!(source.pair(0, a.view_mut(), b.view_mut()), Err(PairError::Shape(_))));
    }
}
