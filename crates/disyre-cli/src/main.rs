//! The command line of disyre: it parses, resolves the settings (preset < file < argument), calls the façade and
//! prints. No algorithm lives here.
#![forbid(unsafe_code)]
// They panic where nothing can be printed: see `print`.
#![deny(clippy::print_stdout, clippy::print_stderr)]

#[macro_use]
mod print;

mod anomaly_arguments;
mod arguments;
mod bids;
mod cohort_index;
mod cohort_mapper;
mod commands;
mod config;
mod detection_arguments;
mod each_scan;
mod emit;
mod error;
mod interrupt;
mod manifest;
mod map_pairs;
mod output_files;
mod progress;
mod scan_mapper;
mod shard;
mod table;
mod warnings;

use std::process::ExitCode;

use clap::Parser;

/// Training makes and drops the same large blocks at every step. This allocator keeps them; the system's gives them
/// back to the kernel and pays for every page again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    warnings::install();
    interrupt::survive_file_limits();
    match commands::Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note!("error: {}", error::with_causes(&error));
            error.exit_code()
        }
    }
}
