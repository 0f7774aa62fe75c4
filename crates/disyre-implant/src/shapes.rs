//! Real lesion masks in MNI space.

use std::path::{Path, PathBuf};

use disyre_core::ndarray::{Array3, Slice};
use disyre_core::{Components, Connectivity, Grid, Volume};
use disyre_volume::{HashedFile, Scan, VoxelBox, find_scans_below, foreground_box};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::distance::signed_distance_mm;
use crate::{ImplantError, LesionKind};

/// Distance around a shape over which its distance map is known, in millimetres.
pub(crate) const REACH_MM: f64 = 14.0;

/// A shape: a mask, or one of its components.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShapeSource {
    /// The mask, by its path below the folder of shapes.
    pub mask: HashedFile,
    /// Component, 26-connected, numbered from 1 by first voxel; none: the whole mask.
    pub component: Option<u32>,
}

/// Lesion masks of a folder, in MNI space.
///
/// Files whose path below the folder says `chronic` are shapes of chronic strokes, those that say `acute` of acute ones,
/// all others of both.
#[derive(Debug, Clone)]
pub struct ShapeLibrary {
    folder: PathBuf,
    masks: Vec<Mask>,
}

/// A mask, cut to its box.
#[derive(Debug, Clone)]
struct Mask {
    path: PathBuf,
    file: HashedFile,
    data: Array3<u8>,
    grid: Grid,
    volume_ml: f64,
    /// Volume of each component.
    components_ml: Vec<f64>,
    /// Number and volume of the greatest component, if the greatest ball inside fills a seventh of it.
    compact: Option<(u32, f64)>,
}

/// A shape that may be drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate {
    mask: usize,
    component: Option<u32>,
    pub(crate) volume_ml: f64,
}

impl ShapeLibrary {
    /// Reads the masks below a folder, in parallel.
    ///
    /// # Errors
    /// [`ImplantError::NoShapes`] if none of them holds a lesion; those of reading.
    pub fn read(folder: &Path) -> Result<Self, ImplantError> {
        let files = find_scans_below(folder)?;
        let masks: Vec<_> =
            files.par_iter().map(|file| Mask::read(folder, file)).collect::<Result<_, _>>()?;
        let masks: Vec<Mask> = masks.into_iter().flatten().collect();
        if masks.is_empty() {
            return Err(ImplantError::NoShapes { folder: folder.to_owned(), least_ml: LEAST_ML });
        }
        Ok(Self { folder: folder.to_owned(), masks })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Number of masks.
    pub fn len(&self) -> usize {
        self.masks.len()
    }

    /// Whether there is none; never true of a library that was read.
    pub fn is_empty(&self) -> bool {
        self.masks.is_empty()
    }

    /// Shapes that suit a kind, by ascending volume.
    pub(crate) fn candidates(&self, kind: LesionKind) -> Vec<Candidate> {
        let [least, most] = kind.size_ml();
        let mut all: Vec<Candidate> = (0..self.masks.len())
            .flat_map(|mask| self.masks[mask].candidates(mask, kind))
            .filter(|candidate| (least..=most).contains(&candidate.volume_ml))
            .collect();
        all.sort_by(|a, b| a.volume_ml.total_cmp(&b.volume_ml));
        all
    }

    pub(crate) fn source(&self, candidate: Candidate) -> ShapeSource {
        let mask = self.masks[candidate.mask].file.clone();
        ShapeSource { mask, component: candidate.component }
    }

    /// Distance from the border of a shape in millimetres, above 0 inside, blurred, with [`REACH_MM`] around it.
    pub(crate) fn distance_map(
        &self,
        source: &ShapeSource,
        smoothing_mm: f64,
    ) -> Result<Volume, ImplantError> {
        let mask = self.masks.iter().find(|mask| mask.file.name == source.mask.name);
        let mask = mask.ok_or_else(|| source.mask.missing_in(&self.folder))?;
        source.mask.ensure_unchanged(&mask.path, &mask.file.sha256)?;
        let (data, grid) = mask.padded(source.component);
        let spacing_mm = grid.spacing_mm();
        let mut signed = signed_distance_mm(data.view(), spacing_mm);
        crate::smooth::blur(&mut signed, spacing_mm.map(|spacing| smoothing_mm / spacing));
        Ok(Volume { data: signed, grid })
    }
}

/// Least volume of a shape in millilitres.
const LEAST_ML: f64 = 0.05;

impl Mask {
    /// Reads a mask; `None` if it is too small for a shape.
    fn read(folder: &Path, path: &Path) -> Result<Option<Self>, ImplantError> {
        let file = HashedFile::below(folder, path)?;
        let scan = Scan::read(path)?;
        let mask = scan.inside()?;
        let Some(region) = foreground_box(mask.view()) else { return Ok(None) };
        let (data, grid) =
            (region.view_of(mask.view()).to_owned(), region.grid_of(&scan.volume.grid));
        let voxel_ml = grid.voxel_mm3() / 1000.0;
        let parts = Components::new(data.view(), Connectivity::Corners);
        let components_ml: Vec<f64> =
            parts.sizes().iter().map(|&size| size as f64 * voxel_ml).collect();
        let volume_ml: f64 = components_ml.iter().sum();
        let compact = parts.largest().and_then(|greatest| {
            let own = parts.mask(|part| part == greatest);
            let volume_ml = components_ml[greatest];
            is_compact(&own, volume_ml, &grid).then_some((greatest as u32 + 1, volume_ml))
        });
        let mask =
            Self { path: path.to_owned(), file, data, grid, volume_ml, components_ml, compact };
        Ok((volume_ml >= LEAST_ML).then_some(mask))
    }

