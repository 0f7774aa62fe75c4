//! [`PageMaps`]: the maps of a detection on the grid of its page.

use std::path::Path;

use disyre_core::Grid;
use disyre_core::ndarray::{Array3, ArrayView3, Zip};
use disyre_register::Registration;
use disyre_report::{ByteVolume, Layer, LayerKind, PageGrid};
use disyre_volume::affine::{compose, invert, transform};
use disyre_volume::{
    Interpolation, Orientation, ReadOptions, Resampler, Scan, ScanHeader, VolumeError, VoxelBox,
    ensure_mask_fits, foreground_box, grid_at_spacing, nonzero_mask, read_values,
};

use super::failed_page;
use super::sidecar::{SidecarFile, beside};
use crate::findings::highest;
use crate::inside_brain::inside_brain;
use crate::{Error, ScoreKind};

/// Room around the brain, in millimetres.
const MARGIN_MM: f64 = 8.0;
/// A smaller share of a voxel is rounding.
const LEAST_SHARE: f32 = 1e-6;

/// Maps on the grid of a page.
#[derive(Debug)]
pub(super) struct PageMaps {
    pub(super) grid: PageGrid,
    pub(super) layers: Vec<Layer>,
    /// Voxel `(z, y, x)` with the highest score.
    highest: [usize; 3],
    /// Voxel `(x, y, z)` of the file → voxel of the page.
    from_file: disyre_core::Affine,
}

/// From the grid of the scan to that of the page, inside the brain.
struct Carrier {
    scan: Grid,
    page: Grid,
    /// On the grid of the page: share of brain, and 1 where there is any.
    shares: Array3<f32>,
    inside: Array3<u8>,
}

impl PageMaps {
    /// Reads scan and maps, onto at most so many voxels.
    pub(super) fn read(
        facts: &SidecarFile,
        folder: &Path,
        scan: &Path,
        voxels: usize,
    ) -> Result<Self, Error> {
        let header = ScanHeader::read(scan)?;
        let read = |file: &str| read_map(&beside(folder, file), &header);
        // Few maps of the scan's grid are held at once: a fine scan is larger than its page by far.
        let mut brain = nonzero_mask(read(&facts.outputs.restored)?.view());
        let score = read(&facts.outputs.score)?;
        Zip::from(&mut brain).and(&score).par_for_each(|inside, &score| {
            *inside |= u8::from(score != 0.0);
        });
        let carrier = Carrier::new(header.grid(), brain.view(), voxels, &facts.name())?;
        let mut layers = Layers { carrier: &carrier, layers: Vec::new() };
        let highest = layers.add_score(facts, score)?;
        let (_, data) =
            read_values::<f32>(scan, &ReadOptions { volume_index: facts.volume_index })?;
        layers.add_images(data, read(&facts.outputs.restored)?, &brain)?;
        drop(brain);
        let optional = [
            (LayerKind::Signed, &facts.outputs.signed),
            (LayerKind::Uncertainty, &facts.outputs.uncertainty),
        ];
        for (kind, file) in optional {
            if let Some(file) = file {
                layers.add_map(kind, read(file)?)?;
            }
        }
        if let Some(file) = &facts.outputs.mask {
            layers.add_findings(read(file)?)?;
        }
        let layers = layers.layers;
        let (grid, from_file) = carrier.page_grid(facts.registration.as_ref());
        Ok(Self { grid, layers, highest, from_file })
    }

    /// Voxel `(x, y, z)` with the highest score.
    pub(super) fn place(&self) -> [usize; 3] {
        let [z, y, x] = self.highest;
        [x, y, z]
    }

    /// Voxel `(x, y, z)` of the page that a voxel of the file lies in.
    pub(super) fn voxel_of(&self, file_voxel: [usize; 3]) -> [usize; 3] {
        let place = transform(&self.from_file, file_voxel.map(|index| index as f64));
        [0, 1, 2].map(|axis| (place[axis].round().max(0.0) as usize).min(self.grid.shape[axis] - 1))
    }
}

