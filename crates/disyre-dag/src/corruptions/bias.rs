use std::{fmt, sync::Arc};

use disyre_core::{
    Key, Severity,
    ndarray::{Array2, Array3, ArrayView3, ArrayView4, ArrayViewMut4, Zip},
    rand::RngExt,
};
use serde::{Deserialize, Serialize};

use disyre_core::TissueModel;

use super::{Corruption, check_images, check_severities, draw_severity};
use crate::{
    DagError, PlacedMask,
    blur::{blur, check_sigma, radius},
    check,
};

/// How the intensities of single tissues are shifted.
///
/// # Source
/// DISYRE v2 (arXiv 2407.06635), intensity bias; the numbers are those of its published code.
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
}

impl Default for BiasConfig {
    fn default() -> Self {
        Self {
            probability: 1.0,
            severity: [0.0, 1.0],
            count_offset: 1000.0,
            blur_sigma_voxels: [1.0; 3],
        }
    }
}

impl BiasConfig {
    /// Checks the values.
    ///
    /// # Errors
    /// [`DagError::Config`] naming the field that is out of range.
    pub fn build(self, tissues: Arc<dyn TissueModel>) -> Result<TissueBias, DagError> {
        check::probability("probability", self.probability)?;
        check_severities(self.severity)?;
        check::in_range("count_offset", self.count_offset, [0.0, f64::MAX], "a count ≥ 0")?;
        check_sigma("blur_sigma_voxels", self.blur_sigma_voxels)?;
        check::in_range("tissue classes", tissues.classes() as f64, [1.0, 256.0], "1 to 256")?;
        Ok(TissueBias { config: self, tissues })
    }
}

/// Whether a bias adds or takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BiasDirection {
    /// Intensities grow.
    Brighten,
    /// Intensities shrink.
    Darken,
}

/// What [`TissueBias::draw`] draws.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BiasParams {
    /// The drawn shift; what is realised depends on mask, tissue and clipping.
    pub severity: Severity,
    /// Its sign.
    pub direction: BiasDirection,
    /// For each tissue a number in `[0, 1)`: the tissue is selected if it lies below `n / (N + offset)`.
    pub selection: Vec<f64>,
}

/// Shifts the intensities of some tissues under a soft mask: `out = clip(clean ± a·m·b)`.
///
/// b is the blurred indicator of the selected tissues; of none selected, of all. All channels share one shift.
///
/// # Source
/// DISYRE v2 (arXiv 2407.06635), intensity bias by tissue.
#[derive(Clone)]
pub struct TissueBias {
    config: BiasConfig,
    tissues: Arc<dyn TissueModel>,
}

impl fmt::Debug for TissueBias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TissueBias").field("config", &self.config).finish_non_exhaustive()
    }
}

impl TissueBias {
    /// Draws shift, direction and a number for each tissue.
    pub fn draw(&self, key: Key) -> BiasParams {
        let mut rng = key.rng();
        let present = rng.random_bool(self.config.probability);
        let severity = draw_severity(self.config.severity, rng.random());
        let brighten = rng.random_bool(0.5);
        BiasParams {
            severity: if present { severity } else { Severity::CLEAN },
            direction: if brighten { BiasDirection::Brighten } else { BiasDirection::Darken },
            selection: (0..self.tissues.classes()).map(|_| rng.random()).collect(),
        }
    }

    /// Shifts; returns the greatest change of any voxel.
    ///
    /// # Shapes and units
    /// `clean` and `out` are `(c, z, y, x)`, intensities in `[0, 1]`; all of `out` is written.
    ///
    /// # Errors
    /// [`DagError`] if the arrays, the mask and the tissue model do not fit each other;
    /// [`DagError::Classes`] if the parameters were drawn for another number of tissues.
    pub fn apply(
        &self,
        params: &BiasParams,
        clean: ArrayView4<'_, f32>,
        mask: &PlacedMask,
        mut out: ArrayViewMut4<'_, f32>,
    ) -> Result<Severity, DagError> {
        check_images(&clean, &out)?;
        mask.check(&clean)?;
        self.check_params(params)?;
        let weights = self.weights(params, clean, mask)?;
        out.assign(&clean);
        Ok(shift(params, &weights, mask, out))
    }

    /// That the parameters select among this model's tissues.
    pub(crate) fn check_params(&self, params: &BiasParams) -> Result<(), DagError> {
        let (expected, got) = (self.tissues.classes(), params.selection.len());
        if expected == got { Ok(()) } else { Err(DagError::Classes { expected, got }) }
    }

