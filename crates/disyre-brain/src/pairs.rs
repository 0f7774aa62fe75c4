//! [`HeadPairs`]: training pairs of synthetic heads and their brain masks.

use std::path::Path;

use disyre_augment::{HeadMap, HeadSynthesiser};
use disyre_core::ndarray::{ArrayViewMut4, Axis};
use disyre_core::rand::RngExt;
use disyre_core::{Key, PairError, PairSource, Severity, ShapeError};
use disyre_volume::{Interpolation, Scan, find_scans, resample_to_spacing, to_ras};
use rayon::prelude::*;

use crate::BrainError;

/// Pairs of a synthetic slab of a head and its soft brain mask.
///
/// The channels are neighbouring slices. Severity is always [`HeadPairs::SEVERITY`].
#[derive(Debug, Clone)]
pub struct HeadPairs {
    heads: Vec<HeadMap>,
    synthesiser: HeadSynthesiser,
    key: Key,
}

impl HeadPairs {
    /// The severity that the network is always given.
    pub const SEVERITY: Severity = Severity::FULL;

    /// Pairs of these heads.
    pub fn new(heads: Vec<HeadMap>, synthesiser: HeadSynthesiser, key: Key) -> Self {
        Self { heads, synthesiser, key }
    }
}

impl PairSource for HeadPairs {
    fn pair(
        &self,
        index: u64,
        corrupted: ArrayViewMut4<'_, f32>,
        clean: ArrayViewMut4<'_, f32>,
    ) -> Result<Severity, PairError> {
        let key = self.key.child(index);
        let failed = |source: BrainError| PairError::Source { index, source: source.into() };
        if self.heads.is_empty() {
            return Err(failed(ShapeError::Empty { array: "the heads" }.into()));
        }
        let head = &self.heads[key.child("head").rng().random_range(0..self.heads.len())];
        let drawn = self.synthesiser.draw(key.child("slab"));
        let [image, brain] = [corrupted, clean].map(|pair| pair.index_axis_move(Axis(1), 0));
        drawn.apply(head, image, brain).map_err(|error| failed(error.into()))?;
        Ok(Self::SEVERITY)
    }
}

/// Reads the label maps of a folder as heads at a spacing.
///
/// # Errors
/// [`BrainError::NoMaps`] for a folder without any, [`BrainError::Volume`] for files that cannot be read.
pub fn read_head_maps(folder: &Path, spacing_mm: f64) -> Result<Vec<HeadMap>, BrainError> {
    let paths = find_scans(folder)?;
    if paths.is_empty() {
        return Err(BrainError::NoMaps { folder: folder.to_owned() });
    }
    paths.par_iter().map(|path| read_head_map(path, spacing_mm)).collect()
}

fn read_head_map(path: &Path, spacing_mm: f64) -> Result<HeadMap, BrainError> {
    let labels = to_ras(&Scan::read(path)?.volume);
    let labels = resample_to_spacing(&labels, [spacing_mm; 3], Interpolation::Nearest)?;
    let codes = labels.data.mapv(|code| code.round().clamp(0.0, 65_535.0) as u16);
    Ok(HeadMap::new(codes.view(), spacing_mm)?)
}
