//! The transformations of tiles, one block of channels at a time.

use crate::lanes::{BLOCK, Vectors};

/// `Bᵀ d B`: see [`WinogradTiling::transform`](super::WinogradTiling::transform).
#[inline(always)]
pub(super) fn input<V: Vectors, const READ: usize>(
    lanes: V,
    panel: &[f32],
    pitch: usize,
    out: &mut [f32],
    plane: usize,
) {
    assert!(panel.len() >= ((READ - 1) * pitch + READ) * BLOCK);
    assert!(out.len() >= (READ * READ - 1) * plane + BLOCK);
    for first in (0..BLOCK).step_by(V::COUNT) {
        let mut rows = [[lanes.zero(); READ]; READ];
        for column in 0..READ {
            let mut d = [lanes.zero(); READ];
            for (row, d) in d.iter_mut().enumerate() {
                // SAFETY: as just asserted, `READ` rows of `READ` positions lie within the panel.
                *d = unsafe {
                    lanes.load(panel.as_ptr().add((row * pitch + column) * BLOCK + first))
                };
            }
            rows.iter_mut().zip(differences(lanes, d)).for_each(|(row, d)| row[column] = d);
        }
        for (row, values) in rows.into_iter().enumerate() {
            for (column, value) in differences(lanes, values).into_iter().enumerate() {
                let at = (READ * row + column) * plane + first;
                // SAFETY: as asserted, `out` has a block of each matrix.
                unsafe { lanes.store(value, out.as_mut_ptr().add(at)) }
            }
        }
    }
}

/// `Bᵀ d`.
#[inline(always)]
fn differences<V: Vectors, const READ: usize>(lanes: V, d: [V::Vector; READ]) -> [V::Vector; READ] {
    let of = |factor: f32, a, b| lanes.fma(lanes.constant(factor), a, b);
    let mut out = d;
    match READ {
        3 => {
            out[0] = lanes.sub(d[0], d[1]);
            out[2] = lanes.sub(d[1], d[2]);
        }
        4 => {
            out[0] = lanes.sub(d[0], d[2]);
            out[1] = lanes.add(d[1], d[2]);
            out[2] = lanes.sub(d[2], d[1]);
            out[3] = lanes.sub(d[1], d[3]);
        }
        _ => {
            let (even, odd) = (of(-4.0, d[2], d[4]), of(-4.0, d[1], d[3]));
            let (outer, inner) = (lanes.sub(d[4], d[2]), lanes.sub(d[3], d[1]));
            out[0] = of(4.0, lanes.sub(d[0], d[2]), outer);
            out[1] = lanes.add(even, odd);
            out[2] = lanes.sub(even, odd);
            out[3] = of(2.0, inner, outer);
            out[4] = of(-2.0, inner, outer);
            out[5] = of(-4.0, inner, lanes.sub(d[5], d[3]));
        }
    }
    out
}

/// `Aᵀ m A`: see [`WinogradTiling::output`](super::WinogradTiling::output).
#[inline(always)]
pub(super) fn output<V: Vectors, const READ: usize, const SIDE: usize>(
    lanes: V,
    sums: &[f32],
    plane: usize,
    out: &mut [f32],
    row: usize,
) {
    assert!(sums.len() >= (READ * READ - 1) * plane + V::COUNT);
    assert!(out.len() >= (SIDE * SIDE - 1) * row + V::COUNT);
    let mut rows = [[lanes.zero(); READ]; SIDE];
    for column in 0..READ {
        let mut m = [lanes.zero(); READ];
        for (row, m) in m.iter_mut().enumerate() {
            // SAFETY: as just asserted, a vector of each matrix lies within the sums.
            *m = unsafe { lanes.load(sums.as_ptr().add((READ * row + column) * plane)) };
        }
        let m = joined::<V, READ, SIDE>(lanes, m);
        rows.iter_mut().zip(m).for_each(|(row, m)| row[column] = m);
    }
    for (y, values) in rows.into_iter().enumerate() {
        for (x, value) in joined::<V, READ, SIDE>(lanes, values).into_iter().enumerate() {
            // SAFETY: as asserted, `out` has a vector of each pixel.
            unsafe { lanes.store(value, out.as_mut_ptr().add((SIDE * y + x) * row)) }
        }
    }
}

