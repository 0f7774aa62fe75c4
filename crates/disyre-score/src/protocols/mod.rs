//! How papers count: the same maps give other figures under other protocols.
//!
//! ```
//! use disyre_score::{Key, ndarray::array, protocols::{CaseView, Protocol}};
//! let (scores, labels) = (array![[[0.0, 0.2], [0.9, 0.4]]], array![[[0, 0], [1, 0]]]);
//! let case = CaseView::new(scores.view(), labels.view(), None)?;
//! let report = Protocol::Upd.measure(Key::new(0), &[case])?;
//! assert_eq!((report.protocol.name(), report.get("pooled_ap")), ("upd", Some(1.0)));
//! assert_eq!(report.get("slice_auroc"), None); // no slice is healthy
//! # Ok::<(), disyre_score::ScoreError>(())
//! ```

//!
//! Three of the protocols count voxels outside the brain, where the maps of their papers are 0. A map that has negative
//! scores, as log-likelihoods are, holds the least score of the brain there: else all of the background would be abnormal.

mod case_view;
mod exact;
mod median_filter;
mod medianomaly;
#[doc(alias = "published")]
pub mod reference;
mod slices;
mod uad_imag;
mod upd;

use std::fmt;

use disyre_core::Key;
use serde::{Deserialize, Serialize};

use crate::{RankedScores, ScoreError};

pub use case_view::CaseView;
pub use exact::Exact;
pub use medianomaly::MedIAnomaly;
pub use reference::Reference;
pub use uad_imag::{ThresholdGrid, UadImag};
pub use upd::Upd;

/// Protocol of measures over cases.
///
/// # Source
/// Each variant's own type says which voxels count, how thresholds are searched and how cases are averaged, with the
/// function of the published code that it follows, and what of it cannot be asked of 3-D maps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// Every voxel, every distinct score as a threshold: [`Exact`].
    #[default]
    Exact,
    /// The published code of DISYRE: [`Reference`].
    Reference,
    /// "Unsupervised Pathology Detection: A Deep Dive Into the State of the Art": [`Upd`].
    Upd,
    /// "MedIAnomaly: A comparative study of anomaly detection in medical images": [`MedIAnomaly`].
    #[serde(rename = "medianomaly")]
    MedIAnomaly,
    /// "Deep Unsupervised Anomaly Detection in Brain Imaging: Large-Scale Benchmarking and Bias Analysis": [`UadImag`].
    UadImag,
}

impl Protocol {
    /// All protocols.
    pub const ALL: [Self; 5] =
        [Self::Exact, Self::Reference, Self::Upd, Self::MedIAnomaly, Self::UadImag];

    /// Name in files and commands.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Reference => "reference",
            Self::Upd => "upd",
            Self::MedIAnomaly => "medianomaly",
            Self::UadImag => "uad-imag",
        }
    }

    /// Measures cases as the protocol counts, with the default settings of its type: the published ones, but for the
    /// thresholds of [`UadImag`], which are set by hand for each method there and follow the scores here. Only
    /// [`Protocol::Reference`] draws from the key.
    ///
    /// # Errors
    /// [`ScoreError::NoPositives`] or [`ScoreError::NoNegatives`] if all voxels that count have one label,
    /// [`ScoreError::EmptyBrain`] if [`Protocol::Reference`] finds no voxel to draw in a case.
    pub fn measure(self, key: Key, cases: &[CaseView<'_>]) -> Result<ProtocolReport, ScoreError> {
        let values = match self {
            Self::Exact => Exact.measure(cases),
            Self::Reference => Reference::default().measure(key, cases),
            Self::Upd => Upd::default().measure(cases),
            Self::MedIAnomaly => MedIAnomaly::default().measure(cases),
            Self::UadImag => UadImag::default().measure(cases),
        }?;
        Ok(ProtocolReport { protocol: self, values })
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Values of a protocol, which it names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProtocolReport {
    /// The protocol.
    pub protocol: Protocol,
    /// Its values, in the order of its documentation.
    pub values: Vec<NamedValue>,
}

impl ProtocolReport {
    /// A value by its name; none if the protocol has no such value or it is undefined.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.values.iter().find(|value| value.name == name)?.value
    }
}

/// One value of a protocol.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedValue {
    /// Its name. That of a measure says over what it is taken: `pooled_` (all voxels together), `per_volume_` or
    /// `per_slice_` (a mean) or `slice_` (slices as images); `median_` in front: after the filter of [`UadImag`]. Thresholds have
    /// no averaging.
    pub name: String,
    /// The value; none where it is undefined, such as AUROC over slices without a healthy one.
    pub value: Option<f64>,
}

impl NamedValue {
    fn new(name: impl Into<String>, value: impl Into<Option<f64>>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

/// The greatest Dice over some thresholds, where `score > threshold` is predicted, and the first threshold that has it.
fn best_dice_above(
    ranked: &RankedScores,
    thresholds: impl IntoIterator<Item = f32>,
) -> Result<crate::BestDice, ScoreError> {
    let mut best = crate::BestDice { dice: 0.0, threshold: f32::INFINITY };
    for threshold in thresholds {
        let threshold = threshold.next_up();
        let dice = ranked.at(threshold)?.dice().unwrap_or(0.0);
        if dice > best.dice {
            best = crate::BestDice { dice, threshold };
        }
    }
    Ok(best)
}
