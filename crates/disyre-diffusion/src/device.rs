use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::DiffusionError;

/// A machine that a network computes on. It is opened when a network is put on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// The CUDA device of this number.
    Cuda(usize),
    /// The kernels for CUDA on the processor: slow, for tests.
    #[cfg(feature = "cuda-emulation")]
    Emulated,
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
            #[cfg(feature = "cuda-emulation")]
            Self::Emulated => f.write_str("emulated"),
        }
    }
}

/// Where to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum DeviceRequest {
    /// The first CUDA device if there is one, else the processor.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// The CUDA device of this number.
    Cuda(usize),
    /// The kernels for CUDA on the processor: slow, for tests.
    #[cfg(feature = "cuda-emulation")]
    Emulated,
}

impl fmt::Display for DeviceRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
            #[cfg(feature = "cuda-emulation")]
            Self::Emulated => f.write_str("emulated"),
        }
    }
}

impl From<DeviceRequest> for String {
    fn from(request: DeviceRequest) -> Self {
        request.to_string()
    }
}

impl TryFrom<String> for DeviceRequest {
    type Error = DiffusionError;

    fn try_from(text: String) -> Result<Self, DiffusionError> {
        text.parse()
    }
}

impl FromStr for DeviceRequest {
    type Err = DiffusionError;

    fn from_str(text: &str) -> Result<Self, DiffusionError> {
        let number = |text: &str| text.parse().ok().map(Self::Cuda);
        match text {
            "auto" => Some(Self::Auto),
            "cpu" => Some(Self::Cpu),
            "cuda" => Some(Self::Cuda(0)),
            #[cfg(feature = "cuda-emulation")]
            "emulated" => Some(Self::Emulated),
            other => other.strip_prefix("cuda:").and_then(number),
        }
        .ok_or_else(|| DiffusionError::config("device", "auto, cpu, cuda or cuda:NUMBER", text))
    }
}

/// A device and why it was taken.
#[derive(Debug, Clone)]
pub struct SelectedDevice {
    /// Where the network computes.
    pub device: Device,
    /// One line for people: which device and why.
    pub reason: String,
}

/// Finds the device for a request, without a panic where there is no CUDA.
///
/// # Errors
/// [`DiffusionError::Device`] if a CUDA device was asked for by number and cannot be used.
pub fn select_device(request: DeviceRequest) -> Result<SelectedDevice, DiffusionError> {
    let cpu = |reason| SelectedDevice { device: Device::Cpu, reason };
    let cuda = |number, why| {
        let name = probe(number)?;
        let (device, reason) = (Device::Cuda(number), format!("cuda:{number} ({name}), {why}"));
        Ok(SelectedDevice { device, reason })
    };
    match request {
        DeviceRequest::Cpu => Ok(cpu("processor, as asked for".into())),
        #[cfg(feature = "cuda-emulation")]
        DeviceRequest::Emulated => {
            let reason = "kernels for CUDA on the processor, as asked for".into();
            Ok(SelectedDevice { device: Device::Emulated, reason })
        }
        DeviceRequest::Cuda(number) => cuda(number, "as asked for")
            .map_err(|reason| DiffusionError::Device { requested: request.to_string(), reason }),
        DeviceRequest::Auto => Ok(cuda(0, "the first one")
            .unwrap_or_else(|reason: String| cpu(format!("processor, because {reason}")))),
    }
}

/// Opens a CUDA device and tells its name, or why it cannot be used.
#[cfg(feature = "cuda")]
fn probe(number: usize) -> Result<String, String> {
    let gpu = disyre_cuda::Gpu::open(number).map_err(|error| error.to_string())?;
    Ok(gpu.describe().to_owned())
}

#[cfg(not(feature = "cuda"))]
fn probe(_: usize) -> Result<String, String> {
    Err(WITHOUT_CUDA.into())
}

/// Why no CUDA device can be used by a program without the feature.
#[cfg(not(feature = "cuda"))]
pub(crate) const WITHOUT_CUDA: &str = "this program was built without CUDA";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_survives_its_text() {
        for request in [DeviceRequest::Auto, DeviceRequest::Cpu, DeviceRequest::Cuda(3)] {
            assert_eq!(request.to_string().parse::<DeviceRequest>().unwrap(), request);
        }
        assert!("gpu".parse::<DeviceRequest>().unwrap_err().to_string().contains("cuda:NUMBER"));
    }

    #[test]
    fn the_processor_is_always_there_and_says_so() {
        let selected = select_device(DeviceRequest::Cpu).unwrap();
        assert!(selected.device == Device::Cpu);
        assert_eq!(selected.reason, "processor, as asked for");
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn without_cuda_the_choice_falls_on_the_processor_and_a_demand_is_an_error() {
        let selected = select_device(DeviceRequest::Auto).unwrap();
        assert!(selected.device == Device::Cpu && selected.reason.contains("built without CUDA"));
        let message = select_device(DeviceRequest::Cuda(0)).unwrap_err().to_string();
        assert!(message.starts_with("device cuda:0 cannot be used"), "{message}");
    }
}
