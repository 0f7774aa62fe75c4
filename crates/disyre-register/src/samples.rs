//! Points of the template at which the metric is measured.

use disyre_core::ndarray::{Array3, ArrayView3, Axis, Slice, indices};
use disyre_core::rand::RngExt;
use disyre_core::{Affine, Grid, Key, Volume};
use disyre_volume::affine::{invert, transform};

use crate::RegisterError;
use crate::image::{Image, shrunk};

/// Cells of the template's grid that hold its brain or lie close to it.
#[derive(Debug, Clone)]
pub(crate) struct Region {
    grid: Grid,
    inside: Array3<bool>,
    /// Indices `(z, y, x)` of the cells inside, x fastest.
    cells: Vec<[usize; 3]>,
}

impl Region {
    /// Spacing of the cells in millimetres.
    const CELL_MM: f64 = 4.0;

    /// Cells at most about `margin_mm` from the foreground of a mask, given as a volume; with a negative margin those
    /// that lie deeper inside than it.
    pub(crate) fn new(mask: &Volume, margin_mm: f64) -> Result<Self, RegisterError> {
        let coarse = shrunk(mask, Self::CELL_MM)?;
        let mut inside = coarse.data.mapv(|share| share >= 0.5);
        for _ in 0..(margin_mm.abs() / Self::CELL_MM).round() as usize {
            inside = if margin_mm > 0.0 {
                dilated(&inside)
            } else {
                dilated(&inside.mapv(|inside| !inside)).mapv(|outside| !outside)
            };
        }
        let cells = inside.indexed_iter().filter(|(_, inside)| **inside);
        let cells = cells.map(|((z, y, x), _)| [z, y, x]).collect();
        Ok(Self { grid: coarse.grid, inside, cells })
    }

    /// Volume of the cells in litres.
    pub(crate) fn litres(&self) -> f64 {
        self.cells.len() as f64 * self.grid.voxel_mm3() / 1e6
    }

    fn contains(&self, index_from_world: &Affine, world: [f64; 3]) -> bool {
        let index = transform(index_from_world, world).map(|coordinate| (coordinate + 0.5).floor());
        if index.iter().any(|&coordinate| coordinate < 0.0) {
            return false;
        }
        let [x, y, z] = index.map(|coordinate| coordinate as usize);
        self.inside.get([z, y, x]).copied().unwrap_or(false)
    }
}

/// Cells that share a face with one inside, or are inside.
fn dilated(inside: &Array3<bool>) -> Array3<bool> {
    let mut grown = inside.clone();
    for axis in 0..3 {
        let voxels = inside.len_of(Axis(axis)) as isize;
        for (from, to) in [(1..voxels, 0..voxels - 1), (0..voxels - 1, 1..voxels)] {
            let source: ArrayView3<'_, bool> = inside.slice_axis(Axis(axis), Slice::from(from));
            let mut target = grown.slice_axis_mut(Axis(axis), Slice::from(to));
            target.zip_mut_with(&source, |grown, &inside| *grown |= inside);
        }
    }
    grown
}

/// Points of the template and its intensities there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples {
    /// World millimetres.
    pub(crate) points: Vec<[f64; 3]>,
    /// In `[0, 1]`.
    pub(crate) values: Vec<f32>,
}

impl Samples {
    /// `count` points at random, spread evenly over the cells of a region.
    pub(crate) fn scattered(template: &Image, region: &Region, count: usize, key: Key) -> Self {
        let mut samples = Self::default();
        let mut rng = key.rng();
        let cells = region.cells.len() as f64 / count as f64;
        for sample in 0..count {
            let place = (sample as f64 + rng.random::<f64>()) * cells;
            let Some(&[z, y, x]) = region.cells.get(place as usize) else { continue };
            let mut within = |index: usize| index as f64 + rng.random::<f64>() - 0.5;
            let index = [within(x), within(y), within(z)];
            samples.push(template, transform(&region.grid.affine, index));
        }
        samples
    }

