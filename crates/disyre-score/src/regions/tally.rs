//! Counts of detected lesions and false findings, which change one finding at a time.

use super::size_bins::reaches;
use super::{LesionConfig, Lesions, OverlapRule};

/// A finding, by what it shares with lesions.
#[derive(Debug, Clone, Default)]
pub(super) struct Finding {
    pub(super) voxels: u64,
    /// Voxels in any lesion.
    in_lesions: u64,
    /// Voxels in lesions that count.
    in_counted: u64,
    /// `(lesion, voxels in both)`, each lesion once.
    shares: Vec<(usize, u64)>,
}

impl Finding {
    /// Takes the voxels of another finding.
    pub(super) fn absorb(&mut self, other: Self) {
        self.voxels += other.voxels;
        self.in_lesions += other.in_lesions;
        self.in_counted += other.in_counted;
        let mut short = other.shares;
        if self.shares.len() < short.len() {
            std::mem::swap(&mut self.shares, &mut short);
        }
        for (lesion, voxels) in short {
            self.share(lesion, voxels);
        }
    }

    fn share(&mut self, lesion: usize, voxels: u64) {
        match self.shares.iter_mut().find(|(own, _)| *own == lesion) {
            Some((_, own)) => *own += voxels,
            None => self.shares.push((lesion, voxels)),
        }
    }
}

/// Verdict on a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Below the least size.
    Dropped,
    False,
    /// On lesions that do not count, and no others.
    Neither,
    True,
}

/// Detected lesions and findings so far.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    rule: OverlapRule,
    voxel_mm3: f64,
    smallest_finding_mm3: f64,
    lesions: Vec<LesionState>,
    greatest_lesion: u64,
    pub(super) detected: u64,
    pub(super) true_findings: u64,
    pub(super) false_findings: u64,
}

#[derive(Debug, Clone)]
struct LesionState {
    voxels: u64,
    counts: bool,
    /// Voxels in true findings, or the number of findings that match.
    covered: u64,
}

impl Tally {
    /// Nothing found yet.
    pub(super) fn new(lesions: &Lesions<'_>, config: &LesionConfig) -> Self {
        let voxel_mm3 = lesions.voxel_mm3();
        let state = |voxels: u64| LesionState {
            voxels,
            counts: reaches(voxels as f64 * voxel_mm3, config.smallest_lesion_mm3),
            covered: 0,
        };
        let found = lesions.components();
        let lesions: Vec<_> = found.iter().map(|lesion| state(lesion.voxels)).collect();
        let greatest_lesion = lesions.iter().map(|lesion| lesion.voxels).max().unwrap_or(0);
        Self {
            rule: config.overlap,
            voxel_mm3,
            smallest_finding_mm3: config.smallest_finding_mm3,
            lesions,
            greatest_lesion,
            detected: 0,
            true_findings: 0,
            false_findings: 0,
        }
    }

    /// Whether a lesion counts.
    pub(super) fn counts(&self, lesion: usize) -> bool {
        self.lesions[lesion].counts
    }

    /// Whether a lesion that counts is detected.
    pub(super) fn is_detected(&self, lesion: usize) -> bool {
        let lesion = &self.lesions[lesion];
        lesion.counts && self.rule.detected(lesion.voxels, lesion.covered)
    }

    /// A part of a finding: voxels that all lie in one lesion or in none.
    pub(super) fn part(&self, lesion: Option<usize>, voxels: u64) -> Finding {
        let Some(lesion) = lesion else { return Finding { voxels, ..Finding::default() } };
        let in_counted = if self.counts(lesion) { voxels } else { 0 };
        Finding { voxels, in_lesions: voxels, in_counted, shares: vec![(lesion, voxels)] }
    }

    /// Adds a finding.
    pub(super) fn add(&mut self, finding: &Finding) {
        self.change(finding, |count, by| *count += by);
    }

    /// Takes a finding out that was added.
    pub(super) fn remove(&mut self, finding: &Finding) {
        self.change(finding, |count, by| *count -= by);
    }

    /// Whether a finding counts as the same after it has grown by a voxel outside all lesions.
    pub(super) fn is_same_after_growth(&self, finding: &Finding) -> bool {
        let same = || self.verdict(finding) == self.judge(finding.voxels + 1, finding);
        match self.rule {
            // Of the findings on lesions only those are sure that are too large for a match.
            OverlapRule::Iou(least) if !finding.shares.is_empty() => {
                finding.voxels as f64 * least > self.greatest_lesion as f64 && same()
            }
            _ => same(),
        }
    }

    fn verdict(&self, finding: &Finding) -> Verdict {
        self.judge(finding.voxels, finding)
    }

    /// Verdict on a finding as if it had `voxels`.
    fn judge(&self, voxels: u64, finding: &Finding) -> Verdict {
        if !reaches(voxels as f64 * self.voxel_mm3, self.smallest_finding_mm3) {
            return Verdict::Dropped;
        }
        let (is_true, on_counted) = match self.rule.by_share(voxels, finding.in_lesions) {
            Some(is_true) => (is_true, finding.in_counted > 0),
            None => {
                let mut matches = self.matches(voxels, &finding.shares).peekable();
                (matches.peek().is_some(), matches.any(|(lesion, _)| self.counts(lesion)))
            }
        };
        match (is_true, on_counted) {
            (false, _) => Verdict::False,
            (true, false) => Verdict::Neither,
            (true, true) => Verdict::True,
        }
    }

    /// The shares of a finding of `voxels` that match their lesion.
    fn matches(&self, voxels: u64, shares: &[(usize, u64)]) -> impl Iterator<Item = (usize, u64)> {
        shares.iter().copied().filter(move |&(lesion, shared)| {
            self.rule.matches(self.lesions[lesion].voxels, voxels, shared)
        })
    }

    fn change(&mut self, finding: &Finding, by: impl Fn(&mut u64, u64)) {
        match self.verdict(finding) {
            Verdict::Dropped => return,
            Verdict::False => return by(&mut self.false_findings, 1),
            Verdict::Neither => {}
            Verdict::True => by(&mut self.true_findings, 1),
        }
        let by_matches = matches!(self.rule, OverlapRule::Iou(_));
        for &(lesion, shared) in &finding.shares {
            if !self.rule.matches(self.lesions[lesion].voxels, finding.voxels, shared) {
                continue;
            }
            let before = self.is_detected(lesion);
            by(&mut self.lesions[lesion].covered, if by_matches { 1 } else { shared });
            let after = self.is_detected(lesion);
            self.detected = self.detected + u64::from(after) - u64::from(before);
        }
    }
}
