//! The weights of a network as named arrays: drawn from a key, read from a file, written to one.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use disyre_core::ndarray::{ArrayD, ArrayViewD, ArrayViewMutD, Axis};
use disyre_core::{Key, KeyRng, rand::RngExt};
use rayon::prelude::*;

use crate::files::{Arrays, arrays_in, read_arrays, write_arrays, write_arrays_as};
use crate::network::Network;
use crate::{DiffusionError, UNetConfig};

/// The weights of a network: arrays by name, in PyTorch's shapes and the names of the diffusers library.
///
/// ```
/// use disyre_core::Key;
/// use disyre_diffusion::{Parameters, UNetConfig};
///
/// let network = UNetConfig { channels: vec![32, 64], attention_levels: vec![], ..UNetConfig::default() };
/// let parameters = Parameters::seeded(&network, Key::new(1))?;
/// let weight = parameters.get("conv_in.weight").expect("the first convolution");
/// assert_eq!(weight.shape(), [32, 1, 3, 3]); // (output, input, y, x)
/// # Ok::<(), disyre_diffusion::DiffusionError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Parameters {
    network: UNetConfig,
    /// Contiguous, first axis slowest.
    arrays: BTreeMap<String, ArrayD<f32>>,
}

impl Parameters {
    /// Fresh parameters: PyTorch's default initialisation, drawn from `key`, each array from its own name.
    ///
    /// # Errors
    /// [`DiffusionError::Config`] for an impossible network.
    ///
    /// # Source
    /// As the published code leaves it to PyTorch: weights and biases of convolutions and linear layers
    /// U(−1/sqrt(fan in), 1/sqrt(fan in)), normalisations 1 and 0. The generator is ours.
    pub fn seeded(network: &UNetConfig, key: Key) -> Result<Self, DiffusionError> {
        let declared = declared(network)?;
        let shapes: HashMap<&str, &[usize]> =
            declared.iter().map(|(name, shape)| (name.as_str(), &shape[..])).collect();
        let draw = |(name, shape): &(String, Vec<usize>)| {
            let rng = key.child(name.as_str()).rng();
            let values = Init::of(name, &shapes).draw(shape.iter().product(), rng);
            (name.clone(), array(shape, values))
        };
        let arrays: Vec<_> = declared.par_iter().map(draw).collect();
        Ok(Self { network: network.clone(), arrays: arrays.into_iter().collect() })
    }

    /// Reads a safetensors file: our own, or one written by the diffusers library for the same network.
    ///
    /// # Errors
    /// [`DiffusionError::OtherNetwork`] naming the first array that is missing, of another shape, or not the network's.
    pub fn load(network: &UNetConfig, path: &Path) -> Result<Self, DiffusionError> {
        Self::from_arrays(network, read_arrays(path)?, path)
    }

