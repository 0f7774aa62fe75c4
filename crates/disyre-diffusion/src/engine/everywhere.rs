//! Every way to compute that tests can find on this machine.

use std::fmt;

use disyre_kernels::{Compute, Cpu, Precision};

use super::fused::{Fused, FusedTrainee};
use super::{Engine, Runner, Trainee, Training};
use crate::golden::devices;
use crate::{Device, Parameters};

/// A machine and a precision.
pub(super) enum Way {
    /// With given instructions.
    Cpu(Compute),
    Device(Device, Precision),
}

/// All instruction sets of the processor in all their precisions, and the two precisions of every other device.
pub(super) fn ways() -> Vec<Way> {
    let mut ways: Vec<Way> = Compute::all().into_iter().map(Way::Cpu).collect();
    for device in devices().into_iter().filter(|device| !device.is_cpu()) {
        ways.extend([Precision::F32, Precision::Bf16].map(|p| Way::Device(device.clone(), p)));
    }
    ways
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu(compute) => write!(f, "{compute}"),
            Self::Device(device, precision) => write!(f, "{precision} on {device}"),
        }
    }
}

impl Way {
    pub(super) fn precision(&self) -> Precision {
        match self {
            Self::Cpu(compute) => compute.precision(),
            Self::Device(_, precision) => *precision,
        }
    }

    /// Whether a network of the published size would take a minute.
    pub(super) fn is_slow(&self) -> bool {
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

    pub(super) fn trainee(&self, parameters: &Parameters, training: Training) -> Box<dyn Trainee> {
        match self {
            Self::Cpu(compute) => {
                Box::new(FusedTrainee::new(parameters, Cpu::new(*compute), training).unwrap())
            }
            Self::Device(device, precision) => {
                Engine::Fused(*precision).trainee(parameters, device, training).unwrap()
            }
        }
    }
}
