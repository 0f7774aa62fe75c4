//! Automation of the workspace: `cargo xtask ci`, `cargo xtask budget`, `cargo xtask examples`,
//! `cargo xtask bench-peers`.
#![forbid(unsafe_code)]

mod budget;
mod ci;
mod examples;
mod failure;
mod peers;
mod workspace;

use std::process::ExitCode;

use failure::Failure;
use workspace::Workspace;

const USAGE: &str = "usage: cargo xtask <command>

  ci        all checks, cheapest first; stops at the first that fails
  budget    dependencies that disyre-dag and disyre-score may have
  examples  builds and runs every examples/*.rs
  bench-peers [--quick]
            times the network beside PyTorch's; DISYRE_PEERS_PYTHON names an interpreter that has torch";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let command: fn(&Workspace) -> Result<(), Failure> = match arguments.join(" ").as_str() {
        "ci" => ci::run,
        "budget" => budget::check,
        "examples" => examples::run,
        "bench-peers" => peers::run,
        "bench-peers --quick" => peers::run_quick,
        "" | "help" | "--help" => return print_usage(),
        other => {
            eprintln!("error: unknown command `{other}`\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match command(&Workspace::find()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn print_usage() -> ExitCode {
    println!("{USAGE}");
    ExitCode::SUCCESS
}
