//! Settings of a run, their presets and their checks; `run.toml` holds them.

use std::error::Error as StdError;
use std::path::{Path, PathBuf};

use disyre_augment::{AugmentConfig, ScannerConfig};
use disyre_core::Severity;
use disyre_dag::{DagConfig, Family};
use disyre_diffusion::{CorruptionMapConfig, Engine, ModelConfig, TrainConfig, UNetConfig};
use disyre_score::PUBLISHED_SEVERITIES;
use disyre_volume::IntensityScaling;
use serde::{Deserialize, Serialize};

use crate::{BiasCorrection, CalibrationConfig, Error, PrepareConfig};

/// Every setting of a run. A model's folder keeps the one that it was trained with, as `run.toml`.
///
/// ```
/// use disyre::RunConfig;
///
/// let mut config = RunConfig::cpu_2mm();
/// config.train.steps = 100;
/// config.check()?;
/// config.pairs.hold_out = 0;
/// let message = config.check().unwrap_err().to_string();
/// assert_eq!(message, "setting pairs.hold_out must be at least 1 subject");
/// # Ok::<(), disyre::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Root of all random numbers.
    pub seed: u64,
    /// Family of the anomalies; published: dag.
    #[serde(default)]
    pub family: Family,
    /// From a scan to what the network sees.
    pub prepare: PrepareConfig,
    /// Tissue classes of the bias step.
    pub tissue: TissueConfig,
    /// Training patches.
    pub pairs: PairConfig,
    /// Their corruption: the window of every family, and texture and bias of those that have DAG's.
    pub dag: DagConfig,
    /// The restoration network.
    pub network: UNetConfig,
    /// A second output of the network, which predicts where its input is corrupted; none: it restores only, as published.
    /// The channel for it comes on top of `network.out_channels`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corruption_map: Option<CorruptionMapConfig>,
    /// Its optimisation.
    pub train: TrainConfig,
    /// From restorations to a map.
    pub detect: DetectConfig,
}

/// Tissue classes of the bias step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TissueConfig {
    /// The kind of model; published: k-means, or rather five fixed centres of one.
    #[serde(default)]
    pub model: TissueKind,
    /// Number of classes, 1 to 255; published: 5.
    pub classes: usize,
    /// Brain voxels drawn from each scan for the fit, ≥ 1; ours: bounds memory for any cohort.
    pub voxels_per_scan: usize,
    /// For label maps, a folder with the segmentation of each scan, named as [`SidecarFiles`](disyre_volume::SidecarFiles) says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segmentations: Option<PathBuf>,
}

impl TissueConfig {
    /// Checks that classes are to be fitted, before any scan is read.
    ///
    /// # Errors
    /// [`Error::Setting`] for label maps.
    pub fn ensure_fitted(&self) -> Result<(), Error> {
        let expected = "k-means or gaussian-mixture where classes are fitted";
        match self.model {
            TissueKind::LabelMaps => Err(Error::Setting { field: "tissue.model", expected }),
            _ => Ok(()),
        }
    }
}

impl Default for TissueConfig {
    fn default() -> Self {
        Self { model: TissueKind::KMeans, classes: 5, voxels_per_scan: 20_000, segmentations: None }
    }
}

/// Kind of tissue classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TissueKind {
    /// The nearest of K centres.
    #[default]
    KMeans,
    /// Posteriors of K Gaussians: classes that overlap, counted by their soft memberships.
    GaussianMixture,
    /// The segmentation of each scan, out of the folder `segmentations`; nothing is fitted.
    LabelMaps,
}

