//! Pairs of which everything is drawn and nothing is computed yet: another machine than the processor can finish them.

use ndarray::Array3;
use serde::{Deserialize, Serialize};

use crate::{PairError, PairSource, Severity, ShapeError, ensure_same_shape};

/// The widest blur that a drawing may have, in voxels: what finishes it looks 4 times as far.
const WIDEST_BLUR_VOXELS: f64 = 1000.0;

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

impl Stock<'_> {
    /// Checks that each volume has as many voxels as its extents say.
    ///
    /// # Errors
    /// [`ShapeError`] of the first that has not.
    pub fn ensure_whole(&self) -> Result<(), ShapeError> {
        let whole = |volume: &StockVolume<'_>| {
            let expected = volume.extents.iter().product();
            ensure_same_shape("volume of the stock", &[expected], &[volume.values.len()])
        };
        self.volumes.iter().try_for_each(whole)
    }

    /// Checks that a drawing refers only to what is there, so that it can be finished from this stock.
    ///
    /// # Errors
    /// [`DrawingError`] naming what does not fit.
    pub fn ensure_holds(&self, Drawing { patch, anomaly }: &Drawing) -> Result<(), DrawingError> {
        match patch {
            Patch::Cut(cut) => {
                let volume = self.volume(cut.volume)?;
                ensure_within("the cut", cut.from, cut.size, volume.extents)?;
                ensure_within("the cut", cut.to, cut.size, self.patch)?;
            }
            Patch::Made(made) => ensure_same_shape("made patch", &self.patch, made.shape())?,
        }
        let Some(anomaly) = anomaly else { return Ok(()) };
        let window = self.rules.window;
        ensure_within("the window", anomaly.origin, window, self.patch)?;
        ensure_same_shape("drawn shape", &window, anomaly.shape.shape())?;
        let blur = anomaly.blur_sigma_voxels;
        if !blur.iter().all(|sigma| (0.0..=WIDEST_BLUR_VOXELS).contains(sigma)) {
            return Err(DrawingError::Blur { sigma_voxels: blur });
        }
        if let Some(texture) = anomaly.texture {
            self.volume(texture.volume)?;
        }
        let Some(bias) = &anomaly.bias else { return Ok(()) };
        let tissues = self.rules.tissue_borders.len() + 1;
        Ok(ensure_same_shape("drawn selection", &[tissues], &[bias.selection.len()])?)
    }

    fn volume(&self, index: usize) -> Result<&StockVolume<'_>, DrawingError> {
        let none = DrawingError::NoVolume { index, volumes: self.volumes.len() };
        self.volumes.get(index).ok_or(none)
    }
}

/// Checks that a box lies in an image.
fn ensure_within(
    part: &'static str,
    from: [usize; 3],
    size: [usize; 3],
    within: [usize; 3],
) -> Result<(), DrawingError> {
    let fits =
        |axis: usize| within[axis].checked_sub(from[axis]).is_some_and(|room| size[axis] <= room);
    match (0..3).all(fits) {
        true => Ok(()),
        false => Err(DrawingError::Outside { part, from, size, within }),
    }
}

/// Why a [`Drawing`] cannot be finished from a [`Stock`].
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DrawingError {
    /// It refers to a volume that is not there.
    #[error("volume {index} was drawn from a stock of {volumes}; draw one of them")]
    NoVolume {
        /// Which.
        index: usize,
        /// How many there are.
        volumes: usize,
    },
    /// A part does not lie where it was drawn.
    #[error("{part} of {size:?} voxels from {from:?} reaches beyond {within:?}; draw one inside")]
    Outside {
        /// Which part.
        part: &'static str,
        /// Its first voxel, `(z, y, x)`.
        from: [usize; 3],
        /// Its extents.
        size: [usize; 3],
        /// Extents of what it should lie in.
        within: [usize; 3],
    },
    /// A blur is too wide, negative or not a number.
    #[error(
        "the blur is {sigma_voxels:?} voxels, expected 0 to {WIDEST_BLUR_VOXELS} along each axis"
    )]
    Blur {
        /// Its standard deviation, `(z, y, x)`.
        sigma_voxels: [f64; 3],
    },
    /// Arrays have another shape than the rules say.
    #[error(transparent)]
    Shape(#[from] ShapeError),
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
#[derive(Debug, Clone, PartialEq, Default)]
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

/// One pair: its patch, and what corrupts it.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawing {
    /// The healthy patch.
    pub patch: Patch,
    /// None stays healthy, severity 0.
    pub anomaly: Option<DrawnAnomaly>,
}

