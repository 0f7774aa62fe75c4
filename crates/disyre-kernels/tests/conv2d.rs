//! The convolution against candle's own, against finite differences, and against itself on other
//! numbers of threads.

mod common;

use candle_core::{DType, Device, Result, Tensor, Var};
use common::{assert_close, gradients, on_pools, tensor, var};
use disyre_kernels::{conv2d, reference};
use proptest::prelude::*;

/// Sizes of a random layer.
#[derive(Clone, Copy, Debug)]
struct Layer {
    items: usize,
    channels: usize,
    outputs: usize,
    height: usize,
    width: usize,
    kernel: usize,
    stride: usize,
    bias: bool,
}

impl Layer {
    /// Input, weight and, if there is one, bias.
    fn variables(&self) -> Result<Vec<Var>> {
        let mut variables = vec![
            var(&[self.items, self.channels, self.height, self.width], 1)?,
            var(&[self.outputs, self.channels, self.kernel, self.kernel], 2)?,
        ];
        if self.bias {
            variables.push(var(&[self.outputs], 3)?);
        }
        Ok(variables)
    }

    fn ours(&self, variables: &[Var]) -> Result<Tensor> {
        conv2d(&variables[0], &variables[1], variables.get(2).map(Var::as_tensor), self.stride)
    }

    fn reference(&self, variables: &[Var]) -> Result<Tensor> {
        let bias = variables.get(2).map(Var::as_tensor);
        reference::conv2d(&variables[0], &variables[1], bias, self.stride)
    }
}

fn layer() -> impl Strategy<Value = Layer> {
    let sizes = (1..4usize, 1..40usize, 1..40usize, 1..20usize, 1..20usize);
    let options = (prop_oneof![Just(1), Just(3)], 1..3usize, any::<bool>());
    (sizes, options).prop_map(
        |((items, channels, outputs, height, width), (kernel, stride, bias))| Layer {
            items,
            channels,
            outputs,
            height,
            width,
            kernel,
            stride,
            bias,
        },
    )
}

/// Layers whose images and weights are cut into several pieces.
const LARGE: [Layer; 4] = [
    Layer {
        items: 3,
        channels: 70,
        outputs: 33,
        height: 45,
        width: 41,
        kernel: 3,
        stride: 1,
        bias: true,
    },
    Layer {
        items: 2,
        channels: 70,
        outputs: 33,
        height: 61,
        width: 64,
        kernel: 3,
        stride: 2,
        bias: true,
    },
    Layer {
        items: 5,
        channels: 40,
        outputs: 300,
        height: 8,
        width: 8,
        kernel: 3,
        stride: 1,
        bias: false,
    },
    Layer {
        items: 1,
        channels: 400,
        outputs: 24,
        height: 30,
        width: 30,
        kernel: 1,
        stride: 1,
        bias: true,
    },
];

