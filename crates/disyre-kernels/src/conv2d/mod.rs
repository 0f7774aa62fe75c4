//! Two-dimensional convolution.
//!
//! `layer` holds the public type; it drives `data_pass` (the convolution and its gradient by the input) and
//! `backward_filter` (the gradient by the weights). Both cut images into `chunk`s, lay them out as a `panel` (in `bf16_panel`
//! for bf16), and multiply tap by tap of the `lattice` or tile by tile of `winograd`, by `weights` that were packed for
//! it.

mod backward_filter;
mod bf16_panel;
mod chunk;
mod data_pass;
mod input;
mod kind;
mod lattice;
mod layer;
mod output;
mod panel;
mod weights;
mod winograd;

pub use input::{ConvInput, InputPart, InputTransform};
pub use kind::{ConvKind, Direction};
pub use lattice::Tap;
pub use layer::{Addends, Convolution, NormGradient};
pub use output::ConvOutput;
pub(crate) use weights::{Packed, Purpose};
