//! Automation of the workspace: `cargo xtask ci`, `cargo xtask budget`, `cargo xtask examples`,
//! `cargo xtask deny`, `cargo xtask msrv`, `cargo xtask bench-peers`, `cargo xtask ship-model`, `cargo xtask cuda-env`, `cargo xtask cuda-check`.
#![forbid(unsafe_code)]

mod budget;
mod ci;
mod cuda_check;
mod cuda_env;
mod deny;
mod examples;
mod failure;
mod msrv;
mod peers;
mod python_tools;
mod ship_model;
mod workspace;

use std::process::ExitCode;

use failure::Failure;
use workspace::Workspace;

const USAGE: &str = "usage: cargo xtask <command>

  ci        all checks, cheapest first; stops at the first that fails
  budget    limits on the dependencies of the crates that others build on, and of the program
  deny      licences, bans, sources and advisories of all dependencies, by cargo-deny
  msrv      checks libraries and program with the oldest compilers that they promise to build with
  examples  builds and runs every examples/*.rs
  bench-peers [--quick]
            times the network beside PyTorch's; DISYRE_PEERS_PYTHON names an interpreter that has torch
  bench-peers n4 SCAN...
            times bias field correction of stripped scans beside SimpleITK's; the interpreter needs SimpleITK
  bench-peers register SCAN...
            times registration of stripped scans to MNI152 beside SimpleITK's; the interpreter needs SimpleITK
  bench-peers score
            times average precision of 8 million voxels beside scikit-learn's; the interpreter needs scikit-learn
  ship-model MODEL_DIR [PROGRAM]
            puts a trained model into crates/disyre-weights; PROGRAM is a disyre that is built already
  cuda-env [--install DIR [--libraries]]
            the CUDA toolchain that feature `cuda` is built with, from packages of the Python index; Linux
  cuda-check
            assembles the CUDA kernels for every architecture, and builds the binary with feature `cuda`";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let workspace = Workspace::find();
    let result = match words[..] {
        ["ci"] => ci::run(&workspace),
        ["budget"] => budget::check(&workspace),
        ["deny"] => deny::run(&workspace),
        ["msrv"] => msrv::run(&workspace),
        ["examples"] => examples::run(&workspace),
        ["bench-peers"] => peers::run(&workspace),
        ["bench-peers", "--quick"] => peers::run_quick(&workspace),
        ["bench-peers", tool @ ("n4" | "register"), ref scans @ ..] if !scans.is_empty() => {
            peers::run_scans(&workspace, tool, scans)
        }
        ["bench-peers", "score"] => peers::run_scores(&workspace),
        ["ship-model", model] => ship_model::run(&workspace, model, None),
        ["ship-model", model, program] => ship_model::run(&workspace, model, Some(program)),
        ["cuda-check"] => cuda_check::run(&workspace),
        ["cuda-env"] => cuda_env::print(),
        ["cuda-env", "--install", folder] => cuda_env::install(folder, false),
        ["cuda-env", "--install", folder, "--libraries"] => cuda_env::install(folder, true),
        [] | ["help" | "--help"] => print_usage(),
        _ => {
            eprintln!("error: unknown command `{}`\n\n{USAGE}", words.join(" "));
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn print_usage() -> Result<(), Failure> {
    println!("{USAGE}");
    Ok(())
}
