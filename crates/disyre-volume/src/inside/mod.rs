//! Decisions that the values of a volume allow: whether it is a scan or a mask, and which of its voxels are inside.
//!
//! "Not exactly 0" is not "inside": a file that stores integers with a slope may hold 0.002 in place of 0, and a mask that
//! was interpolated holds shares. Every verb asks here.
//!
//! - [`MaskRule`]: the voxels of a mask that are inside.
//! - [`Background`]: the voxels of a scan that are background.
//! - [`ScanContent`]: intensities, or a mask or segmentation that lies among scans.
//! - [`Image`]: a scan that is read to be worked on, with all of these checks.
mod background;
mod content;
mod image;
mod labels;
mod mask_rule;

pub use background::Background;
pub use content::ScanContent;
pub use image::{Image, ImageOptions};
pub use labels::{NotCodes, codes};
pub use mask_rule::MaskRule;
pub(crate) use mask_rule::inside_of;

/// Share of a part in a whole; 0 of nothing.
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}
