//! Weights of the channels by scans with known lesions: a logistic regression of the lesion on the distances from healthy.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use disyre_core::Volume;
use disyre_core::ndarray::{Array3, Zip};
use disyre_volume::{Interpolation, VolumeError, read_mask, resample_to_grid, subject_of};

use super::logistic::Logistic;
use super::smoothing::{Smoother, in_voxels};
use super::views::Views;
use super::{Calibration, Channel, ChannelConfig, ChannelMaps, Evidence, Sides, known};
use crate::at_once::{AT_ONCE, for_scans};
use crate::{Detector, Error, Model, Prepared, SkullPolicy};

/// Voxels of a scan inside the lesions, and as many outside, that count at most.
const VOXELS: usize = 1500;
/// Lesions with fewer voxels of the template say little: their scan does not count.
const LEAST_VOXELS: usize = 10;

/// A scan with known lesions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LesionCase {
    /// The scan.
    pub scan: PathBuf,
    /// Its lesions: a mask on its grid.
    pub label: PathBuf,
    /// Whose scan it is; `None`: its name says so.
    pub person: Option<String>,
}

impl LesionCase {
    /// Whose scan it is.
    ///
    /// ```
    /// use disyre::LesionCase;
    ///
    /// let mut case = LesionCase { scan: "sub-7_ses-2_T1w.nii.gz".into(), label: "l.nii".into(), person: None };
    /// assert_eq!(case.person(), "sub-7");
    /// case.person = Some("P7".to_owned());
    /// assert_eq!(case.person(), "P7");
    /// ```
    pub fn person(&self) -> String {
        let name = self.person.as_ref().map(Path::new).unwrap_or(&self.scan);
        subject_of(name)
    }
}

/// Scans that weights were fitted to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WeightScans {
    /// Number of scans that counted.
    pub used: usize,
    /// Scans whose registration is doubtful.
    pub doubtful: Vec<PathBuf>,
    /// Scans with lesions of fewer than 10 voxels of the template.
    pub too_small: Vec<PathBuf>,
}

/// Scans with known lesions, by which the weights of the channels are chosen.
///
/// They must be of other persons than the healthy scans behind the maps, which are closer to these than new ones; lesions
/// that were implanted into healthy scans (`disyre implant`) serve, so that no patient is needed.
#[derive(Debug, Clone, Copy)]
pub struct WeightRequest<'a> {
    /// The scans.
    pub cases: &'a [LesionCase],
    /// Treatment of skulls.
    pub skull: SkullPolicy,
}

impl WeightRequest<'_> {
    /// Refuses scans of the persons of other scans, which these names or paths say.
    ///
    /// # Errors
    /// [`Error::PersonInUse`] naming the first such scan.
    pub fn ensure_others<'n>(
        &self,
        others: impl IntoIterator<Item = &'n Path>,
    ) -> Result<(), Error> {
        let persons: HashSet<String> = others.into_iter().map(subject_of).collect();
        match self.cases.iter().find(|case| persons.contains(&case.person())) {
            Some(case) => {
                Err(Error::PersonInUse { scan: case.scan.clone(), person: case.person() })
            }
            None => Ok(()),
        }
    }
}

impl Calibration {
    /// The same calibration with weights fitted to known lesions, for every channel, view and side of it, and without
    /// thresholds. A channel of which neither side counts at its place in the settings is left out.
    /// Returns it with the scans that counted. `progress` is called with the number of scans done so far.
    ///
    /// Each scan counts alike, its voxels in the lesions as much as the others, of which at most 1,500 each are taken, evenly
    /// spread. Scans with a doubtful registration or with lesions of fewer than 10 voxels of the template are left out.
    ///
    /// # Errors
    /// [`Error::PersonInUse`] for a person behind the maps; [`Error::Case`] naming the first scan that cannot be used;
    /// [`Error::NoLesionCase`] if no scan counts.
    ///
    /// # Source
    /// Ours: logistic regression with an L2 penalty, on the smoothed distances of all channels, either side of each view on
    /// its own.
    pub fn with_lesion_weights(
        self,
        model: &Model,
        request: &WeightRequest<'_>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<(Self, WeightScans), Error> {
        request.ensure_others(self.scans.iter().map(|scan| Path::new(&scan.file.name)))?;
        // Both sides of three views of each channel.
        let bytes = 4 * 6 * Channel::ALL.len() * 2 * VOXELS * request.cases.len();
        VolumeError::ensure_memory("voxels that weights are fitted to", bytes as u64)?;
        let preparation = model.folder().preparation().clone();
        let options = self.detect_options(model.folder().config());
        let detector = Detector::new(model.restorer(), preparation, options)?.with_evidence();
        let (mut samples, mut scans) = (Samples::default(), WeightScans::default());
        let mut done = 0;
        for cases in request.cases.chunks(AT_ONCE) {
            let read = |case: &LesionCase| {
                let found = ReadCase::read(case, model, request.skull);
                found.map_err(Error::case(&case.scan.display().to_string()))
            };
            for (case, found) in cases.iter().zip(for_scans(cases, |case| &case.scan, read)?) {
                let counted = self.add_case(found, &detector, &mut samples);
                match counted.map_err(Error::case(&case.scan.display().to_string()))? {
                    Counted::Yes => scans.used += 1,
                    Counted::Doubtful => scans.doubtful.push(case.scan.clone()),
                    Counted::TooSmall => scans.too_small.push(case.scan.clone()),
                }
                done += 1;
                progress(done);
            }
        }
        let weights = samples.fit(&scans)?;
        Ok((self.with_sides(&weights), scans))
    }