    /// Takes the bytes of a safetensors file, such as one that is part of the program; errors name `path`.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn from_bytes(
        network: &UNetConfig,
        bytes: &[u8],
        path: &Path,
    ) -> Result<Self, DiffusionError> {
        Self::from_arrays(network, arrays_in(bytes, path)?, path)
    }

    /// Takes arrays that were read from `path`.
    pub(crate) fn from_arrays(
        network: &UNetConfig,
        mut found: Arrays,
        path: &Path,
    ) -> Result<Self, DiffusionError> {
        let other = |name: &str, problem: String| DiffusionError::OtherNetwork {
            path: path.to_path_buf(),
            name: name.to_owned(),
            problem,
        };
        let mut arrays = BTreeMap::new();
        for (name, shape) in declared(network)? {
            let array = found.remove(&name).ok_or_else(|| other(&name, "is missing".into()))?;
            if array.shape() != shape {
                let problem = format!("has shape {:?}, expected {shape:?}", array.shape());
                return Err(other(&name, problem));
            }
            arrays.insert(name, array);
        }
        match found.keys().min() {
            Some(name) => Err(other(name, "is not a tensor of this network".into())),
            None => Ok(Self { network: network.clone(), arrays }),
        }
    }

    /// Writes a safetensors file that [`load`](Self::load) and the diffusers library read.
    ///
    /// # Errors
    /// [`DiffusionError::File`].
    pub fn save(&self, path: &Path) -> Result<(), DiffusionError> {
        let arrays = self.arrays.iter().map(|(name, array)| (name.clone(), array.clone()));
        write_arrays(path, arrays.collect(), ("format", "pt".to_owned()))
    }

    /// Writes a safetensors file of half the size: every number is rounded to 16 bits, 11 of them significant.
    ///
    /// [`load`](Self::load) reads it back as numbers of 32 bits.
    ///
    /// # Errors
    /// [`DiffusionError::File`].
    pub fn save_half(&self, path: &Path) -> Result<(), DiffusionError> {
        let arrays = self.arrays.iter().map(|(name, array)| (name.clone(), array.clone()));
        write_arrays_as(path, arrays.collect(), ("format", "pt".to_owned()), true)
    }

    /// The network that they belong to.
    pub fn network(&self) -> &UNetConfig {
        &self.network
    }

    /// An array by its name; none if the network has no such parameter.
    pub fn get(&self, name: &str) -> Option<ArrayViewD<'_, f32>> {
        self.arrays.get(name).map(|array| array.view())
    }

    /// An array by its name, to be changed in place.
    pub fn get_mut(&mut self, name: &str) -> Option<ArrayViewMutD<'_, f32>> {
        self.arrays.get_mut(name).map(|array| array.view_mut())
    }

    /// Names and arrays, sorted by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, ArrayViewD<'_, f32>)> {
        self.arrays.iter().map(|(name, array)| (name.as_str(), array.view()))
    }

    /// Names, shapes and numbers, sorted by name.
    #[cfg(feature = "candle")]
    pub(crate) fn slices(&self) -> impl Iterator<Item = (&str, &[usize], &[f32])> {
        self.arrays.iter().map(|(name, array)| {
            (name.as_str(), array.shape(), array.as_slice().expect("arrays are contiguous"))
        })
    }

    /// The parameters of the same network with more channels that go out: theirs are 0.
    pub(crate) fn with_outputs(mut self, outputs: usize) -> Self {
        let more = outputs.saturating_sub(self.network.out_channels);
        for name in ["conv_out.weight", "conv_out.bias"] {
            let array = self.arrays.get_mut(name).expect("every network has this convolution");
            let mut shape = array.shape().to_vec();
            shape[0] = more;
            array.append(Axis(0), ArrayD::zeros(shape).view()).expect("shapes differ in one axis");
        }
        self.network.out_channels += more;
        self
    }

    /// Number of trainable numbers.
    pub fn count(&self) -> usize {
        self.arrays.values().map(ArrayD::len).sum()
    }
}

/// An array of these values, first axis slowest.
///
/// # Panics
/// If there are not as many values as the shape says.
pub(crate) fn array(shape: &[usize], values: Vec<f32>) -> ArrayD<f32> {
    ArrayD::from_shape_vec(shape, values).expect("as many values as the shape says")
}

/// Name and shape of every parameter of a network.
fn declared(network: &UNetConfig) -> Result<Vec<(String, Vec<usize>)>, DiffusionError> {
    network.ensure_valid()?;
    let network = Network::new(network);
    let entries = network.layout().entries().iter();
    Ok(entries.map(|entry| (entry.name.clone(), entry.shape.clone())).collect())
}

/// The initial values of a parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Init {
    /// U(−bound, bound).
    Uniform {
        bound: f64,
    },
    Constant(f32),
}

impl Init {
    /// PyTorch's default for convolutions and linear layers, whose weights have at least two axes: Kaiming uniform with
    /// a = sqrt(5) is U(−1/sqrt(fan in), 1/sqrt(fan in)), for weight and bias. Normalisations begin with 1 and 0.
    fn of(name: &str, shapes: &HashMap<&str, &[usize]>) -> Self {
        let layer = name.strip_suffix(".bias");
        let weight = layer.map_or_else(|| name.to_owned(), |layer| format!("{layer}.weight"));
        match (shapes[weight.as_str()], layer) {
            ([_, inputs @ ..], _) if !inputs.is_empty() => {
                Self::Uniform { bound: 1.0 / (inputs.iter().product::<usize>() as f64).sqrt() }
            }
            (_, Some(_)) => Self::Constant(0.0),
            (_, None) => Self::Constant(1.0),
        }
    }