/// Cutting of training patches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairConfig {
    /// Patch in voxels `(z, y, x)`; published: 1 × 128 × 128.
    pub patch: [usize; 3],
    /// Probability of mirroring each axis `(z, y, x)`, in `[0, 1]`, where there is no `augment`; published: 0, ½, ½.
    pub mirror: [f64; 3],
    /// Subjects kept from training for validation; at most a fifth of the cohort is kept, at least one.
    pub hold_out: usize,
    /// A folder of masks to draw shapes from, its subfolders included, in place of noise blobs; with it, families that have patches as shapes take
    /// the published mixture too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape_masks: Option<PathBuf>,
    /// Least and greatest extent of shapes along every axis, in millimetres, no larger than the window; none: shapes fill
    /// their window as their family says, whatever the spacing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape_size_mm: Option<[f64; 2]>,
    /// A folder with a location map for each scan, named as [`SidecarFiles`](disyre_volume::SidecarFiles) says: how
    /// probable each voxel is as the centre of an anomaly, ≥ 0; a mask is such a map. None: anywhere in the brain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub places: Option<PathBuf>,
    /// Variation of healthy patches; its own `mirror` counts then. None: they are cut and mirrored only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub augment: Option<AugmentConfig>,
    /// Differences between scanners, made on every patch after it is cut and before it is corrupted, so that they count as
    /// healthy. Source: ours; none: patches look as their scans do, as published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scanner: Option<ScannerConfig>,
}

impl Default for PairConfig {
    fn default() -> Self {
        Self {
            patch: [1, 128, 128],
            mirror: [0.0, 0.5, 0.5],
            hold_out: 16,
            shape_masks: None,
            shape_size_mm: None,
            places: None,
            augment: Some(AugmentConfig::default()),
            scanner: None,
        }
    }
}

/// Detection with the model, `[detect]` in `run.toml`; resolved: [`DetectOptions`](crate::DetectOptions).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetectConfig {
    /// Distance between neighbouring windows in voxels `(z, y, x)`; published: 1, 32, 32. Windows have the size of
    /// the training patch.
    pub stride: [usize; 3],
    /// Severities at which each window is restored; published: about .005, .05, .27, .73.
    pub severities: Vec<Severity>,
    /// Weight of a window by its share of brain; published: yes.
    pub foreground_weight: bool,
    /// Windows restored at once, ≥ 1: memory and speed, not results.
    pub batch: usize,
    /// Precision of the network's products.
    #[serde(default)]
    pub engine: Engine,
    /// True if each slice is restored as a whole, once, in place of windows: several times faster, other scores, since
    /// normalisations then see the slice and not a window. Published: no.
    #[serde(default)]
    pub whole_slices: bool,
    /// The score that compares with healthy scans, where the model was [calibrated](crate::Calibration); `None`: the
    /// published score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibrated: Option<CalibrationConfig>,
}

impl Default for DetectConfig {
    fn default() -> Self {
        Self {
            stride: [1, 32, 32],
            severities: PUBLISHED_SEVERITIES.to_vec(),
            foreground_weight: true,
            batch: 32,
            engine: Engine::default(),
            whole_slices: false,
            calibrated: None,
        }
    }
}

impl RunConfig {
    /// The published setting: 1 mm, patches of 128², the 26 M-parameter network, 100 000 steps of 96 patches.
    ///
    /// # Source
    /// DISYRE v2 (arXiv 2407.06635) and its published code.
    pub fn reference() -> Self {
        Self {
            seed: 0,
            family: Family::Dag,
            prepare: PrepareConfig {
                spacing_mm: 1.0,
                scaling: IntensityScaling::Published { upper: 0.98 },
                ..PrepareConfig::default()
            },
            tissue: TissueConfig::default(),
            pairs: PairConfig::default(),
            dag: DagConfig::default(),
            network: UNetConfig::default(),
            corruption_map: None,
            train: TrainConfig::default(),
            detect: DetectConfig::default(),
        }
    }

    /// A setting that two CPU cores can bear: 2 mm, patches of 64², a small network.
    ///
    /// # Source
    /// Ours; lengths in voxels are half the published ones, as the voxels are twice as large. The preparation is the one
    /// under which lesions stand out most without any learning (`docs/REPRODUCING.md`).
    pub fn cpu_2mm() -> Self {
        Self {
            prepare: PrepareConfig {
                bias: BiasCorrection::n4(),
                spacing_mm: 2.0,
                scaling: IntensityScaling::landmarks(),
                ..PrepareConfig::default()
            },
            pairs: PairConfig {
                patch: [1, 64, 64],
                mirror: [0.0, 0.0, 0.5],
                // Not shown to help within its few steps.
                augment: None,
                ..PairConfig::default()
            },
            dag: DagConfig::for_window([1, 32, 32]),
            network: UNetConfig {
                channels: vec![16, 32, 64, 64],
                attention_levels: Vec::new(),
                groups: 8,
                ..UNetConfig::default()
            },
            train: TrainConfig {
                steps: 5_000,
                batch: 16,
                learning_rate: 1e-3,
                warmup_steps: 200,
                validation_every: 500,
                checkpoint_every: 500,
                ..TrainConfig::default()
            },
            detect: DetectConfig { stride: [1, 16, 16], ..DetectConfig::default() },
            ..Self::reference()
        }
    }

