//! Synthetic scans: the template moved by known affines, and things that are no brain.
#![allow(dead_code, reason = "each test file uses a part of these")]

use disyre_core::ndarray::Array3;
use disyre_core::rand::RngExt;
use disyre_core::{Affine, Grid, Key, Volume};
use disyre_register::Template;
use disyre_volume::affine::{compose, invert, transform};
use disyre_volume::{Interpolation, resample_to_grid};

/// Change of intensities from those of the template, which are brought to `[0, 1]` first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Contrast {
    pub(crate) gamma: f32,
    /// Bright becomes dark inside the brain, as in T2.
    pub(crate) inverted: bool,
    /// Greatest change of the log intensity by a smooth field.
    pub(crate) bias: f32,
    /// Greatest change by noise.
    pub(crate) noise: f32,
}

/// T1 as it is.
pub(crate) const PLAIN: Contrast = Contrast { gamma: 1.0, inverted: false, bias: 0.0, noise: 0.0 };

/// A grid of `spacing` mm around the world's point `centre`, 220 mm wide.
pub(crate) fn grid_around(centre: [f64; 3], spacing: f64) -> Grid {
    let voxels = (220.0 / spacing) as usize;
    let mut grid = Grid::from_spacing([voxels; 3], [spacing; 3]);
    for (row, centre) in grid.affine.iter_mut().zip(centre) {
        row[3] = centre - spacing * (voxels as f64 - 1.0) / 2.0;
    }
    grid
}

/// The template as a scan whose map from the template is `scan_from_template`.
pub(crate) fn scan(
    template: &Template,
    scan_from_template: &Affine,
    contrast: Contrast,
    key: Key,
) -> Volume {
    let grid = grid_around(transform(scan_from_template, [0.0, -20.0, 10.0]), 2.0);
    let back = invert(scan_from_template).unwrap();
    let moved = Grid { shape: grid.shape, affine: compose(&back, &grid.affine) };
    let data = resample_to_grid(&template.volume, &moved, Interpolation::Linear).unwrap().data;
    let mut rng = key.rng();
    let data = Array3::from_shape_fn(grid.shape, |(z, y, x)| {
        let intensity = (data[[z, y, x]] / 1200.0).min(1.0);
        if intensity < 0.02 {
            return 0.0;
        }
        let place = [z, y, x].map(|i| i as f32 / grid.shape[0] as f32);
        let wave: f32 =
            (0..3).map(|axis| ((axis as f32 + 2.0) * place[axis]).sin()).sum::<f32>() / 3.0;
        let contrasted = intensity.powf(contrast.gamma);
        let contrasted = if contrast.inverted { 1.05 - contrasted } else { contrasted };
        let noise = contrast.noise * (2.0 * rng.random::<f32>() - 1.0);
        (contrasted * (contrast.bias * wave).exp() + noise).max(0.01)
    });
    Volume::new(data, grid).unwrap()
}

/// Median and 95 % quantile of the distance in millimetres between two maps of the template's brain.
pub(crate) fn distances(template: &Template, a: &Affine, b: &Affine) -> [f64; 2] {
    let inside = template.mask.indexed_iter().filter(|(_, inside)| **inside != 0).step_by(7);
    let points = inside.map(|((z, y, x), _)| [x as f64, y as f64, z as f64]);
    let mut all: Vec<f64> = points
        .map(|voxel| transform(&template.volume.grid.affine, voxel))
        .map(|point| (transform(a, point), transform(b, point)))
        .map(|(p, q)| (0..3).map(|d| (p[d] - q[d]).powi(2)).sum::<f64>().sqrt())
        .collect();
    all.sort_by(f64::total_cmp);
    [all[all.len() / 2], all[all.len() * 95 / 100]]
}

/// A rotation of up to `degrees` about each axis and a shift of `shift_mm`, with scales of 0.85 to 1.05 if `sized`.
pub(crate) fn random_affine(key: Key, degrees: f64, shift_mm: f64, sized: bool) -> Affine {
    let mut rng = key.rng();
    let mut spread = move |greatest: f64| greatest * (2.0 * rng.random::<f64>() - 1.0);
    let mut affine = scaled([0; 3].map(|_| if sized { 0.95 + spread(0.1) } else { 1.0 }));
    for axis in 0..3 {
        affine = compose(&turned(axis, spread(degrees)), &affine);
    }
    let direction = [0; 3].map(|_| spread(1.0));
    let length = direction.iter().map(|d| d * d).sum::<f64>().sqrt();
    for (row, direction) in affine.iter_mut().zip(direction) {
        row[3] += shift_mm * direction / length;
    }
    affine
}

