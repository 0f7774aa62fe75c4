//! Findings, thresholds and alarms in plain words.

use crate::rounded;

/// Threshold of the findings, and the alarm of the scan.
#[derive(Debug, Clone, PartialEq)]
pub struct Marking {
    /// Voxels with a score of at least this are marked.
    pub threshold: f32,
    /// How the threshold was chosen.
    pub basis: ThresholdBasis,
    /// Smaller findings are left out, in mm³.
    pub least_volume_mm3: f64,
    /// A finding has the voxels that score at least this share of its greatest score; 0: all that are marked.
    pub peak_share: f64,
    /// Alarm of the scan.
    pub alarm: Alarm,
}

/// How a threshold was chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ThresholdBasis {
    /// On healthy scans: greatest expected share of marked voxels, and greatest expected number of findings, of a healthy brain.
    /// `None`: not known.
    Healthy(Option<[f64; 2]>),
    /// On synthetic anomalies: without a promise for healthy scans.
    Synthetic,
}

/// Place of a scan among healthy ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Alarm {
    /// Score of the scan as a whole: the mean of its most abnormal millilitre.
    pub score: f32,
    /// Share of scans, the healthy ones and this one, with a score of at least this.
    pub p_value: f64,
    /// Number of these healthy scans.
    pub healthy_scans: usize,
}

/// Sign of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Brightness {
    /// Brighter than healthy.
    Brighter,
    /// Darker than healthy.
    Darker,
    /// Neither.
    Neither,
}

/// A finding, as its row of the table shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct FindingRow {
    /// Its number, from 1.
    pub number: usize,
    /// Volume in mm³.
    pub volume_mm3: f64,
    /// Greatest score.
    pub peak: f64,
    /// Mean score.
    pub mean: f64,
    /// Sign.
    pub brightness: Brightness,
    /// Side of the patient that its centre lies on: "left", "right" or "midline".
    pub side: String,
    /// Position (x, y, z) of its centre in millimetres of MNI152.
    pub centre_mni_mm: [f64; 3],
    /// Position (x, y, z) of the greatest score in millimetres of MNI152.
    pub peak_mni_mm: [f64; 3],
    /// The same as a voxel (x, y, z) of the scan's file, counted from 0.
    pub file_voxel: [usize; 3],
    /// The same as a voxel (x, y, z) of the page.
    pub voxel: [usize; 3],
}

impl Alarm {
    /// The p-value, rounded.
    pub(crate) fn p_text(&self) -> String {
        rounded(self.p_value)
    }

    /// The score, rounded.
    pub(crate) fn score_text(&self) -> String {
        rounded(f64::from(self.score))
    }
}

impl Brightness {
    /// For a table: "hyper (brighter)".
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Brighter => "hyper (brighter)",
            Self::Darker => "hypo (darker)",
            Self::Neither => "neither",
        }
    }

    fn clause(self) -> &'static str {
        match self {
            Self::Brighter => "brighter than healthy",
            Self::Darker => "darker than healthy",
            Self::Neither => "neither brighter nor darker than healthy",
        }
    }
}

impl FindingRow {
    /// Number, volume and side.
    pub(crate) fn title(&self) -> String {
        format!("Finding {}: {}, {}", self.number, volume(self.volume_mm3), self.side)
    }

    /// Position in MNI152, rounded to millimetres.
    pub(crate) fn mni_text(&self) -> String {
        self.peak_mni_mm.map(whole).join(", ")
    }

    /// Voxel of the file.
    pub(crate) fn file_text(&self) -> String {
        self.file_voxel.map(|index| index.to_string()).join(", ")
    }

    /// Axial, coronal and sagittal slice of the page, from 1.
    pub(crate) fn slices_text(&self) -> String {
        let [x, y, z] = self.voxel.map(|index| index + 1);
        format!("{z}, {y}, {x}")
    }

    /// Volume, peak and mean for the table.
    pub(crate) fn numbers(&self) -> [String; 3] {
        [
            format!("{:.0}", self.volume_mm3),
            format!("{:.2}", self.peak),
            format!("{:.2}", self.mean),
        ]
    }
}

/// Texts of a page.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Words {
    /// The result in a sentence.
    pub(crate) headline: String,
    /// Volume and place, or the reason for none.
    pub(crate) detail: String,
    /// How rare such a scan is among healthy ones.
    pub(crate) alarm: String,
    /// The threshold.
    pub(crate) threshold: String,
}

impl Words {
    pub(crate) fn of(marking: Option<&Marking>, findings: &[FindingRow]) -> Self {
        let Some(marking) = marking else {
            return Self {
                headline: "No findings are marked".to_owned(),
                detail: "This score has no threshold, so the program does not say where an anomaly begins. \
                         Look at the map of the score: the brightest places differ most from what the model expects."
                    .to_owned(),
                alarm: "Not known: the score is not compared with healthy scans.".to_owned(),
                threshold: "None. `disyre calibrate` finds thresholds on healthy scans.".to_owned(),
            };
        };
        let headline = match findings.len() {
            0 => "Nothing is marked as abnormal".to_owned(),
            1 => "1 place is marked as abnormal".to_owned(),
            count => format!("{count} places are marked as abnormal"),
        };
        Self {
            headline,
            detail: detail(findings),
            alarm: alarm(&marking.alarm),
            threshold: threshold(marking),
        }
    }
}

