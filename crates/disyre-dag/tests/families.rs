//! Properties of every family of anomalies on any image.

#![allow(clippy::unwrap_used, reason = "a failing helper is a failing test")]

mod support;

use std::sync::Arc;

use disyre_core::{
    Key, Severity, TissueModel,
    ndarray::{self, Array3, Array4, ArrayView4, ArrayViewMut4, Axis, Slice},
};
use disyre_dag::{
    Anomalies, AnomalyConfig, AnomalyParams, DagError, Family, PlacedMask, Scene, Sources,
    config::{BiasPart, PartConfig, TissueOrigin},
    corruptions::{
        BiasConfig, BiasDirection, Corruption, CorruptionParams, DeformationConfig, Memberships,
        PoissonConfig, SharpnessConfig, TextureConfig,
    },
    shapes::ShapeConfig,
    textures::{TextureSource, VolumeBank},
};
use disyre_tissue::{GaussianMixture, LabelMap};
use proptest::prelude::*;
use support::{Nearest, brain};

fn foreign(channels: usize) -> VolumeBank {
    let volumes = (10..13).map(|seed| brain(channels, [6, 30, 28], seed)).collect();
    VolumeBank::new(volumes).unwrap()
}

fn sources(channels: usize) -> Sources {
    Sources::new().with_textures(foreign(channels)).with_tissues(Nearest::published())
}

fn anomalies(family: Family, window: [usize; 3], channels: usize) -> Anomalies {
    family.config(window).build(&sources(channels)).unwrap()
}

fn families() -> impl Strategy<Value = Family> {
    (0..Family::ALL.len()).prop_map(|index| Family::ALL[index])
}

fn extents() -> impl Strategy<Value = ([usize; 3], [usize; 3])> {
    // The image, and the window as a part of it.
    ([1..6usize, 8..30usize, 8..30usize], [1..6usize, 2..30usize, 2..30usize]).prop_map(
        |(image, window)| (image, std::array::from_fn(|axis| window[axis].min(image[axis]))),
    )
}

