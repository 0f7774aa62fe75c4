//! Registration of scans to the template, and grids along its axes in the world of a scan.

use disyre_core::ndarray::ArrayView3;
use disyre_core::{Affine, Grid, Volume};
use disyre_register::{RegisterConfig, RegisterError, Registrar, Registration, Template};
use disyre_volume::VoxelBox;
use disyre_volume::affine::{compose, invert, transform};

use crate::Error;

/// The space of the MNI152 template, and how scans get there.
///
/// A grid of that space is expressed in the world of a scan, by the registration: resampling onto it, and maps back from
/// it, then need nothing but the grid.
///
/// ```
/// use disyre::TemplateSpace;
///
/// let space = TemplateSpace::mni152()?;
/// let mut scan = space.template().volume.clone();
/// scan.grid.affine[1][3] += 15.0; // 15 mm to the front
/// let registration = space.register(&scan, None)?;
/// assert!((registration.position([0.0, 15.0, 0.0])[1]).abs() < 0.5);
/// # Ok::<(), disyre::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct TemplateSpace {
    registrar: Registrar,
    template: Template,
}

impl TemplateSpace {
    /// The MNI152 brain at 2 mm, and affine registrations with the default settings.
    ///
    /// # Errors
    /// [`Error::Register`]: none but of memory.
    pub fn mni152() -> Result<Self, Error> {
        Ok(Self { registrar: RegisterConfig::default().build()?, template: Template::mni152()? })
    }

    /// The template.
    pub fn template(&self) -> &Template {
        &self.template
    }

    /// Registers a scan.
    ///
    /// # Shapes and units
    /// `brain` has the scan's shape, non-zero inside; without it the brain is where the scan is not 0.
    ///
    /// # Errors
    /// Those of [`Registrar::register`]. A bad fit is none: it is in the verdict.
    pub fn register(
        &self,
        scan: &Volume,
        brain: Option<ArrayView3<'_, u8>>,
    ) -> Result<Registration, RegisterError> {
        self.registrar.register(&self.template, scan, brain)
    }

    /// The voxels of the template in the world of a registered scan: stretched as the scan is.
    pub fn grid_of(&self, registration: &Registration) -> Grid {
        let grid = self.template.volume.grid;
        Grid { affine: compose(&registration.scan_from_template, &grid.affine), ..grid }
    }

    /// The rotation and translation of a registration, from the template's axes into the world of the scan.
    pub(super) fn turn(&self, registration: &Registration) -> Affine {
        registration.rigid(self.centre_mm())
    }

    /// Middle of the template's field of view.
    fn centre_mm(&self) -> [f64; 3] {
        let Grid { shape, affine } = self.template.volume.grid;
        let middle = |axis: usize| (shape[axis] as f64 - 1.0) / 2.0;
        transform(&affine, [middle(2), middle(1), middle(0)])
    }
}

/// Isotropic voxels along the axes of `turn` (a rotation and translation in the world of a scan) around a box of the scan.
pub(super) fn turned_grid(
    turn: &Affine,
    scan: &Grid,
    region: VoxelBox,
    spacing_mm: f64,
) -> Option<Grid> {
    let to_turned = compose(&invert(turn)?, &scan.affine);
    let corners = (0..8).map(|corner: usize| {
        let side = |axis: usize| {
            let end = corner >> axis & 1 == 1;
            let voxel = if end { region.end[axis] } else { region.start[axis] };
            voxel as f64 - 0.5
        };
        transform(&to_turned, [side(2), side(1), side(0)])
    });
    let corners: Vec<[f64; 3]> = corners.collect();
    // Voxel centres lie at whole multiples of the spacing, so that the grid depends on the scan's place alone.
    let ends = [0, 1, 2].map(|axis| {
        let values = corners.iter().map(|corner| corner[axis] / spacing_mm);
        let low = values.clone().fold(f64::INFINITY, f64::min).floor();
        (low, values.fold(f64::NEG_INFINITY, f64::max).ceil())
    });
    // Saturated, so that a spacing far too fine becomes a grid that resampling refuses.
    let voxels = |(low, high): (f64, f64)| ((high - low) as usize).saturating_add(1);
    let shape = [2, 1, 0].map(|axis: usize| voxels(ends[axis]));
    let mut affine: Affine = [[0.0; 4]; 4];
    for axis in 0..3 {
        affine[axis][axis] = spacing_mm;
        affine[axis][3] = ends[axis].0 * spacing_mm;
    }
    affine[3][3] = 1.0;
    Some(Grid { shape, affine: compose(turn, &affine) })
}
