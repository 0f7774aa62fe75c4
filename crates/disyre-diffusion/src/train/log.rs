//! The log of a run, `train.jsonl`.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::TrainEvent;
use crate::DiffusionError;
use crate::files::write_bytes;

/// Name of the log within a model's folder.
pub const LOG_FILE: &str = "train.jsonl";

/// The record of a run: one JSON object a line, a [`TrainEvent`] each.
#[derive(Debug)]
pub(crate) struct TrainLog {
    file: File,
    path: PathBuf,
}

#[derive(Deserialize)]
struct Stepped {
    step: u64,
}

impl TrainLog {
    /// Opens the log of a run that has gone `steps` steps; lines of later steps, or cut short, are dropped.
    pub(crate) fn open(dir: &Path, steps: u64) -> Result<Self, DiffusionError> {
        let path = dir.join(LOG_FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(DiffusionError::file(&path)(error)),
        };
        let kept = |line: &&str| {
            serde_json::from_str(line).is_ok_and(|line: Stepped| line.step <= steps && steps > 0)
        };
        let text: String = text.lines().filter(kept).flat_map(|line| [line, "\n"]).collect();
        write_bytes(&path, text.as_bytes())?;
        let file = OpenOptions::new().append(true).open(&path);
        Ok(Self { file: file.map_err(DiffusionError::file(&path))?, path })
    }

    /// Appends a line.
    pub(crate) fn write(&mut self, event: &TrainEvent) -> Result<(), DiffusionError> {
        let mut line = serde_json::to_vec(event)
            .map_err(|source| DiffusionError::Settings { path: self.path.clone(), source })?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(DiffusionError::file(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reopening_drops_later_steps_and_torn_lines() {
        let folder = tempfile::tempdir().unwrap();
        let step = |step| TrainEvent::Checkpoint { step };
        let mut log = TrainLog::open(folder.path(), 0).unwrap();
        for i in 1..=4 {
            log.write(&step(i)).unwrap();
        }
        log.file.write_all(b"{\"event\":\"che").unwrap();
        drop(log);
        TrainLog::open(folder.path(), 2).unwrap().write(&step(9)).unwrap();
        let text = fs::read_to_string(folder.path().join(LOG_FILE)).unwrap();
        let events: Vec<TrainEvent> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(events, [step(1), step(2), step(9)]);
    }
}
