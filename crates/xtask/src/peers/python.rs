//! The Python interpreter that runs PyTorch beside us.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::workspace::{Workspace, run as show};

/// Environment variable with the path of an interpreter that has PyTorch.
const INTERPRETER: &str = "DISYRE_PEERS_PYTHON";

/// The interpreter named by [`INTERPRETER`]; without it, that of `target/peers-venv`, where PyTorch is installed.
pub(super) fn interpreter(workspace: &Workspace) -> Result<PathBuf, Failure> {
    if let Some(python) = std::env::var_os(INTERPRETER) {
        return Ok(python.into());
    }
    let venv = workspace.root().join("target/peers-venv");
    let requirements = workspace.root().join("benches/peers/requirements.txt");
    install(&venv, &requirements).map_err(|cause| Failure::Python { cause: Box::new(cause) })
}

/// Makes the virtual environment if it is missing, and installs the requirements.
fn install(venv: &Path, requirements: &Path) -> Result<PathBuf, Failure> {
    let python = venv.join("bin/python");
    if !python.exists() {
        show(Command::new("python3").args(["-m", "venv"]).arg(venv))?;
    }
    let pip = ["-m", "pip", "--disable-pip-version-check", "install", "--quiet", "-r"];
    show(Command::new(&python).args(pip).arg(requirements))?;
    Ok(python)
}
