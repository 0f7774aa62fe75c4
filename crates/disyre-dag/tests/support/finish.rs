//! Finishes drawn pairs from their plain data, by the public pieces of this crate: what another machine does.

use std::sync::Arc;

use disyre_core::{
    Cut, DrawnAnomaly, Key, Patch, Rules, Severity, ShapeError, Stock, StockVolume, TissueModel,
    ndarray::{Array4, ArrayView2, ArrayView3, ArrayView4, ArrayViewMut2, ArrayViewMut4, Axis, s},
};
use disyre_dag::{
    BiasConfig, BiasDirection, BiasParams, DagError, PlacedMask, TextureConfig, TextureParams,
    TextureSource, gaussian_blur,
};

/// A patch of the stock, `(1, z, y, x)`.
#[allow(dead_code, reason = "not all test files cut")]
pub fn cut(stock: &Stock<'_>, patch: &Patch) -> Array4<f32> {
    let cut = match patch {
        Patch::Cut(cut) => cut,
        Patch::Made(made) => return made.clone().insert_axis(Axis(0)),
    };
    let [z, y, x] = stock.patch;
    let mut patch = Array4::zeros((1, z, y, x));
    let volume = view(&stock.volumes[cut.volume]);
    let Cut { from, to, size, mirror, .. } = *cut;
    let part =
        |at: [usize; 3]| s![at[0]..at[0] + size[0], at[1]..at[1] + size[1], at[2]..at[2] + size[2]];
    patch.index_axis_mut(Axis(0), 0).slice_mut(part(to)).assign(&volume.slice(part(from)));
    for axis in (0..3).filter(|&axis| mirror[axis]) {
        patch.invert_axis(Axis(axis + 1));
    }
    patch.as_standard_layout().into_owned()
}

/// The corrupted patch and its severity.
pub fn finish(
    volumes: &[StockVolume<'_>],
    rules: &Rules,
    drawn: &DrawnAnomaly,
    clean: ArrayView4<'_, f32>,
) -> (Array4<f32>, Severity) {
    let mut shape = drawn.shape.clone();
    gaussian_blur(shape.view_mut(), drawn.blur_sigma_voxels).unwrap();
    shape.mapv_inplace(|m| m.min(1.0));
    let mask = PlacedMask::on_foreground(drawn.origin, shape, clean).unwrap();
    let (mut image, mut severity) = (clean.to_owned(), Severity::CLEAN);
    if mask.voxels_above(0.0) == 0 {
        return (image, severity);
    }
    if let Some(texture) = drawn.texture {
        let volume = view(&volumes[texture.volume]);
        let mut window = Array4::zeros((1, rules.window[0], rules.window[1], rules.window[2]));
        for ((_, z, y, x), value) in window.indexed_iter_mut() {
            let at = [z, y, x].map(|index| index as isize);
            let at = [0, 1, 2].map(|axis| (at[axis] + texture.start[axis]) as usize);
            *value = volume.get(at).copied().unwrap_or(0.0);
        }
        let config = TextureConfig { normalisation: rules.normalisation, ..Default::default() };
        let blend = config.build(Arc::new(Given(window))).unwrap();
        let params = TextureParams { severity: texture.severity, source: Key::new(0) };
        let before = image.clone();
        severity = blend.apply(&params, before.view(), &mask, image.view_mut()).unwrap();
    }
    if let Some(bias) = &drawn.bias {
        let config = BiasConfig {
            count_offset: rules.count_offset,
            blur_sigma_voxels: rules.tissue_blur_sigma_voxels,
            ..Default::default()
        };
        let tissues = Intervals(rules.tissue_borders.clone());
        let shift = config.build(Arc::new(tissues)).unwrap();
        let brighten = bias.shift > 0.0;
        let params = BiasParams {
            severity: Severity::new(bias.shift.abs()).unwrap(),
            direction: if brighten { BiasDirection::Brighten } else { BiasDirection::Darken },
            channels: Key::new(0),
            selection: bias.selection.clone(),
        };
        let before = image.clone();
        let realised = shift.apply(&params, before.view(), &mask, image.view_mut()).unwrap();
        severity = severity.max(realised);
    }
    (image, severity)
}

fn view<'a>(volume: &StockVolume<'a>) -> ArrayView3<'a, f32> {
    ArrayView3::from_shape(volume.extents, volume.values).unwrap()
}

/// One texture for every key.
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

/// Tissues between borders.
struct Intervals(Vec<f64>);

impl TissueModel for Intervals {
    fn classes(&self) -> usize {
        self.0.len() + 1
    }

    fn soft(
        &self,
        intensities: ArrayView2<'_, f32>,
        mut memberships: ArrayViewMut2<'_, f32>,
    ) -> Result<(), ShapeError> {
        memberships.fill(0.0);
        for (&value, mut row) in intensities.column(0).iter().zip(memberships.rows_mut()) {
            row[self.0.iter().filter(|&&border| border < f64::from(value)).count()] = 1.0;
        }
        Ok(())
    }
}
