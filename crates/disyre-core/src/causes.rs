//! The causes of an error.

use std::error::Error;

/// The causes of an error, the nearest first; none where it has no [`source`](Error::source).
///
/// ```
/// use disyre_core::causes;
///
/// let error = "x".parse::<u8>().unwrap_err();
/// assert_eq!(causes(&error).count(), 0);
/// ```
pub fn causes<'a>(error: &'a (dyn Error + 'a)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt;

    #[derive(Debug)]
    struct Nested(u8, Option<Box<Nested>>);

    impl fmt::Display for Nested {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{}", self.0)
        }
    }

    impl Error for Nested {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as _)
        }
    }

    #[test]
    fn causes_come_from_the_nearest_to_the_last_without_the_error_itself() {
        let error = Nested(1, Some(Box::new(Nested(2, Some(Box::new(Nested(3, None)))))));
        assert_eq!(causes(&error).map(ToString::to_string).collect::<Vec<_>>(), ["2", "3"]);
    }
}
