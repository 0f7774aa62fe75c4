//! A timed program, driven iteration by iteration over its standard input and output.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;

use crate::Failure;
use crate::workspace::{cannot_start, describe};

/// A program that runs one iteration per request; `benches/peers/unet.py` states the protocol.
///
/// Dropping it ends the program.
#[derive(Debug)]
pub(super) struct Server {
    command: String,
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// Reads the standard error of the program, whose pipe would block it when full.
    errors: Option<JoinHandle<String>>,
}

impl Server {
    /// Starts a program and waits until it is warm.
    pub(super) fn start(command: &mut Command) -> Result<Self, Failure> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|source| cannot_start(command, source))?;
        const PIPED: &str = "all three are piped";
        let mut errors = child.stderr.take().expect(PIPED);
        let mut server = Self {
            command: describe(command),
            requests: child.stdin.take().expect(PIPED),
            answers: BufReader::new(child.stdout.take().expect(PIPED)),
            child,
            errors: Some(std::thread::spawn(move || {
                let mut bytes = Vec::new();
                // A failed read ends the text that can be shown.
                let _ = errors.read_to_end(&mut bytes);
                String::from_utf8_lossy(&bytes).into_owned()
            })),
        };
        match server.answer()? {
            line if line == "ready" => Ok(server),
            line => Err(server.unexpected(line)),
        }
    }

    /// Runs one iteration and returns its milliseconds.
    pub(super) fn iterate(&mut self) -> Result<f64, Failure> {
        let line = self.ask("go")?;
        line.parse().map_err(|_| self.unexpected(line))
    }

    /// Ends the program and returns its largest resident set in MiB.
    pub(super) fn quit(mut self) -> Result<f64, Failure> {
        let line = self.ask("quit")?;
        let peak = line.strip_prefix("peak ").and_then(|mib| mib.parse().ok());
        peak.ok_or_else(|| self.unexpected(line))
    }

    fn ask(&mut self, request: &str) -> Result<String, Failure> {
        match self.requests.write_all(format!("{request}\n").as_bytes()) {
            Ok(()) => self.answer(),
            Err(_) => Err(self.died()),
        }
    }

    fn answer(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        match self.answers.read_line(&mut line) {
            Ok(1..) => Ok(line.trim().to_owned()),
            _ => Err(self.died()),
        }
    }

    fn unexpected(&self, line: String) -> Failure {
        Failure::Answer { command: self.command.clone(), line }
    }

    fn died(&mut self) -> Failure {
        let status = self.child.wait().map_or_else(|e| e.to_string(), |status| status.to_string());
        let errors = self.errors.take().and_then(|reader| reader.join().ok()).unwrap_or_default();
        Failure::Died { command: self.command.clone(), status, errors }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if the program has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn start(script: &str) -> Result<Server, Failure> {
        Server::start(Command::new("sh").args(["-c", script]))
    }

    #[test]
    fn a_server_iterates_when_asked_and_tells_its_peak_at_the_end() {
        let script = "echo ready; read a; echo \"1.5\"; read b; echo 2; read c; echo \"peak 7\"";
        let mut server = start(script).unwrap();
        assert_eq!(server.iterate().unwrap(), 1.5);
        assert_eq!(server.iterate().unwrap(), 2.0);
        assert_eq!(server.quit().unwrap(), 7.0);
    }

    #[test]
    fn a_server_that_dies_is_named_with_what_it_said() {
        let message = start("echo no module >&2; exit 3").unwrap_err().to_string();
        assert!(message.contains("exit 3") && message.contains("no module"), "{message}");
        let mut server = start("echo ready; read a; echo out of memory >&2; exit 4").unwrap();
        let message = server.iterate().unwrap_err().to_string();
        assert!(message.contains("exit status: 4"), "{message}");
        assert!(message.contains("out of memory"), "{message}");
    }

    #[test]
    fn an_answer_out_of_turn_is_shown() {
        assert!(start("echo hello").unwrap_err().to_string().contains("`hello`"));
        let message = start("echo ready; read a; echo soon").unwrap().iterate().unwrap_err();
        assert!(message.to_string().contains("`soon`"), "{message}");
    }
}
