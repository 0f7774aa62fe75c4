//! The binary `disyre` from end to end, on tiny phantoms.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod bad_inputs;
mod bids;
#[cfg(unix)]
mod bids_scripts;
mod brain;
mod calibrate;
mod check;
mod cohorts;
mod devices;
#[cfg(unix)]
mod disk;
mod embedded;
mod errors;
mod evaluation;
mod experiment;
mod findings;
mod implant;
mod kills;
mod memory;
mod pages;
mod pipeline;
mod runs;
mod support;
mod synth;
mod threads;
