//! Tissue classes by the nearest of K centres; k-means makes them.
use disyre_core::ndarray::{Array2, ArrayView1, ArrayView2, ArrayViewMut2};
use disyre_core::{ShapeError, TissueModel, ensure_finite, ensure_same_shape};
use serde::{Deserialize, Serialize};

use crate::error::TissueError;

/// Greatest number of classes: labels are `u8`.
pub const MAX_CLASSES: usize = 256;

/// Centres of the published model: five intensities, the first of them the background.
///
/// # Source
/// The published code, fixed for T1 and T2 alike; evidently a k-means result on its healthy cohort. The paper does not
/// state them.
pub const PUBLISHED_CENTRES: [f64; 5] = [0.00565079, 0.38283867, 0.61224216, 0.76920754, 0.9385473];

/// K tissue classes, each a centre in the space of intensities; a voxel belongs to the nearest.
///
/// Classes are numbered by ascending intensity (of the first channel, then of the next). As JSON a codebook is
/// `{"centres": [[…], …]}`, one list of channels per class.
///
/// ```
/// use disyre_core::{TissueModel, ndarray::array};
/// use disyre_tissue::Codebook;
///
/// let codebook = Codebook::from_centres(array![[0.9], [0.2], [0.5]].view())?;
/// let mut labels = [0; 2];
/// codebook.hard(array![[0.1], [0.8]].view(), &mut labels)?;
/// assert_eq!(labels, [0, 2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Source
/// DISYRE v2 (arXiv 2407.06635), tissue classes of the intensity bias. Fitting them to the training cohort in place of
/// fixed intensities is ours, because contrasts differ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "CodebookJson", try_from = "CodebookJson")]
pub struct Codebook {
    /// (k, channels), ascending, distinct, finite.
    centres: Array2<f64>,
    /// With one channel, where one class ends and the next begins; else empty.
    thresholds: Vec<f64>,
}

impl Codebook {
    /// Takes centres in any order.
    ///
    /// # Shapes and units
    /// `centres` is `(k, channels)`, intensities in `[0, 1]`.
    ///
    /// # Errors
    /// [`TissueError::Classes`], [`TissueError::NoChannels`], [`TissueError::CentreNotFinite`] or
    /// [`TissueError::Duplicate`].
    pub fn from_centres(centres: ArrayView2<'_, f64>) -> Result<Self, TissueError> {
        ensure_labelled(centres.nrows())?;
        if centres.ncols() == 0 {
            return Err(TissueError::NoChannels);
        }
        if let Some(((class, channel), _)) = centres.indexed_iter().find(|(_, c)| !c.is_finite()) {
            return Err(TissueError::CentreNotFinite { class, channel });
        }
        let mut order: Vec<usize> = (0..centres.nrows()).collect();
        order.sort_by(|&a, &b| compare(centres.row(a), centres.row(b)));
        for pair in order.windows(2) {
            if centres.row(pair[0]) == centres.row(pair[1]) {
                return Err(TissueError::Duplicate { centre: centres.row(pair[0]).to_vec() });
            }
        }
        Ok(Self::assemble(Array2::from_shape_fn(centres.dim(), |(k, c)| centres[[order[k], c]])))
    }

    /// Codebook of the published model, [`PUBLISHED_CENTRES`].
    pub fn published() -> Self {
        Self::assemble(Array2::from_shape_fn((PUBLISHED_CENTRES.len(), 1), |(k, _)| {
            PUBLISHED_CENTRES[k]
        }))
    }

