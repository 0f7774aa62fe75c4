//! Training pairs: patches of healthy subjects, corrupted by the run's family of anomalies.

mod patch_cut;

use disyre_augment::{AugmentConfig, Augmenter, Scanner};
use disyre_core::ndarray::{Array3, ArrayView4, ArrayViewMut4, Axis, Zip};
use disyre_core::rand::RngExt;
use disyre_core::{Key, PairError, PairSource, Severity, TissueModel, ensure_same_shape};
use disyre_dag::{Anomalies, AnomalyParams, DagError, Scene};
use disyre_tissue::LabelMap;

use crate::anomaly_sources::sources;
use crate::segmentation::label_map;
use crate::{Error, PairConfig, RunConfig, Subject, Tissues};
use patch_cut::PatchCut;

/// Patches drawn for a pair, one after the other, until one holds a place where its map allows an anomaly.
const PATCHES: u64 = 32;

/// Training pairs: random patches of healthy scans, and the same patches corrupted by the run's family of anomalies.
///
/// Pair `i` depends on the key and `i` alone: any order, any thread. Where a subject has a location map, a patch without
/// any place is drawn anew; the last of 32 such stays healthy, severity 0.
///
/// ```
/// use disyre::core::{Key, PairSource, ndarray::Array4};
/// use disyre::{DagPairs, Family, PrepareConfig, RunConfig, Subject, phantom::PhantomConfig};
///
/// let mut config = RunConfig::cpu_2mm();
/// config.family = Family::Fpi; // it needs no tissues
/// let phantom = PhantomConfig { shape: [4, 32, 32], ..PhantomConfig::default() }.healthy(Key::new(1));
/// let preparation = PrepareConfig { spacing_mm: 2.0, ..PrepareConfig::default() }.build()?;
/// let subject = Subject::new("phantom", preparation.prepare(&phantom.volume, None)?);
/// let pairs = DagPairs::new(&[subject], &config, None, Key::new(2))?;
/// let mut clean = Array4::zeros((1, 1, 64, 64)); // (c, z, y, x)
/// let mut corrupted = clean.clone();
/// let severity = pairs.pair(7, corrupted.view_mut(), clean.view_mut())?;
/// assert_eq!(severity.get() > 0.0, corrupted != clean);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Source
/// DISYRE v2 (arXiv 2407.06635): patch extraction and DAG. Differences, ours: the last slice is drawn too, and the
/// foreign textures come from a bank of all subjects, not from a pool that remembers earlier batches.
#[derive(Debug)]
pub struct DagPairs {
    subjects: Vec<Subject>,
    /// Of each subject, if tissues are told by segmentations.
    label_maps: Option<Vec<LabelMap>>,
    config: PairConfig,
    augmenter: Option<Augmenter>,
    scanner: Option<Scanner>,
    anomalies: Anomalies,
    key: Key,
}

impl DagPairs {
    /// Makes the source over some subjects, whose scans are also where foreign textures come from.
    ///
    /// # Errors
    /// [`Error::CohortTooSmall`] without subjects; the DAG and augmentation crates' errors for settings they cannot
    /// serve; errors of reading the shape masks, if a folder of them is set; [`Error::Unsegmented`] for a subject without
    /// segmentation where those tell tissues.
    pub fn new(
        subjects: &[Subject],
        config: &RunConfig,
        tissues: Option<&Tissues>,
        key: Key,
    ) -> Result<Self, Error> {
        if subjects.is_empty() {
            return Err(Error::CohortTooSmall { got: 0, needed: 1 });
        }
        let images = subjects.iter().map(|subject| subject.image.clone()).collect();
        let sources = sources(images, config.pairs.shape_masks.as_deref(), tissues)?;
        let anomalies = config.anomaly(config.dag.window, tissues).build(&sources)?;
        let label_maps = match tissues {
            Some(Tissues::LabelMaps { codes }) => {
                let maps = subjects.iter().map(|subject| label_map(subject, codes));
                Some(maps.collect::<Result<_, _>>()?)
            }
            _ => None,
        };
        let augmenter = config.pairs.augment.clone().map(AugmentConfig::build).transpose()?;
        let spacing_mm = [config.prepare.spacing_mm; 3];
        let scanner = config.pairs.scanner.clone().map(|scanner| scanner.build(spacing_mm));
        Ok(Self {
            subjects: subjects.to_vec(),
            label_maps,
            config: config.pairs.clone(),
            augmenter,
            scanner: scanner.transpose()?,
            anomalies,
            key,
        })
    }

