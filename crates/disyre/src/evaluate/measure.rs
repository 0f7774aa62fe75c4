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
