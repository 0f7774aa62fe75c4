//! [`AugmentError`], the error of this crate.

use disyre_core::ShapeError;

/// Failure to configure an augmentation or to apply it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AugmentError {
    /// Two arrays do not fit each other, one is empty, or a value is not finite.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A configured or recorded number is outside its range.
    #[error("{parameter} is {got}, expected {expected}; correct the configuration")]
    Config {
        /// The field.
        parameter: &'static str,
        /// Its range.
        expected: &'static str,
        /// The number.
        got: f64,
    },
}
