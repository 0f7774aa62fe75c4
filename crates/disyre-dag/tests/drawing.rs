//! Drawn anomalies as plain data: whoever finishes them gets what applying them gives.

#![allow(clippy::unwrap_used, reason = "a failing helper is a failing test")]
#![allow(unreachable_pub, reason = "private to the test files")]

#[path = "support/finish.rs"]
mod finish;

use std::sync::Arc;

use disyre_core::{
    Key, Rules, Severity, StockVolume,
    ndarray::{Array3, Array4, array},
};
use disyre_dag::{
    Anomalies, AnomalyConfig, BiasConfig, BiasPart, DagConfig, DagError, Family, LazyBank,
    Memberships, NoiseTexture, PartConfig, PublishedShapes, ShapeConfig, SizeConfig, Sources,
    TextureConfig, TextureSource, TissueFrom, VolumeBank, gaussian_blur,
};
use disyre_tissue::{Codebook, GaussianMixture};
use finish::finish;
use proptest::prelude::*;

const DRAWABLE: [Family; 5] =
    [Family::Dag, Family::DagNoTissue, Family::TextureOnly, Family::BiasOnly, Family::Fpi];

/// Noise inside an ellipsoid, exactly 0 outside.
fn brain([depth, height, width]: [usize; 3], seed: u64) -> Array4<f32> {
    let mut image = Array4::zeros((1, depth, height, width));
    NoiseTexture::default().fill(Key::new(seed), image.clone().view(), image.view_mut()).unwrap();
    for ((_, z, y, x), value) in image.indexed_iter_mut() {
        let off = |index: usize, extent: usize| (index as f32 + 0.5) / extent as f32 - 0.5;
        let [a, b, c] = [off(z, depth), off(y, height), off(x, width)];
        *value = if a * a + b * b + c * c > 0.2 { 0.0 } else { 0.1 + 0.8 * *value };
    }
    image
}

fn volumes() -> Vec<Array4<f32>> {
    (10..13).map(|seed| brain([6, 30, 28], seed)).collect()
}

fn sources() -> Sources {
    Sources {
        shapes: None,
        textures: Some(Arc::new(VolumeBank::new(volumes()).unwrap())),
        tissues: Some(Arc::new(Codebook::published())),
    }
}

fn extents() -> impl Strategy<Value = ([usize; 3], [usize; 3])> {
    // The image, and the window as a part of it.
    ([1..6usize, 8..30usize, 8..30usize], [1..6usize, 2..30usize, 2..30usize]).prop_map(
        |(image, window)| (image, std::array::from_fn(|axis| window[axis].min(image[axis]))),
    )
}

/// Applies and finishes the anomaly of a key; both give the same.
fn ensure_same(anomalies: &Anomalies, rules: &Rules, shape: [usize; 3], seed: u64) -> Severity {
    let (clean, volumes) = (brain(shape, seed), volumes());
    let volumes: Vec<_> = volumes
        .iter()
        .map(|volume| StockVolume { extents: [6, 30, 28], values: volume.as_slice().unwrap() })
        .collect();
    let params = anomalies.draw(Key::new(seed));
    let mut applied = Array4::zeros(clean.dim());
    let realised = anomalies.apply(&params, clean.view().into(), applied.view_mut()).unwrap();
    let (finished, severity) = match anomalies.drawn(&params, clean.view()).unwrap() {
        Some(drawn) => finish(&volumes, rules, &drawn, clean.view()),
        None => (clean.clone(), Severity::CLEAN),
    };
    assert_eq!(finished, applied);
    assert_eq!(severity, realised.severity);
    severity
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_drawn_anomaly_finished_from_its_plain_data_is_the_applied_one(
        family in (0..DRAWABLE.len()).prop_map(|index| DRAWABLE[index]),
        (shape, window) in extents(),
        probability in prop_oneof![Just(1.0), Just(0.5)],
        seed: u64,
    ) {
        let mut settings = DagConfig::for_window(window);
        (settings.texture.probability, settings.bias.probability) = (probability, probability);
        // So that tissues are selected in small windows too.
        settings.bias.count_offset /= 4.0;
        let anomalies = family.config_with(settings).build(&sources()).unwrap();
        ensure_same(&anomalies, &anomalies.rules().unwrap(), shape, seed);
    }

    #[test]
    fn an_outline_blurred_and_clipped_is_the_shape(window in [1..4usize, 1..40, 1..40], seed: u64) {
        let (mut filled, mut outlined) = (Array3::zeros(window), Array3::zeros(window));
        let size = SizeConfig { size_mm: [4.0, 30.0], spacing_mm: [1.0; 3] };
        let sized = ShapeConfig::Sized(size, Box::new(ShapeConfig::Published)).build().unwrap();
        for shapes in [Arc::new(PublishedShapes::default()), sized] {
            shapes.fill(Key::new(seed), filled.view_mut()).unwrap();
            let sigma = shapes.outline(Key::new(seed), outlined.view_mut()).unwrap();
            gaussian_blur(outlined.view_mut(), sigma).unwrap();
            outlined.mapv_inplace(|m| m.min(1.0));
            prop_assert_eq!(&outlined, &filled);
        }
    }
}

