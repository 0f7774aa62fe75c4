//! Pairs of which everything is drawn and nothing is computed yet: another machine than the processor can finish them.

use ndarray::Array3;
use serde::{Deserialize, Serialize};

use crate::{PairError, PairSource, Severity};

/// A source whose pairs can be drawn and finished elsewhere, such as on a graphics processor.
///
/// Finishing drawing `i` gives the images and the severity of [`pair`](PairSource::pair) `i`, but for rounding.
pub trait DrawnPairs: PairSource {
    /// What all pairs are made from.
    fn stock(&self) -> Stock<'_>;

    /// All that chance decides about pair `index`.
    ///
    /// # Errors
    /// [`PairError`] as [`pair`](PairSource::pair).
    fn drawing(&self, index: u64) -> Result<Drawing, PairError>;
}

/// What drawings refer to and have in common.
#[derive(Debug, Clone)]
pub struct Stock<'a> {
    /// Images of one channel that patches and textures are cut from, intensities in `[0, 1]`, background 0.
    pub volumes: Vec<StockVolume<'a>>,
    /// Extents of both images of a pair, `(z, y, x)`.
    pub patch: [usize; 3],
    /// How the anomalies are finished.
    pub rules: Rules,
}

/// One image.
#[derive(Debug, Clone, Copy)]
pub struct StockVolume<'a> {
    /// Extents, `(z, y, x)`.
    pub extents: [usize; 3],
    /// Its voxels, x fastest.
    pub values: &'a [f32],
}

/// What all anomalies of a family have in common: see the crate `disyre-dag` for what they mean.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// Extents of the window that holds an anomaly, `(z, y, x)`; it fits into the patch.
    pub window: [usize; 3],
    /// How foreign textures are brought to the image's intensities.
    pub normalisation: Normalisation,
    /// Of tissues that are intervals of intensity, where each but the last ends, ascending; a voxel above a border
    /// belongs to a later tissue. Empty: all is one tissue.
    pub tissue_borders: Vec<f64>,
    /// Added to the mask's voxels when tissues are selected.
    pub count_offset: f64,
    /// Blur of the selected tissues, `(z, y, x)` in voxels.
    pub tissue_blur_sigma_voxels: [f64; 3],
}

/// How a foreign texture is brought to the intensities of the image, channel by channel, over the voxels of the mask.
///
/// f: texture, x: image; minimum, maximum, mean and standard deviation over the voxels with mask > 0. The result is
/// clipped to `[0, 1]`.
///
/// # Source
/// DISYRE v2 (arXiv 2407.06635) uses `MinMax`; the others are options of its published code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalisation {
    /// f stays as it is.
    None,
    /// `f − mean f + mean x`.
    Mean,
    /// `(f − mean f) / (std f + 0.001) · std x + mean x`.
    Std,
    /// `(f − min f) / (max f − min f + 0.001) · (max x − min x) + min x`.
    #[default]
    MinMax,
}

/// One pair: where its patch lies, and what corrupts it.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawing {
    /// Where the patch is cut out.
    pub cut: Cut,
    /// None stays healthy, severity 0.
    pub anomaly: Option<DrawnAnomaly>,
}

/// Which voxels of a volume a patch holds; it is 0 elsewhere. All `(z, y, x)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Index among the stock's volumes.
    pub volume: usize,
    /// First voxel in the volume.
    pub from: [usize; 3],
    /// Where it goes in the patch, before that is mirrored.
    pub to: [usize; 3],
    /// How many voxels; in the volume from `from` on, and in the patch from `to` on.
    pub size: [usize; 3],
    /// Along which axes the whole patch is then mirrored.
    pub mirror: [bool; 3],
}

/// One anomaly. What is left to do, in order: blur the shape (Gaussian, cut off at 4 standard deviations, the border
/// voxel repeated as in SciPy's "reflect"), clip it at 1, and clear it where the patch is 0; blend the texture in; shift
/// the selected tissues of what that gave.
#[derive(Debug, Clone, PartialEq)]
pub struct DrawnAnomaly {
    /// The window's first voxel in the patch, `(z, y, x)`.
    pub origin: [usize; 3],
    /// The mask in the window before it is blurred, `(z, y, x)`, in `[0, 1]`.
    pub shape: Array3<f32>,
    /// Its blur, `(z, y, x)` in voxels; 0 along an axis without.
    pub blur_sigma_voxels: [f64; 3],
    /// The foreign texture, if there is one.
    pub texture: Option<DrawnTexture>,
    /// The shift of tissues, if there is one.
    pub bias: Option<DrawnBias>,
}

/// A window of a volume, blended in as `x + severity · m · (texture − x)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DrawnTexture {
    /// How far voxels go towards the texture; above 0.
    pub severity: Severity,
    /// Index among the stock's volumes.
    pub volume: usize,
    /// The window's first voxel in the volume, `(z, y, x)`; outside the volume the texture is 0.
    pub start: [isize; 3],
}

/// A shift of intensities: `clip(x + shift · m · b)`, where b is the blurred indicator of the selected tissues, or 1 if
/// all or none are selected.
#[derive(Debug, Clone, PartialEq)]
pub struct DrawnBias {
    /// Of a fully selected voxel, in `[−1, 1]`; not 0.
    pub shift: f32,
    /// For each tissue a number in `[0, 1)`: it is selected if that lies below the share of the mask's voxels (those with
    /// m > 0) that belong to it, where [`Rules::count_offset`] voxels are added to all.
    pub selection: Vec<f64>,
}
