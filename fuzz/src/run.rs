//! Running targets on damaged files.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::{Target, mutate};

/// Time that one small file may take on a busy machine. A recipe may ask for voxels of half a millimetre, with bias correction,
/// which is work and no fault.
const MOST: Duration = Duration::from_secs(300);

/// A file that a target can't take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Name of the target.
    pub target: &'static str,
    /// Seed of the run.
    pub seed: u64,
    /// Number of the file.
    pub index: u64,
    /// Its fault: a panic, or its time.
    pub fault: String,
}

/// Outcome of a run over one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Name of the target.
    pub target: &'static str,
    /// Files read.
    pub states: u64,
    /// Of them those that were read without an error, damage and all.
    pub accepted: u64,
    /// The longest time that one took.
    pub slowest: Duration,
    /// Those that can't be taken.
    pub findings: Vec<Finding>,
}

/// Runs a target on the damaged files `0..states` of a seed, or until a moment.
pub fn run(target: &Target, seed: u64, states: u64, until: Option<Instant>) -> Report {
    let mut report = Report {
        target: target.name,
        states: 0,
        accepted: 0,
        slowest: Duration::ZERO,
        findings: Vec::new(),
    };
    for index in 0..states {
        let begun = Instant::now();
        if until.is_some_and(|until| begun > until) {
            break;
        }
        let bytes = mutate(target, seed, index);
        let outcome = catch_unwind(AssertUnwindSafe(|| (target.read)(&bytes)));
        let time = begun.elapsed();
        let fault = match outcome {
            Err(_) => Some("it panics".to_owned()),
            Ok(Err(fault)) => Some(fault),
            Ok(Ok(_)) if time > MOST => Some(format!("it takes {:.0} s", time.as_secs_f64())),
            Ok(Ok(accepted)) => {
                report.accepted += u64::from(accepted);
                None
            }
        };
        let found = fault.map(|fault| Finding { target: target.name, seed, index, fault });
        report.findings.extend(found);
        report.states += 1;
        report.slowest = report.slowest.max(time);
    }
    report
}