    /// Draws the subject that patch `key` is cut out of, and the cut.
    fn draw(&self, key: Key) -> (usize, PatchCut) {
        let mut rng = key.rng();
        let which = rng.random_range(0..self.subjects.len());
        let image = self.subjects[which].image.view();
        let PairConfig { patch, mirror, .. } = self.config;
        let cut = match &self.augmenter {
            None => PatchCut::draw_plain(image, patch, mirror, rng),
            Some(augmenter) => {
                let params = augmenter.draw(key.child("augment"));
                PatchCut::draw_augmented(image, patch, params, rng)
            }
        };
        (which, cut)
    }

    /// The location map of a patch.
    fn locations(&self, which: usize, cut: &PatchCut) -> Result<Option<Array3<f32>>, Error> {
        let Some(map) = &self.subjects[which].locations else { return Ok(None) };
        let mut weights = Array3::zeros(self.config.patch);
        cut.cut_labels(map.weights.view(), weights.view_mut())?;
        Ok(Some(weights))
    }

    /// The label map of a patch.
    fn tissues(&self, which: usize, cut: &PatchCut) -> Result<Option<LabelMap>, Error> {
        let Some(map) = self.label_maps.as_ref().map(|maps| &maps[which]) else { return Ok(None) };
        let mut labels = Array3::zeros(self.config.patch);
        cut.cut_labels(map.voxels(), labels.view_mut())?;
        Ok(Some(map.with_voxels(labels)?))
    }

    fn fill(
        &self,
        key: Key,
        mut corrupted: ArrayViewMut4<'_, f32>,
        mut clean: ArrayViewMut4<'_, f32>,
    ) -> Result<Severity, Error> {
        let anomaly = self.anomalies.draw(key.child("dag"));
        for attempt in 0..PATCHES {
            let patch = patch_key(key, attempt);
            match self.fill_with(patch, &anomaly, corrupted.view_mut(), clean.view_mut()) {
                Err(Error::Dag(DagError::NoPlace { .. })) => {}
                done => return done,
            }
        }
        corrupted.assign(&clean);
        Ok(Severity::CLEAN)
    }

    /// The pair of one patch.
    fn fill_with(
        &self,
        patch: Key,
        anomaly: &AnomalyParams,
        corrupted: ArrayViewMut4<'_, f32>,
        mut clean: ArrayViewMut4<'_, f32>,
    ) -> Result<Severity, Error> {
        let (which, cut) = self.draw(patch);
        cut.cut(self.subjects[which].image.view(), clean.view_mut())?;
        let (tissues, mut places) = (self.tissues(which, &cut)?, self.locations(which, &cut)?);
        if let Some(scanner) = &self.scanner {
            scanner.draw(patch.child("scanner")).apply(clean.view_mut())?;
            // Beyond a cropped field of view, an anomaly has no place.
            places = places.map(|places| on_foreground(places, clean.view()));
        }
        let tissues = tissues.as_ref().map(|map| map as &dyn TissueModel);
        let places = places.as_ref().map(|weights| weights.view());
        let scene = Scene { clean: clean.view(), places, tissues };
        Ok(self.anomalies.apply(anomaly, scene, corrupted)?.severity)
    }
}

/// The key that a patch of pair `key` is drawn with.
fn patch_key(key: Key, attempt: u64) -> Key {
    let patch = key.child("patch");
    if attempt == 0 { patch } else { patch.child(attempt) }
}

/// A location map, 0 where the image of one channel is background.
fn on_foreground(mut places: Array3<f32>, image: ArrayView4<'_, f32>) -> Array3<f32> {
    let channel = image.index_axis(Axis(0), 0);
    Zip::from(&mut places).and(channel).for_each(|weight, &value| {
        *weight = if value > 0.0 { *weight } else { 0.0 };
    });
    places
}

