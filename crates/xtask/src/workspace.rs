//! The checkout, and the commands that run in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;

/// The checkout, and the cargo that runs this program.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
    cargo: PathBuf,
}

impl Workspace {
    /// The workspace that this program was built in.
    pub(crate) fn find() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let cargo = std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from);
        Self { root: root.canonicalize().unwrap_or(root), cargo }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A call of cargo at the root of the workspace; `arguments` are split at spaces.
    pub(crate) fn cargo(&self, arguments: &str) -> Command {
        let mut command = Command::new(&self.cargo);
        command.args(arguments.split(' ')).current_dir(&self.root);
        command
    }
}

/// Runs a command with its output shown.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    println!("$ {}", describe(command));
    let status = command.status().map_err(|source| cannot_start(command, source))?;
    if status.success() { Ok(()) } else { Err(failed(command, status)) }
}

/// Runs a command and returns what it printed.
pub(crate) fn read(command: &mut Command) -> Result<String, Failure> {
    let output = command.output().map_err(|source| cannot_start(command, source))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    Err(failed(command, output.status))
}

/// Error of a command that did not start.
pub(crate) fn cannot_start(command: &Command, source: std::io::Error) -> Failure {
    Failure::Start { program: command.get_program().to_string_lossy().into_owned(), source }
}

fn failed(command: &Command, status: std::process::ExitStatus) -> Failure {
    Failure::Command { command: describe(command), status }
}

/// The command line, with its environment variables in front.
pub(crate) fn describe(command: &Command) -> String {
    let variables = command.get_envs().filter_map(|(name, value)| {
        Some(format!("{}={}", name.to_string_lossy(), value?.to_string_lossy()))
    });
    let program = Path::new(command.get_program())
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let arguments = command.get_args().map(|argument| argument.to_string_lossy().into_owned());
    let words: Vec<_> = variables.chain(program).chain(arguments).collect();
    words.join(" ")
}
