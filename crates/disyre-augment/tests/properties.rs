//! Properties of every patch, whatever was drawn.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use disyre_augment::{AugmentConfig, AugmentParams, IntensityConfig, SpatialConfig};
use disyre_core::Key;
use disyre_core::ndarray::{Array3, Array4, Axis};
use proptest::prelude::*;

/// Everything always happens.
fn always() -> AugmentConfig {
    AugmentConfig {
        spatial: SpatialConfig {
            elastic_probability: 1.0,
            rotation_probability: 1.0,
            scale_probability: 1.0,
            ..SpatialConfig::default()
        },
        mirror: [0.5; 3],
        intensity: IntensityConfig {
            brightness_probability: 1.0,
            gamma_probability: 1.0,
            inverted_gamma_probability: 1.0,
            noise_probability: 1.0,
            blur_probability: 1.0,
            ..IntensityConfig::default()
        },
    }
}

/// A ball of tissue in background.
fn image([z, y, x]: [usize; 3], channels: usize) -> Array4<f32> {
    Array4::from_shape_fn((channels, z, y, x), |(c, k, j, i)| {
        let apart = |index: usize, extent: usize| (2.0 * index as f32 + 1.0) / extent as f32 - 1.0;
        let radius = apart(k, z).powi(2) + apart(j, y).powi(2) + apart(i, x).powi(2);
        if radius < 0.8 { 0.1 + ((i * 7 + j * 3 + k + c) % 9) as f32 / 10.0 } else { 0.0 }
    })
}

fn patch(params: &AugmentParams, image: &Array4<f32>, [z, y, x]: [usize; 3]) -> Array4<f32> {
    let mut patch = Array4::from_elem((image.dim().0, z, y, x), 9.0);
    params.apply(image.view(), patch.view_mut()).unwrap();
    patch
}

proptest! {
    #[test]
    fn labels_go_where_their_voxels_go(
        seed: u64, depth in 1usize..6, size in [4usize..20, 4..20], often: bool,
    ) {
        let mut config = if often { always() } else { AugmentConfig::default() };
        config.intensity = IntensityConfig {
            brightness_probability: 0.0,
            gamma_probability: 0.0,
            inverted_gamma_probability: 0.0,
            noise_probability: 0.0,
            blur_probability: 0.0,
            ..IntensityConfig::default()
        };
        let image = image([7, 16, 15], 1);
        let labels = image.index_axis(Axis(0), 0).mapv(|value| u8::from(value > 0.0));
        let drawn = config.build().unwrap().draw(Key::new(seed));
        let shape = [depth, size[0], size[1]];
        let patch = patch(&drawn, &image, shape);
        let mut part = Array3::from_elem(shape, 9);
        drawn.apply_to_labels(labels.view(), part.view_mut()).unwrap();
        // Splines ring, down to 0 and below.
        let spatial = &drawn.spatial;
        let bent = spatial.elastic.is_some() || spatial.rotation_degrees.is_some() || spatial.scale.is_some();
        for (&value, &label) in patch.iter().zip(&part) {
            prop_assert!(label == u8::from(value > 0.0) || (bent && label == 1));
        }
        let mut empty = Array3::zeros((0, 4, 4));
        prop_assert!(drawn.apply_to_labels(labels.view(), empty.view_mut()).is_err());
    }

    #[test]
    fn patches_are_in_the_unit_interval_and_replayed_exactly(
        seed: u64,
        depth in 1usize..6,
        size in [4usize..20, 4..20],
        channels in 1usize..3,
        often: bool,
    ) {
        let config = if often { always() } else { AugmentConfig::default() };
        let image = image([7, 16, 15], channels);
        let drawn = config.build().unwrap().draw(Key::new(seed));
        let shape = [depth, size[0], size[1]];
        let first = patch(&drawn, &image, shape);
        prop_assert!(first.iter().all(|value| (0.0..=1.0).contains(value)));
        let recipe = serde_json::to_string(&drawn).unwrap();
        let replayed: AugmentParams = serde_json::from_str(&recipe).unwrap();
        prop_assert_eq!(&replayed, &drawn);
        prop_assert_eq!(patch(&replayed, &image, shape), first);
    }

    #[test]
    fn an_image_of_one_slice_is_the_same_in_two_and_three_dimensions(seed: u64) {
        // A patch of one slice out of a volume is that of the slice alone.
        let volume = image([5, 24, 20], 1);
        let mut drawn = always().build().unwrap().draw(Key::new(seed));
        drawn.mirror[0] = false;
        let slice = (drawn.spatial.place[0] * 5.0) as usize;
        let alone = volume.index_axis(Axis(1), slice).insert_axis(Axis(1)).to_owned();
        prop_assert_eq!(patch(&drawn, &volume, [1, 16, 16]), patch(&drawn, &alone, [1, 16, 16]));
    }

    #[test]
    fn an_empty_image_gives_an_empty_patch(seed: u64) {
        let drawn = always().build().unwrap().draw(Key::new(seed));
        let empty = Array4::zeros((1, 3, 20, 20));
        prop_assert_eq!(patch(&drawn, &empty, [3, 12, 12]).sum(), 0.0);
    }
}

#[test]
fn settings_out_of_range_and_misspelt_keys_are_named() {
    let mut config = AugmentConfig::default();
    config.spatial.scale = [1.1, 1.25];
    let error = config.build().unwrap_err();
    assert!(error.to_string().starts_with("scale is 1.1, expected 0.1 ≤ least ≤ 1"), "{error}");
    let mut config = AugmentConfig::default();
    config.intensity.noise = [0.1, f64::NAN];
    assert!(config.build().unwrap_err().to_string().starts_with("noise is NaN"));
    let error = toml::from_str::<AugmentConfig>("[spatial]\nelastics = 1").unwrap_err();
    assert!(error.to_string().contains("elastics"), "{error}");
    let some: AugmentConfig = toml::from_str("[intensity]\nnoise = [0.0, 0.1]").unwrap();
    assert_eq!(some.intensity.noise, [0.0, 0.1]);
    assert_eq!(some.spatial, SpatialConfig::default());
}