impl PairSource for DagPairs {
    fn pair(
        &self,
        index: u64,
        corrupted: ArrayViewMut4<'_, f32>,
        clean: ArrayViewMut4<'_, f32>,
    ) -> Result<Severity, PairError> {
        let [z, y, x] = self.config.patch;
        ensure_same_shape("clean patch", &[1, z, y, x], clean.shape())?;
        self.fill(self.key.child(index), corrupted, clean)
            .map_err(|source| PairError::Source { index, source: Box::new(source) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LocationMap;
    use disyre_augment::ScannerConfig;
    use disyre_core::ndarray::Array4;
    use disyre_tissue::Codebook;
    use rayon::prelude::*;

    fn source(shape: [usize; 3], patch: [usize; 3]) -> DagPairs {
        source_with(shape, patch, None, None)
    }

    fn source_with(
        shape: [usize; 3],
        patch: [usize; 3],
        augment: Option<AugmentConfig>,
        places: Option<Array3<f32>>,
    ) -> DagPairs {
        let mut pairs = RunConfig::cpu_2mm().pairs;
        (pairs.patch, pairs.augment) = (patch, augment);
        source_of(shape, pairs, places)
    }

    fn source_of(shape: [usize; 3], pairs: PairConfig, places: Option<Array3<f32>>) -> DagPairs {
        let places = places
            .map(|weights| LocationMap { path: "map".into(), weights: weights.into_shared() });
        let image = Array4::from_shape_fn((1, shape[0], shape[1], shape[2]), |(_, z, y, x)| {
            0.2 + ((z * 31 + y * 7 + x * 3) % 80) as f32 / 100.0
        });
        let subject = Subject {
            name: "a".into(),
            image: image.into_shared(),
            segmentation: None,
            locations: places,
            sha256: Vec::new(),
        };
        let mut config = RunConfig::cpu_2mm();
        config.pairs = pairs;
        config.dag = disyre_dag::DagConfig::for_window([1, 8, 8]);
        let tissues = Tissues::Fitted(Codebook::published().into());
        DagPairs::new(&[subject], &config, Some(&tissues), Key::new(3)).unwrap()
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
            let source = source_with([6, 20, 24], patch, Some(augment.clone()), None);
            let runs = [1, 3].map(|threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| {
                    (0..24u64).into_par_iter().map(|index| pair(&source, index)).collect::<Vec<_>>()
                })
            });
            assert_eq!(runs[0], runs[1]);
            // In the reverse order, one by one: what came before does not matter.
            assert!((0..24).rev().all(|index| pair(&source, index) == runs[0][index as usize]));
            let plain = source_with([6, 20, 24], patch, None, None);
            assert!((0..24).all(|index| pair(&plain, index).1 != runs[0][index as usize].1));
        }
    }

