//! The device that a network computes on: asked for as text, opened once, passed to every network.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::DiffusionError;

/// A device that networks compute on, opened once; clones share it.
///
/// ```
/// use disyre_diffusion::{Device, DeviceRequest};
///
/// let device = Device::open(DeviceRequest::Cpu)?;
/// assert_eq!(device.to_string(), "cpu");
/// assert_eq!(device.reason(), "CPU, as asked for");
/// # Ok::<(), disyre_diffusion::DiffusionError>(())
/// ```
#[derive(Debug, Clone)]
#[doc(alias("select_device", "SelectedDevice"))]
pub struct Device {
    pub(crate) opened: Opened,
    reason: Arc<str>,
}

/// The device behind a [`Device`].
#[derive(Debug, Clone)]
pub(crate) enum Opened {
    Cpu,
    /// The CUDA device of this number.
    #[cfg(feature = "cuda")]
    Cuda(usize, disyre_cuda::Gpu),
    /// The CUDA kernels in the emulator.
    #[cfg(feature = "cuda-emulation")]
    Emulated,
}

impl Device {
    /// Opens the device of a request; never panics where there is no CUDA.
    ///
    /// # Errors
    /// [`DiffusionError::Device`] if a CUDA device was asked for by number and cannot be used.
    pub fn open(request: DeviceRequest) -> Result<Self, DiffusionError> {
        match request {
            DeviceRequest::Cpu => Ok(Self::cpu()),
            #[cfg(feature = "cuda-emulation")]
            DeviceRequest::Emulated => {
                Ok(Self::new(Opened::Emulated, "CUDA kernels emulated on the CPU, as asked for"))
            }
            DeviceRequest::Cuda(number) => open_cuda(number, "as asked for").map_err(|reason| {
                DiffusionError::Device { requested: request.to_string(), reason }
            }),
            DeviceRequest::Auto => Ok(open_cuda(0, "the first one").unwrap_or_else(|reason| {
                Self::new(Opened::Cpu, &format!("CPU, because {reason}"))
            })),
        }
    }

    /// The CPU.
    pub fn cpu() -> Self {
        Self::new(Opened::Cpu, "CPU, as asked for")
    }

    /// One line for people: which device it is, and why it was taken.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Whether it is the CPU itself.
    pub fn is_cpu(&self) -> bool {
        matches!(self.opened, Opened::Cpu)
    }

    /// Whether it is a GPU.
    pub fn is_cuda(&self) -> bool {
        #[cfg(feature = "cuda")]
        if let Opened::Cuda(..) = self.opened {
            return true;
        }
        false
    }

    fn new(opened: Opened, reason: &str) -> Self {
        Self { opened, reason: reason.into() }
    }
}

/// The CPU.
impl Default for Device {
    fn default() -> Self {
        Self::cpu()
    }
}

/// As a [`DeviceRequest`] names it: `cpu` or `cuda:NUMBER`.
impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.opened {
            Opened::Cpu => f.write_str("cpu"),
            #[cfg(feature = "cuda")]
            Opened::Cuda(number, _) => write!(f, "cuda:{number}"),
            #[cfg(feature = "cuda-emulation")]
            Opened::Emulated => f.write_str("emulated"),
        }
    }
}

/// The device that someone asks for.
///
/// As text: `auto`, `cpu`, `cuda` or `cuda:NUMBER`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum DeviceRequest {
    /// The first CUDA device if there is one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device of this number.
    Cuda(usize),
    /// The CUDA kernels emulated on the CPU: slow, for tests.
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

/// Opens a CUDA device; the error says why it cannot be used.
#[cfg(feature = "cuda")]
fn open_cuda(number: usize, why: &str) -> Result<Device, String> {
    let gpu = disyre_cuda::Gpu::open(number).map_err(|error| error.to_string())?;
    let reason = format!("{}, {why}", gpu.describe());
    Ok(Device::new(Opened::Cuda(number, gpu), &reason))
}

#[cfg(not(feature = "cuda"))]
fn open_cuda(_: usize, _: &str) -> Result<Device, String> {
    Err("this program was built without CUDA".into())
}

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
    fn the_cpu_is_always_there_and_says_so() {
        let device = Device::open(DeviceRequest::Cpu).unwrap();
        assert!(device.is_cpu() && !device.is_cuda());
        assert_eq!(device.reason(), "CPU, as asked for");
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn without_cuda_the_choice_falls_on_the_cpu_and_a_demand_is_an_error() {
        let device = Device::open(DeviceRequest::Auto).unwrap();
        assert!(device.is_cpu() && device.reason().contains("built without CUDA"));
        let message = Device::open(DeviceRequest::Cuda(0)).unwrap_err().to_string();
        assert!(message.starts_with("device cuda:0 cannot be used"), "{message}");
    }
}