fn detail(findings: &[FindingRow]) -> String {
    let Some(first) = findings.first() else {
        return "No voxels above the threshold form a place that is large enough. This does not show that the brain is \
                healthy: small or faint lesions are missed."
            .to_owned();
    };
    let all: f64 = findings.iter().map(|finding| finding.volume_mm3).sum();
    let total = match findings.len() {
        1 => "It".to_owned(),
        _ => format!("Together {}. The largest", volume(all)),
    };
    let side = match first.side.as_str() {
        "midline" => "at the midline".to_owned(),
        side => format!("on the patient's {side}"),
    };
    format!(
        "{total} has {}, lies {side} around MNI152 ({}) mm, and is {}.",
        volume(first.volume_mm3),
        first.centre_mni_mm.map(whole).join(", "),
        first.brightness.clause()
    )
}

fn alarm(alarm: &Alarm) -> String {
    let compared = alarm.healthy_scans + 1;
    // The p-value is a whole number of scans as a share.
    let as_high = (alarm.p_value * compared as f64).round().max(1.0) as usize - 1;
    let many = match as_high {
        0 => "None".to_owned(),
        count => count.to_string(),
    };
    let limit = match as_high {
        0 => format!(
            " With so many scans p cannot be smaller than {}.",
            rounded(1.0 / compared as f64)
        ),
        _ => String::new(),
    };
    format!(
        "{many} of {} healthy scans had an alarm score as high as this scan's {} (p = {}).{limit}",
        alarm.healthy_scans,
        rounded(f64::from(alarm.score)),
        rounded(alarm.p_value)
    )
}

fn threshold(marking: &Marking) -> String {
    let least = format!(
        "Voxels that score {} or more are marked, in connected places of at least {:.0} mm³. ",
        rounded(f64::from(marking.threshold)),
        marking.least_volume_mm3
    );
    let core = match marking.peak_share {
        0.0 => String::new(),
        share => format!(
            "Of each place only what scores at least {} % of its peak is kept. ",
            rounded(100.0 * share)
        ),
    };
    least
        + &core
        + &match marking.basis {
            ThresholdBasis::Healthy(Some([voxels, count])) => format!(
                "Chosen on healthy scans: in a healthy brain at most {} % of the voxels and {} {} are expected to be marked by mistake.",
                rounded(100.0 * voxels),
                rounded_count(count),
                if count == 1.0 { "place" } else { "places" }
            ),
            ThresholdBasis::Healthy(None) => "Chosen on healthy scans.".to_owned(),
            ThresholdBasis::Synthetic => {
                "Chosen on synthetic anomalies: it promises nothing for healthy brains, where more \
                                          places may be marked by mistake."
                    .to_owned()
            }
        }
}

fn rounded_count(count: f64) -> String {
    if count.fract() == 0.0 { format!("{count:.0}") } else { rounded(count) }
}

/// A volume in mm³ or ml.
pub(crate) fn volume(mm3: f64) -> String {
    if mm3 >= 1000.0 { format!("{:.1} ml", mm3 / 1000.0) } else { format!("{mm3:.0} mm³") }
}

/// A number of whole millimetres with the sign of typography.
fn whole(mm: f64) -> String {
    let size = format!("{:.0}", mm.abs());
    if mm < 0.0 && size != "0" { format!("−{size}") } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marking(p_value: f64) -> Marking {
        Marking {
            threshold: 4.25,
            basis: ThresholdBasis::Healthy(Some([0.005, 1.0])),
            least_volume_mm3: 100.0,
            peak_share: 0.4,
            alarm: Alarm { score: 6.5, p_value, healthy_scans: 19 },
        }
    }

    fn finding(number: usize, volume_mm3: f64) -> FindingRow {
        FindingRow {
            number,
            volume_mm3,
            peak: 7.0,
            mean: 5.0,
            brightness: Brightness::Darker,
            side: "left".to_owned(),
            centre_mni_mm: [-30.2, 5.0, 8.0],
            peak_mni_mm: [-34.4, 0.2, 12.0],
            file_voxel: [1, 2, 3],
            voxel: [4, 5, 6],
        }
    }

    #[test]
    fn findings_are_told_in_a_sentence() {
        let words = Words::of(Some(&marking(0.05)), &[finding(1, 12345.0), finding(2, 150.0)]);
        assert_eq!(words.headline, "2 places are marked as abnormal");
        assert_eq!(
            words.detail,
            "Together 12.5 ml. The largest has 12.3 ml, lies on the patient's left around MNI152 (−30, 5, 8) mm, and is darker than healthy."
        );
        assert!(words.threshold.contains("score 4.25 or more"), "{}", words.threshold);
        assert!(
            words.threshold.contains("Of each place only what scores at least 40 % of its peak")
        );
        assert!(words.threshold.contains("at most 0.5 % of the voxels and 1 place"));
        let whole = Marking { peak_share: 0.0, ..marking(0.05) };
        assert!(!Words::of(Some(&whole), &[]).threshold.contains("peak"));
        let none = Words::of(Some(&marking(0.5)), &[]);
        assert!(none.detail.contains("does not show that the brain is healthy"));
        assert!(Words::of(None, &[]).threshold.starts_with("None"));
    }

    #[test]
    fn a_p_value_is_a_number_of_scans() {
        let words = |p| Words::of(Some(&marking(p)), &[]).alarm;
        assert!(words(0.05).starts_with("None of 19 healthy scans"), "{}", words(0.05));
        assert!(words(0.05).ends_with("p cannot be smaller than 0.05."));
        assert!(words(0.2).starts_with(
            "3 of 19 healthy scans had an alarm score as high as this scan's 6.5 (p = 0.2)."
        ));
    }
}
