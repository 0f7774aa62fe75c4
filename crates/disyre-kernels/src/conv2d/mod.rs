//! Two-dimensional convolution.

mod apply;
mod backward_filter;
mod chunk;
mod finish;
mod lattice;
mod layer;
mod op;
mod panel;
pub(crate) mod product;
pub(crate) mod reference;
mod source;
mod tiles;
mod weights;
mod winograd;

pub use lattice::{ConvKind, Tap};
pub use layer::{Addends, Convolution, NormGradient};
pub use op::conv2d;
pub use source::{ConvInput, InputPart, InputTransform};
pub(crate) use weights::{Packed, Purpose, Way};