    /// Centres, `(k, channels)`, ascending.
    pub fn centres(&self) -> ArrayView2<'_, f64> {
        self.centres.view()
    }

    /// Number of channels that a voxel must have.
    pub fn channels(&self) -> usize {
        self.centres.ncols()
    }

    /// Index of the nearest centre and the squared distance to it; the lowest index among equals.
    pub(crate) fn nearest(&self, voxel: ArrayView1<'_, f32>) -> (usize, f64) {
        let mut best = (0, f64::INFINITY);
        for (class, centre) in self.centres.rows().into_iter().enumerate() {
            let distance = squared_distance(voxel, centre);
            if distance < best.1 {
                best = (class, distance);
            }
        }
        best
    }

    /// Labels of checked intensities: finite, with as many channels as the centres and a label for each.
    pub(crate) fn label(&self, intensities: ArrayView2<'_, f32>, labels: &mut [u8]) {
        if self.channels() > 1 {
            for (label, voxel) in labels.iter_mut().zip(intensities.rows()) {
                *label = self.nearest(voxel).0 as u8;
            }
            return;
        }
        labels.fill(0);
        for &threshold in &self.thresholds {
            for (label, &value) in labels.iter_mut().zip(intensities.column(0)) {
                *label += u8::from(f64::from(value) > threshold);
            }
        }
    }

    /// From centres that are ascending, distinct and finite.
    fn assemble(centres: Array2<f64>) -> Self {
        let thresholds = match centres.ncols() {
            1 => centres
                .rows()
                .into_iter()
                .zip(centres.rows().into_iter().skip(1))
                .map(middle)
                .collect(),
            _ => Vec::new(),
        };
        Self { centres, thresholds }
    }

    fn ensure_fits(&self, intensities: &ArrayView2<'_, f32>) -> Result<(), ShapeError> {
        let expected = [intensities.nrows(), self.channels()];
        ensure_same_shape("tissue intensities", &expected, intensities.shape())?;
        ensure_finite("tissue intensities", intensities)
    }
}

impl TissueModel for Codebook {
    fn classes(&self) -> usize {
        self.centres.nrows()
    }

    /// Memberships inversely proportional to the squared distance from each centre: `u_k = d_k⁻² / Σ_j d_j⁻²`; a voxel
    /// on a centre belongs to it alone.
    ///
    /// # Source
    /// Ours, for the published code has hard labels only: the memberships of fuzzy c-means with exponent 2 (Bezdek
    /// 1981). They need nothing but the centres, and the greatest is that of the nearest centre.
    fn soft(
        &self,
        intensities: ArrayView2<'_, f32>,
        mut memberships: ArrayViewMut2<'_, f32>,
    ) -> Result<(), ShapeError> {
        self.ensure_fits(&intensities)?;
        let expected = [intensities.nrows(), self.classes()];
        ensure_same_shape("tissue memberships", &expected, memberships.shape())?;
        for (voxel, mut row) in intensities.rows().into_iter().zip(memberships.rows_mut()) {
            let (class, least) = self.nearest(voxel);
            if least == 0.0 {
                row.fill(0.0);
                row[class] = 1.0;
                continue;
            }
            let closeness = |centre| least / squared_distance(voxel, centre); // in (0, 1], cannot overflow
            let total: f64 = self.centres.rows().into_iter().map(closeness).sum();
            for (membership, centre) in row.iter_mut().zip(self.centres.rows()) {
                *membership = (closeness(centre) / total) as f32;
            }
        }
        Ok(())
    }

    fn hard(&self, intensities: ArrayView2<'_, f32>, labels: &mut [u8]) -> Result<(), ShapeError> {
        self.ensure_fits(&intensities)?;
        ensure_same_shape("tissue labels", &[intensities.nrows()], &[labels.len()])?;
        self.label(intensities, labels);
        Ok(())
    }
}

/// Checks that labels can name every class.
pub(crate) fn ensure_labelled(classes: usize) -> Result<(), TissueError> {
    match classes {
        1..=MAX_CLASSES => Ok(()),
        got => Err(TissueError::Classes { got }),
    }
}

/// JSON of a codebook.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CodebookJson {
    centres: Vec<Vec<f64>>,
}

impl From<Codebook> for CodebookJson {
    fn from(codebook: Codebook) -> Self {
        Self { centres: codebook.centres.rows().into_iter().map(|row| row.to_vec()).collect() }
    }
}

impl TryFrom<CodebookJson> for Codebook {
    type Error = TissueError;

