//! Templates: the space that scans are brought to.

use disyre_core::Volume;
use disyre_core::ndarray::{Array3, ArrayView3};
use disyre_volume::nonzero_mask;

use crate::RegisterError;

/// A brain in its space, and where it is.
///
/// ```
/// # #[cfg(feature = "template")] {
/// let template = disyre_register::Template::mni152()?;
/// assert_eq!(template.volume.grid.spacing_mm(), [2.0; 3]);
/// let voxels = template.mask.iter().filter(|&&inside| inside == 1).count();
/// assert_eq!(voxels * 8 / 1000, 1928); // ml
/// # }
/// # Ok::<(), disyre_register::RegisterError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    /// Intensities; outside of the mask they do not count.
    pub volume: Volume,
    /// Not 0 in the brain, `(z, y, x)` of the volume.
    pub mask: Array3<u8>,
}

impl Template {
    /// A template of one's own.
    ///
    /// # Shapes and units
    /// `mask` is `(z, y, x)` of the volume, not 0 in the brain; without it the brain is where the volume is not 0.
    ///
    /// # Errors
    /// [`RegisterError::Shape`] if the mask has another shape, or an intensity is not finite;
    /// [`RegisterError::NoForeground`] if nothing is left.
    pub fn new(volume: Volume, mask: Option<ArrayView3<'_, u8>>) -> Result<Self, RegisterError> {
        disyre_core::ensure_finite("template", &volume.data.view())?;
        let mask = match mask {
            Some(mask) => {
                disyre_core::ensure_same_shape("mask", volume.data.shape(), mask.shape())?;
                mask.mapv(|inside| u8::from(inside != 0))
            }
            None => nonzero_mask(volume.data.view()),
        };
        if mask.iter().all(|&inside| inside == 0) {
            return Err(RegisterError::NoForeground { which: "template" });
        }
        Ok(Self { volume, mask })
    }

    /// The brain of the ICBM 152 nonlinear atlas 2009c at 2 mm: MNI space. Its licence lies in `template/LICENSE.md`.
    ///
    /// # Errors
    /// None but of memory: the files are part of the program.
    #[cfg(feature = "template")]
    pub fn mni152() -> Result<Self, RegisterError> {
        let read = |name: &str, bytes: &'static [u8]| disyre_volume::Scan::from_bytes(name, bytes);
        let brain = read(
            "mni152_2009c_t1_brain_2mm.nii.gz",
            include_bytes!("../template/mni152_2009c_t1_brain_2mm.nii.gz"),
        )?;
        let mask = read(
            "mni152_2009c_brain_mask_2mm.nii.gz",
            include_bytes!("../template/mni152_2009c_brain_mask_2mm.nii.gz"),
        )?;
        Self::new(brain.volume, Some(nonzero_mask(mask.volume.data.view()).view()))
    }

    /// The brain alone: 0 outside of the mask.
    ///
    /// # Errors
    /// [`RegisterError::Shape`] if the mask was exchanged for one of another shape.
    pub(crate) fn brain(&self) -> Result<Volume, RegisterError> {
        let shape = self.volume.data.shape();
        disyre_core::ensure_same_shape("mask of the template", shape, self.mask.shape())?;
        Ok(masked(&self.volume, self.mask.view()))
    }

    /// The mask as a volume of zeros and ones.
    pub(crate) fn mask_volume(&self) -> Volume {
        Volume {
            data: self.mask.mapv(|inside| f32::from(u8::from(inside != 0))),
            grid: self.volume.grid,
        }
    }
}

/// The volume with 0 where a mask is 0.
pub(crate) fn masked(volume: &Volume, mask: ArrayView3<'_, u8>) -> Volume {
    let mut volume = volume.clone();
    volume.data.zip_mut_with(&mask, |value, &inside| {
        if inside == 0 {
            *value = 0.0;
        }
    });
    volume
}
