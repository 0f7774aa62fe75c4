//! Findings of headers: affine, orientation, voxel sizes and field of view, alone and against the other scans.

use disyre_core::Grid;
use disyre_volume::{HeaderWarning, Orientation, ScanHeader, obliquity_degrees};

use super::scan_check::ScanCheck;
use super::{CheckFinding, CheckTopic};
use crate::OBLIQUE_DEGREES;

/// Fewer scans than this have no median to differ from.
pub(super) const LEAST_COHORT: usize = 3;

/// Times the cohort's median from which on a length is an outlier. Ours: adults' brains differ by a fifth at most, common
/// voxel sizes by steps of more than a half.
const OUTLIER: f64 = 1.5;

/// Longest side of a voxel in shortest sides that is passed without a word.
const THICK: f64 = 4.0;

/// Facts by which scans are compared.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Geometry {
    orientation: String,
    /// Along the axes of the world, right, forwards, up.
    spacing_mm: [f64; 3],
    /// The same.
    extent_mm: [f64; 3],
}

impl Geometry {
    pub(super) fn of(grid: &Grid) -> Self {
        let orientation = Orientation::of(&grid.affine);
        let ras = orientation.ras_grid(grid);
        let (mut spacing_mm, mut shape) = (ras.spacing_mm(), ras.shape);
        // Grids are (z, y, x).
        spacing_mm.reverse();
        shape.reverse();
        let extent_mm = std::array::from_fn(|axis| spacing_mm[axis] * shape[axis] as f64);
        Self { orientation: orientation.to_string(), spacing_mm, extent_mm }
    }
}

/// Findings of one header.
pub(crate) fn of_header(header: &ScanHeader) -> Vec<CheckFinding> {
    let doubt = |warning: HeaderWarning| {
        let fix = match warning {
            HeaderWarning::GuessedOrientation => {
                "write the orientation into the header, or convert the scan from DICOM anew"
            }
            _ => "look which of them is right in a viewer, and write it into both",
        };
        warn(warning.to_string(), fix)
    };
    let mut findings: Vec<CheckFinding> = header.warnings().into_iter().map(doubt).collect();
    let grid = header.grid();
    let degrees = obliquity_degrees(&grid.affine);
    if degrees > OBLIQUE_DEGREES {
        findings.push(warn(
            format!("its axes are turned by {degrees:.0}° from those of the world"),
            "nothing, if the header is right: the scan is resampled to straight axes; maps differ slightly",
        ));
    }
    let sides = grid.spacing_mm();
    let shortest = sides.into_iter().fold(f64::INFINITY, f64::min);
    let longest = sides.into_iter().fold(0.0, f64::max);
    if longest > THICK * shortest {
        findings.push(warn(
            format!("its voxels are {longest:.3} mm long and {shortest:.3} mm wide"),
            "correct pixdim and the affine, or leave scans with thick slices out: small lesions are lost in them",
        ));
    }
    if grid.shape.contains(&1) {
        let [z, y, x] = grid.shape;
        let problem = format!("it is a single slice of {x} × {y} × {z} voxels");
        findings.push(warn(problem, "give whole volumes, unless slices are meant"));
    }
    findings
}

/// Adds the findings of scans that differ from most.
pub(super) fn compare(checks: &mut [ScanCheck]) {
    let known: Vec<&Geometry> = checks.iter().filter_map(|check| check.geometry.as_ref()).collect();
    if known.len() < LEAST_COHORT {
        return;
    }
    let total = known.len();
    let usual = usual_orientation(&known);
    let spacing = medians(known.iter().map(|geometry| geometry.spacing_mm));
    let extent = medians(known.iter().map(|geometry| geometry.extent_mm));
    for check in checks {
        let Some(geometry) = &check.geometry else { continue };
        let mut found = Vec::new();
        if let Some((orientation, count)) = usual.as_ref().filter(|o| o.0 != geometry.orientation) {
            found.push(warn(
                format!(
                    "its axes run {}, those of {count} of {total} scans {orientation}",
                    geometry.orientation
                ),
                "look whether left and right are right in a viewer; if the header is, nothing",
            ));
        }
        if is_outlier(geometry.spacing_mm, spacing) {
            found.push(warn(
                format!(
                    "its voxels are {} mm (right, forwards, up), the cohort's median is {}",
                    sides(geometry.spacing_mm),
                    sides(spacing)
                ),
                "correct pixdim and the affine if they are wrong, or give scans of one resolution",
            ));
        } else if is_outlier(geometry.extent_mm, extent) {
            found.push(warn(
                format!(
                    "its field of view is {} mm (right, forwards, up), the cohort's median is {}",
                    sides(geometry.extent_mm),
                    sides(extent)
                ),
                "look whether it is cut off, or holds something else than the others",
            ));
        }
        check.findings.extend(found);
    }
}

fn warn(problem: String, fix: &str) -> CheckFinding {
    CheckFinding::warn(CheckTopic::Geometry, problem, fix)
}

/// The orientation of more than half of the scans, and their number.
fn usual_orientation(known: &[&Geometry]) -> Option<(String, usize)> {
    let count = |o: &str| known.iter().filter(|geometry| geometry.orientation == o).count();
    let counted =
        known.iter().map(|geometry| (&geometry.orientation, count(&geometry.orientation)));
    let usual = counted.max_by_key(|(_, count)| *count)?;
    (2 * usual.1 > known.len()).then(|| (usual.0.clone(), usual.1))
}

fn medians(lengths: impl Iterator<Item = [f64; 3]> + Clone) -> [f64; 3] {
    std::array::from_fn(|axis| median(lengths.clone().map(|lengths| lengths[axis]).collect()))
}

/// The middle value; of two the upper one, 0 of none.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

fn is_outlier(lengths: [f64; 3], median: [f64; 3]) -> bool {
    let ratios = lengths.into_iter().zip(median).map(|(length, median)| length / median);
    ratios.into_iter().any(|ratio| !(1.0 / OUTLIER..=OUTLIER).contains(&ratio))
}

fn sides(lengths: [f64; 3]) -> String {
    lengths.map(|length| format!("{length:.2}")).join(" × ")
}
