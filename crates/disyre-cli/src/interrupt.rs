//! Ctrl-C during training and experiments: a flag that asks for a checkpoint and the end.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{CliError, INTERRUPTED};

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
        eprintln!("ending after this step or scan, with a checkpoint; once more to end at once");
    })?;
    Ok(&RAISED)
}
