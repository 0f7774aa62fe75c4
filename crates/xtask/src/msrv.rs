//! `cargo xtask msrv`: the oldest compilers that the manifests promise, the `rust-version`, compile what they promise.

use std::process::Command;

use crate::Failure;
use crate::workspace::{Workspace, read, run as show};

/// Manifests with a `rust-version`, and packages that they promise it for with all that these are made of. The program has a
/// later one, since the `kmeans` crate needs it.
const PROMISES: [(&str, &str); 2] =
    [("Cargo.toml", "disyre-experiment"), ("crates/disyre-cli/Cargo.toml", "disyre-cli")];

/// Checks the libraries, and the program, each with its oldest compiler. Where rustup can't bring one, it says so and goes on.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Failure> {
    let current = read(Command::new("rustc").arg("--version"))?;
    for (manifest, package) in PROMISES {
        let version = rust_version(workspace, manifest)?;
        if current.starts_with(&format!("rustc {version}.")) {
            println!("{package}: {version} is the compiler of all other checks");
        } else {
            check(workspace, package, &version)?;
        }
    }
    Ok(())
}

fn check(workspace: &Workspace, package: &str, version: &str) -> Result<(), Failure> {
    let bring = ["toolchain", "install", version, "--profile", "minimal", "--no-self-update"];
    if let Err(cause) = show(Command::new("rustup").args(bring)) {
        println!("SKIPPED: {package} with compiler {version}, which can't be brought: {cause}");
        return Ok(());
    }
    // Cargo's own variables name the compiler in use, which rustup would then take.
    let mut command = Command::new("rustup");
    command.current_dir(workspace.root()).env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
    let check = ["run", version, "cargo", "check", "--locked", "--target-dir", "target/msrv", "-p"];
    show(command.args(check).arg(package))
}

/// The `rust-version` of a manifest.
fn rust_version(workspace: &Workspace, manifest: &str) -> Result<String, Failure> {
    let path = workspace.root().join(manifest);
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
