//! Verdicts: scans that hold no whole brain, or lie otherwise than their headers say, are doubtful for a named reason.
#![cfg(feature = "template")]
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod common;

use common::{PLAIN, distances, foot, noise, random_affine, scaled, scan, turned, without};
use disyre_core::{Affine, Key, Volume};
use disyre_register::{Reason, RegisterConfig, Registration, Template, Verdict};
use disyre_volume::affine::{compose, transform};
use disyre_volume::{VoxelBox, crop};

fn template() -> Template {
    Template::mni152().unwrap()
}

/// A brain turned by up to 15°, and its map.
fn brain(template: &Template) -> (Volume, Affine) {
    let truth = random_affine(Key::new(3), 15.0, 20.0, true);
    (scan(template, &truth, PLAIN, Key::new(3)), truth)
}

fn register(template: &Template, scan: &Volume) -> Registration {
    RegisterConfig::default().build().unwrap().register(template, scan, None).unwrap()
}

fn reasons(registration: Registration) -> Vec<Reason> {
    match registration.verdict {
        Verdict::Good => Vec::new(),
        Verdict::Doubtful { reasons } => reasons,
    }
}

#[test]
fn a_foot_is_no_brain() {
    let found = reasons(register(&template(), &foot()));
    assert!(found.iter().any(|reason| matches!(reason, Reason::OtherOutline { .. })), "{found:?}");
    assert!(found.iter().any(|reason| matches!(reason, Reason::Stretched { .. })), "{found:?}");
}

#[test]
fn noise_and_a_mask_in_the_shape_of_a_brain_are_no_brain() {
    let template = template();
    let mask = Volume { data: template.mask.mapv(f32::from), grid: template.volume.grid };
    for scan in [noise(&template, Key::new(1)), mask] {
        let found = reasons(register(&template, &scan));
        assert!(matches!(found[..], [Reason::OtherTissue { .. }]), "{found:?}");
    }
}

#[test]
fn half_a_brain_is_doubtful_on_every_side() {
    let template = template();
    let (brain, truth) = brain(&template);
    let middle = transform(&truth, [0.0, -20.0, 10.0]);
    for axis in 0..3 {
        for sign in [-1.0, 1.0] {
            let half = without(&brain, |p| sign * (p[axis] - middle[axis]) > 0.0);
            let found = reasons(register(&template, &half));
            assert!(!found.is_empty(), "axis {axis}, {sign}");
        }
    }
}

#[test]
fn a_field_of_view_with_half_a_brain_is_fitted_and_told() {
    let template = template();
    let (brain, truth) = brain(&template);
    for axis in 0..3 {
        let mut start = [0; 3];
        start[axis] = brain.grid.shape[axis] / 2;
        let half = crop(&brain, VoxelBox { start, end: brain.grid.shape });
        let found = register(&template, &half);
        let [_, most] = distances(&template, &found.scan_from_template, &truth);
        assert!(most < 1.0, "{most} mm");
        let found = reasons(found);
        assert!(matches!(found[..], [Reason::FieldOfView { .. }]), "{found:?}");
    }
}

#[test]
fn axes_that_the_header_has_wrong_are_found_and_told() {
    let template = template();
    let (brain, truth) = brain(&template);
    for (axis, degrees) in [(0, 90.0), (1, 180.0), (2, 90.0), (2, 180.0)] {
        let turn = turned(axis, degrees);
        let mut wrong = brain.clone();
        wrong.grid.affine = compose(&turn, &wrong.grid.affine);
        let found = register(&template, &wrong);
        let [_, most] = distances(&template, &found.scan_from_template, &compose(&turn, &truth));
        assert!(most < 0.5, "{most} mm");
        let found = reasons(found);
        assert!(matches!(found[..], [Reason::HeaderAxes { .. }]), "{found:?}");
    }
}

/// Brains are nearly symmetric: a mirror image is fitted as it stands, and nothing tells. Only the header knows.
#[test]
fn a_mirrored_brain_is_fitted_without_being_mirrored_back() {
    let template = template();
    let (brain, truth) = brain(&template);
    let mirror = scaled([-1.0, 1.0, 1.0]);
    let mut mirrored = brain;
    mirrored.grid.affine = compose(&mirror, &mirrored.grid.affine);
    let found = register(&template, &mirrored);
    // The nearest map that does not mirror: the scan's mirror undoes that of a symmetric template.
    let expected = compose(&mirror, &compose(&truth, &mirror));
    let [median, most] = distances(&template, &found.scan_from_template, &expected);
    assert!(median < 2.0 && most < 4.0, "{median} mm, {most} mm");
    assert_eq!(found.verdict, Verdict::Good);
}

#[test]
fn reasons_are_sentences() {
    let reasons = vec![Reason::NotCovered { covered: 0.5 }, Reason::OtherOutline { dice: 0.7 }];
    assert_eq!(
        Verdict::Doubtful { reasons }.to_string(),
        "doubtful: the scan shows only 50 % of the brain; the outline is not the template's (Dice 0.70)"
    );
}