fn assert_agrees_with_reference(layer: &Layer) -> Result<()> {
    let variables = layer.variables()?;
    let (ours, reference) = (layer.ours(&variables)?, layer.reference(&variables)?);
    assert_close(&ours, &reference, 1e-4)?;
    for (ours, reference) in
        gradients(&ours, &variables)?.iter().zip(gradients(&reference, &variables)?)
    {
        assert_close(ours, &reference, 1e-4)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn result_and_gradients_agree_with_the_reference(layer in layer()) {
        assert_agrees_with_reference(&layer).unwrap();
    }
}

#[test]
fn large_layers_agree_with_the_reference() -> Result<()> {
    LARGE.iter().try_for_each(assert_agrees_with_reference)
}

#[test]
fn result_and_gradients_have_the_same_bits_for_any_number_of_threads() -> Result<()> {
    for layer in LARGE {
        on_pools(|| {
            let variables = layer.variables()?;
            let y = layer.ours(&variables)?;
            let mut all = gradients(&y, &variables)?;
            all.push(y);
            Ok(all)
        })?;
    }
    Ok(())
}

#[test]
fn an_item_does_not_depend_on_its_batch() -> Result<()> {
    for layer in LARGE {
        let variables = layer.variables()?;
        let whole = layer.ours(&variables)?.get(0)?.flatten_all()?.to_vec1::<f32>()?;
        let bias = variables.get(2).map(Var::as_tensor);
        let alone = conv2d(&variables[0].narrow(0, 0, 1)?, &variables[1], bias, layer.stride)?;
        assert_eq!(whole, alone.flatten_all()?.to_vec1::<f32>()?);
    }
    Ok(())
}

#[test]
fn gradients_agree_with_finite_differences() -> Result<()> {
    let layer = Layer {
        items: 2,
        channels: 2,
        outputs: 3,
        height: 5,
        width: 4,
        kernel: 3,
        stride: 2,
        bias: true,
    };
    common::assert_gradients_are_differences(&layer.variables()?, |variables| layer.ours(variables))
}

#[test]
fn one_pixel_sees_only_the_centre_of_the_kernel() -> Result<()> {
    let x = Tensor::new(&[[[[2.0f32]]]], &Device::Cpu)?;
    let weight = Tensor::arange(0f32, 9.0, &Device::Cpu)?.reshape((1, 1, 3, 3))?;
    let bias = Tensor::new(&[0.5f32], &Device::Cpu)?;
    for stride in [1, 2] {
        let y = conv2d(&x, &weight, Some(&bias), stride)?;
        assert_eq!(y.flatten_all()?.to_vec1::<f32>()?, [8.5]);
    }
    Ok(())
}

#[test]
fn a_transposed_input_gives_the_result_of_its_copy() -> Result<()> {
    let (x, weight) = (tensor(&[2, 3, 6, 5], 4)?.transpose(2, 3)?, tensor(&[4, 3, 3, 3], 5)?);
    let y = conv2d(&x, &weight.transpose(2, 3)?, None, 1)?;
    let copied = conv2d(&x.contiguous()?, &weight.transpose(2, 3)?.contiguous()?, None, 1)?;
    assert_eq!(y.flatten_all()?.to_vec1::<f32>()?, copied.flatten_all()?.to_vec1::<f32>()?);
    assert_close(&y, &reference::conv2d(&x, &weight.transpose(2, 3)?, None, 1)?, 1e-4)
}

#[test]
fn other_types_take_the_reference_form() -> Result<()> {
    let x = tensor(&[1, 2, 4, 4], 6)?.to_dtype(DType::F64)?;
    let weight = tensor(&[3, 2, 3, 3], 7)?.to_dtype(DType::F64)?;
    let y = conv2d(&x, &weight, None, 1)?;
    assert_eq!(y.dtype(), DType::F64);
    assert_close(&y, &reference::conv2d(&x, &weight, None, 1)?, 1e-12)
}

#[test]
fn errors_say_what_was_expected() -> Result<()> {
    let (x, weight) = (tensor(&[1, 2, 8, 8], 8)?, tensor(&[3, 2, 3, 3], 9)?);
    let message = |result: Result<Tensor>| result.unwrap_err().to_string();
    let five = message(conv2d(&x, &tensor(&[3, 2, 5, 5], 1)?, None, 1));
    assert!(five.contains("5x5") && five.contains("3x3"), "{five}");
    let channels = message(conv2d(&x, &tensor(&[3, 4, 3, 3], 1)?, None, 1));
    assert!(channels.contains("2 channels") && channels.contains("expects 4"), "{channels}");
    let bias = message(conv2d(&x, &weight, Some(&tensor(&[2], 1)?), 1));
    assert!(bias.contains("[2]") && bias.contains("[3]"), "{bias}");
    let stride = message(conv2d(&x, &weight, None, 3));
    assert!(stride.contains("stride is 3"), "{stride}");
    let empty = message(conv2d(&x.narrow(0, 0, 0)?, &weight, None, 1));
    assert!(empty.contains("[0, 2, 8, 8]"), "{empty}");
    Ok(())
}