/// `A y Aᵀ`: see [`WinogradTiling::transform_gradient`](super::WinogradTiling::transform_gradient).
#[inline(always)]
pub(super) fn transform_gradient<V: Vectors, const READ: usize, const SIDE: usize>(
    lanes: V,
    panel: &[f32],
    pixel: impl Fn(usize, usize) -> Option<usize>,
    out: &mut [f32],
    plane: usize,
) {
    assert!(out.len() >= (READ * READ - 1) * plane + BLOCK);
    for first in (0..BLOCK).step_by(V::COUNT) {
        let mut rows = [[lanes.zero(); SIDE]; READ];
        for column in 0..SIDE {
            let mut y = [lanes.zero(); SIDE];
            for (row, y) in y.iter_mut().enumerate() {
                if let Some(at) = pixel(row, column) {
                    let values = &panel[at + first..][..V::COUNT];
                    // SAFETY: it has a vector's length.
                    *y = unsafe { lanes.load(values.as_ptr()) };
                }
            }
            let y = times_a::<V, READ, SIDE>(lanes, y);
            rows.iter_mut().zip(y).for_each(|(row, y)| row[column] = y);
        }
        for (row, values) in rows.into_iter().enumerate() {
            let values = times_a::<V, READ, SIDE>(lanes, values);
            for (column, value) in values.into_iter().enumerate() {
                let at = (READ * row + column) * plane + first;
                // SAFETY: as asserted, `out` has a block of each matrix.
                unsafe { lanes.store(value, out.as_mut_ptr().add(at)) }
            }
        }
    }
}

/// `A y`.
#[inline(always)]
fn times_a<V: Vectors, const READ: usize, const SIDE: usize>(
    lanes: V,
    y: [V::Vector; SIDE],
) -> [V::Vector; READ] {
    let of = |factor: f32, a, b| lanes.fma(lanes.constant(factor), a, b);
    let mut out = [y[0]; READ];
    match READ {
        3 => {
            out[1] = lanes.add(y[0], y[1]);
            out[2] = lanes.sub(lanes.zero(), y[1]);
        }
        4 => {
            out[1] = lanes.add(y[0], y[1]);
            out[2] = lanes.sub(y[0], y[1]);
            out[3] = lanes.sub(lanes.zero(), y[1]);
        }
        _ => {
            let (even, odd) = (lanes.add(y[0], y[2]), lanes.add(y[1], y[3]));
            let far = of(4.0, y[2], y[0]);
            let far_odd = of(4.0, y[3], y[1]);
            out[1] = lanes.add(even, odd);
            out[2] = lanes.sub(even, odd);
            out[3] = of(2.0, far_odd, far);
            out[4] = of(-2.0, far_odd, far);
            out[5] = y[3];
        }
    }
    out
}

/// `Aᵀ m`.
#[inline(always)]
fn joined<V: Vectors, const READ: usize, const SIDE: usize>(
    lanes: V,
    m: [V::Vector; READ],
) -> [V::Vector; SIDE] {
    let of = |factor: f32, a, b| lanes.fma(lanes.constant(factor), a, b);
    let mut out = [lanes.zero(); SIDE];
    match READ {
        3 => {
            out[0] = lanes.add(m[0], m[1]);
            out[1] = lanes.sub(m[1], m[2]);
        }
        4 => {
            out[0] = lanes.add(lanes.add(m[0], m[1]), m[2]);
            out[1] = lanes.sub(lanes.sub(m[1], m[2]), m[3]);
        }
        _ => {
            let (near, near_odd) = (lanes.add(m[1], m[2]), lanes.sub(m[1], m[2]));
            let (far, far_odd) = (lanes.add(m[3], m[4]), lanes.sub(m[3], m[4]));
            out[0] = lanes.add(lanes.add(m[0], near), far);
            out[1] = of(2.0, far_odd, near_odd);
            out[2] = of(4.0, far, near);
            out[3] = lanes.add(of(8.0, far_odd, near_odd), m[5]);
        }
    }
    out
}
