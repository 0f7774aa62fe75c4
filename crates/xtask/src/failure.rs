//! The one error of this program.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

/// Failure of a check or of a measurement.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A program could not be started.
    Start { program: String, source: io::Error },
    /// A program ended with an error; its own output says why.
    Command { command: String, status: ExitStatus },
    /// A folder or file could not be used.
    Path { path: PathBuf, source: io::Error },
    /// A crate has a dependency that it must not have.
    Forbidden { package: &'static str, found: Vec<String> },
    /// A crate has more dependencies than its budget.
    OverBudget { package: &'static str, budget: usize, found: Vec<String> },
    /// There is no example to run.
    NoExamples { folder: PathBuf },
    /// No Python that can run the peers.
    Python { cause: Box<Failure> },
    /// A program that is timed ended early.
    Died { command: String, status: String, errors: String },
    /// A timed program broke the protocol.
    Answer { command: String, line: String },
    /// Two programs compute different values of the same.
    Differ { what: String, values: [f64; 2] },
    /// A model that cannot ship.
    Model { problem: String },
    /// Kernels that spill registers.
    Spills { kernels: Vec<String> },
    /// One step of CI failed.
    Step { step: &'static str, cause: Box<Failure> },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start { program, source } => write!(f, "cannot start `{program}`: {source}"),
            Self::Command { command, status } => write!(f, "`{command}` failed ({status})"),
            Self::Path { path, source } => write!(f, "cannot use {}: {source}", path.display()),
            Self::Forbidden { package, found } => write!(
                f,
                "{package} depends on {}, which it must not; see docs/ARCHITECTURE.md",
                found.join(", ")
            ),
            Self::OverBudget { package, budget, found } => write!(
                f,
                "{package} has {} dependencies, its budget is {budget}; drop one, or raise the budget in \
                 crates/xtask/src/budget.rs and say why\n  {}",
                found.len(),
                found.join("\n  ")
            ),
            Self::NoExamples { folder } => {
                write!(f, "{} holds no example; expected *.rs files", folder.display())
            }
            Self::Python { cause } => write!(
                f,
                "{cause}; the peers need python3 with its venv module and a package index, or an interpreter that has \
                 torch, named in DISYRE_PEERS_PYTHON"
            ),
            Self::Died { command, status, errors } => {
                write!(f, "`{command}` ended early ({status}) and said:\n{}", errors.trim_end())
            }
            Self::Answer { command, line } => {
                write!(f, "`{command}` answered `{line}`, which no program that is timed may")
            }
            Self::Differ { what, values: [ours, theirs] } => {
                write!(f, "{what}: ours is {ours}, theirs {theirs}; one of the two is wrong")
            }
            Self::Model { problem } => write!(f, "{problem}"),
            Self::Spills { kernels } => write!(
                f,
                "registers are spilled by {}; give the kernel less to hold, or fewer threads",
                kernels.join(", ")
            ),
            Self::Step { step, cause } => write!(f, "{step}: {cause}"),
        }
    }
}
