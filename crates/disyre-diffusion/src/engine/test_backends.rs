//! Every backend that tests can use here: all instruction sets and precisions of the CPU, and other devices.

use std::fmt;

use disyre_kernels::{Compute, Cpu, Precision};

use super::fused::{Fused, FusedTrainable};
use super::{Engine, Runner, TrainOptions, Trainable};
use crate::golden::devices;
use crate::{Device, Parameters};

/// A backend and its precision.
pub(super) enum TestBackend {
    /// With given instructions.
    Cpu(Compute),
    Device(Device, Precision),
}

/// All instruction sets of the CPU in all their precisions, and the two precisions of every other device.
pub(super) fn test_backends() -> Vec<TestBackend> {
    let mut found: Vec<TestBackend> = Compute::all().into_iter().map(TestBackend::Cpu).collect();
    for device in devices().into_iter().filter(|device| !device.is_cpu()) {
        found.extend(
            [Precision::F32, Precision::Bf16].map(|p| TestBackend::Device(device.clone(), p)),
        );
    }
    found
}

impl fmt::Display for TestBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu(compute) => write!(f, "{compute}"),
            Self::Device(device, precision) => write!(f, "{precision} on {device}"),
        }
    }
}

impl TestBackend {
    pub(super) fn precision(&self) -> Precision {
        match self {
            Self::Cpu(compute) => compute.precision(),
            Self::Device(_, precision) => *precision,
        }
    }

    /// Whether it is the emulator, which would take a minute for the network of the published size.
    pub(super) fn is_emulated(&self) -> bool {
        match self {
            Self::Cpu(_) => false,
            Self::Device(device, _) => device.to_string() == "emulated",
        }
    }

    pub(super) fn runner(&self, parameters: &Parameters) -> Box<dyn Runner> {
        match self {
            Self::Cpu(compute) => Box::new(Fused::new(parameters, Cpu::new(*compute)).unwrap()),
            Self::Device(device, precision) => {
                Engine::Fused(*precision).runner(parameters, device).unwrap()
            }
        }
    }

    pub(super) fn trainable(
        &self,
        parameters: &Parameters,
        training: TrainOptions,
    ) -> Box<dyn Trainable> {
        match self {
            Self::Cpu(compute) => {
                Box::new(FusedTrainable::new(parameters, Cpu::new(*compute), training).unwrap())
            }
            Self::Device(device, precision) => {
                Engine::Fused(*precision).trainable(parameters, device, training).unwrap()
            }
        }
    }
}
