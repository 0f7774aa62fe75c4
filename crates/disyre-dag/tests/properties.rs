//! Properties of DAG on any image.

#![allow(clippy::unwrap_used, reason = "a failing helper is a failing test")]

mod support;

use disyre_core::{
    Key,
    ndarray::{Array4, Axis},
};
use disyre_dag::{
    Dag, DagConfig, DagError, PlacedMask, Sources,
    corruptions::{Corruption, CorruptionParams, TextureConfig, TissueBias},
    shapes::{PublishedShapes, ShapeSource},
    textures::NoiseTexture,
};
use proptest::prelude::*;
use support::{Nearest, brain};

fn dag(window: [usize; 3]) -> Dag {
    let sources = Sources::new()
        .with_shapes(PublishedShapes::default())
        .with_textures(NoiseTexture::default())
        .with_tissues(Nearest::published());
    Dag::new(window, &sources).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_bias_alone_realises_the_greatest_change_of_the_pixels(seed: u64) {
        let clean = brain(2, [2, 20, 20], seed);
        let bias: TissueBias =
            DagConfig::default().bias.build(Nearest::published()).unwrap();
        let mut values = disyre_core::ndarray::Array3::zeros((2, 12, 12));
        PublishedShapes::default().fill(Key::new(seed), values.view_mut()).unwrap();
        let mask = PlacedMask::on_foreground([0, 4, 4], values, clean.view()).unwrap();
        prop_assume!(mask.voxels_above(0.0) > 0);
        let mut out = Array4::zeros(clean.dim());
        let severity = bias.corrupt(Key::new(seed), clean.view(), &mask, out.view_mut()).unwrap();
        let change = (&out - &clean).fold(0f32, |a, b| a.max(b.abs()));
        prop_assert_eq!(severity.get(), change);
    }
}

#[test]
fn a_slice_of_a_volume_is_corrupted_as_the_slice_alone() {
    let volume = brain(1, [3, 40, 40], 5);
    let slice = volume.index_axis(Axis(1), 1).insert_axis(Axis(1));
    let dag = dag([1, 24, 24]);
    let mut out = Array4::zeros(slice.dim());
    let mut among_empty = Array4::zeros(volume.dim());
    among_empty.index_axis_mut(Axis(1), 0).assign(&slice.index_axis(Axis(1), 0));
    let clean = among_empty.clone();
    let mut params = dag.draw(Key::new(5));
    // The last place excludes the last slice: all eligible voxels lie in the only slice that is not empty.
    params.placement.voxel = 0.4;
    let alone = dag.apply(&params, slice, out.view_mut()).unwrap();
    let within = dag.apply(&params, clean.view(), among_empty.view_mut()).unwrap();
    assert_eq!(alone, within);
    assert_eq!(out.index_axis(Axis(1), 0), among_empty.index_axis(Axis(1), 0));
    assert!(alone.severity.get() > 0.0);
}

#[test]
fn bad_input_is_refused_before_the_output_is_touched() {
    let dag = dag([1, 8, 8]);
    let untouched = Array4::from_elem((1, 1, 16, 16), 9.0);
    let mut out = untouched.clone();
    let mut clean = brain(1, [1, 16, 16], 1);
    let params = dag.draw(Key::new(1));
    let small = brain(1, [1, 4, 16], 1);
    let mut small_out = small.clone();
    let error = dag.apply(&params, small.view(), small_out.view_mut()).unwrap_err();
    assert_eq!(error, DagError::WindowTooLarge { window: [1, 8, 8], image: [1, 4, 16] });
    let error = dag.apply(&params, small.view(), out.view_mut()).unwrap_err();
    assert!(matches!(error, DagError::Shape(_)));
    let mut fewer = params.clone();
    let CorruptionParams::Bias(bias) = &mut fewer.parts[1] else { panic!("a bias") };
    bias.selection.pop();
    let error = dag.apply(&fewer, clean.view(), out.view_mut()).unwrap_err();
    assert_eq!(error, DagError::Classes { expected: 5, got: 4 });
    for value in [f32::NAN, 1.5, -0.1] {
        clean[[0, 0, 3, 4]] = value;
        let error = dag.apply(&params, clean.view(), out.view_mut()).unwrap_err();
        assert!(matches!(error, DagError::OutOfRange { .. }), "{error}");
    }
    assert_eq!(out, untouched);
}

#[test]
fn a_misspelt_field_does_not_deserialise() {
    assert!(serde_json::from_str::<DagConfig>(r#"{"window": [1, 32, 32]}"#).is_ok());
    assert!(serde_json::from_str::<DagConfig>(r#"{"windows": [1, 32, 32]}"#).is_err());
    assert!(serde_json::from_str::<TextureConfig>(r#"{"normalisation": "min-max"}"#).is_ok());
}
