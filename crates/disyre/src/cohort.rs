//! Healthy subjects, split into those that train and those that validate.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use disyre_core::ndarray::{ArcArray, Axis, Ix4};
use disyre_core::rand::RngExt;
use disyre_core::{Key, Volume};
use disyre_volume::{IntensityReference, ScanName, list_scans};

use rayon::prelude::*;

use crate::check::ensure_headers;
use crate::distinct_names::sorted_distinct;
use crate::source_scan::ScanHashes;
use crate::{
    Error, LocationMap, Preparation, Prepared, PreparedScans, RunConfig, Segmentation, SourceScan,
    Unscaled,
};

/// A healthy scan, prepared.
#[derive(Debug, Clone)]
pub struct Subject {
    /// File name without its extensions.
    pub name: String,
    /// Intensities in `[0, 1]`, `(c, z, y, x)` with one channel, cropped to the brain; background 0.
    pub image: ArcArray<f32, Ix4>,
    /// Its anatomical segmentation, if tissues are told by one.
    pub segmentation: Option<Segmentation>,
    /// Locations that its anomalies may have; `None`: anywhere in the brain.
    pub locations: Option<LocationMap>,
    /// SHA-256 of its files, hexadecimal: scan, segmentation and location map, those that there are. Empty where it was not read
    /// from files.
    pub sha256: Vec<String>,
}

impl Subject {
    /// Takes a prepared scan.
    pub fn new(name: impl Into<String>, prepared: Prepared) -> Self {
        let image = prepared.volume.data.insert_axis(Axis(0));
        Self {
            name: name.into(),
            image: image.into_shared(),
            segmentation: None,
            locations: None,
            sha256: Vec::new(),
        }
    }
}

/// Healthy subjects, split into those that train and those that validate.
///
/// ```
/// use disyre::{Cohort, RunConfig, core::Key, phantom::PhantomConfig};
///
/// let config = RunConfig::cpu_2mm();
/// let phantoms = PhantomConfig { shape: [4, 32, 32], ..PhantomConfig::default() };
/// let scan = |index: u64| (format!("phantom-{index}"), phantoms.healthy(Key::new(index)).volume);
/// let cohort = Cohort::prepare(&(0..10).map(scan).collect::<Vec<_>>(), &config, Key::new(0))?;
/// assert_eq!((cohort.training.len(), cohort.validation.len()), (8, 2));
/// # Ok::<(), disyre::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Cohort {
    /// Seen by training.
    pub training: Vec<Subject>,
    /// Never seen by training.
    pub validation: Vec<Subject>,
    /// Reference of their intensities, where it was fitted to those that train.
    pub reference: Option<IntensityReference>,
}

impl Cohort {
    /// Reads and prepares every scan of a folder (see [`healthy_scans`]), several at a time, with their segmentations and location maps if the
    /// settings ask for them, then splits them.
    ///
    /// # Errors
    /// [`Error::Case`] naming the scan that cannot be used, [`Error::Scans`] naming all of several; before any voxel is read,
    /// where headers or names show it. [`Error::Volume`] for a scan without its segmentation or map; [`Error::SameScan`] for a
    /// copy, which might validate what it trained; [`Error::CohortTooSmall`] below two.
    pub fn load(folder: &Path, config: &RunConfig, key: Key) -> Result<Self, Error> {
        Self::read(&healthy_scans(folder, config)?, config, key)
    }

