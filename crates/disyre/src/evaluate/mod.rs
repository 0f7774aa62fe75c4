//! Anomaly maps measured against lesion masks: by case, over all cases, by lesion size, and method against method.
//!
//! [`Evaluator::measure`] measures one map; [`MethodEvaluation`] takes the maps of a method one after another and keeps
//! none; [`evaluate()`] does so for maps in memory. [`intensity_maps`] and [`AtlasDetector`](crate::AtlasDetector) are
//! the methods that learn nothing.

mod case_truth;
mod comparison;
mod evaluator;
mod intensity;
mod measure;
mod method;
mod protocol;
mod report;
mod scores;
mod summary;

use disyre_core::ndarray::Array3;

pub use case_truth::CaseTruth;
pub use comparison::compare_methods;
pub use evaluator::{EvaluateConfig, Evaluator, MeasuredMap, TopVoxels};
pub use intensity::intensity_maps;
pub use measure::{Measure, Measures, OperatingPoint};
pub use method::{MethodEvaluation, SecondRound};
pub use protocol::measure_by_protocol;
pub use report::{
    CaseFacts, CaseReport, Comparison, Estimate, EvaluationReport, FailedCase, FrocSummary,
    ImageLevelReport, MethodReport,
};
pub use scores::read_scores;

use crate::Error;

