//! Measures of regions against cc3d, SciPy, MONAI, anomalib and our own definitions in NumPy; `fixtures/make_regions.py`
//! made the values.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use disyre_score::ndarray::Array3;
use disyre_score::protocols::CaseView;
use disyre_score::regions::{
    Components, Connectivity, LesionConfig, Lesions, OverlapRule, ProCase, SizeBins, froc, pro,
    surface_distances, volume_error,
};
use disyre_score::{RankedScores, ScorePoolConfig};
use serde_json::Value;

fn fixture() -> Value {
    serde_json::from_str(include_str!("fixtures/regions.json")).unwrap()
}

/// An integer of 32 bits for each voxel.
fn hashed(z: usize, y: usize, x: usize, seed: usize) -> u32 {
    let term = |value: usize, factor: u32| (value as u32).wrapping_mul(factor);
    let mut h = term(z, 73_856_093) ^ term(y, 19_349_663) ^ term(x, 83_492_791);
    h ^= term(seed, 2_654_435_761);
    h ^= h >> 13;
    h = h.wrapping_mul(0x5bd1_e995);
    h ^ h >> 15
}

fn drawn(index: usize, what: usize, seed: usize, below: usize) -> usize {
    hashed(index, what, 7, seed) as usize % below
}

struct Ellipsoid {
    centre: [i64; 3],
    radii: [i64; 3],
}

impl Ellipsoid {
    fn draw(index: usize, seed: usize, shape: [usize; 3]) -> Self {
        Self {
            centre: [0, 1, 2].map(|axis| drawn(index, axis, seed, shape[axis]) as i64),
            radii: [0, 1, 2].map(|axis| 1 + drawn(index, 3 + axis, seed, 4) as i64),
        }
    }

    fn holds(&self, voxel: (usize, usize, usize)) -> bool {
        let voxel = [voxel.0, voxel.1, voxel.2];
        let [dz, dy, dx] = [0, 1, 2].map(|axis| (voxel[axis] as i64 - self.centre[axis]).pow(2));
        let [a, b, c] = self.radii.map(|radius| radius * radius);
        dz * b * c + dy * a * c + dx * a * b <= a * b * c
    }
}

/// Label and score of a case of the fixture.
fn case(shape: [usize; 3], count: usize, seed: usize) -> (Array3<u8>, Array3<f32>) {
    let lesions: Vec<_> = (0..count).map(|index| Ellipsoid::draw(index, seed, shape)).collect();
    let others = (0..count + 2).map(|index| Ellipsoid::draw(index, seed + 1, shape));
    let label = Array3::from_shape_fn(shape, |voxel| {
        u8::from(lesions.iter().any(|lesion| lesion.holds(voxel)))
    });
    let mut score = Array3::from_shape_fn(shape, |(z, y, x)| hashed(z, y, x, seed) % 256);
    for (index, mut bright) in lesions.into_iter().chain(others).enumerate() {
        if index % 3 == 2 {
            continue;
        }
        for axis in 0..3 {
            bright.centre[axis] += drawn(index, 6 + axis, seed, 3) as i64 - 1;
        }
        let more = 200 + drawn(index, 9, seed, 500) as u32;
        for (voxel, score) in score.indexed_iter_mut() {
            *score += if bright.holds(voxel) { more } else { 0 };
        }
    }
    (label, score.mapv(|score| score as f32 / 1024.0))
}

/// Sum of integers, each times its position mod 97 plus 1.
fn checksum(values: impl IntoIterator<Item = u64>) -> u64 {
    values.into_iter().zip((1..=97).cycle()).map(|(value, factor)| value * factor).sum()
}

fn shape_of(value: &Value) -> [usize; 3] {
    serde_json::from_value(value.clone()).unwrap()
}

fn number(value: &Value) -> usize {
    value.as_u64().expect("the fixture holds a count") as usize
}

#[track_caller]
fn assert_near(got: f64, expected: &Value, tolerance: f64) {
    let expected = expected.as_f64().expect("the fixture holds a number");
    assert!((got - expected).abs() <= tolerance, "{got} is not {expected}");
}

/// A case of the fixture.
struct Case<'a> {
    value: &'a Value,
    label: Array3<u8>,
    score: Array3<f32>,
    /// A brain whose border cuts lesions.
    brain: Option<Array3<u8>>,
}

