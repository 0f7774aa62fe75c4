use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Device, Shape, Tensor, Var};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use disyre_core::{Key, KeyRng, rand::RngExt};
use rayon::prelude::*;

use crate::files::{Tensors, read_tensors};
use crate::{DiffusionError, UNet, UNetConfig};

/// The trainable tensors of a network, by name.
///
/// Tensors lie in the processor's memory and share it with the networks made of them, so setting one changes what the
/// network computes.
#[derive(Debug, Clone)]
pub struct Parameters {
    network: UNetConfig,
    vars: BTreeMap<String, Var>,
}

impl Parameters {
    /// Fresh parameters: PyTorch's default initialisation, drawn from `key`, each tensor from its own name.
    ///
    /// # Errors
    /// [`DiffusionError::Config`] for an impossible network.
    ///
    /// # Source
    /// As the published code leaves it to PyTorch: weights and biases of convolutions and linear layers
    /// U(−1/sqrt(fan in), 1/sqrt(fan in)), normalisations 1 and 0. The generator is ours, since candle's has no seed on the CPU.
    pub fn seeded(network: &UNetConfig, key: Key) -> Result<Self, DiffusionError> {
        let declared = declared(network)?;
        let drawn: Vec<Vec<f32>> = declared
            .par_iter()
            .map(|d| draw(d.shape.elem_count(), d.init, key.child(d.name.as_str()).rng()))
            .collect();
        let var = |(d, values): (Declared, Vec<f32>)| {
            Ok((d.name, Var::from_vec(values, d.shape, &Device::Cpu)?))
        };
        let vars =
            declared.into_iter().zip(drawn).map(var).collect::<Result<_, DiffusionError>>()?;
        Ok(Self { network: network.clone(), vars })
    }

    /// Reads a safetensors file: our own, or one written by the diffusers library for the same network.
    ///
    /// # Errors
    /// [`DiffusionError::OtherNetwork`] naming the first tensor that is missing, of another shape, or not the network's.
    pub fn load(network: &UNetConfig, path: &Path) -> Result<Self, DiffusionError> {
        let tensors = read_tensors(path)?;
        Self::from_tensors(network, tensors, path)
    }

    pub(crate) fn from_tensors(
        network: &UNetConfig,
        mut tensors: Tensors,
        path: &Path,
    ) -> Result<Self, DiffusionError> {
        let other = |name: &str, problem: String| DiffusionError::OtherNetwork {
            path: path.to_path_buf(),
            name: name.to_owned(),
            problem,
        };
        let mut vars = BTreeMap::new();
        for Declared { name, shape, .. } in declared(network)? {
            let Some((got, values)) = tensors.remove(&name) else {
                return Err(other(&name, "is missing".into()));
            };
            if got != shape.dims() {
                let problem = format!("has shape {got:?}, expected {:?}", shape.dims());
                return Err(other(&name, problem));
            }
            vars.insert(name, Var::from_vec(values, shape, &Device::Cpu)?);
        }
        match tensors.keys().min() {
            Some(name) => Err(other(name, "is not a tensor of this network".into())),
            None => Ok(Self { network: network.clone(), vars }),
        }
    }

    /// A network whose gradients reach these parameters.
    ///
    /// # Errors
    /// [`DiffusionError`] if the tensor library fails.
    pub fn trainable_network(&self) -> Result<UNet, DiffusionError> {
        self.over(|var| var.as_tensor().clone())
    }

    /// A network over the same numbers that records nothing for gradients.
    ///
    /// # Errors
    /// [`DiffusionError`] if the tensor library fails.
    pub fn frozen_network(&self) -> Result<UNet, DiffusionError> {
        self.over(Var::as_detached_tensor)
    }

    /// The network that they belong to.
    pub fn network(&self) -> &UNetConfig {
        &self.network
    }

    /// The numbers of one tensor, in PyTorch's order.
    ///
    /// # Errors
    /// [`DiffusionError`] if there is no such tensor, or if the tensor library fails.
    pub fn values(&self, name: &str) -> Result<Vec<f32>, DiffusionError> {
        match self.vars.get(name) {
            Some(var) => Ok(var.flatten_all()?.to_vec1()?),
            None => Err(DiffusionError::config("parameter", "a tensor of the network", name)),
        }
    }

