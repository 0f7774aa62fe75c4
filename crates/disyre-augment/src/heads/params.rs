//! [`HeadParams`]: one drawn slab, and the image and mask that it makes of a head.

use disyre_core::KeyRng;
use disyre_core::ndarray::{Array3, ArrayViewMut3};
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use super::acquisition::Acquisition;
use super::appearance::Appearance;
use super::classes::{AIR, is_brain};
use super::geometry::{Geometry, STEP};
use super::head_map::{HeadMap, ensure_slab};
use crate::error::AugmentError;
use crate::waves::sum;

/// Tissue outside the brain that is exactly 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stripping {
    /// Nothing.
    None,
    /// Everything.
    Whole,
    /// These classes.
    Classes(Vec<u8>),
}

/// One drawn slab of a few slices: with the same head it gives the same image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadParams {
    /// Where the slab lies and how the head is deformed.
    pub geometry: Geometry,
    /// How bright everything is.
    pub appearance: Appearance,
    /// Tissue that is 0.
    pub stripping: Stripping,
    /// Effects of the scanner.
    pub acquisition: Acquisition,
}

impl HeadParams {
    /// Writes the image of a slab and its soft brain mask.
    ///
    /// # Shapes and units
    /// Both are `(slice, row, column)`; the image in `[0, 1]` with the 99.5th percentile of its positive values near 1,
    /// the mask in `[0, 1]`.
    ///
    /// # Errors
    /// [`AugmentError::Shape`] if the two differ in shape or are empty.
    pub fn apply(
        &self,
        head: &HeadMap,
        mut image: ArrayViewMut3<'_, f32>,
        mut brain: ArrayViewMut3<'_, f32>,
    ) -> Result<(), AugmentError> {
        ensure_slab(image.shape(), brain.shape())?;
        self.paint(head, &mut image, &mut brain);
        self.acquisition.apply(image.view_mut(), self.geometry.spacing_mm);
        if self.stripping == Stripping::Whole {
            image.zip_mut_with(&brain, |value, &share| {
                if share < 0.5 {
                    *value = 0.0;
                }
            });
        }
        self.acquisition.cut(&mut image);
        self.acquisition.cut(&mut brain);
        self.acquisition.scale(image);
        Ok(())
    }

    fn paint(
        &self,
        head: &HeadMap,
        image: &mut ArrayViewMut3<'_, f32>,
        brain: &mut ArrayViewMut3<'_, f32>,
    ) {
        let field = Nodes::new(self, head, image.dim());
        let mut rng = self.appearance.noise.rng();
        let (slices, rows, columns) = image.dim();
        for slice in 0..slices {
            for row in 0..rows {
                for column in 0..columns {
                    let ([z, y, x], bias) = field.at([slice, row, column]);
                    let point = [z, y, x].map(f64::from);
                    let (class, share) = head.sample(point);
                    brain[[slice, row, column]] = share;
                    let value = self.value(class, point, head, &mut rng);
                    image[[slice, row, column]] = value * bias;
                }
            }
        }
    }

    /// Brightness at a point before the bias field.
    fn value(&self, class: u8, point: [f64; 3], head: &HeadMap, rng: &mut KeyRng) -> f32 {
        let normal: f64 = StandardNormal.sample(rng);
        if class == AIR
            || matches!(&self.stripping, Stripping::Classes(cut) if cut.contains(&class))
        {
            return 0.0;
        }
        let index = usize::from(class);
        let appearance = &self.appearance;
        let mut mean = appearance.mean[index];
        if appearance.split[index] > 0.0 {
            let [texture, ..] = sum(&appearance.texture, point);
            mean += appearance.split[index].copysign(texture);
        }
        if is_brain(class) && self.in_lesion(point, head) {
            mean = appearance.lesion;
        }
        (mean + appearance.deviation[index] * normal).max(0.0) as f32
    }

    fn in_lesion(&self, point: [f64; 3], head: &HeadMap) -> bool {
        self.geometry.lesion.is_some_and(|lesion| {
            let half = head.half_extent_mm();
            let squared: f64 =
                (0..3).map(|axis| (point[axis] - lesion.place[axis] * half[axis]).powi(2)).sum();
            squared < lesion.radius_mm.powi(2)
        })
    }
}

/// Points of the head and the bias field at every fourth pixel of each slice.
struct Nodes {
    points: Array3<[f32; 3]>,
    bias: Array3<f32>,
}

impl Nodes {
    fn new(
        params: &HeadParams,
        head: &HeadMap,
        (slices, rows, columns): (usize, usize, usize),
    ) -> Self {
        let shape = [slices, rows.div_ceil(STEP) + 1, columns.div_ceil(STEP) + 1];
        let matrix = params.geometry.matrix();
        let middle = [slices, rows, columns].map(|n| (n as f64 - 1.0) / 2.0);
        let points = Array3::from_shape_fn(shape, |(slice, row, column)| {
            let at = [slice as f64, (row * STEP) as f64, (column * STEP) as f64];
            let at = std::array::from_fn(|axis| at[axis] - middle[axis]);
            params.geometry.point(at, &matrix, head)
        });
        let bias = points.mapv(|point| {
            let [wave, ..] = sum(&params.appearance.bias, point);
            let squared: f64 = point.iter().map(|v| v * v).sum::<f64>() / 6400.0;
            (wave - params.appearance.falloff * squared).exp() as f32
        });
        Self { points: points.mapv(|point| point.map(|v| v as f32)), bias }
    }

    /// Linear between the nodes.
    fn at(&self, [slice, row, column]: [usize; 3]) -> ([f32; 3], f32) {
        let (y, x) = (row / STEP, column / STEP);
        let [fy, fx] = [row % STEP, column % STEP].map(|rest| rest as f32 / STEP as f32);
        let corners = [
            ([slice, y, x], (1.0 - fy) * (1.0 - fx)),
            ([slice, y, x + 1], (1.0 - fy) * fx),
            ([slice, y + 1, x], fy * (1.0 - fx)),
            ([slice, y + 1, x + 1], fy * fx),
        ];
        let (mut point, mut bias) = ([0.0; 3], 0.0);
        for (corner, weight) in corners {
            let values = self.points[corner];
            point.iter_mut().zip(values).for_each(|(sum, value)| *sum += weight * value);
            bias += weight * self.bias[corner];
        }
        (point, bias)
    }
}
