//! Synthetic heads out of a real label map: draws can be replayed, and masks do not depend on brightness.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::path::Path;

use disyre_augment::{
    HeadConfig, HeadMap, HeadParams, Key, Plane, Stripping, ndarray::Array3, ndarray::Axis,
    ndarray::Zip,
};
use disyre_volume::{Scan, to_ras};

const SHAPE: [usize; 3] = [3, 60, 60];

fn head() -> HeadMap {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/head_4mm.nii.gz");
    let labels = to_ras(&Scan::read(path).unwrap().volume).data.mapv(|code| code as u16);
    HeadMap::new(labels.view(), 4.0).unwrap()
}

fn draw(config: HeadConfig, index: u64) -> HeadParams {
    let config = HeadConfig { spacing_mm: 4.0, ..config };
    config.build().unwrap().draw(Key::new(11).child(index))
}

fn apply(params: &HeadParams, head: &HeadMap) -> [Array3<f32>; 2] {
    let [mut image, mut brain] = [(); 2].map(|()| Array3::zeros(SHAPE));
    params.apply(head, image.view_mut(), brain.view_mut()).unwrap();
    [image, brain]
}

#[test]
fn the_brain_is_tissue_with_the_fluid_between() {
    // 1.09 l of tissue and ventricles, 1.51 l with all of the fluid around.
    let ml = head().brain_ml();
    assert!((1200.0..1400.0).contains(&ml), "{ml}");
    assert!(HeadMap::new(Array3::zeros((4, 4, 4)).view(), 2.0).is_err());
}

#[test]
fn a_draw_that_was_written_down_gives_the_same_slab_again() {
    let head = head();
    for index in 0..12 {
        let drawn = draw(HeadConfig::default(), index);
        let text = serde_json::to_string(&drawn).unwrap();
        let again: HeadParams = serde_json::from_str(&text).unwrap();
        assert_eq!(apply(&drawn, &head), apply(&again, &head), "{index}");
        assert_ne!(drawn, draw(HeadConfig::default(), index + 1));
    }
}

#[test]
fn brightness_changes_the_image_and_not_the_mask() {
    let head = head();
    for index in 0..8 {
        let mut first = draw(HeadConfig::default(), index);
        first.geometry.place = 0.0;
        let other = draw(HeadConfig::default(), index + 100);
        let second = HeadParams { appearance: other.appearance, ..first.clone() };
        let ([image, brain], [other_image, other_brain]) =
            (apply(&first, &head), apply(&second, &head));
        assert_eq!(brain, other_brain);
        assert_ne!(image, other_image);
        for value in image.iter().chain(&brain) {
            assert!((0.0..=1.0).contains(value), "{value}");
        }
    }
}

#[test]
fn a_stripped_head_is_0_outside_its_brain_and_shows_it() {
    let head = head();
    let config = HeadConfig { stripped: 1.0, partly_stripped: 0.0, ..HeadConfig::default() };
    for index in 0..8 {
        let mut drawn = draw(config.clone(), index);
        assert_eq!(drawn.stripping, Stripping::Whole);
        drawn.geometry.place = 0.1;
        let [image, brain] = apply(&drawn, &head);
        Zip::from(&image).and(&brain).for_each(|&value, &share| {
            assert!(share >= 0.5 || value == 0.0);
        });
        let inside = brain.iter().filter(|&&share| share >= 0.5).count();
        let shown = image.iter().filter(|&&value| value > 0.0).count();
        assert!(shown > inside / 2, "{index}: {shown} of {inside}");
    }
}

#[test]
fn planes_are_the_axes_of_the_head() {
    let head = head();
    let still = HeadConfig {
        rotation_degrees: 0.0,
        scale: [0.0; 2],
        shear: 0.0,
        deformation: 0.0,
        shift_mm: 0.0,
        cut: 0.0,
        ..HeadConfig::default()
    };
    let mut drawn = draw(still, 0);
    (drawn.geometry.place, drawn.geometry.mirror) = (0.0, false);
    let [axial, coronal, sagittal] = Plane::ALL.map(|plane| {
        drawn.geometry.plane = plane;
        let [_, brain] = apply(&drawn, &head);
        // Rows and columns that hold brain.
        [1, 2].map(|axis| {
            let lines = brain.axis_iter(Axis(axis));
            lines.filter(|line| line.iter().any(|&share| share >= 0.5)).count()
        })
    });
    // Rows of coronal and sagittal images run along z, columns of axial and coronal ones along x; a brain is longest
    // along y.
    let shapes = format!("{axial:?} {coronal:?} {sagittal:?}");
    assert!(coronal[0].abs_diff(sagittal[0]) <= 4, "{shapes}");
    assert!(axial[1].abs_diff(coronal[1]) <= 4, "{shapes}");
    assert!(sagittal[1] > axial[1].max(coronal[1]), "{shapes}");
}

#[test]
fn settings_out_of_range_are_named() {
    let message = |config: HeadConfig| config.build().unwrap_err().to_string();
    let wrong = HeadConfig { cut: 1.5, ..HeadConfig::default() };
    assert!(message(wrong).starts_with("cut is 1.5"));
    let wrong = HeadConfig { realistic: [0.5, 0.5, 0.5], ..HeadConfig::default() };
    assert!(message(wrong).starts_with("realistic is 1.5"));
}
