//! Registration to MNI152 as a server that registers a scan per request, so that it can be timed in turn with SimpleITK's:
//! `cargo xtask bench-peers register SCAN` is the client.
#![forbid(unsafe_code)]

use std::error::Error;
use std::process::ExitCode;

use disyre_benches::{report, scan_argument, serve};
use disyre_register::{RegisterConfig, Template};
use disyre_volume::Scan;

fn main() -> ExitCode {
    report(run())
}

/// Registers a stripped scan, from voxels in memory to the affine and its verdict.
fn run() -> Result<(), Box<dyn Error>> {
    let (scan, template) = (Scan::read(scan_argument()?)?.volume, Template::mni152()?);
    let registrar = RegisterConfig::default().build()?;
    serve(|| {
        registrar.register(&template, &scan, None)?;
        Ok(())
    })
}
