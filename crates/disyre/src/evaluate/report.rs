//! Results of an evaluation: by case, over all cases with intervals, by lesion size, and methods against each other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use disyre_score::protocols::{Protocol, ProtocolReport};
use disyre_score::{LesionMeasures, PairedComparison};
use disyre_volume::path_text;
use serde::{Deserialize, Serialize, Serializer};

use super::{CaseTruth, EvaluateConfig, Measure, Measures, OperatingPoint};
use crate::Error;

/// An evaluation of one or several methods on the same voxels of the same cases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluationReport {
    /// Program that wrote it.
    pub generated_by: String,
    /// Its version.
    pub version: String,
    /// How the measures count.
    pub protocol: Protocol,
    /// Which voxels count, in words.
    pub voxels: String,
    /// Settings.
    pub settings: EvaluateConfig,
    /// The cases, in order.
    pub cases: Vec<CaseFacts>,
    /// Files of cases that could not be measured, by any method.
    #[serde(default)]
    pub failed: Vec<FailedCase>,
    /// The methods: the maps first, the learning-free ones last.
    pub methods: Vec<MethodReport>,
    /// The maps against every other method.
    pub comparisons: Vec<Comparison>,
}

/// A case that was not measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedCase {
    /// Its map, or the label that has no map; as JSON by [`path_text`].
    #[serde(serialize_with = "as_text")]
    pub file: PathBuf,
    /// Why, with all causes.
    pub reason: String,
}

fn as_text<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path_text(path))
}

/// Facts about a case that hold for every map.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseFacts {
    /// Its name.
    pub name: String,
    /// Whose scan it is: cases of one subject are drawn together.
    pub subject: String,
    /// Voxels that count.
    pub voxels: u64,
    /// Number of lesions, 26-connected.
    pub lesions: u64,
    /// Volume of all lesions in ml; 0: a healthy case.
    pub lesion_ml: f64,
}

/// Measures of one case by one method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseReport {
    /// Name of the case.
    pub name: String,
    /// Its measures.
    #[serde(flatten)]
    pub measures: Measures,
}

/// Measures of one method.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct MethodReport {
    /// Its name.
    pub name: String,
    /// Description in words.
    pub description: String,
    /// Why it was not measured; all else is empty then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_measured: Option<String>,
    /// By case. Empty under other protocols than [`Protocol::Exact`].
    pub cases: Vec<CaseReport>,
    /// Over the voxels of all cases together.
    pub pooled: BTreeMap<Measure, Estimate>,
    /// Mean of the values of the cases that have one.
    pub per_volume: BTreeMap<Measure, Estimate>,
    /// Lesion-wise counts of all cases at each operating point, by size of the lesion.
    pub lesions: BTreeMap<OperatingPoint, LesionMeasures>,
    /// The same of each case, in order; `None` where it has no threshold.
    pub case_lesions: BTreeMap<OperatingPoint, Vec<Option<LesionMeasures>>>,
    /// Sensitivity for lesions against false positives per scan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub froc: Option<FrocSummary>,
    /// Scans with lesion against healthy ones, by one score for each scan.
    pub image_level: Vec<ImageLevelReport>,
    /// Values of another protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<ProtocolReport>,
}

/// A value over several cases, with the interval of a bootstrap over their subjects where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The value.
    pub value: f64,
    /// Lower end of the interval.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// Number of cases that it is about.
    pub cases: usize,
}

/// Sensitivity for lesions at some rates of false positives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FrocSummary {
    /// False positives per scan.
    pub rates: Vec<f64>,
    /// Share of the lesions of all cases detected at each rate.
    pub sensitivities: Vec<f64>,
    /// Mean of the sensitivities.
    pub mean: f64,
}

/// Detection of whole scans by one of their scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageLevelReport {
    /// The score of a scan: [`Measure::MeanScore`], [`Measure::MaxScore`] or [`Measure::TopScore`].
    pub score: Measure,
    /// Area under the ROC curve over scans.
    pub auroc: Estimate,
    /// Average precision over scans.
    pub average_precision: Estimate,
    /// Scans with a lesion: their share is the average precision of a random score.
    pub with_lesion: usize,
}

/// Two methods on the same cases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The first method.
    pub a: String,
    /// The second.
    pub b: String,
    /// Measure of the cases.
    pub measure: Measure,
    /// Mean of a − b over subjects, its interval and p-value. The cases of one subject are averaged first: its `cases`,
    /// `wins` and `losses` count subjects.
    #[serde(flatten)]
    pub paired: PairedComparison,
    /// p-value corrected by Holm's method for all comparisons of this measure.
    pub p_holm: f64,
}

impl CaseReport {
    /// The value of a measure; `None` where it is undefined.
    pub fn get(&self, measure: Measure) -> Option<f64> {
        self.measures.get(measure)
    }
}

impl CaseFacts {
    /// The facts of a case; the settings may say whose scan it is.
    ///
    /// # Errors
    /// As [`CaseTruth::lesions`].
    pub fn of(truth: &CaseTruth, config: &EvaluateConfig) -> Result<Self, Error> {
        let lesions = truth.lesions()?;
        let all = truth.label.len();
        let brain = truth.brain.as_ref();
        let inside = brain.map_or(all, |brain| brain.iter().filter(|&&inside| inside != 0).count());
        Ok(Self {
            name: truth.name.clone(),
            subject: config.subject_of(&truth.name),
            voxels: inside as u64,
            lesions: lesions.components().len() as u64,
            lesion_ml: lesions.voxels() as f64 * lesions.voxel_mm3() / 1000.0,
        })
    }

    /// Whether the case has no lesion.
    pub fn is_healthy(&self) -> bool {
        self.lesions == 0
    }
}