/// Measures the maps of one method, all in memory.
///
/// ```
/// use disyre::core::ndarray::array;
/// use disyre::{CaseTruth, EvaluateConfig, Measure, evaluate};
///
/// let label = array![[[0, 0, 1]]]; // (z, y, x)
/// let truth = CaseTruth { name: "sub-01".into(), label, brain: None, spacing_mm: [1.0; 3] };
/// let report = evaluate("ours", &[(truth, array![[[0.1, 0.2, 0.9]]])], &EvaluateConfig::default().build()?)?;
/// assert_eq!(report.pooled[&Measure::Ap].value, 1.0);
/// assert_eq!(report.cases[0].get(Measure::Pro), Some(1.0));
/// # Ok::<(), disyre::Error>(())
/// ```
///
/// # Errors
/// [`Error::Case`] naming a case with a score that is not finite, without a healthy voxel, or with a map of another shape.
///
/// # Source
/// AP and ⌈Dice⌉ as in DISYRE v2 (arXiv 2407.06635), section 3, over every voxel and every distinct score; for the
/// published protocol see [`measure_by_protocol`].
pub fn evaluate(
    name: &str,
    cases: &[(CaseTruth, Array3<f32>)],
    evaluator: &Evaluator,
) -> Result<MethodReport, Error> {
    let first = MethodEvaluation::new(name, "maps in memory", evaluator);
    let mut first = first.of_cases(cases.len());
    for (truth, map) in cases {
        let measured = evaluator.measure(truth, map.view()).map_err(Error::case(&truth.name))?;
        first.add(measured)?;
    }
    let mut second = first.second_round()?;
    for (truth, map) in cases {
        second.add(truth, map.view()).map_err(Error::case(&truth.name))?;
    }
    second.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(name: &str, scores: &[f32], labels: &[u8]) -> (CaseTruth, Array3<f32>) {
        let shape = [1, 1, scores.len()];
        let label = Array3::from_shape_vec(shape, labels.to_vec()).unwrap();
        let truth = CaseTruth { name: name.into(), label, brain: None, spacing_mm: [1.0; 3] };
        (truth, Array3::from_shape_vec(shape, scores.to_vec()).unwrap())
    }

    fn run(cases: &[(CaseTruth, Array3<f32>)]) -> Result<MethodReport, Error> {
        evaluate("ours", cases, &EvaluateConfig::default().build().unwrap())
    }

    #[test]
    fn cases_are_measured_alone_and_together() {
        // Each case is perfect alone; together the second's lesion (0.3) ranks below the first's background (0.5).
        let cases = [case("a", &[0.5, 0.9], &[0, 1]), case("b", &[0.1, 0.3], &[0, 1])];
        let report = run(&cases).unwrap();
        let ap: Vec<_> = report.cases.iter().map(|case| case.get(Measure::Ap)).collect();
        assert_eq!(ap, [Some(1.0); 2]);
        assert!((report.pooled[&Measure::Ap].value - (1.0 + 2.0 / 3.0) / 2.0).abs() < 1e-12);
        assert_eq!(report.per_volume[&Measure::Ap].value, 1.0);
        assert_eq!(report.pooled[&Measure::Prevalence].value, 0.5);
    }

    #[test]
    fn a_healthy_case_counts_for_false_positives_and_for_whole_scans_alone() {
        let cases = [
            case("a", &[0.5, 0.1, 0.9], &[0, 0, 1]),
            case("b", &[0.1, 0.2, 0.8], &[0, 0, 1]),
            case("healthy", &[0.1, 0.85, 0.1], &[0, 0, 0]),
        ];
        let report = run(&cases).unwrap();
        let healthy = &report.cases[2];
        assert_eq!((healthy.get(Measure::Ap), healthy.get(Measure::Prevalence)), (None, Some(0.0)));
        assert_eq!(healthy.get(Measure::OthersFalsePositives), Some(1.0));
        assert_eq!(report.per_volume[&Measure::Ap].cases, 2);
        let by_max = report.image_level.iter().find(|found| found.score == Measure::MaxScore);
        assert_eq!(by_max.unwrap().auroc.value, 0.5);
        assert_eq!(report.lesions[&OperatingPoint::OtherCases].scans, 3);
    }

    #[test]
    fn one_case_has_no_threshold_of_others_and_no_interval() {
        let report = run(&[case("a", &[0.5, 0.1, 0.9], &[0, 0, 1])]).unwrap();
        assert_eq!(report.cases[0].get(Measure::OthersDice), None);
        let ap = report.pooled[&Measure::Ap];
        assert_eq!((ap.value, ap.low, ap.high), (1.0, None, None));
    }

    #[test]
    fn a_case_without_a_healthy_voxel_is_named() {
        let cases = [case("a", &[0.5, 0.9], &[0, 1]), case("sub-07", &[0.1, 0.3], &[1, 1])];
        let error = run(&cases).unwrap_err();
        assert!(matches!(error, Error::Case { case, .. } if case == "sub-07"));
    }

    /// Six cases that differ; scores are 64ths, whose means are exact.
    fn six_cases(name: impl Fn(usize) -> String) -> Vec<(CaseTruth, Array3<f32>)> {
        let scores = |shift: usize| -> Vec<f32> {
            (0..60).map(|i| ((i * 37 + shift * 11) % 60 + shift) as f32 / 64.0).collect()
        };
        let labels: Vec<u8> = (0..60).map(|i| u8::from(i % 7 == 0)).collect();
        (0..6).map(|i| case(&name(i), &scores(i), &labels)).collect()
    }

    #[test]
    fn cases_of_one_subject_are_drawn_together() {
        // Two equal sessions of each subject tell nothing more than one.
        let once = six_cases(|i| format!("sub-{i}"));
        let twice = [1, 2].map(|session| six_cases(|i| format!("sub-{i}_ses-{session}"))).concat();
        let (alone, both) = (run(&once).unwrap(), run(&twice).unwrap());
        let [a, b] = [&alone, &both].map(|report| report.per_volume[&Measure::MaxScore]);
        assert!(a.low < Some(a.value) && Some(a.value) < a.high);
        assert_eq!((a.value, a.low, a.high), (b.value, b.low, b.high));
        assert_eq!((a.cases, b.cases), (6, 12));
        let darker: Vec<_> =
            twice.iter().map(|(truth, map)| (truth.clone(), map.mapv(|value| -value))).collect();
        let evaluator = EvaluateConfig::default().build().unwrap();
        let others = run(&darker).unwrap();
        let compared = compare_methods(&evaluator, &[both, others]).unwrap();
        assert_eq!(compared[0].paired.cases, 6);
    }

    #[test]
    fn intervals_depend_on_the_seed_and_not_on_the_name_of_the_method() {
        let cases = six_cases(|i| i.to_string());
        let report = run(&cases).unwrap();
        let renamed = evaluate("theirs", &cases, &EvaluateConfig::default().build().unwrap());
        let renamed = renamed.unwrap();
        assert_eq!((&report.pooled, &report.per_volume), (&renamed.pooled, &renamed.per_volume));
        assert_eq!(report, run(&cases).unwrap());
        let config = EvaluateConfig { seed: 1, ..EvaluateConfig::default() };
        let other = evaluate("ours", &cases, &config.build().unwrap()).unwrap();
        let [a, b] = [&report, &other].map(|report| report.per_volume[&Measure::Ap]);
        assert_eq!(a.value, b.value);
        assert_ne!((a.low, a.high), (b.low, b.high));
        assert!(a.low.unwrap() < a.value && a.value < a.high.unwrap());
    }
}
