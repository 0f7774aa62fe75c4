//! [`Measure`]: the quantities that maps are judged by, each with its name, heading and definition in one line.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Declares [`Measure`] from one table: variant, name in files, heading of a column, definition.
macro_rules! measures {
    ($($variant:ident, $name:literal, $heading:literal, $definition:literal;)*) => {
        /// A quantity that a map of one case, or the maps of all cases together, are judged by.
        ///
        /// Files and settings hold its [`name`](Self::name).
        ///
        /// ```
        /// use disyre::Measure;
        ///
        /// assert_eq!(Measure::BestDice.name(), "best_dice");
        /// assert_eq!(Measure::ALL.iter().find(|measure| measure.name() == "ap"), Some(&Measure::Ap));
        /// ```
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Measure {
            $(#[doc = $definition] #[serde(rename = $name)] $variant,)*
        }

        impl Measure {
            /// All measures, in the order of their tables.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Name in files and settings.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// Heading of a column.
            pub fn heading(self) -> &'static str {
                match self { $(Self::$variant => $heading),* }
            }

            /// Definition in one line.
            pub fn definition(self) -> &'static str {
                match self { $(Self::$variant => $definition),* }
            }
        }
    };
}

measures! {
    Prevalence, "prevalence", "prevalence", "Share of lesion voxels: the AP of a random score.";
    Ap, "ap", "AP", "Average precision over voxels, in [0, 1].";
    BestDice, "best_dice", "⌈Dice⌉", "Greatest Dice over all thresholds, which the label itself chose: an upper limit.";
    BestDiceThreshold, "best_dice_threshold", "its threshold", "Score from which on a voxel counts as lesion at ⌈Dice⌉.";
    Auroc, "auroc", "AUROC", "Area under the ROC curve over voxels, in [0, 1].";
    Pro, "pro", "PRO", "Mean share of each lesion that is predicted, over thresholds up to 30 % false positive voxels, in [0, 1].";
    MeanScore, "mean_score", "mean score", "Mean score of the voxels of a scan.";
    MaxScore, "max_score", "max. score", "Greatest score of a scan.";
    TopScore, "top_score", "top score", "Mean of the greatest scores of a scan (1000 unless set otherwise).";
    OthersThreshold, "others_threshold", "threshold of others", "Threshold with the best mean Dice per volume on the other cases; the others_ measures are taken there.";
    OthersDice, "others_dice", "Dice at others' threshold", "Dice at the threshold of the other cases, in [0, 1].";
    OthersPrecision, "others_precision", "precision there", "Share of predicted voxels that are lesion, at the threshold of the other cases.";
    OthersRecall, "others_recall", "recall there", "Share of lesion voxels that are predicted, at the threshold of the other cases.";
    OthersHausdorff95, "others_hausdorff_95_mm", "HD95 mm there", "95 % Hausdorff distance of the surfaces of prediction and lesions in mm, at the threshold of the other cases.";
    OthersVolumeError, "others_volume_error_ml", "volume error ml there", "Predicted volume minus that of the lesions in ml, at the threshold of the other cases.";
    OthersLesionRecall, "others_lesion_recall", "lesion recall there", "Share of the lesions (26-connected) that are detected, at the threshold of the other cases.";
    OthersFalsePositives, "others_false_positives", "false positives there", "Findings on no lesion in a scan, at the threshold of the other cases.";
    GivenThreshold, "given_threshold", "given threshold", "The threshold that was given; the given_ measures are taken there.";
    GivenDice, "given_dice", "Dice at given threshold", "Dice at the given threshold, in [0, 1].";
    GivenPrecision, "given_precision", "precision at given threshold", "Share of predicted voxels that are lesion, at the given threshold.";
    GivenRecall, "given_recall", "recall at given threshold", "Share of lesion voxels that are predicted, at the given threshold.";
    GivenHausdorff95, "given_hausdorff_95_mm", "HD95 mm at given threshold", "95 % Hausdorff distance of the surfaces of prediction and lesions in mm, at the given threshold.";
    GivenVolumeError, "given_volume_error_ml", "volume error ml at given threshold", "Predicted volume minus that of the lesions in ml, at the given threshold.";
    GivenLesionRecall, "given_lesion_recall", "lesion recall at given threshold", "Share of the lesions (26-connected) that are detected, at the given threshold.";
    GivenFalsePositives, "given_false_positives", "false positives at given threshold", "Findings on no lesion in a scan, at the given threshold.";
}

/// A threshold that cases are measured at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperatingPoint {
    /// Of each case, the threshold with the best mean Dice per volume on the other cases.
    OtherCases,
    /// One threshold that was given for all.
    Given,
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Values of measures over some voxels; a measure that is undefined there has none.
///
/// As JSON: `voxels`, and each measure by its name.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Measures {
    /// Number of voxels.
    pub voxels: u64,
    /// Each measure that is defined.
    #[serde(flatten)]
    pub values: BTreeMap<Measure, f64>,
}

impl Measures {
    /// The value of a measure; `None` where it is undefined.
    pub fn get(&self, measure: Measure) -> Option<f64> {
        self.values.get(&measure).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_files_and_no_two_are_alike() {
        for measure in Measure::ALL {
            let json = serde_json::to_string(measure).unwrap();
            assert_eq!(json, format!("\"{measure}\""));
            assert_eq!(serde_json::from_str::<Measure>(&json).unwrap(), *measure);
        }
        let names: std::collections::BTreeSet<&str> =
            Measure::ALL.iter().map(|measure| measure.name()).collect();
        assert_eq!(names.len(), Measure::ALL.len());
    }

    #[test]
    fn values_stand_beside_the_number_of_voxels_in_json() {
        let values = BTreeMap::from([(Measure::Ap, 0.5), (Measure::BestDice, 0.25)]);
        let measures = Measures { voxels: 8, values };
        let json = serde_json::to_string(&measures).unwrap();
        assert_eq!(json, r#"{"voxels":8,"ap":0.5,"best_dice":0.25}"#);
        assert_eq!(serde_json::from_str::<Measures>(&json).unwrap(), measures);
        assert_eq!((measures.get(Measure::Ap), measures.get(Measure::Auroc)), (Some(0.5), None));
    }
}