    /// Reads and prepares some scans as [`load`](Self::load) does those of a folder.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn read(paths: &[PathBuf], config: &RunConfig, key: Key) -> Result<Self, Error> {
        ensure_headers(paths)?;
        let names = paths.iter().map(|path| ScanName::of(path).to_string());
        let kept = kept_for_validation(names.collect(), config.pairs.hold_out, key)?;
        let fits = |name: &str| !kept.iter().any(|kept| kept == name);
        let PreparedScans { scans, preparation } = PreparedScans::read_fitted(paths, config, fits)?;
        let subjects: Vec<Subject> = scans.into_iter().map(Subject::from).collect();
        ensure_others(&subjects)?;
        let cohort = Self::split(subjects, config.pairs.hold_out, key)?;
        Ok(Self { reference: preparation.reference().cloned(), ..cohort })
    }

    /// Prepares scans in memory, by name, and splits them.
    ///
    /// The scans have to be stripped: no policy of skulls is applied, use [`SkullPolicy`](crate::SkullPolicy) before.
    ///
    /// # Errors
    /// [`Error::Case`] naming the first scan that cannot be used, and those of [`split`](Self::split).
    pub fn prepare(
        scans: &[(String, Volume)],
        config: &RunConfig,
        key: Key,
    ) -> Result<Self, Error> {
        let names = scans.iter().map(|(name, _)| name.clone()).collect();
        let kept = kept_for_validation(names, config.pairs.hold_out, key)?;
        let unfitted = Preparation::unfitted(&config.prepare)?;
        let align =
            |(name, scan): &(String, Volume)| unfitted.align(scan, None).map_err(Error::case(name));
        let aligned: Vec<Unscaled> = scans.par_iter().map(align).collect::<Result<_, _>>()?;
        let named = scans.iter().map(|(name, _)| name).zip(&aligned);
        let cohort = named.clone().filter(|(name, _)| !kept.contains(name));
        let quantiles = |(name, scan): (&String, &Unscaled)| {
            Ok((name.clone(), unfitted.quantiles(scan).map_err(Error::case(name))?))
        };
        let quantiles = cohort.map(quantiles).collect::<Result<Vec<_>, Error>>()?;
        let preparation = unfitted.clone().fit_named(quantiles.into_iter())?;
        let subject = |(name, scan): (&String, &Unscaled)| {
            Ok(Subject::new(name, preparation.scale(scan).map_err(Error::case(name))?))
        };
        let subjects = named.map(subject).collect::<Result<_, Error>>()?;
        let cohort = Self::split(subjects, config.pairs.hold_out, key)?;
        Ok(Self { reference: preparation.reference().cloned(), ..cohort })
    }

    /// Keeps `hold_out` persons for validation, drawn by `key`: at least one and at most a fifth. All scans of one person
    /// ([`ScanName::subject`]) are on the same side.
    ///
    /// # Errors
    /// [`Error::CohortTooSmall`] with fewer than two persons; [`Error::SameName`] for a name that comes twice.
    pub fn split(mut subjects: Vec<Subject>, hold_out: usize, key: Key) -> Result<Self, Error> {
        let names = subjects.iter().map(|subject| subject.name.clone()).collect();
        let kept = kept_for_validation(names, hold_out, key)?;
        subjects.sort_by(|a, b| a.name.cmp(&b.name));
        let (validation, training) =
            subjects.into_iter().partition(|subject| kept.contains(&subject.name));
        Ok(Self { training, validation, reference: None })
    }
}

/// The scans of a folder of healthy ones: see [`list_scans`]. Folders that the settings name have other roles.
///
/// # Errors
/// Those of [`list_scans`]; [`VolumeError::InSubfolders`](disyre_volume::VolumeError::InSubfolders) for scans that lie
/// deeper.
pub fn healthy_scans(folder: &Path, config: &RunConfig) -> Result<Vec<PathBuf>, Error> {
    let named = [&config.tissue.segmentations, &config.pairs.places, &config.pairs.shape_masks];
    let elsewhere: Vec<&Path> = named.into_iter().filter_map(|path| path.as_deref()).collect();
    Ok(list_scans(folder, &elsewhere)?.whole(folder)?)
}

/// Refuses copies of one file.
fn ensure_others(subjects: &[Subject]) -> Result<(), Error> {
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    let mut failed = Vec::new();
    for subject in subjects {
        let Some(sha256) = subject.sha256.first() else { continue };
        if let Some(first) = names.insert(sha256, &subject.name) {
            let (first, second) = (first.to_owned(), subject.name.clone());
            failed.push(Error::SameScan { first, second });
        }
    }
    Error::all_of(failed, subjects.len())
}

