//! The first method against every other one on the same cases.

use disyre_score::{compare_paired, holm};

use super::{CaseReport, Comparison, Evaluator, Measure, MethodReport};
use crate::Error;

/// Measures that methods are compared by: one family of tests each.
const COMPARED: [Measure; 3] = [Measure::Ap, Measure::BestDice, Measure::OthersDice];

/// Compares the first method with the others that were measured, by subjects with a case that has a value of both.
///
/// # Errors
/// [`Error::Score`]: none but of values that are not finite.
pub fn compare_methods(
    evaluator: &Evaluator,
    methods: &[MethodReport],
) -> Result<Vec<Comparison>, Error> {
    let Some((first, others)) = methods.split_first() else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    for measure in COMPARED {
        let mut family = Vec::new();
        for other in others.iter().filter(|other| other.not_measured.is_none()) {
            let (a, b) = by_subject(evaluator, measure, first, other);
            if a.len() < 2 {
                continue;
            }
            let key = evaluator.key().child("comparison").child(measure.name());
            let paired = compare_paired(key, &a, &b, evaluator.bootstrap())?;
            let (a, b) = (first.name.clone(), other.name.clone());
            family.push(Comparison { a, b, measure, paired, p_holm: 1.0 });
        }
        let p: Vec<f64> = family.iter().map(|comparison| comparison.paired.p).collect();
        for (comparison, p_holm) in family.iter_mut().zip(holm(&p)) {
            comparison.p_holm = p_holm;
        }
        all.extend(family);
    }
    Ok(all)
}

/// The mean of both methods over the cases of each subject.
fn by_subject(
    evaluator: &Evaluator,
    measure: Measure,
    a: &MethodReport,
    b: &MethodReport,
) -> (Vec<f64>, Vec<f64>) {
    let cases = a.cases.iter().zip(&b.cases);
    let pair = |(a, b): (&CaseReport, &CaseReport)| Some((a.get(measure)?, b.get(measure)?));
    let pairs: Vec<Option<(f64, f64)>> = cases.map(pair).collect();
    let both = (0..pairs.len()).filter(|&case| pairs[case].is_some());
    let named = both.map(|case| (case, a.cases[case].name.as_str()));
    let mean = |cases: Vec<usize>| {
        let values = cases.iter().filter_map(|&case| pairs[case]);
        let (a, b) = values.fold((0.0, 0.0), |sum, pair| (sum.0 + pair.0, sum.1 + pair.1));
        (a / cases.len() as f64, b / cases.len() as f64)
    };
    evaluator.config().by_subject(named).into_iter().map(mean).unzip()
}
