use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::CliError;

/// Exit status of a program that Ctrl-C ended, as shells report it.
pub(crate) const INTERRUPTED: u8 = 130;

/// A flag that the first Ctrl-C (or a request to terminate) raises; the second ends the program at once.
///
/// # Errors
/// [`CliError::Signals`] if the system does not let it; call it once.
pub(crate) fn flag() -> Result<&'static AtomicBool, CliError> {
    static RAISED: AtomicBool = AtomicBool::new(false);
    ctrlc::set_handler(|| {
        if RAISED.swap(true, Ordering::Relaxed) {
            std::process::exit(INTERRUPTED.into());
        }
        eprintln!("ending with a checkpoint after this step; once more to end at once");
    })?;
    Ok(&RAISED)
}
