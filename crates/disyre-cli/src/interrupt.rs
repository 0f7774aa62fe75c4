//! Signals: those that ask a training or an experiment for a checkpoint and the end, and those that must not end it.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{CliError, INTERRUPTED};

/// Raised by the first request to end.
static RAISED: AtomicBool = AtomicBool::new(false);

/// A flag that the first Ctrl-C raises, or a request to terminate, or a terminal that closes; the second Ctrl-C or request ends
/// the program at once. A program that was started to ignore that its terminal closes, as by `nohup`, goes on ignoring it.
///
/// # Errors
/// [`CliError::Signals`] if the system does not let it; call it once.
pub(crate) fn flag() -> Result<&'static AtomicBool, CliError> {
    listen()?;
    Ok(&RAISED)
}

#[cfg(unix)]
fn listen() -> Result<(), CliError> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;

    let failed = |error: std::io::Error| CliError::Signals(error.into());
    let asked =
        if is_ignored(SIGHUP) { vec![SIGINT, SIGTERM] } else { vec![SIGINT, SIGTERM, SIGHUP] };
    let mut signals = Signals::new(asked).map_err(failed)?;
    let waiting = move || {
        let mut asked_before = false;
        for signal in signals.forever() {
            // The shell and the system both tell that a terminal closes, and a session that ends asks to terminate besides.
            let asks = signal != SIGHUP;
            stop(asks && asked_before);
            asked_before |= asks;
        }
    };
    std::thread::Builder::new().spawn(waiting).map(drop).map_err(failed)
}

#[cfg(not(unix))]
fn listen() -> Result<(), CliError> {
    ctrlc::set_handler(|| stop(RAISED.load(Ordering::Relaxed)))
        .map_err(|error| CliError::Signals(error.into()))
}

fn stop(at_once: bool) {
    if at_once {
        std::process::exit(INTERRUPTED.into());
    }
    if !RAISED.swap(true, Ordering::Relaxed) {
        note!("ending after this step or scan, with a checkpoint; once more to end at once");
    }
}

/// Whether the program was started to ignore a signal, by what Linux says of it; elsewhere it counts as not ignored.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored_signals(&status) >> (signal - 1) & 1 == 1
}

/// The bits of the line `SigIgn` of a process's status: signal n is bit n - 1.
#[cfg(unix)]
fn ignored_signals(status: &str) -> u64 {
    let mut lines = status.lines();
    let bits = lines.find_map(|line| line.strip_prefix("SigIgn:"));
    bits.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(0)
}

/// Keeps a limit on the size of files from ending the program: writing then fails with an error, as on a full disk.
pub(crate) fn survive_file_limits() {
    #[cfg(unix)]
    {
        use signal_hook::consts::SIGXFSZ;
        // Where this fails, the program ends as it would have without it.
        let _ = signal_hook::flag::register(SIGXFSZ, std::sync::Arc::default());
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_status_of_a_process() {
        let status =
            "Name:\tdisyre\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\nSigCgt:\t0\n";
        assert_eq!(ignored_signals(status), 0x1001);
        assert_eq!(ignored_signals("nothing of the kind"), 0);
    }
}