    /// The same numbers in tensors of their own on a device of the tensor library.
    pub(crate) fn copied(&self, device: &Device) -> Result<Self, DiffusionError> {
        let copy = |(name, var): (&String, &Var)| {
            let copy = Tensor::from_vec(self.values(name)?, var.shape(), device)?;
            Ok((name.clone(), Var::from_tensor(&copy)?))
        };
        let vars = self.vars.iter().map(copy).collect::<Result<_, DiffusionError>>()?;
        Ok(Self { network: self.network.clone(), vars })
    }

    /// Names and tensors, sorted by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Var)> {
        self.vars.iter().map(|(name, var)| (name.as_str(), var))
    }

    /// Number of trainable numbers.
    pub fn count(&self) -> usize {
        self.vars.values().map(|var| var.elem_count()).sum()
    }

    fn over(&self, tensor: impl Fn(&Var) -> Tensor) -> Result<UNet, DiffusionError> {
        let tensors = self.vars.iter().map(|(name, var)| (name.clone(), tensor(var))).collect();
        let device = self.vars.values().next().map_or(&Device::Cpu, |var| var.device());
        UNet::new(&self.network, &VarBuilder::from_tensors(tensors, DType::F32, device))
    }
}

/// A parameter as the network asks for it.
#[derive(Debug)]
struct Declared {
    name: String,
    shape: Shape,
    init: Init,
}

/// Every parameter of a network, found by building it once over zeros: the network's code alone knows names and shapes.
fn declared(network: &UNetConfig) -> Result<Vec<Declared>, DiffusionError> {
    let recorder = Recorder::default();
    let backend = Box::new(recorder.clone());
    UNet::new(network, &VarBuilder::from_backend(backend, DType::F32, Device::Cpu))?;
    let mut declared = recorder.seen.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(std::mem::take(&mut *declared))
}

#[derive(Debug, Clone, Default)]
struct Recorder {
    seen: Arc<Mutex<Vec<Declared>>>,
}

impl SimpleBackend for Recorder {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        init: Init,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        let tensor = Tensor::zeros(&shape, dtype, device)?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push(Declared { name: name.to_owned(), shape, init });
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> candle_core::Result<Tensor> {
        candle_core::bail!("the shape of {name} is not known")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        true
    }
}

fn draw(count: usize, init: Init, mut rng: KeyRng) -> Vec<f32> {
    match init {
        Init::Uniform { lo, up } => {
            let (lo, width) = (lo as f32, (up - lo) as f32);
            (0..count).map(|_| rng.random::<f32>().mul_add(width, lo)).collect()
        }
        Init::Const(value) => vec![value as f32; count],
        Init::Randn { .. } | Init::Kaiming { .. } => {
            unreachable!("the layers ask for uniform or constant values only")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiny() -> UNetConfig {
        UNetConfig {
            channels: vec![8, 16],
            groups: 4,
            attention_levels: vec![],
            ..UNetConfig::default()
        }
    }

    fn values(parameters: &Parameters, name: &str) -> Vec<f32> {
        parameters.vars[name].flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn the_published_network_has_the_published_number_of_parameters() {
        let shapes = declared(&UNetConfig::default()).unwrap();
        assert_eq!(shapes.iter().map(|d| d.shape.elem_count()).sum::<usize>(), 26_296_929);
    }

    #[test]
    fn equal_keys_give_equal_weights_and_others_do_not() {
        let seeded = |seed| Parameters::seeded(&tiny(), Key::new(seed)).unwrap();
        let name = "conv_out.weight";
        assert_eq!(values(&seeded(1), name), values(&seeded(1), name));
        assert_ne!(values(&seeded(1), name), values(&seeded(2), name));
    }

    #[test]
    fn weights_fill_the_interval_of_their_fan_in_and_norms_start_at_one() {
        let parameters = Parameters::seeded(&tiny(), Key::new(3)).unwrap();
        let weights = values(&parameters, "mid_block.resnets.0.conv1.weight");
        let bound = 1.0 / (16.0f32 * 9.0).sqrt();
        let greatest = weights.iter().fold(0.0f32, |max, w| max.max(w.abs()));
        assert!(greatest <= bound && greatest > 0.99 * bound, "{greatest} of {bound}");
        assert!(values(&parameters, "conv_norm_out.weight").iter().all(|&w| w == 1.0));
        assert!(values(&parameters, "conv_norm_out.bias").iter().all(|&w| w == 0.0));
    }
}
