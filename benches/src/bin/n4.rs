//! Bias field correction as a server that runs one correction per request, so that it can be timed in turn with
//! SimpleITK's: `cargo xtask bench-peers n4 SCAN` is the client.
#![forbid(unsafe_code)]

use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

use disyre_benches::Client;
use disyre_n4::N4Config;
use disyre_volume::{Scan, nonzero_mask};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Corrects a stripped scan, from voxels and mask in memory to the corrected voxels.
fn run() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [_, scan, _, threads] = &words[..] else {
        return Err("usage: n4 --scan FILE --threads NUMBER".into());
    };
    rayon::ThreadPoolBuilder::new().num_threads(threads.parse()?).build_global()?;
    let image = Scan::read(scan)?.volume.data;
    let mask = nonzero_mask(image.view());
    let n4 = N4Config::default().build()?;
    n4.correct(image.view(), mask.view())?;
    let mut client = Client::greet();
    while client.asks_for_more()? {
        let start = Instant::now();
        n4.correct(image.view(), mask.view())?;
        Client::answer(start.elapsed().as_secs_f64());
    }
    Ok(())
}