fn greatest_change(out: &Array4<f32>, clean: &Array4<f32>) -> f32 {
    out.iter().zip(clean).fold(0f32, |greatest, (a, b)| greatest.max((a - b).abs()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(260))]

    #[test]
    fn nothing_changes_but_the_masks_foreground_and_the_severity_says_how_much(
        family in families(), (shape, window) in extents(), channels in 1..3usize, seed: u64,
    ) {
        let clean = brain(channels, shape, seed);
        let mut out = Array4::from_elem(clean.dim(), 9.0);
        let anomalies = anomalies(family, window, channels);
        let realised = anomalies.corrupt(Key::new(seed), clean.view(), out.view_mut()).unwrap();
        let mask = realised.mask.to_image(shape).unwrap();
        for ((c, z, y, x), &value) in out.indexed_iter() {
            let background = (0..channels).all(|c| clean[[c, z, y, x]] == 0.0);
            prop_assert!(!background || mask[[z, y, x]] == 0.0);
            prop_assert!(mask[[z, y, x]] > 0.0 || value == clean[[c, z, y, x]]);
            prop_assert!((0.0..=1.0).contains(&value));
        }
        let change = greatest_change(&out, &clean);
        if realised.parts.len() == 1 {
            prop_assert_eq!(realised.severity > Severity::CLEAN, change > 0.0);
        }
        // A linear blend reports how far it went towards the texture, every other part its greatest change.
        match family {
            Family::Fpi | Family::TextureOnly | Family::NoiseTexture | Family::CutPaste
            | Family::CutPasteScar => prop_assert!(change <= realised.severity.get() + 1e-6),
            Family::Dag | Family::DagNoTissue => {} // below
            _ => prop_assert_eq!(realised.severity.get(), change),
        }
    }

    #[test]
    fn equal_keys_and_recorded_parameters_give_equal_bytes(
        family in families(), (shape, window) in extents(), seed: u64,
    ) {
        let (clean, anomalies) = (brain(1, shape, seed), anomalies(family, window, 1));
        let mut outs = [0, 1].map(|_| Array4::zeros(clean.dim()));
        let params = anomalies.draw(Key::new(seed));
        let text = serde_json::to_string(&params).unwrap();
        let replayed: AnomalyParams = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&replayed, &params);
        let first = anomalies.corrupt(Key::new(seed), clean.view(), outs[0].view_mut()).unwrap();
        let replay = anomalies.apply(&replayed, clean.view(), outs[1].view_mut()).unwrap();
        prop_assert_eq!(first, replay);
        prop_assert_eq!(&outs[0], &outs[1]);
    }

    #[test]
    fn severity_zero_returns_the_input(
        family in families(), (shape, window) in extents(), seed: u64,
    ) {
        let (clean, anomalies) = (brain(1, shape, seed), anomalies(family, window, 1));
        let params = anomalies.draw(Key::new(seed)).at(Severity::CLEAN);
        let mut out = Array4::zeros(clean.dim());
        let realised = anomalies.apply(&params, clean.view(), out.view_mut()).unwrap();
        prop_assert_eq!(realised.severity, Severity::CLEAN);
        prop_assert_eq!(out, clean);
    }

    #[test]
    fn a_flat_window_in_a_volume_does_what_it_does_in_the_slice_alone(
        family in families(), seed: u64,
    ) {
        let slice = brain(1, [1, 26, 28], seed);
        // Other tissue around it, but where patches are taken from elsewhere in the same image.
        let mut volume = match family {
            Family::CutPaste | Family::CutPasteScar => Array4::zeros((1, 3, 26, 28)),
            _ => brain(1, [1, 26, 28], seed ^ 1).broadcast((1, 3, 26, 28)).unwrap().mapv(|v| 1.0 - v),
        };
        volume.index_axis_mut(Axis(1), 1).assign(&slice.index_axis(Axis(1), 0));
        let mut places = [Array3::zeros((1, 26, 28)), Array3::zeros((3, 26, 28))];
        places[0].fill(1.0);
        places[1].index_axis_mut(Axis(0), 1).fill(1.0);
        let anomalies = anomalies(family, [1, 14, 15], 1);
        let params = anomalies.draw(Key::new(seed));
        let apply = |clean: &Array4<f32>, places: &Array3<f32>| {
            let mut out = Array4::zeros(clean.dim());
            let scene = Scene { places: Some(places.view()), ..clean.view().into() };
            (anomalies.apply(&params, scene, out.view_mut()).unwrap().severity, out)
        };
        let (alone, flat) = apply(&slice, &places[0]);
        let (within, deep) = apply(&volume, &places[1]);
        prop_assert_eq!(alone, within);
        let middle = deep.slice_axis(Axis(1), Slice::from(1..2));
        prop_assert_eq!(flat.view(), middle);
    }

    #[test]
    fn a_linear_blend_realises_the_part_of_the_way_that_its_voxels_went(
        index in 0..LINEAR.len(), alpha in 0.05..0.95f32, seed: u64,
    ) {
        let clean = brain(2, [2, 24, 26], seed);
        let anomalies = anomalies(LINEAR[index], [2, 14, 15], 2);
        let params = anomalies.draw(Key::new(seed));
        let apply = |alpha| {
            let (mut out, severity) = (Array4::zeros(clean.dim()), Severity::new(alpha).unwrap());
            let params = params.clone().at(severity);
            (anomalies.apply(&params, clean.view(), out.view_mut()).unwrap().severity, out)
        };
        let ((realised, out), (_, whole)) = (apply(alpha), apply(1.0));
        for ((out, whole), clean) in out.iter().zip(&whole).zip(&clean) {
            let way = whole - clean;
            prop_assert!((out - clean - realised.get() * way).abs() < 1e-6);
        }
    }

    #[test]
    fn the_whole_way_of_a_linear_blend_is_the_texture_itself(seed: u64, alpha in 0.05..0.95f32) {
        let clean = brain(1, [1, 24, 26], seed);
        let sources = sources(1).with_textures(White);
        let anomalies = Family::Fpi.config([1, 14, 15]).build(&sources).unwrap();
        let params = anomalies.draw(Key::new(seed)).at(Severity::new(alpha).unwrap());
        let mut out = Array4::zeros(clean.dim());
        let realised = anomalies.apply(&params, clean.view(), out.view_mut()).unwrap();
        let mask = realised.mask.to_image([1, 24, 26]).unwrap();
        for ((_, z, y, x), &value) in out.indexed_iter() {
            let (m, before) = (mask[[z, y, x]], clean[[0, z, y, x]]);
            if m > 0.0 {
                prop_assert!(((value - before) / (m * (1.0 - before)) - alpha).abs() < 1e-5);
            }
        }
        prop_assert_eq!(realised.severity.get(), if mask.sum() > 0.0 { alpha } else { 0.0 });
    }

    #[test]
    fn each_part_of_a_disentangled_anomaly_realises_what_its_pixels_say(
        tissue: bool, (shape, window) in extents(), seed: u64,
    ) {
        let family = if tissue { Family::Dag } else { Family::DagNoTissue };
        let clean = brain(2, shape, seed);
        let [mut textured, mut out] = [0, 1].map(|_| Array4::zeros(clean.dim()));
        let corrupt = |family, out: &mut Array4<f32>| {
            anomalies(family, window, 2).corrupt(Key::new(seed), clean.view(), out.view_mut()).unwrap()
        };
        let texture = corrupt(Family::TextureOnly, &mut textured);
        let both = corrupt(family, &mut out);
        prop_assert_eq!(both.parts[0], texture.severity);
        prop_assert_eq!(both.parts[1].get(), greatest_change(&out, &textured));
        prop_assert_eq!(both.severity, both.parts[0].max(both.parts[1]));
    }
}

