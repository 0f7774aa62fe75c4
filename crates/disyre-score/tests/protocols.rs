//! Protocols against the benchmarks' own functions, on four cases made by `fixtures/make_protocols.py`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use disyre_score::ndarray::{Array3, Axis, Slice, array};
use disyre_score::protocols::{
    CaseView, MedIAnomaly, NamedValue, Protocol, Reference, ThresholdGrid, UadImag, Upd,
};
use disyre_score::{Key, ScoreError};
use serde_json::Value;

const VALUES: &[u8] = include_bytes!("fixtures/protocols.json");

fn golden() -> Value {
    serde_json::from_slice(VALUES).unwrap()
}

/// Scores, labels and brain of each case.
fn cases() -> Vec<(Array3<f32>, Array3<u8>, Array3<u8>)> {
    let golden = golden();
    let shape: (usize, usize, usize) = serde_json::from_value(golden["shape"].clone()).unwrap();
    let read = |values: &Value| -> Array3<u16> {
        Array3::from_shape_vec(shape, serde_json::from_value(values.clone()).unwrap()).unwrap()
    };
    let of_case = |case: &Value| {
        let [labels, brain] = ["labels", "brain"].map(|of| read(&case[of]).mapv(|v| v as u8));
        (read(&case["scores"]).mapv(|v| f32::from(v) / 256.0), labels, brain)
    };
    golden["cases"].as_array().unwrap().iter().map(of_case).collect()
}

fn views(cases: &[(Array3<f32>, Array3<u8>, Array3<u8>)]) -> Vec<CaseView<'_>> {
    let views = cases.iter().map(|(scores, labels, brain)| {
        CaseView::new(scores.view(), labels.view(), Some(brain.view())).unwrap()
    });
    views.collect()
}

#[track_caller]
fn assert_all(values: &[NamedValue], expected: &Value) {
    let expected = expected.as_object().unwrap();
    assert_eq!(values.len(), expected.len());
    for NamedValue { name, value } in values {
        let expected = expected[name].as_f64().unwrap();
        let got = value.unwrap();
        assert!((got - expected).abs() < 1e-7, "{name}: {got} is not {expected}");
    }
}

#[test]
fn benchmarks_count_as_their_own_functions_do() {
    let cases = cases();
    for protocol in [Protocol::Upd, Protocol::MedIAnomaly] {
        let report = protocol.measure(Key::new(0), &views(&cases)).unwrap();
        assert_all(&report.values, &golden()[protocol.name()]);
    }
    let settings = golden()["uad-imag settings"].clone();
    let uad_imag: UadImag = serde_json::from_value(settings).unwrap();
    assert_eq!(uad_imag.median_voxels, 4);
    assert_all(&uad_imag.measure(&views(&cases)).unwrap(), &golden()["uad-imag"]);
}

#[test]
fn a_grid_that_follows_the_scores_comes_near_the_best_threshold_whatever_their_scale() {
    let cases = cases();
    let by_hand: UadImag = serde_json::from_value(golden()["uad-imag settings"].clone()).unwrap();
    let fine = ThresholdGrid::Steps { start: 0.0, end: 1.0, step: 1.0 / 256.0 };
    let dice = |settings: UadImag, cases: &[CaseView<'_>]| -> f64 {
        let values = settings.measure(cases).unwrap();
        assert_eq!(values[1].name, "per_volume_dice_at_best_threshold");
        values[1].value.unwrap()
    };
    let best = dice(UadImag { grid: fine, ..by_hand }, &views(&cases));
    let found = dice(UadImag::default(), &views(&cases));
    assert!(found <= best && found > best - 0.005, "{found} {best}");
    let rescaled: Vec<_> =
        cases.into_iter().map(|(s, l, b)| (s.mapv(|s| s * 4096.0), l, b)).collect();
    assert_eq!(dice(UadImag::default(), &views(&rescaled)), found);
}