    /// Reads `run.toml` of a model's folder.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Config`], naming the file and the key.
    pub fn load(path: &Path) -> Result<Self, Error> {
        Self::parse(&std::fs::read_to_string(path).map_err(Error::io("read", path))?, path)
    }

    /// Takes the text of a `run.toml`; errors name `path`.
    pub(crate) fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        toml::from_str(text).map_err(Error::config(path))
    }

    /// These settings with the entries of a TOML table in place of their own: tables are merged entry by entry, all else
    /// is replaced, another kind of scaling whole.
    ///
    /// ```
    /// use disyre::RunConfig;
    ///
    /// let changed = RunConfig::cpu_2mm().changed("train.steps = 12".parse()?)?;
    /// assert_eq!((changed.train.steps, changed.train.batch), (12, 16));
    /// assert!(RunConfig::cpu_2mm().changed("train.stepz = 12".parse()?).is_err());
    /// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
    /// ```
    ///
    /// # Errors
    /// Names the key that does not exist, or the value of the wrong kind.
    pub fn changed(&self, changes: toml::Table) -> Result<Self, Box<dyn StdError + Send + Sync>> {
        let base = toml::Table::try_from(self)?;
        Ok(merged(base, changes, "").try_into()?)
    }

    /// Dotted name of the first setting in which two runs differ; `None` where they are the same.
    pub fn first_difference(&self, other: &Self) -> Option<String> {
        if self == other {
            return None;
        }
        Some(first_difference(self, other).unwrap_or("a number".to_owned()))
    }

    /// The network of these settings, as `config.json` describes it.
    pub(crate) fn model(&self) -> ModelConfig {
        let network = self.network.clone();
        let model = ModelConfig { network, patch: self.pairs.patch, ..ModelConfig::default() };
        match self.corruption_map {
            Some(map) => model.with_corruption_map(map),
            None => model,
        }
    }

    /// Checks every part, before any work.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the field and what it may hold; [`Error::Augment`] and [`Error::Diffusion`] for theirs.
    pub fn check(&self) -> Result<(), Error> {
        self.prepare.check()?;
        // The channel of the corruption map is not among those of the settings.
        Self { corruption_map: None, ..self.clone() }.model().ensure_valid()?;
        self.model().ensure_valid()?;
        self.train.ensure_valid()?;
        if let Some(augment) = &self.pairs.augment {
            augment.clone().build()?;
        }
        if let Some(scanner) = &self.pairs.scanner {
            scanner.clone().build([self.prepare.spacing_mm; 3])?;
        }
        let window = self.dag.window;
        let rules = [
            (self.pairs.patch.contains(&0), "pairs.patch", "at least 1 voxel along each axis"),
            (
                self.pairs.mirror.iter().any(|p| !(0.0..=1.0).contains(p)),
                "pairs.mirror",
                "probabilities in [0, 1]",
            ),
            (
                (0..3).any(|d| window[d] > self.pairs.patch[d]),
                "dag.window",
                "a window no larger than pairs.patch",
            ),
            (
                !self.shape_size_fits(),
                "pairs.shape_size_mm",
                "least ≤ greatest, from 0.001 mm to the longest side of dag.window",
            ),
            (self.pairs.hold_out == 0, "pairs.hold_out", "at least 1 subject"),
            (!(1..=255).contains(&self.tissue.classes), "tissue.classes", "1 to 255 classes"),
            (
                (self.tissue.model == TissueKind::LabelMaps) != self.tissue.segmentations.is_some(),
                "tissue.segmentations",
                "a folder where tissue.model is label-maps, and not given elsewhere",
            ),
            (self.tissue.voxels_per_scan == 0, "tissue.voxels_per_scan", "at least 1 voxel"),
            (not_text(&self.tissue.segmentations), "tissue.segmentations", TEXT),
            (not_text(&self.pairs.shape_masks), "pairs.shape_masks", TEXT),
            (not_text(&self.pairs.places), "pairs.places", TEXT),
        ];
        match rules.into_iter().find(|(broken, ..)| *broken) {
            Some((_, field, expected)) => Err(Error::Setting { field, expected }),
            None => self.detect_options().check(),
        }
    }

    fn shape_size_fits(&self) -> bool {
        let Some([least, greatest]) = self.pairs.shape_size_mm else { return true };
        let longest = self.dag.window.into_iter().max().unwrap_or_default() as f64;
        1e-3 <= least && least <= greatest && greatest <= longest * self.prepare.spacing_mm
    }

    /// Checks that a run with these settings may continue one with `earlier` ones: only `detect` may differ.
    pub(crate) fn ensure_continues(&self, earlier: &Self, path: &Path) -> Result<(), Error> {
        let earlier = Self { detect: self.detect.clone(), ..earlier.clone() };
        match self.first_difference(&earlier) {
            None => Ok(()),
            Some(field) => Err(Error::Resume { path: path.into(), field }),
        }
    }
}

