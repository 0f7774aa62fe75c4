//! The restoration network's operations on NVIDIA GPUs: kernels, launch code and driver.
//!
//! Use this crate to run a network that is written over [`disyre_kernels::backend::Backend`] on a GPU. To find anomalies
//! in scans use the façade `disyre`.
//!
//! Each operation has a folder with its kernels (`.cu`) beside the code that launches them: `conv2d`, `attention`,
//! `group_norm`, `loss`, `adamw`, `ensemble`. Feature maps are bf16 where convolutions multiply in bf16; results that no
//! normalisation reads (the network's own, the embedding's, queries, keys and values) stay `f32`. Sums are in `f32` within
//! a block of threads and in `f64` beyond, over fixed pieces in fixed order: results have the same bits on every run.
//!
//! # Features
//! Without features the crate is empty, and nothing is compiled by nvcc or a C++ compiler.
//!
//! - `cuda`: GPUs of compute capability 8.0 and later. Needs nvcc to build; the driver is looked for at run time.
//! - `candle`: `Cuda` is a backend of the operations on candle tensors, `disyre_kernels::candle`.
//! - `candle-cuda`: the same on candle's CUDA tensors; candle links CUDA. In precision `f32`.
//! - `emulation`: the same kernels on the CPU, compiled by the host's C++ compiler: slow, for tests.
//!
//! # What this crate does not do
//! It holds no network, and no operation that the network does not need.
#![deny(unsafe_op_in_unsafe_fn)]
#![cfg_attr(
    any(feature = "cuda", feature = "emulation"),
    expect(
        unsafe_code,
        reason = "kernels, the driver and the emulator; every block says why it is sound"
    )
)]
#![cfg(any(feature = "cuda", feature = "emulation"))]

mod adamw;
mod attention;
mod backend;
mod buffer;
#[cfg(feature = "candle")]
mod candle;
mod conv2d;
mod cuda;
mod device;
#[cfg(feature = "cuda")]
mod driver;
#[cfg(feature = "emulation")]
mod emulator;
mod ensemble;
mod graph;
mod group_norm;
mod loss;
mod memory;

pub use buffer::{DeviceBuffer, role};
pub use cuda::Cuda;
#[cfg(feature = "cuda")]
pub use driver::{Gpu, Stream};
#[cfg(feature = "emulation")]
pub use emulator::recorder::RecordingEmulator;
#[cfg(feature = "emulation")]
pub use emulator::{Emulator, Mode};
pub use graph::CudaGraph;
