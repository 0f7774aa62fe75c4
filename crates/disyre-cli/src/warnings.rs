//! Prints the warnings of the libraries, each once.

use std::collections::HashSet;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use log::{Level, LevelFilter, Log, Metadata, Record};

/// Prints warnings of our own crates to standard error.
#[derive(Debug, Default)]
struct Warnings {
    /// Texts that were printed: files that are read twice are warned about once.
    printed: Mutex<Option<HashSet<String>>>,
}

static WARNINGS: Warnings = Warnings { printed: Mutex::new(None) };

/// Lets the libraries print their warnings.
pub(crate) fn install() {
    // Nobody else sets a logger; without one there are no warnings.
    if log::set_logger(&WARNINGS).is_ok() {
        log::set_max_level(LevelFilter::Warn);
    }
}

impl Log for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Warn && metadata.target().starts_with("disyre")
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let text = record.args().to_string();
        let mut printed = self.printed.lock().unwrap_or_else(PoisonError::into_inner);
        if printed.get_or_insert_default().insert(text.clone()) {
            // A closed standard error stops no work.
            let _ = writeln!(std::io::stderr(), "warning: {text}");
        }
    }

    fn flush(&self) {}
}
