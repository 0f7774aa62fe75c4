//! Programs from packages of the Python index, which brings them built: an environment below `target` holds them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::workspace::run as show;

/// Installs packages into the environment `folder/venv`, which is made if it is not there, and returns its path.
pub(crate) fn install(
    folder: &Path,
    packages: impl Iterator<Item = &'static str>,
) -> Result<PathBuf, Failure> {
    let venv = folder.join("venv");
    let python = venv.join("bin/python");
    if !python.exists() {
        show(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    }
    let pip = ["-m", "pip", "--disable-pip-version-check", "install", "--quiet"];
    show(Command::new(&python).args(pip).args(packages))?;
    Ok(venv)
}
