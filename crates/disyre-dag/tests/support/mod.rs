//! Golden files, a brain by formula and a tissue model, shared by the integration tests.

#![allow(dead_code, reason = "every test file uses a part of it")]
#![allow(unreachable_pub, reason = "private to the test files")]

use std::path::Path;

use disyre_core::{
    Key, ShapeError, TissueModel, ensure_same_shape,
    ndarray::{Array3, Array4, ArrayD, ArrayView2, ArrayViewMut2, Axis, IxDyn},
};
use disyre_dag::textures::{NoiseTextureConfig, TextureSource};
use safetensors::{Dtype, SafeTensors};

/// The five intensities of the published code.
pub const CENTRES: [f32; 5] = [0.00565079, 0.38283867, 0.61224216, 0.76920754, 0.9385473];

/// The class of the nearest centre, by the mean over the channels.
pub struct Nearest(pub Vec<f32>);

impl Nearest {
    pub fn published() -> Self {
        Self(CENTRES.to_vec())
    }
}

impl TissueModel for Nearest {
    fn classes(&self) -> usize {
        self.0.len()
    }

    fn soft(
        &self,
        intensities: ArrayView2<'_, f32>,
        mut memberships: ArrayViewMut2<'_, f32>,
    ) -> Result<(), ShapeError> {
        let expected = [intensities.nrows(), self.0.len()];
        ensure_same_shape("memberships", &expected, memberships.shape())?;
        for (voxel, mut row) in intensities.rows().into_iter().zip(memberships.rows_mut()) {
            let value = voxel.mean().unwrap_or_default();
            let distance = |&class: &usize| (self.0[class] - value).abs();
            let best = (0..self.0.len()).min_by(|a, b| distance(a).total_cmp(&distance(b)));
            row.fill(0.0);
            row[best.unwrap_or_default()] = 1.0;
        }
        Ok(())
    }
}

/// Noise inside an ellipsoid, exactly 0 outside.
pub fn brain(channels: usize, [depth, height, width]: [usize; 3], seed: u64) -> Array4<f32> {
    let mut image = Array4::zeros((channels, depth, height, width));
    let noise = NoiseTextureConfig { cycles_per_voxel: 0.2, octaves: 3 }.build().unwrap();
    noise.fill(Key::new(seed), image.clone().view(), image.view_mut()).unwrap();
    for ((_, z, y, x), value) in image.indexed_iter_mut() {
        let off = |index: usize, extent: usize| (index as f32 + 0.5) / extent as f32 - 0.5;
        let [a, b, c] = [off(z, depth), off(y, height), off(x, width)];
        *value = if a * a + b * b + c * c > 0.2 { 0.0 } else { 0.1 + 0.8 * *value };
    }
    image
}

/// The bytes of a golden file of this repository.
pub fn golden_bytes(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/golden");
    std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The arrays of a golden file.
pub struct Golden(Vec<u8>);

impl Golden {
    pub fn open(name: &str) -> Self {
        Self(golden_bytes(name))
    }

    /// One array; 64-bit numbers are rounded to `f32`.
    pub fn array(&self, name: &str) -> ArrayD<f32> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let tensor = file.tensor(name).unwrap();
        let data = tensor.data();
        let values: Vec<f32> = match tensor.dtype() {
            Dtype::F32 => pieces(data).map(f32::from_le_bytes).collect(),
            Dtype::I32 => pieces(data).map(|piece| i32::from_le_bytes(piece) as f32).collect(),
            Dtype::F64 => pieces(data).map(|piece| f64::from_le_bytes(piece) as f32).collect(),
            Dtype::I64 => pieces(data).map(|piece| i64::from_le_bytes(piece) as f32).collect(),
            other => panic!("{name} holds {other:?}"),
        };
        ArrayD::from_shape_vec(IxDyn(tensor.shape()), values).unwrap()
    }

    /// A slice, `(1, y, x)` or `(y, x)`, as `(z, y, x)`.
    pub fn slice(&self, name: &str) -> Array3<f32> {
        let array = self.array(name);
        let array = if array.ndim() == 2 { array.insert_axis(Axis(0)) } else { array };
        array.into_dimensionality().unwrap()
    }

    /// A slice as an image of one channel, `(c, z, y, x)`.
    pub fn image(&self, name: &str) -> Array4<f32> {
        self.slice(name).insert_axis(Axis(0))
    }
}

fn pieces<const N: usize>(data: &[u8]) -> impl Iterator<Item = [u8; N]> {
    data.chunks_exact(N).map(|piece| piece.try_into().unwrap())
}