/// Voxels in which patch, object and foreign object of an NSA anomaly meet: there alone it may change anything.
fn meeting(params: &AnomalyParams, mask: &PlacedMask, clean: &Array4<f32>) -> usize {
    let CorruptionParams::Poisson(drawn) = &params.parts[0] else { panic!("a Poisson blend") };
    let PartConfig::Poisson(part) = &Family::Nsa.config([1, 32, 32]).parts[0] else {
        panic!("a Poisson blend")
    };
    let textures = part.from.change.build(foreign(1)).unwrap();
    // The texture covers the window and a voxel around it, as far as the image reaches.
    let (_, _, height, width) = clean.dim();
    let [_, top, left] = mask.origin;
    let before = [top.min(1), left.min(1)];
    let after = [(height - top - 32).min(1), (width - left - 32).min(1)];
    let extents = (1, 1, 32 + before[0] + after[0], 32 + before[1] + after[1]);
    let mut texture = Array4::zeros(extents);
    textures.fill(drawn.source, clean.view(), texture.view_mut()).unwrap();
    let foreign = |y: usize, x: usize| texture[[0, 0, y + before[0], x + before[1]]] > 0.0;
    mask.values.indexed_iter().filter(|((_, y, x), m)| **m > 0.0 && foreign(*y, *x)).count()
}

#[test]
fn nsa_changes_an_image_exactly_where_patch_and_both_objects_meet() {
    let clean = brain(1, [1, 64, 64], 4);
    let anomalies = anomalies(Family::Nsa, [1, 32, 32], 1);
    let mut out = Array4::zeros(clean.dim());
    let mut apart = 0;
    for index in 0..400u64 {
        let params = anomalies.draw(Key::new(1).child(index));
        let realised = anomalies.apply(&params, clean.view(), out.view_mut()).unwrap();
        let none = meeting(&params, &realised.mask, &clean) == 0;
        assert_eq!(none, out == clean, "{index}");
        apart += usize::from(none);
    }
    // 12.35 % of 2000 others, give or take three standard deviations.
    assert!((29..=69).contains(&apart), "{apart}");
}

/// Share of images that change by more than 0.02, counted over 2000 other keys. What the others lack:
///
/// - Texture, bias, deformation, blur and sharpening draw their severity from 0 on: 2 % lie below 0.02, and of those above
///   some meet a texture or a tissue like their own, or little detail.
/// - 3 % of the scars lie in the background as a whole: they are thin, and only the window's centre is on the object.
/// - 12 % of NSA's patches meet no foreign object (247 of the 2000): slices near the end of a volume hold a small one,
///   which the window contains somewhere, and the patch covers 4 % to 64 % of the window.
const CHANGED: [(Family, f64); 13] = [
    (Family::Dag, 0.9975),
    (Family::DagNoTissue, 0.998),
    (Family::TextureOnly, 0.9365),
    (Family::BiasOnly, 0.9815),
    (Family::Fpi, 0.995),
    (Family::Pii, 0.9845),
    (Family::CutPaste, 1.0),
    (Family::CutPasteScar, 0.969),
    (Family::Nsa, 0.8765),
    (Family::Deformation, 0.937),
    (Family::NoiseTexture, 0.922),
    (Family::Blur, 0.862),
    (Family::Sharpen, 0.9),
];

