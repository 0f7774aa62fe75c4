//! A long run over all targets: `cargo run --release -p disyre-fuzz -- SECONDS [SEED]`. Files with a finding are written to
//! `target/fuzz`, and the run ends with 1.
#![forbid(unsafe_code)]

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use disyre_fuzz::{Report, Target, mutate, run, targets};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let seconds: u64 = words.next().ok_or("usage: disyre-fuzz SECONDS [SEED]")?.parse()?;
    let seed: u64 = words.next().map_or(Ok(1), |word| word.parse())?;
    let folder = tempfile::tempdir()?;
    let targets = targets(folder.path())?;
    let share = Duration::from_secs(seconds) / targets.len() as u32;
    let mut code = ExitCode::SUCCESS;
    for target in &targets {
        let report = run(target, seed, u64::MAX, Some(Instant::now() + share));
        let Report { target: name, states, accepted, slowest, findings } = &report;
        println!(
            "{name}: {states} states, {accepted} accepted, slowest {:.2} s, {} findings",
            slowest.as_secs_f64(),
            findings.len()
        );
        if !findings.is_empty() {
            keep(target, &report)?;
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

/// Writes the files of a report's first findings.
fn keep(target: &Target, report: &Report) -> Result<(), Box<dyn Error>> {
    let folder = Path::new("target/fuzz");
    std::fs::create_dir_all(folder)?;
    for found in report.findings.iter().take(20) {
        let path = folder.join(format!("{}-{}-{}", found.target, found.seed, found.index));
        println!("{}: {}", path.display(), found.fault);
        std::fs::write(path, mutate(target, found.seed, found.index))?;
    }
    Ok(())
}