    /// Adds voxels of one scan.
    fn add_case(
        &self,
        case: ReadCase,
        detector: &Detector<'_>,
        samples: &mut Samples,
    ) -> Result<Counted, Error> {
        let ReadCase { prepared, label } = case;
        let registration = prepared.registration_to(&self.space)?;
        if !registration.verdict.is_good() {
            return Ok(Counted::Doubtful);
        }
        let grid = self.space.grid_of(&registration);
        let evidence = Evidence::on_grid(&detector.restore(prepared, &mut |_, _| ())?, &grid)?;
        let lesion = resample_to_grid(&label, &grid, Interpolation::Area)?.data;
        Ok(match samples.add(&self.all_distances(&evidence)?, &lesion) {
            true => Counted::Yes,
            false => Counted::TooSmall,
        })
    }

    /// Distances of the channels that count, and the voxels where they are known.
    fn all_distances(&self, evidence: &Evidence) -> Result<Distances, Error> {
        let config = self.config();
        let known = known(evidence.mask.view(), &self.count, self.scans.len())?;
        let smoother = Smoother::new(known.view(), in_voxels(config.smoothing_mm))?;
        let around = Smoother::new(known.view(), in_voxels(config.around_mm))?;
        let mut channels = Vec::new();
        let is_open = |maps: &&ChannelMaps| {
            let ChannelConfig { less, more, .. } = *config.channel(maps.channel);
            less != 0.0 || more != 0.0
        };
        for maps in self.maps.iter().filter(is_open) {
            if let Some(z) = self.distances(maps, evidence, &config, &smoother)? {
                channels.push((maps.channel, Views::all(z, &around)?));
            }
        }
        Ok(Distances { channels, known })
    }

    /// The same calibration with these weights of the views of channels.
    fn with_sides(mut self, weights: &[(Channel, [Sides; 3])]) -> Self {
        let mut config = self.config();
        for channel in Channel::ALL {
            let found = weights.iter().find(|(of, _)| *of == channel);
            let old = *config.channel(channel);
            *config.channel_mut(channel) = match found {
                Some(&(_, [Sides { less, more }, around, across])) => {
                    ChannelConfig { weight: 1.0, less, more, around, across, ..old }
                }
                None => ChannelConfig { weight: 0.0, ..old },
            };
        }
        self.detect.calibrated = Some(config);
        self.with_thresholds(None)
    }
}

/// Whether a scan counted.
enum Counted {
    Yes,
    Doubtful,
    TooSmall,
}

/// A scan with lesions, read and prepared.
struct ReadCase {
    prepared: Prepared,
    /// 1 inside the lesions, on the grid of the scan.
    label: Volume,
}

impl ReadCase {
    fn read(case: &LesionCase, model: &Model, skull: SkullPolicy) -> Result<Self, Error> {
        let scan = skull.read(&case.scan)?;
        let label = read_mask(&case.label, &scan)?.mapv(f32::from);
        let (_, prepared) = model.folder().preparation().prepare_under(skull, &scan.volume)?;
        Ok(Self { prepared, label: Volume { data: label, grid: scan.volume.grid } })
    }
}

/// Distances of a scan from healthy.
struct Distances {
    channels: Vec<(Channel, Views)>,
    /// 1 where they are known.
    known: Array3<u8>,
}

