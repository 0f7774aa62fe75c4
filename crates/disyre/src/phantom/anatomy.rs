//! Anatomy of a phantom: surfaces, ventricles, grey and white matter as functions of a point.

use disyre_core::Key;
use disyre_core::rand::{Rng, RngExt};
use noise::{Fbm, MultiFractal, NoiseFn, Perlin};

/// T1-like intensities relative to white matter.
const CSF: f64 = 0.18;
const CORTEX: f64 = 0.58;
const NUCLEUS: f64 = 0.68;
const WHITE_MATTER: f64 = 1.0;

/// One subject: everything that differs from head to head. Coordinates are `(z, y, x)` in (−1, 1).
#[derive(Debug)]
pub(super) struct Anatomy {
    /// Scanner units of white matter.
    pub(super) gain: f64,
    centre: [f64; 3],
    radii: [f64; 3],
    cortex_depth: f64,
    ventricle: f64,
    contrast: f64,
    outline: Fbm<Perlin>,
    folds: Fbm<Perlin>,
    texture: Fbm<Perlin>,
    bias: Fbm<Perlin>,
}

impl Anatomy {
    pub(super) fn draw(key: Key) -> Self {
        let mut rng = key.rng();
        let mut around =
            |value: f64, spread: f64| value * rng.random_range(1.0 - spread..1.0 + spread);
        let radii = [around(0.88, 0.05), around(0.9, 0.05), around(0.86, 0.05)];
        let (gain, cortex_depth) = (around(800.0, 0.3), around(0.2, 0.15));
        let (ventricle, contrast) = (around(1.0, 0.3), around(1.0, 0.06));
        let centre = [0; 3].map(|_| rng.random_range(-0.03..0.03));
        let outline = fractal(&mut rng, 2, 1.5);
        let folds = fractal(&mut rng, 2, 5.0);
        let texture = fractal(&mut rng, 2, 9.0);
        let bias = fractal(&mut rng, 1, 0.8);
        Self {
            gain,
            centre,
            radii,
            cortex_depth,
            ventricle,
            contrast,
            outline,
            folds,
            texture,
            bias,
        }
    }

    /// Intensity of a point relative to white matter; `None` outside the brain.
    pub(super) fn intensity(&self, point: [f64; 3]) -> Option<f64> {
        let depth = self.depth(point);
        if depth <= 0.0 {
            return None;
        }
        let surface = soft(depth, 0.03);
        let white = soft(depth - self.cortex_depth * (1.0 + 1.4 * self.folds.get(point)), 0.04);
        let mut value = mix(CSF, mix(CORTEX * self.contrast, WHITE_MATTER, white), surface);
        value = mix(value, NUCLEUS * self.contrast, soft(self.nuclei(point), 0.04));
        value = mix(value, CSF, soft(self.fissure(point), 0.02));
        value = mix(value, CSF, soft(self.ventricles(point), 0.04));
        Some(value * (1.0 + 0.06 * self.texture.get(point)))
    }

    /// Smooth field of about (−1, 1) over the head.
    pub(super) fn bias_field(&self, point: [f64; 3]) -> f64 {
        2.0 * self.bias.get(point)
    }

    /// Depth of a point below the brain's surface: 0 at the surface, about 1 in the centre.
    pub(super) fn depth(&self, point: [f64; 3]) -> f64 {
        1.0 - self.radius(point) + 0.12 * self.outline.get(point)
    }

    /// Distance from the centre in units of the brain's radii.
    fn radius(&self, point: [f64; 3]) -> f64 {
        norm([0, 1, 2].map(|d| (point[d] - self.centre[d]) / self.radii[d]))
    }

    /// A point given in units of the brain's radii, mapped into the field of view.
    pub(super) fn place(&self, relative: [f64; 3]) -> [f64; 3] {
        [0, 1, 2].map(|d| self.centre[d] + relative[d] * self.radii[d])
    }

    /// Positive inside the pair of ventricles.
    pub(super) fn ventricles(&self, point: [f64; 3]) -> f64 {
        let [z, y, x] = self.local(point);
        let size = self.ventricle;
        // Front and back horns drift apart from the midline.
        let lateral = 0.12 + 0.12 * y * y / 0.2;
        1.0 - norm([
            (z - 0.12) / (0.2 * size),
            y / (0.42 * size.sqrt()),
            (x.abs() - lateral) / (0.09 * size),
        ])
    }

    fn nuclei(&self, point: [f64; 3]) -> f64 {
        let [z, y, x] = self.local(point);
        1.0 - norm([(z + 0.08) / 0.2, (y - 0.02) / 0.26, (x.abs() - 0.3) / 0.13])
    }

    fn fissure(&self, point: [f64; 3]) -> f64 {
        let [z, _, x] = self.local(point);
        let below_the_roof = self.depth(point) < 0.35 && z > -0.2;
        if below_the_roof { 0.025 - x.abs() } else { -1.0 }
    }

    fn local(&self, point: [f64; 3]) -> [f64; 3] {
        [0, 1, 2].map(|d| (point[d] - self.centre[d]) / self.radii[d])
    }
}

/// Fractal noise of its own seed.
pub(super) fn fractal(rng: &mut impl Rng, octaves: usize, frequency: f64) -> Fbm<Perlin> {
    Fbm::new(rng.random()).set_octaves(octaves).set_frequency(frequency)
}

pub(super) fn norm(vector: [f64; 3]) -> f64 {
    vector.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// A step from 0 to 1 around 0, `width` wide: partial volume at a boundary.
pub(super) fn soft(distance: f64, width: f64) -> f64 {
    let t = (0.5 + distance / (2.0 * width)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

pub(super) fn mix(from: f64, to: f64, share: f64) -> f64 {
    from + (to - from) * share
}
