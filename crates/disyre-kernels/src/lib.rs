//! Tensor operations of the restoration network, differentiable, with fast CPU forms.
//!
//! Use this crate to build a network on candle from operations that are quick on the CPU and give
//! the same bits for any number of threads. To find anomalies in scans use the façade `disyre`.
//!
//! ```
//! use candle_core::{Device, Tensor};
//!
//! let x = Tensor::ones((1, 1, 3, 3), candle_core::DType::F32, &Device::Cpu)?;
//! let weight = Tensor::ones((1, 1, 3, 3), candle_core::DType::F32, &Device::Cpu)?;
//! let y = disyre_kernels::conv2d(&x, &weight, None, 1)?;
//! // Zero padding: a corner sees four ones, the centre nine.
//! assert_eq!(y.flatten_all()?.to_vec1::<f32>()?, [4.0, 6.0, 4.0, 6.0, 9.0, 6.0, 4.0, 6.0, 4.0]);
//! # Ok::<(), candle_core::Error>(())
//! ```
//!
//! - [`conv2d`]: convolution with a 1×1 or 3×3 kernel, stride 1 or 2;
//! - [`group_norm`] and [`group_norm_silu`]: normalisation, alone or followed by SiLU;
//! - [`upsample_nearest2`]: doubling of height and width;
//! - [`mod@reference`]: the same functions in plain candle operations, which the tests compare with.
//!
//! # What this crate does not do
//! It holds no layers, weights or models, and keeps no state between calls.
#![deny(unsafe_op_in_unsafe_fn)]

mod conv2d;
mod group_norm;
mod matmul;
pub mod reference;
mod sigmoid;
mod storage;
mod sum;
mod upsample_nearest2;

pub use conv2d::conv2d;
pub use group_norm::{group_norm, group_norm_silu};
pub use upsample_nearest2::upsample_nearest2;
