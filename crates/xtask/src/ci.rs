//! `cargo xtask ci`: all checks of the workspace, in order.

use std::time::Instant;

use crate::workspace::{Workspace, run as show};
use crate::{Failure, budget, cuda_check, deny, examples, msrv};

/// One check: its name, and how to run it.
type Step = (&'static str, fn(&Workspace) -> Result<(), Failure>);

/// Cheapest first; the tests end the output.
const STEPS: [Step; 12] = [
    ("format", format),
    ("budget", budget::check),
    ("dependencies", deny::run),
    ("plain stable", plain_stable),
    ("alone", alone),
    ("oldest compiler", msrv::run),
    ("lints", lints),
    ("docs", docs),
    ("examples", examples::run),
    ("cuda", cuda_check::run),
    ("emulated cuda", emulated),
    ("tests", tests),
];

/// Runs all checks and prints how long each took; stops at the first that fails.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Failure> {
    let start = Instant::now();
    for (index, (name, check)) in STEPS.into_iter().enumerate() {
        println!("\n[{}/{}] {name}", index + 1, STEPS.len());
        let step = Instant::now();
        check(workspace).map_err(|cause| Failure::Step { step: name, cause: Box::new(cause) })?;
        println!("[{}/{}] {name}: passed in {:.1} s", index + 1, STEPS.len(), seconds(step));
    }
    println!("\nall {} checks passed in {:.1} s", STEPS.len(), seconds(start));
    Ok(())
}

fn seconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64()
}

fn format(workspace: &Workspace) -> Result<(), Failure> {
    show(&mut workspace.cargo("fmt --all --check"))
}

/// The crates that others build on their own need no switch of the compiler; tissue then lacks a feature, so its tests
/// run this way too. A folder of its own keeps the change of the switch from rebuilding everything else.
fn plain_stable(workspace: &Workspace) -> Result<(), Failure> {
    let crates = "-p disyre-core -p disyre-augment -p disyre-dag -p disyre-patch -p disyre-score -p disyre-tissue";
    for command in [format!("check {crates}"), "test -p disyre-tissue".to_owned()] {
        let arguments = format!("{command} --no-default-features --target-dir target/plain-stable");
        show(workspace.cargo(&arguments).env("RUSTC_BOOTSTRAP", "-1"))?;
    }
    Ok(())
}

/// Crates outside the workspace that depend on disyre-dag alone, or on disyre-score alone, build and run.
fn alone(workspace: &Workspace) -> Result<(), Failure> {
    ["dag-user", "score-user"].into_iter().try_for_each(|user| {
        let manifest = format!("tests/standalone/{user}/Cargo.toml");
        let arguments =
            format!("run --locked --manifest-path {manifest} --target-dir target/alone");
        show(workspace.cargo(&arguments).env("RUSTC_BOOTSTRAP", "-1"))
    })
}

/// The whole workspace, and the program by itself: other crates of the workspace turn on features that it lacks.
fn lints(workspace: &Workspace) -> Result<(), Failure> {
    show(&mut workspace.cargo("clippy --workspace --all-targets -- -D warnings"))?;
    show(&mut workspace.cargo("clippy -p disyre-cli -- -D warnings"))
}

/// Libraries only: the binary bears the name of the façade and would overwrite its pages.
fn docs(workspace: &Workspace) -> Result<(), Failure> {
    let mut command = workspace.cargo("doc --workspace --lib --no-deps");
    show(command.env("RUSTDOCFLAGS", "-D warnings"))
}

/// The CUDA kernels, candle's operations and the networks on them, run by the emulator; and the program with it, of whose
/// tests those of devices are enough. All commands name the same crates: with others, the crates that all of them need would
/// have other features and be compiled again.
fn emulated(workspace: &Workspace) -> Result<(), Failure> {
    let crates = "-p disyre-cuda -p disyre-diffusion -p disyre-cli";
    let features = "--features disyre-cuda/candle,disyre-cuda/emulation,disyre-cli/cuda-emulation";
    let cargo = |command: &str, more: &str| {
        show(&mut workspace.cargo(&format!("{command} {crates} {features} {more}")))
    };
    cargo("clippy", "--all-targets -- -D warnings")?;
    let tests = ["candle", "convolution", "ensemble", "operations", "sound", "golden", "pipeline"];
    let tests = tests.map(|test| format!(" --test {test}")).concat();
    cargo("test", &format!("--lib{tests} --test train"))?;
    cargo("test", "--test cli devices")
}

/// The command that the README gives.
fn tests(workspace: &Workspace) -> Result<(), Failure> {
    show(&mut workspace.cargo("test --workspace"))
}
