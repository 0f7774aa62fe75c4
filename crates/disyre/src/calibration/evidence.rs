//! [`Evidence`]: maps of one scan in the template, each of them compared with those of healthy scans.

use disyre_core::ndarray::{Array3, Zip};
use disyre_core::{Grid, Volume};
use disyre_volume::{Interpolation, resample_to_grid};
use serde::{Deserialize, Serialize};

use super::CalibrationConfig;
use super::local::{dissimilarity, local_deviation};
use super::smoothing::in_voxels;
use crate::Error;
use crate::detector::Restored;

/// A kind of evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// Scan − mean restoration, signed.
    Residual,
    /// The scan itself, scaled: with it alone, the score is that of an atlas. Needs no network.
    Intensity,
    /// 1 − local correlation of the scan and the mean of healthy scans. Needs no network.
    Structure,
    /// Local standard deviation of the scan. Needs no network.
    Contrast,
    /// 1 − local correlation of the scan and its mean restoration.
    RestoredStructure,
    /// The network's map of the corruption, averaged over severities.
    Corruption,
    /// [`Residual`](Self::Residual) at a smaller scale.
    FineResidual,
    /// [`Intensity`](Self::Intensity) at a smaller scale.
    FineIntensity,
    /// [`Structure`](Self::Structure) in smaller windows.
    FineStructure,
    /// [`Contrast`](Self::Contrast) in smaller windows.
    FineContrast,
    /// [`RestoredStructure`](Self::RestoredStructure) in smaller windows.
    FineRestoredStructure,
}

impl Channel {
    /// All of them.
    pub(super) const ALL: [Self; 11] = [
        Self::Residual,
        Self::Intensity,
        Self::Structure,
        Self::Contrast,
        Self::RestoredStructure,
        Self::Corruption,
        Self::FineResidual,
        Self::FineIntensity,
        Self::FineStructure,
        Self::FineContrast,
        Self::FineRestoredStructure,
    ];

    /// Its name in names of files.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Residual => "residual",
            Self::Intensity => "intensity",
            Self::Structure => "structure",
            Self::Contrast => "contrast",
            Self::RestoredStructure => "restored-structure",
            Self::Corruption => "corruption",
            Self::FineResidual => "fine-residual",
            Self::FineIntensity => "fine-intensity",
            Self::FineStructure => "fine-structure",
            Self::FineContrast => "fine-contrast",
            Self::FineRestoredStructure => "fine-restored-structure",
        }
    }

    /// True if less of it is darker and more is brighter.
    pub(super) fn is_brightness(self) -> bool {
        matches!(self, Self::Residual | Self::FineResidual | Self::Intensity | Self::FineIntensity)
    }

    /// True if it compares a scan with the mean of healthy ones.
    pub(super) fn is_structure(self) -> bool {
        matches!(self, Self::Structure | Self::FineStructure)
    }

    /// True if each voxel of it is made of a window.
    pub(super) fn is_of_windows(self) -> bool {
        !self.is_brightness() && self != Self::Corruption
    }
}

/// Maps of one scan on a grid of the template, `(z, y, x)`, 0 outside the brain.
#[derive(Debug, Clone)]
pub(crate) struct Evidence {
    /// Brain, 1 inside.
    pub(super) mask: Array3<u8>,
    pub(super) residual: Array3<f32>,
    pub(super) intensity: Array3<f32>,
    pub(super) corruption: Option<Array3<f32>>,
}

impl Evidence {
    /// Carries image and restorations from the working grid to a grid of the template in the world of the scan.
    pub(crate) fn on_grid(restored: &Restored, grid: &Grid) -> Result<Self, Error> {
        let prepared = &restored.prepared;
        let working = prepared.volume.grid;
        let resample =
            |data| resample_to_grid(&Volume { data, grid: working }, grid, Interpolation::Area);
        let shares = resample(prepared.mask.mapv(f32::from))?.data;
        let mask = shares.mapv(|share| u8::from(share >= 0.5));
        // The mean over the brain's share of each voxel.
        let carry = |data| -> Result<Array3<f32>, Error> {
            let mut carried = resample(data)?.data;
            Zip::from(&mut carried).and(&shares).and(&mask).par_for_each(
                |value, share, &inside| {
                    *value = if inside != 0 { *value / share } else { 0.0 };
                },
            );
            Ok(carried)
        };
        let residual = carry(&prepared.volume.data - &restored.restored)?;
        let intensity = carry(prepared.volume.data.clone())?;
        let corruption = restored.corruption.clone().map(carry).transpose()?;
        Ok(Self { mask, residual, intensity, corruption })
    }

    /// A channel; `None` where the network predicts no corruption. `healthy` is the mean of healthy scans.
    pub(super) fn channel(
        &self,
        channel: Channel,
        config: &CalibrationConfig,
        healthy: &Array3<f32>,
    ) -> Result<Option<Array3<f32>>, Error> {
        let (image, mask) = (&self.intensity, self.mask.view());
        let window = in_voxels(config.window_mm(channel));
        let unlike = |other: &Array3<f32>| dissimilarity(image, other, mask, window);
        Ok(match channel {
            Channel::Residual | Channel::FineResidual => Some(self.residual.clone()),
            Channel::Intensity | Channel::FineIntensity => Some(image.clone()),
            Channel::Corruption => self.corruption.clone(),
            Channel::Structure | Channel::FineStructure => Some(unlike(healthy)?),
            Channel::RestoredStructure | Channel::FineRestoredStructure => {
                Some(unlike(&(image - &self.residual))?)
            }
            Channel::Contrast | Channel::FineContrast => {
                Some(local_deviation(image, mask, window)?)
            }
        })
    }

    #[cfg(test)]
    pub(super) fn of_row(residual: &[f32], intensity: &[f32]) -> Self {
        let row = |values: &[f32]| Array3::from_shape_vec([1, 1, values.len()], values.to_vec());
        let intensity = row(intensity).unwrap();
        let mask = intensity.mapv(|value| u8::from(value > 0.0));
        Self { mask, residual: row(residual).unwrap(), intensity, corruption: None }
    }
}
