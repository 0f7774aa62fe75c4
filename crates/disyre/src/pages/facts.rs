//! Texts, tables and pictures of a page: how the maps were made, and what speaks against them.

use std::path::Path;

use disyre_report::{FactGroup, LabelledPicture, PictureGroup, Pixels, ReportError, rounded};
use disyre_volume::{Orientation, ScanHeader};

use super::sidecar::{SidecarFile, read_beside};
use crate::ScoreKind;
use crate::findings::{ReportFacts, Tile, TileKind};

/// Name and explanation of a score.
pub(super) fn score_text(kind: ScoreKind) -> [String; 2] {
    let [name, explanation] = match kind {
        ScoreKind::Calibrated => [
            "Calibrated score",
            "how far scan and restoration differ, compared with healthy scans at the same place of the brain.",
        ],
        _ => [
            "Published score",
            "mean difference of the scan and its restorations, not compared with healthy scans.",
        ],
    };
    [name, explanation].map(str::to_owned)
}

/// Doubts about the scan and the result, in words.
pub(super) fn doubts(facts: &SidecarFile) -> Vec<String> {
    let mut doubts = match &facts.report {
        Some(report) => report.warnings.clone(),
        None => vec![
            "Header and geometry were not checked, and pictures of the preparation are missing: the sidecar has no report of them. Detect on the scan again."
                .to_owned(),
        ],
    };
    if let Some(found) = facts.registration.as_ref().filter(|found| !found.verdict.is_good()) {
        doubts.push(format!("The registration to the template is {}.", found.verdict));
    }
    match facts.score {
        ScoreKind::PublishedUncalibrated => doubts.push(
            "The model has no calibration: the score is high also where healthy brains are restored badly.".to_owned(),
        ),
        ScoreKind::PublishedDoubtfulRegistration => doubts.push(
            "The score is the published one and not compared with healthy scans, because of the registration.".to_owned(),
        ),
        ScoreKind::Published | ScoreKind::Calibrated => {}
    }
    if facts.brain_weights_sha256.is_some() {
        doubts.push(
            "The scan holds a head, and the program found the brain in it: findings at the rim may be remains of the skull."
                .to_owned(),
        );
    }
    doubts
}

/// Subjects of the checks that were made.
pub(super) fn checked(facts: &SidecarFile) -> String {
    let subjects = match (&facts.report, &facts.registration) {
        (Some(_), Some(_)) => "header, geometry and registration",
        (Some(_), None) => "header and geometry",
        (None, Some(_)) => "registration",
        (None, None) => "",
    };
    subjects.to_owned()
}

/// Tables of facts.
pub(super) fn groups(facts: &SidecarFile, scan: &ScanHeader) -> Vec<FactGroup> {
    let groups = [Some(of_scan(facts, scan)), of_registration(facts), Some(of_model(facts))];
    groups.into_iter().flatten().collect()
}

fn of_scan(facts: &SidecarFile, scan: &ScanHeader) -> FactGroup {
    let grid = scan.grid();
    let text = |values: [f64; 3]| values.map(rounded).join(" × ");
    let [z, y, x] = grid.shape;
    let [dz, dy, dx] = grid.spacing_mm();
    let mut group = FactGroup::new("Scan")
        .with("File", &facts.source)
        .with("Voxels (i, j, k)", format!("{x} × {y} × {z}"))
        .with("Voxel sides", format!("{} mm", text([dx, dy, dz])))
        .with("Axes of the file", Orientation::of(&grid.affine).to_string());
    if let Some(index) = facts.volume_index {
        group = group.with("Volume of the series", format!("{index}, counted from 0"));
    }
    group = group.with("Brain", format!("{:.0} ml", facts.brain_ml));
    let brain = match (&facts.brain_mask, &facts.brain_weights_sha256) {
        (Some(mask), _) => mask.clone(),
        (None, Some(_)) => "found by the program".to_owned(),
        (None, None) => "where the scan is not 0".to_owned(),
    };
    group.with("Brain mask", brain)
}

