//! Progress of long tasks on standard error.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Shows how far a long task has come: a bar with the remaining time on a terminal, a line now and then elsewhere.
///
/// Everything goes to standard error, so that results can be piped.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    lines: Option<Lines>,
}

/// When the next line is due: after another twentieth of the task, or half a minute.
struct Lines {
    label: String,
    total: u64,
    shown: u64,
    shown_at: Instant,
}

impl Progress {
    /// A bar on a terminal, lines elsewhere.
    pub(crate) fn new(label: &str, total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| bar(label, total));
        let lines = bar.is_none().then(|| Lines::new(label, total));
        Self { bar, lines }
    }

    /// A bar on a terminal, nothing elsewhere: for tasks that report their end themselves.
    pub(crate) fn bar_only(label: &str, total: u64) -> Self {
        Self { bar: std::io::stderr().is_terminal().then(|| bar(label, total)), lines: None }
    }

    /// Reports the state; `message` says more than a number can.
    pub(crate) fn set(&mut self, done: u64, total: u64, message: impl Fn() -> String) {
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
            bar.set_message(message());
        }
        if let Some(lines) = &mut self.lines {
            lines.total = total;
            if lines.due(done, Instant::now()) {
                note!("{} {done}/{total} {}", lines.label, message());
            }
        }
    }

    /// Prints a line without tearing the bar.
    pub(crate) fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| note!("{text}")),
            None => note!("{text}"),
        }
    }

    /// Takes the bar off the screen.
    pub(crate) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Lines {
    fn new(label: &str, total: u64) -> Self {
        Self { label: label.to_owned(), total, shown: 0, shown_at: Instant::now() }
    }

    fn due(&mut self, done: u64, now: Instant) -> bool {
        let far = (done - self.shown.min(done)) * 20 >= self.total.max(1);
        let long = now.duration_since(self.shown_at) >= Duration::from_secs(30);
        let due = done > self.shown && (far || long || done == self.total);
        if due {
            (self.shown, self.shown_at) = (done, now);
        }
        due
    }
}

fn bar(label: &str, total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} {msg} ({eta} left)");
    // The template is a constant; were it ever wrong, indicatif's own style would serve.
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style).with_prefix(label.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_due_after_a_twentieth_or_half_a_minute() {
        let mut lines = Lines::new("step", 200);
        let start = lines.shown_at;
        assert!(!lines.due(9, start));
        assert!(lines.due(10, start));
        assert!(!lines.due(11, start + Duration::from_secs(29)));
        assert!(lines.due(12, start + Duration::from_secs(30)));
        assert!(!lines.due(12, start + Duration::from_secs(90)), "nothing new to tell");
        assert!(lines.due(200, start + Duration::from_secs(91)));
    }
}
