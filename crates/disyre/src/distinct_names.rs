//! Names of scans, of which none may come twice.

use crate::Error;

/// The names, sorted.
///
/// # Errors
/// [`Error::SameName`] for the first that comes twice.
pub(crate) fn sorted_distinct(mut names: Vec<String>) -> Result<Vec<String>, Error> {
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(twice) => Err(Error::SameName { name: twice[0].clone() }),
        None => Ok(names),
    }
}