fn of_registration(facts: &SidecarFile) -> Option<FactGroup> {
    let found = facts.registration.as_ref()?;
    let quality = &found.quality;
    let share = |value: f64| format!("{:.0} %", 100.0 * value);
    let group = FactGroup::new("Registration to MNI152")
        .with("Verdict", found.verdict.to_string())
        .with("Brain in view", share(quality.in_view))
        .with("Template covered", share(quality.covered))
        .with("Stretched by", quality.stretches.map(rounded).join(", "))
        .with("Turned by", format!("{:.1}°", quality.turn_degrees));
    Some(match quality.dice {
        Some(dice) => group.with("Dice of the outlines", rounded(dice)),
        None => group,
    })
}

fn of_model(facts: &SidecarFile) -> FactGroup {
    let model = &facts.model;
    let name = model.embedded.as_ref().or(model.folder.as_ref());
    let mut group = FactGroup::new("Program and model")
        .with("disyre", &facts.version)
        .with("Model", name.map_or("", String::as_str))
        .with("Weights", &model.weights)
        .with("SHA-256 of the weights", &model.weights_sha256)
        .with("Device", &model.device)
        .with("Seed of the training", facts.seed.to_string());
    if let Some(hash) = &facts.brain_weights_sha256 {
        group = group.with("SHA-256 of the weights that found the brain", hash);
    }
    if let Some(seconds) = facts.seconds {
        group = group.with("Time", format!("{seconds:.0} s"));
    }
    let uncertainty = match facts.outputs.uncertainty {
        Some(_) => "an overlay of the slices",
        None => "not computed (--uncertainty)",
    };
    group.with("Uncertainty", uncertainty)
}

/// Pictures of the preparation and of the severities, out of the picture beside the sidecar.
pub(super) fn picture_groups(
    facts: &SidecarFile,
    folder: &Path,
) -> Result<Vec<PictureGroup>, ReportError> {
    let Some(report) = &facts.report else { return Ok(Vec::new()) };
    let file = facts.outputs.preparation.as_deref();
    let Some(bytes) = file.and_then(|file| read_beside(folder, file)) else {
        return Ok(Vec::new());
    };
    let pixels = Pixels::decode(&bytes)?;
    let field = report.bias_field.map_or_else(String::new, |[least, most]| {
        format!(
            "The slow change of brightness that was divided out, from {} (blue) to {} (red) of its mean in these planes. It should be smooth and follow no anatomy.",
            rounded(least), rounded(most)
        )
    });
    let groups: Vec<PictureGroup> = [
        group((report, &pixels),
            TileKind::Severity,
            "Restored at each severity",
            "The axial slice through the peak of the largest finding, or through the highest score where none is marked, and its restoration: at low severities the model trusts the scan, at high ones its own idea of a healthy brain.".to_owned(),
        )?,
        group((report, &pixels),
            TileKind::SeverityResidual,
            "What each restoration changed",
            "Scan minus restoration: blue is darker in the scan than restored, red is brighter. The score is made of these differences.".to_owned(),
        )?,
        group((report, &pixels),
            TileKind::Registration,
            "Registration check",
            "Borders of the template over the scan: the brain in cyan, its white matter in yellow. They should follow the scan; where they do not, places and calibrated scores are wrong.".to_owned(),
        )?,
        group((report, &pixels), TileKind::BiasField, "Bias field", field)?,
    ]
    .into_iter()
    .filter(|group| !group.pictures.is_empty())
    .collect();
    Ok(groups)
}

/// The tiles of one kind.
fn group(
    (report, pixels): (&ReportFacts, &Pixels),
    kind: TileKind,
    title: &str,
    explanation: String,
) -> Result<PictureGroup, ReportError> {
    let tiles = report.tiles.iter().filter(|tile| tile.kind == kind);
    let picture = |tile: &Tile| -> Result<LabelledPicture, ReportError> {
        let picture = pixels.cut(tile.place).encode()?;
        Ok(LabelledPicture { label: capitalised(&tile.label), picture })
    };
    let pictures = tiles.map(picture).collect::<Result<_, _>>()?;
    Ok(PictureGroup { title: title.to_owned(), explanation, pictures })
}

/// A text that begins with a large letter.
fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
