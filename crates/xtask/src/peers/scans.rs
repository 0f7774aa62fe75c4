//! Work on one scan after another, ours beside SimpleITK's.

use std::path::Path;
use std::process::Command;

use super::table::Timing;
use super::{measure, python, row};
use crate::Failure;
use crate::workspace::{Workspace, run as show};

/// Timed iterations of each program.
const ROUNDS: usize = 3;

const HEADING: &str = "\
| scan | ours, ms: median (min–max) | SimpleITK, ms: median (min–max) | SimpleITK / ours | peak MiB, ours / SimpleITK |
| --- | --- | --- | --- | --- |";

/// Times `target/release/<tool>` beside `benches/peers/<tool>.py`, both with `--scan` and `--threads`; prints each row of
/// the table when it is measured.
pub(crate) fn run(workspace: &Workspace, tool: &str, scans: &[&str]) -> Result<(), Failure> {
    let python = python::interpreter(workspace)?;
    let build = format!("build --release -p disyre-benches --bin {tool} --target-dir target");
    show(&mut workspace.cargo(&build))?;
    println!("\n{tool}: {ROUNDS} alternating iterations on {} threads\n\n{HEADING}", row::THREADS);
    for scan in scans {
        let ours = Command::new(workspace.root().join("target/release").join(tool));
        let mut peer = Command::new(&python);
        peer.arg(workspace.root().join(format!("benches/peers/{tool}.py")));
        let mut programs = vec![("ours", ours), ("SimpleITK", peer)];
        for (_, program) in &mut programs {
            program.args(["--scan", scan, "--threads", &row::THREADS.to_string()]);
        }
        println!("{}", line(scan, &measure(programs, ROUNDS)?));
    }
    Ok(())
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
