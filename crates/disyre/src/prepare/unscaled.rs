//! A scan on the working grid, its intensities not yet scaled.

use disyre_core::ndarray::{Array3, ArrayView3, Zip};
use disyre_core::{Affine, Grid, Volume, ensure_finite};
use disyre_register::Registration;
use disyre_volume::{
    IntensityScaling, Interpolation, Orientation, Resampler, VolumeError, VoxelBox, foreground_box,
    grid_at_spacing,
};

use super::brain::{brain_on_grid, ensure_magnitudes, keep_inside, share, undilute};
use super::oblique::{ObliqueScan, oblique_degrees};
use super::template_space::turned_grid;
use super::{
    LazySpace, Preparation, PrepareConfig, Prepared, ScanField, TemplateSpace, WorkingAxes,
};
use crate::Error;

/// A scan on the working grid, its intensities not yet scaled: all that a scaling can be fitted to.
///
/// [`Preparation::align`] makes it, [`Preparation::fit`] fits a cohort's reference to some, [`Preparation::scale`] ends the
/// preparation.
#[derive(Debug, Clone)]
pub struct Unscaled {
    /// The whole field of view.
    grid: Grid,
    /// The part of it that is kept: outside it all is 0.
    kept: VoxelBox,
    /// Voxels of `kept`, 0 outside the brain but for those that hold a little of it.
    data: Array3<f32>,
    /// Brain in `kept`: 1 inside, 0 outside.
    mask: Array3<u8>,
    /// The box around the brain, on `grid`.
    region: VoxelBox,
    /// The field that the scan was divided by.
    field: Option<ScanField>,
    /// The registration, where the settings ask for the axes of the template.
    registration: Option<Registration>,
    /// The axes, where those of the scan are oblique and the settings ask for them.
    oblique: Option<ObliqueScan>,
}

/// A scan without its bias field, on its own grid; nothing of it is copied before it is needed.
struct Corrected<'a> {
    scan: &'a Volume,
    mask: Array3<u8>,
    field: Option<ScanField>,
}

/// A working grid, and what led to it.
#[derive(Default)]
struct Target {
    /// `None`: the scan's own axes at the working spacing.
    grid: Option<Grid>,
    registration: Option<Registration>,
    oblique: Option<ObliqueScan>,
}

impl Unscaled {
    /// On the working grid of the settings, cropped to the brain in the end.
    pub(super) fn on_working_grid(
        config: &PrepareConfig,
        scan: &Volume,
        brain: Option<ArrayView3<'_, u8>>,
        space: &LazySpace,
    ) -> Result<Self, Error> {
        let corrected = Corrected::new(config, scan, brain)?;
        let target = corrected.target(config, space)?;
        // The published scaling takes its quantile over the whole field of view.
        let whole = matches!(config.scaling, IntensityScaling::Published { .. });
        corrected.resample(target, config.spacing_mm, whole)
    }

    /// On all voxels of the template.
    pub(super) fn on_template(
        config: &PrepareConfig,
        scan: &Volume,
        brain: Option<ArrayView3<'_, u8>>,
        space: &TemplateSpace,
    ) -> Result<(Self, Registration), Error> {
        let corrected = Corrected::new(config, scan, brain)?;
        let found = corrected.register(space)?;
        let grid = space.grid_of(&found);
        let registration = Some(found.clone());
        let target = Target { grid: Some(grid), registration, oblique: None };
        let aligned = corrected.resample(target, config.spacing_mm, true)?;
        Ok((Self { region: VoxelBox::whole(grid.shape), ..aligned }, found))
    }

    /// The registration to the template, where the place of the scan depends on one.
    pub fn registration(&self) -> Option<&Registration> {
        self.registration.as_ref()
    }

    /// The grid of the prepared scan: the box around the brain.
    pub(crate) fn grid(&self) -> Grid {
        self.region.grid_of(&self.grid)
    }

    /// Brain on that grid, 1 inside.
    pub(crate) fn brain(&self) -> ArrayView3<'_, u8> {
        self.region.relative_to(self.kept).view_of(self.mask.view())
    }

    /// The grid of the voxels that are kept.
    pub(crate) fn kept_grid(&self) -> Grid {
        self.kept.grid_of(&self.grid)
    }

    /// Voxels and brain on that grid, to move them elsewhere and back.
    pub(crate) fn voxels_mut(&mut self) -> (&mut Array3<f32>, &mut Array3<u8>) {
        (&mut self.data, &mut self.mask)
    }

    fn in_region(&self) -> ArrayView3<'_, f32> {
        self.region.relative_to(self.kept).view_of(self.data.view())
    }

    /// Quantiles of the brain that the cohort's reference is made of.
    pub(super) fn quantiles(&self, config: &PrepareConfig) -> Result<Vec<f32>, VolumeError> {
        config.scaling.quantiles(self.in_region(), self.brain())
    }

    pub(super) fn scale(&self, preparation: &Preparation) -> Result<Prepared, Error> {
        let scaling = preparation.config().scaling;
        let (data, mask) = (self.data.view(), self.mask.view());
        let intensities = scaling.fit(data, mask, preparation.reference())?;
        let mask = self.brain().to_owned();
        let mut data = self.in_region().to_owned();
        intensities.apply(&mut data.view_mut());
        keep_inside(&mut data, &mask);
        let volume = Volume { data, grid: self.grid() };
        let (field, registration) = (self.field.clone(), self.registration.clone());
        Ok(Prepared { volume, mask, intensities, field, registration, oblique: self.oblique })
    }
}

