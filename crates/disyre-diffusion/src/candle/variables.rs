//! Parameters as candle variables.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarBuilder;

use super::UNet;
use crate::{DiffusionError, Parameters, UNetConfig};

/// The parameters of a network as candle variables on a device.
///
/// They share their memory with the networks made of them: setting one changes what the network computes.
#[derive(Debug, Clone)]
pub struct Variables {
    network: UNetConfig,
    variables: BTreeMap<String, Var>,
    device: Device,
}

impl Variables {
    /// Copies parameters to a device of candle.
    ///
    /// # Errors
    /// [`DiffusionError::Tensor`] if candle fails.
    pub fn new(parameters: &Parameters, device: &Device) -> Result<Self, DiffusionError> {
        let variable = |(name, shape, values): (&str, &[usize], &[f32])| {
            let tensor = Tensor::from_slice(values, shape, device)?;
            Ok((name.to_owned(), Var::from_tensor(&tensor)?))
        };
        let variables = parameters.slices().map(variable).collect::<Result<_, DiffusionError>>()?;
        Ok(Self { network: parameters.network().clone(), variables, device: device.clone() })
    }

    /// A network whose gradients reach these variables.
    ///
    /// # Errors
    /// [`DiffusionError::Tensor`] if candle fails.
    pub fn trainable_network(&self) -> Result<UNet, DiffusionError> {
        self.over(|var| var.as_tensor().clone())
    }

    /// A network over the same numbers that records nothing for gradients.
    ///
    /// # Errors
    /// [`DiffusionError::Tensor`] if candle fails.
    pub fn frozen_network(&self) -> Result<UNet, DiffusionError> {
        self.over(Var::as_detached_tensor)
    }

    /// Names and variables, sorted by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Var)> {
        self.variables.iter().map(|(name, var)| (name.as_str(), var))
    }

    /// The device that they lie on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The same numbers in variables of their own.
    pub(crate) fn copied(&self) -> Result<Self, DiffusionError> {
        let copy = |(name, var): (&String, &Var)| Ok((name.clone(), Var::from_tensor(var)?));
        let variables = self.variables.iter().map(copy).collect::<Result<_, DiffusionError>>()?;
        Ok(Self { variables, ..self.clone() })
    }

    fn over(&self, tensor: impl Fn(&Var) -> Tensor) -> Result<UNet, DiffusionError> {
        let tensors = self.variables.iter().map(|(name, var)| (name.clone(), tensor(var)));
        let builder = VarBuilder::from_tensors(tensors.collect(), DType::F32, &self.device);
        UNet::new(&self.network, &builder)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use candle_core::Shape;
    use candle_nn::Init;
    use candle_nn::var_builder::SimpleBackend;

    use super::*;

    /// Name and shape of a parameter.
    type Asked = (String, Vec<usize>);

    /// Answers zeros and remembers which parameters were asked for.
    #[derive(Debug, Clone, Default)]
    struct Recorder {
        seen: Arc<Mutex<Vec<Asked>>>,
    }

    impl SimpleBackend for Recorder {
        fn get(
            &self,
            shape: Shape,
            name: &str,
            _: Init,
            dtype: DType,
            device: &Device,
        ) -> candle_core::Result<Tensor> {
            self.seen.lock().unwrap().push((name.to_owned(), shape.dims().to_vec()));
            Tensor::zeros(&shape, dtype, device)
        }

        fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> candle_core::Result<Tensor> {
            candle_core::bail!("the shape of {name} is not known")
        }

        fn contains_tensor(&self, _: &str) -> bool {
            true
        }
    }

    #[test]
    fn the_candle_network_asks_for_the_parameters_that_the_network_declares() {
        let network = UNetConfig::default();
        let recorder = Recorder::default();
        let builder = VarBuilder::from_backend(Box::new(recorder.clone()), DType::F32, Device::Cpu);
        UNet::new(&network, &builder).unwrap();
        let mut asked = std::mem::take(&mut *recorder.seen.lock().unwrap());
        asked.sort();
        let parameters = Parameters::seeded(&network, disyre_core::Key::new(0)).unwrap();
        let declared: Vec<_> = parameters
            .iter()
            .map(|(name, array)| (name.to_owned(), array.shape().to_vec()))
            .collect();
        assert_eq!(asked, declared);
    }
}
