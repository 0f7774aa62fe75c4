//! Errors of fitting, reading and writing tissue classes.
use std::path::PathBuf;

use disyre_core::ShapeError;

/// Errors of fitting, reading and writing tissue classes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TissueError {
    /// There is nothing to fit to.
    #[error(
        "there are no foreground voxels to fit tissue classes to; check that the scans are not all zero"
    )]
    NoSamples,
    /// More classes were asked for than there are distinct intensities.
    #[error(
        "the samples have {distinct} distinct intensities, too few for {classes} tissue classes; ask for fewer classes or add scans"
    )]
    TooFewValues {
        /// Distinct values (one channel) or rows (several).
        distinct: usize,
        /// Classes asked for.
        classes: usize,
    },
    /// The number of classes does not fit a label.
    #[error("{got} tissue classes cannot be labelled; choose 1 to 256")]
    Classes {
        /// The value given.
        got: usize,
    },
    /// A setting of the fit that must be at least 1 is 0.
    #[error("{setting} is 0; it must be at least 1")]
    ZeroSetting {
        /// The setting.
        setting: &'static str,
    },
    /// Several channels without the feature that fits them.
    #[error(
        "fitting {channels} channels needs the feature `kmeans` of disyre-tissue; switch it on or fit one channel"
    )]
    SeveralChannels {
        /// Number of channels given.
        channels: usize,
    },
    /// The centres of a codebook have different numbers of channels.
    #[error(
        "tissue centre {class} has {got} channels, the first one has {expected}; all need the same"
    )]
    Ragged {
        /// The centre.
        class: usize,
        /// Channels of the first.
        expected: usize,
        /// Channels of this one.
        got: usize,
    },
    /// Two centres are equal, so that one of them could never be the nearest.
    #[error("tissue centre {centre:?} occurs twice; remove one")]
    Duplicate {
        /// Its intensities.
        centre: Vec<f64>,
    },
    /// A centre holds an infinity or a not-a-number.
    #[error("tissue centre {class} is not finite in channel {channel}")]
    CentreNotFinite {
        /// The centre.
        class: usize,
        /// The channel.
        channel: usize,
    },
    /// A codebook has no channel.
    #[error("the tissue centres have no channel; each needs at least one intensity")]
    NoChannels,
    /// A class of a mixture is no Gaussian.
    #[error(
        "tissue class {class} is no Gaussian: its weight must be finite and ≥ 0 (with a sum above 0), its mean finite, its covariance symmetric and positive definite"
    )]
    Component {
        /// The class.
        class: usize,
    },
    /// A mixture was to start from a class without samples.
    #[error("no sample is nearest to tissue centre {class}; start from other centres")]
    EmptyClass {
        /// The class.
        class: usize,
    },
    /// A setting of a mixture is out of its range.
    #[error(
        "tolerance is {tolerance} and variance_floor {variance_floor}; expected finite numbers, the first ≥ 0, the second above 0"
    )]
    Tolerance {
        /// Change of the likelihood that ends the fit.
        tolerance: f64,
        /// The number added to variances.
        variance_floor: f64,
    },
    /// A segmentation holds a code that is not in its table.
    #[error(
        "the segmentation holds code {code} at voxel {voxel:?} (z, y, x), which is not among its {classes} codes; add it"
    )]
    UnknownCode {
        /// The code.
        code: i32,
        /// Its first voxel.
        voxel: Vec<usize>,
        /// Number of known codes.
        classes: usize,
    },
    /// Arrays do not fit each other, or a value is not finite.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// Tissue classes could not be read.
    #[error("cannot read tissue classes from {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A file holds no tissue classes.
    #[error(
        "{} holds no tissue classes; expected JSON like {{\"model\": \"k-means\", \"centres\": [[0.1], [0.5]]}}",
        path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: serde_json::Error,
    },
    /// Tissue classes could not be written.
    #[error("cannot write tissue classes to {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}
