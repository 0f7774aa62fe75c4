//! Foreground voxels of a cohort, drawn at random, to fit classes to.
use disyre_core::ndarray::{Array2, ArrayView1, ArrayView4, Axis};
use disyre_core::rand::RngExt;
use disyre_core::{Key, ensure_finite, ensure_same_shape};
use rayon::prelude::*;

use crate::error::TissueError;

/// Draws the same number of foreground voxels from every image of a cohort, so that a fit takes bounded memory and no
/// image counts more than another.
///
/// Image `i` draws from `key.child(i)`; the samples of the images follow each other. The result does not depend on the
/// number of threads. Where images should not all be in memory, call [`sample_foreground`] for each.
///
/// # Shapes and units
/// Each image is `(c, z, y, x)`, intensities in `[0, 1]`, background 0; the samples are `(n, c)` with n at most
/// `images × voxels_per_image`.
///
/// # Errors
/// [`TissueError::NoSamples`] if there is no image or none has a foreground, [`TissueError::Shape`] if the numbers of
/// channels differ or a value is not finite, [`TissueError::ZeroSetting`] for no voxels.
///
/// # Source
/// Ours; the published code carries fixed centres.
pub fn sample_cohort(
    images: &[ArrayView4<'_, f32>],
    voxels_per_image: usize,
    key: Key,
) -> Result<Array2<f32>, TissueError> {
    let channels = images.first().ok_or(TissueError::NoSamples)?.len_of(Axis(0));
    let parts: Vec<_> = images
        .par_iter()
        .enumerate()
        .map(|(index, image)| {
            ensure_same_shape("image channels", &[channels], &[image.len_of(Axis(0))])?;
            sample_foreground(image.view(), voxels_per_image, key.child(index))
        })
        .collect::<Vec<Result<Array2<f32>, TissueError>>>()
        .into_iter()
        .collect::<Result<_, _>>()?;
    let count = parts.iter().map(Array2::nrows).sum();
    if count == 0 {
        return Err(TissueError::NoSamples);
    }
    let mut samples = Array2::zeros((count, channels));
    let voxels = parts.iter().flat_map(|part| part.rows());
    samples.rows_mut().into_iter().zip(voxels).for_each(|(mut row, voxel)| row.assign(&voxel));
    Ok(samples)
}

/// Draws foreground voxels of one image: those that are not exactly 0 in every channel, each at most once, all of them
/// where there are no more than asked for. They come in the order of the image.
///
/// # Shapes and units
/// `image` is `(c, z, y, x)`; the samples are `(n, c)` with n at most `voxels`, 0 for an image without foreground.
///
/// # Errors
/// [`TissueError::Shape`] if a value is not finite, [`TissueError::ZeroSetting`] for no voxels.
pub fn sample_foreground(
    image: ArrayView4<'_, f32>,
    voxels: usize,
    key: Key,
) -> Result<Array2<f32>, TissueError> {
    if voxels == 0 {
        return Err(TissueError::ZeroSetting { setting: "the number of voxels to sample" });
    }
    ensure_finite("image", &image)?;
    let mut left = image.lanes(Axis(0)).into_iter().filter(is_foreground).count();
    let mut wanted = left.min(voxels);
    let mut samples = Array2::zeros((wanted, image.len_of(Axis(0))));
    let mut rows = samples.rows_mut().into_iter();
    let mut rng = key.rng();
    // Selection sampling (Knuth): each voxel is taken with probability wanted / left.
    for voxel in image.lanes(Axis(0)).into_iter().filter(is_foreground) {
        if rng.random_range(0..left) < wanted {
            rows.by_ref().take(1).for_each(|mut row| row.assign(&voxel));
            wanted -= 1;
        }
        left -= 1;
    }
    Ok(samples)
}

fn is_foreground(voxel: &ArrayView1<'_, f32>) -> bool {
    voxel.iter().any(|&value| value != 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::{Array4, array};
    use proptest::prelude::*;
    use rayon::ThreadPoolBuilder;

    fn ramp(voxels: usize, channels: usize) -> Array4<f32> {
        Array4::from_shape_fn((channels, 1, 1, voxels), |(c, _, _, x)| (x * (c + 1)) as f32)
    }

    #[test]
    fn a_small_image_gives_all_its_foreground_in_order() {
        let samples = sample_foreground(ramp(4, 2).view(), 10, Key::new(1)).unwrap();
        assert_eq!(samples, array![[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]]);
    }

    #[test]
    fn a_voxel_with_one_channel_above_zero_is_foreground() {
        let mut image = Array4::zeros((2, 1, 1, 3));
        image[[1, 0, 0, 2]] = 0.5;
        let samples = sample_foreground(image.view(), 10, Key::new(1)).unwrap();
        assert_eq!(samples, array![[0.0, 0.5]]);
    }

    #[test]
    fn every_voxel_is_drawn_equally_often() {
        let image = ramp(11, 1); // ten foreground voxels
        let mut counts = [0; 11];
        for repeat in 0..2000u64 {
            let samples = sample_foreground(image.view(), 3, Key::new(repeat)).unwrap();
            samples.iter().for_each(|&value| counts[value as usize] += 1);
        }
        assert_eq!(counts[0], 0);
        // 600 expected each, standard deviation √(2000 · 0.3 · 0.7) = 20.5.
        assert!(counts[1..].iter().all(|&count: &i32| (count - 600).abs() < 100), "{counts:?}");
    }

    #[test]
    fn a_cohort_is_the_same_on_any_number_of_threads() {
        let images: Vec<_> = (0..5).map(|size| ramp(20 * size, 1)).collect();
        let views: Vec<_> = images.iter().map(|image| image.view()).collect();
        let draws = [1, 3].map(|threads| {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| sample_cohort(&views, 7, Key::new(2)).unwrap())
        });
        assert_eq!(draws[0].dim(), (28, 1)); // the first image has no foreground
        assert_eq!(draws[0], draws[1]);
        assert_ne!(draws[0], sample_cohort(&views, 7, Key::new(3)).unwrap());
    }

    #[test]
    fn cohorts_without_sense_are_refused() {
        let (dark, one, two) = (Array4::zeros((1, 2, 2, 2)), ramp(3, 1), ramp(3, 2));
        let draw = |images: &[ArrayView4<'_, f32>], voxels| {
            sample_cohort(images, voxels, Key::new(1)).unwrap_err()
        };
        assert!(matches!(draw(&[], 1), TissueError::NoSamples));
        assert!(matches!(draw(&[dark.view()], 1), TissueError::NoSamples));
        assert!(matches!(draw(&[one.view()], 0), TissueError::ZeroSetting { .. }));
        let error = draw(&[one.view(), two.view()], 1);
        assert_eq!(error.to_string(), "image channels has shape [2], expected [1]");
        let nan = one.mapv(|value| if value == 2.0 { f32::NAN } else { value });
        assert!(matches!(draw(&[nan.view()], 1), TissueError::Shape(_)));
    }

    proptest! {
        #[test]
        fn samples_are_distinct_foreground_voxels(size in 1usize..40, voxels in 1usize..50, seed: u64) {
            let image = ramp(size, 1);
            let samples = sample_foreground(image.view(), voxels, Key::new(seed)).unwrap();
            prop_assert_eq!(samples.nrows(), voxels.min(size - 1));
            prop_assert!(samples.iter().zip(samples.iter().skip(1)).all(|(a, b)| a < b));
            prop_assert!(samples.iter().all(|&value| value > 0.0 && value < size as f32));
        }
    }
}
