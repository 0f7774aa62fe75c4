//! Two-dimensional convolution.

mod apply;
mod by_weight;
mod chunk;
mod lattice;
mod layer;
mod op;
mod panel;
pub(crate) mod product;
pub(crate) mod reference;
mod source;
mod weights;
mod winograd;

pub use lattice::Kind;
pub use layer::{Addends, Convolution, NormGradient};
pub use op::conv2d;
pub use source::{Part, Source, Transform};
pub(crate) use weights::{Form, Packed, Way};
