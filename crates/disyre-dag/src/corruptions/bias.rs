use std::{fmt, sync::Arc};

use disyre_core::{
    Key, Severity, TissueModel,
    ndarray::{Array3, Array4, ArrayView3, ArrayView4, ArrayViewMut3, ArrayViewMut4},
    rand::RngExt,
};
use serde::{Deserialize, Serialize};

use super::{Corruption, CorruptionParams, check_strength, draw_present, write};
use crate::{
    blur::{blur, check_sigma, radius},
    canvas::{Canvas, contiguous, for_each_row, severity_of},
    check,
    error::DagError,
    mask::PlacedMask,
    order::{float, number},
    region::Region,
    scratch::Buffer,
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
    /// Whether a voxel belongs to one tissue or to several in part.
    pub memberships: Memberships,
}

/// How far a voxel belongs to tissues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Memberships {
    /// To the most probable one; published.
    #[default]
    Hard,
    /// To each as the tissue model says: n and the indicator are sums of memberships.
    Soft,
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
        self.with(Tissues::Model(tissues))
    }

    /// Checks the values; tissues are those of each scene, whose models have this number of classes, 1 to 256.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn build_for_scenes(self, classes: usize) -> Result<TissueBias, DagError> {
        self.with(Tissues::Scene { classes })
    }

    /// Checks the values; all is one tissue, so that the bias shifts the whole shape.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn build_without_tissues(self) -> Result<TissueBias, DagError> {
        self.with(Tissues::One)
    }

    fn with(self, tissues: Tissues) -> Result<TissueBias, DagError> {
        check_strength(self.probability, self.severity)?;
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

impl BiasDirection {
    fn of(brighten: bool) -> Self {
        if brighten { Self::Brighten } else { Self::Darken }
    }
}

/// What [`TissueBias::draw`] draws.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BiasParams {
    /// The drawn shift of the first channel, and the most that another may draw; what is realised depends on mask,
    /// tissue and clipping.
    pub severity: Severity,
    /// The sign of the first channel's shift.
    pub direction: BiasDirection,
    /// The key that the shifts of further channels are drawn with.
    pub channels: Key,
    /// For each tissue a number in `[0, 1)`: the tissue is selected if it lies below `n / (N + offset)`.
    pub selection: Vec<f64>,
}

impl BiasParams {
    /// The signed shift of a fully selected voxel of a channel: of the first one the severity, of others a uniform
    /// part of it.
    fn shift_of(&self, channel: usize) -> f32 {
        let (amount, direction) = match channel {
            0 => (self.severity.get(), self.direction),
            _ => {
                let mut rng = self.channels.child(channel).rng();
                let amount = self.severity.get() * rng.random::<f32>();
                (amount, BiasDirection::of(rng.random_bool(0.5)))
            }
        };
        match direction {
            BiasDirection::Brighten => amount,
            BiasDirection::Darken => -amount,
        }
    }
}

/// Where tissues come from.
#[derive(Clone)]
enum Tissues {
    Model(Arc<dyn TissueModel>),
    Scene { classes: usize },
    One,
}

