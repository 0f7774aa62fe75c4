//! Tensor operations of the restoration network, differentiable, with fast CPU forms.
//!
//! Use this crate to build a network on candle from operations that are quick on the CPU and give
//! the same bits for any number of threads. To find anomalies in scans use the façade `disyre`.
//!
//! ```
//! use disyre_kernels::{Addends, Convolution, Cpu, Extent, ConvKind, InputPart, ConvInput};
//!
//! let layer = Convolution { kind: ConvKind::Conv3x3, inputs: 1, outputs: 1 };
//! let image = [1.0; 9]; // (n, h, w, c)
//! let source = ConvInput { parts: &[InputPart::new(&image, 1)], transform: None };
//! let (cpu, extent) = (Cpu::default(), Extent { count: 1, height: 3, width: 3 });
//! let y = layer.forward(&cpu, extent, &source, &[1.0; 9], &Addends::default(), false);
//! // Zero padding: a corner sees four ones, the centre nine.
//! assert_eq!(y.values[..], [4.0, 6.0, 4.0, 6.0, 9.0, 6.0, 4.0, 6.0, 4.0]);
//! ```
//!
//! Images are `(n, h, w, c)`, channels fastest.
//!
//! - [`Convolution`]: 1×1, 3×3, of stride 2 and after doubling; it reads several images side by side, normalised and
//!   through SiLU on the way, adds bias, embedding and residual, and finds the moments for the next normalisation;
//! - [`GroupNorm`], [`Attention`], [`mean_squared_error`], [`AdamW`]: the rest of a network and of its training;
//! - [`mod@backend`]: what a network needs of the machine it runs on, the processor or another;
//! - [`Cpu`]: with which [`Compute`] (instructions and precision, found at run time) and on which memory ([`Pool`]);
//! - [`conv2d`], [`group_norm()`], [`attention()`], [`squared_error`]: the same as differentiable operations on candle tensors;
//! - [`mod@reference`]: the plain functions that the tests compare with, on any device and type of candle;
//! - [`peak`]: the ceiling of this machine.
//!
//! Results have the same bits for any number of threads.
//!
//! # What this crate does not do
//! It holds no layers or models, and keeps nothing between calls but memory for use again and, where weights were said
//! to last, their packed form.
#![deny(unsafe_op_in_unsafe_fn)]
#![expect(unsafe_code, reason = "the one crate for it; every block says why it is sound")]

mod adamw;
mod attention;
pub mod backend;
mod compute;
mod conv2d;
mod cpu;
mod group_norm;
mod images;
mod isa;
mod lanes;
mod loss;
mod peak;
mod pool;
pub mod reference;
mod shared;
mod sigmoid;
mod storage;

pub use adamw::{AdamW, AdamWState, sum_of_squares};
pub use attention::{Attention, attention};
pub use compute::{Compute, Precision};
pub use conv2d::{
    Addends, ConvInput, ConvKind, Convolution, InputPart, InputTransform, NormGradient, Tap, conv2d,
};
pub use cpu::Cpu;
pub use group_norm::{GroupNorm, InputGradient, Normalised, PartGradient, group_norm};
pub use images::{ConvOutput, Extent};
pub use isa::Isa;
pub use loss::{mean_squared_error, squared_error};
pub use peak::peak;
pub use pool::{Buffer, Pool};