/// A map on the grid of the scan.
fn read_map(path: &Path, scan: &ScanHeader) -> Result<Array3<f32>, Error> {
    let map = Scan::read(path)?;
    ensure_mask_fits(map.header(), scan).map_err(|source| Error::OtherScan {
        file: path.to_owned(),
        scan: scan.path().to_owned(),
        source: Box::new(source),
    })?;
    Ok(map.volume.data)
}

/// Unit of a score.
fn score_unit(score: ScoreKind) -> &'static str {
    match score {
        ScoreKind::Calibrated => "weighted deviations from healthy scans",
        _ => "of the intensity range",
    }
}

impl Carrier {
    fn new(
        scan: &Grid,
        brain: ArrayView3<'_, u8>,
        voxels: usize,
        name: &str,
    ) -> Result<Self, Error> {
        let orientation = Orientation::of(&scan.affine);
        let ras = orientation.ras_grid(scan);
        let region = foreground_box(orientation.ras_view(brain))
            .ok_or_else(|| Error::EmptyBrain { name: format!("the map of {name}") })?;
        let page = page_grid(&ras, region, voxels)?;
        let shares = carried_mask(brain, scan, &page)?;
        let inside = shares.mapv(|share| u8::from(share > LEAST_SHARE));
        Ok(Self { scan: *scan, page, shares, inside })
    }

    /// A map of the scan's grid, as it is.
    fn whole(&self, map: ArrayView3<'_, f32>) -> Result<Array3<f32>, Error> {
        carried(map, &self.scan, &self.page)
    }

    /// A map that is 0 outside the brain: the mean of each voxel's share of brain.
    fn inside(&self, map: ArrayView3<'_, f32>) -> Result<Array3<f32>, Error> {
        let mut values = self.whole(map)?;
        Zip::from(&mut values).and(&self.shares).and(&self.inside).for_each(
            |value, &share, &inside| *value = if inside == 0 { 0.0 } else { *value / share },
        );
        Ok(values)
    }

    /// The grid in the order `(x, y, z)`, and from voxels of the file to its own.
    fn page_grid(&self, registration: Option<&Registration>) -> (PageGrid, disyre_core::Affine) {
        const NONE: disyre_core::Affine = [[0.0; 4]; 4];
        let inverse = |affine| invert(affine).unwrap_or(NONE);
        let reversed = |[z, y, x]: [f64; 3]| [x, y, z];
        let good = registration.filter(|found| found.verdict.is_good());
        let grid = PageGrid {
            shape: [2, 1, 0].map(|axis: usize| self.page.shape[axis]),
            spacing_mm: reversed(self.page.spacing_mm()),
            world: self.page.affine,
            mni: good.map(|found| compose(&found.inverse(), &self.page.affine)),
            file: compose(&inverse(&self.scan.affine), &self.page.affine),
        };
        (grid, compose(&inverse(&self.page.affine), &self.scan.affine))
    }
}

/// A map on one grid, brought to another.
fn carried(map: ArrayView3<'_, f32>, from: &Grid, to: &Grid) -> Result<Array3<f32>, Error> {
    let resampler = Resampler::new(from, to, Interpolation::Area)?;
    let whole = VoxelBox::whole(to.shape);
    resampler.ensure_memory(whole, 4)?;
    Ok(resampler.resample_box(resampler.input_box(whole).view_of(map), whole))
}

/// The share of a mask in each voxel of another grid, slab by slab.
fn carried_mask(mask: ArrayView3<'_, u8>, from: &Grid, to: &Grid) -> Result<Array3<f32>, Error> {
    let resampler = Resampler::new(from, to, Interpolation::Area)?;
    let whole = VoxelBox::whole(to.shape);
    resampler.ensure_memory(whole, 4)?;
    let mut shares = Array3::zeros(to.shape);
    for slab in resampler.slabs(whole) {
        let input = resampler.input_box(slab);
        VolumeError::ensure_memory("a slab of the brain of the page", input.len() as u64 * 4)?;
        let part = input.view_of(mask).mapv(f32::from);
        slab.view_of_mut(shares.view_mut()).assign(&resampler.resample_box(part.view(), slab));
    }
    Ok(shares)
}