#[test]
fn every_family_changes_its_share_of_images() {
    let clean = brain(1, [1, 64, 64], 4);
    assert_eq!(CHANGED.map(|(family, _)| family), Family::ALL);
    for (family, share) in CHANGED {
        let anomalies = anomalies(family, [1, 32, 32], 1);
        let mut out = Array4::zeros(clean.dim());
        let changed = (0..400u64).filter(|&index| {
            let key = Key::new(1).child(index);
            anomalies.corrupt(key, clean.view(), out.view_mut()).unwrap();
            greatest_change(&out, &clean) > 0.02
        });
        let (changed, expected) = (changed.count() as f64, 400.0 * share);
        // Three standard deviations, and one image for shares next to 1.
        let margin = 3.0 * (expected * (1.0 - share)).sqrt() + 1.0;
        assert!((changed - expected).abs() <= margin, "{family}: {changed}, expected {expected}");
    }
}

/// Families that are one linear blend.
const LINEAR: [Family; 5] = [
    Family::Fpi,
    Family::TextureOnly,
    Family::NoiseTexture,
    Family::CutPaste,
    Family::CutPasteScar,
];

/// The greatest intensity everywhere.
struct White;

impl TextureSource for White {
    fn fill(
        &self,
        _: Key,
        _: ArrayView4<'_, f32>,
        mut texture: ArrayViewMut4<'_, f32>,
    ) -> Result<(), DagError> {
        texture.fill(1.0);
        Ok(())
    }
}

/// The image itself and a constant.
struct Offset;

impl TextureSource for Offset {
    fn fill(
        &self,
        _: Key,
        image: ArrayView4<'_, f32>,
        mut texture: ArrayViewMut4<'_, f32>,
    ) -> Result<(), DagError> {
        texture.assign(&(&image + 0.3));
        Ok(())
    }
}

#[test]
fn a_poisson_blend_of_a_constant_offset_is_the_identity() {
    for shape in [[1, 40, 36], [12, 14, 13]] {
        let clean = brain(2, shape, 3).mapv(|value| value * 0.6);
        let config = ShapeConfig::Blob(disyre_dag::shapes::BlobConfig::default());
        let mut values = Array3::zeros(shape);
        config.build().unwrap().fill(Key::new(1), values.view_mut()).unwrap();
        let mask = PlacedMask::on_foreground([0; 3], values, clean.view()).unwrap();
        assert!(mask.voxels_above(0.5) > 100);
        let blend = PoissonConfig::default().build(Offset).unwrap();
        for alpha in [0.4, 1.0] {
            let params = blend.draw(Key::new(2)).at(Severity::new(alpha).unwrap());
            let mut out = Array4::zeros(clean.dim());
            blend.apply(&params, clean.view(), &mask, out.view_mut()).unwrap();
            assert!(greatest_change(&out, &clean) < 1e-5);
        }
    }
}

#[test]
fn an_anomaly_lies_where_the_map_allows() {
    let clean = brain(1, [1, 60, 60], 8);
    let places = Array3::from_shape_fn((1, 60, 60), |(_, y, x)| {
        f32::from(u8::from((20..24).contains(&y) && (36..38).contains(&x)))
    });
    let anomalies = anomalies(Family::Dag, [1, 10, 10], 1);
    let mut out = Array4::zeros(clean.dim());
    for index in 0..50u64 {
        let params = anomalies.draw(Key::new(index));
        let scene = Scene { places: Some(places.view()), ..clean.view().into() };
        let [_, y, x] = anomalies.apply(&params, scene, out.view_mut()).unwrap().mask.origin;
        assert!((15..19).contains(&y) && (31..33).contains(&x));
    }
}

/// A bias of one of two tissues, with a margin but hardly a blur.
fn bias_of_the_second(
    tissues: TissueOrigin,
    memberships: Memberships,
) -> (AnomalyConfig, Vec<f64>) {
    let mut bias = BiasPart { tissues, ..BiasPart::default() };
    bias.bias.blur_sigma_voxels = [0.0, 0.13, 0.13];
    bias.bias.memberships = memberships;
    let parts = vec![PartConfig::Bias(bias)];
    (AnomalyConfig { parts, ..Family::BiasOnly.config([1, 30, 30]) }, vec![1.0, 0.0])
}

