//! Findings of voxels: values that no scan has, alone and against the other scans.

use std::collections::HashSet;

use disyre_brain::Content;
use disyre_core::Volume;
use disyre_volume::{Image, Orientation, sha256_of_bytes};

use super::geometry::{LEAST_COHORT, median};
use super::scan_check::ScanCheck;
use super::{CheckFinding, CheckTopic};
use crate::inside_brain::inside_brain;
use crate::prepare::ensure_few_negative;

/// Fewer distinct values than this inside the brain are worth a look.
const LEAST_VALUES: usize = 32;

/// Share of the voxels inside that may hold the greatest value.
const MOST_CLIPPED: f64 = 0.05;

/// Least share of voxels inside.
const LEAST_INSIDE: f64 = 0.02;

/// Times the cohort's median from which on the volume of a brain is an outlier.
const OUTLIER: f64 = 1.7;

/// Facts by which scans are compared.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct VoxelFacts {
    /// SHA-256 of the voxels in RAS+ order: the same for copies in another file type or orientation.
    pub(super) sha256: String,
    /// Volume of the voxels inside.
    inside_ml: f64,
}

impl VoxelFacts {
    pub(super) fn of(image: &Image) -> Self {
        let volume = &image.scan.volume;
        let inside_ml = match &image.mask {
            None => Content::by_volume(volume).nonzero_ml,
            Some(mask) => {
                let inside = mask.iter().filter(|&&inside| inside != 0).count();
                inside as f64 * volume.grid.voxel_mm3() / 1000.0
            }
        };
        Self { sha256: sha256_of_voxels(volume), inside_ml }
    }
}

fn sha256_of_voxels(volume: &Volume) -> String {
    let ras = Orientation::of(&volume.grid.affine).ras_view(volume.data.view());
    let mut bytes: Vec<u8> = ras.shape().iter().flat_map(|&side| side.to_le_bytes()).collect();
    // Both zeros are one value.
    bytes.extend(ras.iter().flat_map(|value| (value + 0.0).to_le_bytes()));
    sha256_of_bytes(&bytes)
}

/// Findings of the voxels of one scan.
pub(super) fn of_image(image: &Image) -> Vec<CheckFinding> {
    let values = inside(image);
    let path = image.scan.path().display();
    let all = image.scan.volume.data.len();
    let mut findings = Vec::new();
    if values.is_empty() && image.mask.is_some() {
        // The findings of masks say so.
        return findings;
    }
    if values.is_empty() {
        let problem = format!("{path} has no voxel inside the brain");
        return vec![fail(problem, "give a brain mask or a skull-stripped scan that is not empty")];
    }
    let share = values.len() as f64 / all as f64;
    if share < LEAST_INSIDE {
        let problem = format!("only {:.2} % of its voxels are inside the brain", 100.0 * share);
        findings.push(warn(problem, "look whether the brain was cut away, or the mask is wrong"));
    }
    let distinct = distinct(&values);
    if distinct == 1 {
        let problem = format!("{path}: every voxel inside the brain is {}", values[0]);
        return vec![fail(problem, "give a scan with contrast in place of a constant image")];
    } else if distinct < LEAST_VALUES {
        let problem = format!("its brain has {distinct} distinct values only");
        findings.push(warn(problem, "convert the scan anew without rounding its intensities"));
    }
    let greatest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let clipped = values.iter().filter(|value| **value == greatest).count();
    if distinct >= LEAST_VALUES && clipped as f64 > MOST_CLIPPED * values.len() as f64 {
        let percent = 100.0 * clipped as f64 / values.len() as f64;
        let problem = format!("{percent:.0} % of its brain hold the greatest value, {greatest}");
        findings.push(warn(problem, "convert the scan anew: its intensities are clipped"));
    }
    findings.extend(negative(&values));
    findings
}

/// Values inside the mask, or where the scan is not 0.
fn inside(image: &Image) -> Vec<f32> {
    let data = &image.scan.volume.data;
    match &image.mask {
        None => data.iter().copied().filter(|value| *value != 0.0).collect(),
        Some(mask) => inside_brain(data.view(), mask.view()),
    }
}

/// Number of distinct values, counted up to the least that is enough.
fn distinct(values: &[f32]) -> usize {
    let mut seen = HashSet::new();
    for value in values {
        seen.insert((value + 0.0).to_bits());
        if seen.len() >= LEAST_VALUES {
            break;
        }
    }
    seen.len()
}

fn negative(values: &[f32]) -> Option<CheckFinding> {
    let negative = values.iter().filter(|value| **value < 0.0).count();
    let error = ensure_few_negative(values.len() as u64, negative as u64).err()?;
    Some(CheckFinding::error(CheckTopic::Intensity, &error, "give the scan before standardisation"))
}

/// Adds the findings of scans whose brains differ from most.
pub(super) fn compare(checks: &mut [ScanCheck]) {
    let known = checks.iter().filter_map(|check| check.voxels.as_ref());
    let volumes: Vec<f64> = known.map(|voxels| voxels.inside_ml).collect();
    if volumes.len() < LEAST_COHORT {
        return;
    }
    let median = median(volumes);
    for check in checks {
        let Some(ml) = check.voxels.as_ref().map(|voxels| voxels.inside_ml) else { continue };
        if !(median / OUTLIER..=median * OUTLIER).contains(&ml) {
            let problem =
                format!("{ml:.0} ml are not background, the cohort's median is {median:.0} ml");
            let fix =
                "look whether it is stripped as the others, cut off, or has wrong voxel sizes";
            check.findings.push(warn(problem, fix));
        }
    }
}

fn warn(problem: String, fix: &str) -> CheckFinding {
    CheckFinding::warn(CheckTopic::Intensity, problem, fix)
}

fn fail(problem: String, fix: &str) -> CheckFinding {
    CheckFinding::fail(CheckTopic::Intensity, problem, fix)
}
