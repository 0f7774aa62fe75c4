//! Registration to MNI152 as a server that registers a scan per request, so that it can be timed in turn with SimpleITK's:
//! `cargo xtask bench-peers register SCAN` is the client.
#![forbid(unsafe_code)]

use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

use disyre_benches::Client;
use disyre_register::{RegisterConfig, Template};
use disyre_volume::Scan;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Registers a stripped scan, from voxels in memory to the affine and its verdict.
fn run() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [_, scan, _, threads] = &words[..] else {
        return Err("usage: register --scan FILE --threads NUMBER".into());
    };
    rayon::ThreadPoolBuilder::new().num_threads(threads.parse()?).build_global()?;
    let (scan, template) = (Scan::read(scan)?.volume, Template::mni152()?);
    let registrar = RegisterConfig::default().build()?;
    registrar.register(&template, &scan, None)?;
    let mut client = Client::greet();
    while client.asks_for_more()? {
        let start = Instant::now();
        registrar.register(&template, &scan, None)?;
        Client::answer(start.elapsed().as_secs_f64());
    }
    Ok(())
}