#[test]
fn a_segmentation_names_the_tissues_of_a_bias() {
    let clean = brain(1, [1, 40, 40], 5);
    let codes = Array3::from_shape_fn((1, 40, 40), |(_, _, x)| if x >= 20 { 41 } else { 2 });
    let segmentation = LabelMap::new(codes.view(), &[2, 41]).unwrap();
    for memberships in [Memberships::Hard, Memberships::Soft] {
        let (config, selection) =
            bias_of_the_second(TissueOrigin::Scene { classes: 2 }, memberships);
        let anomalies = config.build(&Sources::new()).unwrap();
        let mut params = anomalies.draw(Key::new(3)).at(Severity::FULL);
        params.placement.voxel = 0.55;
        let CorruptionParams::Bias(drawn) = &mut params.parts[0] else { panic!("a bias") };
        drawn.selection = selection;
        let mut out = Array4::zeros(clean.dim());
        let missing = anomalies.apply(&params, clean.view(), out.view_mut()).unwrap_err();
        assert!(matches!(missing, DagError::Missing { .. }));
        let of = |tissues: &dyn TissueModel, out: &mut Array4<f32>| {
            let scene = Scene { tissues: Some(tissues), ..clean.view().into() };
            anomalies.apply(&params, scene, out.view_mut())
        };
        let realised = of(&segmentation, &mut out).unwrap();
        assert!(realised.mask.origin[1] > 0 && realised.mask.origin[2] > 0);
        let mask = realised.mask.to_image([1, 40, 40]).unwrap();
        for ((_, _, y, x), &value) in out.indexed_iter() {
            let before = clean[[0, 0, y, x]];
            assert_eq!(value != before, x >= 20 && mask[[0, y, x]] > 0.0);
        }
        // The same through the sources: there the segmentation is that of every image.
        let (config, _) = bias_of_the_second(TissueOrigin::Model, memberships);
        let sources = Sources::new().with_tissues(segmentation.clone());
        let mut again = Array4::zeros(clean.dim());
        let anomalies = config.build(&sources).unwrap();
        anomalies.apply(&params, clean.view(), again.view_mut()).unwrap();
        assert_eq!(out, again);
        // Of another image, or with other classes.
        let untouched = out.clone();
        let small = LabelMap::new(Array3::from_elem((1, 9, 9), 2).view(), &[2, 41]).unwrap();
        assert!(matches!(of(&small, &mut out), Err(DagError::Shape(_))));
        let three = LabelMap::new(codes.view(), &[2, 41, 42]).unwrap();
        let error = of(&three, &mut out).unwrap_err();
        assert_eq!(error, DagError::Classes { expected: 2, got: 3 });
        assert_eq!(out, untouched);
    }
}

#[test]
fn a_bias_by_a_mixture_follows_its_soft_memberships() {
    let clean = brain(1, [1, 40, 40], 5);
    let (means, variances) = (ndarray::array![[0.3], [0.6]], Array3::from_elem((2, 1, 1), 0.02));
    let mixture = GaussianMixture::new(&[0.5; 2], means.view(), variances.view()).unwrap();
    let sources = Sources::new().with_tissues(mixture.clone());
    let (config, selection) = bias_of_the_second(TissueOrigin::Model, Memberships::Soft);
    let anomalies = config.build(&sources).unwrap();
    let mut params = anomalies.draw(Key::new(3)).at(Severity::new(0.1).unwrap());
    let CorruptionParams::Bias(drawn) = &mut params.parts[0] else { panic!("a bias") };
    (drawn.selection, drawn.direction) = (selection, BiasDirection::Brighten);
    let mut out = Array4::zeros(clean.dim());
    let realised = anomalies.apply(&params, clean.view(), out.view_mut()).unwrap();
    let mask = realised.mask.to_image([1, 40, 40]).unwrap();
    let mut memberships = Array4::zeros((2, 1, 40, 40));
    mixture.soft_at([0; 3], clean.view(), memberships.view_mut()).unwrap();
    let mut partly = 0;
    for ((_, z, y, x), &value) in out.indexed_iter() {
        let share = memberships[[1, z, y, x]];
        let expected = (clean[[0, z, y, x]] + 0.1 * mask[[z, y, x]] * share).min(1.0);
        assert!((value - expected).abs() < 1e-6);
        partly += usize::from(mask[[z, y, x]] > 0.0 && (0.1..0.9).contains(&share));
    }
    assert!(partly > 10, "{partly} voxels belong to both");
}