impl Case<'_> {
    fn lesions(&self) -> Lesions<'_> {
        let spacing_mm: [f64; 3] =
            serde_json::from_value(self.value["spacing_mm"].clone()).unwrap();
        let brain = self.brain.as_ref().map(|brain| brain.view());
        Lesions::new(self.label.view(), brain, spacing_mm).unwrap()
    }

    /// Scores and labels in the brain.
    fn voxels(&self) -> (Vec<f32>, Vec<u8>) {
        let brain = self.brain.as_ref().map(|brain| brain.view());
        CaseView::new(self.score.view(), self.label.view(), brain).unwrap().brain_voxels()
    }
}

/// The cases of the fixture, their sums checked.
fn cases(fixture: &Value) -> Vec<Case<'_>> {
    let made = fixture["cases"].as_array().unwrap().iter().map(|value| {
        let shape = shape_of(&value["shape"]);
        let (label, score) = case(shape, number(&value["count"]), number(&value["seed"]));
        let sum = checksum(label.iter().map(|&label| label.into()));
        assert_eq!(sum, value["label_checksum"].as_u64().unwrap());
        let sum = checksum(score.iter().map(|score| (score * 1024.0) as u64));
        assert_eq!(sum, value["score_checksum"].as_u64().unwrap());
        let inside = |(z, y, x)| u8::from((x + 2 * y + z) % 31 < 24);
        let in_brain = value["in_brain"].as_bool().unwrap();
        let brain = in_brain.then(|| Array3::from_shape_fn(shape, inside));
        assert!(brain.is_none() || number(&value["cut_voxels"]) > 100);
        Case { value, label, score, brain }
    });
    made.collect()
}

/// A case of the fixture at one of its thresholds.
struct AtThreshold<'a> {
    /// Values of the case.
    value: &'a Value,
    /// Values at the threshold.
    at: &'a Value,
    lesions: &'a Lesions<'a>,
    prediction: Array3<u8>,
}

