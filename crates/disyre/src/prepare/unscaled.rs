//! A scan on the working grid, its intensities not yet scaled.

use disyre_core::ndarray::{Array3, ArrayView3, Zip};
use disyre_core::{Grid, Volume, ensure_finite};
use disyre_register::{Registration, Verdict};
use disyre_volume::{Interpolation, VolumeError, VoxelBox, crop, foreground_box};
use disyre_volume::{resample_to_grid, resample_to_spacing, to_ras};

use super::brain::{brain_on_grid, ensure_magnitudes, keep_inside, share, undilute};
use super::{Preparation, PrepareConfig, Prepared, ScanField, TemplateSpace};
use crate::Error;

/// A scan on the working grid, its intensities not yet scaled: all that a scaling can be fitted to.
///
/// [`Preparation::align`] makes it, [`Preparation::fit`] fits a cohort's reference to some, [`Preparation::scale`] ends the
/// preparation.
#[derive(Debug, Clone)]
pub struct Unscaled {
    /// The whole field of view, 0 outside the brain but for voxels that hold a little of it.
    pub(super) volume: Volume,
    /// Brain on the grid of `volume`: 1 inside, 0 outside.
    pub(super) mask: Array3<u8>,
    /// The box around the brain.
    pub(super) region: VoxelBox,
    /// The field that the scan was divided by.
    pub(super) field: Option<ScanField>,
    /// The registration, where the settings ask for the axes of the template.
    pub(super) registration: Option<Registration>,
}

/// A scan without its bias field, on its own grid.
struct Corrected {
    masked: Volume,
    mask: Array3<u8>,
    field: Option<ScanField>,
}

impl Unscaled {
    /// On the working grid of the settings, cropped to the brain in the end.
    pub(super) fn on_working_grid(
        config: &PrepareConfig,
        scan: &Volume,
        brain: Option<ArrayView3<'_, u8>>,
        space: Option<&TemplateSpace>,
    ) -> Result<Self, Error> {
        let corrected = Corrected::new(config, scan, brain)?;
        let registration = space.map(|space| corrected.register(space)).transpose()?;
        let target = corrected.turned_grid(space, registration.as_ref(), config.spacing_mm);
        Ok(Self { registration, ..corrected.resample(target, config.spacing_mm)? })
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
        let aligned = corrected.resample(Some(space.grid_of(&found)), config.spacing_mm)?;
        let region = VoxelBox { start: [0; 3], end: aligned.volume.grid.shape };
        Ok((Self { region, registration: Some(found.clone()), ..aligned }, found))
    }

    /// The registration to the template, where the place of the scan depends on one.
    pub fn registration(&self) -> Option<&Registration> {
        self.registration.as_ref()
    }

    /// The grid of the prepared scan: the box around the brain.
    pub(crate) fn grid(&self) -> Grid {
        self.region.grid_of(&self.volume.grid)
    }

    /// Brain on that grid, 1 inside.
    pub(crate) fn brain(&self) -> ArrayView3<'_, u8> {
        self.region.view_of(self.mask.view())
    }

    /// Quantiles of the brain that the cohort's reference is made of.
    pub(super) fn quantiles(&self, config: &PrepareConfig) -> Result<Vec<f32>, VolumeError> {
        let brain = self.region.view_of(self.volume.data.view());
        config.scaling.quantiles(brain, self.brain())
    }

    pub(super) fn scale(&self, preparation: &Preparation) -> Result<Prepared, Error> {
        let Self { volume, mask, region, field, registration } = self;
        let scaling = preparation.config().scaling;
        let intensities = scaling.fit(volume.data.view(), mask.view(), preparation.reference())?;
        let mask = region.view_of(mask.view()).to_owned();
        let mut volume = crop(volume, *region);
        intensities.apply(&mut volume.data.view_mut());
        volume.data = keep_inside(&volume.data, &mask);
        let (field, registration) = (field.clone(), registration.clone());
        Ok(Prepared { volume, mask, intensities, field, registration })
    }
}

/// The order is fixed: the field belongs to the scanner's voxels, and neither places nor intensities compare well with it;
/// so it comes first, then registration, then one resampling, then the scaling.
impl Corrected {
    fn new(
        config: &PrepareConfig,
        scan: &Volume,
        brain: Option<ArrayView3<'_, u8>>,
    ) -> Result<Self, Error> {
        ensure_finite("scan", &scan.data.view())?;
        let mask = brain_on_grid(scan, brain)?;
        ensure_magnitudes(&scan.data, &mask)?;
        let mut masked = Volume { data: keep_inside(&scan.data, &mask), grid: scan.grid };
        let field = ScanField::estimate(&config.bias, &masked, &mask)?;
        if let Some(field) = &field {
            field.divide(&mut masked.data);
        }
        Ok(Self { masked, mask, field })
    }

    fn register(&self, space: &TemplateSpace) -> Result<Registration, Error> {
        Ok(space.register(&self.masked, Some(self.mask.view()))?)
    }

    /// The grid along the axes of the template; `None`: the scan's own axes at the working spacing, also where the
    /// registration is doubtful.
    fn turned_grid(
        &self,
        space: Option<&TemplateSpace>,
        registration: Option<&Registration>,
        spacing_mm: f64,
    ) -> Option<Grid> {
        let good = registration.filter(|found| found.verdict == Verdict::Good)?;
        space?.turned_grid(good, &self.masked.grid, foreground_box(self.mask.view())?, spacing_mm)
    }

    /// Onto a grid, or along the scan's own axes at a spacing; cropped to the brain, not registered.
    fn resample(self, target: Option<Grid>, spacing_mm: f64) -> Result<Unscaled, Error> {
        let Self { masked, mask, field } = self;
        let resample = |volume: &Volume| match target {
            Some(grid) => resample_to_grid(volume, &grid, Interpolation::Area),
            None => resample_to_spacing(&to_ras(volume), [spacing_mm; 3], Interpolation::Area),
        };
        let brain = Volume { data: share(&mask), grid: masked.grid };
        let (masked, brain) = rayon::join(|| resample(&masked), || resample(&brain));
        let (masked, brain) = (masked?, brain?);
        let mask = Zip::from(&brain.data).par_map_collect(|&share| u8::from(share >= 0.5));
        let region = foreground_box(mask.view()).ok_or_else(empty_brain)?;
        let volume = Volume { data: undilute(&masked.data, &brain.data), grid: masked.grid };
        Ok(Unscaled { volume, mask, region, field, registration: None })
    }
}

fn empty_brain() -> Error {
    Error::EmptyBrain { name: "the scan".to_owned() }
}
