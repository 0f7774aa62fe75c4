use disyre_core::ShapeError;

/// Why a patch could not be augmented.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AugmentError {
    /// Two arrays do not fit each other, one is empty, or a value is not finite.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A configured or recorded number is outside its range.
    #[error("{parameter} is {got}, expected {expected}; correct the configuration")]
    Config {
        /// Which field.
        parameter: &'static str,
        /// What it has to be.
        expected: &'static str,
        /// What it is.
        got: f64,
    },
}
