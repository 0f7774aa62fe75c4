//! The first method against every other one on the same cases.

use disyre_score::{compare_paired, holm};

use super::{Comparison, Evaluator, Measure, MethodReport};
use crate::Error;

/// Measures that methods are compared by: one family of tests each.
const COMPARED: [Measure; 3] = [Measure::Ap, Measure::BestDice, Measure::OthersDice];

/// Compares the first method with the others that were measured, by cases that have a value of both.
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
            let cases = first.cases.iter().zip(&other.cases);
            let pairs = cases.filter_map(|(a, b)| Some((a.get(measure)?, b.get(measure)?)));
            let (a, b): (Vec<f64>, Vec<f64>) = pairs.unzip();
            if a.len() < 2 {
                continue;
            }
            let key = evaluator.key().child("comparison").child(other.name.as_str());
            let key = key.child(measure.name());
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
