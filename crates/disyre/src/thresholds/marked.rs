//! [`Marked`]: voxels of one scan from a threshold on, as a mask and as a table of findings.

use std::cmp::Reverse;
use std::fmt::Write;

use disyre_core::ndarray::{Array3, ArrayView3};
use disyre_core::{Components, Grid, ensure_same_shape};
use disyre_register::Registration;
use disyre_score::regions::components;
use disyre_volume::affine::transform;
use serde::{Deserialize, Serialize};

use super::{MaskThreshold, Thresholds};
use crate::Error;
use crate::inside_brain::inside_brain;

/// Findings of one scan at a threshold, and the alarm of the scan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Marked {
    /// On the grid of the scan: 1 in findings, 0 elsewhere.
    #[serde(skip)]
    pub mask: Array3<u8>,
    /// Kind of the threshold.
    pub operating_point: MaskThreshold,
    /// Connected voxels with a score of at least this are a finding.
    pub threshold: f32,
    /// Of the threshold of healthy scans: greatest expected share of a healthy brain's voxels that are marked, and greatest
    /// expected number of its findings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub false_rates: Option<[f64; 2]>,
    /// Smaller findings are left out, in mm³.
    pub least_volume_mm3: f64,
    /// Of a finding, only the voxels that score at least this share of its greatest score are kept.
    pub peak_share: f64,
    /// Alarm of the whole scan.
    pub alarm: ScanAlarm,
    /// The findings, the largest first.
    pub findings: Vec<Finding>,
}

/// Place of a scan among healthy ones.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ScanAlarm {
    /// Mean of the greatest scores that fill one millilitre.
    pub score: f32,
    /// Share of scans, healthy ones and this one, with a score of at least this one's.
    pub p_value: f64,
    /// Number of these healthy scans.
    pub healthy_scans: usize,
}

/// A 26-connected component of the voxels from the threshold on: what of it scores at least a share of its greatest score. These
/// parts need not touch, and are one finding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Its number, from 1.
    pub finding: usize,
    /// Volume in mm³.
    pub volume_mm3: f64,
    /// Greatest score.
    pub peak: f32,
    /// Mean score.
    pub mean: f64,
    /// Darker or brighter than healthy.
    pub polarity: Polarity,
    /// Side of its centre.
    pub side: Side,
    /// Mean position (x, y, z) in the millimetres of MNI152.
    pub centre_mni_mm: [f64; 3],
    /// Position (x, y, z) of the greatest score in the millimetres of MNI152.
    pub peak_mni_mm: [f64; 3],
    /// The same as a voxel (x, y, z) of the scan's file, counted from 0.
    pub peak_voxel: [usize; 3],
}

/// Sign of the signed scores of a finding, each weighted by its score: what made it a finding decides, and not its rim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Polarity {
    /// Brighter than healthy.
    Hyper,
    /// Darker than healthy.
    Hypo,
    /// Neither: no channel of the score has a sign there.
    Neither,
}

impl Polarity {
    fn of(signed: f64) -> Self {
        match signed {
            s if s > 0.0 => Self::Hyper,
            s if s < 0.0 => Self::Hypo,
            _ => Self::Neither,
        }
    }
}

/// Side of a place in the brain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The patient's left: x below −2 mm in MNI152.
    Left,
    /// Within 2 mm of the middle.
    Midline,
    /// The patient's right: x above 2 mm.
    Right,
}

/// Distance from the plane x = 0 of MNI152 up to which a place lies on the midline, in millimetres: a voxel of the template.
const MIDLINE_MM: f64 = 2.0;

/// Maps of one scan, on its grid.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ScoreMaps<'a> {
    pub(crate) score: ArrayView3<'a, f32>,
    pub(crate) signed: ArrayView3<'a, f32>,
    /// Non-zero inside.
    pub(crate) brain: ArrayView3<'a, u8>,
    pub(crate) grid: &'a Grid,
    pub(crate) registration: &'a Registration,
}

impl Thresholds {
    /// Marks a scan.
    ///
    /// # Errors
    /// [`Error::Shape`] for maps of different shapes.
    pub(crate) fn mark(&self, maps: &ScoreMaps<'_>, which: MaskThreshold) -> Result<Marked, Error> {
        let Self { least_volume_mm3, peak_share, .. } = *self;
        let threshold = self.threshold(which);
        let (mask, findings) = maps.findings(threshold, peak_share, least_volume_mm3)?;
        let alarm = self.alarm(alarm_score(maps.score, maps.brain, maps.grid.voxel_mm3()));
        let operating_point = which;
        let rates = || [self.healthy.false_voxels.rate, self.healthy.false_findings.rate];
        let false_rates = (which == MaskThreshold::Healthy).then(rates);
        Ok(Marked {
            mask,
            operating_point,
            threshold,
            false_rates,
            least_volume_mm3,
            peak_share,
            alarm,
            findings,
        })
    }
}

