//! Tensor operations of a restoration network on the CPU: convolution, group normalisation, attention, loss, AdamW.
//!
//! Use this crate to build and train a network from operations that are fast on the CPU and give the same bits for any
//! number of threads: by hand on slices, or with feature `candle` on candle tensors with automatic differentiation. To
//! find anomalies in scans use the façade `disyre`.
//!
//! ```
//! use disyre_kernels::{Addends, ConvInput, ConvKind, Convolution, Cpu, Extent, InputPart};
//!
//! let layer = Convolution { kind: ConvKind::Conv3x3, inputs: 1, outputs: 1 };
//! let image = [1.0; 9]; // (n, h, w, c)
//! let input = ConvInput { parts: &[InputPart::new(&image, 1)], transform: None };
//! let (cpu, extent) = (Cpu::default(), Extent { count: 1, height: 3, width: 3 });
//! let y = layer.forward(&cpu, extent, &input, &[1.0; 9], &Addends::default(), false);
//! // Zero padding: a corner sees four ones, the centre nine.
//! assert_eq!(y.values[..], [4.0, 6.0, 4.0, 6.0, 9.0, 6.0, 4.0, 6.0, 4.0]);
//! ```
//!
//! Images are `(n, h, w, c)`, channels fastest, `f32`.
//!
//! # Main types
//! - [`Convolution`] with its three passes, forward, [`backward_data`](Convolution::backward_data) and
//!   [`backward_filter`](Convolution::backward_filter): 1×1 or 3×3, strided or upsampled ([`ConvKind`]). It reads several
//!   images side by side, normalised and through SiLU ([`ConvInput`]), adds bias, embedding and residual ([`Addends`]),
//!   and finds the moments for the next normalisation ([`ConvOutput`]).
//! - [`GroupNorm`], [`Attention`], [`mean_squared_error`], [`AdamW`]: the rest of a network and of its training.
//! - [`Cpu`]: instructions and precision ([`Compute`], found at run time) and memory to use again ([`Pool`]).
//! - [`mod@backend`]: the operations that a network needs of a device. The CPU implements them, and GPUs may.
//!
//! # Features
//! - `candle` (off): `disyre_kernels::candle`, the same operations as candle `CustomOp`s with gradients, and their plain
//!   forms, `disyre_kernels::candle::reference`. Without it no tensor library is compiled.
//!
//! # What this crate does not do
//! It holds no layers or models, and keeps nothing between calls but memory for use again and, of weights that were said
//! to last, their packed form.
#![deny(unsafe_op_in_unsafe_fn)]
#![expect(
    unsafe_code,
    reason = "instructions and memory that safe code cannot reach; every block says why it is sound"
)]

mod activation;
mod adamw;
mod attention;
pub mod backend;
#[cfg(feature = "candle")]
pub mod candle;
mod compute;
mod conv2d;
mod cpu;
mod error;
mod extent;
mod group_norm;
mod isa;
mod lanes;
mod loss;
mod memory_pool;
mod peak_flops;
mod precision;
mod shared_slice;

pub use adamw::{AdamW, AdamWState, sum_of_squares};
pub use attention::Attention;
pub use compute::Compute;
pub use conv2d::{
    Addends, ConvInput, ConvKind, ConvOutput, Convolution, Direction, InputPart, InputTransform,
    NormGradient, Tap,
};
pub use cpu::Cpu;
pub use error::KernelError;
pub use extent::Extent;
pub use group_norm::{GroupNorm, InputGradient, Normalised, PartGradient};
pub use isa::Isa;
pub use loss::mean_squared_error;
pub use memory_pool::{Buffer, Pool};
#[doc(hidden)]
pub use peak_flops::peak_flops;
pub use precision::Precision;