#[test]
fn every_protocol_names_itself_and_says_what_it_averages_over() {
    let cases = cases();
    for protocol in Protocol::ALL {
        let report = protocol.measure(Key::new(0), &views(&cases)).unwrap();
        assert_eq!(report.protocol, protocol);
        let text = serde_json::to_value(&report).unwrap();
        assert_eq!(text["protocol"], protocol.name());
        for NamedValue { name, value } in &report.values {
            let averaging = [
                "pooled_",
                "per_volume_",
                "per_slice_",
                "slice_",
                "best_threshold",
                "healthy_threshold",
            ];
            let plain = name.strip_prefix("median_").unwrap_or(name);
            assert!(averaging.iter().any(|start| plain.starts_with(start)), "{protocol}: {name}");
            assert!(value.is_none_or(f64::is_finite));
        }
        assert_eq!(
            serde_json::from_value::<disyre_score::protocols::ProtocolReport>(text).unwrap(),
            report
        );
    }
}

#[test]
fn exact_counts_inside_the_brain_alone() {
    let (scores, labels) = (array![[[0.9, 0.1, 0.8, 0.2]]], array![[[0, 0, 1, 0]]]);
    let brain = array![[[0, 1, 1, 1]]];
    let case = CaseView::new(scores.view(), labels.view(), Some(brain.view())).unwrap();
    let report = Protocol::Exact.measure(Key::new(0), &[case]).unwrap();
    assert_eq!(
        (report.get("pooled_ap"), report.get("per_volume_best_dice")),
        (Some(1.0), Some(1.0))
    );
    // Where the background counts, its map is 0.
    let report = Protocol::Upd.measure(Key::new(0), &[case]).unwrap();
    assert_eq!(report.get("pooled_ap"), Some(1.0));
    let whole = CaseView::new(scores.view(), labels.view(), None).unwrap();
    assert_eq!(Protocol::Upd.measure(Key::new(0), &[whole]).unwrap().get("pooled_ap"), Some(0.5));
}

#[test]
fn means_over_slices_are_those_of_slices_as_volumes() {
    let cases = cases();
    let views = views(&cases);
    let report = Protocol::Exact.measure(Key::new(0), &views).unwrap();
    // Every slice as a case of its own.
    let slices: Vec<_> = cases
        .iter()
        .flat_map(|(scores, labels, brain)| {
            let cut = |z: usize| Slice::from(z..=z);
            (0..scores.dim().0).map(move |z| {
                let scores = scores.slice_axis(Axis(0), cut(z));
                let labels = labels.slice_axis(Axis(0), cut(z));
                let brain = brain.slice_axis(Axis(0), cut(z));
                CaseView::new(scores, labels, Some(brain)).unwrap()
            })
        })
        .collect();
    let of_slices = Protocol::Exact.measure(Key::new(0), &slices).unwrap();
    for name in ["ap", "best_dice"] {
        let [per_slice, per_volume] =
            ["per_slice_", "per_volume_"].map(|averaging| format!("{averaging}{name}"));
        assert_eq!(report.get(&per_slice), of_slices.get(&per_volume));
        assert_ne!(report.get(&per_slice), report.get(&per_volume));
    }
}

#[test]
fn the_reference_depends_on_its_key_and_scores_slices_by_three_reductions() {
    let cases = cases();
    let run = |seed, settings: Reference| settings.measure(Key::new(seed), &views(&cases)).unwrap();
    let few = Reference { voxels: 200 };
    assert_eq!(run(0, few), run(0, few));
    assert_ne!(run(0, few)[0], run(1, few)[0]);
    // Drawn often enough, all voxels of the brains.
    let values = run(0, Reference { voxels: 400_000 });
    let exact = Protocol::Exact.measure(Key::new(0), &views(&cases)).unwrap();
    let auroc = exact.get("pooled_auroc").unwrap();
    assert!((values[2].value.unwrap() - auroc).abs() < 0.005, "brains differ a little in size");
    // The mean of a whole slice is that of MedIAnomaly.
    let expected = golden()["medianomaly"]["slice_auroc"].as_f64();
    let found = values.iter().find(|value| value.name == "slice_mean_auroc").unwrap();
    assert_eq!(found.value, expected);
}