impl ScoreMaps<'_> {
    /// Components of `score ≥ threshold`, of each the voxels that score at least `peak_share` of its greatest score, where these
    /// have at least a volume; and their mask. A score of 0, as outside the brain, is never marked.
    pub(crate) fn findings(
        &self,
        threshold: f32,
        peak_share: f64,
        least_volume_mm3: f64,
    ) -> Result<(Array3<u8>, Vec<Finding>), Error> {
        ensure_same_shape("signed score", self.score.shape(), self.signed.shape())?;
        ensure_same_shape("score", &self.grid.shape, self.score.shape())?;
        let marked = self.score.mapv(|score| u8::from(score >= threshold && score > 0.0));
        let found = components(marked.view());
        let cores = Core::of(&found, self, peak_share);
        // A volume that is the least but for rounding counts.
        let kept = |core: &Core| self.volume_mm3(core) >= least_volume_mm3 * (1.0 - 1e-9);
        let mut order: Vec<&Core> = cores.iter().filter(|core| kept(core)).collect();
        order.sort_by_key(|core| Reverse(core.voxels));
        let findings = order.iter().enumerate().map(|(index, core)| self.finding(index + 1, core));
        let findings = findings.collect();
        let mut mask = Array3::zeros(self.score.raw_dim());
        for (place, component) in voxels(&found) {
            let core = &cores[component];
            mask[place] = u8::from(kept(core) && self.score[place] >= core.least);
        }
        Ok((mask, findings))
    }

    fn finding(&self, number: usize, core: &Core) -> Finding {
        let count = core.voxels as f64;
        let centre = self.mni(core.places.map(|sum| sum / count));
        Finding {
            finding: number,
            volume_mm3: self.volume_mm3(core),
            peak: core.peak,
            mean: core.score / count,
            polarity: Polarity::of(core.signed),
            side: Side::of(centre[0]),
            centre_mni_mm: centre,
            peak_mni_mm: self.mni(core.at.map(|index| index as f64)),
            peak_voxel: [2, 1, 0].map(|axis: usize| core.at[axis]),
        }
    }

    fn volume_mm3(&self, core: &Core) -> f64 {
        core.voxels as f64 * self.grid.voxel_mm3()
    }

    /// Position in MNI152 of a voxel `(z, y, x)`.
    fn mni(&self, [z, y, x]: [f64; 3]) -> [f64; 3] {
        self.registration.position(transform(&self.grid.affine, [x, y, z]))
    }
}

/// The voxels of a component that score at least a share of its greatest score, and sums over them.
#[derive(Debug, Clone, Copy)]
struct Core {
    peak: f32,
    /// Voxel of the peak, `(z, y, x)`.
    at: [usize; 3],
    /// Least score of its voxels.
    least: f32,
    voxels: usize,
    score: f64,
    /// Of the signed score times the score.
    signed: f64,
    /// Of the voxels' places, `(z, y, x)`.
    places: [f64; 3],
}

impl Core {
    /// Those of each component.
    fn of(found: &Components, maps: &ScoreMaps<'_>, peak_share: f64) -> Vec<Self> {
        let (peak, at, least) = (f32::NEG_INFINITY, [0; 3], 0.0);
        let none = Self { peak, at, least, voxels: 0, score: 0.0, signed: 0.0, places: [0.0; 3] };
        let mut cores = vec![none; found.len()];
        for (place, component) in voxels(found) {
            let (core, score) = (&mut cores[component], maps.score[place]);
            if score > core.peak {
                (core.peak, core.at) = (score, place);
            }
        }
        cores.iter_mut().for_each(|core| core.least = (peak_share * f64::from(core.peak)) as f32);
        for (place, component) in voxels(found) {
            let (core, score) = (&mut cores[component], maps.score[place]);
            if score >= core.least {
                core.voxels += 1;
                core.score += f64::from(score);
                core.signed += f64::from(score) * f64::from(maps.signed[place]);
                core.places.iter_mut().zip(place).for_each(|(sum, at)| *sum += at as f64);
            }
        }
        cores
    }
}

/// Voxels `(z, y, x)` of all components, each with the index of its component.
fn voxels(found: &Components) -> impl Iterator<Item = ([usize; 3], usize)> + '_ {
    let height = found.shape()[1];
    found.runs().flat_map(move |(row, columns, component)| {
        columns.map(move |x| ([row / height, row % height, x], component))
    })
}