    fn try_from(CodebookJson { centres }: CodebookJson) -> Result<Self, TissueError> {
        let expected = centres.first().map_or(0, Vec::len);
        if let Some(class) = centres.iter().position(|centre| centre.len() != expected) {
            return Err(TissueError::Ragged { class, expected, got: centres[class].len() });
        }
        let shape = (centres.len(), expected);
        Self::from_centres(Array2::from_shape_fn(shape, |(k, c)| centres[k][c]).view())
    }
}

fn squared_distance(voxel: ArrayView1<'_, f32>, centre: ArrayView1<'_, f64>) -> f64 {
    voxel.iter().zip(centre).map(|(&v, &c)| (f64::from(v) - c).powi(2)).sum()
}

fn compare(a: ArrayView1<'_, f64>, b: ArrayView1<'_, f64>) -> std::cmp::Ordering {
    a.iter().partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal)
}

fn middle((a, b): (ArrayView1<'_, f64>, ArrayView1<'_, f64>)) -> f64 {
    0.5 * (a[0] + b[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::array;

    #[test]
    fn a_voxel_gets_the_nearest_centre_and_the_lower_class_half_way() {
        let codebook = Codebook::from_centres(array![[0.75], [0.25], [1.0]].view()).unwrap();
        let voxels = array![[0.0], [0.5], [0.51], [0.875], [0.9], [7.0]];
        let mut labels = [9; 6];
        codebook.hard(voxels.view(), &mut labels).unwrap();
        assert_eq!(labels, [0, 0, 1, 1, 2, 2]);
    }

    #[test]
    fn two_channels_are_measured_together() {
        let codebook = Codebook::from_centres(array![[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]].view());
        let codebook = codebook.unwrap();
        assert_eq!(codebook.centres(), array![[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]]);
        let mut labels = [9; 3];
        codebook.hard(array![[0.9, 0.2], [0.4, 0.4], [0.1, 0.8]].view(), &mut labels).unwrap();
        assert_eq!(labels, [2, 0, 1]);
    }

    #[test]
    fn memberships_fall_with_the_squared_distance() {
        let codebook = Codebook::from_centres(array![[0.0], [0.75]].view()).unwrap();
        let mut memberships = Array2::zeros((3, 2));
        codebook.soft(array![[0.25], [0.75], [0.0]].view(), memberships.view_mut()).unwrap();
        // Distances 1/4 and 1/2: weights 4 to 1.
        assert!(
            (&memberships - &array![[0.8, 0.2], [0.0, 1.0], [1.0, 0.0]])
                .iter()
                .all(|d| d.abs() < 1e-7)
        );
    }

    #[test]
    fn arrays_that_do_not_fit_are_refused() {
        let codebook = Codebook::published();
        assert_eq!(codebook.classes(), 5);
        let two = array![[0.1, 0.2]];
        let error = codebook.hard(two.view(), &mut [0]).unwrap_err();
        assert_eq!(error.to_string(), "tissue intensities has shape [1, 2], expected [1, 1]");
        assert!(codebook.soft(array![[0.1]].view(), Array2::zeros((1, 4)).view_mut()).is_err());
        assert!(codebook.hard(array![[f32::NAN]].view(), &mut [0]).is_err());
        assert!(codebook.hard(array![[0.1]].view(), &mut [0; 2]).is_err());
    }

    #[test]
    fn centres_that_make_no_codebook_are_refused() {
        let make = |centres: Array2<f64>| Codebook::from_centres(centres.view()).unwrap_err();
        assert!(matches!(make(array![[0.1], [0.2], [0.1]]), TissueError::Duplicate { .. }));
        let error = make(array![[0.1, f64::NAN]]);
        assert!(matches!(error, TissueError::CentreNotFinite { class: 0, channel: 1 }));
        assert!(matches!(make(Array2::zeros((0, 1))), TissueError::Classes { got: 0 }));
        assert!(matches!(make(Array2::zeros((2, 0))), TissueError::NoChannels));
        let many = Array2::from_shape_fn((257, 1), |(k, _)| k as f64);
        assert!(matches!(make(many), TissueError::Classes { got: 257 }));
    }
}
