//! [`Wave`]: smooth random fields are sums of plane waves.

use disyre_core::KeyRng;
use disyre_core::rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

/// A plane wave, in millimetres from an origin: the middle of a head's brain, or of a patch.
///
/// # Source
/// Ours: a sum of a few waves of drawn length and direction is a smooth random field that can be evaluated at any point,
/// so that a slice costs a slice.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wave {
    /// Amplitudes along `(z, y, x)` of a displacement; of a scalar field only the first counts.
    pub amplitude: [f64; 3],
    /// Advance of the phase along `(z, y, x)`, in radians per millimetre.
    pub frequency: [f64; 3],
    /// Phase at the origin, in radians.
    pub phase: f64,
}

/// The size of a wave that is drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Size {
    /// Standard deviation of amplitude · 2π / wavelength.
    Slope(f64),
    /// Standard deviation of the amplitude.
    Height(f64),
}

impl Wave {
    /// A wave of random direction and phase, its length between two bounds, evenly by its logarithm.
    pub(crate) fn draw(rng: &mut KeyRng, wavelength_mm: [f64; 2], size: Size) -> Self {
        let [least, greatest] = wavelength_mm.map(f64::ln);
        let number = std::f64::consts::TAU / rng.random_range(least..=greatest).exp();
        let deviation = match size {
            Size::Slope(slope) => slope / number,
            Size::Height(height) => height,
        };
        let mut normals = || std::array::from_fn(|_| StandardNormal.sample(rng));
        let direction: [f64; 3] = normals();
        let amplitude = normals().map(|normal: f64| deviation * normal);
        let length = direction.iter().map(|v| v * v).sum::<f64>().sqrt().max(1e-9);
        let phase = rng.random_range(0.0..std::f64::consts::TAU);
        Self { amplitude, frequency: direction.map(|v| v / length * number), phase }
    }
}

/// The sum of waves at a point.
pub(crate) fn sum(waves: &[Wave], point: [f64; 3]) -> [f64; 3] {
    let mut sums = [0.0; 3];
    for wave in waves {
        let angle: f64 = (0..3).map(|axis| wave.frequency[axis] * point[axis]).sum();
        let sine = (angle + wave.phase).sin();
        sums.iter_mut().zip(wave.amplitude).for_each(|(sum, amplitude)| *sum += amplitude * sine);
    }
    sums
}