/// The demand on a path that is kept in `run.toml`.
const TEXT: &str = "a path in UTF-8, as run.toml can hold it; rename the folder, or link to it";

fn not_text(path: &Option<PathBuf>) -> bool {
    path.as_ref().is_some_and(|path| path.to_str().is_none())
}

/// Tables that are a choice between kinds: another kind replaces them whole.
const CHOICES: [&str; 1] = ["prepare.scaling"];

/// `base` with the entries of `changes`; tables are merged entry by entry, all else is replaced.
fn merged(mut base: toml::Table, changes: toml::Table, inside: &str) -> toml::Table {
    for (key, value) in changes {
        let place = if inside.is_empty() { key.clone() } else { format!("{inside}.{key}") };
        let value = match (base.remove(&key), value) {
            (Some(toml::Value::Table(old)), toml::Value::Table(new))
                if !CHOICES.contains(&place.as_str()) =>
            {
                toml::Value::Table(merged(old, new, &place))
            }
            (_, value) => value,
        };
        base.insert(key, value);
    }
    base
}

/// Dotted name of the first field in which two settings differ; `None` where TOML cannot hold one of them.
pub(crate) fn first_difference<T: Serialize>(a: &T, b: &T) -> Option<String> {
    let [a, b] = [a, b].map(|settings| toml::Table::try_from(settings).ok());
    first_other_key(&a?, &b?)
}

