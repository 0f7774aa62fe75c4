//! The operations as differentiable operations on candle tensors (feature `candle`).
//!
//! Each is a candle `CustomOp` with its gradient, and is told the [`TensorBackend`] whose kernels it runs: on CPU tensors
//! this crate's own with [`Cpu`](crate::Cpu), on CUDA tensors those of `disyre-cuda` with its feature `candle-cuda`. On
//! tensors of a device that the backend does not hold it is the plain form of [`mod@reference`]. Images are `(n, h, w, c)`,
//! weights `(k, k, c, o)`, all `f32`.
//!
//! ```
//! use candle_core::{Device, Tensor, Var};
//! use disyre_kernels::candle::{conv2d, squared_error};
//! use disyre_kernels::{ConvKind, Cpu};
//!
//! # fn main() -> candle_core::Result<()> {
//! let (cpu, device) = (Cpu::default(), Device::Cpu);
//! let x = Tensor::ones((1, 3, 3, 1), candle_core::DType::F32, &device)?;
//! let weight = Var::ones((3, 3, 1, 1), candle_core::DType::F32, &device)?;
//! let bias = Tensor::zeros(1, candle_core::DType::F32, &device)?;
//! let y = conv2d(&cpu, ConvKind::Conv3x3, &x, &weight, &bias, None)?;
//! // Zero padding: the centre sees nine ones.
//! assert_eq!(y.get(0)?.get(1)?.get(1)?.to_vec1::<f32>()?, [9.0]);
//! let gradients = squared_error(&cpu, &y, &y.zeros_like()?)?.backward()?;
//! assert_eq!(gradients.get(&weight).map(Tensor::dims), Some(&[3, 3, 1, 1][..]));
//! # Ok(())
//! # }
//! ```

mod attention;
mod conv2d;
mod cpu_norm;
mod group_norm;
pub mod reference;
mod squared_error;
mod storage;
mod tensor_backend;

pub use attention::attention;
pub use conv2d::conv2d;
pub use group_norm::group_norm;
pub use squared_error::squared_error;
pub use tensor_backend::{TensorBackend, TensorNumbers};
