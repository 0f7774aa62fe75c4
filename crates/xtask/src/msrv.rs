//! `cargo xtask msrv`: the workspace compiles with the `rust-version` of its Cargo.toml.

use std::process::Command;

use crate::Failure;
use crate::workspace::{Workspace, read, run as show};

/// Checks the program, and with it all crates that it is made of, with the oldest compiler that Cargo.toml promises. Where
/// rustup can't bring that compiler, it says so and checks nothing.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Failure> {
    let version = rust_version(workspace)?;
    let toolchain = format!("+{version}");
    let bring = ["toolchain", "install", &version, "--profile", "minimal", "--no-self-update"];
    if read(Command::new("rustup").args(["run", &version, "cargo", "--version"])).is_err()
        && let Err(cause) = show(Command::new("rustup").args(bring))
    {
        println!("SKIPPED: no compiler {version} here, and none could be brought: {cause}");
        return Ok(());
    }
    // Cargo's own variables name the compiler in use, which rustup would then take.
    let mut command = Command::new("cargo");
    command.current_dir(workspace.root()).env_remove("RUSTUP_TOOLCHAIN").env_remove("RUSTC");
    show(command.args([
        &toolchain,
        "check",
        "-p",
        "disyre-cli",
        "--locked",
        "--target-dir",
        "target/msrv",
    ]))
}

/// The `rust-version` of the workspace.
fn rust_version(workspace: &Workspace) -> Result<String, Failure> {
    let path = workspace.root().join("Cargo.toml");
    let text = std::fs::read_to_string(&path)
        .map_err(|source| Failure::Path { path: path.clone(), source })?;
    find_version(&text).map(str::to_owned).ok_or_else(|| {
        let source = std::io::Error::other("no rust-version in it");
        Failure::Path { path, source }
    })
}

fn find_version(manifest: &str) -> Option<&str> {
    let mut lines = manifest.lines();
    lines.find_map(|line| line.strip_prefix("rust-version = \"")?.strip_suffix('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_the_manifest() {
        let manifest = "edition = \"2024\"\nrust-version = \"1.90\"\n";
        assert_eq!(find_version(manifest), Some("1.90"));
        assert_eq!(find_version("rust-version.workspace = true"), None);
    }
}
