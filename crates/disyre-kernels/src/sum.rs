//! Sums over pixels in `f64`, in a fixed order that vector units can follow.

/// Partial sums, so that additions need not wait for each other.
const LANES: usize = 16;

/// The sum of `values`.
#[inline(always)]
pub(crate) fn sum(values: &[f32]) -> f64 {
    sum_of([values], |[value]| f64::from(value))
}

/// The sum of `term` over the elements of slices of one length.
#[inline(always)]
pub(crate) fn sum_of<const N: usize>(slices: [&[f32]; N], term: impl Fn([f32; N]) -> f64) -> f64 {
    let len = slices[0].len();
    let slices = slices.map(|slice| &slice[..len]);
    let mut lanes = [0.0; LANES];
    let whole = len - len % LANES;
    for start in (0..whole).step_by(LANES) {
        let block = slices.map(|slice| &slice[start..start + LANES]);
        for (lane, total) in lanes.iter_mut().enumerate() {
            *total += term(block.map(|block| block[lane]));
        }
    }
    for index in whole..len {
        lanes[index - whole] += term(slices.map(|slice| slice[index]));
    }
    lanes.iter().sum()
}