    fn candidates(&self, mask: usize, kind: LesionKind) -> Vec<Candidate> {
        let path = self.file.name.to_ascii_lowercase();
        let (acute, chronic) = (path.contains("acute"), path.contains("chronic"));
        let whole = Candidate { mask, component: None, volume_ml: self.volume_ml };
        match kind {
            LesionKind::AcuteStroke => Vec::from_iter((acute || !chronic).then_some(whole)),
            LesionKind::ChronicStroke => Vec::from_iter((chronic || !acute).then_some(whole)),
            LesionKind::Tumour => {
                let part =
                    |(label, volume_ml)| Candidate { mask, component: Some(label), volume_ml };
                self.compact.map(part).into_iter().collect()
            }
            LesionKind::Sclerosis => (1u32..)
                .zip(&self.components_ml)
                .map(|(label, &volume_ml)| Candidate { mask, component: Some(label), volume_ml })
                .collect(),
        }
    }

    /// The mask or one component with a border of [`REACH_MM`].
    fn padded(&self, component: Option<u32>) -> (Array3<u8>, Grid) {
        let own = match component {
            Some(label) => Components::new(self.data.view(), Connectivity::Corners)
                .mask(|part| part + 1 == label as usize),
            None => self.data.clone(),
        };
        let tight = foreground_box(own.view()).unwrap_or(VoxelBox { start: [0; 3], end: [1; 3] });
        let pad = self.grid.spacing_mm().map(|spacing| (REACH_MM / spacing).ceil() as usize);
        let inner = tight.shape();
        let mut data = Array3::zeros([0, 1, 2].map(|axis| inner[axis] + 2 * pad[axis]));
        data.slice_each_axis_mut(|axis| {
            let axis = axis.axis.index();
            Slice::from(pad[axis]..pad[axis] + inner[axis])
        })
        .assign(&tight.view_of(own.view()));
        let mut grid = tight.grid_of(&self.grid);
        grid.shape = data.dim().into();
        for row in &mut grid.affine[..3] {
            row[3] -= row[0] * pad[2] as f64 + row[1] * pad[1] as f64 + row[2] * pad[0] as f64;
        }
        (data, grid)
    }
}

/// Whether the greatest ball inside a component fills at least a seventh of it (ours): a third of the strokes do.
fn is_compact(component: &Array3<u8>, volume_ml: f64, grid: &Grid) -> bool {
    const LEAST: f64 = 1.0 / 7.0;
    // A border, for the distance to the outside is not known beyond the box.
    let shape: [usize; 3] = component.dim().into();
    let mut own = Array3::zeros(shape.map(|voxels| voxels + 2));
    own.slice_each_axis_mut(|axis| Slice::from(1..axis.len - 1)).assign(component);
    let depth = signed_distance_mm(own.view(), grid.spacing_mm());
    let radius = f64::from(depth.into_iter().fold(0.0, f32::max));
    4.0 / 3.0 * std::f64::consts::PI * radius.powi(3) / 1000.0 >= LEAST * volume_ml
}
