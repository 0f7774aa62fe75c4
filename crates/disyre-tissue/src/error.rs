use std::path::PathBuf;

use disyre_core::ShapeError;

/// Why tissue classes could not be fitted, read or written.
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
        /// What came.
        got: usize,
    },
    /// A setting of the fit that must be at least 1 is 0.
    #[error("{setting} is 0; it must be at least 1")]
    ZeroSetting {
        /// Which setting.
        setting: &'static str,
    },
    /// Several channels without the feature that fits them.
    #[error(
        "fitting {channels} channels needs the feature `kmeans` of disyre-tissue; switch it on or fit one channel"
    )]
    SeveralChannels {
        /// How many channels came.
        channels: usize,
    },
    /// The centres of a codebook have different numbers of channels.
    #[error(
        "tissue centre {class} has {got} channels, the first one has {expected}; all need the same"
    )]
    Ragged {
        /// Which centre.
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
        /// Which centre.
        class: usize,
        /// Which channel.
        channel: usize,
    },
    /// A codebook has no channel.
    #[error("the tissue centres have no channel; each needs at least one intensity")]
    NoChannels,
    /// Arrays do not fit each other, or a value is not finite.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A codebook could not be read.
    #[error("cannot read tissue classes from {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file holds no codebook.
    #[error(
        "{} holds no tissue classes; expected JSON like {{\"centres\": [[0.1], [0.5]]}}",
        path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A codebook could not be written.
    #[error("cannot write tissue classes to {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}
