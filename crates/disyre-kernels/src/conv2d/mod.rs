//! Two-dimensional convolution.

mod apply;
mod by_weight;
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

pub use lattice::{Kind, Tap};
pub use layer::{Addends, Convolution, NormGradient};
pub use op::conv2d;
pub use source::{Part, Source, Transform};
pub(crate) use weights::{Packed, Purpose, Way};
