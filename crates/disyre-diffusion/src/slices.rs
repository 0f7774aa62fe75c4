use candle_core::{Device, Tensor};
use disyre_core::ndarray::{ArrayView5, ArrayViewMut5, CowArray, Ix5};

use crate::DiffusionError;

/// A batch of volumes as a batch of images for the 2D network: slice z of item i becomes image i·z + z.
///
/// # Shapes and units
/// From `(n, c, z, y, x)` to `(n·z, c, y, x)`.
pub(crate) fn to_images(
    batch: &ArrayView5<'_, f32>,
    device: &Device,
) -> Result<Tensor, DiffusionError> {
    let (n, c, z, y, x) = batch.dim();
    let sliced: CowArray<'_, f32, Ix5> = batch.view().permuted_axes([0, 2, 1, 3, 4]).into();
    let sliced = sliced.as_standard_layout();
    let values = sliced.as_slice().unwrap_or_default();
    Ok(Tensor::from_slice(values, (n * z, c, y, x), device)?)
}

/// The reverse of [`to_images`].
pub(crate) fn from_images(
    images: &Tensor,
    batch: ArrayViewMut5<'_, f32>,
) -> Result<(), DiffusionError> {
    let values: Vec<f32> = images.flatten_all()?.to_vec1()?;
    let mut sliced = batch.permuted_axes([0, 2, 1, 3, 4]);
    for (out, value) in sliced.iter_mut().zip(values) {
        *out = value;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::Array5;

    #[test]
    fn slices_become_images_and_back() {
        let batch = Array5::from_shape_fn((2, 3, 4, 1, 2), |(n, c, z, _, x)| {
            (1000 * n + 100 * c + 10 * z + x) as f32
        });
        let images = to_images(&batch.view(), &Device::Cpu).unwrap();
        assert_eq!(images.dims(), [8, 3, 1, 2]);
        let third: Vec<f32> = images.get(6).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        assert_eq!(third, [1020.0, 1021.0, 1120.0, 1121.0, 1220.0, 1221.0]);
        let mut back = Array5::zeros(batch.dim());
        from_images(&images, back.view_mut()).unwrap();
        assert_eq!(back, batch);
    }
}
