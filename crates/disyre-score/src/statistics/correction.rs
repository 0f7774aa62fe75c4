//! Correction of p-values where several hypotheses are tested.

/// Holm's adjusted p-values: rejecting those below `α` keeps the probability of any false rejection below `α`.
///
/// The p-values may depend on each other in any manner. Order is kept; a p-value of NaN stays NaN and counts as no test.
///
/// # Source
/// Holm (1979), "A simple sequentially rejective multiple test procedure".
///
/// ```
/// assert_eq!(disyre_score::holm(&[0.01, 0.5, 0.03]), [0.03, 0.5, 0.06]);
/// ```
pub fn holm(p: &[f64]) -> Vec<f64> {
    let order = ascending(p);
    let mut adjusted = vec![f64::NAN; p.len()];
    let mut floor = 0.0_f64;
    for (rank, &index) in order.iter().enumerate() {
        floor = floor.max((order.len() - rank) as f64 * p[index]).min(1.0);
        adjusted[index] = floor;
    }
    adjusted
}

/// Benjamini and Hochberg's adjusted p-values: of those below `q`, a share of at most `q` is expected to be false.
///
/// Holds for p-values that are independent or depend on each other positively. Order is kept; a p-value of NaN stays
/// NaN and counts as no test.
///
/// # Source
/// Benjamini and Hochberg (1995), "Controlling the false discovery rate".
///
/// ```
/// assert_eq!(disyre_score::benjamini_hochberg(&[0.01, 0.5, 0.04]), [0.03, 0.5, 0.06]);
/// ```
pub fn benjamini_hochberg(p: &[f64]) -> Vec<f64> {
    let order = ascending(p);
    let mut adjusted = vec![f64::NAN; p.len()];
    let mut ceiling = 1.0_f64;
    for (rank, &index) in order.iter().enumerate().rev() {
        ceiling = ceiling.min(order.len() as f64 / (rank + 1) as f64 * p[index]);
        adjusted[index] = ceiling;
    }
    adjusted
}

/// Indices of the p-values that are numbers, from the least up.
fn ascending(p: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..p.len()).filter(|&index| !p[index].is_nan()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    order
}
