//! Statistics of images in Gaussian windows inside the brain.

use disyre_core::ndarray::{Array3, ArrayView3, Zip};

use super::smoothing::Smoother;
use crate::Error;

/// Added, squared, to the product of two variances: where an image hardly varies, its correlation with another means
/// little. In units of squared scaled intensity.
const LEAST_COVARIANCE: f32 = 1e-3;

/// 1 − the correlation of two images in Gaussian windows around each voxel inside a mask: 0 where they are alike, 1 where
/// they have nothing in common; 0 outside.
///
/// # Shapes and units
/// `sigma` is in voxels, > 0.
///
/// # Source
/// The structure term of SSIM (Wang et al. 2004), in normalised windows.
pub(super) fn dissimilarity(
    image: &Array3<f32>,
    other: &Array3<f32>,
    mask: ArrayView3<'_, u8>,
    sigma: f64,
) -> Result<Array3<f32>, Error> {
    let smoother = Smoother::new(mask, sigma)?;
    let mean = |map: Array3<f32>| smoother.smooth(map.view());
    let (images, others) = rayon::join(
        || Ok::<_, Error>((mean(image.clone())?, mean(image * image)?)),
        || Ok::<_, Error>((mean(other.clone())?, mean(other * other)?, mean(image * other)?)),
    );
    let ((mean_image, square_image), (mean_other, square_other, product)) = (images?, others?);
    let mut covariance = product;
    Zip::from(&mut covariance)
        .and(&mean_image)
        .and(&mean_other)
        .for_each(|value, a, b| *value -= a * b);
    let mut scale = variance(square_image, &mean_image);
    let variance_other = variance(square_other, &mean_other);
    scale.zip_mut_with(&variance_other, |a, b| *a = (*a * b + LEAST_COVARIANCE.powi(2)).sqrt());
    Ok(Zip::from(&covariance).and(&scale).and(mask).map_collect(|covariance, scale, &inside| {
        if inside != 0 { 1.0 - covariance / scale } else { 0.0 }
    }))
}

/// Standard deviation of an image in Gaussian windows around each voxel inside a mask; 0 outside.
///
/// # Shapes and units
/// `sigma` is in voxels, > 0.
pub(super) fn local_deviation(
    image: &Array3<f32>,
    mask: ArrayView3<'_, u8>,
    sigma: f64,
) -> Result<Array3<f32>, Error> {
    let smoother = Smoother::new(mask, sigma)?;
    let (mean, square) =
        rayon::join(|| smoother.smooth(image.view()), || smoother.smooth((image * image).view()));
    Ok(variance(square?, &mean?).mapv(f32::sqrt))
}

/// Variance from the mean of squares and the mean, ≥ 0.
fn variance(mut squares: Array3<f32>, mean: &Array3<f32>) -> Array3<f32> {
    squares.zip_mut_with(mean, |square, mean| *square = (*square - mean * mean).max(0.0));
    squares
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stripes along x.
    fn stripes(contrast: f32) -> Array3<f32> {
        Array3::from_shape_fn([1, 1, 40], |(.., x)| 0.5 + contrast * ((x % 4) as f32 - 1.5))
    }

    #[test]
    fn an_image_is_like_itself_and_its_brighter_copy_and_unlike_its_negative() {
        let (image, mask) = (stripes(0.2), Array3::<u8>::ones([1, 1, 40]));
        let unlike = |other: &Array3<f32>| {
            let map = dissimilarity(&image, other, mask.view(), 3.0).unwrap();
            map[[0, 0, 20]]
        };
        assert!(unlike(&image).abs() < 1e-3);
        assert!(unlike(&(&image * 1.7 + 0.1)).abs() < 1e-3);
        assert!((unlike(&(1.0 - &image)) - 2.0).abs() < 1e-3);
        assert_eq!(unlike(&Array3::from_elem([1, 1, 40], 0.5)), 1.0);
    }

    #[test]
    fn the_deviation_in_wide_windows_is_that_of_the_stripes_and_outside_there_is_none() {
        let mut mask = Array3::<u8>::ones([1, 1, 40]);
        mask[[0, 0, 3]] = 0;
        let found = local_deviation(&stripes(0.2), mask.view(), 3.0).unwrap();
        // −.3, −.1, .1, .3: √.05.
        assert!((found[[0, 0, 20]] - 0.05f32.sqrt()).abs() < 2e-3, "{}", found[[0, 0, 20]]);
        assert_eq!(found[[0, 0, 3]], 0.0);
    }
}
