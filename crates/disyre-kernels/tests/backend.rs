//! The checks of the CPU as a backend: shapes that do not belong together, and places of parameters.

use disyre_kernels::backend::{
    Added, Affine, Backend, Columns, Conv, Input, PartGradients, Through,
};
use disyre_kernels::{ConvKind, Convolution, Cpu, Extent, GroupNorm};

const EXTENT: Extent = Extent { count: 2, height: 1, width: 2 };

fn pointwise() -> Conv {
    let layer = Convolution { kind: ConvKind::Pointwise, inputs: 1, outputs: 1 };
    Conv { layer, weight: 0..1, bias: 1..2 }
}

#[test]
#[should_panic(expected = "a pixel for each image")]
fn fewer_columns_than_images_are_refused() {
    let cpu = Cpu::default();
    let x = cpu.maps(&[1.0; 4], EXTENT, 1);
    let row = cpu.maps(&[1.0], Extent { count: 1, height: 1, width: 1 }, 1);
    let added = Added { by_image: Some(Columns { maps: &row, first: 0 }), map: None };
    let input = Input { parts: &[&x], through: None };
    cpu.convolve(&pointwise(), &cpu.upload(&[1.0; 2]), &input, &added, false);
}

#[test]
#[should_panic(expected = "a pixel for each image")]
fn fewer_columns_for_gradients_than_images_are_refused() {
    let cpu = Cpu::default();
    let x = cpu.maps(&[1.0; 4], EXTENT, 1);
    let mut row = cpu.maps(&[1.0], Extent { count: 1, height: 1, width: 1 }, 1);
    let by_image = Some(Columns { maps: &mut row, first: 0 });
    let input = Input { parts: &[&x], through: None };
    let gradient = cpu.maps(&[1.0; 4], EXTENT, 1).into_values();
    cpu.backward_filter(&pointwise(), &input, &gradient, &mut cpu.zeros(2), by_image);
}

#[test]
#[should_panic(expected = "weight and bias lie apart")]
fn parameters_that_share_a_number_are_refused() {
    let cpu = Cpu::default();
    let x = cpu.maps(&[1.0; 4], EXTENT, 1);
    let input = Input { parts: &[&x], through: None };
    let conv = Conv { bias: 0..1, ..pointwise() };
    cpu.convolve(&conv, &cpu.upload(&[1.0; 2]), &input, &Added::default(), false);
}

/// Gradients by weight and bias of a normalisation that has them at these places of five.
fn norm_gradients(affine: &Affine) -> Vec<f32> {
    let cpu = Cpu::default();
    let x = cpu.maps(&[1.0, 2.0, 3.0, 5.0], EXTENT, 1);
    let weights = cpu.upload(&[1.0; 5]);
    let normalised = cpu.identity(2);
    let through = Some(Through { normalised: &normalised, silu: true });
    let input = Input { parts: &[&x], through };
    let gradient = cpu.maps(&[1.0, -1.0, 2.0, 0.5], EXTENT, 1).into_values();
    let found = cpu.backward_data_through_norm(&pointwise(), &weights, &input, &gradient);
    let (mut out, mut by_parts) = (cpu.zeros(5), [None]);
    let to = PartGradients { addend: None, by_parts: &mut by_parts };
    cpu.backward_norm(affine, &weights, &input, found, &mut out, to);
    out.to_vec()
}

#[test]
fn a_bias_may_lie_anywhere_apart_from_its_weight() {
    let norm = GroupNorm { groups: 1, epsilon: 1e-5 };
    let usual = norm_gradients(&Affine { norm, weight: 0..1, bias: 1..2 });
    // The bias was taken to begin where the weight ends.
    let apart = norm_gradients(&Affine { norm, weight: 1..2, bias: 4..5 });
    let before = norm_gradients(&Affine { norm, weight: 3..4, bias: 0..1 });
    assert!(usual[1] != 0.0);
    assert_eq!([usual[0], usual[1]], [apart[1], apart[4]]);
    assert_eq!([usual[0], usual[1]], [before[3], before[0]]);
    assert_eq!([apart[0], apart[2], apart[3]], [0.0; 3]);
}
