//! The operations of the network in plain candle operations on (n, c, h, w): slow, obviously right, and available for
//! every device and type that candle supports.

pub mod channels_last;

pub use crate::adamw::reference::adamw;
pub use crate::attention::reference::attention;
pub use crate::conv2d::reference::{conv2d, upsample_nearest2};
pub use crate::group_norm::reference::group_norm;
pub use crate::loss::reference::squared_error;
