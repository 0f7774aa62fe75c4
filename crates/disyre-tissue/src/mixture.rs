//! Tissue classes as a mixture of Gaussians; `mixture_fit` fits them.
use disyre_core::ndarray::{
    Array2, Array3, ArrayView1, ArrayView2, ArrayView3, ArrayViewMut2, Axis,
};
use disyre_core::{ShapeError, TissueModel, ensure_finite, ensure_same_shape};
use serde::{Deserialize, Serialize};

use crate::codebook::ensure_labelled;
use crate::error::TissueError;

/// K tissue classes, each a Gaussian in the space of intensities; a voxel belongs to every class to some degree.
///
/// The membership of class k is its posterior `u_k = w_k N(x; μ_k, Σ_k) / Σ_j w_j N(x; μ_j, Σ_j)`. Classes are numbered
/// by ascending mean (of the first channel, then of the next). As JSON a mixture is
/// `{"weights": […], "means": [[…], …], "covariances": [[[…], …], …]}`.
///
/// ```
/// use disyre_core::{TissueModel, ndarray::{Array2, Array3, array}};
/// use disyre_tissue::GaussianMixture;
///
/// // Two classes of equal spread; half way between them only their weights count.
/// let covariances = Array3::from_elem((2, 1, 1), 0.01);
/// let mixture = GaussianMixture::new(&[3.0, 1.0], array![[0.2], [0.6]].view(), covariances.view())?;
/// let mut memberships = Array2::zeros((1, 2));
/// mixture.soft(array![[0.4]].view(), memberships.view_mut())?;
/// assert!((memberships[[0, 0]] - 0.75).abs() < 1e-6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Source
/// The textbook model of tissue intensities (Wells et al. 1996; Bishop, *Pattern Recognition and Machine Learning*,
/// 9.2). As tissue classes of the intensity bias it is ours; the published code has hard labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "MixtureJson", try_from = "MixtureJson")]
pub struct GaussianMixture {
    /// (k), non-negative, adding up to 1.
    weights: Vec<f64>,
    /// (k, channels), ascending.
    means: Array2<f64>,
    /// (k, channels, channels), symmetric and positive definite.
    covariances: Array3<f64>,
    /// (k, channels, channels), lower Cholesky factors of the covariances.
    factors: Array3<f64>,
    /// (k), logarithm of weight and normalisation of each class.
    offsets: Vec<f64>,
}

impl GaussianMixture {
    /// Takes classes in any order.
    ///
    /// # Shapes and units
    /// `weights` is `(k)` and is scaled to add up to 1, `means` is `(k, channels)` in intensities, `covariances` is
    /// `(k, channels, channels)` in squared intensities.
    ///
    /// # Errors
    /// [`TissueError::Classes`], [`TissueError::NoChannels`], [`TissueError::Shape`] for arrays that do not fit each
    /// other, [`TissueError::Component`] for a class that is no Gaussian.
    pub fn new(
        weights: &[f64],
        means: ArrayView2<'_, f64>,
        covariances: ArrayView3<'_, f64>,
    ) -> Result<Self, TissueError> {
        let (classes, channels) = means.dim();
        ensure_labelled(classes)?;
        if channels == 0 {
            return Err(TissueError::NoChannels);
        }
        ensure_same_shape("mixture weights", &[classes], &[weights.len()])?;
        let expected = [classes, channels, channels];
        ensure_same_shape("mixture covariances", &expected, covariances.shape())?;
        let total: f64 = weights.iter().sum();
        // Weights that add up to 1 but for rounding stay as they are: a mixture read from a file keeps its bits.
        let total = if (total - 1.0).abs() < 1e-12 { 1.0 } else { total };
        for (class, (&weight, mean)) in weights.iter().zip(means.rows()).enumerate() {
            let valid = (weight / total).is_finite() && weight >= 0.0;
            if !valid || mean.iter().any(|value| !value.is_finite()) {
                return Err(TissueError::Component { class });
            }
        }
        let mut order: Vec<usize> = (0..classes).collect();
        order.sort_by(|&a, &b| means.row(a).iter().partial_cmp(means.row(b)).expect("finite"));
        Self::assemble(
            order.iter().map(|&class| weights[class] / total).collect(),
            means.select(Axis(0), &order),
            covariances.select(Axis(0), &order),
        )
        .map_err(|class| TissueError::Component { class: order[class] })
    }

    /// Mixture of checked classes in their final order. The error is the class whose covariance is not positive definite.
    fn assemble(
        weights: Vec<f64>,
        means: Array2<f64>,
        covariances: Array3<f64>,
    ) -> Result<Self, usize> {
        let mut factors = Array3::zeros(covariances.dim());
        let mut offsets = Vec::with_capacity(weights.len());
        for (class, covariance) in covariances.outer_iter().enumerate() {
            let factor = cholesky(covariance).ok_or(class)?;
            let half_log_det: f64 = factor.diag().iter().map(|pivot| pivot.ln()).sum();
            let log_tau = std::f64::consts::TAU.ln() * means.ncols() as f64;
            offsets.push(weights[class].ln() - half_log_det - 0.5 * log_tau);
            factors.index_axis_mut(Axis(0), class).assign(&factor);
        }
        Ok(Self { weights, means, covariances, factors, offsets })
    }

