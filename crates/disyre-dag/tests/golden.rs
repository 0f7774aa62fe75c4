//! Values that the published code and SciPy computed: blends, biases, blurs and nearest centres.

#![allow(clippy::unwrap_used, reason = "a failing helper is a failing test")]

mod support;

use disyre_core::{
    Key, Severity, ShapeError, TissueModel,
    ndarray::{
        Array4, ArrayBase, ArrayView2, ArrayView3, ArrayView4, ArrayViewMut2, ArrayViewMut4, Axis,
        Data, Dimension, concatenate,
    },
};
use disyre_dag::{
    DagError, PlacedMask,
    corruptions::{
        BiasConfig, BiasDirection, BiasParams, Corruption, CorruptionParams, Normalisation,
        TextureConfig, TextureParams,
    },
    shapes::gaussian_blur,
    textures::TextureSource,
};
use support::{Golden, Nearest};

/// Greatest difference to values in [0, 1].
const TOLERANCE: f32 = 1e-5;

fn assert_close<A, B, D>(what: &str, got: &ArrayBase<A, D>, expected: &ArrayBase<B, D>)
where
    A: Data<Elem = f32>,
    B: Data<Elem = f32>,
    D: Dimension,
{
    assert_eq!(got.shape(), expected.shape(), "{what}");
    let worst = got.iter().zip(expected).fold(0f32, |worst, (a, b)| worst.max((a - b).abs()));
    assert!(worst <= TOLERANCE, "{what} differs by {worst}");
}

/// A texture that was drawn elsewhere.
struct Given(Array4<f32>);

impl TextureSource for Given {
    fn fill(
        &self,
        _: Key,
        _: ArrayView4<'_, f32>,
        mut texture: ArrayViewMut4<'_, f32>,
    ) -> Result<(), DagError> {
        texture.assign(&self.0);
        Ok(())
    }
}

/// The golden window: its mask, cleared in the background. The fixture is cropped to 8 pixels around the window, twice
/// as far as a blur by 1 pixel looks.
fn placed_mask(golden: &Golden) -> PlacedMask {
    let centre = golden.array("anom_centre");
    let origin = [0, centre[[0]] as usize - 32, centre[[1]] as usize - 32];
    let image = golden.image("image");
    PlacedMask::on_foreground(origin, golden.slice("mask64"), image.view()).unwrap()
}

#[test]
fn the_mask_is_placed_and_cleared_in_the_background_as_published() {
    let golden = Golden::open("blending.safetensors");
    let mask = placed_mask(&golden);
    let expected = golden.slice("shape");
    assert_eq!(mask.to_image(expected.dim().into()).unwrap(), expected);
}

#[test]
fn textures_blend_as_published_under_every_normalisation() {
    let golden = Golden::open("blending.safetensors");
    let (clean, mask) = (golden.image("image"), placed_mask(&golden));
    for (normalisation, name) in [
        (Normalisation::MinMax, "minmax"),
        (Normalisation::Mean, "mean"),
        (Normalisation::Std, "std"),
        (Normalisation::None, "False"),
    ] {
        let config = TextureConfig { normalisation, ..Default::default() };
        let blend = config.build(Given(golden.image("foreign_patch"))).unwrap();
        for alpha in [0.25, 0.8] {
            let severity = Severity::new(alpha).unwrap();
            let params = CorruptionParams::Texture(TextureParams { severity, source: Key::new(0) });
            let mut out = Array4::zeros(clean.dim());
            let realised = blend.apply(&params, clean.view(), &mask, out.view_mut()).unwrap();
            let name = format!("texture_{name}_a{alpha}");
            assert_close(&name, &out, &golden.image(&name));
            assert_eq!(realised, severity);
        }
    }
}

/// Labels by the second channel.
struct BySecondChannel(Nearest);

impl TissueModel for BySecondChannel {
    fn classes(&self) -> usize {
        self.0.classes()
    }

    fn soft(
        &self,
        intensities: ArrayView2<'_, f32>,
        memberships: ArrayViewMut2<'_, f32>,
    ) -> Result<(), ShapeError> {
        self.0.soft(intensities.slice_axis(Axis(1), (1..).into()), memberships)
    }
}

/// The golden tissues are those of the image before its texture was blended: here it is the second channel.
#[test]
fn tissues_shift_as_published_in_both_directions() {
    let golden = Golden::open("blending.safetensors");
    let (textured, mask) = (golden.image("texture_minmax_a0.8"), placed_mask(&golden));
    let clean = concatenate![Axis(0), textured, golden.image("image")];
    let tissues = BySecondChannel(Nearest::published());
    let bias = BiasConfig::default().build(tissues).unwrap();
    // 0 selects every tissue that the mask touches, 1 none; of none selected, all.
    let cases = [("all", [1.0; 5]), ("gm", [1., 1., 0., 1., 1.]), ("two", [1., 0., 1., 0., 1.])];
    for (tissues, selection) in cases {
        for (direction, sign) in [(BiasDirection::Brighten, "+1"), (BiasDirection::Darken, "-1")] {
            let severity = Severity::new(0.6).unwrap();
            let (selection, channels) = (selection.to_vec(), Key::new(0));
            let params = BiasParams { severity, direction, channels, selection };
            let params = CorruptionParams::Bias(params);
            let mut out = Array4::zeros(clean.dim());
            let realised = bias.apply(&params, clean.view(), &mask, out.view_mut()).unwrap();
            let change = (&out - &clean).mapv(f32::abs);
            let greatest = |change: ArrayView3<'_, f32>| change.fold(0f32, |a, &b| a.max(b));
            let of_channels = [0, 1].map(|c| greatest(change.index_axis(Axis(0), c)));
            assert_eq!(realised.get(), of_channels[0].max(of_channels[1]));
            let name = format!("bias_{tissues}_sign{sign}");
            assert_close(&name, &out.index_axis(Axis(0), 0), &golden.slice(&name).view());
            let expected = golden.array(&format!("alpha_{name}"))[[0]];
            assert!((of_channels[0] - expected).abs() <= TOLERANCE, "{name}: {realised}");
        }
    }
}

#[test]
fn blurs_agree_with_scipy() {
    let golden = Golden::open("gaussian_filter.safetensors");
    for sigma in ["0.4", "1.0", "2.7", "5.0"] {
        let mut image = golden.slice("in_c1_24x20");
        gaussian_blur(image.view_mut(), [sigma.parse().unwrap(); 3]).unwrap();
        let name = format!("scipy_gaussian_sigma{sigma}");
        assert_close(&name, &image, &golden.slice(&name));
    }
    let mut image = golden.slice("in_c1_24x20");
    gaussian_blur(image.view_mut(), [1.0; 3]).unwrap();
    assert_close("bias_call_sigma1", &image, &golden.slice("bias_call_sigma1"));
}

#[test]
fn the_test_model_labels_as_the_published_codebook() {
    let golden = Golden::open("kmeans.safetensors");
    let slice = golden.array("slice");
    let model = Nearest(golden.array("codebook").iter().copied().collect());
    let intensities = slice.flatten().insert_axis(Axis(1)).into_owned();
    let mut labels = vec![0; slice.len()];
    model.hard(intensities.view(), &mut labels).unwrap();
    let expected = golden.array("vq_labels_all_voxels");
    let differ = labels.iter().zip(&expected).filter(|(a, b)| f32::from(**a) != **b).count();
    assert_eq!(differ, 0);
}
