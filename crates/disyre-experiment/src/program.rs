//! [`Program`]: which build of the program made a result, and on which device.

use std::path::PathBuf;

use disyre::volume::sha256_of_bytes;
use serde::{Deserialize, Serialize};

use crate::ExperimentError;

/// A build of the program, and the device that it computed on.
///
/// Two builds of one version may compute differently; results that several made say so.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// SHA-256 of the executable, hexadecimal.
    pub sha256: String,
    /// The device of its networks, in words.
    pub device: String,
}

impl Program {
    /// The running program.
    ///
    /// # Errors
    /// [`ExperimentError::Io`] where its executable cannot be read.
    pub fn current(device: impl Into<String>) -> Result<Self, ExperimentError> {
        let path = executable()?;
        let bytes = std::fs::read(&path).map_err(ExperimentError::io("read", &path))?;
        Ok(Self { sha256: sha256_of_bytes(&bytes), device: device.into() })
    }

    /// In place of the program that made a result before programs were recorded.
    pub(crate) fn unknown() -> Self {
        Self { sha256: "unknown".to_owned(), device: "unknown".to_owned() }
    }
}

/// Path of the executable that runs, even where another was built in its place since.
fn executable() -> Result<PathBuf, ExperimentError> {
    let linux = PathBuf::from("/proc/self/exe");
    match linux.exists() {
        true => Ok(linux),
        false => {
            let name = PathBuf::from("the program");
            std::env::current_exe().map_err(ExperimentError::io("find", &name))
        }
    }
}
