//! The binary `disyre` from end to end, on tiny phantoms.

mod errors;
mod evaluation;
mod pipeline;
mod support;
mod threads;