/// A box of a RAS+ grid with a margin, at its own spacing or at the finest coarser one with at most so many voxels.
fn page_grid(ras: &Grid, region: VoxelBox, voxels: usize) -> Result<Grid, Error> {
    let own = ras.spacing_mm();
    let margin = own.map(|side| (MARGIN_MM / side).ceil() as usize);
    let region = VoxelBox {
        start: [0, 1, 2].map(|axis| region.start[axis].saturating_sub(margin[axis])),
        end: [0, 1, 2]
            .map(|axis| region.end[axis].saturating_add(margin[axis]).min(ras.shape[axis])),
    };
    let cropped = region.grid_of(ras);
    let mut least = own.into_iter().fold(f64::INFINITY, f64::min);
    loop {
        let grid = grid_at_spacing(&cropped, own.map(|side| side.max(least)))?;
        if grid.len() <= voxels {
            return Ok(grid);
        }
        least *= 1.01;
    }
}

/// Layers of a page, one after another.
struct Layers<'a> {
    carrier: &'a Carrier,
    layers: Vec<Layer>,
}

impl Layers<'_> {
    fn add(
        &mut self,
        kind: LayerKind,
        unit: &str,
        (values, inside): (&Array3<f32>, ArrayView3<'_, u8>),
        range: (f32, f32),
    ) -> Result<(), Error> {
        let volume = ByteVolume::new(values.view(), inside, range);
        let volume = volume.map_err(failed_page(Path::new(kind.id())))?;
        self.layers.push(Layer { kind, unit: unit.to_owned(), volume });
        Ok(())
    }

    /// Scan, restoration and residual; the scan becomes the residual.
    fn add_images(
        &mut self,
        mut scan: Array3<f32>,
        restored: Array3<f32>,
        brain: &Array3<u8>,
    ) -> Result<(), Error> {
        let carrier = self.carrier;
        // Outside of a mask a scan may hold anything.
        scan.par_mapv_inplace(|value| if value.is_finite() { value } else { 0.0 });
        let image = carrier.whole(scan.view())?;
        let everywhere = Array3::ones(image.dim());
        let range = (least(&image, &carrier.inside), greatest(&image, &carrier.inside));
        self.add(LayerKind::Scan, "", (&image, everywhere.view()), range)?;
        Zip::from(&mut scan).and(&restored).and(brain).par_for_each(|scan, &restored, &inside| {
            *scan = if inside == 0 { 0.0 } else { *scan - restored };
        });
        let restored = carrier.inside(restored.view())?;
        self.add(LayerKind::Restored, "", (&restored, carrier.inside.view()), range)?;
        let residual = carrier.inside(scan.view())?;
        let end = greatest(&residual.mapv(f32::abs), &carrier.inside);
        let unit = "in the units of the scan";
        self.add(LayerKind::Residual, unit, (&residual, carrier.inside.view()), (-end, end))
    }

    /// The score; returns the voxel `(z, y, x)` where it is highest.
    fn add_score(&mut self, facts: &SidecarFile, score: Array3<f32>) -> Result<[usize; 3], Error> {
        let carrier = self.carrier;
        let score = carrier.inside(score.view())?;
        let threshold = facts.marked.as_ref().map_or(0.0, |marked| 1.25 * marked.threshold);
        let end = facts.score_q999.max(threshold);
        self.add(
            LayerKind::Score,
            score_unit(facts.score),
            (&score, carrier.inside.view()),
            (0.0, end),
        )?;
        Ok(highest(&score))
    }

    /// The signed score, or the uncertainty.
    fn add_map(&mut self, kind: LayerKind, map: Array3<f32>) -> Result<(), Error> {
        let carrier = self.carrier;
        let map = carrier.inside(map.view())?;
        let end = greatest(&map.mapv(f32::abs), &carrier.inside);
        let (unit, low) = match kind {
            LayerKind::Signed => ("standard deviations of healthy scans", -end),
            _ => ("of the intensity range", 0.0),
        };
        self.add(kind, unit, (&map, carrier.inside.view()), (low, end))
    }

    /// The mask of the findings: each voxel that holds any of one, so that a thin finding is not lost.
    fn add_findings(&mut self, mask: Array3<f32>) -> Result<(), Error> {
        let shares = self.carrier.whole(mask.view())?;
        let mask = shares.mapv(|share| f32::from(u8::from(share > LEAST_SHARE)));
        let everywhere = Array3::ones(mask.dim());
        self.add(LayerKind::Findings, "", (&mask, everywhere.view()), (0.0, 1.0))
    }
}