pub(crate) fn scaled([x, y, z]: [f64; 3]) -> Affine {
    [[x, 0., 0., 0.], [0., y, 0., 0.], [0., 0., z, 0.], [0., 0., 0., 1.]]
}

/// A rotation about an axis of the world.
pub(crate) fn turned(axis: usize, degrees: f64) -> Affine {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let (a, b) = ((axis + 1) % 3, (axis + 2) % 3);
    let mut affine = scaled([1.0; 3]);
    (affine[a][a], affine[b][b], affine[a][b], affine[b][a]) = (cos, cos, -sin, sin);
    affine
}

/// Noise in the shape of the template's brain.
pub(crate) fn noise(template: &Template, key: Key) -> Volume {
    let mut rng = key.rng();
    let mut volume = template.volume.clone();
    volume.data.zip_mut_with(&template.mask, |value, &inside| {
        *value = f32::from(inside) * (0.1 + rng.random::<f32>());
    });
    volume
}

/// A foot with its ankle: skin and fat bright, muscle grey, bones with dark cortex and bright marrow.
pub(crate) fn foot() -> Volume {
    let grid = Grid::from_spacing([90, 130, 60], [2.0; 3]);
    let data = Array3::from_shape_fn(grid.shape, |(z, y, x)| {
        let [x, y, z] = [x, y, z].map(|index| 2.0 * index as f32);
        // The leg is a cylinder along z, the sole an ellipsoid along y; both are tubes around bones.
        let leg = if z > 55.0 { ((x - 60.0).hypot(y - 60.0)) / 45.0 } else { 9.0 };
        let sole = ((x - 60.0) / 45.0).powi(2) + ((y - 130.0) / 120.0).powi(2);
        let sole = (sole + ((z - 40.0) / 35.0).powi(2)).sqrt();
        let tibia = if z > 45.0 { ((x - 60.0).hypot(y - 55.0)) / 16.0 } else { 9.0 };
        let toes = (((x % 18.0) - 9.0).hypot(z - 42.0)) / 7.0;
        let toes = if y > 120.0 && (20.0..100.0).contains(&x) { toes } else { 9.0 };
        let bone = tibia.min(toes);
        match (leg.min(sole), bone) {
            (outline, _) if outline > 1.0 => 0.0,
            (outline, _) if outline > 0.88 => 0.95,
            (_, bone) if bone < 0.75 => 0.85,
            (_, bone) if bone < 1.0 => 0.08,
            _ => 0.4 + 0.05 * (x / 7.0).sin(),
        }
    });
    Volume::new(data, grid).unwrap()
}

/// The scan with every voxel 0 for which `gone` of its world position holds.
pub(crate) fn without(scan: &Volume, gone: impl Fn([f64; 3]) -> bool) -> Volume {
    let mut left = scan.clone();
    for ((z, y, x), value) in left.data.indexed_iter_mut() {
        if gone(transform(&scan.grid.affine, [x as f64, y as f64, z as f64])) {
            *value = 0.0;
        }
    }
    left
}

/// The scan in a head: dark bone of 6 mm around the brain, bright scalp of 6 mm around that, a neck below, and noise.
pub(crate) fn head(brain: &Volume, key: Key) -> Volume {
    let mut rng = key.rng();
    let mut head = brain.clone();
    let mut shell = brain.data.mapv(|value| value > 0.0);
    for layer in 0..6 {
        let grown = Array3::from_shape_fn(shell.dim(), |(z, y, x)| {
            let near = |axis: usize, step: isize| {
                let mut index = [z, y, x];
                index[axis] = index[axis].saturating_add_signed(step);
                shell.get(index).copied().unwrap_or(false)
            };
            shell[[z, y, x]] || (0..3).any(|axis| near(axis, -1) || near(axis, 1))
        });
        for (value, (&now, &before)) in head.data.iter_mut().zip(grown.iter().zip(&shell)) {
            if now && !before {
                *value = if layer < 3 { 0.08 } else { 0.9 };
            }
        }
        shell = grown;
    }
    let middle = brain.grid.shape.map(|voxels| voxels as f64 / 2.0);
    for ((z, y, x), value) in head.data.indexed_iter_mut() {
        let neck = (x as f64 - middle[2]).hypot(y as f64 - middle[1] + 8.0) < 30.0;
        if *value == 0.0 && neck && (z as f64) < middle[0] - 25.0 {
            *value = 0.45;
        }
        *value += 0.02 * rng.random::<f32>();
    }
    head
}
