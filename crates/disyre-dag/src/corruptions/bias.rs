//! [`TissueBias`]: a shift of the intensities of some tissues.

use std::{fmt, sync::Arc};

use disyre_core::{
    Key, Severity, TissueModel,
    ndarray::{Array3, ArrayView3, ArrayViewMut3, ArrayViewMut4},
    rand::RngExt,
};
use serde::{Deserialize, Serialize};

use super::{
    corruption::Corruption,
    params::{BIAS, BiasDirection, BiasParams, CorruptionParams},
    strength::{check_strength, draw_present},
    tissue_field::{Memberships, TissueField, TissueSource, ensure_classes},
};
use crate::{
    blur::{blur, check_sigma, radius},
    canvas::{Canvas, contiguous, for_each_row, severity_of},
    check,
    error::DagError,
    float_order::{from_ordered, to_ordered},
    scratch::ScratchBuffer,
};

/// Settings of [`TissueBias`].
///
/// # Source
/// DISYRE v2 (arXiv 2407.06635), intensity bias; the numbers are those of its published code.
///
/// ```
/// use disyre_dag::{Key, PlacedMask, corruptions::{Corruption, BiasConfig}};
/// use disyre_dag::ndarray::{Array3, Array4};
///
/// let clean = Array4::from_shape_fn((1, 1, 24, 24), |(_, _, y, x)| ((y + x) % 5 + 1) as f32 / 6.0);
/// let mask = PlacedMask { origin: [0, 4, 4], values: Array3::ones((1, 16, 16)) };
/// let mut out = Array4::zeros(clean.dim());
/// let bias = BiasConfig::default().build_without_tissues()?;
/// let severity = bias.corrupt(Key::new(1), clean.view(), &mask, out.view_mut())?;
/// assert!(severity.get() > 0.0 && out != clean);
/// # Ok::<(), disyre_dag::DagError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BiasConfig {
    /// Probability that an anomaly has a bias, in `[0, 1]`; published: always.
    pub probability: f64,
    /// Least and greatest shift of a fully selected voxel, in `[0, 1]`.
    pub severity: [f32; 2],
    /// Voxels added to the mask's N when a tissue of n voxels is selected with probability `n / (N + offset)`, ≥ 0.
    ///
    /// While N is small, usually none is selected, which means all.
    pub count_offset: f64,
    /// Standard deviation of the blur of the selected tissues, `(z, y, x)` in voxels, in `[0, 1000]`.
    pub blur_sigma_voxels: [f64; 3],
    /// Hard or soft membership of voxels in tissues.
    pub memberships: Memberships,
}

impl Default for BiasConfig {
    fn default() -> Self {
        Self {
            probability: 1.0,
            severity: [0.0, 1.0],
            count_offset: 1000.0,
            blur_sigma_voxels: [1.0; 3],
            memberships: Memberships::Hard,
        }
    }
}

impl BiasConfig {
    /// Checks the values.
    ///
    /// # Errors
    /// [`DagError::Config`] naming the field that is out of range.
    pub fn build(self, tissues: impl TissueModel + 'static) -> Result<TissueBias, DagError> {
        self.build_shared(Arc::new(tissues))
    }

    /// [`build`](Self::build) for a model that others use too.
    pub(crate) fn build_shared(
        self,
        tissues: Arc<dyn TissueModel>,
    ) -> Result<TissueBias, DagError> {
        self.with(TissueSource::Model(tissues))
    }

    /// Checks the values; tissues are those of each scene, whose models have this number of classes, 1 to 256.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn build_for_scenes(self, classes: usize) -> Result<TissueBias, DagError> {
        self.with(TissueSource::Scene { classes })
    }

    /// Checks the values; all is one tissue, so that the bias shifts the whole shape.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn build_without_tissues(self) -> Result<TissueBias, DagError> {
        self.with(TissueSource::One)
    }

    fn with(self, tissues: TissueSource) -> Result<TissueBias, DagError> {
        check_strength(self.probability, self.severity)?;
        check::in_range("count_offset", self.count_offset, [0.0, f64::MAX], "a count ≥ 0")?;
        check_sigma("blur_sigma_voxels", self.blur_sigma_voxels)?;
        check::in_range("tissue classes", tissues.classes() as f64, [1.0, 256.0], "1 to 256")?;
        Ok(TissueBias { config: self, tissues })
    }
}