impl Tissues {
    fn classes(&self) -> usize {
        match self {
            Self::Model(model) => model.classes(),
            Self::Scene { classes } => *classes,
            Self::One => 1,
        }
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
    tissues: Tissues,
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
        let severity = draw_present(&mut rng, self.config.probability, self.config.severity);
        let brighten = rng.random_bool(0.5);
        BiasParams {
            severity,
            direction: BiasDirection::of(brighten),
            channels: key.child("channels"),
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
    /// [`DagError::Classes`] if the parameters were drawn for another number of tissues; `out` is then untouched.
    pub fn apply(
        &self,
        params: &BiasParams,
        clean: ArrayView4<'_, f32>,
        mask: &PlacedMask,
        out: ArrayViewMut4<'_, f32>,
    ) -> Result<Severity, DagError> {
        write(clean, mask, out, self.margin(), |canvas| self.shift(params, canvas))
    }

    /// Shifts a canvas.
    pub(crate) fn shift(
        &self,
        params: &BiasParams,
        canvas: &mut Canvas<'_>,
    ) -> Result<Severity, DagError> {
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
        let field = self.field(canvas)?;
        let Some(selected) = self.select(params, &field, canvas) else { return Ok(None) };
        let (_, z, y, x) = canvas.around().dim();
        let mut indicator = Buffer::zeros(z * y * x);
        field.indicate(&selected, &mut indicator);
        let mut view = ArrayViewMut3::from_shape((z, y, x), &mut indicator)
            .expect("a buffer of the canvas's size");
        blur(view.view_mut(), self.config.blur_sigma_voxels);
        Ok(Some(canvas.inner().of(view).to_owned()))
    }

    /// The tissues of every voxel around the mask.
    fn field(&self, canvas: &Canvas<'_>) -> Result<Field, DagError> {
        let (around, expected) = (canvas.around(), self.tissues.classes());
        let (_, z, y, x) = around.dim();
        let model = match &self.tissues {
            Tissues::Model(model) => &**model,
            Tissues::Scene { .. } => {
                canvas.tissues().ok_or(DagError::Missing { what: "a tissue model of the image" })?
            }
            Tissues::One => return Ok(Field::Hard(Array3::zeros((z, y, x)))),
        };
        ensure_classes(expected, model.classes())?;
        if self.config.memberships == Memberships::Soft {
            let mut memberships = Array4::zeros((expected, z, y, x));
            model.soft_at(canvas.around_origin(), around, memberships.view_mut())?;
            return Ok(Field::Soft(memberships));
        }
        let mut labels = Array3::zeros((z, y, x));
        model.hard_at(canvas.around_origin(), around, labels.view_mut())?;
        // Without early exit, the comparison vectorises.
        let greatest = labels.iter().fold(0, |greatest: u8, label| greatest.max(*label));
        ensure_classes(expected, expected.max(usize::from(greatest) + 1))?;
        Ok(Field::Hard(labels))
    }

    /// Which tissues are shifted; `None` for all.
    fn select(&self, params: &BiasParams, field: &Field, canvas: &Canvas<'_>) -> Option<Vec<bool>> {
        let counts = field.counts(params.selection.len(), &canvas.inner(), canvas.mask());
        let total = counts.iter().sum::<f64>() + self.config.count_offset;
        let chosen = params.selection.iter().zip(counts).map(|(u, count)| *u < count / total);
        let selected: Vec<bool> = chosen.collect();
        let mixed = selected.contains(&true) && selected.contains(&false);
        mixed.then_some(selected)
    }
}

fn ensure_classes(expected: usize, got: usize) -> Result<(), DagError> {
    if expected == got { Ok(()) } else { Err(DagError::Classes { expected, got }) }
}

/// The tissues of the voxels of a canvas.
enum Field {
    /// `(z, y, x)`.
    Hard(Array3<u8>),
    /// `(classes, z, y, x)`.
    Soft(Array4<f32>),
}

impl Field {
    /// Voxels of each tissue with mask > 0.
    fn counts(&self, classes: usize, inner: &Region, mask: &PlacedMask) -> Vec<f64> {
        match self {
            Self::Hard(labels) => {
                // Four counters of each tissue: neighbours are mostly alike, and one would wait for itself.
                let mut counts = [[0u32; 256]; 4];
                let labels = inner.of(labels.view());
                for (labels, mask) in labels.rows().into_iter().zip(mask.values.rows()) {
                    for (index, (&label, &m)) in labels.iter().zip(mask).enumerate() {
                        counts[index % 4][usize::from(label)] += u32::from(m > 0.0);
                    }
                }
                let all = |class| counts.iter().map(|counts| f64::from(counts[class])).sum();
                (0..classes.min(256)).map(all).collect()
            }
            Self::Soft(memberships) => {
                let inside = inner.of(memberships.view());
                let covered = |share: ArrayView3<'_, f32>| {
                    let voxels = share.iter().zip(&mask.values).filter(|(_, m)| **m > 0.0);
                    voxels.map(|(share, _)| f64::from(*share)).sum()
                };
                inside.outer_iter().map(covered).collect()
            }
        }
    }

    /// 1 in the selected tissues, or the sum of memberships of them.
    fn indicate(&self, selected: &[bool], out: &mut [f32]) {
        match self {
            Self::Hard(labels) => {
                let mut values = [0f32; 256];
                values.iter_mut().zip(selected).for_each(|(v, on)| *v = f32::from(u8::from(*on)));
                for (out, label) in out.iter_mut().zip(labels) {
                    *out = values[usize::from(*label)];
                }
            }
            Self::Soft(memberships) => {
                let classes = memberships.outer_iter().zip(selected).filter(|(_, on)| **on);
                for (share, _) in classes {
                    out.iter_mut().zip(share).for_each(|(out, share)| *out += share);
                }
            }
        }
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
                greatest = number((shifted - *value).abs()).max(greatest);
                *value = shifted;
            }
        });
    }
    severity_of(float(greatest))
}

impl Corruption for TissueBias {
    fn name(&self) -> &'static str {
        super::BIAS
    }

    fn sample(&self, key: Key) -> CorruptionParams {
        CorruptionParams::Bias(self.draw(key))
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
