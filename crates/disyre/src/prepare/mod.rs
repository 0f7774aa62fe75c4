//! Preparation: from a scan to what the network sees, and maps back to the grid of the scan.

mod bias;
mod brain;
mod config;
mod oblique;
mod prepared;
mod template_space;
mod unscaled;

use std::path::Path;
use std::sync::{Arc, OnceLock};

use disyre_brain::BrainMask;
use disyre_core::Volume;
use disyre_core::ndarray::{Array3, ArrayView3};
use disyre_register::Registration;
use disyre_volume::{IntensityReference, VolumeError};
use serde::{Deserialize, Serialize};

pub use bias::ScanField;
pub(crate) use brain::ensure_few_negative;
pub use config::{BiasCorrection, PrepareConfig, WorkingAxes};
pub use oblique::{OBLIQUE_DEGREES, ObliqueAxes, ObliqueScan};
pub use prepared::Prepared;
pub use template_space::TemplateSpace;
pub use unscaled::Unscaled;

use crate::write_files::write_json;
use crate::{BrainFinder, Error, SkullPolicy};

/// The preparation of scans: its settings, and what was fitted to a cohort.
///
/// [`PrepareConfig::build`] makes it where nothing is to be fitted.
///
/// ```
/// use disyre::core::{Key, Volume};
/// use disyre::{Preparation, PrepareConfig, phantom::PhantomConfig, volume::IntensityScaling};
///
/// let phantoms = PhantomConfig { shape: [4, 32, 32], ..PhantomConfig::default() };
/// let scans: Vec<Volume> = (0..3).map(|index| phantoms.healthy(Key::new(index)).volume).collect();
/// let scaling = IntensityScaling::landmarks();
/// let config = PrepareConfig { scaling, ..PrepareConfig::default() };
/// let preparation = Preparation::fit_to(&config, &scans)?;
/// assert_eq!(preparation.reference().map(|reference| reference.scans()), Some(3));
/// // A scan half as bright looks the same after it.
/// let dark = Volume { data: &scans[0].data * 0.5, grid: scans[0].grid };
/// let [bright, dark] = [&scans[0], &dark].map(|scan| preparation.prepare(scan, None));
/// let difference = &bright?.volume.data - &dark?.volume.data;
/// assert!(difference.iter().all(|difference| difference.abs() < 1e-5));
/// # Ok::<(), disyre::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Preparation {
    config: PrepareConfig,
    reference: Option<Arc<IntensityReference>>,
    /// For the axes of the template, and for scans with oblique axes.
    space: LazySpace,
    brains: BrainFinder,
}

/// The template's space, made when a scan first needs it, and kept; clones share it.
#[derive(Debug, Clone, Default)]
struct LazySpace(Arc<OnceLock<TemplateSpace>>);

impl LazySpace {
    fn get(&self) -> Result<&TemplateSpace, Error> {
        if let Some(space) = self.0.get() {
            return Ok(space);
        }
        let made = TemplateSpace::mni152()?;
        Ok(self.0.get_or_init(|| made))
    }
}

/// A preparation in a model's folder.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PreparationFile {
    /// Version of disyre.
    version: String,
    prepare: PrepareConfig,
    reference: Option<IntensityReference>,
}

impl Preparation {
    /// Joins settings and the reference of a cohort, `None` where the scaling needs none.
    pub(crate) fn new(
        config: PrepareConfig,
        reference: Option<IntensityReference>,
    ) -> Result<Self, Error> {
        let unfitted = Self::unfitted(&config)?;
        let fits = match &reference {
            Some(reference) => reference.scaling() == config.scaling,
            None => !config.scaling.needs_reference(),
        };
        match fits {
            true => Ok(Self { reference: reference.map(Arc::new), ..unfitted }),
            false => Err(VolumeError::Reference.into()),
        }
    }

    /// Fits what the settings want to have fitted to a cohort of skull-stripped scans.
    ///
    /// # Errors
    /// Those of [`prepare`](Self::prepare), of the first scan that fails.
    pub fn fit_to(config: &PrepareConfig, scans: &[Volume]) -> Result<Self, Error> {
        let unfitted = Self::unfitted(config)?;
        let aligned: Vec<Unscaled> =
            scans.iter().map(|scan| unfitted.align(scan, None)).collect::<Result<_, _>>()?;
        unfitted.fit(&aligned)
    }

