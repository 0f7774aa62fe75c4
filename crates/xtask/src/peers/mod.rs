//! The network beside the same network in PyTorch, work on scans beside SimpleITK, and
//! ranking beside scikit-learn, in alternating runs; on Linux.

mod python;
mod row;
mod scans;
mod server;
mod table;

use std::path::Path;
use std::process::Command;

use crate::Failure;
use crate::workspace::{Workspace, run as show};
use row::{ROWS, Row};
pub(crate) use scans::{run as run_scans, run_scores};
use server::Server;
use table::{HEADING, Timing};

/// Number of iterations and of rows.
struct Effort {
    /// Timed iterations of each program.
    rounds: usize,
    /// Rows with more patches are left out.
    most_patches: usize,
}

/// Measures every row.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Failure> {
    compare(workspace, &Effort { rounds: 5, most_patches: usize::MAX })
}

/// Measures fewer rows with fewer iterations.
pub(crate) fn run_quick(workspace: &Workspace) -> Result<(), Failure> {
    compare(workspace, &Effort { rounds: 3, most_patches: 16 })
}

/// Prints each row of the table when it is measured.
fn compare(workspace: &Workspace, effort: &Effort) -> Result<(), Failure> {
    let python = python::interpreter(workspace)?;
    let build = "build --release -p disyre-benches --bin network --target-dir target";
    show(&mut workspace.cargo(build))?;
    println!("\n{} alternating iterations on {} threads\n\n{HEADING}", effort.rounds, row::THREADS);
    for row in ROWS.iter().filter(|row| row.batch <= effort.most_patches) {
        let programs = programs(workspace, &python, row);
        println!("{}", table::line(row, &measure(programs, effort.rounds)?));
    }
    Ok(())
}

/// Ours first, then each variant of PyTorch.
fn programs(workspace: &Workspace, python: &Path, row: &Row) -> Vec<(&'static str, Command)> {
    let mut ours = Command::new(workspace.root().join("target/release/network"));
    // candle's own threads would spin beside ours.
    ours.env("CANDLE_NUM_THREADS", "1");
    ours.args(row.arguments()).args(["--precision", row.precision]);
    let script = workspace.root().join("benches/peers/unet.py");
    let peers = row.peers().iter().map(|&variant| {
        let mut command = Command::new(python);
        command.arg(&script).args(row.arguments()).args(["--variant", variant]);
        (variant, command)
    });
    std::iter::once(("ours", ours)).chain(peers).collect()
}

/// Starts all programs and runs one iteration of each in turn; the first round does not count.
fn measure(programs: Vec<(&'static str, Command)>, rounds: usize) -> Result<Vec<Timing>, Failure> {
    let start = |(name, mut command): (_, Command)| Ok((name, Server::start(&mut command)?));
    let mut servers = programs.into_iter().map(start).collect::<Result<Vec<_>, Failure>>()?;
    let mut all = vec![Vec::new(); servers.len()];
    for round in 0..=rounds {
        for ((_, server), milliseconds) in servers.iter_mut().zip(&mut all) {
            let spent = server.iterate()?;
            milliseconds.extend((round > 0).then_some(spent));
        }
    }
    let timing = |((name, server), milliseconds): ((_, Server), _)| {
        Ok(Timing { name, milliseconds, peak_mib: server.quit()? })
    };
    servers.into_iter().zip(all).map(timing).collect()
}