impl Side {
    /// Side of a place at this x of MNI152, in millimetres.
    fn of(x_mm: f64) -> Self {
        match x_mm {
            x if x < -MIDLINE_MM => Self::Left,
            x if x > MIDLINE_MM => Self::Right,
            _ => Self::Midline,
        }
    }
}

/// Columns of the table, in their order.
const COLUMNS: [&str; 12] = [
    "finding",
    "volume_mm3",
    "peak",
    "mean",
    "polarity",
    "side",
    "centre_x",
    "centre_y",
    "centre_z",
    "peak_x",
    "peak_y",
    "peak_z",
];

impl Marked {
    /// The findings as tab-separated values, with a line of names; positions are millimetres of MNI152.
    ///
    /// Columns: finding, volume_mm3, peak, mean, polarity (hyper, hypo, neither), side (left, midline, right), centre_x, centre_y,
    /// centre_z, peak_x, peak_y, peak_z.
    pub fn table(&self) -> String {
        let mut text = COLUMNS.join("\t");
        text.push('\n');
        for found in &self.findings {
            let polarity = match found.polarity {
                Polarity::Hyper => "hyper",
                Polarity::Hypo => "hypo",
                Polarity::Neither => "neither",
            };
            let side = match found.side {
                Side::Left => "left",
                Side::Midline => "midline",
                Side::Right => "right",
            };
            let Finding { finding, volume_mm3, peak, mean, .. } = found;
            let places = found.centre_mni_mm.iter().chain(&found.peak_mni_mm);
            // Writing to a string does not fail.
            let _ = write!(
                text,
                "{finding}\t{volume_mm3:.1}\t{peak:.4}\t{mean:.4}\t{polarity}\t{side}"
            );
            places.for_each(|mm| {
                let _ = write!(text, "\t{mm:.1}");
            });
            text.push('\n');
        }
        text
    }
}

/// Alarm score of a scan: mean of the greatest scores of its brain that fill one millilitre, or of the greatest alone where
/// one voxel fills it. A peak of a few voxels, as noise makes, counts little.
///
/// # Shapes and units
/// `score` and `brain` are `(z, y, x)`; `voxel_mm3` is the volume of a voxel.
pub(crate) fn alarm_score(
    score: ArrayView3<'_, f32>,
    brain: ArrayView3<'_, u8>,
    voxel_mm3: f64,
) -> f32 {
    let count = (ALARM_MM3 / voxel_mm3).round() as usize;
    disyre_score::Reduction::Top(count).reduce(inside_brain(score, brain)).unwrap_or(0.0)
}