    /// Applies to an image in place.
    pub(crate) fn apply_in_place(
        &self,
        params: &BiasParams,
        mask: &PlacedMask,
        image: ArrayViewMut4<'_, f32>,
    ) -> Result<Severity, DagError> {
        let weights = self.weights(params, image.view(), mask)?;
        Ok(shift(params, &weights, mask, image))
    }

    /// `m·b` over the mask's window.
    fn weights(
        &self,
        params: &BiasParams,
        image: ArrayView4<'_, f32>,
        mask: &PlacedMask,
    ) -> Result<Array3<f32>, DagError> {
        let (_, z, y, x) = image.dim();
        // The window and the voxels around it that a blur inside the window looks at.
        let wide = mask.region().widened(self.config.blur_sigma_voxels.map(radius), [z, y, x]);
        let inner = mask.region().inside(&wide);
        let labels = self.labels(wide.of(image))?;
        let selected = self.select(params, inner.of(labels.view()), mask);
        if selected.iter().all(|&selected| selected) {
            return Ok(mask.values.clone());
        }
        let mut indicator = labels.mapv(|label| f32::from(selected[usize::from(label)]));
        blur(indicator.view_mut(), self.config.blur_sigma_voxels);
        let mut weights = mask.values.clone();
        Zip::from(&mut weights).and(inner.of(indicator.view())).for_each(|m, b| *m *= b.min(1.0));
        Ok(weights)
    }

    /// The tissue of every voxel of an image, `(c, z, y, x)` → `(z, y, x)`.
    fn labels(&self, image: ArrayView4<'_, f32>) -> Result<Array3<u8>, DagError> {
        let (channels, z, y, x) = image.dim();
        let mut intensities = Array2::zeros((z * y * x, channels));
        for (channel, mut column) in image.outer_iter().zip(intensities.columns_mut()) {
            column.iter_mut().zip(channel).for_each(|(to, from)| *to = *from);
        }
        let mut labels = vec![0; z * y * x];
        self.tissues.hard(intensities.view(), &mut labels)?;
        let classes = self.tissues.classes();
        if let Some(&label) = labels.iter().find(|&&label| usize::from(label) >= classes) {
            return Err(DagError::Classes { expected: classes, got: usize::from(label) + 1 });
        }
        let mut field = Array3::zeros((z, y, x));
        field.iter_mut().zip(labels).for_each(|(to, from)| *to = from);
        Ok(field)
    }

    /// Which tissues are shifted.
    fn select(
        &self,
        params: &BiasParams,
        labels: ArrayView3<'_, u8>,
        mask: &PlacedMask,
    ) -> Vec<bool> {
        let mut counts = vec![0u32; params.selection.len()];
        Zip::from(labels).and(&mask.values).for_each(|&label, &m| {
            counts[usize::from(label)] += u32::from(m > 0.0);
        });
        let total = counts.iter().copied().map(f64::from).sum::<f64>() + self.config.count_offset;
        let chances = counts.iter().map(|&count| f64::from(count) / total);
        let mut selected: Vec<bool> =
            params.selection.iter().zip(chances).map(|(u, chance)| *u < chance).collect();
        if !selected.contains(&true) {
            selected.fill(true);
        }
        selected
    }
}

/// Shifts the voxels of a mask's window; the greatest change.
fn shift(
    params: &BiasParams,
    weights: &Array3<f32>,
    mask: &PlacedMask,
    image: ArrayViewMut4<'_, f32>,
) -> Severity {
    let amount = match params.direction {
        BiasDirection::Brighten => params.severity.get(),
        BiasDirection::Darken => -params.severity.get(),
    };
    let mut greatest = 0f32;
    for channel in mask.region().of(image).outer_iter_mut() {
        Zip::from(channel).and(weights).for_each(|value, weight| {
            let shifted = (*value + amount * weight).clamp(0.0, 1.0);
            greatest = greatest.max((shifted - *value).abs());
            *value = shifted;
        });
    }
    Severity::new(greatest).unwrap_or(Severity::FULL)
}

impl Corruption for TissueBias {
    fn corrupt(
        &self,
        key: Key,
        clean: ArrayView4<'_, f32>,
        mask: &PlacedMask,
        out: ArrayViewMut4<'_, f32>,
    ) -> Result<Severity, DagError> {
        self.apply(&self.draw(key), clean, mask, out)
    }
}
