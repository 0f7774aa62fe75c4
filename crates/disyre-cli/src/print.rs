//! Printing: what was done on standard output, progress and warnings on standard error.
//!
//! Nobody needs to read either: the reader of a pipe may go away, the disk of a log may be full. A print that fails ends no work.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::CliError;

/// Prints a line on standard output about work whose results are in files.
macro_rules! print_line {
    ($($argument:tt)*) => { $crate::print::line(format_args!($($argument)*)) };
}

/// Prints a line on standard error.
macro_rules! note {
    ($($argument:tt)*) => { $crate::print::note(format_args!($($argument)*)) };
}

/// See [`print_line`].
pub(crate) fn line(text: fmt::Arguments<'_>) {
    static SAID: AtomicBool = AtomicBool::new(false);
    let printed = write(format_args!("{text}\n"));
    if let Err(error) = printed
        && !SAID.swap(true, Ordering::Relaxed)
    {
        note!("warning: cannot print to standard output, and the work goes on: {error}");
    }
}

/// See [`note`].
pub(crate) fn note(text: fmt::Arguments<'_>) {
    // There is nowhere left to say that this failed.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Prints a result that is nowhere else. A reader that went away has read enough.
///
/// # Errors
/// [`CliError::Print`] where it can't be printed, as on a full disk.
pub(crate) fn result(text: &str) -> Result<(), CliError> {
    write(format_args!("{text}")).map_err(CliError::Print)
}

/// Writes to standard output; a pipe that nobody reads is no error.
fn write(text: fmt::Arguments<'_>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_fmt(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}
