//! The backend of a device, for whatever is made on it.

use disyre_kernels::backend::Backend;
use disyre_kernels::{Compute, Cpu, Precision};

use crate::DiffusionError;
use crate::device::{Device, Opened};

/// Something that is made on any backend.
pub(super) trait OnBackend {
    type Made;

    fn on<B: Backend>(self, backend: B) -> Result<Self::Made, DiffusionError>;
}

/// Makes something on a device that multiplies in `precision`, or in the next more exact one that it has.
pub(super) fn on_backend<W: OnBackend>(
    what: W,
    device: &Device,
    precision: Precision,
) -> Result<W::Made, DiffusionError> {
    match &device.opened {
        Opened::Cpu => what.on(Cpu::new(Compute::new(precision))),
        #[cfg(feature = "cuda")]
        Opened::Cuda(_, gpu) => what.on(disyre_cuda::Cuda::on(gpu, precision)?),
        #[cfg(feature = "cuda-emulation")]
        Opened::Emulated => {
            what.on(disyre_cuda::Cuda::emulated_graphs(Default::default(), precision))
        }
    }
}

/// The same device for candle.
#[cfg(feature = "candle")]
pub(super) fn candle_device(device: &Device) -> Result<candle_core::Device, DiffusionError> {
    match &device.opened {
        Opened::Cpu => Ok(candle_core::Device::Cpu),
        // The library binds the driver at the first use, which panics where it is missing.
        #[cfg(feature = "candle-cuda")]
        Opened::Cuda(number, _) => {
            match std::panic::catch_unwind(|| candle_core::Device::new_cuda(*number)) {
                Ok(opened) => Ok(opened?),
                Err(_) => Err(unusable(device, "the CUDA driver was not found")),
            }
        }
        #[cfg(all(feature = "cuda", not(feature = "candle-cuda")))]
        Opened::Cuda(..) => Err(unusable(
            device,
            "engine plain runs there only in a program built with feature candle-cuda",
        )),
        #[cfg(feature = "cuda-emulation")]
        Opened::Emulated => Err(unusable(device, "engine plain knows no emulator")),
    }
}

#[cfg(all(feature = "candle", any(feature = "cuda", feature = "cuda-emulation")))]
fn unusable(device: &Device, reason: &str) -> DiffusionError {
    DiffusionError::Device { requested: device.to_string(), reason: reason.into() }
}
