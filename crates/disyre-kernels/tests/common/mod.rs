//! What the tests of all operations share.
#![allow(clippy::unwrap_used, reason = "a failure should stop the test")]
#![allow(dead_code, reason = "each test binary uses its own share")]

use candle_core::{DType, Device, Result, Tensor, Var};
use rayon::ThreadPoolBuilder;

/// Numbers in [−0.5, 0.5), the same for the same `seed`.
pub(crate) fn tensor(shape: &[usize], seed: u64) -> Result<Tensor> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
        })
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu)
}

/// A variable of such numbers.
pub(crate) fn var(shape: &[usize], seed: u64) -> Result<Var> {
    Var::from_tensor(&tensor(shape, seed)?)
}

/// The gradients of a fixed weighting of `y` by each of `variables`.
pub(crate) fn gradients(y: &Tensor, variables: &[Var]) -> Result<Vec<Tensor>> {
    let store = (y * tensor(y.dims(), 77)?)?.sum_all()?.backward()?;
    Ok(variables.iter().map(|variable| store.get(variable).unwrap().clone()).collect())
}

/// Fails unless the shapes agree and the values differ by at most `tolerance` times the largest.
pub(crate) fn assert_close(ours: &Tensor, reference: &Tensor, tolerance: f64) -> Result<()> {
    assert_eq!(ours.dims(), reference.dims());
    let values = |tensor: &Tensor| tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
    let (ours, reference) = (values(ours)?, values(reference)?);
    let largest = reference.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
    for (index, (a, b)) in ours.iter().zip(&reference).enumerate() {
        let error = (a - b).abs();
        assert!(error <= tolerance * largest, "element {index}: {a} is not {b} (max {largest})");
    }
    Ok(())
}

/// Runs `compute` on pools of 1, 2 and 5 threads and fails unless all bits agree.
pub(crate) fn on_pools(compute: impl Fn() -> Result<Vec<Tensor>> + Sync) -> Result<()> {
    let bits = |threads| -> Result<Vec<Vec<u32>>> {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let tensors = pool.install(&compute)?;
        let bits = |t: &Tensor| {
            Ok(t.flatten_all()?.to_vec1::<f32>()?.into_iter().map(f32::to_bits).collect())
        };
        tensors.iter().map(bits).collect()
    };
    let one = bits(1)?;
    for threads in [2, 5] {
        assert!(one == bits(threads)?, "{threads} threads give other bits than one");
    }
    Ok(())
}

/// Compares the gradients of `function` with central differences of its values.
pub(crate) fn assert_gradients_are_differences(
    variables: &[Var],
    function: impl Fn(&[Var]) -> Result<Tensor>,
) -> Result<()> {
    let step = 1e-2f32;
    let loss = || -> Result<f64> {
        let y = function(variables)?.to_dtype(DType::F64)?;
        (&y * tensor(y.dims(), 77)?.to_dtype(DType::F64)?)?.sum_all()?.to_scalar::<f64>()
    };
    let analytic = gradients(&function(variables)?, variables)?;
    for (variable, analytic) in variables.iter().zip(analytic) {
        let origin = variable.flatten_all()?.to_vec1::<f32>()?;
        let mut differences = Vec::new();
        for index in 0..origin.len() {
            let moved = |by: f32| -> Result<f64> {
                let mut values = origin.clone();
                values[index] += by;
                variable.set(&Tensor::from_vec(values, variable.shape(), &Device::Cpu)?)?;
                loss()
            };
            differences.push(((moved(step)? - moved(-step)?) / f64::from(2.0 * step)) as f32);
        }
        variable.set(&Tensor::from_vec(origin, variable.shape(), &Device::Cpu)?)?;
        let differences = Tensor::from_vec(differences, variable.shape(), &Device::Cpu)?;
        assert_close(&analytic, &differences, 1e-3)?;
    }
    Ok(())
}
