//! A network of one's own on candle tensors, trained with this workspace's CPU operations: it learns to smooth noise.

use candle_core::{DType, Device, Result, Tensor, Var};
use disyre_kernels::candle::{conv2d, group_norm, squared_error};
use disyre_kernels::{ConvKind, Cpu, GroupNorm};

/// Steps of training, and the size of one along the gradient.
const STEPS: usize = 60;
const RATE: f64 = 0.1;

/// Two 3×3 convolutions, with a group normalisation and SiLU between them.
struct Network {
    cpu: Cpu,
    first: (Var, Var),
    norm: (Var, Var),
    last: (Var, Var),
}

impl Network {
    fn new(device: &Device) -> Result<Self> {
        let conv = |inputs, outputs| -> Result<(Var, Var)> {
            let weight = (noise(outputs, [3, 3, inputs, outputs], device)? / 2.0)?;
            Ok((Var::from_tensor(&weight)?, Var::zeros(outputs, DType::F32, device)?))
        };
        let norm = (Var::ones(8, DType::F32, device)?, Var::zeros(8, DType::F32, device)?);
        Ok(Self { cpu: Cpu::default(), first: conv(1, 8)?, norm, last: conv(8, 1)? })
    }

    /// `x` and the result are (n, h, w, 1).
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (cpu, kind) = (&self.cpu, ConvKind::Conv3x3);
        let h = conv2d(cpu, kind, x, &self.first.0, &self.first.1, None)?;
        let norm = GroupNorm { groups: 4, epsilon: 1e-5 };
        let h = group_norm(cpu, norm, true, &h, &self.norm.0, &self.norm.1)?;
        conv2d(cpu, kind, &h, &self.last.0, &self.last.1, None)
    }

    fn variables(&self) -> [&Var; 6] {
        let Self { first, norm, last, .. } = self;
        [&first.0, &first.1, &norm.0, &norm.1, &last.0, &last.1]
    }
}

/// Numbers from −1 to 1 without a pattern.
fn noise(seed: usize, dims: [usize; 4], device: &Device) -> Result<Tensor> {
    let number = |i: usize| ((i + 10_000 * seed) as f64 * 12.9898).sin() * 43_758.545_3;
    let numbers =
        (0..dims.iter().product()).map(|i| (2.0 * number(i).rem_euclid(1.0) - 1.0) as f32);
    Tensor::from_iter(numbers, device)?.reshape(&dims)
}

/// Noise (4, 16, 16, 1), and its mean over 3×3 pixels.
fn pair(step: usize, device: &Device) -> Result<(Tensor, Tensor)> {
    let noise = noise(step, [4, 16, 16, 1], device)?;
    let mean = (Tensor::ones((3, 3, 1, 1), DType::F32, device)? / 9.0)?;
    let zero = Tensor::zeros(1, DType::F32, device)?;
    let smooth = conv2d(&Cpu::default(), ConvKind::Conv3x3, &noise, &mean, &zero, None)?;
    Ok((noise, smooth))
}

fn main() -> Result<()> {
    let device = Device::Cpu;
    let network = Network::new(&device)?;
    let mut losses = [0.0; STEPS];
    for (step, of_step) in losses.iter_mut().enumerate() {
        let (x, target) = pair(step, &device)?;
        let loss = squared_error(&network.cpu, &network.forward(&x)?, &target)?;
        let gradients = loss.backward()?;
        for variable in network.variables() {
            let gradient = gradients.get(variable).expect("every variable is used");
            variable.set(&(variable.as_tensor() - (gradient * RATE)?)?)?;
        }
        *of_step = loss.to_scalar::<f32>()?;
    }
    let mean = |losses: &[f32]| losses.iter().sum::<f32>() / losses.len() as f32;
    let (start, end) = (mean(&losses[..5]), mean(&losses[STEPS - 5..]));
    println!("the loss fell from {start:.4} to {end:.4}");
    assert!(end < start / 2.0, "training does not lower the loss");
    Ok(())
}