#[test]
fn a_bias_shifts_each_channel_by_a_draw_of_its_own_and_the_first_as_if_alone() {
    let alone = brain(1, [1, 40, 40], 5).mapv(|value| 0.5 * value);
    let both = ndarray::concatenate![Axis(0), alone, alone];
    let config = AnomalyConfig {
        parts: vec![PartConfig::Bias(BiasPart {
            tissues: TissueOrigin::None,
            ..BiasPart::default()
        })],
        ..Family::BiasOnly.config([1, 24, 24])
    };
    let anomalies = config.build(&Sources::new()).unwrap();
    let (mut one, mut two) = (Array4::zeros(alone.dim()), Array4::zeros(both.dim()));
    let (mut opposite, mut weaker) = (0, 0);
    for index in 0..100u64 {
        let params = anomalies.draw(Key::new(index)).at(Severity::new(0.2).unwrap());
        let text = serde_json::to_string(&params).unwrap();
        let params: AnomalyParams = serde_json::from_str(&text).unwrap();
        anomalies.apply(&params, alone.view(), one.view_mut()).unwrap();
        anomalies.apply(&params, both.view(), two.view_mut()).unwrap();
        assert_eq!(one.index_axis(Axis(0), 0), two.index_axis(Axis(0), 0));
        let change = [0, 1].map(|c| (&two - &both).index_axis(Axis(0), c).sum());
        opposite += usize::from(change[0] * change[1] < 0.0);
        weaker += usize::from(change[1].abs() < 0.5 * change[0].abs());
    }
    // Each a fair coin: Binomial(100, ½), standard deviation 5.
    assert!((30..=70).contains(&opposite) && (30..=70).contains(&weaker), "{opposite} {weaker}");
}

#[test]
fn soft_memberships_of_a_hard_model_are_its_labels() {
    let clean = brain(1, [1, 40, 40], 5);
    let out = [Memberships::Hard, Memberships::Soft].map(|memberships| {
        let mut config = Family::Dag.config([1, 24, 24]);
        let PartConfig::Bias(part) = &mut config.parts[1] else { panic!("a bias") };
        part.bias.memberships = memberships;
        let mut out = Array4::zeros(clean.dim());
        let anomalies = config.build(&sources(1)).unwrap();
        anomalies.corrupt(Key::new(9), clean.view(), out.view_mut()).unwrap();
        out
    });
    assert_eq!(out[0], out[1]);
    assert!(greatest_change(&out[0], &clean) > 0.0);
}

#[test]
fn bad_input_is_refused_before_the_output_is_touched() {
    let untouched = Array4::from_elem((1, 1, 16, 16), 9.0);
    for family in Family::ALL {
        let mut out = untouched.clone();
        let mut clean = brain(1, [1, 16, 16], 1);
        let anomalies = anomalies(family, [1, 8, 8], 1);
        let params = anomalies.draw(Key::new(1));
        let mut refuse = |anomalies: &Anomalies, scene: Scene<'_>| {
            let error = anomalies.apply(&params, scene, out.view_mut()).unwrap_err();
            assert_eq!(out, untouched, "{family}");
            error
        };
        let large = self::anomalies(family, [1, 17, 8], 1);
        let error = refuse(&large, clean.view().into());
        assert_eq!(error, DagError::WindowTooLarge { window: [1, 17, 8], image: [1, 16, 16] });
        let nowhere = Array3::zeros((1, 16, 16));
        let scene = Scene { places: Some(nowhere.view()), ..clean.view().into() };
        assert_eq!(refuse(&anomalies, scene), DagError::NoPlace { window: [1, 8, 8] });
        let two = self::anomalies(family, [1, 8, 8], 2);
        let foreign = matches!(
            family,
            Family::Dag
                | Family::DagNoTissue
                | Family::TextureOnly
                | Family::Fpi
                | Family::Pii
                | Family::Nsa
        );
        if foreign {
            let error = refuse(&two, clean.view().into());
            assert!(matches!(error, DagError::Channels { .. }), "{family}: {error}");
        }
        clean[[0, 0, 3, 4]] = f32::NAN;
        assert!(matches!(refuse(&anomalies, clean.view().into()), DagError::OutOfRange { .. }));
    }
}