#[test]
fn most_drawn_anomalies_of_a_large_window_have_every_step() {
    // What the property above would not notice: that nothing is ever drawn.
    let anomalies = Family::Dag.config([1, 24, 24]).build(&sources()).unwrap();
    let rules = anomalies.rules().unwrap();
    assert_eq!((rules.window, rules.tissue_borders.len()), ([1, 24, 24], 4));
    assert_eq!(rules.tissue_blur_sigma_voxels, [0.0, 24.0 / 64.0, 24.0 / 64.0]);
    let clean = brain([3, 40, 40], 5);
    let drawn = |seed| anomalies.drawn(&anomalies.draw(Key::new(seed)), clean.view()).unwrap();
    let all: Vec<_> = (0..100).filter_map(drawn).collect();
    assert_eq!(all.len(), 100);
    assert!(all.iter().all(|drawn| drawn.texture.is_some() && drawn.bias.is_some()));
    // Published: seven of ten are blurred; standard deviation 0.046.
    let blurred = all.iter().filter(|drawn| drawn.blur_sigma_voxels != [0.0; 3]).count();
    assert!((56..=84).contains(&blurred), "{blurred}");
    let changed = (0..100)
        .filter(|&seed| ensure_same(&anomalies, &rules, [3, 40, 40], seed) > Severity::CLEAN);
    assert!(changed.count() > 90);
}

#[test]
fn dag_its_ablations_and_fpi_can_be_drawn() {
    for family in Family::ALL {
        let anomalies = family.config([1, 8, 8]).build(&sources()).unwrap();
        assert_eq!(anomalies.rules().is_ok(), DRAWABLE.contains(&family), "{family}");
        if !DRAWABLE.contains(&family) {
            let clean = brain([1, 16, 16], 1);
            let drawn = anomalies.drawn(&anomalies.draw(Key::new(1)), clean.view());
            assert!(matches!(drawn, Err(DagError::Undrawable { .. })), "{family}: {drawn:?}");
        }
    }
}

#[test]
fn what_another_machine_would_have_to_know_is_said() {
    let why = |config: AnomalyConfig, sources: &Sources| {
        config.build(sources).unwrap().rules().unwrap_err().to_string()
    };
    let dag = || Family::Dag.config([1, 8, 8]);
    let mut turned = dag();
    turned.parts.reverse();
    assert!(why(turned, &sources()).contains("a bias after a texture"));

    let lazy = LazyBank::new(3, |index| Ok::<_, DagError>(volumes()[index].clone())).unwrap();
    let opened = Sources { textures: Some(Arc::new(lazy)), ..sources() };
    assert!(why(dag(), &opened).contains("stored volumes"));

    let part = |tissues, memberships| AnomalyConfig {
        parts: vec![PartConfig::Bias(BiasPart {
            tissues,
            bias: BiasConfig { memberships, ..BiasConfig::default() },
        })],
        ..dag()
    };
    let third = Array3::from_elem((2, 1, 1), 1.0 / 3.0);
    let mixture =
        GaussianMixture::new(&[0.1, 0.9], array![[0.3], [0.6]].view(), third.view()).unwrap();
    let mixed = Sources { tissues: Some(Arc::new(mixture)), ..sources() };
    for (tissues, memberships, sources) in [
        (TissueFrom::Model, Memberships::Soft, sources()),
        (TissueFrom::Model, Memberships::Hard, mixed),
        (TissueFrom::Scene { classes: 3 }, Memberships::Hard, sources()),
    ] {
        assert!(why(part(tissues, memberships), &sources).contains("intervals"), "{tissues:?}");
    }
    let one = part(TissueFrom::None, Memberships::Soft).build(&sources()).unwrap();
    assert!(one.rules().unwrap().tissue_borders.is_empty());
}

#[test]
fn a_severity_of_zero_leaves_its_part_out() {
    let mut settings = DagConfig::for_window([1, 8, 8]);
    settings.texture = TextureConfig { probability: 0.0, ..TextureConfig::default() };
    let anomalies = Family::Dag.config_with(settings).build(&sources()).unwrap();
    let (clean, params) = (brain([1, 16, 16], 1), anomalies.draw(Key::new(1)));
    let drawn = anomalies.drawn(&params, clean.view()).unwrap().unwrap();
    assert!(drawn.texture.is_none() && drawn.bias.is_some());
    let healthy = params.at(Severity::CLEAN);
    assert_eq!(anomalies.drawn(&healthy, clean.view()), Ok(None));
}

#[test]
fn an_image_or_parameters_that_do_not_fit_are_refused() {
    let build = |family: Family| family.config([1, 8, 8]).build(&sources()).unwrap();
    let (dag, clean) = (build(Family::Dag), brain([1, 16, 16], 1));
    let params = dag.draw(Key::new(1));
    let two = Array4::zeros((2, 1, 16, 16));
    assert!(matches!(dag.drawn(&params, two.view()), Err(DagError::Channels { got: 2, .. })));
    let wide = Array4::from_elem((1, 1, 16, 16), 2.0);
    assert!(matches!(dag.drawn(&params, wide.view()), Err(DagError::OutOfRange { .. })));
    let small = Array4::zeros((1, 1, 16, 4));
    assert!(matches!(dag.drawn(&params, small.view()), Err(DagError::WindowTooLarge { .. })));
    let other = build(Family::BiasOnly).draw(Key::new(1));
    assert!(matches!(dag.drawn(&other, clean.view()), Err(DagError::Parts { .. })));
    let other = build(Family::TextureOnly);
    let bias = build(Family::BiasOnly).draw(Key::new(1));
    assert!(matches!(other.drawn(&bias, clean.view()), Err(DagError::Params { .. })));
    let merged = build(Family::BiasOnly);
    let one = build(Family::DagNoTissue).draw(Key::new(1)).parts.split_off(1);
    let one = disyre_dag::AnomalyParams { parts: one, ..params };
    assert!(matches!(merged.drawn(&one, clean.view()), Err(DagError::Classes { .. })));
}
