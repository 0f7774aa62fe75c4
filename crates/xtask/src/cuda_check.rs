//! `cargo xtask cuda-check`: the CUDA kernels assemble for every architecture without register spills, the binary
//! links, and the code for candle's CUDA tensors compiles.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::workspace::{Workspace, cannot_start, describe, run as show};
use crate::{Failure, cuda_env};

/// Compute capabilities, the same as in build.rs of disyre-cuda.
const ARCHITECTURES: [u32; 3] = [80, 90, 100];

/// Resources of one kernel, from the assembler's report.
#[derive(Debug, Default, PartialEq, Eq)]
struct Figures {
    kernel: String,
    registers: u32,
    shared_bytes: u32,
    spilled_bytes: u32,
}

/// Assembles every kernel, prints its resources, builds the binary with feature `cuda`, and lints the code behind that
/// feature. Without a CUDA installation it installs a toolchain into `target/cuda`; if that fails, it says so and checks
/// nothing.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Failure> {
    let nvcc = match nvcc(workspace) {
        Ok(nvcc) => nvcc,
        Err(cause) => {
            println!("SKIPPED: no CUDA toolchain here, and none could be brought: {cause}");
            return Ok(());
        }
    };
    let folder = workspace.root().join("crates/disyre-cuda/src");
    let mut spilled = Vec::new();
    println!("\n| kernel | sm | registers | shared bytes | spilled bytes |\n|---|---|---|---|---|");
    for source in sources(&folder)? {
        for architecture in ARCHITECTURES {
            for found in assemble(&nvcc, &folder, &source, architecture)? {
                let Figures { kernel, registers, shared_bytes, spilled_bytes } = &found;
                println!(
                    "| {kernel} | {architecture} | {registers} | {shared_bytes} | {spilled_bytes} |"
                );
                if *spilled_bytes > 0 {
                    spilled.push(format!("{kernel} for sm_{architecture}"));
                }
            }
        }
    }
    if !spilled.is_empty() {
        return Err(Failure::Spills { kernels: spilled });
    }
    show(workspace.cargo("build -p disyre-cli --features cuda --profile link").env("NVCC", &nvcc))?;
    let crates = "-p disyre-cuda -p disyre-diffusion -p disyre-examples";
    let clippy = format!("clippy {crates} --all-targets --features cuda -- -D warnings");
    show(workspace.cargo(&clippy).env("NVCC", &nvcc))?;
    check_candle(workspace, &nvcc)
}

/// Checks that the code for candle's CUDA tensors compiles, where the installation has the libraries that candle needs.
/// The first time, candle's own kernels compile for minutes.
fn check_candle(workspace: &Workspace, nvcc: &Path) -> Result<(), Failure> {
    let home = nvcc.parent().and_then(Path::parent);
    let Some(home) = home.filter(|home| home.join("lib64/libcublas.so").exists()) else {
        println!(
            "SKIPPED: feature candle-cuda: no CUDA libraries beside {}; `cargo xtask cuda-env --install DIR \
             --libraries` brings them",
            nvcc.display()
        );
        return Ok(());
    };
    let capability = std::env::var("CUDA_COMPUTE_CAP").unwrap_or_else(|_| "90".to_owned());
    let mut check = workspace.cargo("check -p disyre-cuda --all-targets --features candle-cuda");
    check.env("NVCC", nvcc).env("CUDA_HOME", home).env("CUDA_PATH", home);
    show(check.env("CUDA_COMPUTE_CAP", capability))
}

/// The compiler of the installation, else of a toolchain in `target/cuda`.
fn nvcc(workspace: &Workspace) -> Result<PathBuf, Failure> {
    let home = std::env::var_os("CUDA_HOME").map(|home| PathBuf::from(home).join("bin/nvcc"));
    let named: Option<PathBuf> = std::env::var_os("NVCC").map(PathBuf::from).or(home);
    if let Some(nvcc) = named {
        return Ok(nvcc);
    }
    let found = Command::new("nvcc").arg("--version").output();
    if found.is_ok_and(|output| output.status.success()) {
        return Ok("nvcc".into());
    }
    Ok(cuda_env::set_up(&workspace.root().join("target/cuda"), false)?.join("bin/nvcc"))
}

/// The files of kernels: those of each operation lie in its folder.
fn sources(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut sources = Vec::new();
    for operation in entries(folder)?.into_iter().filter(|path| path.is_dir()) {
        sources.extend(entries(&operation)?);
    }
    // The emulator's kernels are wrong on purpose, and not for a GPU.
    let is_kernel = |path: &PathBuf| path.extension().is_some_and(|end| end == "cu");
    sources.retain(|path| is_kernel(path) && !path.starts_with(folder.join("emulator")));
    sources.sort();
    Ok(sources)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let at = |source| Failure::Path { path: folder.into(), source };
    let entries = std::fs::read_dir(folder).map_err(at)?;
    entries.map(|entry| Ok(entry.map_err(at)?.path())).collect()
}

/// Resources of every kernel of one file.
fn assemble(
    nvcc: &Path,
    folder: &Path,
    source: &Path,
    architecture: u32,
) -> Result<Vec<Figures>, Failure> {
    let mut command = Command::new(nvcc);
    let target: OsString = format!("-arch=sm_{architecture}").into();
    command.args(["-cubin", "-O3", "-std=c++17", "-Xptxas", "-v", "-o", "/dev/null"]);
    command.arg(target).arg("-I").arg(folder.join("headers")).arg(source);
    let output = command.output().map_err(|source| cannot_start(&command, source))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        eprint!("{said}");
        return Err(Failure::Command { command: describe(&command), status: output.status });
    }
    Ok(figures(&said))
}

/// Reads the assembler's report.
fn figures(said: &str) -> Vec<Figures> {
    let mut found: Vec<Figures> = Vec::new();
    for line in said.lines() {
        if let Some((_, rest)) = line.split_once("Compiling entry function '") {
            let kernel = rest.split('\'').next().unwrap_or_default().to_owned();
            found.push(Figures { kernel, ..Figures::default() });
        }
        let Some(last) = found.last_mut() else { continue };
        last.registers = number(line, " registers").unwrap_or(last.registers);
        last.shared_bytes = number(line, " bytes smem").unwrap_or(last.shared_bytes);
        last.spilled_bytes += number(line, " bytes spill stores").unwrap_or(0)
            + number(line, " bytes spill loads").unwrap_or(0);
    }
    found
}

/// The number in front of some words.
fn number(line: &str, words: &str) -> Option<u32> {
    let (before, _) = line.split_once(words)?;
    before.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_of_an_assembler_is_read() {
        let said = "\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'one' for 'sm_90'
ptxas info    : Function properties for one
    96 bytes stack frame, 184 bytes spill stores, 188 bytes spill loads
ptxas info    : Used 255 registers, used 1 barriers, 96 bytes cumulative stack size, 32768 bytes smem
ptxas info    : Compiling entry function 'two' for 'sm_90'
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 32 registers, used 0 barriers
";
        let figures = figures(said);
        let expected = |kernel: &str, registers, shared_bytes, spilled_bytes| Figures {
            kernel: kernel.into(),
            registers,
            shared_bytes,
            spilled_bytes,
        };
        assert_eq!(figures, [expected("one", 255, 32768, 372), expected("two", 32, 0, 0)]);
    }
}