    #[test]
    fn scanners_vary_the_clean_patch_alike_on_any_number_of_threads() {
        let scanner = Some(ScannerConfig { crop_probability: 0.5, ..ScannerConfig::default() });
        for augment in [None, Some(AugmentConfig::default())] {
            let plain = PairConfig { patch: [1, 16, 16], augment, ..RunConfig::cpu_2mm().pairs };
            let varied = PairConfig { scanner: scanner.clone(), ..plain.clone() };
            let [plain, varied] = [plain, varied].map(|pairs| source_of([3, 20, 24], pairs, None));
            let runs = [1, 3].map(|threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| {
                    (0..24u64).into_par_iter().map(|index| pair(&varied, index)).collect::<Vec<_>>()
                })
            });
            assert_eq!(runs[0], runs[1]);
            let mut outside = 0;
            for (index, (corrupted, clean, _)) in (0..24u64).zip(&runs[0]) {
                // The change is what was drawn, on the same cut, and the corrupted patch has it where it is not corrupted.
                let key = patch_key(varied.key.child(index), 0);
                let mut expected = pair(&plain, index).1;
                let drawn = varied.scanner.as_ref().unwrap().draw(key.child("scanner"));
                drawn.apply(expected.view_mut()).unwrap();
                assert_eq!(clean, expected);
                outside += clean.iter().zip(corrupted).filter(|(a, b)| a == b).count();
                assert!(clean.iter().zip(corrupted).all(|(&a, &b)| a != 0.0 || b == 0.0));
            }
            // The window of an anomaly is a quarter of a patch.
            assert!(outside >= 24 * 192, "{outside}");
        }
    }

    #[test]
    fn no_anomaly_has_its_place_beyond_the_field_of_view() {
        let scanner = ScannerConfig {
            crop_probability: 1.0,
            crop_share: [0.45, 0.45],
            noise_probability: 0.0,
            ..ScannerConfig::default()
        };
        let pairs =
            PairConfig { patch: [1, 16, 16], scanner: Some(scanner), ..RunConfig::cpu_2mm().pairs };
        let mut place = Array3::zeros((3, 20, 24));
        (0..3).for_each(|z| place[[z, 9, 13]] = 1.0);
        let source = source_of([3, 20, 24], pairs, Some(place.clone()));
        let mut changed = 0;
        for index in 0..40 {
            let (corrupted, clean, _) = pair(&source, index);
            assert!(clean.iter().zip(&corrupted).all(|(&a, &b)| a != 0.0 || b == 0.0));
            if corrupted == clean {
                continue;
            }
            changed += 1;
            // The cut that was taken, of those that the pair may have drawn.
            let cut = (0..PATCHES).find_map(|attempt| {
                let key = patch_key(source.key.child(index), attempt);
                let (which, cut) = source.draw(key);
                let mut patch = Array4::zeros((1, 1, 16, 16));
                cut.cut(source.subjects[which].image.view(), patch.view_mut()).unwrap();
                let drawn = source.scanner.as_ref().unwrap().draw(key.child("scanner"));
                drawn.apply(patch.view_mut()).unwrap();
                (patch == clean).then_some(cut)
            });
            let mut centre = Array3::<f32>::zeros((1, 16, 16));
            cut.unwrap().cut_labels(place.view(), centre.view_mut()).unwrap();
            let at = centre.indexed_iter().find(|(_, weight)| **weight > 0.0).unwrap().0;
            assert!(clean[[0, at.0, at.1, at.2]] > 0.0, "{at:?} of pair {index}");
        }
        assert!(changed > 20, "{changed} of 40 have an anomaly");
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
    fn anomalies_of_pairs_lie_where_the_map_allows() {
        let shape = [9, 20, 24];
        let image = source(shape, [1, 16, 16]).subjects[0].image.clone();
        // One voxel of one slice: the anomaly's window around it is all that may change.
        let mut place = Array3::zeros(shape);
        place[[4, 9, 13]] = 2.0;
        let mut augment = AugmentConfig::default();
        (augment.spatial.elastic_probability, augment.spatial.rotation_probability) = (0.0, 0.0);
        augment.spatial.scale_probability = 0.0;
        for augment in [None, Some(augment)] {
            let augmented = augment.is_some();
            let source = source_with(shape, [1, 16, 16], augment, Some(place.clone()));
            let mut changed = 0;
            for index in 0..40 {
                let (corrupted, clean, severity) = pair(&source, index);
                if severity == Severity::CLEAN {
                    assert_eq!(corrupted, clean);
                    continue;
                }
                changed += 1;
                let (which, cut) = found(&source, index);
                let mut centre = Array3::<f32>::zeros((1, 16, 16));
                cut.cut_labels(place.view(), centre.view_mut()).unwrap();
                let at = centre.indexed_iter().find(|(_, weight)| **weight > 0.0).unwrap().0;
                assert_eq!(which, 0);
                for ((_, _, y, x), &value) in corrupted.indexed_iter() {
                    let near = y.abs_diff(at.1) <= 4 && x.abs_diff(at.2) <= 4;
                    assert!(near || value == clean[[0, 0, y, x]], "{y} {x} around {at:?}");
                }
                if !augmented {
                    let value = image[[0, 4, 9, 13]];
                    assert_eq!(clean[[0, 0, at.1, at.2]], value);
                }
            }
            assert!(changed > 30, "{changed} of 40 have an anomaly");
        }
        // No window fits around a corner: all pairs stay healthy.
        let mut corner = Array3::zeros(shape);
        corner[[4, 0, 0]] = 1.0;
        let source = source_with(shape, [1, 16, 16], None, Some(corner));
        assert!((0..10).all(|index| pair(&source, index).2 == Severity::CLEAN));
    }

    /// The first patch of a pair that holds the place.
    fn found(source: &DagPairs, index: u64) -> (usize, PatchCut) {
        let key = source.key.child(index).child("patch");
        let mut attempts = (0..PATCHES).map(|n| if n == 0 { key } else { key.child(n) });
        let holds = |key: Key| {
            let (which, cut) = source.draw(key);
            let weights = source.locations(which, &cut).unwrap().unwrap();
            // Where a window of 8 voxels fits around it.
            let inner = |&((_, y, x), &weight): &((usize, usize, usize), &f32)| {
                weight > 0.0 && (4..12).contains(&y) && (4..12).contains(&x)
            };
            weights.indexed_iter().any(|voxel| inner(&voxel)).then_some((which, cut))
        };
        attempts.find_map(holds).unwrap()
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