    fn draw(self, count: usize, mut rng: KeyRng) -> Vec<f32> {
        match self {
            Self::Uniform { bound } => {
                let (low, width) = (-bound as f32, (2.0 * bound) as f32);
                (0..count).map(|_| rng.random::<f32>().mul_add(width, low)).collect()
            }
            Self::Constant(value) => vec![value; count],
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
        parameters.get(name).unwrap().iter().copied().collect()
    }

    #[test]
    fn the_published_network_has_the_published_number_of_parameters() {
        let declared = declared(&UNetConfig::default()).unwrap();
        let count = |(_, shape): &(String, Vec<usize>)| shape.iter().product::<usize>();
        assert_eq!(declared.iter().map(count).sum::<usize>(), 26_296_929);
    }

    #[test]
    fn equal_keys_give_equal_weights_and_others_do_not() {
        let seeded = |seed| Parameters::seeded(&tiny(), Key::new(seed)).unwrap();
        let name = "conv_out.weight";
        assert_eq!(values(&seeded(1), name), values(&seeded(1), name));
        assert_ne!(values(&seeded(1), name), values(&seeded(2), name));
    }

    #[test]
    fn a_file_of_16_bits_is_half_as_large_and_as_near_as_they_allow() {
        let folder = tempfile::tempdir().unwrap();
        let [whole, half] = ["whole", "half"].map(|name| folder.path().join(name));
        let parameters = Parameters::seeded(&tiny(), Key::new(4)).unwrap();
        parameters.save(&whole).unwrap();
        parameters.save_half(&half).unwrap();
        let [whole_bytes, half_bytes] = [&whole, &half].map(|path| std::fs::read(path).unwrap());
        assert!(half_bytes.len() < whole_bytes.len() * 6 / 10);
        let read = Parameters::from_bytes(&tiny(), &half_bytes, &half).unwrap();
        assert_eq!(read, Parameters::load(&tiny(), &half).unwrap());
        for ((name, stored), (_, exact)) in read.iter().zip(parameters.iter()) {
            for (stored, exact) in stored.iter().zip(&exact) {
                // Half a unit in the eleventh place; below 2⁻¹⁴ the steps no longer shrink.
                let bound = (exact.abs() / 2048.0).max(3e-8);
                assert!((stored - exact).abs() <= bound, "{name}: {stored} {exact}");
            }
        }
        assert!(Parameters::from_bytes(&tiny(), &half_bytes[..100], &half).is_err());
    }

    #[test]
    fn weights_fill_the_interval_of_their_fan_in_and_norms_start_at_one() {
        let parameters = Parameters::seeded(&tiny(), Key::new(3)).unwrap();
        let bound = 1.0 / (16.0f32 * 9.0).sqrt();
        for name in ["weight", "bias"] {
            let values = values(&parameters, &format!("mid_block.resnets.0.conv1.{name}"));
            let greatest = values.iter().fold(0.0f32, |max, w| max.max(w.abs()));
            assert!(greatest <= bound && greatest > 0.8 * bound, "{greatest} of {bound}");
        }
        assert!(values(&parameters, "conv_norm_out.weight").iter().all(|&w| w == 1.0));
        assert!(values(&parameters, "conv_norm_out.bias").iter().all(|&w| w == 0.0));
    }

    #[test]
    fn weights_drawn_from_a_key_are_those_of_earlier_versions() {
        let parameters = Parameters::seeded(&tiny(), Key::new(3).child("weights")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        parameters.save(&path).unwrap();
        // Of the file that a training with seed 3 left before its first change, when candle told names and shapes; files
        // had no hash of their tensors then.
        let expected = "14d3b466847fba20a0bafd5e6639879d0d426d394769f66d3d00d5d3c21fd2c5";
        let bytes = crate::files::without_hash(&std::fs::read(&path).unwrap());
        assert_eq!(disyre_core::sha256_of_bytes(&bytes), expected);
        assert_eq!(Parameters::load(&tiny(), &path).unwrap(), parameters);
    }
}