    /// Shares of the classes, `(k)`, adding up to 1.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// Mean intensities, `(k, channels)`, ascending.
    pub fn means(&self) -> ArrayView2<'_, f64> {
        self.means.view()
    }

    /// Covariances, `(k, channels, channels)`, in squared intensities.
    pub fn covariances(&self) -> ArrayView3<'_, f64> {
        self.covariances.view()
    }

    /// Number of channels that a voxel must have.
    pub fn channels(&self) -> usize {
        self.means.ncols()
    }

    /// Writes the memberships of a voxel and returns the logarithm of its density. `scratch` has one number per channel.
    pub(crate) fn posterior(
        &self,
        voxel: ArrayView1<'_, f32>,
        memberships: &mut [f64],
        scratch: &mut [f64],
    ) -> f64 {
        let mut greatest = f64::NEG_INFINITY;
        for (class, log_density) in memberships.iter_mut().enumerate() {
            *log_density = self.offsets[class] - 0.5 * self.squared_distance(class, voxel, scratch);
            greatest = greatest.max(*log_density);
        }
        let mut total = 0.0;
        for value in memberships.iter_mut() {
            *value = (*value - greatest).exp();
            total += *value;
        }
        memberships.iter_mut().for_each(|value| *value /= total);
        greatest + total.ln()
    }

    /// Squared Mahalanobis distance, by forward substitution with the Cholesky factor.
    fn squared_distance(
        &self,
        class: usize,
        voxel: ArrayView1<'_, f32>,
        scratch: &mut [f64],
    ) -> f64 {
        let mut sum = 0.0;
        for row in 0..self.channels() {
            let mut rest = f64::from(voxel[row]) - self.means[[class, row]];
            for (column, solved) in scratch[..row].iter().enumerate() {
                rest -= self.factors[[class, row, column]] * solved;
            }
            scratch[row] = rest / self.factors[[class, row, row]];
            sum += scratch[row] * scratch[row];
        }
        sum
    }
}

impl TissueModel for GaussianMixture {
    fn classes(&self) -> usize {
        self.weights.len()
    }

    fn soft(
        &self,
        intensities: ArrayView2<'_, f32>,
        mut memberships: ArrayViewMut2<'_, f32>,
    ) -> Result<(), ShapeError> {
        let expected = [intensities.nrows(), self.channels()];
        ensure_same_shape("tissue intensities", &expected, intensities.shape())?;
        ensure_finite("tissue intensities", &intensities)?;
        let expected = [intensities.nrows(), self.classes()];
        ensure_same_shape("tissue memberships", &expected, memberships.shape())?;
        let (mut posterior, mut scratch) = (vec![0.0; self.classes()], vec![0.0; self.channels()]);
        for (voxel, mut row) in intensities.rows().into_iter().zip(memberships.rows_mut()) {
            self.posterior(voxel, &mut posterior, &mut scratch);
            row.iter_mut().zip(&posterior).for_each(|(to, &from)| *to = from as f32);
        }
        Ok(())
    }
}

/// Lower triangular L with `L Lᵀ` = the matrix; `None` unless that is symmetric and positive definite.
fn cholesky(matrix: ArrayView2<'_, f64>) -> Option<Array2<f64>> {
    let mut factor = Array2::<f64>::zeros(matrix.dim());
    for row in 0..matrix.nrows() {
        for column in 0..=row {
            if matrix[[row, column]] != matrix[[column, row]] {
                return None;
            }
            let known: f64 = (0..column).map(|k| factor[[row, k]] * factor[[column, k]]).sum();
            let rest = matrix[[row, column]] - known;
            factor[[row, column]] = if row > column {
                rest / factor[[column, column]]
            } else if rest > 0.0 && rest.is_finite() {
                rest.sqrt()
            } else {
                return None;
            };
        }
    }
    Some(factor)
}

/// JSON of a mixture.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MixtureJson {
    weights: Vec<f64>,
    means: Vec<Vec<f64>>,
    covariances: Vec<Vec<Vec<f64>>>,
}

impl From<GaussianMixture> for MixtureJson {
    fn from(mixture: GaussianMixture) -> Self {
        let rows =
            |table: ArrayView2<'_, f64>| table.rows().into_iter().map(|r| r.to_vec()).collect();
        Self {
            means: rows(mixture.means()),
            covariances: mixture.covariances.outer_iter().map(rows).collect(),
            weights: mixture.weights,
        }
    }
}

impl TryFrom<MixtureJson> for GaussianMixture {
    type Error = TissueError;