#[test]
fn an_empty_mask_is_refused_by_every_corruption() {
    let clean = brain(1, [1, 16, 16], 1);
    let untouched = Array4::from_elem(clean.dim(), 9.0);
    // Nothing anywhere, and something in the background alone.
    let mut corner = Array3::zeros((1, 4, 4));
    corner[[0, 0, 0]] = 1.0;
    for values in [Array3::zeros((1, 4, 4)), corner] {
        let mask = PlacedMask::on_foreground([0; 3], values, clean.view()).unwrap();
        let source: Arc<dyn TextureSource> = Arc::new(Offset);
        let kinds: [Box<dyn Corruption>; 5] = [
            Box::new(TextureConfig::default().build(source.clone()).unwrap()),
            Box::new(PoissonConfig::default().build(source).unwrap()),
            Box::new(BiasConfig::default().build_without_tissues().unwrap()),
            Box::new(DeformationConfig::default().build().unwrap()),
            Box::new(SharpnessConfig::default().build().unwrap()),
        ];
        for kind in kinds {
            let mut out = untouched.clone();
            let error = kind.corrupt(Key::new(1), clean.view(), &mask, out.view_mut()).unwrap_err();
            assert_eq!((error, &out), (DagError::EmptyMask, &untouched), "{}", kind.name());
        }
    }
}

/// A source that divides by zero.
struct Broken;

impl TextureSource for Broken {
    fn fill(
        &self,
        _: Key,
        _: ArrayView4<'_, f32>,
        mut texture: ArrayViewMut4<'_, f32>,
    ) -> Result<(), DagError> {
        texture.fill(0.5);
        texture[[0, 0, 2, 3]] = f32::INFINITY;
        Ok(())
    }
}

#[test]
fn a_texture_that_is_no_number_is_refused() {
    let clean = brain(1, [1, 16, 16], 1);
    let sources = sources(1).with_textures(Broken);
    for family in [Family::Dag, Family::Fpi, Family::Pii, Family::Nsa] {
        let mut out = Array4::from_elem(clean.dim(), 9.0);
        let anomalies = family.config([1, 8, 8]).build(&sources).unwrap();
        let error = anomalies.corrupt(Key::new(1), clean.view(), out.view_mut()).unwrap_err();
        let DagError::Texture { .. } = error else { panic!("{family}: {error}") };
        assert!(out.iter().all(|&value| value == 9.0));
    }
}

#[test]
fn what_a_family_lacks_is_named_when_it_is_built() {
    let lacking = |family: Family| family.config([1, 8, 8]).build(&Sources::new()).unwrap_err();
    assert_eq!(lacking(Family::BiasOnly), DagError::Missing { what: "a tissue model" });
    assert_eq!(lacking(Family::Pii), DagError::Missing { what: "a source of foreign textures" });
    let config = AnomalyConfig { parts: Vec::new(), ..Family::Blur.config([1, 8, 8]) };
    assert!(matches!(config.build(&Sources::new()), Err(DagError::NoItems { .. })));
    let config = Family::Blur.config([1, 0, 8]);
    assert!(matches!(config.build(&Sources::new()), Err(DagError::Config { .. })));
    let (dag, blur) = (anomalies(Family::Dag, [1, 8, 8], 1), anomalies(Family::Blur, [1, 8, 8], 1));
    let clean = brain(1, [1, 16, 16], 1);
    let mut out = clean.clone();
    let error = blur.apply(&dag.draw(Key::new(1)), clean.view(), out.view_mut()).unwrap_err();
    assert_eq!(error, DagError::Parts { expected: 1, got: 2 });
    let deformation = anomalies(Family::Deformation, [1, 8, 8], 1);
    let params = deformation.draw(Key::new(1));
    let error = blur.apply(&params, clean.view(), out.view_mut()).unwrap_err();
    assert_eq!(error, DagError::Params { expected: "sharpness", got: "deformation" });
}
