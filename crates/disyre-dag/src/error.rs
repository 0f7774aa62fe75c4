//! [`DagError`], the error of this crate.

use disyre_core::ShapeError;

/// Failure to configure, draw or apply an anomaly.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DagError {
    /// Two arrays do not fit each other, or one is empty.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A configured number is outside its range.
    #[error("{parameter} is {got}, expected {expected}; correct the configuration")]
    Config {
        /// The field.
        parameter: &'static str,
        /// Its range.
        expected: &'static str,
        /// The number.
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
    /// A mask was given that marks nothing.
    #[error(
        "the mask is 0 everywhere, or only background lies under it; give one with a voxel above 0 on the object"
    )]
    EmptyMask,
    /// A texture source gave something that is not a finite number.
    #[error(
        "the texture holds {value} at index {index:?} (c, z, y, x), expected finite numbers; correct its source"
    )]
    Texture {
        /// Index of the first such value.
        index: Vec<usize>,
        /// The value.
        value: f32,
    },
    /// An intensity or a mask value is outside `[0, 1]` or not a number.
    #[error(
        "{array} holds {value} at index {index:?}, expected values in [0, 1]; scale the intensities first"
    )]
    OutOfRange {
        /// The array.
        array: &'static str,
        /// Index of the first such value.
        index: Vec<usize>,
        /// The value.
        value: f32,
    },
    /// A source was given nothing to draw from.
    #[error("{source_name} was given no {items}; give it at least one")]
    NoItems {
        /// The source.
        source_name: &'static str,
        /// The items that it draws from.
        items: &'static str,
    },
    /// One of the items of a source holds only background.
    #[error("item {index} of {source_name} (counted from 0) has no voxel above 0; leave it out")]
    EmptyItem {
        /// The source.
        source_name: &'static str,
        /// Index of the item.
        index: usize,
    },
    /// Numbers of channels differ.
    #[error("{array} has {got} channels, expected {expected} like {like}")]
    Channels {
        /// The array.
        array: &'static str,
        /// Its channels.
        got: usize,
        /// The channels it should have.
        expected: usize,
        /// The array or source that it should agree with.
        like: &'static str,
    },
    /// A tissue model, its labels or recorded parameters have another number of tissue classes than the bias.
    #[error(
        "got {got} tissue classes, the bias was set up for {expected}; use the tissue model that it was set up and drawn for"
    )]
    Classes {
        /// Classes of the bias.
        expected: usize,
        /// Classes that came.
        got: usize,
    },
    /// Recorded parameters are those of another kind of corruption.
    #[error(
        "got the parameters of a {got}, expected those of a {expected}; replay them with the family they were drawn for"
    )]
    Params {
        /// The kind that the corruption draws.
        expected: &'static str,
        /// The kind that came.
        got: &'static str,
    },
    /// Recorded parameters have another number of parts than the family.
    #[error(
        "the parameters have {got} parts, the family has {expected}; replay them with the family they were drawn for"
    )]
    Parts {
        /// Parts of the family.
        expected: usize,
        /// Parts in the parameters.
        got: usize,
    },
    /// A weight of a map of places is negative or not finite.
    #[error("the map of places holds {value} at {index:?} (z, y, x), expected finite weights ≥ 0")]
    Weight {
        /// The first such voxel.
        index: [usize; 3],
        /// The weight.
        value: f32,
    },
    /// No voxel on which the window could be centred has a weight above 0.
    #[error(
        "the map of places has no voxel above 0 at which a window {window:?} (z, y, x) fits into the image; widen the map or use a smaller window"
    )]
    NoPlace {
        /// Extents of the window.
        window: [usize; 3],
    },
    /// A family needs a source that was not given.
    #[error("the family needs {what}, which was not given; add it to the sources")]
    Missing {
        /// The missing source.
        what: &'static str,
    },
    /// A volume of a bank could not be opened.
    #[error("volume {index} (counted from 0) of the volume bank could not be opened: {reason}")]
    Open {
        /// Index of the volume.
        index: usize,
        /// The message of the error.
        reason: String,
    },
    /// No family has this name.
    #[error("no family of anomalies is called {name}; known are {known}")]
    UnknownFamily {
        /// The name.
        name: String,
        /// All names.
        known: String,
    },
}
