//! Programs that run one iteration per request, so that they can be timed in turn with others.
//!
//! `benches/peers/unet.py` states the protocol; `cargo xtask bench-peers` is the client.
use std::error::Error;
use std::io::{Lines, StdinLock, stdin};

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