/// Dotted name of the first key that two tables do not share.
fn first_other_key(a: &toml::Table, b: &toml::Table) -> Option<String> {
    let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
    for key in keys {
        match (a.get(key), b.get(key)) {
            (Some(left), Some(right)) if left == right => {}
            (Some(toml::Value::Table(left)), Some(toml::Value::Table(right))) => {
                return first_other_key(left, right).map(|inner| format!("{key}.{inner}"));
            }
            _ => return Some(key.clone()),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_presets_are_valid_and_survive_a_file() {
        for config in [RunConfig::reference(), RunConfig::cpu_2mm()] {
            config.check().unwrap();
            let text = toml::to_string(&config).unwrap();
            assert_eq!(toml::from_str::<RunConfig>(&text).unwrap(), config);
        }
    }

    #[test]
    fn settings_from_before_there_were_kinds_of_tissue_models_mean_k_means() {
        let mut config = RunConfig::cpu_2mm();
        let text = toml::to_string(&config).unwrap();
        assert!(text.contains("model = \"k-means\""), "{text}");
        let older = text.replace("model = \"k-means\"\n", "");
        assert_eq!(toml::from_str::<RunConfig>(&older).unwrap(), config);
        config.tissue.model = TissueKind::GaussianMixture;
        let newer = text.replace("\"k-means\"", "\"gaussian-mixture\"");
        assert_eq!(toml::from_str::<RunConfig>(&newer).unwrap(), config);
    }

    #[test]
    fn only_the_published_preset_augments_and_its_settings_are_checked() {
        assert_eq!(RunConfig::cpu_2mm().pairs.augment, None);
        let mut config = RunConfig::reference();
        assert_eq!(config.pairs.augment, Some(AugmentConfig::default()));
        config.pairs.augment.as_mut().unwrap().spatial.rotation_degrees = 200.0;
        let error = config.check().unwrap_err();
        assert!(error.to_string().starts_with("rotation_degrees is 200"), "{error}");
    }

    #[test]
    fn scanners_vary_where_their_table_is_present_and_its_settings_are_checked() {
        let config = RunConfig::cpu_2mm();
        assert_eq!((&config.pairs.scanner, &RunConfig::reference().pairs.scanner), (&None, &None));
        let varied = config.changed("[pairs.scanner]".parse().unwrap()).unwrap();
        assert_eq!(varied.pairs.scanner, Some(ScannerConfig::default()));
        varied.check().unwrap();
        let text = toml::to_string(&varied).unwrap();
        assert_eq!(toml::from_str::<RunConfig>(&text).unwrap(), varied);
        let wrong = config.changed("pairs.scanner.noise = [0.2, 0.1]".parse().unwrap()).unwrap();
        let error = wrong.check().unwrap_err();
        assert!(error.to_string().starts_with("noise is 0.1"), "{error}");
    }

    #[test]
    fn one_switch_gives_the_network_a_corruption_map() {
        let plain = RunConfig::cpu_2mm();
        assert!(!toml::to_string(&plain).unwrap().contains("corruption_map"));
        let changed = plain.changed("[corruption_map]".parse().unwrap()).unwrap();
        changed.check().unwrap();
        assert_eq!(changed.corruption_map, Some(CorruptionMapConfig::default()));
        assert_eq!(changed.model().network.out_channels, 2);
        let text = toml::to_string(&changed).unwrap();
        assert_eq!(toml::from_str::<RunConfig>(&text).unwrap(), changed);
        for (changes, field) in [
            (
                "network.out_channels = 2",
                "network.out_channels is 2, expected network.in_channels,",
            ),
            ("corruption_map.visible = 0.0", "corruption_map.visible is 0.0"),
        ] {
            let wrong = changed.changed(changes.parse().unwrap()).unwrap();
            let message = wrong.check().unwrap_err().to_string();
            assert!(message.starts_with(field), "{message}");
        }
        let error = changed.ensure_continues(&plain, Path::new("run.toml")).unwrap_err();
        assert!(matches!(error, Error::Resume { field, .. } if field == "corruption_map"));
    }

    #[test]
    fn a_setting_out_of_range_is_named() {
        let mut config = RunConfig::cpu_2mm();
        config.detect.stride = [1, 65, 16];
        let error = config.check().unwrap_err();
        assert!(error.to_string().starts_with("setting detect.stride must be"));
    }

    #[test]
    fn a_shape_larger_than_the_window_is_refused() {
        let mut config = RunConfig::cpu_2mm();
        for (size_mm, fits) in [
            ([64.0; 2], true),
            ([3.0, 64.1], false),
            ([9.0, 8.0], false),
            ([0.0, 8.0], false),
            ([f64::NAN, 8.0], false),
        ] {
            config.pairs.shape_size_mm = Some(size_mm);
            assert_eq!(config.check().is_ok(), fits, "{size_mm:?}");
        }
    }

    #[test]
    fn a_run_continues_with_other_detection_but_not_with_another_network() {
        let earlier = RunConfig::cpu_2mm();
        let mut config = earlier.clone();
        config.detect.foreground_weight = false;
        config.ensure_continues(&earlier, Path::new("run.toml")).unwrap();
        config.train.learning_rate = 0.5;
        let error = config.ensure_continues(&earlier, Path::new("run.toml")).unwrap_err();
        assert!(matches!(error, Error::Resume { field, .. } if field == "train.learning_rate"));
    }
}
