//! Lesions of phantoms: kinds, shapes and intensities.

use disyre_core::Key;
use disyre_core::rand::{Rng, RngExt};
use noise::{Fbm, NoiseFn, Perlin};

use super::anatomy::{Anatomy, fractal, mix, norm, soft};

/// Kind of a phantom's lesion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LesionKind {
    /// A mass that pushes tissue aside: dark core, bright rim, dark oedema around it.
    Tumour,
    /// A region of cortex and white matter that lost its tissue and turned to fluid.
    Stroke,
    /// Several small dark spots in the white matter around the ventricles.
    Sclerosis,
}

impl LesionKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Tumour, Self::Stroke, Self::Sclerosis];
}

/// A lesion as one or several warped balls that replace tissue.
#[derive(Debug)]
pub(super) struct Lesion {
    kind: LesionKind,
    balls: Vec<Ball>,
    warp: Fbm<Perlin>,
}

#[derive(Debug)]
struct Ball {
    centre: [f64; 3],
    radius: f64,
}

impl Lesion {
    pub(super) fn draw(kind: LesionKind, anatomy: &Anatomy, key: Key) -> Self {
        let mut rng = key.rng();
        let (count, radii, depth) = match kind {
            LesionKind::Tumour => (1, 0.2..0.34, 0.3..0.65),
            LesionKind::Stroke => (1, 0.25..0.4, 0.1..0.3),
            LesionKind::Sclerosis => (rng.random_range(4..9), 0.07..0.12, 0.4..0.65),
        };
        let ball = |_| Ball {
            centre: point_at_depth(anatomy, depth.clone(), &mut rng),
            radius: rng.random_range(radii.clone()),
        };
        let balls = (0..count).map(ball).collect();
        Self { kind, balls, warp: fractal(&mut rng, 3, 2.5) }
    }

    /// Former place of the tissue now at `point`: a tumour pushes its surroundings outwards.
    pub(super) fn undo_mass_effect(&self, point: [f64; 3]) -> [f64; 3] {
        if self.kind != LesionKind::Tumour {
            return point;
        }
        let Ball { centre, radius } = self.balls[0];
        let offset = [0, 1, 2].map(|d| point[d] - centre[d]);
        let distance = norm(offset) / radius;
        // Tissue at distance d came from d·(1 − s): s falls from 0.3 at the mass to 0 at 2.2 radii.
        let squeeze = 0.3 * soft(1.6 - distance, 0.6) * soft(distance, 0.3);
        [0, 1, 2].map(|d| centre[d] + offset[d] * (1.0 - squeeze))
    }

    /// Intensity with the lesion, and whether the point counts as lesion.
    pub(super) fn intensity(&self, point: [f64; 3], healthy: f64) -> (f64, bool) {
        // 1 in a ball's centre, 0 at its warped surface.
        let inside = self
            .balls
            .iter()
            .map(|ball| 1.0 - norm([0, 1, 2].map(|d| point[d] - ball.centre[d])) / ball.radius)
            .fold(f64::NEG_INFINITY, f64::max)
            + 0.5 * self.warp.get(point);
        let value = match self.kind {
            LesionKind::Tumour => tumour(inside, healthy),
            LesionKind::Stroke => mix(healthy, 0.25, soft(inside, 0.12)),
            LesionKind::Sclerosis => mix(healthy, 0.52, soft(inside, 0.25)),
        };
        (value, inside > 0.0)
    }
}

/// Oedema (dark) at the surface, a bright rim further in, a dark core.
fn tumour(inside: f64, healthy: f64) -> f64 {
    let oedema = mix(healthy, 0.6 * healthy, soft(inside, 0.15));
    let rim = mix(oedema, 0.95, soft(inside - 0.35, 0.08));
    mix(rim, 0.3, soft(inside - 0.55, 0.08))
}

fn point_at_depth(anatomy: &Anatomy, depth: std::ops::Range<f64>, rng: &mut impl Rng) -> [f64; 3] {
    let mut candidate = || anatomy.place([0; 3].map(|_| rng.random_range(-0.8..0.8)));
    // The shell of that depth fills over a tenth of the box: 200 draws miss it once in 10⁹.
    let mut point = candidate();
    for _ in 0..200 {
        let clear = anatomy.ventricles(point) < -0.2;
        if depth.contains(&anatomy.depth(point)) && clear {
            break;
        }
        point = candidate();
    }
    point
}
