//! The measure of agreement as a function of the map.

use disyre_core::Affine;
use disyre_volume::affine::{compose, transform};
use rayon::prelude::*;

use crate::Freedom;
use crate::image::Image;
use crate::local_correlation::LocalCorrelation;
use crate::mattes::Mattes;
use crate::maximise::{Evaluation, Limits, maximise};
use crate::pose::Pose;
use crate::samples::Samples;

/// Formula of the agreement of intensities.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Agreement {
    Mattes(Mattes),
    LocalCorrelation(LocalCorrelation),
}

impl Agreement {
    fn evaluate(self, template: &[f32], scan: &[f32], slopes: &mut [f32]) -> f64 {
        match self {
            Self::Mattes(mattes) => mattes.evaluate(template, scan, slopes),
            Self::LocalCorrelation(local) => local.evaluate(template, scan, slopes),
        }
    }
}

/// Agreement of a scan with samples of a template, at one resolution.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Objective<'a> {
    pub(crate) scan: &'a Image,
    /// Above one half where the scan does not count.
    pub(crate) excluded: Option<&'a Image>,
    pub(crate) samples: &'a Samples,
    pub(crate) agreement: Agreement,
}

/// Samples of one task; the sums of the tasks are added in order.
const PIECE: usize = 4096;

/// Least share of the samples that must be known; below, the agreement is scaled down.
const LEAST_KNOWN: f64 = 0.25;

impl Objective<'_> {
    /// The best pose that can be climbed to, and its agreement.
    pub(crate) fn fit(&self, start: &Pose, freedom: Freedom, limits: Limits) -> (Pose, f64) {
        let directions = freedom.directions();
        let top = maximise(directions.len(), limits, |by| {
            let pose = start.moved(&directions, by);
            let (value, by_affine) = self.evaluate(&pose.affine());
            Evaluation { value, gradient: pose.along(&directions, &by_affine) }
        });
        (start.moved(&directions, &top.point), top.value)
    }

    /// Agreement under a map from template to scan, and its derivatives by the map's first three rows.
    pub(crate) fn evaluate(&self, scan_from_template: &Affine) -> (f64, [[f64; 4]; 3]) {
        let (values, gradients) = self.sample(scan_from_template);
        let mut slopes = vec![0.0; values.len()];
        let value = self.agreement.evaluate(&self.samples.values, &values, &mut slopes);
        let known = values.iter().filter(|value| !value.is_nan()).count();
        let share = (known as f64 / (LEAST_KNOWN * values.len() as f64)).min(1.0);
        let sums = self.sums(&slopes, &gradients);
        // From derivatives by the index to those by the scan's world: the transpose of index_from_world.
        let index = self.scan.index_from_world();
        let entry = |row: usize, column: usize| -> f64 {
            share * (0..3).map(|k| index[k][row] * sums[k][column]).sum::<f64>()
        };
        let rows = std::array::from_fn(|row| std::array::from_fn(|column| entry(row, column)));
        (share * value, rows)
    }

    /// Intensities of the scan at the samples, not a number where unknown, and their gradients by index.
    pub(crate) fn sample(&self, scan_from_template: &Affine) -> (Vec<f32>, Vec<[f32; 3]>) {
        let index = compose(self.scan.index_from_world(), scan_from_template);
        let excluded =
            self.excluded.map(|e| (e, compose(e.index_from_world(), scan_from_template)));
        let at = |&point: &[f64; 3]| {
            let is_excluded = excluded.is_some_and(|(image, index)| {
                image.sample(transform(&index, point)).is_some_and(|(share, _)| share > 0.5)
            });
            let sample =
                if is_excluded { None } else { self.scan.sample(transform(&index, point)) };
            sample.unwrap_or((f32::NAN, [0.0; 3]))
        };
        self.samples.points.par_iter().with_min_len(PIECE).map(at).unzip()
    }

    /// Σ slope · gradient ⊗ (x, y, z, 1) over the samples.
    fn sums(&self, slopes: &[f32], gradients: &[[f32; 3]]) -> [[f64; 4]; 3] {
        let pieces = slopes.par_chunks(PIECE).zip(gradients.par_chunks(PIECE));
        let pieces: Vec<_> = pieces
            .zip(self.samples.points.par_chunks(PIECE))
            .map(|((slopes, gradients), points)| {
                let mut sums = [[0.0; 4]; 3];
                for ((&slope, gradient), point) in slopes.iter().zip(gradients).zip(points) {
                    for (sums, &gradient) in sums.iter_mut().zip(gradient) {
                        let part = f64::from(slope * gradient);
                        for (sum, coordinate) in sums.iter_mut().zip(point) {
                            *sum += part * coordinate;
                        }
                        sums[3] += part;
                    }
                }
                sums
            })
            .collect();
        let mut total = [[0.0; 4]; 3];
        for piece in pieces {
            for (total, part) in total.iter_mut().flatten().zip(piece.iter().flatten()) {
                *total += part;
            }
        }
        total
    }
}