    fn try_from(json: MixtureJson) -> Result<Self, TissueError> {
        let MixtureJson { weights, means, covariances } = json;
        let (classes, channels) = (weights.len(), means.first().map_or(0, Vec::len));
        ensure_same_shape("mixture means", &[classes], &[means.len()])?;
        for (class, mean) in means.iter().enumerate() {
            let got = mean.len();
            if got != channels {
                return Err(TissueError::Ragged { class, expected: channels, got });
            }
        }
        ensure_same_shape("mixture covariances", &[classes], &[covariances.len()])?;
        for covariance in &covariances {
            let got = covariance.iter().map(Vec::len).find(|&got| got != channels);
            let got = [covariance.len(), got.unwrap_or(channels)];
            ensure_same_shape("a mixture covariance", &[channels; 2], &got)?;
        }
        let means = Array2::from_shape_fn((classes, channels), |(k, c)| means[k][c]);
        let covariances =
            Array3::from_shape_fn((classes, channels, channels), |(k, i, j)| covariances[k][i][j]);
        Self::new(&weights, means.view(), covariances.view())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::array;

    /// Classes of equal spread around 1 and 0, the lower three times as frequent.
    fn two() -> GaussianMixture {
        let covariances = Array3::from_elem((2, 1, 1), 0.25);
        GaussianMixture::new(&[1.0, 3.0], array![[1.0], [0.0]].view(), covariances.view()).unwrap()
    }

    #[test]
    fn memberships_are_the_posterior_computed_by_hand() {
        let mixture = two();
        assert_eq!(
            (mixture.weights(), mixture.means()),
            (&[0.75, 0.25][..], array![[0.0], [1.0]].view())
        );
        let mut memberships = Array2::zeros((2, 2));
        mixture.soft(array![[0.5], [1.0]].view(), memberships.view_mut()).unwrap();
        // Half way the densities are equal; at 1 they differ by exp(-0.5 / 0.25) = exp(-2).
        let upper = 1.0 / (1.0 + 3.0 * (-2f32).exp());
        let expected = array![[0.75, 0.25], [1.0 - upper, upper]];
        assert!((&memberships - &expected).iter().all(|d| d.abs() < 1e-6), "{memberships}");
        let mut labels = [9; 2];
        mixture.hard(array![[0.5], [1.0]].view(), &mut labels).unwrap();
        assert_eq!(labels, [0, 1]);
    }

    #[test]
    fn channels_that_vary_together_are_measured_together() {
        // A narrow ellipse along the diagonal and a wide ball, both around (½, ½).
        let covariances = array![[[0.05, 0.049], [0.049, 0.05]], [[0.05, 0.0], [0.0, 0.05]]];
        let means = array![[0.5, 0.5], [0.5, 0.5]];
        let mixture = GaussianMixture::new(&[0.5; 2], means.view(), covariances.view()).unwrap();
        let mut labels = [9; 2];
        mixture.hard(array![[0.7, 0.7], [0.7, 0.3]].view(), &mut labels).unwrap();
        assert_eq!(labels, [0, 1]);
    }

    #[test]
    fn classes_that_are_no_gaussians_are_refused() {
        let make = |weights: &[f64], means: Array2<f64>, covariances: Array3<f64>| {
            GaussianMixture::new(weights, means.view(), covariances.view()).unwrap_err()
        };
        let one = || Array3::from_elem((1, 1, 1), 0.1);
        let wrong = [
            make(&[-1.0], array![[0.1]], one()),
            make(&[0.0], array![[0.1]], one()),
            make(&[1.0], array![[f64::NAN]], one()),
            make(&[1.0], array![[0.1]], -one()),
            make(&[1.0], array![[0.1, 0.1]], array![[[0.1, 0.05], [0.0, 0.1]]]),
            make(&[1.0], array![[0.1, 0.1]], array![[[0.1, 0.1], [0.1, 0.1]]]),
        ];
        for error in wrong {
            assert!(matches!(error, TissueError::Component { class: 0 }), "{error}");
        }
        assert!(matches!(
            make(&[], Array2::zeros((0, 1)), Array3::zeros((0, 1, 1))),
            TissueError::Classes { got: 0 }
        ));
        assert!(matches!(
            make(&[1.0], Array2::zeros((1, 0)), Array3::zeros((1, 0, 0))),
            TissueError::NoChannels
        ));
        assert!(matches!(make(&[1.0, 1.0], array![[0.1]], one()), TissueError::Shape(_)));
    }

    #[test]
    fn arrays_that_do_not_fit_are_refused() {
        let soft = |voxels: Array2<f32>, classes| {
            two().soft(voxels.view(), Array2::zeros((1, classes)).view_mut()).is_err()
        };
        assert!(!soft(array![[0.1]], 2));
        assert!(
            soft(array![[0.1, 0.1]], 2) && soft(array![[0.1]], 3) && soft(array![[f32::NAN]], 2)
        );
    }
}