/// Shifts the intensities of some tissues under a soft mask: `out = clip(clean ± a·m·b)`.
///
/// b is the blurred indicator of the selected tissues; of none selected, of all. It is the same for all channels; a and
/// the sign are drawn for each: a lesion may be dark in T1 and bright in T2.
///
/// # Source
/// DISYRE v2 (arXiv 2407.06635), intensity bias by tissue, of one channel; several are ours.
#[derive(Clone)]
pub struct TissueBias {
    config: BiasConfig,
    tissues: TissueSource,
}

impl fmt::Debug for TissueBias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TissueBias").field("config", &self.config).finish_non_exhaustive()
    }
}

impl TissueBias {
    /// Shifts a canvas; returns the greatest change of any voxel.
    fn shift(&self, params: &BiasParams, canvas: &mut Canvas<'_>) -> Result<Severity, DagError> {
        ensure_classes(self.tissues.classes(), params.selection.len())?;
        if params.severity == Severity::CLEAN {
            return Ok(Severity::CLEAN);
        }
        let weights = self.weights(params, canvas)?;
        Ok(add(params, &canvas.mask().values, weights, canvas.window_mut()))
    }

    /// b over the mask's window; `None` if it is 1 throughout.
    fn weights(
        &self,
        params: &BiasParams,
        canvas: &Canvas<'_>,
    ) -> Result<Option<Array3<f32>>, DagError> {
        let field = self.tissues.field(self.config.memberships, canvas)?;
        let Some(selected) = self.select(params, &field, canvas) else { return Ok(None) };
        let (_, z, y, x) = canvas.neighbourhood().dim();
        let mut indicator = ScratchBuffer::zeros(z * y * x);
        field.indicate(&selected, &mut indicator);
        let mut view = ArrayViewMut3::from_shape((z, y, x), &mut indicator)
            .expect("a buffer of the canvas's size");
        blur(view.view_mut(), self.config.blur_sigma_voxels);
        Ok(Some(canvas.inner().of(view).to_owned()))
    }

    /// The tissues to be shifted; `None` for all.
    fn select(
        &self,
        params: &BiasParams,
        field: &TissueField,
        canvas: &Canvas<'_>,
    ) -> Option<Vec<bool>> {
        let counts = field.counts(params.selection.len(), &canvas.inner(), canvas.mask());
        let total = counts.iter().sum::<f64>() + self.config.count_offset;
        let chosen = params.selection.iter().zip(counts).map(|(u, count)| *u < count / total);
        let selected: Vec<bool> = chosen.collect();
        let mixed = selected.contains(&true) && selected.contains(&false);
        mixed.then_some(selected)
    }
}

/// Shifts the voxels of a mask's window; the greatest change.
fn add(
    params: &BiasParams,
    mask: &Array3<f32>,
    weights: Option<Array3<f32>>,
    mut image: ArrayViewMut4<'_, f32>,
) -> Severity {
    let weights: Option<ArrayView3<'_, f32>> = weights.as_ref().map(|weights| weights.view());
    let mut greatest = 0;
    for (index, channel) in image.outer_iter_mut().enumerate() {
        let amount = params.shift_of(index);
        let mut masks = mask.rows().into_iter();
        let mut indicators = weights.as_ref().map(|weights| weights.rows().into_iter());
        for_each_row(channel, |row| {
            let Some(mask) = masks.next() else { return };
            let mut change = contiguous(mask);
            if let Some(indicator) = indicators.as_mut().and_then(Iterator::next) {
                let indicator = contiguous(indicator);
                let change = change.to_mut().iter_mut();
                change.zip(indicator.iter()).for_each(|(m, b)| *m *= b.min(1.0));
            }
            for (value, weight) in row.iter_mut().zip(change.iter()) {
                let shifted = (*value + amount * weight).clamp(0.0, 1.0);
                greatest = to_ordered((shifted - *value).abs()).max(greatest);
                *value = shifted;
            }
        });
    }
    severity_of(from_ordered(greatest))
}