/// Voxels of scans with lesions, and the channels that all of these have.
#[derive(Default)]
struct Samples {
    channels: Vec<Channel>,
    regression: Logistic,
}

impl Samples {
    /// Adds a scan; `lesion` holds the share of each voxel that is lesion. False where this is too small to count.
    fn add(&mut self, distances: &Distances, lesion: &Array3<f32>) -> bool {
        let mut voxels = [Vec::new(), Vec::new()];
        Zip::indexed(lesion).and(&distances.known).for_each(|place, &share, &known| {
            if known != 0 {
                voxels[usize::from(share >= 0.5)].push(place);
            }
        });
        let [outside, inside] = &voxels;
        if inside.len() < LEAST_VOXELS || outside.is_empty() {
            return false;
        }
        self.channels = distances.channels.iter().map(|(channel, _)| *channel).collect();
        for (is_lesion, places) in [(false, outside), (true, inside)] {
            let taken: Vec<_> = spread(places, VOXELS).collect();
            for place in &taken {
                let views = distances.channels.iter().flat_map(|(_, Views(maps))| maps);
                let z = views.map(|map| map[**place]);
                let sides = z.flat_map(|z| [(-z).max(0.0), z.max(0.0)]);
                self.regression.add(sides, is_lesion, 0.5 / taken.len() as f64);
            }
        }
        true
    }

    /// Weights of the views of each channel.
    fn fit(&self, scans: &WeightScans) -> Result<Vec<(Channel, [Sides; 3])>, Error> {
        if scans.used == 0 {
            let (doubtful, too_small) = (scans.doubtful.len(), scans.too_small.len());
            return Err(Error::NoLesionCase { doubtful, too_small });
        }
        let found = self.regression.fit();
        let sides = found.chunks_exact(6).map(|six| {
            std::array::from_fn(|view| Sides { less: six[2 * view], more: six[2 * view + 1] })
        });
        Ok(self.channels.iter().copied().zip(sides).collect())
    }
}

/// At most so many items, evenly spread over all.
fn spread<T>(items: &[T], most: usize) -> impl Iterator<Item = &T> {
    let taken = items.len().min(most);
    (0..taken).map(move |index| &items[index * items.len() / taken])
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::Array3;

    #[test]
    fn few_items_are_all_taken_and_of_many_some_from_end_to_end() {
        let items: Vec<usize> = (0..10).collect();
        assert_eq!(spread(&items, 20).count(), 10);
        assert_eq!(spread(&items, 3).copied().collect::<Vec<_>>(), [0, 3, 6]);
    }

    #[test]
    fn the_channel_that_shows_the_lesion_has_the_weight_and_small_lesions_do_not_count() {
        let row = |values: Vec<f32>| Array3::from_shape_vec([1, 1, 40], values).unwrap();
        let dark = row((0..40).map(|x| if x < 12 { -3.0 } else { 0.2 }).collect());
        let noise = row((0..40).map(|x| if x % 2 == 0 { 1.0 } else { -1.0 }).collect());
        let known = Array3::ones([1, 1, 40]);
        let views = |z| Views::all(z, &Smoother::new(known.view(), 1.0).unwrap()).unwrap();
        let distances = Distances {
            channels: vec![(Channel::Intensity, views(dark)), (Channel::Residual, views(noise))],
            known: known.clone(),
        };
        let lesion = |voxels| row((0..40).map(|x| f32::from(u8::from(x < voxels))).collect());
        let mut samples = Samples::default();
        assert!(!samples.add(&distances, &lesion(9)));
        let none = WeightScans { too_small: vec!["a.nii".into()], ..WeightScans::default() };
        let error = samples.fit(&none).unwrap_err().to_string();
        assert!(error.contains("1 have lesions of fewer than 10 voxels"), "{error}");
        assert!(samples.add(&distances, &lesion(12)));
        let found = samples.fit(&WeightScans { used: 1, ..none }).unwrap();
        let [(Channel::Intensity, [here, around, across]), (Channel::Residual, noise)] = found[..]
        else {
            panic!("{found:?}");
        };
        assert!(here.less > 0.5 && around.less > 0.5 && across.less < 0.0, "{found:?}");
        assert!(here.more <= 0.0 && around.more <= 0.0, "{found:?}");
        let mut weights = noise.into_iter().flat_map(|sides| [sides.less, sides.more]);
        assert!(weights.all(|weight| 10.0 * weight.abs() < here.less), "{found:?}");
    }
}
