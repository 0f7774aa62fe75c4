//! Judgement of a fit.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Quality;

/// Whether a registration can be trusted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing speaks against it.
    Good,
    /// Something does.
    Doubtful {
        /// At least one.
        reasons: Vec<Reason>,
    },
}

/// Reason to doubt a registration: the measure of [`Quality`] that is out of its limits.
///
/// The limits are ours: the right fits of 247 scans of brains keep them, 33 of them with lesions of up to 174 ml, in T1,
/// T2, FLAIR and with contrast agent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// Tissue does not lie on tissue: [`Quality::tissue_information`] is below .01 nats, of a head below .08.
    OtherTissue {
        /// The measure.
        tissue_information: f64,
    },
    /// The field of view lacks a part of the brain: [`Quality::in_view`] is below .85.
    FieldOfView {
        /// The measure.
        in_view: f64,
    },
    /// A part of the brain is missing: [`Quality::covered`] is below .85.
    NotCovered {
        /// The measure.
        covered: f64,
    },
    /// The outlines differ: [`Quality::dice`] is below .9.
    OtherOutline {
        /// The measure.
        dice: f64,
    },
    /// No brain is so small, large or lopsided: [`Quality::stretches`] are outside of .6 to 1.3, or the greatest is more
    /// than 1.5 times the least.
    Stretched {
        /// The least.
        least: f64,
        /// The greatest.
        greatest: f64,
    },
    /// The header's axes are wrong, and so may be its left and right: [`Quality::turn_degrees`] is above 70.
    HeaderAxes {
        /// The measure.
        turn_degrees: f64,
    },
    /// Another orientation fits nearly as well: [`Quality::runner_up`] is above .92.
    Ambiguous {
        /// The measure.
        runner_up: f64,
    },
}

impl Verdict {
    /// True if nothing speaks against the registration.
    pub fn is_good(&self) -> bool {
        *self == Self::Good
    }

    /// The judgement of a fit by its measures.
    pub(crate) fn of(quality: &Quality) -> Self {
        let Quality { tissue_information, in_view, covered, dice, turn_degrees, runner_up, .. } =
            *quality;
        let [least, _, greatest] = quality.stretches;
        // A head covers the template's brain and has no outline to compare: its tissue has to say more.
        let least_information = if dice.is_some() { 0.01 } else { 0.08 };
        let stretched = below(least, 0.6) || above(greatest, 1.3) || above(greatest, 1.5 * least);
        let other_tissue = below(tissue_information, least_information);
        let reasons = [
            other_tissue.then_some(Reason::OtherTissue { tissue_information }),
            below(in_view, 0.85).then_some(Reason::FieldOfView { in_view }),
            below(covered, 0.85).then_some(Reason::NotCovered { covered }),
            dice.filter(|&d| below(d, 0.9)).map(|dice| Reason::OtherOutline { dice }),
            stretched.then_some(Reason::Stretched { least, greatest }),
            above(turn_degrees, 70.0).then_some(Reason::HeaderAxes { turn_degrees }),
            runner_up.filter(|&r| above(r, 0.92)).map(|runner_up| Reason::Ambiguous { runner_up }),
        ];
        let reasons: Vec<Reason> = reasons.into_iter().flatten().collect();
        if reasons.is_empty() { Self::Good } else { Self::Doubtful { reasons } }
    }
}

fn below(value: f64, limit: f64) -> bool {
    value.is_nan() || value < limit
}

fn above(value: f64, limit: f64) -> bool {
    value.is_nan() || value > limit
}

impl fmt::Display for Verdict {
    /// `good`, or `doubtful` and the reasons.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Good => f.write_str("good"),
            Self::Doubtful { reasons } => {
                f.write_str("doubtful: ")?;
                for (index, reason) in reasons.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { "; " })?;
                    reason.fmt(f)?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: f64| format!("{:.0} %", 100.0 * share);
        match *self {
            Self::OtherTissue { tissue_information } => {
                write!(f, "tissue does not lie on tissue ({tissue_information:.3} nats)")
            }
            Self::FieldOfView { in_view } => {
                write!(f, "only {} of the brain is in the field of view", percent(in_view))
            }
            Self::NotCovered { covered } => {
                write!(f, "the scan shows only {} of the brain", percent(covered))
            }
            Self::OtherOutline { dice } => {
                write!(f, "the outline is not the template's (Dice {dice:.2})")
            }
            Self::Stretched { least, greatest } => {
                write!(
                    f,
                    "no brain has such a size or shape (stretched by {least:.2} to {greatest:.2})"
                )
            }
            Self::HeaderAxes { turn_degrees } => write!(
                f,
                "the header's axes are wrong by {turn_degrees:.0}°, and left and right may be exchanged"
            ),
            Self::Ambiguous { runner_up } => {
                write!(f, "another orientation fits nearly as well ({})", percent(runner_up))
            }
        }
    }
}