#[test]
fn operating_points_that_have_no_cases_to_come_from_are_left_out() {
    let cases = cases();
    let report = Protocol::UadImag.measure(Key::new(0), &views(&cases)[..1]).unwrap();
    assert!(report.get("per_volume_dice_at_best_threshold").is_some());
    assert_eq!(report.get("per_volume_dice_at_estimated_threshold"), None);
    assert_eq!(report.get("per_volume_dice_at_healthy_threshold"), None);
    let healthy = Protocol::UadImag.measure(Key::new(0), &views(&cases)[3..]);
    assert!(matches!(healthy, Err(ScoreError::NoPositives { .. })), "{healthy:?}");
}

#[test]
fn arrays_that_do_not_fit_are_refused() {
    let (scores, labels) = (array![[[0.1, 0.2]]], array![[[0, 1]]]);
    let long = array![[[0, 1, 1]]];
    assert!(CaseView::new(scores.view(), long.view(), None).is_err());
    assert!(CaseView::new(scores.view(), labels.view(), Some(long.view())).is_err());
    let bad = array![[[0.1, f32::NAN]]];
    assert!(CaseView::new(bad.view(), labels.view(), None).is_err());
    let none = Array3::zeros((0, 2, 2));
    assert!(CaseView::new(none.view(), Array3::zeros((0, 2, 2)).view(), None).is_err());
    let case = CaseView::new(scores.view(), labels.view(), None).unwrap();
    assert!(Upd { thresholds: 2 }.measure(&[case]).is_ok());
}

#[test]
fn settings_out_of_range_are_errors_that_name_the_field() {
    let cases = cases();
    let refused = |settings: &str| {
        let settings: UadImag = serde_json::from_str(settings).unwrap();
        match settings.measure(&views(&cases)) {
            Err(ScoreError::Setting { field, .. }) => field,
            other => panic!("{settings:?} gave {other:?}"),
        }
    };
    let median = |voxels: usize| refused(&format!(r#"{{"median_voxels": {voxels}}}"#));
    assert!([0, 33, usize::MAX].map(median).iter().all(|&field| field == "median_voxels"));
    let rate = |rate: f64| refused(&format!(r#"{{"false_positive_rate": {rate}}}"#));
    assert!([0.0, 1.0, -0.1].map(rate).iter().all(|&field| field == "false_positive_rate"));
    let grid = |start: f64, end: f64, step: f64| {
        let steps = format!(r#"{{"start": {start}, "end": {end}, "step": {step}}}"#);
        refused(&format!(r#"{{"grid": {{"steps": {steps}}}}}"#))
    };
    assert_eq!([grid(0.0, 1.0, 0.0), grid(0.0, 1.0, -0.1), grid(0.0, 1.0, 1e-9)], ["grid.step"; 3]);
    assert_eq!([grid(1.0, 1.0, 0.1), grid(1.0, 0.0, -0.1)], ["grid"; 2]);
    let nan = ThresholdGrid::Steps { start: 0.0, end: 1.0, step: f64::NAN };
    assert!(UadImag { grid: nan, ..UadImag::default() }.check().is_err());
    for thresholds in [0, 1, usize::MAX] {
        let error = Upd { thresholds }.measure(&views(&cases)).unwrap_err();
        assert!(matches!(error, ScoreError::Setting { field: "thresholds", .. }));
    }
    assert!(MedIAnomaly { thresholds: 0 }.measure(&views(&cases)).is_err());
    assert!(Reference { voxels: 0 }.measure(Key::new(0), &views(&cases)).is_err());
}

#[test]
fn a_case_without_brain_is_named_and_one_that_is_all_lesion_counts() {
    let (scores, labels) = (array![[[0.1, 0.2, 0.3]]], array![[[0, 1, 1]]]);
    let (none, lesion) = (array![[[0, 0, 0]]], array![[[0, 1, 1]]]);
    let case = |brain| CaseView::new(scores.view(), labels.view(), brain).unwrap();
    let error = Reference::default()
        .measure(Key::new(0), &[case(None), case(Some(none.view()))])
        .unwrap_err();
    assert!(error.to_string().starts_with("the brain mask of case 1 "), "{error}");
    let cases = [case(Some(lesion.view())), case(None)];
    let report = Protocol::Exact.measure(Key::new(0), &cases).unwrap();
    assert_eq!(report.get("per_volume_ap"), Some(1.0));
    assert_eq!(report.get("per_volume_auroc"), Some(1.0));
}