/// The order is fixed: the field belongs to the scanner's voxels, and neither places nor intensities compare well with it;
/// so it comes first, then registration, then one resampling, then the scaling.
impl<'a> Corrected<'a> {
    fn new(
        config: &PrepareConfig,
        scan: &'a Volume,
        brain: Option<ArrayView3<'_, u8>>,
    ) -> Result<Self, Error> {
        ensure_finite("scan", &scan.data.view())?;
        let mask = brain_on_grid(scan, brain)?;
        ensure_magnitudes(&scan.data, &mask)?;
        let field = ScanField::estimate(&config.bias, scan, &mask)?;
        Ok(Self { scan, mask, field })
    }

    /// Voxels of a box of the scan: 0 outside the brain, divided by the field.
    fn corrected(&self, part: VoxelBox) -> Array3<f32> {
        let (scan, mask) = (part.view_of(self.scan.data.view()), part.view_of(self.mask.view()));
        let keep = |&value: &f32, &inside: &u8| if inside == 0 { 0.0 } else { value };
        let mut data = Array3::zeros(part.shape());
        Zip::from(&mut data)
            .and(scan)
            .and(mask)
            .par_for_each(|out, value, inside| *out = keep(value, inside));
        if let Some(field) = &self.field {
            field.divide_box(part, &mut data);
        }
        data
    }

    fn register(&self, space: &TemplateSpace) -> Result<Registration, Error> {
        let grid = self.scan.grid;
        VolumeError::ensure_memory("registering the scan", grid.len() as u64 * 4)?;
        let corrected = Volume { data: self.corrected(VoxelBox::whole(grid.shape)), grid };
        Ok(space.register(&corrected, Some(self.mask.view()))?)
    }

    /// The working grid: along the axes of the template or of the world where those are asked for or better; the scan's own
    /// axes also where the registration is doubtful.
    fn target(&self, config: &PrepareConfig, space: &LazySpace) -> Result<Target, Error> {
        let along = |turn: Option<Affine>| {
            let region = foreground_box(self.mask.view())?;
            turned_grid(&turn?, &self.scan.grid, region, config.spacing_mm)
        };
        let oblique = oblique_degrees(&self.scan.grid);
        match (config.orientation, oblique) {
            (WorkingAxes::Scan, None) => Ok(Target::default()),
            (WorkingAxes::Template, _) => {
                let space = space.get()?;
                let found = self.register(space)?;
                let grid = along(found.verdict.is_good().then(|| space.turn(&found)));
                Ok(Target { grid, registration: Some(found), oblique: None })
            }
            (WorkingAxes::Scan, Some(degrees)) => {
                let space = space.get()?;
                let found = self.register(space)?;
                let oblique = ObliqueScan::choose(degrees, &self.scan.grid, &found, space);
                let grid = along(oblique.turn(&found, space));
                Ok(Target { grid, registration: None, oblique: Some(oblique) })
            }
        }
    }

    /// Onto the target, slab by slab; the whole of it, or what the brain reaches.
    fn resample(self, target: Target, spacing_mm: f64, whole: bool) -> Result<Unscaled, Error> {
        let Target { grid, registration, oblique } = target;
        let own = Orientation::of(&self.scan.grid.affine);
        // Without a target the axes are permuted and mirrored first, which needs no copy.
        let ras = grid.is_none().then_some(own);
        let from = ras.map_or(self.scan.grid, |ras| ras.ras_grid(&self.scan.grid));
        let grid = grid.map_or_else(|| grid_at_spacing(&from, [spacing_mm; 3]), Ok)?;
        let resampler = Resampler::new(&from, &grid, Interpolation::Area)?;
        let mask = self.mask.view();
        let brain =
            foreground_box(ras.map_or(mask, |ras| ras.ras_view(mask))).ok_or_else(empty_brain)?;
        let all = VoxelBox::whole(grid.shape);
        let kept = if whole { all } else { resampler.output_box(brain) };
        // Scan, share of brain, mask, and the copy that is cropped and scaled.
        resampler.ensure_memory(kept, 14)?;
        let (mut data, mut shares) = (Array3::zeros(kept.shape()), Array3::zeros(kept.shape()));
        for slab in resampler.slabs(kept) {
            let there = slab.relative_to(kept);
            let (scan, brain) = self.resample_slab(&resampler, ras, slab);
            there.view_of_mut(data.view_mut()).assign(&scan);
            there.view_of_mut(shares.view_mut()).assign(&brain);
        }
        let mask = Zip::from(&shares).par_map_collect(|&share: &f32| u8::from(share >= 0.5));
        let region = foreground_box(mask.view()).ok_or_else(empty_brain)?;
        let ([z, y, x], end) = (kept.start, region.end);
        let end = [end[0] + z, end[1] + y, end[2] + x];
        let start = [region.start[0] + z, region.start[1] + y, region.start[2] + x];
        let region = VoxelBox { start, end };
        undilute(data.view_mut(), shares.view());
        let field = self.field;
        Ok(Unscaled { grid, kept, data, mask, region, field, registration, oblique })
    }

    /// A slab of the working grid: the scan and the share of brain.
    fn resample_slab(
        &self,
        resampler: &Resampler,
        ras: Option<Orientation>,
        slab: VoxelBox,
    ) -> (Array3<f32>, Array3<f32>) {
        let input = resampler.input_box(slab);
        let native = ras.map_or(input, |ras| ras.native_box(input, self.scan.grid.shape));
        let resampled = |voxels: Array3<f32>| {
            let view = ras.map_or(voxels.view(), |ras| ras.ras_view(voxels.view()));
            resampler.resample_box(view, slab)
        };
        rayon::join(
            || resampled(self.corrected(native)),
            || resampled(share(native.view_of(self.mask.view()))),
        )
    }
}

fn empty_brain() -> Error {
    Error::EmptyBrain { name: "the scan".to_owned() }
}
