//! Sources of shapes and textures on the smallest arrays there are, empty ones too.

#![allow(clippy::unwrap_used, reason = "a failing helper is a failing test")]

use std::sync::Arc;

use disyre_core::{
    Key,
    ndarray::{Array3, Array4},
};
use disyre_dag::{
    Anomalies, DagError,
    shapes::{
        BlobShapes, CombinedShapes, DiscShapes, EllipsoidShapes, MaskConfig, MaskFrame,
        PatchConfig, PublishedShapes, RectangleShapes, ShapeSource, SizeConfig,
    },
    textures::{LazyBank, NoiseTexture, RescaledConfig, SameImage, TextureSource, VolumeBank},
};
use proptest::prelude::*;

fn shapes() -> Vec<Arc<dyn ShapeSource>> {
    let blobs: Arc<dyn ShapeSource> = Arc::new(BlobShapes::default());
    let discs: Arc<dyn ShapeSource> = Arc::new(DiscShapes::default());
    let size = SizeConfig { size_mm: [1.0, 9.0], spacing_mm: [2.0; 3] };
    let masks = |frame| {
        let config = MaskConfig { frame, ..MaskConfig::default() };
        Arc::new(config.build(vec![Array3::ones((2, 3, 4))]).unwrap())
    };
    let patch = |config: PatchConfig| Arc::new(config.build().unwrap());
    vec![
        Arc::new(RectangleShapes::default()),
        Arc::new(EllipsoidShapes::default()),
        Arc::new(PublishedShapes::default()),
        Arc::new(CombinedShapes::union(blobs.clone(), discs.clone())),
        Arc::new(CombinedShapes::difference(discs.clone(), blobs.clone())),
        Arc::new(size.build(blobs.clone()).unwrap()),
        masks(MaskFrame::Array),
        masks(MaskFrame::BoundingBox),
        patch(PatchConfig::fpi()),
        patch(PatchConfig::nsa()),
        patch(PatchConfig::cut_paste()),
        patch(PatchConfig::cut_paste_scar()),
        blobs,
        discs,
    ]
}

fn textures() -> Vec<Arc<dyn TextureSource>> {
    let volume = || Array4::from_elem((1, 2, 3, 4), 0.5);
    let bank: Arc<dyn TextureSource> = Arc::new(VolumeBank::new(vec![volume()]).unwrap());
    let lazy = LazyBank::new(1, move |_| Ok::<_, DagError>(volume())).unwrap();
    let config = RescaledConfig { zoom: [0.5, 2.0], ..RescaledConfig::default() };
    let rescaled = config.build(bank.clone()).unwrap();
    vec![
        bank,
        Arc::new(lazy),
        Arc::new(rescaled),
        Arc::new(SameImage),
        Arc::new(NoiseTexture::default()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_shape_fills_every_window(extents in [0..3usize, 0..3usize, 0..3usize], seed: u64) {
        for source in shapes() {
            let mut shape = Array3::from_elem(extents, 9.0);
            source.fill(Key::new(seed), shape.view_mut()).unwrap();
            prop_assert!(shape.iter().all(|value| (0.0..=1.0).contains(value)));
        }
    }

    #[test]
    fn every_texture_fills_every_window_from_every_image(
        window in [0..3usize, 0..3usize, 0..3usize], image in [0..3usize, 0..3usize, 0..3usize],
        value in 0..2u8, seed: u64,
    ) {
        let dim = |[z, y, x]: [usize; 3]| (1, z, y, x);
        let image = Array4::from_elem(dim(image), f32::from(value));
        for source in textures() {
            let mut texture = Array4::from_elem(dim(window), 9.0);
            source.fill(Key::new(seed), image.view(), texture.view_mut()).unwrap();
            prop_assert!(texture.iter().all(|value| (0.0..=1.0).contains(value)));
        }
    }
}

#[test]
fn a_family_without_parts_or_without_a_window_is_refused() {
    let shapes: Arc<dyn ShapeSource> = Arc::new(BlobShapes::default());
    let part = Arc::new(disyre_dag::corruptions::SharpnessConfig::default().build().unwrap());
    let of = |window, parts| Anomalies::new(window, shapes.clone(), parts).map(|_| ());
    assert!(matches!(of([1, 4, 4], Vec::new()), Err(DagError::NoItems { .. })));
    assert!(matches!(of([1, 0, 4], vec![part.clone()]), Err(DagError::Config { .. })));
    assert_eq!(of([1, 4, 4], vec![part]), Ok(()));
}