    /// A preparation that can [`align`](Self::align) but, where the scaling needs a reference, not yet scale.
    ///
    /// # Errors
    /// [`Error::Setting`] and [`Error::Volume`] for settings out of range.
    pub fn unfitted(config: &PrepareConfig) -> Result<Self, Error> {
        config.check()?;
        let (space, brains) = (LazySpace::default(), BrainFinder::default());
        if config.orientation == WorkingAxes::Template {
            space.get()?;
        }
        Ok(Self { config: config.clone(), reference: None, space, brains })
    }

    /// The same preparation with a reference fitted to aligned scans; as it is where the scaling needs none.
    ///
    /// # Errors
    /// [`Error::Volume`] for a scan without contrast, and without a scan.
    pub fn fit<'a>(self, scans: impl IntoIterator<Item = &'a Unscaled>) -> Result<Self, Error> {
        let quantiles = scans.into_iter().map(|scan| self.quantiles(scan));
        let quantiles = quantiles.collect::<Result<Vec<_>, _>>()?;
        self.fit_quantiles(&quantiles)
    }

    /// All of a scan that a reference is fitted to; empty where the scaling needs none.
    pub(crate) fn quantiles(&self, scan: &Unscaled) -> Result<Vec<f32>, Error> {
        match self.config.scaling.needs_reference() {
            true => Ok(scan.quantiles(&self.config)?),
            false => Ok(Vec::new()),
        }
    }

    /// [`fit`](Self::fit) by the [quantiles](Self::quantiles) of each scan.
    fn fit_quantiles(self, quantiles: &[Vec<f32>]) -> Result<Self, Error> {
        if !self.config.scaling.needs_reference() {
            return Ok(self);
        }
        let reference = IntensityReference::of(self.config.scaling, quantiles)?;
        Ok(Self { reference: Some(Arc::new(reference)), ..self })
    }

    /// Reads settings and reference from a file that [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Config`] naming the file; [`Error::Case`] naming it too, with those of
    /// [`PrepareConfig::with_reference`].
    pub fn load(path: &Path) -> Result<Self, Error> {
        Self::parse(&std::fs::read_to_string(path).map_err(Error::io("read", path))?, path)
    }

    /// Takes the text of a file that [`save`](Self::save) wrote; errors name `path`.
    pub(crate) fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        let file: PreparationFile = serde_json::from_str(text).map_err(Error::config(path))?;
        let fitted = file.prepare.with_reference(file.reference);
        fitted.map_err(Error::case(&path.display().to_string()))
    }

    /// Writes settings and reference, as JSON.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let file = PreparationFile {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            prepare: self.config.clone(),
            reference: self.reference().cloned(),
        };
        write_json(path, &file)
    }

    /// [`fit`](Self::fit) by name and [quantiles](Self::quantiles) of each scan: the error of a scan that fails names it.
    pub(crate) fn fit_named(
        self,
        scans: impl Iterator<Item = (String, Vec<f32>)>,
    ) -> Result<Self, Error> {
        let (names, quantiles): (Vec<_>, Vec<_>) = scans.unzip();
        let fitted = self.clone().fit_quantiles(&quantiles);
        let Err(error) = fitted else { return fitted };
        for (name, quantiles) in names.iter().zip(quantiles) {
            self.clone().fit_quantiles(&[quantiles]).map_err(Error::case(name))?;
        }
        Err(error)
    }

    /// True if nothing is left to be fitted to a cohort.
    pub fn is_fitted(&self) -> bool {
        self.reference.is_some() || !self.config.scaling.needs_reference()
    }

    /// The settings.
    pub fn config(&self) -> &PrepareConfig {
        &self.config
    }

    /// The cohort's reference, where the scaling needs one.
    pub fn reference(&self) -> Option<&IntensityReference> {
        self.reference.as_deref()
    }

    /// The brain of a head, as the settings treat skulls; `None`: the scan is taken as stripped.
    ///
    /// # Errors
    /// As [`BrainFinder::brain_of`].
    pub fn brain_of(&self, scan: &Volume) -> Result<Option<BrainMask>, Error> {
        self.brains.brain_of(self.config.skull, scan)
    }

    /// Finds the brain of a scan under another policy than that of the settings, and prepares the scan. The brain is that of a
    /// head; `None`: the scan is taken as stripped.
    pub(crate) fn prepare_under(
        &self,
        skull: SkullPolicy,
        scan: &Volume,
    ) -> Result<(Option<Array3<u8>>, Prepared), Error> {
        let brain = self.brains.brain_of(skull, scan)?.map(|brain| brain.mask);
        let prepared = self.prepare(scan, brain.as_ref().map(|mask| mask.view()))?;
        Ok((brain, prepared))
    }

    /// The network that finds brains, for other policies than that of the settings.
    pub(crate) fn brains(&self) -> &BrainFinder {
        &self.brains
    }

    /// Prepares a scan.
    ///
    /// # Shapes and units
    /// `brain` has the scan's grid, non-zero inside the brain; without it the brain is where the scan is not 0.
    ///
    /// # Errors
    /// [`Error::Shape`] for a mask of another shape or a value that is not finite, [`Error::EmptyBrain`],
    /// [`Error::NegativeBrain`] if more than a twentieth of the brain is below 0, and the volume crate's errors.
    pub fn prepare(
        &self,
        scan: &Volume,
        brain: Option<ArrayView3<'_, u8>>,
    ) -> Result<Prepared, Error> {
        self.scale(&self.align(scan, brain)?)
    }

    /// All of [`prepare`](Self::prepare) but the scaling of intensities.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare).
    pub fn align(
        &self,
        scan: &Volume,
        brain: Option<ArrayView3<'_, u8>>,
    ) -> Result<Unscaled, Error> {
        Unscaled::on_working_grid(&self.config, scan, brain, &self.space)
    }

    /// [`align`](Self::align) on the voxels of the template, by an affine registration and whatever the settings say
    /// about axes and spacing; not cropped. Returns the registration too, which is used even where it is doubtful.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare).
    pub fn align_to(
        &self,
        space: &TemplateSpace,
        scan: &Volume,
        brain: Option<ArrayView3<'_, u8>>,
    ) -> Result<(Unscaled, Registration), Error> {
        Unscaled::on_template(&self.config, scan, brain, space)
    }

    /// The rest of [`prepare`](Self::prepare): intensities to `[0, 1]`.
    ///
    /// # Errors
    /// [`Error::Volume`] for a scan without contrast, and for a scaling that is not [fitted](Self::fit).
    pub fn scale(&self, scan: &Unscaled) -> Result<Prepared, Error> {
        scan.scale(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::Array3;
    use disyre_volume::Grid;
    use disyre_volume::{IntensityMap, IntensityScaling};

    /// Rows of 1 mm along x, the same in `count` rows of `count` slices.
    fn scan(count: usize, row: &[f32]) -> Volume {
        let shape = [count, count, row.len()];
        let data = Array3::from_shape_fn(shape, |(_, _, x)| row[x]);
        Volume::new(data, Grid::from_spacing(shape, [1.0; 3])).unwrap()
    }

    fn with_spacing(spacing_mm: f64) -> PrepareConfig {
        let scaling = IntensityScaling::Brain { upper: 1.0 };
        PrepareConfig { spacing_mm, scaling, ..PrepareConfig::default() }
    }

    fn preparation(spacing_mm: f64) -> Preparation {
        with_spacing(spacing_mm).build().unwrap()
    }

    fn values(data: &Array3<f32>) -> Vec<f32> {
        data.iter().copied().collect()
    }

    #[test]
    fn a_voxel_at_the_border_is_the_mean_of_its_brain_alone() {
        // Voxels of 2 mm: half background and 40, then 100 and 60, then 80 and half background.
        let prepared =
            preparation(2.0).prepare(&scan(2, &[0.0, 40.0, 100.0, 60.0, 80.0, 0.0]), None);
        let prepared = prepared.unwrap();
        assert_eq!(prepared.intensities, IntensityMap::linear(0.0, 80.0).unwrap());
        assert_eq!(values(&prepared.volume.data), [0.5, 1.0, 1.0]);
        assert_eq!(prepared.mask, Array3::<u8>::ones([1, 1, 3]));
    }

    #[test]
    fn a_voxel_of_less_than_half_brain_is_outside() {
        let mut scan = scan(2, &[0.0, 0.0, 50.0, 50.0, 0.0, 0.0]);
        // 3 of the 8 voxels that make one, and 4 of the others.
        for at in [[0, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 4], [0, 1, 4], [1, 0, 5], [1, 1, 5]] {
            scan.data[at] = 25.0;
        }
        let prepared = preparation(2.0).prepare(&scan, None).unwrap();
        assert_eq!(values(&prepared.volume.data), [1.0, 0.5]);
    }

    #[test]
    fn the_background_around_the_brain_is_cut_off_and_places_stay() {
        let scan = scan(2, &[0.0, 0.0, 50.0, 50.0, 0.0, 0.0]);
        let prepared = preparation(2.0).prepare(&scan, None).unwrap();
        let (before, after) = (scan.grid.affine, prepared.volume.grid.affine);
        assert_eq!(prepared.volume.grid.shape, [1, 1, 1]);
        // The second voxel of 2 mm is centred between the third and the fourth of 1 mm.
        assert_eq!(after[0][3], before[0][3] + 2.5);
        assert_eq!([after[0][0], after[1][3]], [2.0, before[1][3] + 0.5]);
    }

    #[test]
    fn a_scan_whose_x_runs_to_the_left_is_turned() {
        let mut scan = scan(1, &[10.0, 20.0, 40.0]);
        scan.grid.affine[0][0] = -1.0;
        let prepared = preparation(1.0).prepare(&scan, None).unwrap();
        assert_eq!(values(&prepared.volume.data), [1.0, 0.5, 0.25]);
    }

    #[test]
    fn a_mask_says_where_the_brain_is() {
        let scan = scan(1, &[10.0, 20.0, 40.0, 80.0]);
        let brain = Array3::from_shape_fn([1, 1, 4], |(_, _, x)| u8::from(x == 1 || x == 2) * 7);
        let prepared = preparation(1.0).prepare(&scan, Some(brain.view())).unwrap();
        assert_eq!(values(&prepared.volume.data), [0.5, 1.0]);
        let other = Array3::<u8>::ones([1, 4, 1]);
        assert!(matches!(
            preparation(1.0).prepare(&scan, Some(other.view())),
            Err(Error::Shape(_))
        ));
    }

    #[test]
    fn a_map_is_carried_to_the_grid_of_the_scan_and_is_0_outside_its_brain() {
        let scan = scan(2, &[0.0, 40.0, 100.0, 60.0, 80.0, 0.0]);
        let prepared = preparation(2.0).prepare(&scan, None).unwrap();
        let map = Array3::from_shape_vec([1, 1, 3], vec![0.25, 0.5, 1.0]).unwrap();
        let on_scan = prepared.to_scan(map, &scan, None).unwrap();
        // Centres of 2 mm voxels lie at x = 0.5, 2.5 and 4.5; linear between them.
        let expected = [0.0, 0.3125, 0.4375, 0.625, 0.875, 0.0];
        for (&got, expected) in on_scan.iter().zip(expected.into_iter().cycle()) {
            assert!((got - expected).abs() < 1e-6, "{got} is not {expected}");
        }
        assert_eq!(on_scan.dim(), (2, 2, 6));
        let wrong = Array3::zeros([1, 1, 4]);
        assert!(matches!(prepared.to_scan(wrong, &scan, None), Err(Error::Shape(_))));
    }

    #[test]
    fn a_brain_below_0_and_values_that_are_not_finite_are_refused() {
        let mut row = [10.0; 20];
        row[3] = -1.0;
        assert!(preparation(1.0).prepare(&scan(1, &row), None).is_ok(), "a twentieth is allowed");
        row[4] = -1.0;
        let error = preparation(1.0).prepare(&scan(1, &row), None).unwrap_err();
        assert!(matches!(error, Error::NegativeBrain { percent } if percent == 10.0));
        row[3..5].copy_from_slice(&[f32::NAN, 1.0]);
        assert!(matches!(preparation(1.0).prepare(&scan(1, &row), None), Err(Error::Shape(_))));
        let error = preparation(1.0).prepare(&scan(1, &[0.0; 4]), None).unwrap_err();
        assert!(matches!(error, Error::EmptyBrain { .. }));
    }

    #[test]
    fn a_spacing_of_nothing_is_refused() {
        for spacing_mm in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(with_spacing(spacing_mm).build(), Err(Error::Setting { .. })));
        }
    }
}
