//! Bias field correction as a server that runs one correction per request, so that it can be timed in turn with
//! SimpleITK's: `cargo xtask bench-peers n4 SCAN` is the client.
#![forbid(unsafe_code)]

use std::error::Error;
use std::process::ExitCode;

use disyre_benches::{report, scan_argument, serve};
use disyre_n4::N4Config;
use disyre_volume::{Scan, nonzero_mask};

fn main() -> ExitCode {
    report(run())
}

/// Corrects a stripped scan, from voxels and mask in memory to the corrected voxels.
fn run() -> Result<(), Box<dyn Error>> {
    let image = Scan::read(scan_argument()?)?.volume.data;
    let mask = nonzero_mask(image.view());
    let n4 = N4Config::default().build()?;
    serve(|| {
        n4.correct(image.view(), mask.view())?;
        Ok(())
    })
}