/// Volume of the greatest scores that give an alarm, in mm³.
const ALARM_MM3: f64 = 1000.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TemplateSpace;
    use disyre_core::ndarray::array;

    /// The template's own registration, moved so that the scan's x = 10 mm is the middle.
    fn registration() -> Registration {
        let space = TemplateSpace::mni152().unwrap();
        let found = space.register(&space.template().volume, None).unwrap();
        let mut scan_from_template = [[0.0; 4]; 4];
        (0..4).for_each(|axis| scan_from_template[axis][axis] = 1.0);
        scan_from_template[0][3] = 10.0;
        Registration { scan_from_template, ..found }
    }

    #[test]
    fn findings_have_volume_place_side_and_sign_by_hand() {
        // Voxels of 5 × 2 × 1 mm, x fastest; the first at (0, 0, 0).
        let grid = Grid::from_spacing([1, 2, 9], [1.0, 2.0, 5.0]);
        let mut score: Array3<f32> = array![[
            [3.0, 5.0, 4.0, 1.0, 0.0, 0.0, 0.0, 2.0, 2.0],
            [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
        ]];
        score[[0, 1, 4]] = 2.5;
        let mut signed = -&score;
        // More of it is brighter, and the highest scores are darker.
        (signed[[0, 0, 0]], signed[[0, 0, 1]], signed[[0, 0, 2]]) = (2.5, -4.0, 2.0);
        signed[[0, 0, 7]] = 2.0;
        signed[[0, 0, 8]] = 2.5;
        let registration = registration();
        let brain = Array3::ones(score.dim());
        let maps = ScoreMaps {
            score: score.view(),
            signed: signed.view(),
            brain: brain.view(),
            grid: &grid,
            registration: &registration,
        };
        let origin = grid.affine.map(|row| row[3]);
        let (mask, findings) = maps.findings(2.0, 0.0, 20.0).unwrap();
        assert_eq!(mask, score.mapv(|score| u8::from(score >= 2.0 && score != 2.5)));
        assert_eq!(findings.len(), 2, "10 mm³ are too few");
        let first = &findings[0];
        assert_eq!((first.finding, first.volume_mm3, first.peak, first.mean), (1, 30.0, 5.0, 4.0));
        assert_eq!((first.polarity, findings[1].polarity), (Polarity::Hypo, Polarity::Hyper));
        let at = |x: f64| [origin[0] + x - 10.0, origin[1], origin[2]];
        assert_eq!((first.centre_mni_mm, first.peak_mni_mm), (at(5.0), at(5.0)));
        assert_eq!(findings[1].centre_mni_mm, at(37.5));
        assert_eq!(findings[1].peak_mni_mm, at(35.0), "the first of equal voxels");
        assert_eq!((first.peak_voxel, findings[1].peak_voxel), ([1, 0, 0], [7, 0, 0]));
        assert_eq!(findings[1].side, Side::of(at(37.5)[0]));
        let (mask, findings) = maps.findings(2.0, 0.0, 0.0).unwrap();
        assert_eq!((findings.len(), mask[[0, 1, 4]]), (3, 1));
        let (mask, findings) = maps.findings(-1.0, 0.0, 0.0).unwrap();
        assert_eq!(mask[[0, 1, 0]], 0, "a score of 0 is never marked: {findings:?}");
        let none = maps.findings(6.0, 0.0, 0.0).unwrap();
        assert!(none.1.is_empty() && none.0.iter().all(|&marked| marked == 0));
        // From 70 % of 5 on the first has two voxels; the second has its greatest score everywhere.
        let (mask, findings) = maps.findings(2.0, 0.7, 20.0).unwrap();
        assert_eq!(mask.iter().filter(|&&marked| marked != 0).count(), 4);
        assert_eq!((mask[[0, 0, 0]], mask[[0, 0, 1]], mask[[0, 0, 2]]), (0, 1, 1));
        let found: Vec<_> = findings.iter().map(|found| (found.volume_mm3, found.mean)).collect();
        assert_eq!(found, [(20.0, 4.5), (20.0, 2.0)]);
        let first = &findings[0];
        assert_eq!((first.centre_mni_mm, first.peak_mni_mm), (at(7.5), at(5.0)));
        assert_eq!(maps.findings(2.0, 0.9, 20.0).unwrap().1.len(), 1, "10 mm³ are too few");
    }

    #[test]
    fn sides_are_those_of_the_patient() {
        assert_eq!(
            [-40.0, -2.0, 0.0, 2.0, 2.1].map(Side::of),
            [Side::Left, Side::Midline, Side::Midline, Side::Midline, Side::Right]
        );
    }

    #[test]
    fn a_table_has_a_line_for_each_finding() {
        let finding = Finding {
            finding: 1,
            volume_mm3: 1234.56,
            peak: 4.5,
            mean: 2.25,
            polarity: Polarity::Hypo,
            side: Side::Left,
            centre_mni_mm: [-30.04, 1.0, 2.0],
            peak_mni_mm: [-31.0, 0.0, 2.5],
            peak_voxel: [5, 6, 7],
        };
        let alarm = ScanAlarm { score: 4.0, p_value: 0.1, healthy_scans: 9 };
        let marked = Marked {
            mask: Array3::zeros((1, 1, 1)),
            operating_point: MaskThreshold::Healthy,
            threshold: 2.0,
            false_rates: None,
            least_volume_mm3: 0.0,
            peak_share: 0.0,
            alarm,
            findings: vec![finding],
        };
        let table = marked.table();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[0].split('\t').count(), 12);
        assert_eq!(
            lines[1],
            "1\t1234.6\t4.5000\t2.2500\thypo\tleft\t-30.0\t1.0\t2.0\t-31.0\t0.0\t2.5"
        );
        assert_eq!(Marked { findings: Vec::new(), ..marked }.table().lines().count(), 1);
    }

    #[test]
    fn an_alarm_is_the_mean_of_a_millilitre_of_the_brain() {
        let score = array![[[9.0, 4.0, 3.0, 1.0]]];
        let brain = array![[[0, 1, 1, 1]]];
        assert_eq!(alarm_score(score.view(), brain.view(), 500.0), 3.5);
        assert_eq!(alarm_score(score.view(), brain.view(), 1e5), 4.0, "one voxel of 100 ml");
        assert_eq!(alarm_score(score.view(), Array3::zeros((1, 1, 4)).view(), 1.0), 0.0);
    }
}