/// Calls a check for every case of the fixture at each of its thresholds.
fn at_each_threshold(check: impl Fn(AtThreshold<'_>)) {
    let fixture = fixture();
    for case in cases(&fixture) {
        let (value, lesions) = (case.value, &case.lesions());
        for at in value["at"].as_array().unwrap() {
            let threshold = at["threshold"].as_f64().unwrap() as f32;
            let prediction = lesions.predicted(case.score.view(), threshold).unwrap();
            check(AtThreshold { value, at, lesions, prediction });
        }
    }
}

#[test]
fn components_are_those_of_cc3d_and_scipy() {
    for noise in fixture()["noise"].as_array().unwrap() {
        let every = number(&noise["every"]);
        let mask = Array3::from_shape_fn(shape_of(&noise["shape"]), |(z, y, x)| {
            u8::from(hashed(z, y, x, every).is_multiple_of(every as u32))
        });
        assert_eq!(
            checksum(mask.iter().map(|&inside| inside.into())),
            noise["checksum"].as_u64().unwrap()
        );
        for (name, connectivity) in
            [("faces", Connectivity::Faces), ("corners", Connectivity::Corners)]
        {
            let (found, expected) = (Components::new(mask.view(), connectivity), &noise[name]);
            let sum = checksum(found.labels().iter().map(|&label| label.into()));
            assert_eq!(sum, expected["labels_checksum"].as_u64().unwrap());
            assert_eq!(serde_json::to_value(found.sizes()).unwrap(), expected["sizes"]);
            for (index, component) in found.iter().enumerate() {
                assert_eq!(component.lower, shape_of(&expected["lower"][index]));
                assert_eq!(component.upper, shape_of(&expected["upper"][index]));
                for (axis, centre) in component.centroid().into_iter().enumerate() {
                    assert_near(centre, &expected["centroids"][index][axis], 1e-12);
                }
            }
        }
    }
}

#[test]
fn lesions_and_findings_are_counted_as_by_our_definitions_in_numpy() {
    at_each_threshold(|AtThreshold { at, lesions, prediction, .. }| {
        let measure = |overlap| {
            let config = LesionConfig { overlap, ..LesionConfig::default() };
            config.build().unwrap().measures(lesions, prediction.view()).unwrap()
        };
        let (found, expected) = (measure(OverlapRule::AnyVoxel), &at["any_voxel"]);
        assert_eq!(found.lesions, expected["lesions"].as_u64().unwrap());
        assert_eq!(found.detected, expected["detected"].as_u64().unwrap());
        assert_eq!(found.false_findings, expected["false_findings"].as_u64().unwrap());
        let findings = found.true_findings + found.false_findings;
        assert_eq!(findings, expected["findings"].as_u64().unwrap());
        assert_near(found.f1().unwrap(), &expected["f1"], 1e-15);
        for (rule, name) in [(OverlapRule::Iou(0.25), "iou"), (OverlapRule::Share(0.25), "share")] {
            let (found, expected) = (measure(rule), &at[name]);
            assert_eq!(found.detected, expected["detected"].as_u64().unwrap());
            assert_eq!(found.true_findings, expected["true_findings"].as_u64().unwrap());
        }
    });
}

#[test]
fn surfaces_are_as_far_apart_as_in_monai_and_scipy() {
    at_each_threshold(|AtThreshold { value, at, lesions, prediction }| {
        let found = surface_distances(lesions, prediction.view()).unwrap().unwrap();
        let expected = &at["surface"];
        assert_near(found.hausdorff_95_mm, &expected["scipy_hausdorff_95_mm"], 1e-12);
        assert_near(found.mean_mm, &expected["scipy_mean_mm"], 1e-12);
        // MONAI computes in single precision.
        assert_near(found.hausdorff_95_mm, &expected["hausdorff_95_mm"], 1e-5);
        assert_near(found.hausdorff_mm, &expected["hausdorff_mm"], 1e-5);
        assert_near(found.mean_mm, &expected["mean_mm"], 1e-5);
        let volume = volume_error(lesions, prediction.view()).unwrap();
        let voxels = (volume.predicted_mm3 / lesions.voxel_mm3()).round();
        assert_eq!(voxels, at["predicted_voxels"].as_f64().unwrap());
        assert_eq!(lesions.voxels(), value["lesion_voxels"].as_u64().unwrap());
    });
}

/// PRO of cases together, their voxels ranked in a pool that holds few of them in memory.
fn pooled_pro(cases: &[Case<'_>], limit: f64) -> f64 {
    let mut pool = ScorePoolConfig { budget_bytes: 8000, folder: None }.build();
    let of_case = |case: &Case<'_>| {
        let (scores, labels) = case.voxels();
        pool.add(&scores, &labels).unwrap();
        ProCase::new(&case.lesions(), case.score.view()).unwrap()
    };
    let made: Vec<_> = cases.iter().map(of_case).collect();
    pro(&pool.rank().unwrap(), &made, limit).unwrap()
}

#[test]
fn overlap_of_regions_is_that_of_anomalib_and_of_its_definition_in_numpy() {
    let fixture = fixture();
    let cases = cases(&fixture);
    for (name, limit) in [("0.05", 0.05), ("0.3", 0.3), ("1.0", 1.0)] {
        for case in cases.chunks(1) {
            let found = pooled_pro(case, limit);
            assert_near(found, &case[0].value["pro"][name], 1e-12);
            // anomalib computes in single precision, and knows no mask.
            if case[0].brain.is_none() {
                assert_near(found, &case[0].value["anomalib_pro"][name], 1e-6);
            }
        }
        assert_near(pooled_pro(&cases, limit), &fixture["pooled_pro"][name], 1e-12);
    }
}

#[test]
fn the_curve_is_that_of_components_found_anew_at_every_threshold() {
    let fixture = fixture();
    let config = LesionConfig { overlap: OverlapRule::AnyVoxel, ..LesionConfig::default() };
    let matcher = config.build().unwrap();
    let cases = cases(&fixture);
    let of_case = |case: &Case<'_>| matcher.froc_case(&case.lesions(), case.score.view()).unwrap();
    let made: Vec<_> = cases.iter().map(of_case).collect();
    let curve = froc(&made).unwrap();
    let found: Vec<(f64, f64, f64)> = curve
        .points
        .iter()
        .map(|point| {
            let false_findings = (point.false_positives_per_scan * curve.scans as f64).round();
            let detected = (point.sensitivity * curve.lesions as f64).round();
            (point.threshold.into(), false_findings, detected)
        })
        .collect();
    let expected: Vec<(f64, f64, f64)> =
        serde_json::from_value(fixture["froc_points"].clone()).unwrap();
    assert_eq!(found, expected);
}

#[test]
fn sensitivities_of_isolated_marks_are_those_of_monai() {
    let fixture = fixture();
    let marks = &fixture["marks"];
    let matcher = LesionConfig::default().build().unwrap();
    let made = (0..3).map(|seed| {
        let mut label = Array3::<u8>::zeros((1, 9, 21));
        let mut score = Array3::<f32>::zeros((1, 9, 21));
        for index in 0..40 {
            let at = [0, 1 + 2 * (index % 4), 1 + 2 * (index / 4)];
            score[at] = (1 + (index * 37 + seed * 11) % 101 + seed * 101) as f32 / 512.0;
            label[at] = u8::from(drawn(index, 1, seed, 3) == 0);
        }
        let sum = checksum(score.iter().map(|score| (score * 512.0) as u64));
        assert_eq!(sum, marks["checksums"][seed].as_u64().unwrap());
        let lesions = Lesions::new(label.view(), None, [1.0; 3]).unwrap();
        matcher.froc_case(&lesions, score.view()).unwrap()
    });
    let made: Vec<_> = made.collect();
    let curve = froc(&made).unwrap();
    let rates: Vec<f64> = serde_json::from_value(marks["rates"].clone()).unwrap();
    assert_eq!(curve.lesions, marks["lesions"].as_u64().unwrap());
    assert_near(curve.mean_sensitivity(&rates).unwrap(), &marks["mean_sensitivity"], 1e-12);
}

/// Bars along x, by start and length.
fn bars(lengths: &[(usize, usize)]) -> Array3<u8> {
    let mut mask = Array3::zeros((1, 1, 24));
    for &(start, length) in lengths {
        (start..start + length).for_each(|x| mask[[0, 0, x]] = 1);
    }
    mask
}

#[test]
fn lesions_are_counted_in_their_bins_and_small_ones_left_out() {
    // Lesions of 10, 20, 30 and 40 mm³; findings on all but the third, one on nothing.
    let label = bars(&[(1, 1), (5, 2), (10, 3), (16, 4)]);
    let prediction = bars(&[(1, 1), (6, 1), (17, 2), (22, 1)]);
    let lesions = Lesions::new(label.view(), None, [10.0, 1.0, 1.0]).unwrap();
    let bins = SizeBins::new(vec![20.0, 40.0]).unwrap();
    let measure = |smallest_lesion_mm3, smallest_finding_mm3| {
        let overlap = OverlapRule::default();
        let bins = bins.clone();
        let config = LesionConfig { overlap, bins, smallest_lesion_mm3, smallest_finding_mm3 };
        config.build().unwrap().measures(&lesions, prediction.view()).unwrap()
    };
    let all = measure(0.0, 0.0);
    let by_size: Vec<_> = all.by_size.iter().map(|bin| (bin.lesions, bin.detected)).collect();
    assert_eq!(by_size, [(1, 1), (2, 1), (1, 1)]);
    assert_eq!((all.recall(), all.precision()), (Some(0.75), Some(0.75)));
    assert_eq!(all.f1(), Some(6.0 / 8.0));
    // A finding on a lesion that is too small to count is neither true nor false.
    let greater = measure(15.0, 0.0);
    let by_size: Vec<_> = greater.by_size.iter().map(|bin| bin.lesions).collect();
    assert_eq!((by_size, greater.lesions, greater.detected), (vec![0, 2, 1], 3, 2));
    assert_eq!((greater.true_findings, greater.false_findings), (2, 1));
    // Findings of one voxel are removed, and what they found is missed.
    let removed = measure(0.0, 15.0);
    assert_eq!((removed.detected, removed.true_findings, removed.false_findings), (1, 1, 0));
}

#[test]
fn a_finding_of_more_than_ten_times_its_lesion_is_false_and_the_lesion_missed() {
    let label = bars(&[(5, 1)]);
    let lesions = Lesions::new(label.view(), None, [1.0; 3]).unwrap();
    let measure = |overlap, length| {
        let config = LesionConfig { overlap, ..LesionConfig::default() };
        let prediction = bars(&[(2, length)]);
        let found = config.build().unwrap().measures(&lesions, prediction.view()).unwrap();
        (found.detected, found.true_findings, found.false_findings)
    };
    assert_eq!(measure(OverlapRule::Share(0.1), 10), (1, 1, 0));
    assert_eq!(measure(OverlapRule::Share(0.1), 11), (0, 0, 1));
    assert_eq!(measure(OverlapRule::AnyVoxel, 11), (1, 1, 0));
}

#[test]
fn a_smallest_volume_of_ten_voxels_keeps_ten_voxels() {
    let mask = bars(&[(1, 10), (14, 9)]);
    let matcher = |smallest_lesion_mm3, smallest_finding_mm3| {
        let rules = LesionConfig::default();
        let config = LesionConfig { smallest_lesion_mm3, smallest_finding_mm3, ..rules };
        config.build().unwrap()
    };
    for edge_mm in [0.7, f64::from(0.7_f32)] {
        let lesions = Lesions::new(mask.view(), None, [edge_mm; 3]).unwrap();
        let found = matcher(3.43, 0.0).measures(&lesions, mask.view()).unwrap();
        assert_eq!((found.lesions, found.detected, found.true_findings), (1, 1, 1));
        let found = matcher(0.0, 3.43).measures(&lesions, mask.view()).unwrap();
        assert_eq!((found.lesions, found.detected, found.true_findings), (2, 1, 1));
    }
}

#[test]
fn nothing_predicted_or_nothing_to_find_leaves_measures_undefined() {
    let (none, some) = (bars(&[]), bars(&[(3, 2)]));
    let matcher = LesionConfig::default().build().unwrap();
    let of = |label: &Array3<u8>, prediction: &Array3<u8>| {
        let lesions = Lesions::new(label.view(), None, [1.0; 3]).unwrap();
        let found = matcher.measures(&lesions, prediction.view()).unwrap();
        let distances = surface_distances(&lesions, prediction.view()).unwrap();
        let volume = volume_error(&lesions, prediction.view()).unwrap();
        (found.recall(), found.precision(), found.f1(), distances.is_some(), volume.relative())
    };
    assert_eq!(of(&none, &none), (None, None, None, false, None));
    assert_eq!(of(&some, &none), (Some(0.0), None, Some(0.0), false, Some(-1.0)));
    assert_eq!(of(&none, &some), (None, Some(0.0), Some(0.0), false, None));
    assert_eq!(of(&some, &some), (Some(1.0), Some(1.0), Some(1.0), true, Some(0.0)));
}

#[test]
fn curves_without_lesions_or_healthy_voxels_are_errors() {
    let score = Array3::from_shape_fn((1, 1, 24), |(_, _, x)| x as f32);
    let made = |label: &Array3<u8>| {
        let lesions = Lesions::new(label.view(), None, [1.0; 3]).unwrap();
        let case = LesionConfig::default().build().unwrap();
        let case = case.froc_case(&lesions, score.view()).unwrap();
        let ranked = RankedScores::new(score.as_slice().unwrap(), label.as_slice().unwrap());
        (case, ranked.unwrap(), ProCase::new(&lesions, score.view()).unwrap())
    };
    let (healthy, all) = (made(&bars(&[])), made(&bars(&[(0, 24)])));
    let message = froc([&healthy.0]).unwrap_err().to_string();
    assert!(message.starts_with("FROC is undefined: none of the 24"), "{message}");
    assert!(froc([]).is_err());
    let of = |ranked, case, limit| pro(ranked, [case], limit).unwrap_err().to_string();
    assert!(of(&healthy.1, &healthy.2, 0.3).starts_with("PRO is undefined: none of the 24"));
    assert!(of(&all.1, &all.2, 0.3).starts_with("PRO is undefined: all of the 24"));
    assert!(
        of(&all.1, &healthy.2, 0.3).starts_with("24 lesion voxels were ranked, the cases have 0")
    );
    for limit in [0.0, -0.3, 1.1, f64::NAN] {
        assert!(of(&all.1, &all.2, limit).starts_with("a limit of"));
    }
    // A healthy scan counts as a scan, and the lesions of another are found beside it.
    assert_eq!(froc([&healthy.0, &all.0]).unwrap().scans, 2);
}

#[test]
fn a_map_that_is_the_same_everywhere_detects_nothing() {
    let label = bars(&[(3, 2)]);
    let lesions = Lesions::new(label.view(), None, [1.0; 3]).unwrap();
    let case = LesionConfig::default().build().unwrap();
    let case = case.froc_case(&lesions, Array3::zeros((1, 1, 24)).view()).unwrap();
    assert_eq!(froc([&case]).unwrap().sensitivity_at(8.0), 0.0);
}

#[test]
fn measures_are_the_same_on_any_number_of_threads() {
    let fixture = fixture();
    let measure = || {
        let made = cases(&fixture).into_iter().map(|case| {
            let lesions = case.lesions();
            let prediction = lesions.predicted(case.score.view(), 0.25).unwrap();
            let matcher = LesionConfig::default().build().unwrap();
            let curve = froc([&matcher.froc_case(&lesions, case.score.view()).unwrap()]).unwrap();
            let distances = surface_distances(&lesions, prediction.view()).unwrap();
            drop(lesions);
            (curve, distances, pooled_pro(&[case], 0.3))
        });
        made.collect::<Vec<_>>()
    };
    let on = |threads| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(measure)
    };
    assert_eq!(on(1), on(5));
}
