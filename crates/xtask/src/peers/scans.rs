//! Work on one input after another, ours beside that of a Python library.

use std::path::Path;
use std::process::Command;

use super::table::Timing;
use super::{measure, python, row};
use crate::Failure;
use crate::workspace::{Workspace, describe, read, run as show};

/// Timed iterations of each program.
const ROUNDS: usize = 3;

/// Times `target/release/<tool>` beside SimpleITK on scans.
pub(crate) fn run(workspace: &Workspace, tool: &str, scans: &[&str]) -> Result<(), Failure> {
    build(workspace, tool)?;
    compare(workspace, tool, "SimpleITK", scans)
}

/// Greatest difference between two values of the same average precision, for the rounding of sums.
const SAME: f64 = 1e-9;

/// Times the ranking of 8 million voxels beside scikit-learn, on three maps that are made first, once both have the same
/// average precision of each. scikit-learn uses one thread, ours all that it is given.
pub(crate) fn run_scores(workspace: &Workspace) -> Result<(), Failure> {
    build(workspace, "score")?;
    let folder = workspace.root().join("target/peers-scores");
    show(Command::new(ours(workspace, "score")).arg("--write").arg(&folder))?;
    let maps =
        ["distinct", "background", "lesions"].map(|map| folder.join(map).display().to_string());
    for map in &maps {
        compare_values(workspace, map)?;
    }
    println!("\nscikit-learn uses one thread");
    compare(workspace, "score", "scikit-learn", &maps)
}

/// Prints the average precision of a map as both compute it; an error if they differ.
fn compare_values(workspace: &Workspace, map: &str) -> Result<(), Failure> {
    let mut own = Command::new(ours(workspace, "score"));
    own.args(["--value", map]);
    let mut peer = Command::new(python::interpreter(workspace)?);
    peer.arg(workspace.root().join("benches/peers/score.py")).args(["--value", "--scan", map]);
    let [own, other] = [value(&mut own)?, value(&mut peer)?];
    println!("average precision of {map}: {own}, scikit-learn {other}");
    let same = (own - other).abs() <= SAME;
    if same { Ok(()) } else { Err(Failure::Differ { what: map.to_owned(), values: [own, other] }) }
}

/// The number that a command prints.
fn value(command: &mut Command) -> Result<f64, Failure> {
    let text = read(command)?;
    let answer = || Failure::Answer { command: describe(command), line: text.trim().to_owned() };
    text.trim().parse().map_err(|_| answer())
}

fn build(workspace: &Workspace, tool: &str) -> Result<(), Failure> {
    let build = format!("build --release -p disyre-benches --bin {tool} --target-dir target");
    show(&mut workspace.cargo(&build))
}

fn ours(workspace: &Workspace, tool: &str) -> std::path::PathBuf {
    workspace.root().join("target/release").join(tool)
}

/// Times `target/release/<tool>` beside `benches/peers/<tool>.py`, both with `--scan` and `--threads`; prints each row of
/// the table when it is measured.
fn compare(
    workspace: &Workspace,
    tool: &str,
    library: &'static str,
    inputs: &[impl AsRef<str>],
) -> Result<(), Failure> {
    let python = python::interpreter(workspace)?;
    println!("\n{tool}: {ROUNDS} alternating iterations on {} threads\n", row::THREADS);
    println!("{}", heading(library));
    for input in inputs {
        let mut peer = Command::new(&python);
        peer.arg(workspace.root().join(format!("benches/peers/{tool}.py")));
        let mut programs = vec![("ours", Command::new(ours(workspace, tool))), (library, peer)];
        for (_, program) in &mut programs {
            program.args(["--scan", input.as_ref(), "--threads", &row::THREADS.to_string()]);
        }
        println!("{}", line(input.as_ref(), &measure(programs, ROUNDS)?));
    }
    Ok(())
}

fn heading(library: &str) -> String {
    format!(
        "| input | ours, ms: median (min–max) | {library}, ms: median (min–max) | {library} / ours \
         | peak MiB, ours / {library} |\n| --- | --- | --- | --- | --- |"
    )
}

/// One line; the first timing is ours.
fn line(scan: &str, timings: &[Timing]) -> String {
    let (ours, peer) = (&timings[0], &timings[timings.len() - 1]);
    let name = Path::new(scan).file_name().unwrap_or_default().to_string_lossy();
    format!(
        "| {name} | {} | {} | {:.1} | {:.0} / {:.0} |",
        ours.cell(),
        peer.cell(),
        peer.median() / ours.median(),
        ours.peak_mib,
        peer.peak_mib,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_the_scan_and_compares_the_medians() {
        let timing = |name, milliseconds: &[f64], peak_mib| Timing {
            name,
            milliseconds: milliseconds.to_vec(),
            peak_mib,
        };
        let timings = [
            timing("ours", &[110.0, 100.0, 120.0], 90.0),
            timing("SimpleITK", &[9900.0; 3], 500.0),
        ];
        assert_eq!(
            line("some/where/a.nii.gz", &timings),
            "| a.nii.gz | 110 (100–120) | 9900 (9900–9900) | 90.0 | 90 / 500 |"
        );
    }
}
