//! Every operation in plain candle operations: slow, obviously right, and available for every
//! device and type that candle supports.

pub use crate::conv2d::reference::conv2d;
pub use crate::group_norm::reference::{group_norm, group_norm_silu};
pub use crate::upsample_nearest2::reference::upsample_nearest2;
