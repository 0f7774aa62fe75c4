//! Normalisation and doubling against their plain forms, against finite differences, and against themselves on other
//! numbers of threads.

mod common;

use candle_core::{DType, Result, Tensor, Var};
use common::{assert_close, gradients, on_pools, var};
use disyre_kernels::{group_norm, group_norm_silu, reference, upsample_nearest2};
use proptest::prelude::*;

type Norm = fn(&Tensor, &Tensor, &Tensor, usize, f64) -> Result<Tensor>;

/// Each fast form beside its plain one.
const NORMS: [(Norm, Norm); 2] =
    [(group_norm, reference::group_norm), (group_norm_silu, reference::group_norm_silu)];

fn variables(dims: [usize; 4]) -> Result<Vec<Var>> {
    Ok(vec![var(&dims, 1)?, var(&[dims[1]], 2)?, var(&[dims[1]], 3)?])
}

fn normalise(norm: Norm, v: &[Var], groups: usize) -> Result<Tensor> {
    norm(&v[0], &v[1], &v[2], groups, 1e-5)
}

fn assert_same(ours: &Tensor, plain: &Tensor, variables: &[Var]) -> Result<()> {
    assert_close(ours, plain, 1e-4)?;
    for (ours, plain) in gradients(ours, variables)?.iter().zip(gradients(plain, variables)?) {
        assert_close(ours, &plain, 1e-4)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn normalisations_agree_with_their_plain_forms(
        n in 1..4usize, groups in 1..5usize, per_group in 1..5usize, h in 2..12usize, w in 2..12usize,
    ) {
        let variables = variables([n, groups * per_group, h, w]).unwrap();
        for (ours, plain) in NORMS {
            let [ours, plain] = [ours, plain].map(|norm| normalise(norm, &variables, groups).unwrap());
            assert_same(&ours, &plain, &variables).unwrap();
        }
    }

    #[test]
    fn doubling_agrees_with_its_plain_form(n in 1..4usize, c in 1..5usize, h in 1..9usize, w in 1..9usize) {
        let x = vec![var(&[n, c, h, w], 4).unwrap()];
        let (ours, plain) = (upsample_nearest2(&x[0]).unwrap(), reference::upsample_nearest2(&x[0]).unwrap());
        assert_same(&ours, &plain, &x).unwrap();
    }
}

#[test]
fn gradients_agree_with_finite_differences() -> Result<()> {
    for (ours, _) in NORMS {
        common::assert_gradients_are_differences(&variables([2, 4, 3, 5])?, |v| {
            normalise(ours, v, 2)
        })?;
    }
    Ok(())
}

#[test]
fn results_and_gradients_have_the_same_bits_for_any_number_of_threads() -> Result<()> {
    for (ours, _) in NORMS {
        on_pools(|| {
            let variables = variables([3, 16, 9, 11])?;
            let y = upsample_nearest2(&normalise(ours, &variables, 4)?)?;
            let mut all = gradients(&y, &variables)?;
            all.push(y);
            Ok(all)
        })?;
    }
    Ok(())
}

#[test]
fn a_constant_group_becomes_its_bias() -> Result<()> {
    let dims = [1, 2, 3, 3];
    let x = Tensor::full(7.5f32, &dims, &candle_core::Device::Cpu)?;
    let (weight, bias) = (var(&[2], 1)?, var(&[2], 2)?);
    let y = group_norm(&x, weight.as_tensor(), bias.as_tensor(), 1, 1e-5)?;
    let expected = bias.reshape((1, 2, 1, 1))?.broadcast_as(&dims)?;
    assert_close(&y, &expected, 1e-6)
}

#[test]
fn other_types_take_the_plain_form() -> Result<()> {
    let v = variables([1, 4, 3, 3])?;
    let wide: Vec<Tensor> = v.iter().map(|t| t.to_dtype(DType::F64)).collect::<Result<_>>()?;
    let y = group_norm_silu(&wide[0], &wide[1], &wide[2], 2, 1e-5)?;
    assert_eq!(y.dtype(), DType::F64);
    assert_close(&y.to_dtype(DType::F32)?, &normalise(group_norm_silu, &v, 2)?, 1e-5)
}

#[test]
fn errors_say_what_was_expected() -> Result<()> {
    let v = variables([1, 6, 2, 2])?;
    let message = normalise(group_norm, &v, 4).unwrap_err().to_string();
    assert!(message.contains("6 channels cannot be split into 4 equal groups"), "{message}");
    let message =
        group_norm(&v[0], var(&[5], 1)?.as_tensor(), &v[2], 2, 1e-5).unwrap_err().to_string();
    assert!(message.contains("the weight has shape [5], expected [6]"), "{message}");
    Ok(())
}
