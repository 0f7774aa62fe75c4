//! The protocols of other papers, which see all cases at once.

use disyre_core::ensure_same_shape;
use disyre_core::ndarray::Array3;
use disyre_score::protocols::{CaseView, Protocol};

use super::{CaseTruth, Evaluator, MethodReport};
use crate::Error;

/// Measures the maps of one method as a paper counts; [`MethodReport::protocol`] has its values.
///
/// All cases and their maps by this method are in memory at once: 5 bytes a voxel, 6 with brain masks. A protocol that
/// pools voxels gathers 5 bytes a voxel beside them, [`Protocol::UadImag`] 8.
///
/// # Shapes and units
/// One map for each case, in the same order, on its grid; `(z, y, x)`.
///
/// ```
/// use disyre::core::ndarray::array;
/// use disyre::score::protocols::Protocol;
/// use disyre::{CaseTruth, EvaluateConfig, measure_by_protocol};
///
/// let label = array![[[0, 0, 1]]]; // (z, y, x)
/// let truth = CaseTruth { name: "sub-01".into(), label, brain: None, spacing_mm: [1.0; 3] };
/// let (truths, maps) = ([truth], [array![[[0.1, 0.2, 0.9]]]]);
/// let evaluator = EvaluateConfig::default().build()?;
/// let report = measure_by_protocol(Protocol::Reference, "ours", &truths, &maps, &evaluator)?;
/// assert_eq!(report.protocol.map(|values| values.protocol.name()), Some("reference"));
/// # Ok::<(), disyre::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] unless there is a map for each case; [`Error::Case`] naming a case whose arrays do not fit; [`Error::Score`] where the protocol is undefined for the cases.
pub fn measure_by_protocol(
    protocol: Protocol,
    name: &str,
    truths: &[CaseTruth],
    maps: &[Array3<f32>],
    evaluator: &Evaluator,
) -> Result<MethodReport, Error> {
    ensure_same_shape("maps", &[truths.len()], &[maps.len()])?;
    let views = truths.iter().zip(maps).map(|(truth, map)| {
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