/// Quantile 0.999 inside the brain.
fn greatest(map: &Array3<f32>, inside: &Array3<u8>) -> f32 {
    quantile(map, inside, 999)
}

/// Quantile 0.001 inside the brain, or 0 where that is less.
fn least(map: &Array3<f32>, inside: &Array3<u8>) -> f32 {
    quantile(map, inside, 1).min(0.0)
}

fn quantile(map: &Array3<f32>, inside: &Array3<u8>, thousandths: usize) -> f32 {
    let mut values = inside_brain(map.view(), inside.view());
    let Some(last) = values.len().checked_sub(1) else { return 0.0 };
    let (_, &mut value, _) =
        values.select_nth_unstable_by(last * thousandths / 1000, f32::total_cmp);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_no_more_voxels_than_it_may() {
        let ras = Grid::from_spacing([100, 120, 90], [1.0; 3]);
        let region = VoxelBox { start: [10; 3], end: [90, 110, 80] };
        let page = page_grid(&ras, region, 100_000).unwrap();
        assert!(page.len() <= 100_000 && page.len() > 80_000, "{:?}", page.shape);
        // Thick slices stay as they are.
        let thick = Grid::from_spacing([30, 240, 240], [5.0, 0.9, 0.9]);
        let page = page_grid(&thick, VoxelBox::whole(thick.shape), 100_000).unwrap();
        assert_eq!((page.shape[0], page.spacing_mm()[0]), (30, 5.0));
        let small = page_grid(&ras, VoxelBox { start: [50; 3], end: [60; 3] }, 100_000).unwrap();
        assert_eq!((small.shape, small.spacing_mm()), ([26; 3], [1.0; 3]));
    }

    #[test]
    fn each_finding_however_thin_is_inside_the_brain_of_its_page_and_marked() {
        // A brain of 0.5 mm, of which single voxels stand alone: at its rim, in corners of the file and far from it.
        let scan = Grid::from_spacing([60, 72, 64], [0.5; 3]);
        let cube =
            |(z, y, x): (usize, usize, usize)| [z, y, x].iter().all(|at| (20..40).contains(at));
        let mut brain = Array3::from_shape_fn(scan.shape, |at| u8::from(cube(at)));
        let places =
            [[0, 0, 0], [63, 71, 59], [20, 20, 20], [40, 39, 39], [31, 42, 30], [9, 60, 7]];
        for [x, y, z] in places {
            brain[[z, y, x]] = 1;
            let mask = Array3::from_shape_fn(scan.shape, |at| f32::from(at == (z, y, x)));
            for voxels in [20_000, 3_000, 500] {
                let carrier = Carrier::new(&scan, brain.view(), voxels, "a").unwrap();
                let mut layers = Layers { carrier: &carrier, layers: Vec::new() };
                layers.add_findings(mask.clone()).unwrap();
                let (grid, from_file) = carrier.page_grid(None);
                let maps = PageMaps { grid, layers: layers.layers, highest: [0; 3], from_file };
                let [px, py, pz] = maps.voxel_of([x, y, z]);
                let at = [pz, py, px];
                assert_eq!(carrier.inside[at], 1, "{voxels} voxels, {:?}", [x, y, z]);
                assert_eq!(maps.layers[0].volume.codes()[at], 255, "{voxels}, {:?}", [x, y, z]);
                // The value is that of the brain's share alone.
                let score = carrier.inside(brain.mapv(|inside| 3.0 * f32::from(inside)).view());
                assert!((score.unwrap()[at] - 3.0).abs() < 1e-3);
            }
        }
    }
}
