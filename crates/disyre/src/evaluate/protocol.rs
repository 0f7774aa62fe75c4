//! The protocols of other papers, which see all cases at once.

use disyre_core::ndarray::Array3;
use disyre_score::protocols::{CaseView, Protocol};

use super::{CaseTruth, Evaluator, MethodReport};
use crate::Error;

/// Measures the maps of one method as a paper counts; [`MethodReport::protocol`] has its values.
///
/// All maps are in memory at once: 5 bytes a voxel, 6 with brain masks.
///
/// ```
/// use disyre::core::ndarray::array;
/// use disyre::score::protocols::Protocol;
/// use disyre::{CaseTruth, EvaluateConfig, measure_by_protocol};
///
/// let label = array![[[0, 0, 1]]]; // (z, y, x)
/// let truth = CaseTruth { name: "sub-01".into(), label, brain: None, spacing_mm: [1.0; 3] };
/// let cases = [(truth, array![[[0.1, 0.2, 0.9]]])];
/// let evaluator = EvaluateConfig::default().build()?;
/// let report = measure_by_protocol(Protocol::Reference, "ours", &cases, &evaluator)?;
/// assert_eq!(report.protocol.map(|values| values.protocol.name()), Some("reference"));
/// # Ok::<(), disyre::Error>(())
/// ```
///
/// # Errors
/// [`Error::Case`] naming a case whose arrays do not fit; [`Error::Score`] where the protocol is undefined for the cases.
pub fn measure_by_protocol(
    protocol: Protocol,
    name: &str,
    cases: &[(CaseTruth, Array3<f32>)],
    evaluator: &Evaluator,
) -> Result<MethodReport, Error> {
    let views = cases.iter().map(|(truth, map)| {
        let brain = truth.brain.as_ref().map(|brain| brain.view());
        let view = CaseView::new(map.view(), truth.label.view(), brain);
        view.map_err(|error| Error::case(&truth.name)(error.into()))
    });
    let views = views.collect::<Result<Vec<_>, Error>>()?;
    let values = protocol.measure(evaluator.key(), &views)?;
    let description = "maps in memory".to_owned();
    Ok(MethodReport {
        name: name.to_owned(),
        description,
        protocol: Some(values),
        ..MethodReport::default()
    })
}
