//! Programs that run one iteration per request, so that they can be timed in turn with others.
//!
//! `benches/peers/unet.py` states the protocol; `cargo xtask bench-peers` is the client.
use std::error::Error;
use std::io::{Lines, StdinLock, stdin};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Prints the error of a program, if there is one; the exit code says whether.
pub fn report(outcome: Result<(), Box<dyn Error>>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Reads the arguments `--scan FILE --threads NUMBER`, sizes the pool of threads and returns the file.
///
/// # Errors
/// If the arguments are others, or the pool can't be made.
pub fn scan_argument() -> Result<PathBuf, Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [_, scan, _, threads] = &words[..] else {
        return Err("usage: --scan FILE --threads NUMBER".into());
    };
    rayon::ThreadPoolBuilder::new().num_threads(threads.parse()?).build_global()?;
    Ok(scan.into())
}

/// Works once to warm up, then once for each request, which is answered with the time.
///
/// # Errors
/// Those of the work and of standard input.
pub fn serve(mut work: impl FnMut() -> Result<(), Box<dyn Error>>) -> Result<(), Box<dyn Error>> {
    work()?;
    let mut client = Client::greet();
    while client.asks_for_more()? {
        let start = Instant::now();
        work()?;
        Client::answer(start.elapsed().as_secs_f64());
    }
    Ok(())
}

/// The client, on standard input.
#[derive(Debug)]
pub struct Client(Lines<StdinLock<'static>>);

impl Client {
    /// Reports that the program is ready.
    pub fn greet() -> Self {
        println!("ready");
        Self(stdin().lines())
    }

    /// Waits for the next request; true if it asks for an iteration, false at the end.
    ///
    /// # Errors
    /// If standard input can't be read, or holds another request.
    pub fn asks_for_more(&mut self) -> Result<bool, Box<dyn Error>> {
        match self.0.next().transpose()?.as_deref() {
            Some("go") => Ok(true),
            Some("quit") => {
                println!("peak {}", peak_mib()?);
                Ok(false)
            }
            None => Ok(false),
            Some(other) => Err(format!("unknown request `{other}`; expected go or quit").into()),
        }
    }

    /// Reports what an iteration took.
    pub fn answer(seconds: f64) {
        println!("{:.3}", 1e3 * seconds);
    }
}

/// Largest resident set of this process so far, in MiB; Linux only.
fn peak_mib() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(kib.ok_or("/proc/self/status lacks VmHWM in kB")?.parse::<u64>()? / 1024)
}
