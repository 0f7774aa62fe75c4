//! Shares and quantiles.

/// Part of a whole; none of nothing.
pub(crate) fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Quantile of ascending values, at least one, linear between ranks: the default of NumPy, SciPy and PyTorch.
pub(crate) fn quantile(ascending: &[f64], share: f64) -> f64 {
    let rank = share.clamp(0.0, 1.0) * (ascending.len() - 1) as f64;
    let (low, high) = (ascending[rank.floor() as usize], ascending[rank.ceil() as usize]);
    low + (high - low) * rank.fract()
}
