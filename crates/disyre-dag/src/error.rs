use disyre_core::ShapeError;

/// Why an anomaly could not be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DagError {
    /// Two arrays do not fit each other, or one is empty.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A configured number is outside its range.
    #[error("{parameter} is {got}, expected {expected}; correct the configuration")]
    Config {
        /// Which field.
        parameter: &'static str,
        /// What it has to be.
        expected: &'static str,
        /// What it is.
        got: f64,
    },
    /// The anomaly window does not fit into the image.
    #[error(
        "the anomaly window {window:?} (z, y, x) does not fit into the image {image:?}; use a smaller window or pad the image"
    )]
    WindowTooLarge {
        /// Extents of the window.
        window: [usize; 3],
        /// Extents of the image.
        image: [usize; 3],
    },
    /// A placed mask reaches out of the image.
    #[error(
        "the mask {mask:?} placed at {origin:?} (z, y, x) reaches out of the image {image:?}; move or crop it"
    )]
    MaskOutside {
        /// First voxel of the mask inside the image.
        origin: [usize; 3],
        /// Extents of the mask.
        mask: [usize; 3],
        /// Extents of the image.
        image: [usize; 3],
    },
    /// An intensity or a mask value is outside `[0, 1]` or not a number.
    #[error(
        "{array} holds {value} at index {index:?}, expected values in [0, 1]; scale the intensities first"
    )]
    OutOfRange {
        /// Which array.
        array: &'static str,
        /// Index of the first such value.
        index: Vec<usize>,
        /// The value.
        value: f32,
    },
    /// A source was given nothing to draw from.
    #[error("{source_name} was given no {items}; give it at least one")]
    NoItems {
        /// Which source.
        source_name: &'static str,
        /// What it draws from.
        items: &'static str,
    },
    /// One of the items of a source holds only background.
    #[error("item {index} of {source_name} (counted from 0) has no voxel above 0; leave it out")]
    EmptyItem {
        /// Which source.
        source_name: &'static str,
        /// Which item.
        index: usize,
    },
    /// Numbers of channels differ.
    #[error("{array} has {got} channels, expected {expected} like {like}")]
    Channels {
        /// Which array.
        array: &'static str,
        /// Its channels.
        got: usize,
        /// The channels it should have.
        expected: usize,
        /// What it should agree with.
        like: &'static str,
    },
    /// Recorded parameters were drawn for another number of tissue classes.
    #[error(
        "the parameters select among {got} tissue classes, the tissue model has {expected}; replay them with the model they were drawn for"
    )]
    Classes {
        /// Classes of the tissue model.
        expected: usize,
        /// Classes in the parameters.
        got: usize,
    },
}