    /// Blocks of `side`³ points, `spacing_mm` apart, that fill a region side by side; their phase is random.
    pub(crate) fn in_blocks(
        template: &Image,
        region: &Region,
        side: usize,
        spacing_mm: f64,
        key: Key,
    ) -> Result<Self, RegisterError> {
        let affine = &region.grid.affine;
        let singular = || RegisterError::Singular { affine: Box::new(*affine) };
        let index_from_world = invert(affine).ok_or_else(singular)?;
        let mut rng = key.rng();
        let step = region.grid.spacing_mm().map(|own| spacing_mm / own);
        let phase = [0, 1, 2].map(|_| rng.random::<f64>());
        let blocks = [0, 1, 2].map(|axis| {
            (region.grid.shape[axis] as f64 / (step[axis] * side as f64)).ceil() as usize + 1
        });
        let mut samples = Self::default();
        for block in indices(blocks) {
            let (block, within) = ([block.0, block.1, block.2], indices([side; 3]));
            let point = |within: [usize; 3]| {
                let index = [2, 1, 0].map(|axis: usize| {
                    let blocks = block[axis] as f64 - phase[axis];
                    (blocks * side as f64 + within[axis] as f64) * step[axis]
                });
                transform(affine, index)
            };
            let points: Vec<_> = within.into_iter().map(|(z, y, x)| point([z, y, x])).collect();
            let inside = points.iter().filter(|&&p| region.contains(&index_from_world, p)).count();
            if 2 * inside >= points.len() {
                points.into_iter().for_each(|point| samples.push(template, point));
            }
        }
        Ok(samples)
    }

    fn push(&mut self, template: &Image, point: [f64; 3]) {
        self.points.push(point);
        // The template is known everywhere: its brain does not touch the border.
        self.values.push(template.at(point).unwrap_or(0.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Range;

    /// A cube of 40 mm in the middle of 80 mm, in cells of 4 mm.
    fn cube() -> Volume {
        let grid = Grid::from_spacing([20; 3], [4.0; 3]);
        let inside = |index: usize| (5..15).contains(&index);
        let data = Array3::from_shape_fn(grid.shape, |(z, y, x)| {
            f32::from(u8::from(inside(z) && inside(y) && inside(x)))
        });
        Volume { data, grid }
    }

    fn image() -> Image {
        Image::new(&cube(), Range::UNIT, [[false; 2]; 3]).unwrap()
    }

    #[test]
    fn a_margin_grows_a_region_and_a_negative_one_shrinks_it() {
        let cells = |margin_mm| Region::new(&cube(), margin_mm).unwrap().cells.len();
        assert_eq!(cells(0.0), 1000);
        // One layer on each of the six faces, and eight layers' worth of cells less.
        assert_eq!(cells(4.0), 1600);
        assert_eq!(cells(-8.0), 216);
        assert_eq!(Region::new(&cube(), 0.0).unwrap().litres(), 0.064);
    }

    #[test]
    fn scattered_samples_lie_evenly_in_their_region() {
        let region = Region::new(&cube(), 0.0).unwrap();
        let samples = Samples::scattered(&image(), &region, 5000, Key::new(1));
        assert_eq!(samples.points.len(), 5000);
        // Cells 5 to 14 lie from 18 to 58 mm.
        let inside = |c: &f64| (18.0..=58.0).contains(c);
        assert!(samples.points.iter().flatten().all(inside));
        let lower = samples.points.iter().filter(|p| p[2] < 38.0).count();
        assert!((2490..=2510).contains(&lower), "{lower}");
    }

    #[test]
    fn blocks_fill_their_region_side_by_side() {
        let region = Region::new(&cube(), 0.0).unwrap();
        let samples = Samples::in_blocks(&image(), &region, 3, 4.0, Key::new(1)).unwrap();
        assert_eq!(samples.points.len() % 27, 0);
        // 1000 cells hold 37 blocks of 27 points; some at the border reach out or are left out.
        assert!((20..=64).contains(&(samples.points.len() / 27)));
        for block in samples.points.chunks_exact(27) {
            let [first, last] = [block[0], block[26]];
            for axis in 0..3 {
                assert!((last[axis] - first[axis] - 8.0).abs() < 1e-9);
            }
        }
    }
}