impl Corruption for TissueBias {
    fn name(&self) -> &'static str {
        BIAS
    }

    /// Draws shift, direction and a number for each tissue.
    fn draw(&self, key: Key) -> CorruptionParams {
        let mut rng = key.rng();
        let severity = draw_present(&mut rng, self.config.probability, self.config.severity);
        let brighten = rng.random_bool(0.5);
        CorruptionParams::Bias(BiasParams {
            severity,
            direction: BiasDirection::of(brighten),
            channels: key.child("channels"),
            selection: (0..self.tissues.classes()).map(|_| rng.random()).collect(),
        })
    }

    fn margin(&self) -> [usize; 3] {
        self.config.blur_sigma_voxels.map(radius)
    }

    fn realise(
        &self,
        params: &CorruptionParams,
        canvas: &mut Canvas<'_>,
    ) -> Result<Severity, DagError> {
        match params {
            CorruptionParams::Bias(params) => self.shift(params, canvas),
            other => Err(other.unlike(self.name())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placed_mask::PlacedMask;
    use disyre_core::{
        ShapeError,
        ndarray::{Array4, ArrayView2, ArrayViewMut2},
    };

    /// Two tissues: intensities below one half, and the rest; `share` of a voxel is its own tissue's.
    struct Halves {
        share: f32,
    }

    impl TissueModel for Halves {
        fn classes(&self) -> usize {
            2
        }

        fn soft(
            &self,
            intensities: ArrayView2<'_, f32>,
            mut memberships: ArrayViewMut2<'_, f32>,
        ) -> Result<(), ShapeError> {
            for (voxel, mut row) in intensities.rows().into_iter().zip(memberships.rows_mut()) {
                let own = usize::from(voxel[0] >= 0.5);
                (row[own], row[1 - own]) = (self.share, 1.0 - self.share);
            }
            Ok(())
        }
    }

    /// No blur and no offset: what is selected follows from the counts alone.
    fn plain() -> BiasConfig {
        BiasConfig { count_offset: 0.0, blur_sigma_voxels: [0.0; 3], ..BiasConfig::default() }
    }

    fn params(severity: f32, direction: BiasDirection, selection: [f64; 2]) -> CorruptionParams {
        let (severity, selection) = (Severity::new(severity).unwrap(), selection.to_vec());
        CorruptionParams::Bias(BiasParams { severity, direction, channels: Key::new(0), selection })
    }

    /// The row after the shift, and the severity that was realised.
    fn shift<const N: usize>(
        bias: &TissueBias,
        params: &CorruptionParams,
        clean: [f32; N],
        mask: [f32; N],
    ) -> ([f32; N], f32) {
        let clean = Array4::from_shape_vec((1, 1, 1, N), clean.to_vec()).unwrap();
        let values = Array3::from_shape_vec((1, 1, N), mask.to_vec()).unwrap();
        let mask = PlacedMask { origin: [0; 3], values };
        let mut out = Array4::zeros(clean.dim());
        let realised = bias.apply(params, clean.view(), &mask, out.view_mut()).unwrap();
        (std::array::from_fn(|x| out[[0, 0, 0, x]]), realised.get())
    }

    #[track_caller]
    fn close<const N: usize>(got: ([f32; N], f32), row: [f32; N], severity: f32) {
        got.0.iter().zip(row).for_each(|(a, b)| assert!((a - b).abs() < 1e-6, "{:?}", got.0));
        assert!((got.1 - severity).abs() < 1e-6, "{}", got.1);
    }

    const CLEAN: [f32; 5] = [0.2, 0.4, 0.6, 0.9, 0.3];
    /// The last voxel lies outside.
    const MASK: [f32; 5] = [1.0, 0.5, 1.0, 1.0, 0.0];

    #[test]
    fn only_the_selected_tissue_is_shifted_by_severity_times_mask() {
        let bias = plain().build(Halves { share: 1.0 }).unwrap();
        let dark = params(0.2, BiasDirection::Brighten, [0.0, 1.0]);
        close(shift(&bias, &dark, CLEAN, MASK), [0.4, 0.5, 0.6, 0.9, 0.3], 0.2);
        let bright = params(0.2, BiasDirection::Brighten, [1.0, 0.0]);
        close(shift(&bias, &bright, CLEAN, MASK), [0.2, 0.4, 0.8, 1.0, 0.3], 0.2);
    }

    #[test]
    fn darkening_is_clipped_and_the_greatest_change_is_the_severity() {
        let bias = plain().build(Halves { share: 1.0 }).unwrap();
        let dark = params(0.5, BiasDirection::Darken, [0.0, 1.0]);
        // 0.2 − 0.5 is clipped at 0, a change of 0.2; 0.4 − 0.5 · 0.5 = 0.15, a change of 0.25.
        close(shift(&bias, &dark, CLEAN, MASK), [0.0, 0.15, 0.6, 0.9, 0.3], 0.25);
    }

    #[test]
    fn of_no_selected_tissue_all_are_shifted() {
        let bias = plain().build(Halves { share: 1.0 }).unwrap();
        let none = params(0.1, BiasDirection::Brighten, [1.0, 1.0]);
        close(shift(&bias, &none, CLEAN, MASK), [0.3, 0.45, 0.7, 1.0, 0.3], 0.1);
    }

    #[test]
    fn a_tissue_is_selected_below_its_share_of_the_masks_voxels() {
        // n = 2 of N = 4 voxels with mask > 0, offset 1: 2 / (4 + 1) = 0.4.
        let config = BiasConfig { count_offset: 1.0, ..plain() };
        let bias = config.build(Halves { share: 1.0 }).unwrap();
        let below = params(0.1, BiasDirection::Brighten, [0.39, 1.0]);
        close(shift(&bias, &below, CLEAN, MASK), [0.3, 0.45, 0.6, 0.9, 0.3], 0.1);
        let above = params(0.1, BiasDirection::Brighten, [0.41, 0.0]);
        close(shift(&bias, &above, CLEAN, MASK), [0.2, 0.4, 0.7, 1.0, 0.3], 0.1);
    }

    #[test]
    fn soft_memberships_weigh_the_shift() {
        let config = BiasConfig { memberships: Memberships::Soft, ..plain() };
        let bias = config.build(Halves { share: 0.75 }).unwrap();
        let dark = params(0.2, BiasDirection::Brighten, [0.0, 1.0]);
        // 0.2 · (0.75, 0.5 · 0.75, 0.25, 0.25).
        close(shift(&bias, &dark, CLEAN, MASK), [0.35, 0.475, 0.65, 0.95, 0.3], 0.15);
    }

    #[test]
    fn the_indicator_of_the_selected_tissue_is_blurred() {
        let config = BiasConfig { blur_sigma_voxels: [0.0, 0.0, 0.5], ..plain() };
        let bias = config.build(Halves { share: 1.0 }).unwrap();
        let bright = params(0.4, BiasDirection::Brighten, [1.0, 0.0]);
        // Weights exp(0), exp(−2), exp(−8) over their symmetric sum, around the one bright voxel.
        let sum = 1.0 + 2.0 * ((-2f32).exp() + (-8f32).exp());
        let at = |exponent: f32| 0.4 * exponent.exp() / sum;
        let expected = [0.1 + at(-8.0), 0.1 + at(-2.0), 0.5 + at(0.0), 0.1 + at(-2.0), 0.1];
        let got = shift(&bias, &bright, [0.1, 0.1, 0.5, 0.1, 0.1], [1.0, 1.0, 1.0, 1.0, 0.0]);
        close(got, expected, at(0.0));
    }

    #[test]
    fn without_tissues_the_whole_mask_is_shifted_and_other_counts_are_refused() {
        let bias = plain().build_without_tissues().unwrap();
        let CorruptionParams::Bias(mut drawn) = bias.draw(Key::new(1)) else {
            panic!("a bias draws a bias")
        };
        assert_eq!(drawn.selection.len(), 1);
        (drawn.severity, drawn.direction) = (Severity::new(0.1).unwrap(), BiasDirection::Brighten);
        let got = shift(&bias, &CorruptionParams::Bias(drawn), CLEAN, MASK);
        close(got, [0.3, 0.45, 0.7, 1.0, 0.3], 0.1);
        let (clean, mut out) = (Array4::from_elem((1, 1, 1, 2), 0.5), Array4::zeros((1, 1, 1, 2)));
        let mask = PlacedMask { origin: [0; 3], values: Array3::ones((1, 1, 2)) };
        let two = params(0.1, BiasDirection::Brighten, [0.0; 2]);
        let error = bias.apply(&two, clean.view(), &mask, out.view_mut()).unwrap_err();
        assert_eq!(error, DagError::Classes { expected: 1, got: 2 });
    }

    #[test]
    fn the_first_channel_is_shifted_by_the_severity_and_others_by_a_part_of_it() {
        let bias = plain().build_without_tissues().unwrap();
        for index in 0..50u64 {
            let CorruptionParams::Bias(drawn) = bias.draw(Key::new(index)) else {
                panic!("a bias draws a bias")
            };
            let sign = if drawn.direction == BiasDirection::Brighten { 1.0 } else { -1.0 };
            assert_eq!(drawn.shift_of(0), sign * drawn.severity.get());
            assert!(drawn.shift_of(1).abs() <= drawn.severity.get());
            assert_ne!(drawn.shift_of(1), drawn.shift_of(2));
        }
    }
}
