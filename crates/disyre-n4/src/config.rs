//! Settings of N4.
use serde::{Deserialize, Serialize};

use crate::basis::ORDER;
use crate::error::N4Error;
use crate::n4::N4;

/// Most control points along an axis at any level: 256 spans, finer than a bias field by far.
const MOST_CONTROL_POINTS: usize = 256 + ORDER;

/// Settings of N4; `Default` has the published values.
///
/// ```
/// use disyre_n4::N4Config;
/// let fast = N4Config { iterations: vec![20, 20], ..N4Config::default() };
/// assert!(fast.build().is_ok());
/// let error = N4Config { shrink: 0, ..N4Config::default() }.build().unwrap_err();
/// assert_eq!(error.to_string(), "shrink is 0; choose 1 to 64");
/// ```
///
/// # Source
/// Tustison et al., "N4ITK: Improved N3 Bias Correction" (2010). The numbers are the defaults of SimpleITK's
/// `N4BiasFieldCorrectionImageFilter`; the shrink factor is that of its examples and of ANTs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct N4Config {
    /// Every `shrink`-th voxel along each axis is used for the estimate, 1 to 64; 4. The field is evaluated on all.
    pub shrink: usize,
    /// Most iterations of each fitting level, ≥ 1 each; 50 in four levels. Their number is the number of levels.
    ///
    /// Each level lets the field bend twice as sharply. From the third on it begins to follow large lesions: where they
    /// must stay visible, take fewer (figures: docs/REPRODUCING.md).
    pub iterations: Vec<usize>,
    /// A level ends when the coefficient of variation of the change of the field is at most this, > 0; 0.001.
    pub convergence: f64,
    /// Control points of the first level along `(z, y, x)`, ≥ 4; 4. Each level doubles the spans between them.
    pub control_points: [usize; 3],
    /// Bins of the histogram of log intensities, 2 to 65536; 200.
    pub bins: usize,
    /// Full width at half maximum of the Gaussian that blurs the histogram, in log intensity, > 0; 0.15.
    pub fwhm: f64,
    /// Noise term of the Wiener filter, relative to the squared gain 1 of the blur at frequency 0, > 0; 0.01.
    pub noise: f64,
}

impl Default for N4Config {
    fn default() -> Self {
        Self {
            shrink: 4,
            iterations: vec![50; 4],
            convergence: 0.001,
            control_points: [4; 3],
            bins: 200,
            fwhm: 0.15,
            noise: 0.01,
        }
    }
}

impl N4Config {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`N4Error`] naming the first setting out of its range.
    pub fn build(&self) -> Result<N4, N4Error> {
        ensure_within("shrink", self.shrink, 1, 64)?;
        ensure_within("number of iterations", self.iterations.len(), 1, 16)?;
        for &iterations in &self.iterations {
            ensure_within("iterations", iterations, 1, 1_000_000)?;
        }
        for points in self.control_points {
            ensure_within("control_points", points, ORDER + 1, MOST_CONTROL_POINTS)?;
        }
        ensure_within("bins", self.bins, 2, 1 << 16)?;
        ensure_positive("convergence", self.convergence)?;
        ensure_positive("fwhm", self.fwhm)?;
        ensure_positive("noise", self.noise)?;
        self.ensure_small_lattice()?;
        Ok(N4::new(self.clone()))
    }

    fn ensure_small_lattice(&self) -> Result<(), N4Error> {
        let levels = self.iterations.len();
        let spans = self.control_points.map(|points| (points - ORDER) << (levels - 1));
        let last = spans.into_iter().max().unwrap_or_default() + ORDER;
        let control_points = self.control_points;
        match last <= MOST_CONTROL_POINTS {
            true => Ok(()),
            false => {
                Err(N4Error::Lattice { levels, control_points, last, most: MOST_CONTROL_POINTS })
            }
        }
    }
}

fn ensure_within(
    setting: &'static str,
    got: usize,
    least: usize,
    most: usize,
) -> Result<(), N4Error> {
    match (least..=most).contains(&got) {
        true => Ok(()),
        false => Err(N4Error::Setting { setting, got, least, most }),
    }
}

fn ensure_positive(setting: &'static str, got: f64) -> Result<(), N4Error> {
    match got.is_finite() && got > 0.0 {
        true => Ok(()),
        false => Err(N4Error::NotPositive { setting, got }),
    }
}