/// Names of the scans that validate: all scans of some persons.
fn kept_for_validation(
    names: Vec<String>,
    hold_out: usize,
    key: Key,
) -> Result<Vec<String>, Error> {
    let mut people: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in sorted_distinct(names)? {
        people.entry(ScanName::of(Path::new(&name)).subject()).or_default().push(name);
    }
    if people.len() < 2 {
        return Err(Error::CohortTooSmall { got: people.len(), needed: 2 });
    }
    let kept = hold_out.min(people.len() / 5).max(1);
    // The lot of a person depends on the first name alone, so that adding others keeps most of the split.
    let mut people: Vec<Vec<String>> = people.into_values().collect();
    let lot = |names: &Vec<String>| {
        (key.child(names[0].as_str()).rng().random::<u64>(), names[0].clone())
    };
    people.sort_by_cached_key(lot);
    people.truncate(kept);
    Ok(people.concat())
}

impl From<SourceScan> for Subject {
    fn from(scan: SourceScan) -> Self {
        let SourceScan { name, prepared, segmentation, locations, path: _, hashes } = scan;
        let sha256 = hashes.map(ScanHashes::sha256).unwrap_or_default();
        Self { segmentation, locations, sha256, ..Self::new(name, prepared) }
    }
}

impl From<&SourceScan> for Subject {
    fn from(scan: &SourceScan) -> Self {
        scan.clone().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subjects(count: usize) -> Vec<Subject> {
        let image = ArcArray::zeros((1, 1, 1, 1));
        (0..count)
            .map(|i| Subject {
                name: format!("sub-{i:03}"),
                image: image.clone(),
                segmentation: None,
                locations: None,
                sha256: Vec::new(),
            })
            .collect()
    }

    fn names(subjects: &[Subject]) -> Vec<&str> {
        subjects.iter().map(|subject| subject.name.as_str()).collect()
    }

    #[test]
    fn nobody_both_trains_and_validates() {
        let cohort = Cohort::split(subjects(40), 6, Key::new(1)).unwrap();
        assert_eq!((cohort.training.len(), cohort.validation.len()), (34, 6));
        let training = names(&cohort.training);
        assert!(names(&cohort.validation).iter().all(|name| !training.contains(name)));
    }

    #[test]
    fn people_are_split_and_not_their_scans() {
        let scans = |person: usize| {
            ["ses-1_T1w", "ses-2_T1w", "FLAIR"].map(|end| format!("sub-{person:02}_{end}"))
        };
        let mut subjects = subjects(30);
        for (subject, name) in subjects.iter_mut().zip((0..10).flat_map(scans)) {
            subject.name = name;
        }
        for seed in 0..20 {
            let cohort = Cohort::split(subjects.clone(), 2, Key::new(seed)).unwrap();
            assert_eq!((cohort.training.len(), cohort.validation.len()), (24, 6));
            let people = |subjects: &[Subject]| -> Vec<String> {
                names(subjects).into_iter().map(|name| name[..6].to_owned()).collect()
            };
            let training = people(&cohort.training);
            assert!(people(&cohort.validation).iter().all(|person| !training.contains(person)));
        }
        let one = subjects[..3].to_vec();
        assert!(matches!(
            Cohort::split(one, 2, Key::new(1)),
            Err(Error::CohortTooSmall { got: 1, .. })
        ));
    }

    #[test]
    fn the_split_does_not_depend_on_the_order_of_files() {
        let forward = Cohort::split(subjects(30), 5, Key::new(2)).unwrap();
        let mut reversed = subjects(30);
        reversed.reverse();
        let backward = Cohort::split(reversed, 5, Key::new(2)).unwrap();
        assert_eq!(names(&forward.validation), names(&backward.validation));
        assert_eq!(names(&forward.training), names(&backward.training));
    }

    #[test]
    fn a_small_cohort_keeps_one_subject_and_a_single_scan_is_refused() {
        let cohort = Cohort::split(subjects(4), 16, Key::new(1)).unwrap();
        assert_eq!((cohort.training.len(), cohort.validation.len()), (3, 1));
        assert!(matches!(
            Cohort::split(subjects(1), 16, Key::new(1)),
            Err(Error::CohortTooSmall { got: 1, needed: 2 })
        ));
    }

    #[test]
    fn a_subject_that_comes_twice_is_refused() {
        let mut subjects = subjects(6);
        subjects[4].name = "sub-001".into();
        assert!(matches!(
            Cohort::split(subjects, 2, Key::new(1)),
            Err(Error::SameName { name }) if name == "sub-001"
        ));
    }
}