/// A healthy patch.
#[derive(Debug, Clone, PartialEq)]
pub enum Patch {
    /// To be cut out of the stock.
    Cut(Cut),
    /// Made on the processor, as augmented ones are, `(z, y, x)` in `[0, 1]`: its voxels travel.
    Made(Array3<f32>),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// One volume of 2 × 4 × 4 voxels; patches of 2 × 3 × 3, windows of 1 × 2 × 2.
    fn stock(values: &[f32]) -> Stock<'_> {
        let rules = Rules {
            window: [1, 2, 2],
            normalisation: Normalisation::MinMax,
            tissue_borders: vec![0.5],
            count_offset: 1000.0,
            tissue_blur_sigma_voxels: [1.0; 3],
        };
        let volume = StockVolume { extents: [2, 4, 4], values };
        Stock { volumes: vec![volume], patch: [2, 3, 3], rules }
    }

    fn drawing() -> Drawing {
        let cut =
            Cut { volume: 0, from: [0, 1, 2], to: [0, 0, 1], size: [2, 3, 2], mirror: [true; 3] };
        let texture = DrawnTexture { severity: Severity::FULL, volume: 0, start: [-9, 0, 99] };
        let anomaly = DrawnAnomaly {
            origin: [1, 1, 1],
            shape: Array3::ones((1, 2, 2)),
            blur_sigma_voxels: [0.0, 2.0, 1000.0],
            texture: Some(texture),
            bias: Some(DrawnBias { shift: 0.5, selection: vec![0.5; 2] }),
        };
        Drawing { patch: Patch::Cut(cut), anomaly: Some(anomaly) }
    }

    /// What is said of a drawing after a change.
    fn refused(change: impl Fn(&mut Cut, &mut DrawnAnomaly)) -> String {
        let (values, mut drawing) = ([0.0; 32], drawing());
        let Patch::Cut(cut) = &mut drawing.patch else { unreachable!("a cut was drawn") };
        change(cut, drawing.anomaly.as_mut().unwrap());
        stock(&values).ensure_holds(&drawing).unwrap_err().to_string()
    }

    #[test]
    fn a_drawing_that_fits_in_every_corner_is_held() {
        let values = [0.0; 32];
        stock(&values).ensure_whole().unwrap();
        assert_eq!(stock(&values).ensure_holds(&drawing()), Ok(()));
        let healthy = Drawing { anomaly: None, ..drawing() };
        assert_eq!(stock(&values).ensure_holds(&healthy), Ok(()));
        let made = |z| Drawing { patch: Patch::Made(Array3::zeros((z, 3, 3))), ..drawing() };
        assert_eq!(stock(&values).ensure_holds(&made(2)), Ok(()));
        let error = stock(&values).ensure_holds(&made(1)).unwrap_err().to_string();
        assert_eq!(error, "made patch has shape [1, 3, 3], expected [2, 3, 3]");
        let error = stock(&values[1..]).ensure_whole().unwrap_err().to_string();
        assert_eq!(error, "volume of the stock has shape [31], expected [32]");
    }

    #[test]
    fn what_does_not_fit_is_named() {
        assert_eq!(
            refused(|cut, _| cut.from[1] = 2),
            "the cut of [2, 3, 2] voxels from [0, 2, 2] reaches beyond [2, 4, 4]; draw one inside"
        );
        assert!(refused(|cut, _| cut.to[2] = usize::MAX).contains("reaches beyond [2, 3, 3]"));
        assert!(refused(|_, anomaly| anomaly.origin[2] = 2).starts_with("the window of [1, 2, 2]"));
        let one = "volume 1 was drawn from a stock of 1; draw one of them";
        assert_eq!(refused(|cut, _| cut.volume = 1), one);
        assert_eq!(refused(|_, anomaly| anomaly.texture.as_mut().unwrap().volume = 1), one);
        for sigma in [-1.0, 1000.5, f64::NAN] {
            let error = refused(|_, anomaly| anomaly.blur_sigma_voxels[0] = sigma);
            assert!(error.ends_with("expected 0 to 1000 along each axis"), "{error}");
        }
        assert_eq!(
            refused(|_, anomaly| anomaly.shape = Array3::ones((2, 2, 2))),
            "drawn shape has shape [2, 2, 2], expected [1, 2, 2]"
        );
        assert_eq!(
            refused(|_, anomaly| anomaly.bias.as_mut().unwrap().selection.clear()),
            "drawn selection has shape [0], expected [2]"
        );
    }
}
